// The loop: how far is stored, seal it, send the checkpoint out.

package seal

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const (
	stepTimeout = 5 * time.Minute
	apiTimeout  = 10 * time.Second
	maxBackoff  = 30 * time.Second
)

type sealExtension struct {
	cfg         *Config
	set         extension.Settings
	leaves      metric.Int64Counter
	checkpoints metric.Int64Counter
	lag         metric.Int64Gauge
	anchored    metric.Int64Counter

	host component.Host
	nc   *nats.Conn
	js   jetstream.JetStream
	stop context.CancelFunc
	done sync.WaitGroup

	// Of the loop alone.
	sealer  *seal.Sealer
	anchors anchors
	remotes []*remote
	opened  bool
	sick    bool
}

func newSeal(set extension.Settings, cfg *Config) (*sealExtension, error) {
	m := set.MeterProvider.Meter("github.com/mcpsiem/mcpsiem/extensions/seal")
	e := &sealExtension{cfg: cfg, set: set}
	var err, err2, err3 error
	e.leaves, err = m.Int64Counter("otelcol_extension_seal_leaves", metric.WithUnit("{leaf}"), metric.WithDescription("Stored rows sealed."))
	e.checkpoints, err2 = m.Int64Counter("otelcol_extension_seal_checkpoints", metric.WithUnit("{checkpoint}"), metric.WithDescription("Checkpoints signed."))
	e.lag, err3 = m.Int64Gauge("otelcol_extension_seal_lag", metric.WithUnit("{message}"), metric.WithDescription("Messages stored and not sealed yet."))
	var err4 error
	e.anchored, err4 = m.Int64Counter("otelcol_extension_seal_anchors", metric.WithUnit("{attempt}"), metric.WithDescription("Attempts to anchor a checkpoint outside, by place and whether it was taken."))
	return e, errors.Join(err, err2, err3, err4)
}

func (e *sealExtension) Start(ctx context.Context, host component.Host) error {
	e.host = host
	key, err := seal.LoadKey(e.cfg.KeyFile)
	if err != nil {
		return err
	}
	sc := store.Config{Endpoint: e.cfg.ClickHouse.Endpoint, Database: e.cfg.ClickHouse.Database, Username: e.cfg.ClickHouse.Username,
		Password: string(e.cfg.ClickHouse.Password), PasswordFile: e.cfg.ClickHouse.PasswordFile}
	if e.cfg.ClickHouse.TLS != nil {
		if sc.TLS, err = e.cfg.ClickHouse.TLS.LoadTLSConfig(ctx); err != nil {
			return fmt.Errorf("cannot load clickhouse.tls: %w", err)
		}
	}
	if e.anchors, err = newAnchors(e.cfg.Anchors); err != nil {
		return err
	}
	anchorsConfig := e.cfg.Anchors
	anchorsConfig.defaults()
	if e.remotes, err = newRemotes(ctx, anchorsConfig, key, e.cfg.Dir); err != nil {
		return err
	}
	nc, err := e.cfg.NATS.Connect(ctx, "mcpsiem "+e.set.ID.String())
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return fmt.Errorf("cannot use JetStream: %w", err)
	}
	e.nc, e.js = nc, js
	e.sealer = &seal.Sealer{Dir: e.cfg.Dir, Key: key, DB: seal.NewDB(sc), MaxRows: e.cfg.MaxRows}
	run, stop := context.WithCancel(context.Background())
	e.stop = stop
	e.done.Add(1)
	go func() { defer e.done.Done(); e.run(run) }()
	for _, r := range e.remotes {
		e.done.Go(func() { r.run(run, e, seal.NewDB(sc)) })
	}
	return nil
}

func (e *sealExtension) Shutdown(context.Context) error {
	if e.stop == nil {
		return nil
	}
	e.stop()
	e.done.Wait()
	e.sealer.DB.Close()
	e.sealer.Close()
	e.nc.Close()
	return nil
}

