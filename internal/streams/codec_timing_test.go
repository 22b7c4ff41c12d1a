package streams_test

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func BenchmarkCodec(b *testing.B) {
	for _, n := range []int{50, 500} {
		ld := batch(1, n, 1000)
		var m plog.ProtoMarshaler
		size := int64(m.LogsSize(ld))
		body, err := streams.Encode(ld)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("encode/%d", n), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := streams.Encode(ld); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := streams.Decode(body, streams.EncodingZstd); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("id/%d", n), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				streams.IngestID(ld)
			}
		})
	}
}
