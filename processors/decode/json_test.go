package decode

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

const (
	callLine   = `{"time":"2026-11-01T11:00:00.000000001Z","mcpsiem.server.name":"files","message":{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read","arguments":{"path":"/x"}}}}`
	answerLine = `{"time":"2026-11-01T11:00:01Z","mcpsiem.server.name":"files","message":{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"hi"}]}}}`
)

func decodeLines(t *testing.T, lines ...string) []event.Event {
	t.Helper()
	d, sink := newTest(t, nil)
	if err := d.ConsumeLogs(context.Background(), jsonLines(lines...)); err != nil {
		t.Fatal(err)
	}
	return events(sink.AllLogs()...)
}

func TestJSONPairs(t *testing.T) {
	es := decodeLines(t, callLine, answerLine)
	if len(es) != 2 {
		t.Fatalf("%d events", len(es))
	}
	q, r := es[0], es[1]
	if q.ExchangeID != q.ID || r.ExchangeID != q.ID || r.Method != "tools/call" || r.Tool != "read" || r.Outcome != event.OutcomeOK ||
		r.DurationNanos != 999_999_999 || r.ExchangeStart != q.Time || q.Direction != event.ClientToServer || r.Direction != event.ServerToClient {
		t.Errorf("request %+v\nresponse %+v", q, r)
	}
}

