package identity

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

// telemetry is what the processor says about itself: counts and names of methods, never an identity.
type telemetry struct {
	log     *zap.Logger
	events  metric.Int64Counter
	entries metric.Int64Gauge
	loads   metric.Int64Counter
	live    metric.Int64Gauge
	fetches metric.Int64Counter

	mu      sync.Mutex
	pending map[methodKey]int64 // guarded by mu
	sets    map[methodKey]metric.MeasurementOption
}

type methodKey struct {
	method   string
	verified bool
}

func newTelemetry(set component.TelemetrySettings) (*telemetry, error) {
	m := set.MeterProvider.Meter("github.com/mcpsiem/mcpsiem/processors/identity")
	t := &telemetry{log: set.Logger, pending: map[methodKey]int64{}, sets: map[methodKey]metric.MeasurementOption{}}
	var err error
	do := func(e error) {
		if err == nil {
			err = e
		}
	}
	var e error
	t.events, e = m.Int64Counter("otelcol_identity_events", metric.WithUnit("{event}"), metric.WithDescription("Events identified, by method of the principal and whether it was verified."))
	do(e)
	t.entries, e = m.Int64Gauge("otelcol_identity_directory_entries", metric.WithUnit("{entry}"), metric.WithDescription("Entries of the directory in use."))
	do(e)
	t.loads, e = m.Int64Counter("otelcol_identity_directory_loads", metric.WithUnit("{load}"), metric.WithDescription("Times the directory's file changed, by result."))
	do(e)
	t.live, e = m.Int64Gauge("otelcol_identity_issuer_keys", metric.WithUnit("{key}"), metric.WithDescription("Usable signature keys of an issuer."))
	do(e)
	t.fetches, e = m.Int64Counter("otelcol_identity_issuer_fetches", metric.WithUnit("{fetch}"), metric.WithDescription("Times an issuer's keys were fetched, by result."))
	do(e)
	return t, err
}

func (t *telemetry) count(id *identified) {
	k := methodKey{methodNone, false}
	if id.known {
		k = methodKey{id.principal.method, id.principal.verified}
	}
	t.mu.Lock()
	t.pending[k]++
	t.mu.Unlock()
}

// flush adds the counts of a batch to the counters.
func (t *telemetry) flush(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, n := range t.pending {
		if n == 0 {
			continue
		}
		o, ok := t.sets[k]
		if !ok {
			o = metric.WithAttributeSet(attribute.NewSet(attribute.String("method", k.method), attribute.Bool("verified", k.verified)))
			t.sets[k] = o
		}
		t.events.Add(ctx, n, o)
		t.pending[k] = 0
	}
}

func result(err error) attribute.KeyValue {
	if err != nil {
		return attribute.String("result", "error")
	}
	return attribute.String("result", "ok")
}

func (t *telemetry) directory(entries int, err error) {
	ctx := context.Background()
	t.loads.Add(ctx, 1, metric.WithAttributes(result(err)))
	if err != nil {
		t.log.Error("The directory stays as it was", zap.Error(err))
		return
	}
	t.entries.Record(ctx, int64(entries))
	t.log.Info("Directory loaded", zap.Int("entries", entries))
}

func (t *telemetry) fingerprintKeys(err error) {
	if err != nil {
		t.log.Error("The key of fingerprints stays as it was", zap.Error(err))
		return
	}
	t.log.Info("The key of fingerprints is another; credentials that are enrolled or bound under a former one are known on")
}

func (t *telemetry) keys(issuer string, live int, err error) {
	ctx := context.Background()
	is := attribute.String("issuer", issuer)
	t.fetches.Add(ctx, 1, metric.WithAttributes(is, result(err)))
	t.live.Record(ctx, int64(live), metric.WithAttributes(is))
	if err != nil {
		t.log.Warn("An issuer's keys stay as they were", zap.String("issuer", issuer), zap.Int("keys", live), zap.Error(err))
	}
}
