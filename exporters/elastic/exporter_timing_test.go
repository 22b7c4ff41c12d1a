package elastic

import (
	"bytes"
	"context"
	"fmt"
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

func BenchmarkExport(b *testing.B) {
	const n = 500
	ld := sinktest.Typical(n)
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
			sinktest.Measure(b, ld, size, e.consume, func() int64 { return y.wire })
			if err := e.shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	ld := sinktest.Typical(500)
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
