package splunkhec

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
)

// yes accepts every request without a network: what is measured is the exporter.
type yes struct{ wire int64 }

func (y *yes) RoundTrip(r *http.Request) (*http.Response, error) {
	n, err := io.Copy(io.Discard, r.Body)
	y.wire += n
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"text":"Success","code":0}`)), Request: r}, err
}

func BenchmarkExport(b *testing.B) {
	const n = 500
	ld := sinktest.Typical(n)
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
			sinktest.Measure(b, ld, size, e.consume, func() int64 { return y.wire })
			if err := e.shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	ld := sinktest.Typical(500)
	f, _ := (&sink.Route{}).Compile()
	r := sink.NewReader(f, nil)
	b.ReportAllocs()
	for range b.N {
		for range r.Read(context.Background(), ld) {
		}
	}
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "events/s")
}
