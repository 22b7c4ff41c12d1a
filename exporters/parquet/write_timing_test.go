package parquet

import (
	"context"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// BenchmarkWrite is batches of 5,000 events of one tenant and hour into a file each, synced.
func BenchmarkWrite(b *testing.B) {
	e := open(b, b.TempDir())
	defer func() { _ = e.shutdown(context.Background()) }()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		b.StopTimer()
		ld := plog.NewLogs()
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutInt(event.AttrStreamSeq, int64(n))
		lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
		for i := range 5000 {
			ev := event.Event{Name: event.NameRequest, Time: base + int64(i), Body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/home/x/notes"}}}`}
			ev.ID, ev.Tool, ev.Tenant, ev.Method, ev.Server = id(n*5000+i), "read_file", "acme", "tools/call", "files"
			ev.Encode(lrs.AppendEmpty())
		}
		b.StartTimer()
		if err := e.consume(context.Background(), ld); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*5000)/b.Elapsed().Seconds(), "events/s")
}
