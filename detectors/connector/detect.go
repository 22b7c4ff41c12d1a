package connector

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
)

// detect is an engine.Host with a connection, a place for snapshots and metrics.
type detect struct {
	cfg   *Config
	set   connector.Settings
	next  consumer.Logs
	share engine.Share
	tel   *telemetry

	nc *nats.Conn // nil without nats

	mu     sync.Mutex // guards all below
	host   *engine.Host
	loaded bool
}

func newDetect(set connector.Settings, cfg *Config, next consumer.Logs, share engine.Share) (*detect, error) {
	tel, err := newTelemetry(set.MeterProvider, share)
	if err != nil {
		return nil, fmt.Errorf("cannot make metrics of detect: %w", err)
	}
	return &detect{cfg: cfg, set: set, next: next, share: share, tel: tel}, nil
}

func (d *detect) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (d *detect) Start(ctx context.Context, _ component.Host) error {
	instances, err := d.cfg.instances()
	if err != nil {
		return err
	}
	eng, err := engine.New(engine.Settings{Detectors: instances, Lateness: d.cfg.Lateness, FutureSkew: d.cfg.FutureSkew, DedupeCapacity: d.cfg.DedupeCapacity, Share: d.share})
	if err != nil {
		return err
	}
	s := engine.HostSettings{
		Engine: eng, Next: d.next, Interval: d.cfg.SnapshotInterval, CatchUpLimit: d.cfg.CatchUpLimit,
		Logger: d.set.Logger, Observe: d.tel.observe,
	}
	if d.cfg.NATS.HasValue() {
		if d.nc, err = d.cfg.NATS.Get().Connect(ctx, "mcpsiem "+d.set.ID.String()); err != nil {
			return err
		}
		js, err := jetstream.New(d.nc)
		if err != nil {
			return fmt.Errorf("cannot use JetStream: %w", err)
		}
		s.Source = &stream{js}
		if d.cfg.SnapshotBucket != "" {
			s.Store = &bucket{js: js, bucket: d.cfg.SnapshotBucket, name: d.snapshotName()}
		}
	}
	if d.cfg.SnapshotDir != "" {
		if s.Store, err = engine.NewFileStore(d.cfg.SnapshotDir, d.snapshotName()); err != nil {
			return err
		}
	}
	switch {
	case s.Store == nil && s.Source == nil:
		d.set.Logger.Warn("Detectors start empty at each start: neither snapshot_dir, snapshot_bucket nor nats is configured.")
	case s.Source == nil:
		d.set.Logger.Warn("Detectors miss after a crash what was acknowledged since the last snapshot: nats is not configured.")
	case s.Store == nil:
		d.set.Logger.Info("Detector state is rebuilt from the stream of events at each start: neither snapshot_dir nor snapshot_bucket is configured.")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.host = engine.NewHost(s)
	if d.cfg.SnapshotBucket != "" {
		return nil // the server may still be away: loaded with the first batch
	}
	return d.load(ctx)
}

// load restores the state once.
func (d *detect) load(ctx context.Context) error {
	if d.loaded {
		return nil
	}
	if err := d.host.Start(ctx); err != nil {
		return fmt.Errorf("cannot restore detector state: %w", err)
	}
	d.loaded = true
	return nil
}

// ConsumeLogs applies a batch of events and returns when what it raised has been taken.
func (d *detect) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(ctx); err != nil {
		return err
	}
	return d.host.ConsumeLogs(ctx, ld)
}

// Shutdown makes a last snapshot. That it cannot be kept is no error: the stream holds what it would have held.
func (d *detect) Shutdown(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.host != nil && d.loaded {
		if err := d.host.Shutdown(ctx); err != nil {
			d.set.Logger.Warn("The last snapshot of detector state could not be kept.", zap.Error(err))
		}
	}
	if d.nc != nil {
		d.nc.Close()
		d.nc = nil
	}
	return nil
}
