package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type rig struct {
	t      testing.TB
	stream *memStream
	store  *memStore
	sink   *sink
	source Source
	limit  uint64
	host   *Host
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, stream: &memStream{created: 7}, store: &memStore{}, sink: &sink{}}
	r.source = r.stream
	return r
}

// start makes a new host, as a new process would.
func (r *rig) start() {
	next, err := consumer.NewLogs(r.sink.consume)
	if err != nil {
		r.t.Fatal(err)
	}
	r.host = NewHost(HostSettings{Engine: newEngine(r.t, nil), Next: next, Store: r.store, Source: r.source, CatchUpLimit: r.limit})
	if err := r.host.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) deliver(n uint64) error {
	ctx := streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, Durable: "detect", First: n, Last: n})
	return r.host.ConsumeLogs(ctx, r.stream.copy(n))
}

// save makes a snapshot now, as the timer would between two messages.
func (r *rig) save() {
	if r.host.pending.LogRecordCount() > 0 {
		return
	}
	r.host.s.Interval = 1
	r.host.changed = true
	r.host.lastSave = time.Time{}
	r.host.maybeSave()
	r.host.saving.Wait()
	if r.host.busy {
		r.host.finished(<-r.host.saved)
	}
	r.host.s.Interval = 0
}

func (r *rig) anomalies(want map[string]int64) {
	r.t.Helper()
	if got := r.host.stats.Anomalies; !maps.Equal(got, want) {
		r.t.Errorf("anomalies are %v, want %v", got, want)
	}
}

// story makes n messages of requests, answers and errors of a few principals, tenants and taps, in rough order of time, some of
// the events twice.
func story(t *rapid.T, n int) []plog.Logs {
	var events []event.Event
	at := 0.0
	seq := map[string]int64{}
	for range rapid.IntRange(n, 4*n).Draw(t, "events") {
		at += rapid.Float64Range(-1, 4).Draw(t, "step")
		tap := rapid.SampledFrom([]string{"t1", "t2", ""}).Draw(t, "tap")
		seq[tap]++
		e := ev(max(at, 0), func(e *event.Event) {
			e.Tenant = rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "tenant")
			e.PrincipalID = rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "principal")
			e.Tool = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "tool")
			if tap != "" {
				e.TapID, e.TapSeq = tap, seq[tap]
				e.ID = event.TapID(tap, 0, e.TapSeq)
			} else {
				e.ID = event.SourceID("story", fmt.Sprint(seq[tap]))
			}
			if len(events) > 0 && rapid.IntRange(0, 2).Draw(t, "answer") == 0 {
				e.Kind, e.Name, e.Outcome = event.KindResponse, event.NameResponse, rapid.SampledFrom([]string{event.OutcomeOK, event.OutcomeToolError}).Draw(t, "outcome")
				req := events[rapid.IntRange(0, len(events)-1).Draw(t, "of")]
				e.ExchangeID, e.Tenant, e.PrincipalID = req.ExchangeID, req.Tenant, req.PrincipalID
			}
		})
		events = append(events, e)
		if rapid.IntRange(0, 5).Draw(t, "twice") == 0 {
			events = append(events, events[rapid.IntRange(0, len(events)-1).Draw(t, "again")])
		}
	}
	return batches(t, events, n)
}

// batches cuts events into at most n messages.
func batches(t *rapid.T, events []event.Event, n int) (out []plog.Logs) {
	for len(events) > 0 {
		k := len(events)
		if len(out) < n-1 {
			k = rapid.IntRange(1, min(len(events), 6)).Draw(t, "batch")
		}
		out = append(out, logsOf(events[:k]...))
		events = events[k:]
	}
	return out
}

