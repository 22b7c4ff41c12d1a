package pagerduty

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/exporters/pagerduty/pagerdutytest"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	"github.com/mcpsiem/mcpsiem/internal/triage"
	jetstreamreceiver "github.com/mcpsiem/mcpsiem/receivers/jetstream"
)

// The judge: findings and what people decide about them go into FINDINGS, two processes of several workers each bring them to a PagerDuty that
// fails at random, and are ended at random and started again. When the faults are over every incident stands as its findings do, nobody was
// paged for what nobody raised, and no incident was opened twice without having been resolved.
func TestIncidentsStandAsFindingsDo(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { judge(t, seed+1) })
	}
	for range 20 { // a receiver that was cut off ends its last fetch, which takes up to two seconds
		if goleak.Find() == nil {
			break
		}
	}
}

func judge(t *testing.T, seed uint64) {
	const groups, processes, workers = 50, 5, 4
	rnd := rand.New(rand.NewPCG(seed, 3))
	var faulty atomic.Bool
	faulty.Store(true)
	var dice atomic.Uint64
	s := pagerdutytest.New(t, func(s *pagerdutytest.Server) {
		s.Fault = func(int, *pagerdutytest.Event) pagerdutytest.Fault {
			r := rand.New(rand.NewPCG(dice.Add(1), seed))
			if !faulty.Load() || r.IntN(3) > 0 {
				return pagerdutytest.Fault{}
			}
			all := []pagerdutytest.Fault{
				{Status: 429}, {Status: 500}, {Status: 503}, {Status: 408}, {Reset: true}, {ResetAfter: true}, {ResetAfter: true}, {Page: true}, {Delay: 10 * time.Millisecond}, {Status: 403},
			}
			return all[r.IntN(len(all))]
		}
	})
	nats := natsdtest.New(t)
	js := nats.JS()
	for _, n := range []string{streams.Findings, streams.Dead} {
		spec, _ := streams.DefaultSpec(n)
		if _, err := streams.Ensure(context.Background(), js, spec); err != nil {
			t.Fatal(err)
		}
	}
	// Each finding's revisions are in order, those of different ones mixed.
	var queue [][]*finding.Finding
	last := map[string]*finding.Finding{}
	var of [groups][]string
	for g := range groups {
		for i := range 1 + rnd.IntN(3) {
			f := raised(g*10+i, g)
			revs := []*finding.Finding{f}
			for r := range rnd.IntN(4) {
				revs = append(revs, become(f, string(triage.Statuses[rnd.IntN(len(triage.Statuses))]), int64(1000+r)))
			}
			last[f.ID] = revs[len(revs)-1]
			of[g] = append(of[g], f.ID)
			queue = append(queue, revs)
		}
	}
	total := 0
	for len(queue) > 0 {
		i := rnd.IntN(len(queue))
		f := queue[i][0]
		if _, err := streams.Publish(context.Background(), js, streams.Findings, sink.FindingKey(f), batch(f)); err != nil {
			t.Fatal(err)
		}
		total++
		if queue[i] = queue[i][1:]; len(queue[i]) == 0 {
			queue = append(queue[:i], queue[i+1:]...)
		}
	}
	process := func() func() {
		cfg := config(t, s.URL, func(c *Config) {
			c.Timeout, c.Throttle.Limit = time.Second, 0
			c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 4 * time.Millisecond, MaxElapsed: 10 * time.Millisecond}
			c.State.Bucket, c.State.NATS = "pager", nats.NATS()
		})
		exp, err := NewFactory().CreateLogs(context.Background(), settings(t), cfg)
		if err != nil {
			t.Fatal(err)
		}
		rf := jetstreamreceiver.NewFactory()
		rc := rf.CreateDefaultConfig().(*jetstreamreceiver.Config)
		rc.NATS, rc.Stream, rc.Durable, rc.Workers, rc.MaxAckPending = nats.NATS(), streams.Findings, "pager", workers, 2*workers
		rc.AckWait = 2 * time.Second
		rc.Retry.Initial, rc.Retry.Max = 2*time.Millisecond, 20*time.Millisecond
		rc.Circuit.Pause, rc.Circuit.MaxPause = 2*time.Millisecond, 10*time.Millisecond
		rc.ShutdownTimeout = 5 * time.Millisecond // cut off what is under way
		rcv, err := rf.CreateLogs(context.Background(), receivertest.NewNopSettings(jetstreamreceiver.Type), rc, exp)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []component.Component{exp, rcv} {
			if err := c.Start(context.Background(), componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
		}
		return func() {
			if err := rcv.Shutdown(context.Background()); err != nil {
				t.Log("ended while work was under way: ", err)
			}
			if err := exp.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
	for range processes {
		one, two := process(), process()
		time.Sleep(time.Duration(30+rnd.IntN(150)) * time.Millisecond)
		one()
		two()
	}
	faulty.Store(false)
	one, two := process(), process()
	deadline := time.Now().Add(40 * time.Second)
	for {
		c, err := js.Consumer(context.Background(), streams.Findings, "pager")
		if err != nil {
			t.Fatal(err)
		}
		if i := c.CachedInfo(); i.NumPending == 0 && i.NumAckPending == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not everything is settled after 40 s without faults")
		}
		time.Sleep(20 * time.Millisecond)
	}
	one()
	two()

	for g := range groups {
		var open, acknowledged, everOpen bool
		for _, id := range of[g] {
			switch triage.Status(last[id].Status) {
			case triage.Open:
				open = true
			case triage.Acknowledged:
				acknowledged = true
			}
			everOpen = true
		}
		a := s.Alert(pagerdutytest.Key, dedupKey(raised(g*10, g)))
		alive := a.Status == "triggered" || a.Status == "acknowledged"
		if want := everOpen && (open || acknowledged); alive != want {
			t.Errorf("incident %d is %q; open %v, acknowledged %v", g, a.Status, open, acknowledged)
		}
		if len(of[g]) == 1 && acknowledged && a.Status != "acknowledged" {
			t.Errorf("incident %d is %q, its only finding acknowledged", g, a.Status)
		}
		if len(of[g]) == 1 && open && a.Status != "triggered" && last[of[g][0]].Revision == 0 {
			t.Errorf("incident %d is %q, its only finding open", g, a.Status)
		}
	}
	for _, ev := range s.Events() {
		known := false
		for g := range groups {
			known = known || ev.DedupKey == dedupKey(raised(g*10, g))
		}
		if !known {
			t.Errorf("somebody was told of %s, which nobody raised", ev.DedupKey)
		}
	}
	for d, err := range streams.DeadLetters(context.Background(), js, 0) {
		t.Errorf("dead letter %v, %v", d, err)
	}
	if s.Faults() < 30 {
		t.Errorf("only %d faults: this proves little", s.Faults())
	}
	t.Logf("%d records of %d incidents, %d requests, %d faults", total, groups, s.Requests(), s.Faults())
}

func TestStoreKeepsItsPromise(t *testing.T) {
	nats := natsdtest.New(t)
	b, err := newBucket(context.Background(), StateConfig{Bucket: "x", NATS: nats.NATS(), Keep: time.Hour, Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for name, s := range map[string]store{"bucket": b, "memory": newMemory(2)} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			load := func(key string) (string, uint64) {
				var v string
				n, err := s.load(ctx, storeKey("k", key), &v)
				if err != nil {
					t.Fatal(err)
				}
				return v, n
			}
			save := func(key string, version uint64, v string) error { return s.save(ctx, storeKey("k", key), version, v) }
			if v, n := load("a"); v != "" || n != 0 {
				t.Errorf("%q %d", v, n)
			}
			if err := save("a", 0, "one"); err != nil {
				t.Fatal(err)
			}
			if err := save("a", 0, "two"); err != errConflict {
				t.Errorf("made twice: %v", err)
			}
			v, n := load("a")
			if v != "one" || n == 0 {
				t.Errorf("%q %d", v, n)
			}
			if err := save("a", n, "two"); err != nil {
				t.Fatal(err)
			}
			if err := save("a", n, "three"); err != errConflict {
				t.Errorf("changed twice: %v", err)
			}
			if v, _ := load("a"); v != "two" {
				t.Errorf("%q", v)
			}
		})
	}
}

func TestIncidentIsBounded(t *testing.T) {
	var in incident
	for i := range 3 * maxFindings {
		st := triage.Open
		if i%2 == 0 {
			st = triage.Resolved
		}
		in.set(hexID(i), standing{Status: st, Revision: int64(i)})
	}
	if len(in.Findings) != maxFindings {
		t.Fatalf("%d findings", len(in.Findings))
	}
	if _, ok := in.Findings[hexID(3*maxFindings-1)]; !ok {
		t.Error("the newest is forgotten")
	}
}
