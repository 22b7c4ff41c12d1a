package triage

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/mcpsiem/mcpsiem/internal/triage"
)

// telemetry is what the processor says about itself.
type telemetry struct {
	findings, loads   metric.Int64Counter
	entries, expiring metric.Int64Gauge
}

func newTelemetry(mp metric.MeterProvider) (*telemetry, error) {
	m := mp.Meter("github.com/mcpsiem/mcpsiem/processors/triage")
	t := &telemetry{}
	var err error
	if t.findings, err = m.Int64Counter("otelcol_triage_findings", metric.WithUnit("{finding}"), metric.WithDescription("Findings judged, by outcome.")); err != nil {
		return nil, err
	}
	if t.loads, err = m.Int64Counter("otelcol_triage_loads", metric.WithUnit("{load}"), metric.WithDescription("Times the file changed, by result.")); err != nil {
		return nil, err
	}
	if t.entries, err = m.Int64Gauge("otelcol_triage_entries", metric.WithUnit("{entry}"), metric.WithDescription("Entries in force or to come, maintenance windows included.")); err != nil {
		return nil, err
	}
	t.expiring, err = m.Int64Gauge("otelcol_triage_expiring", metric.WithUnit("{entry}"), metric.WithDescription("Entries that end soon."))
	return t, err
}

func (t *telemetry) judged(ctx context.Context, outcome string) {
	t.findings.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
}

func (t *telemetry) loaded(result string) {
	t.loads.Add(context.Background(), 1, metric.WithAttributes(attribute.String("result", result)))
}

func (t *telemetry) sizes(r *triage.Rules, expiring int) {
	if r == nil {
		return
	}
	t.entries.Record(context.Background(), int64(len(r.Allow)+len(r.Maintenance)))
	t.expiring.Record(context.Background(), int64(expiring))
}
