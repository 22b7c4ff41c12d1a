package decode

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
)

// BenchmarkTap decodes batches of 500 records of a tap; the copy of the batch is not counted.
func BenchmarkTap(b *testing.B) {
	benchmarkLogs(b, tapBatch(500), 500)
}

func BenchmarkJSON(b *testing.B) {
	lines := make([]string, 500)
	for i := range lines {
		lines[i] = callLine
		if i%2 == 1 {
			lines[i] = answerLine
		}
	}
	b.SetBytes(int64(len(strings.Join(lines, "\n")) / len(lines)))
	benchmarkLogs(b, jsonLines(lines...), 500)
}

func benchmarkLogs(b *testing.B, ld plog.Logs, n int) {
	d, _ := newTest(b, nil)
	d.next = consumertest.NewNop()
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += n {
		b.StopTimer()
		in := plog.NewLogs()
		ld.CopyTo(in)
		b.StartTimer()
		if err := d.ConsumeLogs(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
}
