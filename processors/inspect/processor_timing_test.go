package inspect

import (
	"context"
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// 512 calls and results of about 900 bytes with the attributes that a tap gives them.
func BenchmarkProcess(b *testing.B) {
	p, err := NewFactory().CreateLogs(context.Background(), processortest.NewNopSettings(Type), testConfig(b), consumertest.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		b.Fatal(err)
	}
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	size := 0
	for i := range 512 {
		e := event.Event{Name: event.NameResponse, Time: int64(i), Body: fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"{\"order\":\"#W%07d\",\"customer\":\"bob%d@corp.example\",\"status\":\"delivered\",\"items\":[{\"name\":\"Water bottle\",\"price\":46.66,\"colour\":\"blue\"},{\"name\":\"Desk lamp\",\"price\":153.23,\"colour\":\"black\"}],\"note\":\"The parcel was left with the neighbour because nobody was at home when the driver rang the bell in the morning.\"}"}],"isError":false}}`, i, i, i)}
		e.ID, e.Tenant, e.Server, e.Tool, e.Method = fmt.Sprintf("%032x", i), "acme", "shop", "get_order", "tools/call"
		e.Kind, e.Direction, e.Transport, e.PrincipalID = event.KindResponse, event.ServerToClient, event.TransportStdio, "alice@corp.example"
		e.Encode(records.AppendEmpty())
		size += len(e.Body)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		batch := plog.NewLogs()
		logs.CopyTo(batch)
		b.StartTimer()
		if err := p.ConsumeLogs(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*512/b.Elapsed().Seconds(), "events/s")
	if err := p.Shutdown(context.Background()); err != nil {
		b.Fatal(err)
	}
}
