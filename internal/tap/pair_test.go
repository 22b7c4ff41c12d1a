package tap

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// script drives one stream, a millisecond a step.
type script struct {
	t  *testing.T
	s  *sink
	r  *Recorder
	st Stream
	at time.Time
}

func newScript(t *testing.T, transport string) *script {
	s := newSink(t)
	r := mustNew(t, testConfig(s))
	info := StreamInfo{Server: "srv", Transport: transport}
	if transport != event.TransportStdio {
		info.Upstream = "10.0.0.9:8080"
	}
	return &script{t: t, s: s, r: r, st: r.Open(info), at: at0}
}

func (p *script) tick() time.Time { p.at = p.at.Add(time.Millisecond); return p.at }

// c and s send a message of client and server; with h, over HTTP.
func (p *script) c(data string, h ...*HTTP) *script  { return p.frame(cs, data, h) }
func (p *script) sv(data string, h ...*HTTP) *script { return p.frame(sc, data, h) }

func (p *script) frame(dir, data string, h []*HTTP) *script {
	f := Frame{Direction: dir, Data: []byte(data), At: p.tick(), Size: int64(len(data)), SHA256: sha256.Sum256([]byte(data))}
	if len(h) > 0 {
		f.HTTP = h[0]
	}
	p.st.Frame(f)
	return p
}

// end closes the stream and returns its events.
func (p *script) end(exit *Exit) []event.Event {
	p.t.Helper()
	p.at = p.tick()
	p.st.Close(exit)
	mustShutdown(p.t, p.r)
	ev := p.s.all()
	conserve(p.t, ev, series{"t1", p.r.Epoch()})
	return ev[1 : len(ev)-1] // without the tap's start and stop
}

// line renders what pairing decides.
func line(e event.Event) string {
	s := strings.TrimPrefix(strings.TrimPrefix(e.Name, "mcp."), "mcpsiem.")
	for _, x := range []string{e.Method, e.Outcome, e.ErrorType, strings.Join(e.Anomalies, "+")} {
		if x != "" {
			s += " " + x
		}
	}
	return s
}

func (p *script) want(exit *Exit, want ...string) []event.Event {
	p.t.Helper()
	ev := p.end(exit)
	var got []string
	for _, e := range ev {
		got = append(got, line(e))
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	return ev
}

func req(id, method, params string) string {
	if params != "" {
		params = `,"params":` + params
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q%s}`, id, method, params)
}

func note(method, params string) string {
	if params != "" {
		params = `,"params":` + params
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q%s}`, method, params)
}

func res(id, result string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
}
func rpcErr(id, code string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%s,"message":"m"}}`, id, code)
}

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"mc","version":"9"}}`

func (p *script) handshake(version string, h ...*HTTP) *script {
	p.c(req("0", "initialize", `{"protocolVersion":"`+version+`","clientInfo":{"name":"c","version":"1"}}`), h...)
	p.sv(res("0", `{"protocolVersion":"`+version+`","serverInfo":{"name":"s","version":"2"}}`), h...)
	return p
}

const (
	hsReq = "request initialize"
	hsRes = "response initialize ok"
)