// The set of findings after any number of kills, refusals, torn snapshots and redeliveries out of order is that of a run
// without any.
func TestKilledAnywhere(t *testing.T) {
	var kills, raised, silent int
	rapid.Check(t, func(rt *rapid.T) {
		messages := story(rt, 25)

		plain := newRig(t)
		plain.stream.messages = messages
		plain.start()
		for n := range messages {
			if err := plain.deliver(uint64(n + 1)); err != nil {
				rt.Fatal(err)
			}
		}
		want := asSet(rt, plain.sink.got)
		raised += len(want)

		r := newRig(t)
		r.stream.messages = messages
		r.start()
		acked := map[uint64]bool{}
		ack := func(n uint64) {
			acked[n] = true
			for acked[r.stream.floor+1] {
				r.stream.floor++
			}
		}
		kill := func() { kills++; silent += int(r.host.s.Engine.stats.Muted); r.start() }
		for r.stream.floor < uint64(len(messages)) {
			n := r.stream.floor + 1
			if rapid.IntRange(0, 9).Draw(rt, "ahead") == 0 { // a message that was put back comes after the next one
				n += rapid.Uint64Range(1, 3).Draw(rt, "by")
			}
			if n > uint64(len(messages)) || acked[n] {
				n = r.stream.floor + 1
			}
			switch rapid.SampledFrom([]string{"", "", "", "", "before", "sink refuses", "sink takes, kill", "kill before ack", "kill after ack",
				"save", "torn save, kill", "save, kill", "stop"}).Draw(rt, "fault") {
			case "before":
				kill()
			case "sink refuses":
				r.sink.refuse = func(plog.Logs) error { return errBusy }
				err := r.deliver(n)
				r.sink.refuse = nil
				if err == nil {
					ack(n)
				} else if rapid.Bool().Draw(rt, "die") {
					kill()
				}
			case "sink takes, kill":
				r.sink.refuse = func(ld plog.Logs) error {
					r.sink.got = append(r.sink.got, findingsOf(ld)...)
					return errBusy
				}
				_ = r.deliver(n)
				r.sink.refuse = nil
				kill()
			case "kill before ack":
				_ = r.deliver(n)
				kill()
			case "kill after ack":
				if err := r.deliver(n); err != nil {
					rt.Fatal(err)
				}
				ack(n)
				kill()
			case "save":
				r.save()
			case "torn save, kill":
				r.store.tear = true
				r.save()
				r.store.tear = false
				kill()
			case "save, kill":
				r.save()
				kill()
			case "stop":
				if err := r.host.Shutdown(context.Background()); err != nil {
					rt.Fatal(err)
				}
				r.start()
			default:
				if err := r.deliver(n); err != nil {
					rt.Fatal(err)
				}
				ack(n)
			}
		}
		if got := asSet(rt, r.sink.got); !maps.Equal(got, want) {
			rt.Fatalf("have %d findings, want %d\n%v\n%v", len(got), len(want), got, want)
		}
	})
	if kills == 0 || raised == 0 || silent == 0 {
		t.Errorf("the test tried nothing: %d kills, %d findings, %d not sent again", kills, raised, silent)
	}
}

// How events are cut into messages, and whether they come twice, does not matter.
func TestBatchesAndDuplicates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		run := func(messages []plog.Logs, again bool) map[string]string {
			g := newEngine(t, nil)
			for i, m := range messages {
				g.Apply(m)
				if again {
					g.Apply(messages[rapid.IntRange(0, i).Draw(rt, "again")])
				}
			}
			return asSet(rt, findingsOf(g.Findings()))
		}
		messages := story(rt, 15)
		want := run(messages, false)
		one := plog.NewLogs()
		for _, m := range messages {
			c := plog.NewLogs()
			m.CopyTo(c)
			c.ResourceLogs().MoveAndAppendTo(one.ResourceLogs())
		}
		if got := run([]plog.Logs{one}, false); !maps.Equal(got, want) {
			rt.Fatalf("in one batch: %v\nwant %v", got, want)
		}
		if got := run(messages, true); !maps.Equal(got, want) {
			rt.Fatalf("with duplicates: %v\nwant %v", got, want)
		}
	})
}

func requests(n int) []plog.Logs {
	var out []plog.Logs
	for i := range n {
		out = append(out, logsOf(ev(float64(i), func(e *event.Event) { e.TapID, e.TapSeq = "t", int64(i+1); e.ID = event.TapID("t", 0, int64(i+1)) })))
	}
	return out
}

func (r *rig) deliverAll(from, to uint64) {
	r.t.Helper()
	for n := from; n <= to; n++ {
		if err := r.deliver(n); err != nil {
			r.t.Fatal(err)
		}
		r.stream.floor = max(r.stream.floor, n)
	}
}

