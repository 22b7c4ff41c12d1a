package reconcile

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func id(i int) string { return fmt.Sprintf("%032x", i) }

// fill publishes messages of three events each and returns when each was taken.
func fill(t *testing.T, js jetstream.JetStream, messages int) (at []time.Time) {
	t.Helper()
	ctx := context.Background()
	spec, _ := streams.DefaultSpec(streams.Events)
	st, err := streams.Ensure(ctx, js, spec)
	if err != nil {
		t.Fatal(err)
	}
	for m := range messages {
		ld := plog.NewLogs()
		lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		for i := range 3 {
			e := event.Event{Name: event.NameRequest, Time: int64(m)}
			e.ID = id(m*3 + i)
			e.Encode(lrs.AppendEmpty())
		}
		seq, err := streams.Publish(ctx, js, streams.Events, fmt.Sprint("m", m), ld)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := st.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, msg.Time)
		time.Sleep(2 * time.Millisecond)
	}
	return at
}

// got returns the ids that a consumer is given, without those of the plain subject.
func replayed(t *testing.T, js jetstream.JetStream, durable string) (ids []string) {
	t.Helper()
	c, err := js.Consumer(context.Background(), streams.Events, durable)
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := c.Fetch(100, jetstream.FetchMaxWait(200*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for m := range b.Messages() {
			n++
			if m.Headers().Get(streams.HeaderReplayOf) != "" {
				ld, err := streams.Decode(m.Data(), m.Headers().Get(streams.HeaderEncoding))
				if err != nil {
					t.Fatal(err)
				}
				for i := range ld.LogRecordCount() {
					ids = append(ids, keyOf(ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(i)))
				}
			}
			_ = m.Ack()
		}
		if n == 0 {
			return ids
		}
	}
}

func TestReplayIsOfASpanAndForOneConsumer(t *testing.T) {
	js := natsdtest.New(t).JS()
	ctx := context.Background()
	at := fill(t, js, 6)
	for _, d := range []string{"a", "b"} {
		if _, err := js.CreateConsumer(ctx, streams.Events, jetstream.ConsumerConfig{Durable: d, AckPolicy: jetstream.AckExplicitPolicy,
			FilterSubjects: streams.Filters(streams.SubjectEvents, d)}); err != nil {
			t.Fatal(err)
		}
	}
	span := Span{Stream: streams.Events, From: at[1], To: at[3]}
	n, err := Count(ctx, js, span)
	if err != nil || n != (Totals{Messages: 2, Records: 6, First: 2, Last: 3}) {
		t.Fatalf("%+v, %v", n, err)
	}
	for range 2 { // the same run sends nothing twice
		if n, err := (Run{ID: "r", Durable: "a"}).Replay(ctx, js, span); err != nil || n.Messages != 2 {
			t.Fatalf("%+v, %v", n, err)
		}
	}
	if got, want := replayed(t, js, "a"), []string{id(3), id(4), id(5), id(6), id(7), id(8)}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := replayed(t, js, "b"); len(got) > 0 {
		t.Errorf("another consumer got %v", got)
	}
	// Replays are not replayed, and an empty span is empty.
	if n, err := Count(ctx, js, Span{Stream: streams.Events}); err != nil || n.Messages != 6 {
		t.Errorf("%+v, %v", n, err)
	}
	if n, err := Count(ctx, js, Span{Stream: streams.Events, From: time.Now().Add(time.Hour)}); err != nil || n != (Totals{}) {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := (Run{ID: "r", Durable: "none"}).Replay(ctx, js, span); err == nil {
		t.Error("a consumer that is not there")
	}
}

func TestReplayOfSomeRecords(t *testing.T) {
	js := natsdtest.New(t).JS()
	ctx := context.Background()
	fill(t, js, 4)
	if _, err := js.CreateConsumer(ctx, streams.Events, jetstream.ConsumerConfig{Durable: "a", AckPolicy: jetstream.AckExplicitPolicy,
		FilterSubjects: streams.Filters(streams.SubjectEvents, "a")}); err != nil {
		t.Fatal(err)
	}
	want := []string{id(1), id(2), id(10)}
	n, err := Run{ID: "r", Durable: "a", Keep: func(k string) bool { return slices.Contains(want, k) }}.Replay(ctx, js, Span{Stream: streams.Events})
	if err != nil || n.Messages != 2 || n.Records != 3 {
		t.Fatalf("%+v, %v", n, err)
	}
	if got := replayed(t, js, "a"); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
