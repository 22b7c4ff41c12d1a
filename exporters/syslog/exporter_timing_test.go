package syslog

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// What is measured is one exporter with one connection over loopback to a server that reads and forgets; allocations are those of both.
func BenchmarkExport(b *testing.B) {
	const n = 500
	for _, format := range formats {
		b.Run(format, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
				}
			}()
			e := open(b, func(c *Config) { c.Address, c.Format = l.Addr().String(), format })
			ld := records(0, n)
			size := 0
			for rec := range sink.NewReader(e.filter, nil).Read(context.Background(), ld) {
				size += len(e.enc.message(nil, rec))
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := e.consume(context.Background(), ld); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "events/s")
		})
	}
}
