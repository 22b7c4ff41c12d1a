package jetstream

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	jsexporter "github.com/mcpsiem/mcpsiem/exporters/jetstream"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/natsd"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// load makes a batch of n events of about 1 KB: JSON-RPC messages of words and numbers, with the attributes of a usual event.
func load(rnd *rand.Rand, first, n int) plog.Logs {
	words := strings.Fields("the quick brown fox jumps over a lazy dog while file server tool result content text error path name value list query")
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
	p := event.TapPrefix("bench", 1)
	for i := range n {
		lr := lrs.AppendEmpty()
		lr.SetEventName(event.NameRequest)
		a := lr.Attributes()
		a.PutStr(event.AttrID, p.ID(int64(first+i)))
		a.PutStr(event.AttrTenant, event.DefaultTenant)
		a.PutStr(event.AttrServer, "filesystem")
		a.PutStr(event.AttrMethod, "tools/call")
		a.PutStr(event.AttrTool, "read_file")
		a.PutStr(event.AttrExchangeID, p.ID(int64(first+i)))
		a.PutInt(event.AttrTapSeq, int64(first+i))
		var b strings.Builder
		fmt.Fprintf(&b, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"read_file","arguments":{"text":"`, first+i)
		for b.Len() < 700 {
			fmt.Fprintf(&b, "%s %d ", words[rnd.Intn(len(words))], rnd.Intn(1e6))
		}
		b.WriteString(`"}}}`)
		lr.Body().SetStr(b.String())
	}
	return ld
}

// BenchmarkRelay is a stream's whole way: exporter, the embedded server with encryption and a synced write for each message, receiver.
// One operation is one batch. events/message makes messages of about 64, 128, 256 and 512 KB compressed.
func BenchmarkRelay(b *testing.B) {
	for _, sync := range []bool{true, false} {
		for _, n := range []int{250, 500, 1000, 2000} {
			for _, senders := range []int{1, 4} {
				b.Run(fmt.Sprintf("sync=%t/events=%d/senders=%d", sync, n, senders), func(b *testing.B) { relay(b, sync, n, senders) })
			}
		}
	}
}

func relay(b *testing.B, syncAlways bool, n, senders int) {
	s := natsdtest.New(b, func(o *natsd.Options) { o.NoSync = !syncAlways })
	ctx := context.Background()
	ef := jsexporter.NewFactory()
	ecfg := ef.CreateDefaultConfig().(*jsexporter.Config)
	ecfg.NATS, ecfg.Stream, ecfg.MaxBatchBytes = s.NATS(), streams.Raw, 1<<20
	exp, err := ef.CreateLogs(ctx, exportertest.NewNopSettings(ef.Type()), ecfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := exp.Start(ctx, componenttest.NewNopHost()); err != nil {
		b.Fatal(err)
	}
	defer exp.Shutdown(ctx)
	var got atomic.Int64
	done := make(chan struct{})
	want := int64(b.N * n)
	next, _ := consumer.NewLogs(func(_ context.Context, ld plog.Logs) error {
		if got.Add(int64(ld.LogRecordCount())) == want {
			close(done)
		}
		return nil
	})
	cfg := defaultConfig()
	cfg.NATS, cfg.Stream, cfg.Durable, cfg.Workers = s.NATS(), streams.Raw, "enrich", 2
	rec, err := NewFactory().CreateLogs(ctx, receivertest.NewNopSettings(Type), cfg, next)
	if err != nil {
		b.Fatal(err)
	}
	if err := rec.Start(ctx, componenttest.NewNopHost()); err != nil {
		b.Fatal(err)
	}
	defer rec.Shutdown(ctx)

	batches := make([]plog.Logs, b.N)
	rnd := rand.New(rand.NewSource(1))
	sample := load(rnd, 0, n)
	body, _ := streams.Encode(sample)
	for i := range batches { // the bodies repeat, the ids do not
		batches[i] = plog.NewLogs()
		sample.CopyTo(batches[i])
		lrs := batches[i].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		p := event.TapPrefix("bench", int64(i))
		for k := range lrs.Len() {
			lrs.At(k).Attributes().PutStr(event.AttrID, p.ID(int64(k)))
		}
	}
	var sizer plog.ProtoMarshaler
	b.SetBytes(int64(sizer.LogsSize(sample)))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	var at atomic.Int64
	for range senders {
		wg.Go(func() {
			for i := at.Add(1) - 1; i < int64(len(batches)); i = at.Add(1) - 1 {
				if err := exp.ConsumeLogs(ctx, batches[i]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	<-done
	b.StopTimer()
	b.ReportMetric(float64(want)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(len(body))/1024, "KB/message")
}
