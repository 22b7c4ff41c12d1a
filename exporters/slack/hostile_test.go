package slack

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
)

func TestHostileServices(t *testing.T) {
	sinktest.HTTP{
		Open: func(t *testing.T, url string) func(context.Context, plog.Logs) error {
			return open(t, url, func(c *Config) {
				c.Timeout = sinktest.Timeout
				c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: time.Millisecond, MaxElapsed: time.Millisecond}
			}).consume
		},
		Good:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }),
		Batch: batch(raised(1)), Secrets: []string{"/services/"}, AnyBody: true,
	}.Holds(t)
}
