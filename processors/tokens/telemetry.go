package tokens

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

// telemetry is what the processor says about itself: numbers only, never content.
type telemetry struct {
	log    *zap.Logger
	tokens metric.Int64Counter
	events metric.Int64Counter
	loads  metric.Int64Counter
}

// Outcomes of an event, one of which it counts as.
const (
	outcomeCounted     = iota // tokens found and priced
	outcomeUnpriced           // tokens found, but no model or no price for it
	outcomeUncosted           // tokens found that no model is charged for, such as those of a list of resources
	outcomeNone               // nothing to count: a notification, a tap's record, an empty result
	outcomeUnparseable        // no JSON-RPC message
	outcomeTooLarge           // above max_bytes
	numOutcomes
)

var (
	outcomeNames = [numOutcomes]string{"priced", "unpriced", "not_charged", "empty", "unparseable", "too_large"}
	outcomeSets  [numOutcomes]metric.MeasurementOption

	argumentsSet   = metric.WithAttributeSet(attribute.NewSet(attribute.String("part", "arguments")))
	resultSet      = metric.WithAttributeSet(attribute.NewSet(attribute.String("part", "result")))
	definitionsSet = metric.WithAttributeSet(attribute.NewSet(attribute.String("part", "definitions")))
	loadedSet      = metric.WithAttributeSet(attribute.NewSet(attribute.String("result", "ok")))
	failedSet      = metric.WithAttributeSet(attribute.NewSet(attribute.String("result", "error")))
)

func init() {
	for i, n := range outcomeNames {
		outcomeSets[i] = metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", n)))
	}
}

func newTelemetry(set component.TelemetrySettings) (*telemetry, error) {
	m := set.MeterProvider.Meter("github.com/mcpsiem/mcpsiem/processors/tokens")
	t := &telemetry{log: set.Logger}
	var err error
	if t.tokens, err = m.Int64Counter("otelcol_tokens_counted", metric.WithUnit("{token}"), metric.WithDescription("Tokens counted, by part of the message.")); err != nil {
		return nil, err
	}
	if t.events, err = m.Int64Counter("otelcol_tokens_events", metric.WithUnit("{event}"), metric.WithDescription("Events seen, by what became of them.")); err != nil {
		return nil, err
	}
	if t.loads, err = m.Int64Counter("otelcol_tokens_price_loads", metric.WithUnit("{load}"), metric.WithDescription("Times the price file changed, by result.")); err != nil {
		return nil, err
	}
	return t, nil
}

// batch sums up a batch, so that counters are touched once for it.
type batch struct {
	outcomes                       [numOutcomes]int64
	arguments, result, definitions int64
}

func (t *telemetry) flush(ctx context.Context, b *batch) {
	for i, n := range b.outcomes {
		if n > 0 {
			t.events.Add(ctx, n, outcomeSets[i])
		}
	}
	if b.arguments > 0 {
		t.tokens.Add(ctx, b.arguments, argumentsSet)
	}
	if b.result > 0 {
		t.tokens.Add(ctx, b.result, resultSet)
	}
	if b.definitions > 0 {
		t.tokens.Add(ctx, b.definitions, definitionsSet)
	}
}

func (t *telemetry) prices(err error) {
	if err != nil {
		t.loads.Add(context.Background(), 1, failedSet)
		t.log.Error("The prices stay as they were", zap.Error(err))
		return
	}
	t.loads.Add(context.Background(), 1, loadedSet)
	t.log.Info("Prices loaded")
}
