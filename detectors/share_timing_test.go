package detectors

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// BenchmarkShare is what one of several workers does with each event: decompress and decode the batch, and judge its share of the keys.
func BenchmarkShare(b *testing.B) {
	const batch = 500
	var messages [][]byte
	for i := range 40 {
		m, err := streams.Encode(traffic(batch, int64(i*batch+1)))
		if err != nil {
			b.Fatal(err)
		}
		messages = append(messages, m)
	}
	for _, partitions := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprint("of ", partitions), func(b *testing.B) {
			make := func() *engine.Engine {
				s := engine.Settings{Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew, Share: engine.Share{Partition: partitions - 1, Partitions: partitions}}
				for _, d := range All {
					in, err := d.New(nil)
					if err != nil {
						b.Fatal(err)
					}
					s.Detectors = append(s.Detectors, in)
				}
				g, err := engine.New(s)
				if err != nil {
					b.Fatal(err)
				}
				return g
			}
			g := make()
			b.SetBytes(1000)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += batch {
				k := i / batch
				if k%len(messages) == 0 && k > 0 { // the same events again would be skipped as duplicates
					g = make()
				}
				var ld plog.Logs
				var err error
				if ld, err = streams.Decode(messages[k%len(messages)], streams.EncodingZstd); err != nil {
					b.Fatal(err)
				}
				g.Apply(ld)
				g.Findings()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
