// The exporter's own metrics.

package clickhouse

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

type telemetry struct {
	rows, skipped metric.Int64Counter
	duration      metric.Float64Histogram
}

func newTelemetry(mp metric.MeterProvider) (*telemetry, error) {
	m := mp.Meter("github.com/mcpsiem/mcpsiem/exporters/clickhouse")
	t := &telemetry{}
	var errs [3]error
	t.rows, errs[0] = m.Int64Counter("otelcol_exporter_clickhouse_rows", metric.WithUnit("{row}"),
		metric.WithDescription("Rows that ClickHouse acknowledged, by table."))
	t.skipped, errs[1] = m.Int64Counter("otelcol_exporter_clickhouse_rows_present", metric.WithUnit("{row}"),
		metric.WithDescription("Rows of redelivered batches that were stored before and not sent again, by table."))
	t.duration, errs[2] = m.Float64Histogram("otelcol_exporter_clickhouse_insert_duration", metric.WithUnit("s"),
		metric.WithDescription("From sending a block to its acknowledgement, by table."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60))
	return t, errors.Join(errs[:]...)
}

func (t *telemetry) inserted(ctx context.Context, table string, rows int, d time.Duration) {
	o := metric.WithAttributes(attribute.String("table", table))
	t.rows.Add(ctx, int64(rows), o)
	t.duration.Record(ctx, d.Seconds(), o)
}

func (t *telemetry) skip(ctx context.Context, table string) {
	t.skipped.Add(ctx, 1, metric.WithAttributes(attribute.String("table", table)))
}
