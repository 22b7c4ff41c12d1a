package connector

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
)

// telemetry turns the engine's running counts into metrics.
type telemetry struct {
	counters map[string]metric.Int64Counter
	gauges   map[string]metric.Int64Gauge
	last     map[series]int64
	options  map[series]metric.MeasurementOption
	share    engine.Share
}

// series is one metric with its attributes.
type series struct{ name, rule, severity, anomaly string }

const metricPrefix = "otelcol_detect_"

func newTelemetry(p metric.MeterProvider, share engine.Share) (*telemetry, error) {
	t := &telemetry{
		counters: map[string]metric.Int64Counter{}, gauges: map[string]metric.Int64Gauge{},
		last: map[series]int64{}, options: map[series]metric.MeasurementOption{}, share: share,
	}
	meter := p.Meter("github.com/mcpsiem/mcpsiem/detectors/connector")
	for _, m := range []struct{ name, unit, doc string }{
		{"events", "{event}", "Events given to the detectors, duplicates included."},
		{"duplicates", "{event}", "Events observed before, and so not again."},
		{"late", "{event}", "Events older than the watermark; observed all the same."},
		{"skewed", "{event}", "Events without a time, or with one too far ahead of their receipt."},
		{"no_id", "{event}", "Events without an id: duplicates among them are not recognised."},
		{"observations", "{event}", "Events that a detector judged, by rule."},
		{"findings", "{finding}", "Findings raised, by rule and severity."},
		{"repeats", "{finding}", "Findings raised before, and so not again, by rule."},
		{"evicted", "{state}", "States dropped because there were too many, by rule."},
		{"expired", "{state}", "States dropped because they were idle, by rule."},
		{"panics", "{call}", "Calls of a detector that panicked, by rule."},
		{"skipped", "{message}", "Messages delivered that were in the state already."},
		{"caught_up", "{message}", "Messages read back from the stream."},
		{"muted", "{finding}", "Findings made again while catching up, and not sent again."},
		{"findings_sent", "{finding}", "Findings that the next component took."},
		{"findings_lost", "{finding}", "Findings that the next component refused for good."},
		{"snapshots", "{snapshot}", "Snapshots kept."},
		{"rules_reloads", "{reload}", "Times that rules were read anew, by outcome: changed, refused, unreadable."},
		{"rules_over_budget", "{event}", "Events that a rule did not judge because of what it would have cost, by rule."},
		{"rules_disabled", "{rule}", "Times that a rule was turned off because of its cost, by rule."},
		{"anomalies", "{anomaly}", "Events by which state or findings can be incomplete, by anomaly."},
	} {
		c, err := meter.Int64Counter(metricPrefix+m.name, metric.WithUnit(m.unit), metric.WithDescription(m.doc))
		if err != nil {
			return nil, err
		}
		t.counters[m.name] = c
	}
	for _, m := range []struct{ name, unit, doc string }{
		{"keys", "{state}", "States kept, by rule."},
		{"rules", "{rule}", "Rules in force."},
		{"snapshot_size", "By", "Size of the last snapshot."},
	} {
		g, err := meter.Int64Gauge(metricPrefix+m.name, metric.WithUnit(m.unit), metric.WithDescription(m.doc))
		if err != nil {
			return nil, err
		}
		t.gauges[m.name] = g
	}
	return t, nil
}

// observe is called by the host after each batch.
func (t *telemetry) observe(h *engine.Host) {
	host, eng, rules := h.Stats()
	t.count(series{name: "events"}, eng.Events)
	t.count(series{name: "duplicates"}, eng.Duplicates)
	t.count(series{name: "late"}, eng.Late)
	t.count(series{name: "skewed"}, eng.Skewed)
	t.count(series{name: "no_id"}, eng.NoID)
	t.count(series{name: "muted"}, eng.Muted)
	t.count(series{name: "skipped"}, host.Skipped)
	t.count(series{name: "caught_up"}, host.CaughtUp)
	t.count(series{name: "findings_sent"}, host.FindingsSent)
	t.count(series{name: "findings_lost"}, host.FindingsLost)
	t.count(series{name: "snapshots"}, host.Snapshots)
	t.gauge(series{name: "snapshot_size"}, host.SnapshotBytes)
	for a, n := range host.Anomalies {
		t.count(series{name: "anomalies", anomaly: a}, n)
	}
	for i := range rules {
		r := &rules[i]
		t.count(series{name: "observations", rule: r.ID}, r.Observations)
		t.count(series{name: "repeats", rule: r.ID}, r.Repeats)
		t.count(series{name: "evicted", rule: r.ID}, r.Evicted)
		t.count(series{name: "expired", rule: r.ID}, r.Expired)
		t.count(series{name: "panics", rule: r.ID}, r.Panics)
		t.gauge(series{name: "keys", rule: r.ID}, int64(r.Keys))
		for severity, n := range r.Findings {
			t.count(series{name: "findings", rule: r.ID, severity: severity}, n)
		}
	}
}

// rules says how many rules are in force.
func (t *telemetry) rules(n int) { t.gauge(series{name: "rules"}, int64(n)) }

// reload counts one reading of the rules. Unlike the others it may be called from any goroutine.
func (t *telemetry) reload(outcome string) {
	t.counters["rules_reloads"].Add(context.Background(), 1, metric.WithAttributes(attribute.String("outcome", outcome)))
}

// count brings a counter up to n. A count that is lower than before is that of a rule that was loaded anew.
func (t *telemetry) count(s series, n int64) {
	if d := n - t.last[s]; d != 0 {
		t.last[s] = n
		if d < 0 {
			d = n
		}
		t.counters[s.name].Add(context.Background(), d, t.option(s))
	}
}

func (t *telemetry) gauge(s series, n int64) {
	if t.last[s] != n {
		t.last[s] = n
		t.gauges[s.name].Record(context.Background(), n, t.option(s))
	}
}

func (t *telemetry) option(s series) metric.MeasurementOption {
	o, ok := t.options[s]
	if !ok {
		var kv []attribute.KeyValue
		for _, a := range []struct{ k, v string }{{"rule", s.rule}, {"severity", s.severity}, {"anomaly", s.anomaly}} {
			if a.v != "" {
				kv = append(kv, attribute.String(a.k, a.v))
			}
		}
		if t.share.Partitions > 1 {
			kv = append(kv, attribute.Int("partition", t.share.Partition))
		}
		o = metric.WithAttributeSet(attribute.NewSet(kv...))
		t.options[s] = o
	}
	return o
}
