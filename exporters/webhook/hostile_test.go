package webhook

import (
	"context"
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
				c.Timeout, c.Token, c.Networks = sinktest.Timeout, file(t, secretB), sink.Networks{}
				c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: time.Millisecond, MaxElapsed: time.Millisecond}
			}).consume
		},
		Good: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Batch: batch(0, 3), Secrets: []string{secretB}, AnyBody: true,
	}.Holds(t)
}
