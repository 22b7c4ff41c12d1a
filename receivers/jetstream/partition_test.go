package jetstream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestShareOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 40).Draw(t, "partitions")
		workers := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,8}`), 1, 8, rapid.ID[string]).Draw(t, "workers")
		slices.Sort(workers)
		out := shareOut(workers, count)
		got := map[string]int{}
		for _, w := range out {
			if !slices.Contains(workers, w) {
				t.Fatalf("%q has a partition", w)
			}
			got[w]++
		}
		for w, n := range got {
			if n > (count+len(workers)-1)/len(workers) {
				t.Fatalf("%s has %d of %d partitions, with %d workers", w, n, count, len(workers))
			}
		}
		if !slices.Equal(out, shareOut(workers, count)) {
			t.Fatal("worked out differently the second time")
		}
	})
	// One of many that goes moves few of the others' partitions.
	workers := []string{"a", "b", "c", "d"}
	before, after := shareOut(workers, 64), shareOut(workers[:3], 64)
	moved := 0
	for p := range before {
		if before[p] != "d" && before[p] != after[p] {
			moved++
		}
	}
	if moved > 16 {
		t.Errorf("%d of 48 partitions move between workers that stay", moved)
	}
}

// tally counts what reaches a worker, by partition.
type tally struct {
	name string
	seen *[]string // "partition:sequence", shared by all workers, in order
	by   map[int]int
}

func (c *tally) consumer(t *testing.T, lock *sync.Mutex) consumer.Logs {
	next, err := consumer.NewLogs(func(ctx context.Context, _ plog.Logs) error {
		o, _ := streams.OriginFrom(ctx)
		lock.Lock()
		defer lock.Unlock()
		*c.seen = append(*c.seen, fmt.Sprint(o.Partition, ":", o.First))
		c.by[o.Partition]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// Every partition gets every message in order, once, from whichever worker has it; workers come and go.
func TestPartitionsMove(t *testing.T) {
	e := newEnv(t)
	const partitions = 4
	var lock sync.Mutex
	var seen []string
	counts := map[string]*tally{}
	start := func(name string) receiver.Logs {
		c := &tally{name: name, seen: &seen, by: map[int]int{}}
		counts[name] = c
		r, _ := e.start(c.consumer(t, &lock), streams.Events, func(c *Config) {
			c.Partitions = PartitionsConfig{Count: partitions, Worker: name, Lease: 2 * time.Second}
		})
		return r
	}
	next := 0
	send := func(n int) {
		for range n {
			e.publish(streams.Events, next, 1)
			next++
		}
	}
	arrived := func(what string) {
		t.Helper()
		eventually(t, what, func() bool { lock.Lock(); defer lock.Unlock(); return len(seen) == partitions*next })
	}
	owns := func(name string, want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s has %d partitions", name, want), func() bool {
			lock.Lock()
			clear(counts[name].by)
			lock.Unlock()
			send(1)
			arrived("a message for each partition")
			lock.Lock()
			defer lock.Unlock()
			return len(counts[name].by) == want
		})
	}
	a := start("a")
	send(3)
	arrived("three messages for each partition")
	owns("a", partitions)
	b := start("b")
	owns("b", partitions/2)
	owns("a", partitions/2)
	send(20)
	arrived("twenty more")
	if err := a.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	owns("b", partitions)
	send(5)
	arrived("all of them at the other worker")
	if err := b.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	lock.Lock()
	defer lock.Unlock()
	last := map[string]int{}
	for _, s := range seen {
		p, n, _ := strings.Cut(s, ":")
		var seq int
		fmt.Sscan(n, &seq)
		if seq != last[p]+1 {
			t.Fatalf("partition %s got message %d after %d", p, seq, last[p])
		}
		last[p] = seq
	}
}

// Another number of partitions goes on where the ones before were, and so does a receiver without.
func TestPartitionsSucceed(t *testing.T) {
	e := newEnv(t)
	run := func(from, n, partitions int) {
		t.Helper()
		var lock sync.Mutex
		var seen []string
		c := &tally{seen: &seen, by: map[int]int{}}
		r, _ := e.start(c.consumer(t, &lock), streams.Events, func(c *Config) { c.Partitions.Count, c.Partitions.Lease = partitions, 2*time.Second })
		for i := range n {
			e.publish(streams.Events, from+i, 1)
		}
		want := n * max(partitions, 1)
		eventually(t, "all messages", func() bool { lock.Lock(); defer lock.Unlock(); return len(seen) >= want })
		time.Sleep(100 * time.Millisecond)
		if err := r.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if len(seen) != want {
			t.Fatalf("%d partitions got %d messages, want %d: %v", partitions, len(seen), want, seen)
		}
	}
	run(0, 5, 0)
	run(5, 5, 3)
	for _, name := range []string{"sink"} { // whose place they took
		if err := e.js.DeleteConsumer(t.Context(), streams.Events, name); err != nil {
			t.Fatal(err)
		}
	}
	run(10, 4, 2)
	for p := range 3 {
		if err := e.js.DeleteConsumer(t.Context(), streams.Events, partitionDurable("sink", p, 3)); err != nil {
			t.Fatal(err)
		}
	}
	run(14, 3, 0)
}

func TestPartitionsConfig(t *testing.T) {
	f := func(want string, edit func(*Config)) {
		t.Helper()
		c := defaultConfig()
		c.Stream, c.Durable = streams.Events, "detect"
		edit(c)
		if err := c.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f("", func(c *Config) { c.Partitions.Count = 4 })
	f("", func(c *Config) { c.Partitions.Count, c.Workers = 1, 4 })
	f("count", func(c *Config) { c.Partitions.Count = 257 })
	f("order", func(c *Config) { c.Partitions.Count, c.Workers = 4, 2 })
	f("order", func(c *Config) { c.Partitions.Count, c.Combine.MaxMessages = 4, 2 })
	f("lease", func(c *Config) { c.Partitions.Count, c.Partitions.Lease = 4, time.Second })
	f("worker", func(c *Config) { c.Partitions.Count, c.Partitions.Worker = 4, "a.b" })
}
