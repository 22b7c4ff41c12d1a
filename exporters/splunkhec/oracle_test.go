package splunkhec

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/exporters/splunkhec/hectest"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	jetstreamreceiver "github.com/mcpsiem/mcpsiem/receivers/jetstream"
)

// The judge: batches go into EVENTS, a receiver and an exporter bring them to a Splunk that fails at random, and both are ended at
// random, some while requests and acknowledgements are under way, and started again. When the faults are over every event is in Splunk, the
// ones that Splunk refuses are in dead letters and nowhere else, nothing was invented, and what is there twice was in a request that went wrong or
// in hand when a process ended.
func TestNothingIsLost(t *testing.T) {
	f := func(name string, seed uint64, ack bool) {
		t.Run(name, func(t *testing.T) { judge(t, seed, ack) })
	}
	f("1", 1, false)
	f("2", 2, false)
	f("acknowledged 1", 3, true)
	f("acknowledged 2", 4, true)
	for range 20 { // a receiver that was cut off ends its last fetch, which takes up to two seconds
		if goleak.Find() == nil {
			break
		}
	}
}

func judge(t *testing.T, seed uint64, ack bool) {
	const (
		messages  = 60
		perBatch  = 25
		total     = messages * perBatch
		workers   = 2
		combine   = 4
		processes = 6
	)
	rnd := rand.New(rand.NewPCG(seed, 1))
	var faulty atomic.Bool
	faulty.Store(true)
	var dice, faults, ambiguous, lostAcks atomic.Int64
	dice.Store(int64(seed) * 1000)
	refused := map[string]bool{}
	for range 5 {
		refused[id(rnd.IntN(total))] = true
	}
	s := hectest.New(t, func(s *hectest.Server) {
		s.Ack = ack
		s.AckDelay = 1
		s.Refuse = func(e *hectest.Event) int {
			if refused[e.ID()] {
				return 6
			}
			return 0
		}
		s.Fault = func(n int, _ *http.Request) hectest.Fault {
			if !faulty.Load() {
				return hectest.Fault{}
			}
			r := rand.New(rand.NewPCG(uint64(dice.Add(1)), 7))
			if r.IntN(3) != 0 {
				return hectest.Fault{Delay: time.Duration(r.IntN(15)) * time.Millisecond}
			}
			faults.Add(1)
			all := []hectest.Fault{
				{Code: 9}, {Code: 8}, {Code: 26, RetryAfter: "0"}, {HTTP: 502}, {HTTP: 413}, {Reset: true}, {ResetAfter: true}, {Hang: true}, {Page: true},
				{Code: 4}, {Code: 7}, {Code: 11}, {HTTP: 503, Delay: 20 * time.Millisecond},
			}
			if ack {
				all = append(all, hectest.Fault{AckLost: true}, hectest.Fault{AckNever: true}, hectest.Fault{AckNever: true})
			}
			x := all[r.IntN(len(all))]
			if x.AckLost || x.AckNever {
				lostAcks.Add(1)
			}
			if x.AckLost || x.ResetAfter {
				ambiguous.Add(1)
			}
			return x
		}
		s.AckFault = func(n int) hectest.Fault {
			if faulty.Load() && n%5 == 0 {
				ambiguous.Add(1)
				return []hectest.Fault{{Reset: true}, {HTTP: 500}, {Code: 19}}[n/5%3]
			}
			return hectest.Fault{}
		}
	})
	nats := natsdtest.New(t)
	js := nats.JS()
	for _, n := range []string{streams.Events, streams.Dead} {
		spec, _ := streams.DefaultSpec(n)
		if _, err := streams.Ensure(context.Background(), js, spec); err != nil {
			t.Fatal(err)
		}
	}
	for m := range messages {
		if _, err := streams.Publish(context.Background(), js, streams.Events, fmt.Sprint("m", m), batch(m*perBatch, perBatch)); err != nil {
			t.Fatal(err)
		}
	}

	process := func() func() {
		cfg := config(t, s.URL, func(c *Config) {
			c.Timeout = 60 * time.Millisecond
			c.MaxContentLength, c.MaxEventBytes = 64<<10, 16<<10
			c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 10 * time.Millisecond, MaxElapsed: 30 * time.Millisecond}
			c.Ack = AckConfig{Mode: ackAuto, PollInterval: 5 * time.Millisecond, Timeout: 100 * time.Millisecond}
		})
		set := exportertest.NewNopSettings(Type)
		exp, err := NewFactory().CreateLogs(context.Background(), set, cfg)
		if err != nil {
			t.Fatal(err)
		}
		rf := jetstreamreceiver.NewFactory()
		rc := rf.CreateDefaultConfig().(*jetstreamreceiver.Config)
		rc.NATS, rc.Stream, rc.Durable, rc.Workers = nats.NATS(), streams.Events, "splunk", workers
		rc.Combine.MaxMessages, rc.Combine.MaxWait = combine, 5*time.Millisecond
		rc.MaxAckPending = workers * combine
		rc.AckWait = 2 * time.Second
		rc.Retry.Initial, rc.Retry.Max = 5*time.Millisecond, 50*time.Millisecond
		rc.Circuit.Pause, rc.Circuit.MaxPause = 5*time.Millisecond, 50*time.Millisecond
		rc.ShutdownTimeout = 5 * time.Millisecond // cut off what is under way
		rcv, err := rf.CreateLogs(context.Background(), receivertest.NewNopSettings(jetstreamreceiver.Type), rc, exp)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []component.Component{exp, receiver.Logs(rcv)} {
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
		stop := process()
		time.Sleep(time.Duration(50+rnd.IntN(250)) * time.Millisecond)
		if rnd.IntN(3) == 0 {
			s.Restart()
		}
		stop()
	}
	faulty.Store(false)
	stop := process()
	deadline := time.Now().Add(60 * time.Second)
	for {
		c, err := js.Consumer(context.Background(), streams.Events, "splunk")
		if err != nil {
			t.Fatal(err)
		}
		if i := c.CachedInfo(); i.NumPending == 0 && i.NumAckPending == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not everything is settled after a minute without faults")
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()

	got := s.Counts()
	extra := 0
	for i := range total {
		n := got[id(i)]
		switch {
		case refused[id(i)] && n > 0:
			t.Errorf("event %d was refused and is there", i)
		case !refused[id(i)] && n == 0:
			t.Errorf("event %d is lost", i)
		case n > 1:
			extra += n - 1
		}
		delete(got, id(i))
	}
	for k := range got {
		t.Errorf("event %q was invented", k)
	}
	dead := map[string]int{}
	for d, err := range streams.DeadLetters(context.Background(), js, 0) {
		if err != nil {
			t.Fatal(err)
		}
		body, enc, err := streams.Body(context.Background(), js, d.Seq)
		if err != nil {
			t.Fatal(err)
		}
		ld, err := streams.Decode(body, enc)
		if err != nil {
			t.Fatal(err)
		}
		filter, _ := (&sink.Route{}).Compile()
		for rec := range sink.NewReader(filter, nil).Read(context.Background(), ld) {
			dead[rec.Key()]++
		}
	}
	var deadIDs, refusedIDs []string
	for k, n := range dead {
		deadIDs = append(deadIDs, k)
		if n != 1 {
			t.Errorf("%s is in %d dead letters", k, n)
		}
	}
	for k := range refused {
		refusedIDs = append(refusedIDs, k)
	}
	slices.Sort(deadIDs)
	slices.Sort(refusedIDs)
	if !slices.Equal(deadIDs, refusedIDs) {
		t.Errorf("dead letters hold %v, Splunk refuses %v", deadIDs, refusedIDs)
	}
	// A copy more: of a request that was taken and not answered, or whose acknowledgement was lost, or that was in hand at the end of a process or a
	// node.
	inHand := workers * combine * perBatch
	if bound := (int(ambiguous.Load()) + 2*processes) * inHand; extra > bound {
		t.Errorf("%d copies too many, at most %d were in flight", extra, bound)
	}
	if faults.Load() < 10 || ack && lostAcks.Load() < 1 {
		t.Errorf("only %d faults, %d lost acknowledgements: this proves little", faults.Load(), lostAcks.Load())
	}
	t.Logf("%d events, %d requests, %d faults, %d lost acknowledgements, %d copies too many", total, len(s.Requests()), faults.Load(), lostAcks.Load(), extra)
}
