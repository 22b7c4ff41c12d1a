package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestConsumersAreObserved(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	ctx := context.Background()
	spec, _ := streams.DefaultSpec(streams.Events)
	st, err := streams.Ensure(ctx, js, spec)
	if err != nil {
		t.Fatal(err)
	}
	cons, err := st.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "slow", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c"} {
		ld := plog.NewLogs()
		ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		if _, err := streams.Publish(ctx, js, streams.Events, id, ld); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := cons.Fetch(2)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() { // the first is confirmed, the second under way, the third waits
		if meta, _ := m.Metadata(); meta.Sequence.Stream == 1 {
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	rows, err := look(ctx, js, time.Now().Add(90*time.Second))
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	r := rows[0]
	if r.stream != "EVENTS" || r.durable != "slow" || r.pending != 1 || r.ackPending != 1 || r.ackFloor != 1 || r.last != 3 || r.lag < 90*time.Second || r.lag > 150*time.Second {
		t.Errorf("have %+v", r)
	}
	out := &table{cfg: &ClickHouseConfig{Endpoint: storetest.Server.TCPAddr(), Database: "mcpsiem", Username: chdb.UserPipeline, Password: configopaque.String(storetest.Server.Password(chdb.UserPipeline))}}
	defer out.close()
	if err := out.insertSightings(ctx, rows); err != nil {
		t.Fatal(err)
	}
	var lag float64
	if err := storetest.Open(t, chdb.UserAnalyst).QueryRow(ctx, "SELECT lag_seconds FROM consumers WHERE durable = 'slow'").Scan(&lag); err != nil || lag < 90 {
		t.Errorf("lag %v, %v", lag, err)
	}
}
