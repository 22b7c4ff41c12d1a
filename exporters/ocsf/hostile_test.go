package ocsf

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
)

func TestHostileServices(t *testing.T) {
	sinktest.HTTP{
		Open: func(t *testing.T, url string) func(context.Context, plog.Logs) error {
			key := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(key, []byte("planted-key"), 0o600); err != nil {
				t.Fatal(err)
			}
			r := open(t, &Config{HTTP: &HTTPConfig{Endpoint: url, Header: "X-Key", Secret: sink.Secret{File: key}, Timeout: sinktest.Timeout}})
			t.Cleanup(r.close)
			return r.exp.ConsumeLogs
		},
		Good: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Batch: batch(0, 3), Secrets: []string{"planted-key"}, AnyBody: true,
	}.Holds(t)
}