func TestFindingsWaitForTheSink(t *testing.T) {
	r := newRig(t)
	r.stream.messages = requests(6)
	r.start()
	r.deliverAll(1, 2)
	r.sink.refuse = func(plog.Logs) error { return errBusy }
	for range 3 {
		if err := r.deliver(3); !errors.Is(err, errBusy) || consumererror.IsPermanent(err) {
			t.Fatalf("error is %v", err)
		}
	}
	r.save()
	if len(r.store.snaps) != 0 {
		t.Error("a snapshot was made while findings wait")
	}
	if err := r.host.Shutdown(context.Background()); err != nil || len(r.store.snaps) != 0 {
		t.Errorf("a snapshot was made at shutdown while findings wait: %v", err)
	}
	r.sink.refuse = nil
	if err := r.deliver(3); err != nil {
		t.Fatal(err)
	}
	if len(r.sink.got) != 1 {
		t.Errorf("%d findings", len(r.sink.got))
	}
	r.anomalies(map[string]int64{})
}

func TestPartlyTaken(t *testing.T) {
	r := newRig(t)
	var events []event.Event
	for i := range 3 {
		events = append(events, ev(float64(i), func(e *event.Event) {
			e.ID, e.Kind, e.Outcome, e.Tool = event.SourceID(fmt.Sprint(i)), event.KindResponse, event.OutcomeToolError, fmt.Sprint(i)
		}))
	}
	r.stream.messages = []plog.Logs{logsOf(events...)}
	r.start()
	r.sink.refuse = func(ld plog.Logs) error {
		r.sink.refuse = nil
		all := findingsOf(ld)
		r.sink.got = append(r.sink.got, all[0])
		rest := plog.NewLogs()
		ld.CopyTo(rest)
		first := true
		rest.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().RemoveIf(func(plog.LogRecord) bool { f := first; first = false; return f })
		return consumererror.NewLogs(errBusy, rest)
	}
	if err := r.deliver(1); err == nil {
		t.Fatal("no error")
	}
	if err := r.deliver(1); err != nil {
		t.Fatal(err)
	}
	if len(r.sink.got) != 3 || r.host.stats.FindingsSent != 3 {
		t.Errorf("%d findings, %d counted", len(r.sink.got), r.host.stats.FindingsSent)
	}
}

func TestRefusedForGood(t *testing.T) {
	r := newRig(t)
	r.stream.messages = requests(5)
	r.start()
	r.deliverAll(1, 2)
	r.sink.refuse = func(plog.Logs) error { return consumererror.NewPermanent(errBusy) }
	if err := r.deliver(3); !consumererror.IsPermanent(err) {
		t.Fatalf("error is %v", err)
	}
	r.sink.refuse = nil
	r.deliverAll(4, 5)
	if len(r.sink.got) != 0 || r.host.stats.FindingsLost != 1 {
		t.Errorf("%d findings, %d lost", len(r.sink.got), r.host.stats.FindingsLost)
	}
	r.anomalies(map[string]int64{AnomalyFindingsRefused: 1})
}

func TestSnapshotDamage(t *testing.T) {
	for name, damage := range map[string]func([][]byte) [][]byte{
		"flipped bit in the newest": func(s [][]byte) [][]byte { s[0][len(s[0])-3] ^= 4; return s },
		"newest cut":                func(s [][]byte) [][]byte { s[0] = s[0][:len(s[0])-1]; return s },
		"newest empty":              func(s [][]byte) [][]byte { s[0] = nil; return s },
		"both damaged":              func(s [][]byte) [][]byte { s[0][60] ^= 1; s[1] = s[1][:10]; return s },
		"another format":            func(s [][]byte) [][]byte { s[0][5]++; s[1][5]++; return s },
		"gone":                      func([][]byte) [][]byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.stream.messages = requests(12)
			r.start()
			r.deliverAll(1, 4)
			r.save()
			r.deliverAll(5, 8)
			r.save()
			r.deliverAll(9, 10)
			before := r.sink.bursts()
			r.store.snaps = damage(r.store.snaps)
			r.start()
			r.deliverAll(11, 12)
			if name != "gone" && r.host.stats.Anomalies[AnomalySnapshotDamaged] == 0 {
				t.Error("the damage is not recorded")
			}
			if before != 3 || r.sink.bursts() != 4 {
				t.Errorf("%d findings before, %d in all; want 3 and 4", before, r.sink.bursts())
			}
		})
	}
}