func TestJSONStrangersAreOrphans(t *testing.T) {
	f := func(name, answer string) {
		t.Helper()
		r := decodeLines(t, callLine, answer)[1]
		if r.Outcome != event.OutcomeOrphan || r.ExchangeID != r.ID || r.Tool != "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	f("id as text", strings.Replace(answerLine, `"id":7`, `"id":"7"`, 1))
	f("another server", strings.Replace(answerLine, `"files"`, `"mail"`, 1))
	f("another session", strings.Replace(answerLine, `{"time"`, `{"mcp.session.id":"s2","time"`, 1))
	f("hours later", strings.Replace(answerLine, "T11:00:01Z", "T12:30:00Z", 1))
	f("no id", strings.Replace(answerLine, `"id":7,`, ``, 1))
}

func TestJSONIDs(t *testing.T) {
	with := func(id string) string { return strings.Replace(callLine, "{", `{"mcpsiem.event.id":"`+id+`",`, 1) }
	f := func(line, want string, anomaly bool) {
		t.Helper()
		e := decodeLines(t, line)[0]
		if e.ID != want {
			t.Errorf("id %s, want %s", e.ID, want)
		}
		if got := len(e.Anomalies) > 0; got != anomaly {
			t.Errorf("anomalies %v", e.Anomalies)
		}
	}
	f(with("0123456789abcdef0123456789abcdef"), "0123456789abcdef0123456789abcdef", false)
	f(with("01234567-89AB-cdef-0123-456789abcdef"), "0123456789abcdef0123456789abcdef", false)
	f(with("request 17"), event.SourceID("given", "request 17"), false)
	tap := event.TapID("laptop-7", 5, 1)
	f(with(tap), event.SourceID("given", tap), true)                                                                      // not its to give
	f(strings.Replace(with(tap), "{", `{"mcpsiem.tap.id":"laptop-7","mcpsiem.tap.epoch":5,"mcpsiem.tap.sequence":2,`, 1), // another sequence
		event.SourceID("given", tap), true)
	f(strings.Replace(with(tap), "{", `{"mcpsiem.tap.id":"laptop-7","mcpsiem.tap.epoch":5,"mcpsiem.tap.sequence":1,`, 1), tap, false)

	a, b := decodeLines(t, callLine, callLine), decodeLines(t, callLine, callLine)
	if a[0].ID == a[1].ID {
		t.Error("two places in a file have one id")
	}
	if a[0].ID != b[0].ID || a[1].ID != b[1].ID {
		t.Error("ids change from one reading to the next")
	}
}

func TestJSONForm(t *testing.T) {
	f := func(line string, check func(e event.Event) bool) {
		t.Helper()
		es := decodeLines(t, line)
		if len(es) == 0 || !check(es[0]) {
			t.Errorf("%s:\n%+v", line, es)
		}
	}
	const msg = `"message":{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}`
	const at = `"time":"2026-11-01T11:00:00Z",`
	f(`{`+at+`"message":"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"}`, func(e event.Event) bool {
		return e.Method == "ping" && e.Body == `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	})
	f(`{`+at+`"gateway.node":"n1","attributes":{"zone":"a"},"nested":{"a":[1]},`+msg+`}`, func(e event.Event) bool {
		return e.Extra["gateway.node"] == "n1" && e.Extra["zone"] == "a" && e.Extra["nested"] == `{"a":"[1]"}` && e.Tool == "read"
	})
	f(`{`+at+`"mcpsiem.body.size":12,"mcpsiem.auth.scopes":["a","b"],"mcpsiem.labels":{"x":"y"},"server.port":"8080",`+msg+`}`, func(e event.Event) bool {
		return e.BodySize == 12 && len(e.AuthScopes) == 2 && e.Labels["x"] == "y" && e.ServerPort == 8080
	})
	f(`{`+at+`"mcp.session.id":"abc",`+msg+`}`, func(e event.Event) bool { return e.SessionID == mcp.Hash("session", "abc") })
	f(`{`+at+`"mcp.method.name":"tools/list","mcpsiem.message.kind":"notification",`+msg+`}`, func(e event.Event) bool {
		return e.Method == "tools/call" && e.Kind == event.KindRequest && e.Anomalies[0] == anomalyEnvelope
	})
	f(`{`+at+`"mcpsiem.signals":{"injection":0},"mcpsiem.stream.sequence":4,`+msg+`}`, func(e event.Event) bool { return e.Signals == nil && e.StreamSeq == 0 })
	f(`{"time":"9999-01-01T00:00:00Z",`+msg+`}`, func(e event.Event) bool { return e.Time == testNow.UnixNano() && e.Tool == "read" })
	f(`{"time":"2027-01-01T00:00:00Z",`+msg+`}`, func(e event.Event) bool { return e.Time == testNow.UnixNano() && e.Anomalies[0] == anomalyFuture })
	f(`{"time":1790000000,`+msg+`}`, func(e event.Event) bool { return e.ClockSource == "receiver" && e.Anomalies[0] == anomalyJSON })
	f(`{`+at+`"message":"started"}`, func(e event.Event) bool { return e.Kind == event.KindInvalid && e.Body == "started" })
	f(`{`+at+`"message":{"a":1}`, func(e event.Event) bool { return e.Kind == event.KindInvalid && e.Anomalies[0] == anomalyJSON })
	f(`{`+at+`"message":null,"mcp.method.name":"tools/call","gen_ai.tool.name":"read","mcpsiem.duration":1000,"error.type":"tool_error"}`, func(e event.Event) bool {
		return e.Kind == event.KindRequest && e.Tool == "read" && e.Capture == event.CaptureAbsent
	})
	f("\ufeff"+`{`+at+msg+`}`, func(e event.Event) bool { return e.Tool == "read" })
}

func TestJSONBatch(t *testing.T) {
	es := decodeLines(t, `{"time":"2026-11-01T11:00:00Z","message":[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/list"},7]}`)
	if len(es) != 3 || es[0].BatchID != es[0].ID || es[1].BatchID != es[0].ID || es[1].BatchIndex != 1 || es[1].Method != "tools/list" ||
		es[2].Kind != event.KindInvalid || es[1].ID == es[0].ID {
		t.Errorf("%+v", es)
	}
}

func TestJSONMapBody(t *testing.T) {
	d, sink := newTest(t, nil)
	ld := plog.NewLogs()
	m := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetEmptyMap()
	m.PutStr("time", "2026-11-01T11:00:00Z")
	m.PutStr("message", `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if err := d.ConsumeLogs(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	if e := events(sink.AllLogs()...)[0]; e.Kind != event.KindNotification || e.Direction != event.ClientToServer || e.SourceKind != "json" {
		t.Errorf("%+v", e)
	}
}

func TestLongMessagesAreCut(t *testing.T) {
	d, sink := newTest(t, func(c *Config) { c.MaxMessageBytes = 2000 })
	line := strings.Replace(callLine, "/x", strings.Repeat("ä", 3000), 1)
	if err := d.ConsumeLogs(context.Background(), jsonLines(line)); err != nil {
		t.Fatal(err)
	}
	if e := events(sink.AllLogs()...)[0]; len(e.Body) > 2000 || e.Capture != event.CaptureTruncated || e.BodySize < 6000 || e.Tool != "read" {
		t.Errorf("%+v", e)
	}
}
