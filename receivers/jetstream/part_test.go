package jetstream

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// without returns the records of ld with one of the ids, as an exporter that was refused them does.
func without(ld plog.Logs, ids ...string) error {
	rest := plog.NewLogs()
	ld.CopyTo(rest)
	rest.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
		lrs := rl.ScopeLogs().At(0).LogRecords()
		lrs.RemoveIf(func(lr plog.LogRecord) bool {
			v, _ := lr.Attributes().Get(event.AttrID)
			return !slices.Contains(ids, v.Str())
		})
		return lrs.Len() == 0
	})
	if rest.LogRecordCount() == 0 {
		return nil
	}
	return consumererror.NewPermanent(consumererror.NewLogs(streams.WithReason(errors.New(secret), "bad_record"), rest))
}

func (e *env) letterIDs(l streams.DeadLetter) (out []string) {
	e.t.Helper()
	data, enc, err := streams.Body(context.Background(), e.js, l.Seq)
	if err != nil {
		e.t.Fatal(err)
	}
	ld, err := streams.Decode(data, enc)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, rl := range ld.ResourceLogs().All() {
		for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
			v, _ := lr.Attributes().Get(event.AttrID)
			out = append(out, v.Str())
		}
	}
	return out
}

func TestRefusedRecordsAlone(t *testing.T) {
	e := newEnv(t)
	e.publish(streams.Events, 1, 5)
	bad := true
	s := newSink(func(_ streams.Origin, ld plog.Logs) error {
		if !bad {
			return nil
		}
		return without(ld, "2", "4")
	})
	e.start(s, streams.Events)
	eventually(t, "the message is settled", func() bool { return e.unsettled(streams.Events) == 0 && len(e.letters()) == 1 })
	l := e.letters()[0]
	if got := e.letterIDs(l); !slices.Equal(got, []string{"2", "4"}) || l.Count != 2 || l.Reason != "bad_record" || l.StreamSeq != 1 {
		t.Fatalf("letter %+v holds %v", l, got)
	}
	if n := len(s.seen()); n != 1 {
		t.Errorf("%d deliveries, want one", n)
	}
	bad = false
	if _, err := streams.Replay(context.Background(), e.js, l.Seq); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replay arrives", func() bool { return len(s.seen()) == 2 })
	if got := s.seen()[1].ids; !slices.Equal(got, []string{"2", "4"}) {
		t.Errorf("replayed %v", got)
	}
}

func TestRefusedRecordsOfCombinedMessages(t *testing.T) {
	e := newEnv(t)
	e.publish(streams.Events, 1, 2)
	e.publish(streams.Events, 3, 2)
	e.publish(streams.Events, 5, 2)
	s := newSink(func(_ streams.Origin, ld plog.Logs) error { return without(ld, "2", "5", "6") })
	e.start(s, streams.Events, func(c *Config) { c.Combine.MaxMessages = 3; c.MaxAckPending = 3 })
	eventually(t, "all are settled", func() bool { return e.unsettled(streams.Events) == 0 && len(e.letters()) == 2 })
	ls := e.letters()
	if a, b := e.letterIDs(ls[0]), e.letterIDs(ls[1]); ls[0].StreamSeq != 1 || !slices.Equal(a, []string{"2"}) || ls[1].StreamSeq != 3 || !slices.Equal(b, []string{"5", "6"}) {
		t.Errorf("letters of %d: %v and %d: %v", ls[0].StreamSeq, a, ls[1].StreamSeq, b)
	}
	if n := len(s.seen()); n > 3 {
		t.Errorf("%d deliveries: a refusal that names its records must not repeat the others", n)
	}
}

func TestRefusedRecordsOfRawStayWhole(t *testing.T) {
	e := newEnv(t)
	e.publish(streams.Raw, 1, 3)
	s := newSink(func(_ streams.Origin, ld plog.Logs) error { return without(ld, "2") })
	e.start(s, streams.Raw)
	eventually(t, "the message is settled", func() bool { return len(e.letters()) == 1 })
	if l := e.letters()[0]; l.Count != 3 || l.KeptSeq == 0 {
		t.Errorf("%+v", l)
	}
}

func TestRefused(t *testing.T) {
	one := plog.NewLogs()
	part := consumererror.NewLogs(errors.New("x"), one)
	f := func(name string, err error, want bool) {
		t.Helper()
		if _, got := refused(err); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	f("nil", nil, false)
	f("plain", errors.New("x"), false)
	f("part", part, true)
	f("permanent part", consumererror.NewPermanent(part), true)
	f("joined", errors.Join(part, errors.New("y")), false)
	f("joined with nothing", errors.Join(part), false)
}
