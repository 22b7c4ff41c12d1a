package tap

import (
	"bytes"
	"log/slog"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// newLoneDecoder is a decode goroutine's state without goroutines.
func newLoneDecoder(t testing.TB) *decoder {
	cfg, err := Config{TapID: "t", Endpoint: "http://127.0.0.1:1", Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := &Recorder{cfg: cfg, epoch: 1, q: newQueue(cfg.QueueBytes), log: &quietLog{out: cfg.Logger}}
	return newDecoder(r, &ledger{wake: func() {}})
}

// FuzzStreamFrame feeds a stream the lines of its input, by turns from either side, over stdio and over HTTP.
func FuzzStreamFrame(f *testing.F) {
	add := func(lines ...string) {
		f.Add([]byte(lines[0]+"\n"+lines[1]), false)
		f.Add([]byte(lines[0]+"\n"+lines[1]), true)
	}
	add(req("1", "tools/call", `{"name":"x","arguments":{},"requestState":"s",`+modernMeta+`}`), res("1", `{"resultType":"input_required","requestState":"s"}`))
	add(req("1", "tools/call", `{"task":{}}`), res("1", `{"task":{"taskId":"T","status":"completed"}}`))
	add(note("notifications/cancelled", `{"requestId":1}`), "["+res("1", "{}")+","+rpcErr("2", "-1")+"]")
	add("[]", `{"id":1}{"method":"\xff"}`)
	f.Fuzz(func(t *testing.T, in []byte, http bool) {
		d := newLoneDecoder(t)
		info := StreamInfo{Transport: event.TransportStdio}
		if http {
			info.Transport = event.TransportHTTP
		}
		s := &stream{r: d.r, n: 1, info: info}
		n := 0
		for line := range bytes.SplitSeq(in, []byte("\n")) {
			fr := Frame{Direction: cs, Data: bytes.Clone(line), At: at0.Add(time.Duration(n))}
			if n%2 == 1 {
				fr.Direction = sc
			}
			if http {
				h := &HTTP{Exchange: uint64(n / 2), Status: 200 * (n % 2), SSEEventID: string(line[:min(len(line), 2)]), Resumed: n%3 == 0,
					Headers: map[string]string{headerMethod: "tools/call", headerParamPrefix + "a": "b"}, Version: "2026-07-28"}
				fr.HTTP = h
			}
			fr.Truncated = n%5 == 4
			d.handle(&item{op: opFrame, s: s, f: fr})
			if n++; n > 64 {
				break
			}
		}
		d.handle(&item{op: opClose, s: s, exit: &Exit{Code: 1}, at: at0})
		if len(d.calls.byKey) != 0 || d.calls.open.Len()+d.calls.standing.Len()+d.calls.late.Len() != 0 || len(d.calls.byToken) != 0 {
			t.Fatal("a closed stream left calls behind")
		}
		raw, err := d.marshal.MarshalLogs(d.logs)
		if err != nil {
			t.Fatal(err)
		}
		back, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(raw)
		if err != nil {
			t.Fatal(err)
		}
		var seq int64
		var e event.Event
		for _, lr := range back.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			event.Decode(back.ResourceLogs().At(0).Resource(), lr, &e)
			if seq++; e.TapSeq != seq {
				t.Fatalf("number %d where %d is due", e.TapSeq, seq)
			}
			for _, s := range []string{e.Method, e.Tool, e.Prompt, e.ResourceURI, e.RequestID, e.ClientName, e.ErrorType, e.ProtocolVersion} {
				if !utf8.ValidString(s) || len(s) > maxURI {
					t.Fatalf("attribute %q", s)
				}
			}
			if e.Kind == event.KindResponse && e.Name == event.NameResponse && e.Outcome == "" && e.TaskID == "" {
				t.Fatal("a response without an outcome")
			}
			if slices.Contains(e.Anomalies, "") {
				t.Fatal("an anomaly without a name")
			}
		}
	})
}
