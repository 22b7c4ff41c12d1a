package decode

import (
	"context"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// sound checks what must hold of every event, whatever came in.
func sound(t *testing.T, batches []plog.Logs) {
	t.Helper()
	for _, e := range events(batches...) {
		switch {
		case !isID(e.ID):
			t.Fatalf("id %q", e.ID)
		case e.Name == "" || e.Kind == "":
			t.Fatalf("event without name or kind: %+v", e)
		case e.Time <= 0 || e.Time > testNow.Add(maxAhead).UnixNano():
			t.Fatalf("time %d", e.Time)
		case e.Received == 0:
			t.Fatal("not received")
		case e.Signals != nil || e.StreamSeq != 0 || e.SourceCredential != "":
			t.Fatal("an attribute that no source may set")
		case len(e.Extra) > maxExtra && e.SourceKind != kindTap:
			t.Fatalf("%d unknown attributes", len(e.Extra))
		}
	}
}

// fuzzLogs feeds each format through protobuf, as OTLP does, so that every shape of value can come.
func fuzzLogs(f *testing.F, seeds ...plog.Logs) {
	for _, ld := range seeds {
		b, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		req := plogotlp.NewExportRequest()
		if req.UnmarshalProto(b) != nil {
			return
		}
		d, sink := newTest(t, nil)
		n := req.Logs().LogRecordCount()
		if err := d.ConsumeLogs(context.Background(), req.Logs()); err != nil {
			t.Fatal(err)
		}
		sound(t, sink.AllLogs())
		made := 0
		for _, ld := range sink.AllLogs() {
			made += ld.LogRecordCount()
		}
		if n == 0 && made != 0 {
			t.Fatal("events out of nothing")
		}
	})
}

func goldenLogs(f *testing.F, name string) plog.Logs {
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		f.Fatal(err)
	}
	ld, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(b)
	if err != nil {
		f.Fatal(err)
	}
	return ld
}

func FuzzTap(f *testing.F)     { fuzzLogs(f, tapBatch(2), goldenLogs(f, "tap.logs.json")) }
func FuzzOTelLog(f *testing.F) { fuzzLogs(f, goldenLogs(f, "logs.logs.json")) }

func FuzzJSON(f *testing.F) {
	b, err := os.ReadFile("testdata/gateway.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for l := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
		f.Add(l)
	}
	f.Add(`{"time":"2026-11-01T11:00:00Z","message":[{"jsonrpc":"2.0","id":1,"method":"ping"},[],{}]}`)
	f.Add(`{"time":"2026-11-01T11:00:00Z","message":null,"mcp.method.name":"tools/call","gen_ai.tool.name":"a","gen_ai.tool.call.arguments":{"a":1e999}}`)
	f.Add(`{"time":"","message":"[","attributes":{"mcpsiem.tap.id":"x"},"trace_id":"zz","mcpsiem.event.id":""}`)
	f.Fuzz(func(t *testing.T, line string) {
		d, sink := newTest(t, nil)
		if err := d.ConsumeLogs(context.Background(), jsonLines(line)); err != nil {
			t.Fatal(err)
		}
		sound(t, sink.AllLogs())
		if len(sink.AllLogs()) == 0 {
			t.Fatal("a line is lost")
		}
	})
}

func FuzzSpan(f *testing.F) {
	b, err := os.ReadFile("testdata/spans.traces.json")
	if err != nil {
		f.Fatal(err)
	}
	td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(b)
	if err != nil {
		f.Fatal(err)
	}
	seed, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		req := ptraceotlp.NewExportRequest()
		if req.UnmarshalProto(b) != nil {
			return
		}
		d, sink := newTest(t, nil)
		if err := d.ConsumeTraces(context.Background(), req.Traces()); err != nil {
			t.Fatal(err)
		}
		sound(t, sink.AllLogs())
		for _, e := range events(sink.AllLogs()...) {
			if e.Body == "" || !utf8.ValidString(e.Body) {
				t.Fatalf("body of a span's event: %q", e.Body)
			}
			if e.Kind == event.KindRequest && e.ExchangeID != e.ID {
				t.Fatal("a request outside its exchange")
			}
		}
	})
}
