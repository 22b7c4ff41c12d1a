package connector

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	jsexporter "github.com/mcpsiem/mcpsiem/exporters/jetstream"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	jsreceiver "github.com/mcpsiem/mcpsiem/receivers/jetstream"
)

// BenchmarkEventToFinding is how long it takes from publishing an event to EVENTS until the finding that it makes can be read from FINDINGS:
// through the embedded server, the receiver, all detectors and built-in rules, and the exporter; every step is stored. busy has 2,000
// other events a second beside it. Run it with -benchtime 200x; p99-ms is what to look at.
func BenchmarkEventToFinding(b *testing.B) {
	b.Run("idle", func(b *testing.B) { eventToFinding(b, 0) })
	b.Run("busy", func(b *testing.B) { eventToFinding(b, 2000) })
}

func eventToFinding(b *testing.B, perSecond int) {
	ctx := context.Background()
	r := newRig(b)
	spec, _ := streams.DefaultSpec(streams.Findings)
	spec.MaxBytes = 64 << 20
	if _, err := streams.Ensure(ctx, r.js, spec); err != nil {
		b.Fatal(err)
	}
	ef := jsexporter.NewFactory()
	ec := ef.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"nats": r.nats(), "stream": streams.Findings, "create_stream": false}).Unmarshal(ec); err != nil {
		b.Fatal(err)
	}
	exp, err := ef.CreateLogs(ctx, exportertest.NewNopSettings(ef.Type()), ec)
	if err != nil {
		b.Fatal(err)
	}
	start(b, exp)
	df := NewFactory()
	dc := df.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"nats": r.nats(), "snapshot_dir": b.TempDir()}).Unmarshal(dc); err != nil {
		b.Fatal(err)
	}
	det, err := df.CreateLogsToLogs(ctx, connectortest.NewNopSettings(Type), dc, exp)
	if err != nil {
		b.Fatal(err)
	}
	if err := det.Start(ctx, componenttest.NewNopHost()); err != nil {
		b.Fatal(err)
	}
	rf := jsreceiver.NewFactory()
	rc := rf.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"nats": r.nats(), "stream": streams.Events, "durable": "detect", "create_stream": false}).Unmarshal(rc); err != nil {
		b.Fatal(err)
	}
	rec, err := rf.CreateLogs(ctx, receivertest.NewNopSettings(rf.Type()), rc, det)
	if err != nil {
		b.Fatal(err)
	}
	start(b, rec)
	cons, err := r.js.OrderedConsumer(ctx, streams.Findings, jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	messages, err := cons.Messages()
	if err != nil {
		b.Fatal(err)
	}
	end, others := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(others)
		if perSecond == 0 {
			return
		}
		const batch = 100
		tick := time.NewTicker(time.Second * batch / time.Duration(perSecond))
		defer tick.Stop()
		for n := 0; ; n += batch {
			select {
			case <-end:
				return
			case <-tick.C:
				if _, err := streams.Publish(ctx, r.js, streams.Events, fmt.Sprint("others-", n), harmless(n, batch)); err != nil {
					b.Error(err)
					return
				}
			}
		}
	}()
	var took []time.Duration
	b.ResetTimer()
	for i := range b.N {
		tap := fmt.Sprint("tap-", i)
		began := time.Now()
		if _, err := streams.Publish(ctx, r.js, streams.Events, tap, loss(tap)); err != nil {
			b.Fatal(err)
		}
		if _, err := messages.Next(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	b.StopTimer()
	close(end)
	<-others
	messages.Stop()
	stop(b, rec)
	stop(b, det)
	stop(b, exp)
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// loss is an event that raises a finding: a tap lost events.
func loss(tap string) plog.Logs {
	now := time.Now().UnixNano()
	e := event.Event{Name: event.NameTapLoss, Time: now, Received: now}
	e.ID, e.Tenant, e.Server, e.TapID, e.LostEvents = event.SourceID(tap), "default", "notes", tap, 3
	ld := plog.NewLogs()
	e.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
	return ld
}

// harmless are n calls that raise nothing.
func harmless(from, n int) plog.Logs {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		now := time.Now().UnixNano()
		e := event.Event{Name: event.NameRequest, Time: now, Received: now}
		e.Kind, e.Method, e.Direction = event.KindRequest, "tools/list", event.ClientToServer
		e.ID = event.SourceID("harmless", fmt.Sprint(from+i))
		e.Tenant, e.Server, e.PrincipalID = "default", "notes", fmt.Sprint("user-", (from+i)%50)
		e.Encode(records.AppendEmpty())
	}
	return ld
}
