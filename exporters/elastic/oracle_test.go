package elastic

import (
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/mcpsiem/mcpsiem/exporters/elastic/elastictest"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
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
	sinktest.Ended()
}

func judge(t *testing.T, seed uint64, flavour string) {
	var faulty atomic.Bool
	faulty.Store(true)
	var dice, faults, itemFaults, ambiguous, lookUps atomic.Int64
	dice.Store(int64(seed) * 1000)
	roll := func() *rand.Rand { return rand.New(rand.NewPCG(uint64(dice.Add(1)), 7)) }
	refused := sinktest.RefusedAtRandom(seed)
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
		s.LookUp = func(int, string) int {
			if r := roll(); faulty.Load() && r.IntN(4) == 0 {
				lookUps.Add(1)
				return []int{429, 500, 503}[r.IntN(3)]
			}
			return 0
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
	rollovers := 0
	j := &sinktest.Judge{
		Seed: seed, Factory: NewFactory(), Refused: refused, Faults: faults.Load, Over: func() { faulty.Store(false) },
		Config: func() component.Config {
			return config(t, s.URL, func(c *Config) {
				c.Timeout = 60 * time.Millisecond
				c.MaxBodyBytes, c.MaxEventBytes = 64<<10, 16<<10
				c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 10 * time.Millisecond, MaxElapsed: 30 * time.Millisecond}
			})
		},
		Meanwhile: func(rnd *rand.Rand) {
			if rnd.IntN(2) == 0 {
				s.Rollover()
				rollovers++
			}
		},
	}
	j.Run(t)
	if copies := j.Check(t, s.Counts()); copies > 0 {
		t.Errorf("%d documents are there more than once", copies)
	}
	if faults.Load() < 10 || itemFaults.Load() < 5 || ambiguous.Load() < 2 || lookUps.Load() < 2 {
		t.Errorf("only %d faults of requests, %d of documents, %d of them ambiguous, %d of looks: this proves little", faults.Load(), itemFaults.Load(), ambiguous.Load(), lookUps.Load())
	}
	t.Logf("%d events, %d requests, %d faults, %d of documents, %d ambiguous, %d of looks, %d rollovers", sinktest.JudgeEvents, s.Bulks(), faults.Load(), itemFaults.Load(), ambiguous.Load(), lookUps.Load(), rollovers)
}
