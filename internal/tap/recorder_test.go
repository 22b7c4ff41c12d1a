package tap

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a collector that keeps what it takes, and fails as it is told.
type sink struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	events []event.Event
	bodies []string // of every request, refused ones included
	tokens []string
	fail   func(n int) (status int, header string) // for request n from 0; 0: take it
	n      int
}

func newSink(t *testing.T) *sink {
	s := &sink{t: t}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n
	s.n++
	s.bodies = append(s.bodies, string(body))
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	if s.fail != nil {
		if status, retry := s.fail(n); status != 0 {
			if retry != "" {
				w.Header().Set("Retry-After", retry)
			}
			w.WriteHeader(status)
			return
		}
	}
	if r.URL.Path != "/v1/logs" || r.Header.Get("Content-Encoding") != "zstd" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		s.t.Errorf("bad request %s %v", r.URL.Path, r.Header)
	}
	s.events = append(s.events, decodeBatch(s.t, body)...)
}

func decodeBatch(t testing.TB, body []byte) (out []event.Event) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	raw, err := dec.DecodeAll(body, nil)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				var e event.Event
				event.Decode(rl.Resource(), lr, &e)
				out = append(out, e)
			}
		}
	}
	return out
}

func (s *sink) all() []event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func testConfig(s *sink) Config {
	return Config{TapID: "t1", Endpoint: s.URL, FlushInterval: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
}

func mustNew(t testing.TB, cfg Config) *Recorder {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustShutdown(t testing.TB, r *Recorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// failer is what testing.TB and rapid.T share.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// conserve checks that the numbers of each series in events are delivered or declared lost: 1..N without a gap, none twice.
func conserve(t failer, events []event.Event, want series) (last int64) {
	t.Helper()
	got := map[int64]string{}
	lost := map[int64]bool{}
	for _, e := range events {
		if e.TapID != want.Tap || e.TapEpoch != want.Epoch {
			continue
		}
		if e.Name == event.NameTapLoss {
			for i := e.LostFrom; i <= e.LostTo; i++ {
				lost[i] = true
			}
		}
		if e.TapSeq == 0 {
			continue
		}
		if id := event.TapID(want.Tap, want.Epoch, e.TapSeq); id != e.ID {
			t.Errorf("number %d has id %s, want %s", e.TapSeq, e.ID, id)
		}
		if _, ok := got[e.TapSeq]; ok {
			t.Errorf("number %d delivered twice", e.TapSeq)
		}
		got[e.TapSeq] = e.Name
		last = max(last, e.TapSeq)
	}
	for i := int64(1); i <= last; i++ {
		if _, ok := got[i]; !ok && !lost[i] {
			t.Errorf("number %d of %d neither delivered nor declared lost", i, last)
		}
	}
	return last
}

const (
	cs = event.ClientToServer
	sc = event.ServerToClient
)

var at0 = time.Now().Add(-time.Minute)

func frame(dir, data string) Frame { return Frame{Direction: dir, Data: []byte(data), At: at0} }

func TestRecordsACall(t *testing.T) {
	s := newSink(t)
	r := mustNew(t, testConfig(s))
	st := r.Open(StreamInfo{Server: "files", Transport: event.TransportStdio, Command: "mcp-files", PID: 4711, ParentCommand: "host", Labels: map[string]string{"a": "b"}, Tenant: "acme"})
	for i, f := range []Frame{
		frame(cs, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"cli","version":"1.2"}}}`),
		frame(sc, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"srv","version":"3"}}}`),
		frame(cs, `{"jsonrpc":"2.0","method":"notifications/initialized"}`),
		frame(cs, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{"path":"/x"},"_meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}}`),
		frame(sc, `{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}`),
		frame(sc, `starting up...`),
	} {
		f.At = at0.Add(time.Duration(i) * time.Second)
		st.Frame(f)
	}
	st.Close(&Exit{ClientLeft: true})
	mustShutdown(t, r)
	ev := s.all()
	var names []string
	for _, e := range ev {
		names = append(names, e.Name+"/"+e.Method+"/"+e.Outcome)
	}
	want := []string{
		"mcpsiem.tap.start//", "mcp.request/initialize/", "mcp.response/initialize/ok", "mcp.notification/notifications/initialized/",
		"mcp.request/tools/call/", "mcp.response/tools/call/tool_error", "mcp.invalid//", "mcpsiem.server.exit//", "mcpsiem.tap.stop//",
	}
	if !slices.Equal(names, want) {
		t.Fatalf("got %s\nwant %s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	conserve(t, ev, series{"t1", r.Epoch()})
	req, res := ev[4], ev[5]
	if req.ExchangeID != req.ID || res.ExchangeID != req.ID || res.ExchangeStart != req.Time || res.DurationNanos != int64(time.Second) {
		t.Errorf("exchange %q %q of %q, duration %d", req.ExchangeID, res.ExchangeID, req.ID, res.DurationNanos)
	}
	for _, e := range []event.Event{req, res} {
		if e.Tool != "read" || e.ProtocolVersion != "2025-06-18" || e.Era != "legacy" || e.ClientName != "cli" || e.ServerClaimedName != "srv" ||
			e.Server != "files" || e.PID != 4711 || e.Command != "mcp-files" || e.ParentCommand != "host" || e.Labels["a"] != "b" || e.Tenant != "acme" ||
			e.NetworkTransport != "pipe" || e.ConversationID == "" || e.ConversationInferred || e.SpanID.String() != "b7ad6b7169203331" ||
			e.RequestID != "1" || e.RequestIDType != "number" || e.Capture != "complete" || e.SourceKind != "tap" || e.OSUser == "" || e.HostName == "" {
			b, _ := json.Marshal(e.Fields)
			t.Errorf("event %s %s", e.Name, b)
		}
		if len(e.BodySHA256) != 64 || e.BodySize != int64(len(e.Body)) || e.Body == "" {
			t.Errorf("body %d %d %q", e.BodySize, len(e.Body), e.BodySHA256)
		}
	}
	if inv := ev[6]; !slices.Equal(inv.Anomalies, []string{"parse_error"}) || inv.Body != "starting up..." || inv.Kind != "invalid" {
		t.Errorf("invalid: %+v", inv.Fields)
	}
}

// A tap's own records are its tenant's: numbers count within a tenant.
func TestOwnRecordsHaveTheTenant(t *testing.T) {
	f := func(given, want string) {
		t.Helper()
		s := newSink(t)
		cfg := testConfig(s)
		cfg.Tenant = given
		r := mustNew(t, cfg)
		st := r.Open(StreamInfo{Transport: event.TransportStdio, Tenant: given})
		st.Frame(frame(cs, `{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		st.Lost(cs, 2)
		st.Close(nil)
		mustShutdown(t, r)
		ev := s.all()
		if len(ev) < 4 {
			t.Fatalf("%d events", len(ev))
		}
		for _, e := range ev {
			if e.Tenant != want {
				t.Errorf("%s is %s's, want %s", e.Name, e.Tenant, want)
			}
		}
	}
	f("acme", "acme")
	f("", "default")
}

// What passed over HTTP and is no message is a record, with what HTTP says of it.
func TestRecordsOfHTTP(t *testing.T) {
	s := newSink(t)
	r := mustNew(t, testConfig(s))
	st := r.Open(StreamInfo{Server: "remote", Transport: event.TransportHTTP, Upstream: "127.0.0.1:3000"})
	h := &HTTP{Exchange: 1, Verb: "GET", URL: "/.well-known/oauth-authorization-server", Protocol: "1.1", ClientAddr: "127.0.0.1:9", Status: 200}
	st.Frame(Frame{Direction: sc, Data: []byte(`{"issuer":"x"}`), Size: 14, At: at0, HTTP: h, Record: event.NameMetadata})
	st.Frame(Frame{Direction: cs, At: at0, HTTP: &HTTP{Exchange: 2, Verb: "GET", URL: "/sse?command=x&args=y"}, Record: event.NameHTTPRequest})
	st.Close(nil)
	mustShutdown(t, r)
	ev := s.all()
	conserve(t, ev, series{"t1", r.Epoch()})
	meta, req := ev[1], ev[2]
	if meta.Name != event.NameMetadata || meta.Kind != event.KindRecord || meta.Body != `{"issuer":"x"}` || meta.BodySize != 14 || meta.Capture != event.CaptureComplete || meta.HTTPStatus != 200 || meta.Server != "remote" {
		t.Errorf("%s: %+v", meta.Name, meta.Fields)
	}
	if req.Name != event.NameHTTPRequest || req.Kind != event.KindRecord || req.Body != "" || req.Capture != event.CaptureAbsent || req.RawURL != "/sse?command=x&args=y" || req.Direction != cs {
		t.Errorf("%s: %+v", req.Name, req.Fields)
	}
}

func TestQueueFullIsCounted(t *testing.T) {
	s := newSink(t)
	cfg := testConfig(s)
	cfg.QueueBytes = 4000
	r := mustNew(t, cfg)
	st := r.Open(StreamInfo{Transport: event.TransportStdio})
	for i := range 2000 {
		st.Frame(frame(cs, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"ping"}`, i)))
	}
	st.Lost(cs, 3)
	st.Close(nil)
	mustShutdown(t, r)
	ev := s.all()
	last := conserve(t, ev, series{"t1", r.Epoch()})
	got := r.Stats()
	if got.Lost < 3 || int64(got.Events+got.Lost) != last || got.Frames != 2000 {
		t.Errorf("%+v, last %d", got, last)
	}
	var lost int64
	for _, e := range ev {
		lost += e.LostEvents
	}
	if lost != int64(got.Lost) {
		t.Errorf("declared %d lost, counted %d", lost, got.Lost)
	}
}

func TestShutdownTwiceAndAfter(t *testing.T) {
	s := newSink(t)
	r := mustNew(t, testConfig(s))
	st := r.Open(StreamInfo{Transport: event.TransportStdio})
	mustShutdown(t, r)
	mustShutdown(t, r)
	st.Frame(frame(cs, `{}`))
	st.Lost(cs, 1)
	st.ClientGone(1, at0)
	st.TransportError("reset", Frame{})
	st.Close(nil)
	if n := len(s.all()); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestNewChecksConfig(t *testing.T) {
	f := func(cfg Config, want string) {
		t.Helper()
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	bad := t.TempDir() + "/bad.pem"
	os.WriteFile(bad, []byte("x"), 0o600)
	f(Config{}, "no collector endpoint")
	f(Config{Endpoint: "localhost:4318"}, "must be a URL")
	f(Config{Endpoint: "https://h", TLS: TLSConfig{CAFile: "/nonexistent"}}, "cannot read the collector's CA")
	f(Config{Endpoint: "https://h", TLS: TLSConfig{CAFile: bad}}, "no PEM certificate")
	f(Config{Endpoint: "https://h", TLS: TLSConfig{CertFile: bad, KeyFile: bad}}, "client certificate")
}
