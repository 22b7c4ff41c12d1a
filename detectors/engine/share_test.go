package engine

import (
	"context"
	"maps"
	"strconv"
	"testing"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// shareHost is a host of one partition, as a worker runs it.
func shareHost(t testing.TB, share Share, source Source, store Store, next func(context.Context, plog.Logs) error) *Host {
	g := newEngine(t, nil)
	g.share = share
	c, err := consumer.NewLogs(next)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHost(HostSettings{Engine: g, Next: c, Store: store, Source: source})
	if err := h.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return h
}

// Whatever the number of partitions, however they move between workers, and although a worker that lost a partition may still work on a
// message of it, the findings are those of one engine.
func TestPartitionsTogetherAreOne(t *testing.T) {
	moved, twice, raised, spread := 0, 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		messages := story(rt, 20)
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

		partitions := rapid.IntRange(2, 5).Draw(rt, "partitions")
		all := &sink{}
		with := 0
		for p := range partitions {
			before := len(all.got)
			stream := &memStream{created: 7, messages: messages} // each partition has its own consumer of the same stream
			store := &memStore{}
			workers := make([]*Host, 3)
			fresh := func(i int) {
				workers[i] = shareHost(t, Share{p, partitions}, stream, store, all.consume)
			}
			for i := range workers {
				fresh(i)
			}
			owner := 0
			for n := uint64(1); n <= uint64(len(messages)); n++ {
				deliver := func(w int) {
					ctx := streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, Durable: "detect", First: n, Last: n, Partition: p, Partitions: partitions})
					if err := workers[w].ConsumeLogs(ctx, stream.copy(n)); err != nil {
						rt.Fatal(err)
					}
				}
				switch rapid.SampledFrom([]string{"", "", "", "move", "move in the middle", "kill", "save"}).Draw(rt, "fault") {
				case "move": // to a worker whose state may be of long ago
					owner = (owner + 1) % len(workers)
					moved++
				case "move in the middle": // the one before has applied the message, and its findings went out, unacknowledged
					deliver(owner)
					owner = (owner + 1) % len(workers)
					twice++
				case "kill":
					fresh(owner)
				case "save":
					r := &rig{t: t, host: workers[owner]}
					r.save()
				}
				deliver(owner)
				stream.floor = n
			}
			if len(all.got) > before {
				with++
			}
		}
		if with > 1 {
			spread++
		}
		if got := asSet(rt, all.got); !maps.Equal(got, want) {
			rt.Fatalf("have %d findings, want %d\n%v\n%v", len(got), len(want), got, want)
		}
	})
	if moved == 0 || twice == 0 || raised == 0 || spread == 0 {
		t.Errorf("the test tried nothing: %d moves, %d messages applied twice, %d findings, %d runs with findings in several partitions", moved, twice, raised, spread)
	}
}

// Every key is in one share, and shares are of about the same size.
func TestSharesAreEven(t *testing.T) {
	for _, partitions := range []int{1, 2, 3, 8, 64} {
		spec := &Spec{ID: "rule", Key: KeyPrincipal}
		counts := make([]int, partitions)
		const keys = 20000
		for k := range keys {
			in := 0
			for p := range partitions {
				if (Share{p, partitions}).has(spec, "t", []byte("principal-"+strconv.Itoa(k))) {
					counts[p]++
					in++
				}
			}
			if in != 1 {
				t.Fatalf("a key is in %d of %d shares", in, partitions)
			}
		}
		for p, n := range counts {
			if n < keys/partitions*7/10 || n > keys/partitions*13/10 {
				t.Errorf("share %d of %d has %d of %d keys", p, partitions, n, keys)
			}
		}
	}
}

func TestShareIsChecked(t *testing.T) {
	f := func(share Share, ok bool) {
		t.Helper()
		if _, err := New(Settings{Share: share}); (err == nil) != ok {
			t.Errorf("%+v: %v", share, err)
		}
	}
	f(Share{}, true)
	f(Share{0, 1}, true)
	f(Share{3, 4}, true)
	f(Share{4, 4}, false)
	f(Share{1, 0}, false)
	f(Share{-1, 4}, false)
	f(Share{0, MaxPartitions + 1}, false)
}
