package elastic

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// yes accepts every request without a network: what is measured is the exporter.
type yes struct {
	wire   int64
	answer []byte // to a bulk request
}

func (y *yes) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte(`{"version":{"number":"9.1.3","build_flavor":"default"}}`)
	if strings.HasSuffix(r.URL.Path, "_bulk") {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return nil, err
		}
		y.wire += n
		body = y.answer
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// typical makes n events of about 1 KB as JSON, as they are in EVENTS: attributes that all have alike are the resource's.
func typical(n int) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		e := event.Event{Name: event.NameRequest, Time: 1_800_000_000_000_000_000 + int64(i)*1_234_567, Received: 1_800_000_000_100_000_000 + int64(i)*1_234_567}
		prefix := event.TapPrefix("laptop-7/files", 17)
		e.ID = prefix.ID(int64(i))
		e.ExchangeID, e.CallID = e.ID, e.ID
		e.SourceKind, e.TapID, e.TapEpoch, e.TapSeq, e.ClockSource = "tap", "laptop-7/files", 1_799_999_999_000_000_000, int64(i), "tap"
		e.Tenant, e.PrincipalID, e.PrincipalKind, e.PrincipalIssuer, e.PrincipalMethod, e.PrincipalVerified = "acme", "ann", "user", "laptop-7", "os_user", true
		e.ClientName, e.ClientVersion, e.Server, e.HostName, e.Transport, e.Era = "claude", "1.2", "files", "laptop-7", "stdio", "legacy"
		e.ConversationID, e.Direction, e.Kind, e.Method, e.Tool = "c-"+prefix.ID(int64(i/50)), event.ClientToServer, event.KindRequest, "tools/call", "read_text_file"
		e.RequestID, e.RequestIDType, e.ExchangeStart, e.BodySize, e.Capture = fmt.Sprint(i), "number", e.Time, 220, event.CaptureComplete
		e.BodyFingerprint = prefix.ID(int64(i * 7))
		e.TokensArguments, e.TokensEncoding = 40, "o200k_base"
		e.DataClasses, e.Capabilities = []string{"pii.email"}, []string{"reads_private"}
		e.Signals = map[string]float64{"injection": 0.01}
		e.Body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"read_text_file","arguments":{"path":"/home/ann/projects/%d/src/main-%d.go","head":%d,"note":"what the user asked for in round %d"}}}`, i, i%17, i*31, i%100, i%7)
		e.Encode(lrs.AppendEmpty())
	}
	event.Hoist(ld)
	return ld
}

func BenchmarkExport(b *testing.B) {
	const n = 500
	ld := typical(n)
	answer := func(item string) []byte {
		return []byte(`{"errors":` + fmt.Sprint(strings.Contains(item, "409")) + `,"items":[` + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + `]}`)
	}
	created, there := answer(`{"create":{"status":201}}`), answer(`{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}}`)
	for _, c := range []struct {
		name   string
		answer []byte
		edit   func(*Config)
	}{
		{"gzip", created, func(*Config) {}},
		{"plain", created, func(c *Config) { c.Compression = plain }},
		{"gzip-no-message", created, func(c *Config) { c.Message = messageNone }},
		{"gzip-all-there-already", there, func(*Config) {}},
	} {
		b.Run(c.name, func(b *testing.B) {
			cfg := config(b, "http://127.0.0.1:1", c.edit)
			e, err := newExporter(exportertest.NewNopSettings(Type), cfg)
			if err != nil {
				b.Fatal(err)
			}
			if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
				b.Fatal(err)
			}
			y := &yes{answer: c.answer}
			e.client.http.Transport = y
			size := 0
			w := <-e.workers
			for rec := range sink.NewReader(e.filter, nil).Read(context.Background(), ld) {
				size += len(w.chunks.enc.document(nil, rec, e.targets.of(rec).object, true))
			}
			e.workers <- w
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu()
			for range b.N {
				if err := e.consume(context.Background(), ld); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)*n/(cpu()-before).Seconds(), "events/CPU-s")
			b.ReportMetric(float64(size)/n, "B/event")
			b.ReportMetric(float64(y.wire)/float64(b.N)/n, "wireB/event")
			if err := e.shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	ld := typical(500)
	f, _ := (&sink.Route{}).Compile()
	r, enc := sink.NewReader(f, nil), newTestEncoder(b)
	var buf []byte
	b.ReportAllocs()
	for range b.N {
		buf = buf[:0]
		for rec := range r.Read(context.Background(), ld) {
			buf = enc.document(buf, rec, testStream, true)
		}
	}
	b.SetBytes(int64(len(buf)))
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "events/s")
}
