package elastic

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

	"github.com/mcpsiem/mcpsiem/exporters/elastic/elastictest"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	jetstreamreceiver "github.com/mcpsiem/mcpsiem/receivers/jetstream"
)

// The judge: batches go into EVENTS, a receiver and an exporter bring them to a cluster that fails at random, request by request and document by
// document, and whose data streams roll over meanwhile; both are ended at random, some while requests are under way, and started again. When the faults
// are over every event is there, once; the ones that the cluster refuses are in dead letters, once, and nowhere else; nothing was invented.
func TestNothingIsLostOrTwice(t *testing.T) {
	f := func(name string, seed uint64, flavour string) {
		t.Run(name, func(t *testing.T) { judge(t, seed, flavour) })
	}
	f("elasticsearch 1", 1, "elasticsearch")
	f("elasticsearch 2", 2, "elasticsearch")
	f("elasticsearch 3", 3, "elasticsearch")
	f("opensearch", 4, "opensearch")
	for range 20 { // a receiver that was cut off ends its last fetch, which takes up to two seconds
		if goleak.Find() == nil {
			break
		}
	}
}

func judge(t *testing.T, seed uint64, flavour string) {
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
	var dice, faults, itemFaults, ambiguous atomic.Int64
	dice.Store(int64(seed) * 1000)
	roll := func() *rand.Rand { return rand.New(rand.NewPCG(uint64(dice.Add(1)), 7)) }
	refused := map[string]bool{}
	for range 5 {
		refused[id(rnd.IntN(total))] = true
	}
	s := elastictest.New(t, func(s *elastictest.Server) {
		s.Flavour = flavour
		s.Refuse = func(id string, _ map[string]any) elastictest.Item {
			if refused[id] {
				return elastictest.Item{Status: 400, Type: "document_parsing_exception"}
			}
			if r := roll(); faulty.Load() && r.IntN(40) == 0 {
				itemFaults.Add(1)
				all := []elastictest.Item{{Status: 429, Type: "es_rejected_execution_exception"}, {Status: 503, Type: "unavailable_shards_exception"}, {Status: 500, After: true}, {Status: 404, Type: "index_not_found_exception"}}
				return all[r.IntN(len(all))]
			}
			return elastictest.Item{}
		}
		s.Fault = func(_ int, req *http.Request) elastictest.Fault {
			if !faulty.Load() {
				return elastictest.Fault{}
			}
			r := roll()
			if r.IntN(3) != 0 {
				return elastictest.Fault{Delay: time.Duration(r.IntN(15)) * time.Millisecond}
			}
			faults.Add(1)
			all := []elastictest.Fault{
				{HTTP: 429, RetryAfter: "0"}, {HTTP: 502}, {HTTP: 503, Delay: 20 * time.Millisecond}, {HTTP: 401, Type: "security_exception"}, {HTTP: 400, Type: "parse_exception"}, {HTTP: 413},
				{Page: true}, {Reset: true}, {Hang: true}, {ResetAfter: true}, {HalfAnswer: true}, {Half: true}, {ItemsShort: true},
			}
			x := all[r.IntN(len(all))]
			if (x.HTTP == 400 || x.HTTP == 413) && req.ContentLength < 2000 { // a document that is good is never refused alone
				return elastictest.Fault{}
			}
			if x.ResetAfter || x.HalfAnswer || x.Half || x.ItemsShort {
				ambiguous.Add(1)
			}
			return x
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
			c.MaxBodyBytes, c.MaxEventBytes = 64<<10, 16<<10
			c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 10 * time.Millisecond, MaxElapsed: 30 * time.Millisecond}
		})
		exp, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(Type), cfg)
		if err != nil {
			t.Fatal(err)
		}
		rf := jetstreamreceiver.NewFactory()
		rc := rf.CreateDefaultConfig().(*jetstreamreceiver.Config)
		rc.NATS, rc.Stream, rc.Durable, rc.Workers = nats.NATS(), streams.Events, "elastic", workers
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
	rollovers := 0
	for range processes {
		stop := process()
		time.Sleep(time.Duration(50+rnd.IntN(200)) * time.Millisecond)
		if rnd.IntN(2) == 0 {
			s.Rollover()
			rollovers++
		}
		stop()
	}
	faulty.Store(false)
	stop := process()
	deadline := time.Now().Add(60 * time.Second)
	for {
		c, err := js.Consumer(context.Background(), streams.Events, "elastic")
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
	for i := range total {
		n := got[id(i)]
		switch {
		case refused[id(i)] && n > 0:
			t.Errorf("event %d was refused and is there", i)
		case !refused[id(i)] && n != 1:
			t.Errorf("event %d is there %d times", i, n)
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
		t.Errorf("dead letters hold %v, the cluster refuses %v", deadIDs, refusedIDs)
	}
	if faults.Load() < 10 || itemFaults.Load() < 5 || ambiguous.Load() < 2 {
		t.Errorf("only %d faults of requests, %d of documents, %d of them ambiguous: this proves little", faults.Load(), itemFaults.Load(), ambiguous.Load())
	}
	t.Logf("%d events, %d requests, %d faults, %d of documents, %d ambiguous, %d rollovers", total, s.Bulks(), faults.Load(), itemFaults.Load(), ambiguous.Load(), rollovers)
}
