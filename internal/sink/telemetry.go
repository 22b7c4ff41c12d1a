// What every sink counts.

package sink

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Telemetry holds the metrics of one sink. Safe for concurrent use.
type Telemetry struct {
	sink                                                   string
	base                                                   metric.MeasurementOption
	nReceived, nFiltered, nDelivered, nConfirmed, nSkipped metric.Int64Counter
	nRefused, nRetried, nSentBytes, nEncodedBytes          metric.Int64Counter
	duration                                               metric.Float64Histogram
	options                                                sync.Map // attribute value -> metric.MeasurementOption, by "name=value"; values come from code
}

// NewTelemetry makes the metrics of the sink with this name: the component's id.
func NewTelemetry(mp metric.MeterProvider, sink string) (*Telemetry, error) {
	m := mp.Meter("github.com/mcpsiem/mcpsiem/internal/sink")
	t := &Telemetry{sink: sink, base: metric.WithAttributeSet(attribute.NewSet(attribute.String("sink", sink)))}
	var errs []error
	counter := func(to *metric.Int64Counter, name, unit, doc string) {
		var err error
		*to, err = m.Int64Counter("otelcol_sink_"+name, metric.WithUnit(unit), metric.WithDescription(doc))
		errs = append(errs, err)
	}
	counter(&t.nReceived, "received_records", "{record}", "Records taken from the stream, repetitions included.")
	counter(&t.nFiltered, "filtered_records", "{record}", "Records that do not go to this sink, by reason.")
	counter(&t.nDelivered, "delivered_records", "{record}", "Records that the other side accepted.")
	counter(&t.nConfirmed, "confirmed_records", "{record}", "Records that the other side has durably, as far as it can say.")
	counter(&t.nSkipped, "skipped_records", "{record}", "Records that an earlier try of the same batch delivered, not sent again.")
	counter(&t.nRefused, "refused_records", "{record}", "Records given up and put into dead letters, by reason.")
	counter(&t.nRetried, "retries", "{request}", "Requests that were repeated, by reason.")
	counter(&t.nSentBytes, "sent_bytes", "By", "Bytes of request bodies on the wire.")
	counter(&t.nEncodedBytes, "encoded_bytes", "By", "Bytes of request bodies before compression.")
	var err error
	t.duration, err = m.Float64Histogram("otelcol_sink_request_duration", metric.WithUnit("s"),
		metric.WithDescription("From sending a request to its answer, by outcome."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60))
	return t, errors.Join(append(errs, err)...)
}

func (t *Telemetry) with(name, value string) metric.MeasurementOption {
	key := name + "=" + value
	if o, ok := t.options.Load(key); ok {
		return o.(metric.MeasurementOption)
	}
	o := metric.WithAttributeSet(attribute.NewSet(attribute.String("sink", t.sink), attribute.String(name, value)))
	t.options.Store(key, o)
	return o
}

func (t *Telemetry) received(ctx context.Context, n int) { t.nReceived.Add(ctx, int64(n), t.base) }

func (t *Telemetry) filtered(ctx context.Context, r Reason, n int) {
	t.nFiltered.Add(ctx, int64(n), t.with("reason", string(r)))
}

// Filtered counts records that the exporter itself keeps back on purpose, beside those that the route does. The reason is a word from code.
func (t *Telemetry) Filtered(ctx context.Context, r Reason, n int) { t.filtered(ctx, r, n) }

// Delivered counts records that the other side accepted; confirmed says that it has them durably as far as it can say.
func (t *Telemetry) Delivered(ctx context.Context, n int, confirmed bool) {
	t.nDelivered.Add(ctx, int64(n), t.base)
	if confirmed {
		t.Confirmed(ctx, n)
	}
}

// Confirmed counts records of which the other side said later that it has them durably.
func (t *Telemetry) Confirmed(ctx context.Context, n int) { t.nConfirmed.Add(ctx, int64(n), t.base) }

// Skipped counts records that an earlier try of their batch delivered.
func (t *Telemetry) Skipped(ctx context.Context, n int) { t.nSkipped.Add(ctx, int64(n), t.base) }

// Refused counts records given up. The reason is a word from code.
func (t *Telemetry) Refused(ctx context.Context, reason string, n int) {
	t.nRefused.Add(ctx, int64(n), t.with("reason", reason))
}

// Retried counts a request that is repeated. The reason is a word from code.
func (t *Telemetry) Retried(ctx context.Context, reason string) {
	t.nRetried.Add(ctx, 1, t.with("reason", reason))
}

// Request counts a request: the bytes of its body on the wire and before compression, and how long it took. The outcome is a word from code.
func (t *Telemetry) Request(ctx context.Context, sent, encoded int, d time.Duration, outcome string) {
	t.nSentBytes.Add(ctx, int64(sent), t.base)
	t.nEncodedBytes.Add(ctx, int64(encoded), t.base)
	t.duration.Record(ctx, d.Seconds(), t.with("outcome", outcome))
}
