package decode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/event"
	ident "github.com/mcpsiem/mcpsiem/internal/identity"
	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testNow is when the tests receive.
var testNow = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func newTest(t testing.TB, change func(*Config)) (*decoder, *consumertest.LogsSink) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	if change != nil {
		change(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	sink := new(consumertest.LogsSink)
	d, err := newDecoder(cfg, componenttest.NewNopTelemetrySettings(), sink)
	if err != nil {
		t.Fatal(err)
	}
	d.now = func() time.Time { return testNow }
	if err := d.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d, sink
}

// events are the events in a batch, in order.
func events(batches ...plog.Logs) []event.Event {
	var out []event.Event
	for _, ld := range batches {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					var e event.Event
					event.Decode(rl.Resource(), lr, &e)
					out = append(out, e)
				}
			}
		}
	}
	return out
}

// jsonLines is a batch with a record for each line, as filelog makes it.
func jsonLines(lines ...string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	sl := rl.ScopeLogs().AppendEmpty()
	for i, l := range lines {
		lr := sl.LogRecords().AppendEmpty()
		lr.Body().SetStr(l)
		lr.Attributes().PutStr("log.file.path", "/var/log/gateway.jsonl")
		lr.Attributes().PutInt("log.file.record_offset", int64(i*100))
	}
	return ld
}

// TestGolden decodes testdata/*.{logs.json,traces.json,jsonl} and compares the events with *.golden.json.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*")
	n := 0
	for _, f := range files {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(f, ".logs.json"), ".traces.json"), ".jsonl")
		if base == f {
			continue
		}
		n++
		t.Run(filepath.Base(f), func(t *testing.T) {
			in, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			d, sink := newTest(t, nil)
			switch {
			case strings.HasSuffix(f, ".logs.json"):
				ld, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(in)
				if err != nil {
					t.Fatal(err)
				}
				err = d.ConsumeLogs(context.Background(), ld)
				if err != nil {
					t.Fatal(err)
				}
			case strings.HasSuffix(f, ".traces.json"):
				td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(in)
				if err != nil {
					t.Fatal(err)
				}
				if err := d.ConsumeTraces(context.Background(), td); err != nil {
					t.Fatal(err)
				}
			default:
				if err := d.ConsumeLogs(context.Background(), jsonLines(strings.Split(strings.TrimSpace(string(in)), "\n")...)); err != nil {
					t.Fatal(err)
				}
			}
			var got bytes.Buffer
			enc := json.NewEncoder(&got)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			for _, e := range events(sink.AllLogs()...) {
				line := struct { // ids as text
					event.Event
					TraceID, SpanID string
				}{e, e.TraceID.String(), e.SpanID.String()}
				if err := enc.Encode(line); err != nil {
					t.Fatal(err)
				}
			}
			golden := base + ".golden.json"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("events differ from %s; run with -update and look at the difference\n%s", golden, got.Bytes())
			}
		})
	}
	if n < 4 {
		t.Fatalf("%d golden inputs found", n)
	}
}

func TestErrorsReturnUnchanged(t *testing.T) {
	want := errors.New("full")
	d, _ := newTest(t, nil)
	d.next = consumertest.NewErr(want)
	if err := d.ConsumeLogs(context.Background(), jsonLines(callLine)); err != want {
		t.Errorf("logs: %v", err)
	}
	td := ptrace.NewTraces()
	sp := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	sp.Attributes().PutStr(event.AttrMethod, "tools/list")
	if err := d.ConsumeTraces(context.Background(), td); err != want {
		t.Errorf("traces: %v", err)
	}
}

