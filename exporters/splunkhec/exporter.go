// Package splunkhec is the exporter that gives events, findings and audit records to Splunk's HTTP Event Collector.
package splunkhec

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// hecExporter delivers batches. Its workers bound how many are in work and how much memory they hold.
type hecExporter struct {
	cfg     *Config
	log     *zap.Logger
	tel     *sink.Telemetry
	filter  *sink.Filter
	done    *sink.Confirmed
	targets []target
	gate    sink.Gate
	workers chan *worker
	say     *sink.Complaints

	stop context.CancelFunc
	bg   sync.WaitGroup
}

func newExporter(set exporter.Settings, cfg *Config) (*hecExporter, error) {
	filter, err := cfg.Route.Compile()
	if err != nil {
		return nil, err
	}
	tel, err := sink.NewTelemetry(set.MeterProvider, set.ID.String())
	if err != nil {
		return nil, err
	}
	return &hecExporter{
		cfg: cfg, log: set.Logger, tel: tel, filter: filter, done: sink.NewConfirmed(0), targets: newTargets(cfg),
		workers: make(chan *worker, cfg.Connections),
	}, nil
}

func (e *hecExporter) start(ctx context.Context, host component.Host) error {
	e.say = sink.NewComplaints(e.log, host, "Splunk")
	var t *tls.Config
	if e.cfg.TLS != nil {
		var err error
		if t, err = e.cfg.TLS.LoadTLSConfig(ctx); err != nil {
			return fmt.Errorf("cannot start the splunkhec exporter: %w", err)
		}
	}
	for i := range e.targets {
		if _, err := e.targets[i].token.Read(); err != nil {
			return fmt.Errorf("cannot start the splunkhec exporter: token: %w", err)
		}
	}
	enc := newEncoder(e.cfg)
	for range e.cfg.Connections {
		e.workers <- &worker{
			hecExporter: e, client: newClient(e.cfg, t.Clone()), reader: sink.NewReader(e.filter, e.tel),
			chunks: chunker{cfg: e.cfg, enc: enc, targets: e.targets},
		}
	}
	bg, stop := context.WithCancel(context.Background())
	e.stop = stop
	if !e.cfg.HealthCheck.Enabled {
		return nil
	}
	check := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, e.cfg.HealthCheck.Timeout)
		defer cancel()
		c := newClient(e.cfg, t.Clone())
		defer c.close()
		return e.check(ctx, c)
	}
	if e.cfg.HealthCheck.Required {
		if err := check(ctx); err != nil {
			return fmt.Errorf("cannot start the splunkhec exporter: %w", err)
		}
		return nil
	}
	e.bg.Go(func() { // a Splunk that is away must not delay the other sinks of this process
		if err := check(bg); err != nil && bg.Err() == nil {
			e.log.Error("Splunk would not take events now; they wait in the stream", zap.Error(err))
		}
	})
	return nil
}

func (e *hecExporter) shutdown(context.Context) error {
	if e.stop == nil {
		return nil
	}
	e.stop()
	e.bg.Wait()
	for range e.cfg.Connections {
		w := <-e.workers
		w.client.close()
	}
	return nil
}

// consume returns nil when Splunk has the batch: acknowledged as indexed if its token acknowledges, accepted if not.
func (e *hecExporter) consume(ctx context.Context, ld plog.Logs) error {
	select {
	case w := <-e.workers:
		defer func() { e.workers <- w }()
		return w.deliver(ctx, ld)
	case <-ctx.Done():
		return ctx.Err()
	}
}
