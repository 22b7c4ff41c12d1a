// Partitions: one pinned consumer each, and who reads it.

package jetstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

const (
	pinGroup  = "owner" // the one priority group of a partition's consumer: of those who pull, the server gives messages to one
	pinHeader = "Nats-Pin-Id"
	turnPause = 50 * time.Millisecond
)

var workerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// partition is what makes a receiver one of several that share a stream's keys. A nil partition is a receiver of its own.
type partition struct {
	index, count int
	base         string // the durable's name without the partition
	lease        time.Duration
	shared       *shared     // with the process's other partitions; nil: the pipeline changes batches
	mine         atomic.Bool // whether this process is to read it

	// Of the worker's goroutine alone:
	held bool   // it has read since it was last not its own
	pin  string // by which the server knows us
}

// turn reports whether the partition is to be read now; if not, it has waited a little.
func (p *partition) turn(r *jsReceiver) bool {
	if p == nil {
		return true
	}
	if p.mine.Load() {
		p.held = true
		return true
	}
	p.release(r)
	sleep(r.fetching, turnPause)
	return false
}

// pinned notes by which id the server gives us messages.
func (p *partition) pinned(m jetstream.Msg) {
	if p != nil {
		if id := m.Headers().Get(pinHeader); id != "" {
			p.pin = id
		}
	}
}

// release lets another be pinned at once rather than after the lease. Nothing is in hand.
func (p *partition) release(r *jsReceiver) {
	if p == nil || !p.held {
		return
	}
	p.held = false
	if p.pin == "" || !r.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.working), ackAttempt)
	defer cancel()
	st, err := r.js.Stream(ctx, r.cfg.Stream)
	if err != nil {
		return // the server does it when the lease ends
	}
	cons, err := st.Consumer(ctx, r.cfg.Durable)
	if err != nil {
		return
	}
	for _, g := range cons.CachedInfo().PriorityGroups {
		if g.Group == pinGroup && g.PinnedClientID == p.pin {
			_ = st.UnpinConsumer(ctx, r.cfg.Durable, pinGroup)
		}
	}
	p.pin = ""
}

// partitionDurable is the name of a partition's consumer.
func partitionDurable(base string, index, count int) string {
	return fmt.Sprintf("%s-%d-%d", base, count, index)
}

// successor is where a new consumer begins that takes the place of others with another number of partitions: after what all of those have
// acknowledged. 0: there are none.
func (r *jsReceiver) successor(ctx context.Context) (uint64, error) {
	base, count := r.cfg.Durable, 0
	if r.part != nil {
		base, count = r.part.base, r.part.count
	}
	st, err := r.js.Stream(ctx, r.cfg.Stream)
	if err != nil {
		return 0, err
	}
	list := st.ListConsumers(ctx)
	start := uint64(0)
	for c := range list.Info() {
		other := 0
		if c.Name != base {
			rest, ok := strings.CutPrefix(c.Name, base+"-")
			n, p, two := strings.Cut(rest, "-")
			number, err1 := strconv.Atoi(n)
			_, err2 := strconv.Atoi(p)
			if !ok || !two || err1 != nil || err2 != nil || number < 2 {
				continue
			}
			other = number
		}
		if other == count {
			continue
		}
		if next := c.AckFloor.Stream + 1; start == 0 || next < start {
			start = next
		}
	}
	return start, list.Err()
}

// partitioned is a receiver for each partition, of which those read whose turn it is in this process. Processes know of each other by keys
// in a bucket that expire; from them each works out who reads what. They may disagree for a moment: a pinned consumer gives its messages
// to one of them all the same.
type partitioned struct {
	cfg  *Config
	set  receiver.Settings
	name string
	all  []*jsReceiver
	own  metric.Int64Gauge

	stop context.CancelFunc
	done sync.WaitGroup
}

func newPartitioned(set receiver.Settings, cfg *Config, next consumer.Logs) (*partitioned, error) {
	r := &partitioned{cfg: cfg, set: set, name: cfg.Partitions.Worker}
	if r.name == "" {
		var b [6]byte
		rand.Read(b[:]) // never fails, since Go 1.24
		host, _ := os.Hostname()
		host = regexp.MustCompile(`[^A-Za-z0-9_-]`).ReplaceAllString(host, "-")
		r.name = host[:min(len(host), 40)] + "-" + hex.EncodeToString(b[:])
	}
	var err error
	if r.own, err = set.MeterProvider.Meter("github.com/mcpsiem/mcpsiem/receivers/jetstream").Int64Gauge("otelcol_receiver_jetstream_partitions",
		metric.WithUnit("{partition}"), metric.WithDescription("Partitions that this process reads.")); err != nil {
		return nil, err
	}
	var decoded *shared
	if !next.Capabilities().MutatesData {
		decoded = &shared{all: map[uint64]*sharedBatch{}}
	}
	for i := range cfg.Partitions.Count {
		c := *cfg
		c.Durable = partitionDurable(cfg.Durable, i, cfg.Partitions.Count)
		s := set
		s.Logger = set.Logger.With(zap.Int("partition", i))
		one, err := newReceiver(s, &c, next)
		if err != nil {
			return nil, err
		}
		one.part = &partition{index: i, count: cfg.Partitions.Count, base: cfg.Durable, lease: cfg.Partitions.Lease, shared: decoded}
		r.all = append(r.all, one)
	}
	return r, nil
}

