package sink

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestTelemetry(t *testing.T) {
	tt := componenttest.NewTelemetry()
	defer tt.Shutdown(context.Background())
	tel, err := NewTelemetry(tt.NewTelemetrySettings().MeterProvider, "splunkhec/prod")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	r := NewReader(compile(t, map[string]any{"tenants": map[string]any{"include": strs("other")}}), tel)
	for range r.Read(ctx, batch([]string{"a", "b", "c"})) {
		t.Error("not filtered")
	}
	tel.Delivered(ctx, 5, true)
	tel.Delivered(ctx, 2, false)
	tel.Confirmed(ctx, 1)
	tel.Skipped(ctx, 4)
	tel.Refused(ctx, "hec_6", 2)
	tel.Retried(ctx, "busy")
	tel.Retried(ctx, "busy")
	tel.Request(ctx, 10, 100, time.Second, "ok")
	f := func(name, attr, value string, want int64) {
		t.Helper()
		m, err := tt.GetMetric("otelcol_sink_" + name)
		if err != nil {
			t.Error(err)
			return
		}
		attrs := []attribute.KeyValue{attribute.String("sink", "splunkhec/prod")}
		if attr != "" {
			attrs = append(attrs, attribute.String(attr, value))
		}
		set := attribute.NewSet(attrs...)
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			if len(d.DataPoints) != 1 || d.DataPoints[0].Value != want || !d.DataPoints[0].Attributes.Equals(&set) {
				t.Errorf("%s: %+v, want %d with %v", name, d.DataPoints, want, attrs)
			}
		case metricdata.Histogram[float64]:
			if len(d.DataPoints) != 1 || int64(d.DataPoints[0].Count) != want || !d.DataPoints[0].Attributes.Equals(&set) {
				t.Errorf("%s: %+v", name, d.DataPoints)
			}
		}
	}
	f("received_records", "", "", 3)
	f("filtered_records", "reason", "tenant", 3)
	f("delivered_records", "", "", 7)
	f("confirmed_records", "", "", 6)
	f("skipped_records", "", "", 4)
	f("refused_records", "reason", "hec_6", 2)
	f("retries", "reason", "busy", 2)
	f("sent_bytes", "", "", 10)
	f("encoded_bytes", "", "", 100)
	f("request_duration", "outcome", "ok", 1)
}
