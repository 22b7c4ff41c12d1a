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
	"github.com/mcpsiem/mcpsiem/detectors/rule"
	"github.com/mcpsiem/mcpsiem/internal/audit"
)

// detect is an engine.Host with a connection, a place for snapshots and metrics.
type detect struct {
	cfg   *Config
	set   connector.Settings
	next  consumer.Logs
	share engine.Share
	tel   *telemetry

	nc *nats.Conn // nil without nats
	js jetstream.JetStream

	stop    context.CancelFunc // ends work
	work    sync.WaitGroup
	records chan audit.Record // to be written by work

	mu     sync.Mutex // guards all below
	host   *engine.Host
	loaded bool
	rules  *rule.Set       // the rules in force
	off    map[string]bool // rules that were reported as off
}

func newDetect(set connector.Settings, cfg *Config, next consumer.Logs, share engine.Share) (*detect, error) {
	tel, err := newTelemetry(set.MeterProvider, share)
	if err != nil {
		return nil, fmt.Errorf("cannot make metrics of detect: %w", err)
	}
	return &detect{cfg: cfg, set: set, next: next, share: share, tel: tel, records: make(chan audit.Record, 64)}, nil
}

func (d *detect) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (d *detect) Start(ctx context.Context, _ component.Host) error {
	instances, err := d.cfg.instances()
	if err != nil {
		return err
	}
	set, problems, err := d.cfg.loadRules()
	if err != nil {
		return err
	}
	rules, sel, err := set.Instances()
	if err != nil {
		return err
	}
	eng, err := engine.New(engine.Settings{Detectors: instances, Rules: rules, Select: sel, Lateness: d.cfg.Lateness, FutureSkew: d.cfg.FutureSkew, DedupeCapacity: d.cfg.DedupeCapacity, Share: d.share})
	if err != nil {
		return err
	}
	s := engine.HostSettings{
		Engine: eng, Next: d.next, Interval: d.cfg.SnapshotInterval, CatchUpLimit: d.cfg.CatchUpLimit,
		Logger: d.set.Logger, Observe: d.observe,
	}
	if d.cfg.NATS.HasValue() {
		if d.nc, err = d.cfg.NATS.Get().Connect(ctx, "mcpsiem "+d.set.ID.String()); err != nil {
			return err
		}
		js, err := jetstream.New(d.nc)
		if err != nil {
			return fmt.Errorf("cannot use JetStream: %w", err)
		}
		d.js = js
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
	d.useRules(set)
	for _, p := range problems {
		d.set.Logger.Error("A rule file has a fault; its rules do not run.", zap.String("file", p.File), zap.Int("line", p.Line), zap.String("fault", p.Text), zap.String("hint", p.Hint))
	}
	if len(problems) > 0 {
		d.tel.reload("refused")
		d.record(refused(problems, set))
	}
	d.startWork()
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
	if d.stop != nil {
		d.stop()
		d.work.Wait()
	}
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
