package connector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// shares runs an engine for each partition that the receiver gives this worker a message of. Without partitions there is one engine, of all
// keys. Nothing here decides who owns a partition, and nothing depends on it: an engine that was not asked for a while reads back what it
// has missed, and two that work on the same message raise the same findings.
type shares struct {
	cfg  *Config
	set  connector.Settings
	next consumer.Logs

	mu     sync.Mutex // guards all below
	host   component.Host
	all    map[engine.Share]*owned
	closed bool
}

// owned is the engine of one partition.
type owned struct {
	mu   sync.Mutex // a partition's messages come one after the other
	d    *detect    // nil: has to be made
	used time.Time  // last message; zero: none
}

const (
	// quiet is how long ago the last message of a partition was when its state is no longer worth a snapshot: another worker may own it by now.
	quiet = time.Minute
	// forgotten is how long ago it was when its state is dropped from memory.
	forgotten = 15 * time.Minute
	// farBehind is how many messages a state may have missed and still be brought up to date rather than replaced by a snapshot, which the
	// worker that had them will have made.
	farBehind = 256
)

func newShares(set connector.Settings, cfg *Config, next consumer.Logs) (*shares, error) {
	s := &shares{cfg: cfg, set: set, next: next, all: map[engine.Share]*owned{}}
	d, err := newDetect(set, cfg, next, engine.Share{})
	if err != nil {
		return nil, err
	}
	s.all[engine.Share{}] = &owned{d: d}
	return s, nil
}

func (s *shares) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// Start starts the engine without a partition, so that what is wrong is seen at once. It goes when the receiver turns out to name partitions.
func (s *shares) Start(ctx context.Context, host component.Host) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host = host
	return s.all[engine.Share{}].d.Start(ctx, host)
}

// ConsumeLogs gives a batch to the engine of its partition. Batches of different partitions may come at the same time.
func (s *shares) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	o, _ := streams.OriginFrom(ctx)
	share := engine.Share{Partition: o.Partition, Partitions: o.Partitions}
	p, err := s.of(ctx, share)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.d != nil && share.Partitions > 1 && p.d.behind(o) > farBehind {
		p.d.discard(ctx)
		p.d = nil
	}
	if p.d == nil {
		d, err := newDetect(s.set, s.cfg, s.next, share)
		if err != nil {
			return err
		}
		if err := d.Start(ctx, s.host); err != nil {
			d.discard(ctx)
			return fmt.Errorf("cannot take over partition %d: %w", share.Partition, err)
		}
		p.d = d
	}
	p.used = time.Now()
	return p.d.ConsumeLogs(ctx, ld)
}

// of finds the engine of a share and drops those of partitions that have gone.
func (s *shares) of(ctx context.Context, share engine.Share) (*owned, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("cannot detect: shutting down")
	}
	p, ok := s.all[share]
	if ok {
		return p, nil
	}
	for other, p := range s.all {
		if !p.mu.TryLock() { // at work
			continue
		}
		if unused := other.Partitions <= 1 && p.used.IsZero(); unused || other.Partitions > 1 && time.Since(p.used) > forgotten {
			if p.d != nil {
				p.d.discard(ctx)
				p.d = nil
			}
			delete(s.all, other)
		}
		p.mu.Unlock()
	}
	p = &owned{}
	s.all[share] = p
	return p, nil
}

// Shutdown makes last snapshots.
func (s *shares) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for share, p := range s.all {
		p.mu.Lock()
		if p.d != nil {
			if share.Partitions > 1 && time.Since(p.used) > quiet {
				p.d.discard(ctx)
			} else {
				errs = append(errs, p.d.Shutdown(ctx))
			}
			p.d = nil
		}
		p.mu.Unlock()
	}
	return errors.Join(errs...)
}

// snapshotName distinguishes the snapshots of partitions, and those of another number of partitions.
func (d *detect) snapshotName() string {
	if d.share.Partitions > 1 {
		return fmt.Sprintf("%s-%d-%d", d.cfg.SnapshotName, d.share.Partitions, d.share.Partition)
	}
	return d.cfg.SnapshotName
}

// behind is how many messages the state has missed, 0 if it is not loaded.
func (d *detect) behind(o streams.Origin) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.host == nil || !d.loaded {
		return 0
	}
	return d.host.Behind(o)
}

// discard ends an engine without a snapshot: a newer one may have been made elsewhere, and the stream holds what it knew.
func (d *detect) discard(ctx context.Context) {
	d.mu.Lock()
	d.loaded = false
	d.mu.Unlock()
	_ = d.Shutdown(ctx) // without a snapshot it only closes
}
