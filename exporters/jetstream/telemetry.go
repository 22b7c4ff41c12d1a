// The exporter's own metrics. exporterhelper counts records; these count messages.

package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

type telemetry struct {
	stream                     attribute.KeyValue
	messages, bytes, dup, trim metric.Int64Counter
	refusals                   metric.Int64Counter
	latency                    metric.Float64Histogram
}

func newTelemetry(mp metric.MeterProvider, stream string) (*telemetry, error) {
	m := mp.Meter("github.com/mcpsiem/mcpsiem/exporters/jetstream")
	t := &telemetry{stream: attribute.String("stream", stream)}
	var errs [6]error
	t.messages, errs[0] = m.Int64Counter("otelcol_exporter_jetstream_messages", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that the stream acknowledged, duplicates included."))
	t.bytes, errs[1] = m.Int64Counter("otelcol_exporter_jetstream_bytes", metric.WithUnit("By"),
		metric.WithDescription("Bytes of acknowledged message bodies, compressed."))
	t.dup, errs[2] = m.Int64Counter("otelcol_exporter_jetstream_duplicates", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that the stream already had."))
	t.refusals, errs[3] = m.Int64Counter("otelcol_exporter_jetstream_refusals", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that were not stored, by reason: full, too_large, timeout, no_stream, other."))
	t.trim, errs[4] = m.Int64Counter("otelcol_exporter_jetstream_trimmed", metric.WithUnit("{message}"),
		metric.WithDescription("Messages removed before their age because every consumer has read them."))
	t.latency, errs[5] = m.Float64Histogram("otelcol_exporter_jetstream_ack_duration", metric.WithUnit("s"),
		metric.WithDescription("From the start of publishing a batch to a message's acknowledgement."),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	return t, errors.Join(errs[:]...)
}

func (t *telemetry) stored(ctx context.Context, bytes int, duplicate bool, d time.Duration) {
	o := metric.WithAttributes(t.stream)
	t.messages.Add(ctx, 1, o)
	t.bytes.Add(ctx, int64(bytes), o)
	t.latency.Record(ctx, d.Seconds(), o)
	if duplicate {
		t.dup.Add(ctx, 1, o)
	}
}

func (t *telemetry) refused(ctx context.Context, reason string, n int64) {
	t.refusals.Add(ctx, n, metric.WithAttributes(t.stream, attribute.String("reason", reason)))
}

func (t *telemetry) trimmed(ctx context.Context, n uint64) {
	t.trim.Add(ctx, int64(n), metric.WithAttributes(t.stream))
}

func refusal(err error) string {
	switch {
	case full(err):
		return "full"
	case tooBig(err):
		return "too_large"
	case gone(err):
		return "no_stream"
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "other"
}