// Of a call that was open while something was lost nobody can say that it had no answer.
func TestLossLeavesOutcomesOpen(t *testing.T) {
	p := newScript(t, event.TransportStdio)
	p.c(req("1", "ping", "")).sv(res("1", "{}")).c(req("2", "tools/list", "")).c(req("3", "ping", ""))
	p.st.Lost(sc, 1)
	p.c(note("notifications/cancelled", `{"requestId":3}`)).c(req("4", "ping", ""))
	p.at = p.tick()
	p.st.Close(nil)
	mustShutdown(t, p.r)
	var got []string
	for _, e := range p.s.all() {
		if e.Kind == event.KindResponse {
			got = append(got, e.RequestID+" "+line(e))
		}
	}
	want := []string{"1 response ping ok", "3 response ping cancelled", "2 response tools/list not_captured", "4 response ping cancelled stream_closed"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPairingStdio(t *testing.T) {
	f := func(version string, run func(p *script), want ...string) {
		t.Helper()
		p := newScript(t, event.TransportStdio)
		if version != "" {
			p.handshake(version)
			want = append([]string{hsReq, hsRes}, want...)
		}
		run(p)
		p.want(nil, want...)
	}
	for _, v := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"} {
		// Ids are typed, and each side has its own.
		f(v, func(p *script) {
			p.c(req("1", "ping", "")).c(req(`"1"`, "tools/list", "")).sv(req("1", "roots/list", "")).
				sv(res(`"1"`, "{}")).sv(res("1", "{}")).c(res("1", "{}"))
		}, "request ping", "request tools/list", "request roots/list", "response tools/list ok", "response ping ok", "response roots/list ok")
		// Legacy ids are used once in a session.
		f(v, func(p *script) {
			p.c(req("1", "ping", "")).sv(res("1", "{}")).c(req("1", "ping", "")).sv(res("1", "{}"))
		},
			"request ping", "response ping ok", "request ping id_reuse", "response ping ok")
		// Cancelled, then answered all the same.
		f(v, func(p *script) {
			p.c(req("1", "tools/call", `{"name":"x"}`)).c(note("notifications/cancelled", `{"requestId":1}`)).sv(res("1", "{}"))
		}, "request tools/call", "notification notifications/cancelled", "response tools/call cancelled", "response tools/call late")
		// The server may cancel its own requests, but not the client's.
		f(v, func(p *script) {
			p.sv(req("1", "sampling/createMessage", "{}")).sv(note("notifications/cancelled", `{"requestId":1}`)).
				c(req("2", "ping", "")).sv(note("notifications/cancelled", `{"requestId":2}`)).sv(res("2", "{}"))
		}, "request sampling/createMessage", "notification notifications/cancelled", "response sampling/createMessage cancelled",
			"request ping", "notification notifications/cancelled cancel_unknown", "response ping ok")
		// A cancellation that crossed the answer is no anomaly.
		f(v, func(p *script) {
			p.c(req("1", "ping", "")).sv(res("1", "{}")).c(note("notifications/cancelled", `{"requestId":1}`))
		}, "request ping", "response ping ok", "notification notifications/cancelled")
		f(v, func(p *script) { p.sv(res("7", "{}")).sv(rpcErr("8", "-32601")) }, "response orphan", "response orphan -32601")
		f(v, func(p *script) { p.c(req("1", "ping", "")).sv(res("1", "{}")).sv(res("1", "{}")) },
			"request ping", "response ping ok", "response orphan duplicate_response")
		f(v, func(p *script) { p.c(req("1", "vendor/x", "")).sv(rpcErr("1", "-32601")) }, "request vendor/x", "response vendor/x rpc_error -32601")
		f(v, func(p *script) { p.c(req("1", "ping", "")) }, "request ping", "response ping cancelled stream_closed")
	}
	f("", func(p *script) {
		p.c(req("0", "initialize", "{}")).c(note("notifications/cancelled", `{"requestId":0}`)).sv(res("0", `{"protocolVersion":"2025-11-25"}`))
	}, hsReq, "notification notifications/cancelled cancel_initialize", hsRes)

	// Batches belong to 2025-03-26, are tolerated before and forbidden after.
	batch := func(p *script) {
		p.c("[" + req("1", "ping", "") + "," + note("notifications/x", "") + "," + req("2", "tools/list", "") + "]").sv("[" + res("2", "{}") + "," + res("1", "{}") + "]")
	}
	f("2025-03-26", batch, "request ping", "notification notifications/x", "request tools/list", "response tools/list ok", "response ping ok")
	f("2025-06-18", batch, "request ping batch_forbidden", "notification notifications/x batch_forbidden", "request tools/list batch_forbidden",
		"response tools/list ok batch_forbidden", "response ping ok batch_forbidden")

	// Modern: an id may be used again once its request is answered, not before.
	m := `{` + modernMeta + `}`
	f("", func(p *script) {
		p.c(req("1", "tools/list", m)).sv(res("1", `{"resultType":"complete"}`)).c(req("1", "tools/list", m)).sv(res("1", `{"resultType":"complete"}`))
	}, "request tools/list", "response tools/list ok", "request tools/list", "response tools/list ok")
	f("", func(p *script) {
		p.c(req("1", "tools/list", m)).c(req("1", "tools/call", m)).sv(res("1", "{}")).sv(res("1", "{}"))
	}, "request tools/list", "request tools/call id_reuse", "response tools/list ok", "response tools/call ok")
	// A probe that a legacy server does not know, then the handshake.
	f("", func(p *script) { p.c(req("0", "server/discover", m)).sv(rpcErr("0", "-32601")).handshake("2025-11-25") },
		"request server/discover", "response server/discover rpc_error -32601", hsReq+" id_reuse", hsRes)
	// The server ends a subscription by cancelling it.
	f("", func(p *script) {
		p.c(req("5", "subscriptions/listen", m)).
			sv(note("notifications/subscriptions/acknowledged", `{"_meta":{"io.modelcontextprotocol/subscriptionId":5}}`)).
			sv(note("notifications/cancelled", `{"requestId":5}`))
	}, "request subscriptions/listen", "notification notifications/subscriptions/acknowledged", "notification notifications/cancelled", "response subscriptions/listen cancelled")
}

func TestServerExit(t *testing.T) {
	p := newScript(t, event.TransportStdio)
	p.c(req("1", "ping", ""))
	ev := p.want(&Exit{Code: -9}, "request ping", "response ping transport_error server_exit", "server.exit")
	if ev[2].ExitCode != -9 || ev[1].Capture != "absent" || ev[1].ExchangeID != ev[0].ID || ev[1].DurationNanos <= 0 || ev[1].Direction != sc {
		t.Errorf("%+v", ev[1:])
	}
	for exit, response := range map[Exit]string{
		{}:                          "response ping transport_error server_exit", // in good order, but it owed an answer
		{ClientLeft: true}:          "response ping cancelled stream_closed",     // which nobody waits for here
		{Code: 1, ClientLeft: true}: "response ping transport_error server_exit",
	} {
		newScript(t, event.TransportStdio).c(req("1", "ping", "")).want(&exit, "request ping", response, "server.exit")
	}
}

func TestEraAndVersionForEachMessage(t *testing.T) {
	p := newScript(t, event.TransportStdio)
	p.handshake("2025-11-25").
		c(req("1", "tools/list", "")).sv(res("1", "{}")).
		c(req("2", "tools/call", `{"name":"x",`+modernMeta+`}`)).
		sv(res("2", `{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"ms","version":"8"}}}`)).
		c(req("3", "tools/list", ""))
	ev := p.end(nil)
	var got []string
	for _, e := range ev[2:7] {
		got = append(got, strings.Join([]string{e.Era, e.ProtocolVersion, e.ClientName, e.ServerClaimedName}, " "))
	}
	want := []string{"legacy 2025-11-25 c s", "legacy 2025-11-25 c s", "modern 2026-07-28 mc s", "modern 2026-07-28 mc ms", "legacy 2025-11-25 mc ms"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestRounds(t *testing.T) {
	call := func(id, more string) string {
		return req(id, "tools/call", `{"name":"pay","arguments":{"n":1},`+more+modernMeta+`}`)
	}
	p := newScript(t, event.TransportStdio)
	p.c(call("1", "")).sv(res("1", `{"resultType":"input_required","requestState":"secret-1","inputRequests":{}}`)).
		c(call("2", `"inputResponses":{"a":{}},"requestState":"secret-1",`)).sv(res("2", `{"resultType":"input_required","inputRequests":{}}`)).
		c(call("3", `"inputResponses":{"a":{}},`)).sv(res("3", `{"resultType":"complete"}`)).
		c(call("4", `"requestState":"forged",`)).sv(res("4", `{}`)).
		c(req("5", "tools/list", `{`+modernMeta+`}`)).sv(res("5", `{"resultType":"input_required"}`))
	ev := p.want(nil, "request tools/call", "response tools/call input_required", "request tools/call", "response tools/call input_required",
		"request tools/call", "response tools/call ok", "request tools/call unknown_request_state", "response tools/call ok",
		"request tools/list", "response tools/list input_required input_required_method")
	first := ev[0].ExchangeID
	for i, round := range []int64{0, 1, 2, 2, 3, 3} {
		if ev[i].Round != round || i > 0 && ev[i].CallID != first {
			t.Errorf("event %d: round %d call %s, want %d %s", i, ev[i].Round, ev[i].CallID, round, first)
		}
	}
}

func TestTasks(t *testing.T) {
	legacy := func(run func(p *script), want ...string) []event.Event {
		t.Helper()
		p := newScript(t, event.TransportStdio)
		p.handshake("2025-11-25").c(req("1", "tools/call", `{"name":"slow","task":{"ttl":1}}`)).
			sv(res("1", `{"task":{"taskId":"T","status":"working","createdAt":"x","lastUpdatedAt":"x","ttl":1}}`))
		run(p)
		return p.want(nil, append([]string{hsReq, hsRes, "request tools/call", "response tools/call"}, want...)...)
	}
	ev := legacy(func(p *script) {
		p.c(req("2", "tasks/get", `{"taskId":"T"}`)).sv(res("2", `{"taskId":"T","status":"working"}`)).
			c(req("3", "tasks/result", `{"taskId":"T"}`)).sv(res("3", `{"content":[],"isError":true,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"T"}}}`))
	}, "request tasks/get", "response tasks/get ok", "request tasks/result", "response tasks/result tool_error tool_error", "response tools/call tool_error tool_error")
	last, call := ev[len(ev)-1], ev[2]
	if last.ExchangeID != call.ID || last.Tool != "slow" || last.TaskID != mcp.Hash("task", "T") || last.DurationNanos < int64(4*time.Millisecond) {
		t.Errorf("%+v", last.Fields)
	}
	for _, e := range ev[4:8] { // what is about the task names its call
		if e.CallID != call.ID || e.Tool != "slow" || e.TaskID != last.TaskID {
			t.Errorf("%s: call %s tool %q task %s", line(e), e.CallID, e.Tool, e.TaskID)
		}
	}
	legacy(func(p *script) { p.sv(note("notifications/tasks/status", `{"taskId":"T","status":"failed"}`)) },
		"notification notifications/tasks/status", "response tools/call tool_error tool_error")
	legacy(func(p *script) {
		p.c(req("2", "tasks/cancel", `{"taskId":"T"}`)).sv(res("2", `{"taskId":"T","status":"cancelled"}`))
	},
		"request tasks/cancel", "response tasks/cancel ok", "response tools/call cancelled")
	legacy(func(p *script) {}, "response tools/call cancelled stream_closed")

	modern := func(run func(p *script), want ...string) {
		t.Helper()
		p := newScript(t, event.TransportStdio)
		p.c(req("1", "tools/call", `{"name":"slow",`+modernMeta+`}`)).sv(res("1", `{"resultType":"task","taskId":"T","status":"working","ttlMs":1}`))
		run(p)
		p.want(nil, append([]string{"request tools/call", "response tools/call"}, want...)...)
	}
	get := req("2", "tasks/get", `{"taskId":"T",`+modernMeta+`}`)
	modern(func(p *script) {
		p.c(get).sv(res("2", `{"resultType":"complete","taskId":"T","status":"completed","result":{"content":[]}}`))
	},
		"request tasks/get", "response tasks/get ok", "response tools/call ok")
	modern(func(p *script) {
		p.c(get).sv(res("2", `{"resultType":"complete","taskId":"T","status":"completed","result":{"isError":true}}`))
	},
		"request tasks/get", "response tasks/get ok", "response tools/call tool_error tool_error")
	modern(func(p *script) {
		p.c(get).sv(res("2", `{"resultType":"complete","taskId":"T","status":"failed","error":{"code":-32603,"message":"x"}}`))
	},
		"request tasks/get", "response tasks/get ok", "response tools/call rpc_error -32603")
	modern(func(p *script) { p.sv(note("notifications/tasks", `{"taskId":"T","status":"completed","result":{}}`)) },
		"notification notifications/tasks", "response tools/call ok")
}

func TestProgressNamesItsCall(t *testing.T) {
	p := newScript(t, event.TransportStdio)
	p.c(req("1", "tools/call", `{"name":"x","_meta":{"progressToken":"p"}}`)).
		sv(note("notifications/progress", `{"progressToken":"p","progress":1}`)).sv(note("notifications/progress", `{"progressToken":"q","progress":1}`)).
		sv(res("1", "{}")).sv(note("notifications/progress", `{"progressToken":"p","progress":2}`))
	ev := p.end(nil)
	if ev[1].CallID != ev[0].ID || ev[1].Tool != "x" || ev[2].CallID != "" || ev[4].CallID != "" {
		t.Errorf("%q %q %q", ev[1].CallID, ev[2].CallID, ev[4].CallID)
	}
}

// httpx makes the HTTP of exchange n.
func httpx(n uint64, session, version string) *HTTP {
	return &HTTP{Exchange: n, Verb: "POST", Protocol: "1.1", SessionID: session, Version: version, ClientAddr: "192.0.2.7", Authorization: "Bearer tok",
		URL: "http://10.0.0.9:8080/mcp?k=v", Headers: map[string]string{"host": "h"}}
}

func status(h *HTTP, code int) *HTTP { c := *h; c.Status = code; return &c }

func TestPairingHTTPLegacySession(t *testing.T) {
	p := newScript(t, event.TransportHTTP)
	p.c(req("0", "initialize", `{"clientInfo":{"name":"c","version":"1"}}`), httpx(1, "", "")).
		sv(res("0", `{"protocolVersion":"2025-11-25","serverInfo":{"name":"s","version":"2"}}`), status(httpx(1, "S", ""), 200)).
		c(req("1", "tools/call", `{"name":"x"}`), httpx(2, "S", "2025-11-25")).
		sv(req("1", "elicitation/create", "{}"), status(httpx(2, "", ""), 200)). // on the POST's stream, whose frames need not repeat the session
		c(res("1", `{"action":"accept"}`), httpx(3, "S", "2025-11-25"))
	p.st.ClientGone(2, p.tick()) // legacy: no cancellation
	get := httpx(4, "S", "2025-11-25")
	get.Verb, get.Resumed, get.SSEEventID = "GET", true, "e1"
	p.sv(res("1", "{}"), status(get, 200)).sv(res("1", "{}"), status(get, 200)) // the answer comes on a resumed stream, and once more
	ev := p.want(nil, hsReq, hsRes, "request tools/call", "request elicitation/create", "response elicitation/create ok", "response tools/call ok")
	if d := p.r.Stats().Duplicates; d != 1 {
		t.Errorf("%d duplicates", d)
	}
	for _, e := range ev[1:] {
		if e.SessionID != mcp.Hash("session", "S") || e.ConversationInferred || e.ConversationID == "" || e.ProtocolVersion != "2025-11-25" || e.RawAuthorization != "Bearer tok" ||
			e.ClientName != "c" || e.ServerClaimedName != "s" || e.ServerAddress != "10.0.0.9" || e.ServerPort != 8080 || e.NetworkTransport != "tcp" {
			t.Errorf("%s: %+v", line(e), e.Fields)
		}
	}
}

func TestResumedStreamCannotHideAMessage(t *testing.T) {
	p := newScript(t, event.TransportHTTP)
	h := httpx(1, "S", "2025-11-25")
	h.SSEEventID = "e1"
	resumed := httpx(2, "S", "2025-11-25")
	resumed.SSEEventID, resumed.Resumed = "e1", true
	p.sv(note("notifications/message", `{"data":"one"}`), h).sv(note("notifications/message", `{"data":"one"}`), resumed).
		sv(note("notifications/message", `{"data":"two"}`), resumed)
	p.want(nil, "notification notifications/message", "notification notifications/message")
}

func TestPairingHTTPWithoutSessions(t *testing.T) {
	modern := func(n uint64, method, name string) *HTTP {
		h := httpx(n, "", "2026-07-28")
		h.Headers = map[string]string{"mcp-method": method}
		if name != "" {
			h.Headers["mcp-name"] = name
		}
		return h
	}
	p := newScript(t, event.TransportHTTP)
	call := req("1", "tools/call", `{"name":"x",`+modernMeta+`}`)
	// Two clients with the same id at once: the exchange tells them apart.
	p.c(call, modern(1, "tools/call", "x")).c(req("1", "tools/list", `{`+modernMeta+`}`), modern(2, "tools/list", "")).
		sv(res("1", `{"resultType":"complete","tools":[]}`), status(modern(2, "", ""), 200)).
		sv(res("1", `{"resultType":"complete"}`), status(modern(1, "", ""), 200)).
		c(call, modern(3, "tools/call", "x"))
	p.st.ClientGone(3, p.tick())
	p.sv(res("1", `{}`), status(modern(3, "", ""), 200)).
		c(call, modern(4, "tools/call", "x")).
		sv(`{"jsonrpc":"2.0","error":{"code":-32020,"message":"m"}}`, status(modern(4, "", ""), 400))
	ev := p.want(nil, "request tools/call", "request tools/list", "response tools/list ok", "response tools/call ok",
		"request tools/call", "response tools/call cancelled client_closed", "response tools/call late",
		"request tools/call", "response tools/call rpc_error -32020")
	for _, e := range ev {
		if !e.ConversationInferred || e.ConversationID != ev[0].ConversationID || e.SessionID != "" || e.Era != "modern" {
			t.Errorf("%s: %+v", line(e), e.Fields)
		}
	}
}

func TestHeadersAgainstBody(t *testing.T) {
	f := func(h map[string]string, version, body string, want ...string) {
		t.Helper()
		p := newScript(t, event.TransportHTTP)
		list := httpx(1, "", "2026-07-28")
		list.Headers = map[string]string{"mcp-method": "tools/list"}
		p.c(req("1", "tools/list", `{`+modernMeta+`}`), list).
			sv(res("1", `{"tools":[{"name":"q","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}}}}}]}`), status(list, 200))
		x := httpx(2, "", version)
		x.Headers = h
		p.c(body, x).sv(res("2", "{}"), status(x, 200))
		ev := p.end(nil)
		if got := ev[2].Anomalies; !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", h, got, want)
		}
		if accepted := slices.Contains(ev[3].Anomalies, "header_mismatch_accepted"); accepted != (len(want) > 0) {
			t.Errorf("accepted %v", accepted)
		}
	}
	call := func(tool, args string) string {
		return req("2", "tools/call", `{"name":"`+tool+`","arguments":`+args+`,`+modernMeta+`}`)
	}
	h := func(kv ...string) map[string]string {
		m := map[string]string{"mcp-method": "tools/call", "mcp-name": "q"}
		for i := 0; i < len(kv); i += 2 {
			if m[kv[i]] = kv[i+1]; kv[i+1] == "-" {
				delete(m, kv[i])
			}
		}
		return m
	}
	const v = "2026-07-28"
	f(h(), v, call("q", "{}"))
	f(h("mcp-name", "=?base64?cQ==?="), v, call("q", "{}"))
	f(h("mcp-name", "=?BASE64?cQ==?="), v, call("q", "{}"), "header_mismatch")
	f(h("mcp-name", "other"), v, call("q", "{}"), "header_mismatch")
	f(h("mcp-name", "-"), v, call("q", "{}"), "header_missing")
	f(h("mcp-method", "tools/list"), v, call("q", "{}"), "header_mismatch")
	f(h("mcp-method", "-"), v, call("q", "{}"), "header_missing")
	f(h(), "", call("q", "{}"), "header_missing")
	f(h(), "2025-11-25", call("q", "{}"), "header_mismatch")
	f(h("mcp-param-region", "eu"), v, call("q", `{"region":"eu"}`))
	f(h("mcp-param-region", "us"), v, call("q", `{"region":"eu"}`), "header_mismatch")
	f(h(), v, call("q", `{"region":"eu"}`), "header_missing")
	f(h(), v, call("q", `{"region":null}`))
	f(h("mcp-param-n", "042"), v, call("q", `{"deep":{"n":42}}`))
	f(h("mcp-param-n", "43"), v, call("q", `{"deep":{"n":42}}`), "header_mismatch")
	// A tool that was not seen listed: some argument must have the value.
	f(h("mcp-name", "z", "mcp-param-a", "b"), v, call("z", `{"x":{"y":"b"}}`))
	f(h("mcp-name", "z", "mcp-param-a", "c"), v, call("z", `{"x":{"y":"b"}}`), "header_mismatch")
}

func TestTransportErrors(t *testing.T) {
	p := newScript(t, event.TransportHTTP)
	fail := func(class string, h *HTTP, code int) {
		p.st.TransportError(class, Frame{Direction: sc, At: p.tick(), HTTP: status(h, code), Data: []byte("<html>secret"), Size: 12})
	}
	one, two, three := httpx(1, "S", "2025-06-18"), httpx(2, "S", "2025-06-18"), httpx(3, "", "2026-07-28")
	p.c(req("1", "ping", ""), one)
	fail("http_status", one, 502)
	p.c(req("2", "ping", ""), two)
	fail("reset", two, 0) // its answer may come on a resumed stream
	p.sv(res("2", "{}"), status(httpx(9, "S", "2025-06-18"), 200)).
		c(req("3", "tools/list", `{`+modernMeta+`}`), three)
	fail("client_closed", three, 0)
	fail("connection_refused", httpx(4, "", ""), 0)
	four := httpx(6, "S", "2025-06-18")
	p.c(req("4", "ping", ""), four)
	fail("reset", four, 0) // and here none does
	fail("http_status", httpx(5, "", ""), 401)
	ev := p.want(nil, "request ping", "transport.error ping transport_error http_status", "request ping", "transport.error ping reset", "response ping ok",
		"request tools/list header_missing", "transport.error tools/list cancelled client_closed", "transport.error connection_refused",
		"request ping", "transport.error ping reset", "transport.error http_status", "response ping transport_error reset")
	if e := ev[1]; e.ExchangeID != ev[0].ID || e.HTTPStatus != 502 || e.Kind != event.KindRecord || e.Body != "" || e.Capture != "absent" {
		t.Errorf("%+v", e)
	}
	if ev[10].AuthDecision != "unauthenticated" {
		t.Errorf("decision %q", ev[10].AuthDecision)
	}
}

func TestTimeouts(t *testing.T) {
	s := newSink(t)
	cfg := testConfig(s)
	cfg.RequestTimeout = 50 * time.Millisecond
	r := mustNew(t, cfg)
	st := r.Open(StreamInfo{Transport: event.TransportStdio})
	now := func(dir, data string) { st.Frame(Frame{Direction: dir, Data: []byte(data), At: time.Now()}) }
	now(cs, req("1", "ping", ""))
	now(cs, req("2", "subscriptions/listen", `{`+modernMeta+`}`))
	now(cs, req("3", "tasks/result", `{"taskId":"x"}`))
	eventually(t, "timeout", func() bool {
		return slices.ContainsFunc(s.all(), func(e event.Event) bool { return e.Outcome == event.OutcomeTimeout && e.Method == "ping" })
	})
	st.Close(nil)
	mustShutdown(t, r)
	for _, e := range s.all() {
		if e.Outcome == event.OutcomeTimeout && e.Method != "ping" {
			t.Errorf("timeout of %s", e.Method)
		}
	}
}

func TestPairingIsBounded(t *testing.T) {
	p := newScript(t, event.TransportStdio)
	for i := range maxOpenCalls + 10 {
		p.c(req(fmt.Sprint(i), "ping", ""))
	}
	for range 3 * maxSameID {
		p.c(req("-1", "ping", ""))
	}
	evicted := 0
	for _, e := range p.end(nil) {
		if e.ErrorType == "pairing_evicted" {
			evicted++
		}
	}
	if evicted < 10 || len(p.r.dec.calls.byKey) != 0 || p.r.dec.calls.open.Len() != 0 {
		t.Errorf("%d evicted, %d left", evicted, len(p.r.dec.calls.byKey))
	}
}

func TestTruncatedFramePairsByExchange(t *testing.T) {
	p := newScript(t, event.TransportHTTP)
	h := httpx(1, "S", "2025-06-18")
	p.c(req("1", "tools/call", `{"name":"x"}`), h)
	p.st.Frame(Frame{Direction: sc, Data: []byte(`{"result":{"content":[{"type":"text","text":"aaaa`), Size: 1 << 30, Truncated: true, At: p.tick(), HTTP: status(h, 200)})
	ev := p.want(nil, "request tools/call", "response tools/call ok truncated_message")
	if e := ev[1]; e.Capture != event.CaptureTruncated || e.BodySize != 1<<30 || e.ExchangeID != ev[0].ID {
		t.Errorf("%+v", e.Fields)
	}
}

func TestBoundedURI(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := boundedURI(in); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("file:///a/b", "file:///a/b")
	f("https://h/p?token=s3cret&x", "https://h/p?token=*&*")
	f("https://u:p@h/p?a=b#frag", "https://*@h/p?a=*#")
	f("", "")
	if got := boundedURI("x://" + strings.Repeat("é", 4000)); len(got) > maxURI || !strings.Contains(got, "~") {
		t.Errorf("%d bytes", len(got))
	}
}