func (r *partitioned) Start(ctx context.Context, host component.Host) error {
	nc, err := r.cfg.NATS.Connect(ctx, "mcpsiem "+r.set.ID.String()+" "+r.name)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return fmt.Errorf("cannot use JetStream: %w", err)
	}
	for i, one := range r.all {
		if err := one.Start(ctx, host); err != nil {
			for _, started := range r.all[:i] {
				err = errors.Join(err, started.Shutdown(ctx))
			}
			nc.Close()
			return err
		}
	}
	run, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.done.Go(func() { r.take(run, nc, js) })
	return nil
}

func (r *partitioned) Shutdown(ctx context.Context) error {
	if r.stop == nil {
		return nil
	}
	errs := make([]error, len(r.all))
	var wg sync.WaitGroup
	for i, one := range r.all {
		wg.Go(func() { errs[i] = one.Shutdown(ctx) })
	}
	wg.Wait()
	r.stop() // others take over at once now that nothing is in hand
	r.done.Wait()
	return errors.Join(errs...)
}

// take says again and again that this process lives, and reads what falls to it among those that do.
func (r *partitioned) take(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	defer nc.Close()
	lease := r.cfg.Partitions.Lease
	var kv jetstream.KeyValue
	failed := false
	for {
		if nc.IsConnected() {
			c, cancel := context.WithTimeout(ctx, lease)
			live, err := r.beat(c, js, &kv)
			cancel()
			switch {
			case err == nil:
				r.assign(live)
			case ctx.Err() == nil:
				kv = nil
				// As it was: without the bucket nobody else knows better, and the server sees to it that one reads.
				if !failed {
					r.set.Logger.Warn("Cannot tell which other processes share the partitions; they stay as they are.", zap.Error(err))
				}
			}
			failed = err != nil
		}
		sleep(ctx, lease/4)
		if ctx.Err() != nil {
			if kv != nil && nc.IsConnected() {
				c, cancel := context.WithTimeout(context.Background(), ackAttempt)
				_ = kv.Delete(c, r.name)
				cancel()
			}
			return
		}
	}
}

// beat renews this process's key and lists those of all, sorted.
func (r *partitioned) beat(ctx context.Context, js jetstream.JetStream, kv *jetstream.KeyValue) ([]string, error) {
	if *kv == nil {
		replicas := 1
		if st, err := js.Stream(ctx, r.cfg.Stream); err == nil {
			replicas = st.CachedInfo().Config.Replicas
		}
		b, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: "mcpsiem-workers-" + regexp.MustCompile(`[^A-Za-z0-9_-]`).ReplaceAllString(r.cfg.Stream+"-"+r.cfg.Durable, "_"), Description: "who shares partitions",
			TTL: r.cfg.Partitions.Lease, Replicas: replicas, Storage: jetstream.MemoryStorage,
		})
		if err != nil {
			return nil, fmt.Errorf("cannot open the bucket of workers: %w", err)
		}
		*kv = b
	}
	if _, err := (*kv).Put(ctx, r.name, []byte(strconv.Itoa(r.cfg.Partitions.Count))); err != nil {
		return nil, fmt.Errorf("cannot renew the lease: %w", err)
	}
	keys, err := (*kv).ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list workers: %w", err)
	}
	defer keys.Stop()
	var live []string
	for k := range keys.Keys() {
		live = append(live, k)
	}
	if !slices.Contains(live, r.name) {
		live = append(live, r.name)
	}
	slices.Sort(live)
	return slices.Compact(live), nil
}

// assign reads what is this process's part.
func (r *partitioned) assign(live []string) {
	n := 0
	for i, owner := range shareOut(live, len(r.all)) {
		mine := owner == r.name
		if mine {
			n++
		}
		if r.all[i].part.mine.Swap(mine) != mine {
			r.set.Logger.Info("A partition changes hands.", zap.Int("partition", i), zap.Bool("mine", mine), zap.Int("workers", len(live)))
		}
	}
	r.own.Record(context.Background(), int64(n), metric.WithAttributes(attribute.String("durable", r.cfg.Durable)))
}

// shareOut gives each of count partitions to one of the workers, evenly and such that few of them move when a worker comes or goes: to the
// worker with the highest hash of both that has not its full number yet.
func shareOut(workers []string, count int) []string {
	if len(workers) == 0 {
		return make([]string, count)
	}
	most := (count + len(workers) - 1) / len(workers)
	got := map[string]int{}
	out := make([]string, count)
	order := make([]string, len(workers))
	for p := range out {
		copy(order, workers)
		slices.SortFunc(order, func(a, b string) int {
			return cmp.Or(cmp.Compare(score(b, p), score(a, p)), cmp.Compare(a, b))
		})
		for _, w := range order {
			if got[w] < most {
				out[p] = w
				got[w]++
				break
			}
		}
	}
	return out
}

// score is a hash of worker and partition (FNV-1a, mixed).
func score(worker string, p int) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range []byte(worker + "/" + strconv.Itoa(p)) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}
