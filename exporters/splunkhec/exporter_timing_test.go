package splunkhec

import (
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
type yes struct{ wire int64 }

func (y *yes) RoundTrip(r *http.Request) (*http.Response, error) {
	n, err := io.Copy(io.Discard, r.Body)
	y.wire += n
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"text":"Success","code":0}`)), Request: r}, err
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
	for _, c := range []struct {
		name string
		edit func(*Config)
	}{
		{"gzip", func(*Config) {}},
		{"plain", func(c *Config) { c.Compression = plain }},
		{"gzip-message-as-string", func(c *Config) { c.Message = messageString }},
		{"gzip-raw", func(c *Config) { c.Raw = true }},
		{"gzip-nothing-indexed", func(c *Config) { c.IndexedFields = nil }},
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
			y := &yes{}
			var ws []*worker
			for range cfg.Connections {
				w := <-e.workers
				w.client.http.Transport = y
				ws = append(ws, w)
			}
			for _, w := range ws {
				e.workers <- w
			}
			size := 0
			for rec := range sink.NewReader(e.filter, nil).Read(context.Background(), ld) {
				size += len(ws[0].chunks.encode(nil, rec, &e.targets[0], true))
			}
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

func BenchmarkDecode(b *testing.B) {
	ld := typical(500)
	f, _ := (&sink.Route{}).Compile()
	r := sink.NewReader(f, nil)
	b.ReportAllocs()
	for range b.N {
		for range r.Read(context.Background(), ld) {
		}
	}
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "events/s")
}
