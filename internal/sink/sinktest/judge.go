package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	jetstreamreceiver "github.com/mcpsiem/mcpsiem/receivers/jetstream"
)

// Judge brings events to a sink that fails at random: messages go into EVENTS, a receiver and an exporter take them to the sink, and both are ended at
// random, while requests are under way, and started again. When the faults are over everything is settled.
type Judge struct {
	Seed      uint64
	Factory   exporter.Factory
	Config    func() component.Config // of the exporter, for each process
	Refused   map[string]bool         // events that the sink never takes
	Faults    func() int64            // how many there were
	Over      func()                  // ends the faults
	Meanwhile func(*rand.Rand)        // what else happens while a process works; may be nil
}

// What a judge does.
const (
	JudgeMessages  = 60
	JudgePerBatch  = 25
	JudgeEvents    = JudgeMessages * JudgePerBatch
	JudgeProcesses = 6
	// JudgeInHand is how many events are on their way at once.
	JudgeInHand = judgeWorkers * judgeCombine * JudgePerBatch

	judgeWorkers = 2
	judgeCombine = 4
	// judgeFaults is how many faults a process sees at least, if there is work.
	judgeFaults = 2
)

// Run does it all and checks the dead letters: what the sink refuses is in one each, and nothing else is. What the sink has is for the caller to check.
func (j *Judge) Run(t *testing.T) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(j.Seed, 1))
	nats := natsdtest.New(t)
	js := nats.JS()
	for _, n := range []string{streams.Events, streams.Dead} {
		spec, _ := streams.DefaultSpec(n)
		if _, err := streams.Ensure(context.Background(), js, spec); err != nil {
			t.Fatal(err)
		}
	}
	for m := range JudgeMessages {
		if _, err := streams.Publish(context.Background(), js, streams.Events, fmt.Sprint("m", m), Events(m*JudgePerBatch, JudgePerBatch)); err != nil {
			t.Fatal(err)
		}
	}
	process := func() (stop func()) {
		exp, err := j.Factory.CreateLogs(context.Background(), exportertest.NewNopSettings(j.Factory.Type()), j.Config())
		if err != nil {
			t.Fatal(err)
		}
		rf := jetstreamreceiver.NewFactory()
		rc := rf.CreateDefaultConfig().(*jetstreamreceiver.Config)
		rc.NATS, rc.Stream, rc.Durable, rc.Workers = nats.NATS(), streams.Events, "judge", judgeWorkers
		rc.Combine.MaxMessages, rc.Combine.MaxWait = judgeCombine, 5*time.Millisecond
		rc.MaxAckPending = judgeWorkers * judgeCombine
		rc.AckWait = 2 * time.Second
		rc.Retry.Initial, rc.Retry.Max = 5*time.Millisecond, 50*time.Millisecond
		rc.Circuit.Pause, rc.Circuit.MaxPause = 5*time.Millisecond, 50*time.Millisecond
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
	for range JudgeProcesses {
		before := j.Faults()
		stop := process()
		time.Sleep(time.Duration(50+rnd.IntN(250)) * time.Millisecond)
		for wait := time.Now().Add(5 * time.Second); j.Faults() < before+judgeFaults && time.Now().Before(wait) && !settled(t, js); {
			time.Sleep(10 * time.Millisecond) // a busy machine
		}
		if j.Meanwhile != nil {
			j.Meanwhile(rnd)
		}
		stop()
	}
	j.Over()
	stop := process()
	for wait := time.Now().Add(time.Minute); !settled(t, js); {
		if time.Now().After(wait) {
			t.Fatal("not everything is settled after a minute without faults")
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	j.letters(t, js)
}

// settled reports whether every message was acknowledged.
func settled(t *testing.T, js jetstream.JetStream) bool {
	c, err := js.Consumer(context.Background(), streams.Events, "judge")
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	i := c.CachedInfo()
	return i.NumPending == 0 && i.NumAckPending == 0
}

// letters checks the dead letters.
func (j *Judge) letters(t *testing.T, js jetstream.JetStream) {
	t.Helper()
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
		for _, k := range Keys(ld) {
			dead[k]++
		}
	}
	for k, n := range dead {
		if n != 1 {
			t.Errorf("%s is in %d dead letters", k, n)
		}
	}
	if got, want := slices.Sorted(maps.Keys(dead)), slices.Sorted(maps.Keys(j.Refused)); !slices.Equal(got, want) {
		t.Errorf("dead letters hold %v, the sink refuses %v", got, want)
	}
}

// Check compares what the sink has with what was sent: everything but what it refuses, nothing else. It returns how many copies there are too many.
func (j *Judge) Check(t *testing.T, got map[string]int) (copies int) {
	t.Helper()
	for i := range JudgeEvents {
		n := got[ID(i)]
		switch {
		case j.Refused[ID(i)] && n > 0:
			t.Errorf("event %d was refused and is there", i)
		case !j.Refused[ID(i)] && n == 0:
			t.Errorf("event %d is lost", i)
		}
		copies += max(n-1, 0)
	}
	sent := Each(JudgeEvents, 1)
	for k := range got {
		if sent[k] == 0 {
			t.Errorf("event %q was invented", k)
		}
	}
	return copies
}

// RefusedAtRandom are five events that a sink may refuse.
func RefusedAtRandom(seed uint64) map[string]bool {
	rnd := rand.New(rand.NewPCG(seed, 3))
	out := map[string]bool{}
	for range 5 {
		out[ID(rnd.IntN(JudgeEvents))] = true
	}
	return out
}

// Ended waits until receivers that were cut off have ended their last fetch, which takes up to two seconds.
func Ended() {
	for range 20 {
		if goleak.Find() == nil {
			return
		}
	}
}
