package inspect

import (
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/metric"
)

// metrics are the processor's own: what it looked at, replaced and withheld. They name classes and reasons, never content.
type metrics struct {
	events     metric.Int64Counter
	bytes      metric.Int64Counter
	withheld   metric.Int64Counter
	redactions metric.Int64Counter
}

func newMetrics(set component.TelemetrySettings) (m metrics, err error) {
	meter := set.MeterProvider.Meter("github.com/mcpsiem/mcpsiem/processors/inspect")
	if m.events, err = meter.Int64Counter("otelcol_inspect_events", metric.WithUnit("{event}"), metric.WithDescription("Events inspected.")); err != nil {
		return m, err
	}
	if m.bytes, err = meter.Int64Counter("otelcol_inspect_bytes", metric.WithUnit("By"), metric.WithDescription("Bytes of bodies inspected.")); err != nil {
		return m, err
	}
	if m.withheld, err = meter.Int64Counter("otelcol_inspect_withheld", metric.WithUnit("{event}"), metric.WithDescription("Bodies withheld because they could not be examined, by reason.")); err != nil {
		return m, err
	}
	m.redactions, err = meter.Int64Counter("otelcol_inspect_redactions", metric.WithUnit("{value}"), metric.WithDescription("Values replaced, by data class."))
	return m, err
}