func TestSnapshotCannotBeKept(t *testing.T) {
	r := newRig(t)
	r.stream.messages = requests(3)
	r.store.fail = true
	r.start()
	r.deliverAll(1, 2)
	r.save()
	r.anomalies(map[string]int64{AnomalySnapshotFailed: 1})
	r.deliverAll(3, 3)
	if err := r.host.Shutdown(context.Background()); err == nil {
		t.Error("shutdown hides that the state was not kept")
	}
	if len(r.sink.got) != 1 {
		t.Errorf("%d findings", len(r.sink.got))
	}
}

func TestStreamRecreated(t *testing.T) {
	r := newRig(t)
	r.stream.messages = requests(5)
	r.start()
	r.deliverAll(1, 5)
	r.save()
	// Another stream of the same name, with events that go on where the old ones stopped.
	r.stream = &memStream{created: 8, messages: requests(9)[5:]}
	r.source = r.stream
	r.start()
	r.deliverAll(1, 4)
	r.anomalies(map[string]int64{AnomalyStreamRecreated: 1})
	if r.sink.bursts() != 3 {
		t.Errorf("%d findings, want 3: states survive, no message is skipped", r.sink.bursts())
	}
}

func TestMessagesGone(t *testing.T) {
	r := newRig(t)
	r.stream.messages = requests(12)
	r.start()
	r.deliverAll(1, 3)
	r.save()
	r.deliverAll(4, 9)
	r.stream.first = 8 // what came before has expired
	r.start()
	r.deliverAll(10, 10)
	r.anomalies(map[string]int64{AnomalyMessagesGone: 1})
	if r.host.stats.CaughtUp != 2 {
		t.Errorf("caught up on %d messages, want 2", r.host.stats.CaughtUp)
	}
}

func TestCatchUpLimit(t *testing.T) {
	r := newRig(t)
	r.limit = 2
	r.stream.messages = requests(12)
	r.stream.floor = 11
	r.start() // nothing is known, the consumer has been through 11 messages
	r.deliverAll(12, 12)
	if r.host.stats.CaughtUp != 2 || len(r.sink.got) != 1 {
		t.Errorf("caught up on %d messages, %d findings", r.host.stats.CaughtUp, len(r.sink.got))
	}
}

func TestSourceUnavailable(t *testing.T) {
	r := newRig(t)
	r.stream.messages = requests(6)
	r.start()
	r.deliverAll(1, 3)
	r.start() // without a snapshot
	r.stream.broken = errBusy
	if err := r.deliver(4); !errors.Is(err, errBusy) || consumererror.IsPermanent(err) {
		t.Fatalf("error is %v", err)
	}
	r.stream.broken = nil
	r.deliverAll(4, 6)
	if len(r.sink.got) != 2 {
		t.Errorf("%d findings", len(r.sink.got))
	}
}

func TestWithoutSource(t *testing.T) {
	r := newRig(t)
	r.source = nil
	r.stream.messages = requests(6)
	r.start()
	r.deliverAll(1, 2)
	r.deliverAll(4, 4) // 3 was put back
	r.anomalies(map[string]int64{AnomalyGap: 1})
	r.deliverAll(3, 3) // and comes now
	r.deliverAll(3, 3)
	r.deliverAll(5, 6)
	if g := r.host.s.Engine.stats; g.Events != 6 || r.host.stats.Skipped != 1 {
		t.Errorf("%d events, %d skipped", g.Events, r.host.stats.Skipped)
	}
}

func TestFileStore(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s, err := NewFileStore(dir+"/state", "detect")
	if err != nil {
		t.Fatal(err)
	}
	f := func(want ...string) {
		t.Helper()
		got, err := s.Load(ctx)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d snapshots, want %d: %v", len(got), len(want), err)
		}
		for i := range want {
			if string(got[i]) != want[i] {
				t.Errorf("snapshot %d is %q, want %q", i, got[i], want[i])
			}
		}
	}
	save := func(text string) {
		t.Helper()
		if err := s.Save(ctx, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	f()
	save("one")
	f("one")
	save("two")
	f("two", "one")
	save("three")
	f("three", "two")
	checkMode(t, s.path(""), 0o600)
	checkMode(t, s.dir, 0o700)
	// A crash between the two renames leaves only the one before.
	remove(t, s.path(""))
	f("two")
	save("four")
	f("four", "two")
	// A crash while writing leaves the new one half written beside.
	write(t, s.path(".next"), "half of a snapshot")
	f("four", "two")
	save("5")
	f("5", "four")
}
