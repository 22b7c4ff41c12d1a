package decode

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

// telemetry counts what came in and what was made of it, by names of formats and reasons only.
type telemetry struct {
	log                     *zap.Logger
	records, events, unread metric.Int64Counter
	in, out                 []atomic.Int64 // by format, spans last; since the last flush
	sets                    []metric.MeasurementOption
}

func newTelemetry(set component.TelemetrySettings) (*telemetry, error) {
	m := set.MeterProvider.Meter("github.com/mcpsiem/mcpsiem/processors/decode")
	t := &telemetry{log: set.Logger, in: make([]atomic.Int64, len(formats)+1), out: make([]atomic.Int64, len(formats)+1)}
	for _, f := range formats {
		t.sets = append(t.sets, formatSet(f.Name()))
	}
	t.sets = append(t.sets, formatSet(kindSpan))
	var err error
	if t.records, err = m.Int64Counter("otelcol_decode_records", metric.WithUnit("{record}"), metric.WithDescription("Log records and spans taken in, by format.")); err != nil {
		return nil, err
	}
	if t.events, err = m.Int64Counter("otelcol_decode_events", metric.WithUnit("{event}"), metric.WithDescription("Events made, by format.")); err != nil {
		return nil, err
	}
	t.unread, err = m.Int64Counter("otelcol_decode_unread", metric.WithUnit("{record}"), metric.WithDescription("Records and spans that are no MCP messages, by reason: not_mcp spans and inference details are dropped, unknown_format and json_form kept as invalid events, unknown_limit counted on an event."))
	return t, err
}

func formatSet(name string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("format", name)))
}

func (t *telemetry) count(format, events int) {
	t.in[format].Add(1)
	t.out[format].Add(int64(events))
}

func (t *telemetry) countSpan(events int) { t.count(len(formats), events) }

func (t *telemetry) drop(reason string, n int64) {
	t.unread.Add(context.Background(), n, metric.WithAttributes(attribute.String("reason", reason)))
}

// flush adds the counts of a batch to the counters.
func (t *telemetry) flush(ctx context.Context) {
	for i := range t.in {
		if n := t.in[i].Swap(0); n > 0 {
			t.records.Add(ctx, n, t.sets[i])
		}
		if n := t.out[i].Swap(0); n > 0 {
			t.events.Add(ctx, n, t.sets[i])
		}
	}
}