func (e *sealExtension) run(ctx context.Context) {
	wait := e.cfg.Interval
	for {
		err := e.cycle(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, seal.ErrRollback):
			e.set.Logger.Error("The seal signs nothing any more: its log is not what was signed before", zap.Error(err))
			componentstatus.ReportStatus(e.host, componentstatus.NewPermanentErrorEvent(err))
			e.refused(ctx)
			return
		case err != nil:
			if !e.sick {
				e.sick = true
				componentstatus.ReportStatus(e.host, componentstatus.NewRecoverableErrorEvent(err))
				e.set.Logger.Warn("The seal is behind; it goes on when it can", zap.Error(err))
			}
			wait = min(2*wait, max(maxBackoff, e.cfg.Interval))
		default:
			if e.sick {
				e.sick = false
				componentstatus.ReportStatus(e.host, componentstatus.NewEvent(componentstatus.StatusOK))
			}
			wait = e.cfg.Interval
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// cycle seals everything that is stored by now.
func (e *sealExtension) cycle(ctx context.Context) error {
	if !e.nc.IsConnected() {
		return errors.New("no connection to NATS")
	}
	if !e.opened {
		done, err := e.sealer.Open(ctx)
		if err != nil {
			return err
		}
		e.opened = true
		if err := e.anchors.load(e.sealer.Key, e.cfg.Dir); err != nil {
			return err
		}
		e.sealed(ctx, done)
	}
	if err := e.rotate(ctx); err != nil {
		return err
	}
	for _, s := range []struct{ kind, stream string }{{seal.KindEvent, streams.Events}, {seal.KindFinding, streams.Findings}} {
		for more := true; more; {
			b, ok, err := e.bound(ctx, s.stream)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			step, cancel := context.WithTimeout(ctx, stepTimeout)
			var done []seal.Sealed
			done, more, err = e.sealer.Step(step, s.kind, b)
			cancel()
			e.sealed(ctx, done)
			if err != nil {
				return err
			}
			e.lag.Record(ctx, int64(b.Floor-min(b.Floor, e.sealer.Positions()[s.stream].Seq)), metric.WithAttributes(attribute.String("stream", s.stream)))
		}
	}
	return e.sendAnchors(ctx)
}

// rotate goes over to the key that somebody has put beside the key's file (`mcpsiem keys rotate --key seal`).
func (e *sealExtension) rotate(ctx context.Context) error {
	from := e.sealer.Key.Public()
	done, err := e.sealer.Rotate(e.cfg.KeyFile)
	if !done {
		return err
	}
	for _, r := range e.remotes {
		r.key.Store(e.sealer.Key)
	}
	return errors.Join(err, audit.Write(ctx, e.js, audit.Record{Action: audit.KeyRotate, Target: "seal key", Actor: self,
		Details: map[string]string{"log": e.sealer.Key.Log, "from": from, "to": e.sealer.Key.Public()}}))
}

func (e *sealExtension) sealed(ctx context.Context, done []seal.Sealed) {
	for _, d := range done {
		e.leaves.Add(ctx, int64(d.Leaves))
		e.checkpoints.Add(ctx, 1)
		e.anchors.note(d)
	}
}

// bound asks how far a stream is stored: what the store's consumer has acknowledged without a gap.
func (e *sealExtension) bound(ctx context.Context, stream string) (b seal.Bound, ok bool, err error) {
	durable := e.cfg.Stores[stream]
	if durable == "" {
		return b, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	st, err := e.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return b, false, nil
	}
	if err != nil {
		return b, false, fmt.Errorf("cannot look up stream %s: %w", stream, err)
	}
	info := st.CachedInfo()
	c, err := st.Consumer(ctx, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return b, false, nil // nothing is stored yet
	}
	if err != nil {
		return b, false, fmt.Errorf("cannot look up consumer %s of stream %s: %w", durable, stream, err)
	}
	b = seal.Bound{Created: info.Created, Floor: c.CachedInfo().AckFloor.Stream}
	if ci := c.CachedInfo(); ci.NumPending == 0 && ci.NumAckPending == 0 {
		// It has taken all that it wants of what there was when the stream was looked at; its floor lags behind messages that are for others.
		b.Floor = max(b.Floor, info.State.LastSeq)
	}
	return b, true, nil
}

var self = audit.Actor{ID: "mcpsiem", Kind: "service", Method: "internal", Verified: true}

// sendAnchors sends the newest checkpoints out: to the stream, and with it to every sink, and to files.
func (e *sealExtension) sendAnchors(ctx context.Context) error {
	for _, c := range e.anchors.due(time.Now(), e.cfg.AnchorInterval) {
		root := base64.StdEncoding.EncodeToString(c.Checkpoint.Root[:])
		err := audit.Write(ctx, e.js, audit.Record{
			Action: audit.SealCheckpoint, Target: c.Checkpoint.Origin, Tenant: c.Tenant, Actor: self, Time: c.SignedAt,
			Details: map[string]string{"size": fmt.Sprint(c.Checkpoint.Size), "root": root, "note": string(c.Note)},
			ID:      event.SourceID("seal.checkpoint", c.Checkpoint.Origin, fmt.Sprint(c.Checkpoint.Size), root),
		})
		if err == nil {
			err = e.anchors.write(c)
		}
		if err != nil {
			return err
		}
		e.anchors.sent(c, time.Now())
		for _, r := range e.remotes {
			r.offer(c)
		}
	}
	return nil
}

// refused puts on record that nothing is sealed any more.
func (e *sealExtension) refused(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if err := audit.Write(ctx, e.js, audit.Record{Action: audit.SealRefused, Target: e.sealer.Key.Log, Actor: self, Outcome: "error",
		Details: map[string]string{"reason": "rollback"}}); err != nil {
		e.set.Logger.Error("Cannot record that the seal stopped", zap.Error(err))
	}
}
