package otlp

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "planted-content"

// backend takes logs over both protocols.
type backend struct {
	plogotlp.UnimplementedGRPCServer
	mu     sync.Mutex
	got    map[string]int
	last   plog.LogRecord
	answer func(n int, ids []string) (http int, code codes.Code, rejected int64)
	n      int
	http   *httptest.Server
	addr   string
}

func newBackend(t *testing.T, answer func(int, []string) (int, codes.Code, int64)) *backend {
	b := &backend{got: map[string]int{}, answer: answer}
	b.http = httptest.NewServer(b)
	t.Cleanup(b.http.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	s := grpc.NewServer()
	plogotlp.RegisterGRPCServer(s, b)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return b
}

func (b *backend) take(ld plog.Logs) (int, codes.Code, int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	lrs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	for i := range lrs.Len() {
		v, _ := lrs.At(i).Attributes().Get(attrRecordKey)
		ids = append(ids, v.Str())
		b.last = plog.NewLogRecord()
		lrs.At(i).CopyTo(b.last)
	}
	b.n++
	h, c, rejected := http.StatusOK, codes.OK, int64(0)
	if b.answer != nil {
		h, c, rejected = b.answer(b.n, ids)
	}
	if h == http.StatusOK && rejected == 0 {
		for _, id := range ids {
			b.got[id]++
		}
	}
	return h, c, rejected
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	z, err := gzip.NewReader(r.Body)
	if err != nil || r.URL.Path != "/v1/logs" {
		w.WriteHeader(404)
		return
	}
	body, _ := io.ReadAll(z)
	req := plogotlp.NewExportRequest()
	if req.UnmarshalProto(body) != nil {
		w.WriteHeader(400)
		return
	}
	status, _, rejected := b.take(req.Logs())
	w.WriteHeader(status)
	resp := plogotlp.NewExportResponse()
	resp.PartialSuccess().SetRejectedLogRecords(rejected)
	out, _ := resp.MarshalProto()
	_, _ = w.Write(out)
}

func (b *backend) Export(_ context.Context, req plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	_, c, rejected := b.take(req.Logs())
	resp := plogotlp.NewExportResponse()
	if c != codes.OK {
		return resp, status.Error(c, "")
	}
	resp.PartialSuccess().SetRejectedLogRecords(rejected)
	return resp, nil
}

// both runs a test over both protocols.
func both(t *testing.T, answer func(int, []string) (int, codes.Code, int64), f func(t *testing.T, e *otlpExporter, b *backend)) {
	for _, p := range []string{protocolHTTP, protocolGRPC} {
		t.Run(p, func(t *testing.T) {
			b := newBackend(t, answer)
			cfg := newDefaultConfig()
			cfg.Protocol, cfg.Endpoint, cfg.TLS.Insecure = p, b.http.URL, true
			if p == protocolGRPC {
				cfg.Endpoint = b.addr
			}
			cfg.MaxRecords = 8
			cfg.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 5 * time.Millisecond, MaxElapsed: 300 * time.Millisecond}
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			e, err := newExporter(exportertest.NewNopSettings(Type), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.shutdown(context.Background()) }()
			f(t, e, b)
		})
	}
}

func id(i int) string { return fmt.Sprintf("%032x", i) }

func batch(first, n int) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		e := event.Event{Name: event.NameRequest, Time: 1, Body: secret}
		e.ID, e.Method, e.Tool, e.Outcome = id(first+i), "tools/call", "t", event.OutcomeToolError
		e.RawAuthorization = "raw " + secret
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}

func send(t *testing.T, e *otlpExporter, ld plog.Logs, redelivered bool) error {
	err := e.consume(streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, Durable: "o", First: 1, Last: 1, Redelivered: redelivered}), ld)
	if err != nil && strings.Contains(err.Error()+streams.Reason(err), secret) {
		t.Errorf("content in %v", err)
	}
	return err
}

func exactly(t *testing.T, b *backend, n int) {
	t.Helper()
	for i := range n {
		if b.got[id(i)] != 1 {
			t.Errorf("record %d is there %d times", i, b.got[id(i)])
		}
	}
	if len(b.got) != n {
		t.Errorf("%d records", len(b.got))
	}
}

func TestRecordsArrive(t *testing.T) {
	both(t, func(n int, _ []string) (int, codes.Code, int64) {
		if n%2 == 1 {
			return 503, codes.Unavailable, 0
		}
		return 200, codes.OK, 0
	}, func(t *testing.T, e *otlpExporter, b *backend) {
		if err := send(t, e, batch(0, 20), false); err != nil {
			t.Fatal(err)
		}
		exactly(t, b, 20)
		a := b.last.Attributes().AsRaw()
		if a["gen_ai.operation.name"] != "execute_tool" || a["mcp.method.name"] != "tools/call" || a["gen_ai.tool.name"] != "t" || b.last.SeverityNumber() != plog.SeverityNumberError {
			t.Errorf("%v", a)
		}
		for k := range a {
			if strings.HasPrefix(k, event.RawPrefix) {
				t.Errorf("%s went out", k)
			}
		}
	})
}

