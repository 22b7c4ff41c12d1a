// The receiver's own metrics. receiverhelper counts records; these count messages.

package jetstream

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

type outcome string

const (
	outcomeAcked       outcome = "acked"
	outcomeNacked      outcome = "nacked"       // returned for redelivery
	outcomeDead        outcome = "dead"         // made a dead letter
	outcomeDeadFailed  outcome = "dead_failed"  // should be one, but could not be written
	outcomeUnconfirmed outcome = "unconfirmed"  // settled without the server's confirmation
	outcomeRedelivered outcome = "redelivered"  // fetched a second time or later
	outcomeTransient   outcome = "batch_failed" // batches, not messages, that met a transient error
)

type telemetry struct {
	base     []attribute.KeyValue
	messages metric.Int64Counter
	pending  metric.Int64Gauge
	inWork   metric.Int64Gauge
}

func newTelemetry(mp metric.MeterProvider, stream, durable string) (*telemetry, error) {
	m := mp.Meter("github.com/mcpsiem/mcpsiem/receivers/jetstream")
	t := &telemetry{base: []attribute.KeyValue{attribute.String("stream", stream), attribute.String("durable", durable)}}
	var errs [3]error
	t.messages, errs[0] = m.Int64Counter("otelcol_receiver_jetstream_messages", metric.WithUnit("{message}"),
		metric.WithDescription("What became of messages, by outcome."))
	t.pending, errs[1] = m.Int64Gauge("otelcol_receiver_jetstream_pending", metric.WithUnit("{message}"),
		metric.WithDescription("Messages in the stream that the consumer has not been given yet: how far it is behind."))
	t.inWork, errs[2] = m.Int64Gauge("otelcol_receiver_jetstream_ack_pending", metric.WithUnit("{message}"),
		metric.WithDescription("Messages given to the consumer and not settled yet."))
	return t, errors.Join(errs[:]...)
}

func (t *telemetry) message(o outcome) {
	t.messages.Add(context.Background(), 1, metric.WithAttributes(append(t.base[:2:2], attribute.String("outcome", string(o)))...))
}

func (t *telemetry) lag(pending, inWork int64) {
	o := metric.WithAttributes(t.base...)
	t.pending.Record(context.Background(), pending, o)
	t.inWork.Record(context.Background(), inWork, o)
}
