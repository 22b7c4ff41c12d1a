package otlp

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
)

func TestHostileServices(t *testing.T) {
	for _, signal := range []string{signalLogs, signalMetrics} {
		t.Run(signal, func(t *testing.T) {
			good := newCollector(t)
			sinktest.HTTP{
				Open: func(t *testing.T, url string) func(context.Context, plog.Logs) error {
					key := filepath.Join(t.TempDir(), "key")
					if err := os.WriteFile(key, []byte("planted-key"), 0o600); err != nil {
						t.Fatal(err)
					}
					cfg := newDefaultConfig()
					cfg.Endpoint, cfg.Signals, cfg.Timeout = url, []string{signal}, sinktest.Timeout
					cfg.Headers = map[string]Header{"X-Key": {Secret: sink.Secret{File: key}}}
					cfg.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: time.Millisecond, MaxElapsed: time.Millisecond}
					e, err := newExporter(exportertest.NewNopSettings(Type), cfg)
					if err != nil {
						t.Fatal(err)
					}
					if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = e.shutdown(context.Background()) })
					return e.consume
				},
				Good: good, Batch: sinktest.Events(0, 3, func(_ int, e *event.Event) { e.TokensArguments = 5 }), Secrets: []string{"planted-key"},
			}.Holds(t)
		})
	}
}