func TestWhatIsRefusedIsAlone(t *testing.T) {
	both(t, func(_ int, ids []string) (int, codes.Code, int64) {
		for _, x := range ids {
			if x == id(5) {
				return 400, codes.InvalidArgument, 0
			}
		}
		return 200, codes.OK, 0
	}, func(t *testing.T, e *otlpExporter, b *backend) {
		err := send(t, e, batch(0, 20), false)
		var rest consumererror.Logs
		if !streams.Permanent(err) || !errors.As(err, &rest) || rest.Data().LogRecordCount() != 1 {
			t.Fatalf("%v", err)
		}
		if len(b.got) != 19 {
			t.Errorf("%d records", len(b.got))
		}
	})
}

func TestPartialSuccessIsNotSentAgain(t *testing.T) {
	both(t, func(n int, _ []string) (int, codes.Code, int64) {
		if n == 2 {
			return 200, codes.OK, 3
		}
		return 200, codes.OK, 0
	}, func(t *testing.T, e *otlpExporter, b *backend) {
		err := send(t, e, batch(0, 20), false)
		var rest consumererror.Logs
		if !streams.Permanent(err) || !errors.As(err, &rest) || rest.Data().LogRecordCount() != 8 || streams.Reason(err) != "otlp_partial" {
			t.Fatalf("%v", err)
		}
		if b.n != 3 || len(b.got) != 12 {
			t.Errorf("%d requests, %d records", b.n, len(b.got))
		}
	})
}

func TestAFailedBatchRepeatsOnlyTheRest(t *testing.T) {
	open := false
	both(t, func(n int, _ []string) (int, codes.Code, int64) {
		if n > 1 && !open {
			return 403, codes.PermissionDenied, 0
		}
		return 200, codes.OK, 0
	}, func(t *testing.T, e *otlpExporter, b *backend) {
		open = false
		if err := send(t, e, batch(0, 20), false); err == nil || streams.Permanent(err) {
			t.Fatalf("%v", err)
		}
		open = true
		if err := send(t, e, batch(0, 20), true); err != nil {
			t.Fatal(err)
		}
		exactly(t, b, 20)
	})
}

func TestABackendThatIsAway(t *testing.T) {
	both(t, nil, func(t *testing.T, e *otlpExporter, b *backend) {
		e.cfg.Endpoint = "http://127.0.0.1:1"
		if e.cfg.Protocol == protocolGRPC {
			_ = e.shutdown(context.Background())
			e.cfg.Endpoint = "127.0.0.1:1"
			if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
		}
		if err := send(t, e, batch(0, 2), false); err == nil || streams.Permanent(err) {
			t.Errorf("%v", err)
		}
	})
}

func TestFindings(t *testing.T) {
	both(t, nil, func(t *testing.T, e *otlpExporter, b *backend) {
		ld := plog.NewLogs()
		f := finding.Finding{Time: 1}
		f.ID, f.Severity, f.Summary, f.Revision = id(1), "high", "something", 9
		f.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
		if err := send(t, e, ld, false); err != nil {
			t.Fatal(err)
		}
		if b.got[id(1)+"-9"] != 1 || b.last.Body().Str() != "something" || b.last.EventName() != finding.EventName {
			t.Errorf("%v", b.got)
		}
	})
}

func TestConfigurations(t *testing.T) {
	f := func(settings map[string]any, want string) {
		t.Helper()
		cfg := newDefaultConfig()
		err := confmap.NewFromStringMap(settings).Unmarshal(cfg)
		if err == nil {
			err = cfg.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", settings, err, want)
		}
	}
	h := func(m map[string]any) map[string]any { return map[string]any{"x-api-key": m} }
	f(map[string]any{"endpoint": "https://x:4318", "headers": h(map[string]any{"env": "K"})}, "")
	f(map[string]any{"endpoint": "https://x:4318", "headers": h(map[string]any{"value": "v"})}, "")
	f(map[string]any{"endpoint": "x:4317", "protocol": "grpc"}, "")
	f(map[string]any{}, "endpoint must be")
	f(map[string]any{"endpoint": "https://x/v1/logs"}, "without /v1/logs")
	f(map[string]any{"endpoint": "https://x", "protocol": "grpc"}, "host:port")
	f(map[string]any{"endpoint": "https://x", "protocol": "udp"}, "protocol must be")
	f(map[string]any{"endpoint": "https://x", "headers": h(map[string]any{})}, "exactly one of")
	f(map[string]any{"endpoint": "https://x", "headers": map[string]any{"Authorization": map[string]any{"value": "v"}}}, "is a secret")
	f(map[string]any{"endpoint": "https://x", "sending_queue": map[string]any{"enabled": true}}, "sending_queue")
}
