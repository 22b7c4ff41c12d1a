package splunkhec

import (
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/mcpsiem/mcpsiem/exporters/splunkhec/hectest"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
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
	sinktest.Ended()
}

func judge(t *testing.T, seed uint64, ack bool) {
	var faulty atomic.Bool
	faulty.Store(true)
	var dice, faults, ambiguous, lostAcks atomic.Int64
	dice.Store(int64(seed) * 1000)
	refused := sinktest.RefusedAtRandom(seed)
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
	j := &sinktest.Judge{
		Seed: seed, Factory: NewFactory(), Refused: refused, Faults: faults.Load, Over: func() { faulty.Store(false) },
		Config: func() component.Config {
			return config(t, s.URL, func(c *Config) {
				c.Timeout = 60 * time.Millisecond
				c.MaxContentLength, c.MaxEventBytes = 64<<10, 16<<10
				c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 10 * time.Millisecond, MaxElapsed: 30 * time.Millisecond}
				c.Ack = AckConfig{Mode: ackAuto, PollInterval: 5 * time.Millisecond, Timeout: 100 * time.Millisecond}
			})
		},
		Meanwhile: func(rnd *rand.Rand) {
			if rnd.IntN(3) == 0 {
				s.Restart()
			}
		},
	}
	j.Run(t)
	// A copy more: of a request that was taken and not answered, or whose acknowledgement was lost, or that was in hand at the end of a process or a
	// node.
	copies := j.Check(t, s.Counts())
	if bound := (int(ambiguous.Load()) + 2*sinktest.JudgeProcesses) * sinktest.JudgeInHand; copies > bound {
		t.Errorf("%d copies too many, at most %d were in flight", copies, bound)
	}
	if faults.Load() < 10 || ack && lostAcks.Load() < 1 {
		t.Errorf("only %d faults, %d lost acknowledgements: this proves little", faults.Load(), lostAcks.Load())
	}
	t.Logf("%d events, %d requests, %d faults, %d lost acknowledgements, %d copies too many", sinktest.JudgeEvents, len(s.Requests()), faults.Load(), lostAcks.Load(), copies)
}
