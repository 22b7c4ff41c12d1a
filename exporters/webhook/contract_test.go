package webhook

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pipeline"
	rcv "go.opentelemetry.io/collector/receiver"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

type nothing struct{}

func (nothing) Start(context.Context, component.Host) error { return nil }
func (nothing) Shutdown(context.Context) error              { return nil }

// The Collector's own contract of exporters: each element once where nothing fails, none lost where it does.
func TestContract(t *testing.T) {
	var next atomic.Pointer[consumer.Logs]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Attributes map[string]string `json:"attributes"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			w.WriteHeader(400)
			return
		}
		ld := plog.NewLogs()
		ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Attributes().PutStr("test_id", body.Attributes["test_id"])
		switch err := (*next.Load()).ConsumeLogs(r.Context(), ld); {
		case consumererror.IsPermanent(err):
			w.WriteHeader(400)
		case err != nil:
			w.WriteHeader(500)
		}
	}))
	defer srv.Close()
	c := newDefaultConfig()
	c.URL, c.Body, c.Networks.Allow = srv.URL, bodyRecord, []string{"127.0.0.0/8"}
	c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 2 * time.Millisecond, MaxElapsed: 10 * time.Second}
	exportertest.CheckConsumeContract(exportertest.CheckConsumeContractParams{
		T: t, NumberOfTestElements: 20, Signal: pipeline.SignalLogs, ExporterFactory: NewFactory(), ExporterConfig: c,
		ReceiverFactory: rcv.NewFactory(component.MustNewType("mock"), func() component.Config { return &struct{}{} },
			rcv.WithLogs(func(_ context.Context, _ rcv.Settings, _ component.Config, l consumer.Logs) (rcv.Logs, error) {
				next.Store(&l)
				return nothing{}, nil
			}, component.StabilityLevelBeta)),
		ReceiverConfig: &struct{}{},
	})
}
