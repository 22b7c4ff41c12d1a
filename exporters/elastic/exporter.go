// Package elastic is the exporter that gives events, findings and audit records to data streams of Elasticsearch or OpenSearch, as documents of the
// Elastic Common Schema.
package elastic

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// elasticExporter delivers batches. Its workers bound how many are in work and how much memory they hold.
type elasticExporter struct {
	cfg     *Config
	log     *zap.Logger
	tel     *sink.Telemetry
	filter  *sink.Filter
	done    *sink.Confirmed
	targets *targets
	client  *Client
	cluster cluster
	gate    sink.Gate
	workers chan *worker
	say     *sink.Complaints
	now     func() time.Time

	stop context.CancelFunc
	bg   sync.WaitGroup
}

func newExporter(set exporter.Settings, cfg *Config) (*elasticExporter, error) {
	filter, err := cfg.Route.Compile()
	if err != nil {
		return nil, err
	}
	if _, err := loadMapping(); err != nil {
		return nil, err
	}
	tel, err := sink.NewTelemetry(set.MeterProvider, set.ID.String())
	if err != nil {
		return nil, err
	}
	return &elasticExporter{
		cfg: cfg, log: set.Logger, tel: tel, filter: filter, done: sink.NewConfirmed(0), targets: newTargets(cfg), cluster: cluster{ready: map[string]bool{}},
		workers: make(chan *worker, cfg.Connections), now: time.Now,
	}, nil
}

func (e *elasticExporter) start(ctx context.Context, host component.Host) error {
	e.say = sink.NewComplaints(e.log, host, "Elasticsearch")
	var t *tls.Config
	if e.cfg.TLS != nil {
		var err error
		if t, err = e.cfg.TLS.LoadTLSConfig(ctx); err != nil {
			return fmt.Errorf("cannot start the elastic exporter: %w", err)
		}
	}
	if _, err := e.cfg.Auth.header(); err != nil {
		return fmt.Errorf("cannot start the elastic exporter: %w", err)
	}
	e.client = NewClient(e.cfg.Endpoints, e.cfg.Auth, t, e.cfg.Timeout, e.cfg.Connections)
	for range e.cfg.Connections {
		enc, err := newEncoder(e.cfg.Message != messageNone, now)
		if err != nil {
			return err
		}
		e.workers <- &worker{elasticExporter: e, reader: sink.NewReader(e.filter, e.tel), chunks: chunker{cfg: e.cfg, enc: enc, targets: e.targets}}
	}
	bg, stop := context.WithCancel(context.Background())
	e.stop = stop
	if !e.cfg.HealthCheck.Enabled {
		return nil
	}
	check := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, e.cfg.HealthCheck.Timeout)
		defer cancel()
		for _, t := range e.targets.made {
			if err := e.prepare(ctx, t); err != nil {
				return fmt.Errorf("cannot use %s: %w", e.cfg.Endpoints[0], err)
			}
		}
		e.log.Info("Connected", zap.Stringer("to", e.cluster.version))
		return nil
	}
	if e.cfg.HealthCheck.Required {
		if err := check(ctx); err != nil {
			return fmt.Errorf("cannot start the elastic exporter: %w", err)
		}
		return nil
	}
	e.bg.Go(func() { // a cluster that is away must not delay the other sinks of this process
		if err := check(bg); err != nil && bg.Err() == nil {
			e.log.Error("Elasticsearch would not take events now; they wait in the stream", zap.Error(err))
		}
	})
	return nil
}

func (e *elasticExporter) shutdown(context.Context) error {
	if e.stop == nil {
		return nil
	}
	e.stop()
	e.bg.Wait()
	for range e.cfg.Connections {
		<-e.workers
	}
	e.client.Close()
	return nil
}

// consume returns nil when the data streams have the batch.
func (e *elasticExporter) consume(ctx context.Context, ld plog.Logs) error {
	select {
	case w := <-e.workers:
		defer func() { e.workers <- w }()
		return w.deliver(ctx, ld)
	case <-ctx.Done():
		return ctx.Err()
	}
}