// A batch that is sent again, because the next component refused it, makes the same events.
func TestRetryMakesTheSameEvents(t *testing.T) {
	d, sink := newTest(t, nil)
	lines := []string{callLine, answerLine}
	for range 2 {
		if err := d.ConsumeLogs(context.Background(), jsonLines(lines...)); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := json.Marshal(events(sink.AllLogs()[0]))
	b, _ := json.Marshal(events(sink.AllLogs()[1]))
	if !bytes.Equal(a, b) {
		t.Errorf("first\n%s\nthen\n%s", a, b)
	}
}

func TestFactory(t *testing.T) {
	f := NewFactory()
	if err := componenttest.CheckConfigStruct(f.CreateDefaultConfig()); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	set := connectortest.NewNopSettings(Type)
	l, err := f.CreateLogsToLogs(ctx, set, f.CreateDefaultConfig(), consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	tr, err := f.CreateTracesToLogs(ctx, set, f.CreateDefaultConfig(), consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if !l.Capabilities().MutatesData {
		t.Error("batches are changed in place, and it does not say so")
	}
	for _, c := range []interface {
		Shutdown(context.Context) error
	}{l, tr} {
		if err := c.Shutdown(ctx); err != nil { // without a start
			t.Error(err)
		}
	}
	var _ consumer.Logs = l
}

func TestConfig(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := createDefaultConfig().(*Config)
		change(c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(func(c *Config) { c.MaxMessageBytes = 1 }, "max_message_bytes")
	f(func(c *Config) { c.Pairing.Size = 0 }, "pairing::size")
	f(func(c *Config) { c.Unknown.Burst = -1 }, "unknown")
}

func TestSenderCredential(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	d, sink := newTest(t, func(c *Config) { c.KeyFile = key })
	ctx := client.NewContext(context.Background(), client.Info{Metadata: client.NewMetadata(map[string][]string{"authorization": {"Bearer sender-secret"}})})
	ld := tapBatch(1)
	ld.ResourceLogs().At(0).Resource().Attributes().PutStr(event.AttrSourceCredential, "forged on the resource")
	ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().PutStr(event.AttrSourceCredential, "forged")
	if err := d.ConsumeLogs(ctx, ld); err != nil {
		t.Fatal(err)
	}
	if got, want := events(sink.AllLogs()...)[0].SourceCredential, d.key.Fingerprint("sender-secret"); got != want {
		t.Errorf("credential %q, want %q", got, want)
	}
}

// The key is replaced while it is in use: within seconds the sender has its new fingerprint, and beside it that under the former key, which no sender can claim itself.
func TestSenderCredentialAfterRotation(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(key, strings.Repeat("ab", 32))
	d, sink := newTest(t, func(c *Config) { c.KeyFile = key })
	ctx := client.NewContext(context.Background(), client.Info{Metadata: client.NewMetadata(map[string][]string{"authorization": {"Bearer sender-secret"}})})
	send := func() (credential, former string) {
		t.Helper()
		sink.Reset()
		ld := tapBatch(1)
		ld.ResourceLogs().At(0).Resource().Attributes().PutStr(ident.SourceFormer, "forged on the resource")
		ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().PutStr(ident.SourceFormer, "forged")
		if err := d.ConsumeLogs(ctx, ld); err != nil {
			t.Fatal(err)
		}
		rl := sink.AllLogs()[0].ResourceLogs().At(0)
		if _, ok := rl.ScopeLogs().At(0).LogRecords().At(0).Attributes().Get(ident.SourceFormer); ok {
			t.Error("a forged fingerprint passes")
		}
		if v, ok := rl.Resource().Attributes().Get(ident.SourceFormer); ok {
			former = v.Str()
		}
		if v, ok := rl.Resource().Attributes().Get(event.AttrSourceCredential); ok {
			credential = v.Str()
		}
		return credential, former
	}
	first, none := send()
	if none != "" || first == "" {
		t.Errorf("credential %q, former %q", first, none)
	}
	write(key, "short") // is not taken
	time.Sleep(1500 * time.Millisecond)
	if c, _ := send(); c != first {
		t.Errorf("credential %q under a key that cannot be used", c)
	}
	write(key+keysource.FormerMark+"1", strings.Repeat("ab", 32))
	write(key, strings.Repeat("cd", 32))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, former := send()
		if c != first && former == first {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("credential %q, former %q, was %q", c, former, first)
		}
	}
}

// tapBatch is n records as a tap sends them.
func tapBatch(n int) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
	lrs.EnsureCapacity(n)
	epoch := testNow.Add(-time.Hour).UnixNano()
	for i := range n {
		e := event.Event{Name: event.NameRequest, Time: testNow.Add(-time.Second).UnixNano(), Body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/etc/hosts"}}}`}
		e.TapID, e.TapEpoch, e.TapSeq = "laptop-7", epoch, int64(i+1)
		e.ID = event.TapID("laptop-7", epoch, int64(i+1))
		e.SourceKind, e.ClockSource, e.Tenant = kindTap, "tap", "default"
		e.Server, e.Transport, e.HostName, e.OSUser, e.PID = "files", event.TransportStdio, "laptop", "alice", 4711
		e.Kind, e.Method, e.Tool, e.RequestID, e.RequestIDType = event.KindRequest, "tools/call", "read_file", "1", "number"
		e.Direction, e.ExchangeID, e.ExchangeStart, e.Capture = event.ClientToServer, e.ID, e.Time, event.CaptureComplete
		e.Command, e.ParentCommand, e.NetworkTransport, e.BodySize = "node", "claude", "pipe", int64(len(e.Body))
		e.ProtocolVersion, e.Era, e.ClientName, e.ClientVersion, e.ConversationID = "2025-11-25", "legacy", "claude-ai", "0.1", "c0ffee"
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}

func TestTapRecordsStay(t *testing.T) {
	d, sink := newTest(t, nil)
	want, _ := json.Marshal(events(tapBatch(3)))
	if err := d.ConsumeLogs(context.Background(), tapBatch(3)); err != nil {
		t.Fatal(err)
	}
	got := events(sink.AllLogs()...)
	for i := range got {
		if got[i].Received != testNow.UnixNano() {
			t.Errorf("received %d", got[i].Received)
		}
		got[i].Received = 0
	}
	if g, _ := json.Marshal(got); !bytes.Equal(g, want) {
		t.Errorf("got\n%s\nwant\n%s", g, want)
	}
}

func TestTapBreakage(t *testing.T) {
	epoch := testNow.Add(-time.Hour).UnixNano()
	f := func(name string, breakIt func(lr plog.LogRecord), check func(e event.Event) bool) {
		t.Helper()
		d, sink := newTest(t, nil)
		ld := tapBatch(1)
		breakIt(ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0))
		if err := d.ConsumeLogs(context.Background(), ld); err != nil {
			t.Fatal(err)
		}
		got := events(sink.AllLogs()...)
		if len(got) != 1 || !check(got[0]) {
			j, _ := json.Marshal(got)
			t.Errorf("%s: %s", name, j)
		}
	}
	has := func(e event.Event, a string) bool {
		for _, x := range e.Anomalies {
			if x == a {
				return true
			}
		}
		return false
	}
	own := event.TapID("laptop-7", epoch, 1)
	f("another tap's id", func(lr plog.LogRecord) { lr.Attributes().PutStr(event.AttrID, event.TapID("other", epoch, 1)) },
		func(e event.Event) bool { return e.ID == own && has(e, anomalyID) })
	f("no id", func(lr plog.LogRecord) { lr.Attributes().Remove(event.AttrID) },
		func(e event.Event) bool { return e.ID == own && !has(e, anomalyID) })
	f("upper-case id", func(lr plog.LogRecord) { lr.Attributes().PutStr(event.AttrID, strings.ToUpper(own)) },
		func(e event.Event) bool { return e.ID == own })
	f("no sequence", func(lr plog.LogRecord) { lr.Attributes().Remove(event.AttrTapSeq) },
		func(e event.Event) bool { return isID(e.ID) && e.ID != own && has(e, anomalyID) })
	f("no tap", func(lr plog.LogRecord) { lr.Attributes().Remove(event.AttrTapID); lr.Attributes().Remove(event.AttrID) },
		func(e event.Event) bool { return isID(e.ID) && e.ID != own })
	f("far future", func(lr plog.LogRecord) { lr.SetTimestamp(1 << 63) },
		func(e event.Event) bool {
			return e.Time == testNow.UnixNano() && has(e, anomalyFuture) && e.ClockSource == "receiver"
		})
	f("no time", func(lr plog.LogRecord) { lr.SetTimestamp(0) },
		func(e event.Event) bool { return e.Time == testNow.UnixNano() && e.ClockSource == "receiver" })
	f("signals of its own", func(lr plog.LogRecord) {
		lr.Attributes().PutEmptyMap(event.AttrSignals).PutDouble("injection", 0)
		lr.Attributes().PutInt(event.AttrStreamSeq, 9)
		lr.Attributes().PutDouble(event.AttrCostAmount, 9)
	}, func(e event.Event) bool { return e.Signals == nil && e.StreamSeq == 0 && e.CostAmount == 0 })
	f("body as a map", func(lr plog.LogRecord) { lr.Body().SetEmptyMap().PutStr("jsonrpc", "2.0") },
		func(e event.Event) bool { return e.Body == `{"jsonrpc":"2.0"}` })
	f("deep attribute", func(lr plog.LogRecord) { deepen(lr.Attributes().PutEmpty("x"), 10_000) },
		func(e event.Event) bool { return e.Extra["x"] == "" && has(e, anomalyDeep) })
	f("deep body", func(lr plog.LogRecord) { deepen(lr.Body(), 10_000) },
		func(e event.Event) bool { return e.Body == "" && has(e, anomalyDeep) })
	f("no kind, no name", func(lr plog.LogRecord) { lr.Attributes().Remove(event.AttrKind); lr.SetEventName("") },
		func(e event.Event) bool { return e.Kind == event.KindInvalid && e.Name == event.NameInvalid })
}

func deepen(v pcommon.Value, n int) {
	for range n {
		v = v.SetEmptySlice().AppendEmpty()
	}
	v.SetStr("bottom")
}

func TestAcceptEnriched(t *testing.T) {
	d, sink := newTest(t, func(c *Config) { c.AcceptEnriched = true })
	ld := tapBatch(1)
	ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().PutEmptyMap(event.AttrSignals).PutDouble("injection", 0.9)
	if err := d.ConsumeLogs(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	if got := events(sink.AllLogs()...)[0].Signals["injection"]; got != 0.9 {
		t.Errorf("signal %v", got)
	}
}

func TestUnknownIsKeptWithinItsLimit(t *testing.T) {
	d, sink := newTest(t, func(c *Config) { c.Unknown.Burst = 3; c.Unknown.PerSecond = 0; c.Unknown.MaxBytes = 10 })
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for range 10 {
		lr := lrs.AppendEmpty()
		lr.Body().SetStr("connection from äöü refused")
		lr.Attributes().PutStr("thread", "main")
	}
	if err := d.ConsumeLogs(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	got := events(sink.AllLogs()...)
	if len(got) != 4 {
		t.Fatalf("%d events", len(got))
	}
	if e := got[0]; e.Kind != event.KindInvalid || e.Body != "connection" || e.Capture != event.CaptureTruncated || e.Extra["thread"] != "main" || !isID(e.ID) {
		t.Errorf("kept: %+v", e)
	}
	if e := got[3]; e.LostEvents != 7 || e.Anomalies[0] != anomalyLimit || !isID(e.ID) {
		t.Errorf("skipped: %+v", e)
	}
}
