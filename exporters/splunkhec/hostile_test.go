package splunkhec

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/exporters/splunkhec/hectest"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
)

func TestHostileServices(t *testing.T) {
	sinktest.HTTP{
		Open: func(t *testing.T, url string) func(context.Context, plog.Logs) error {
			return start(t, url, func(c *Config) {
				c.Timeout = sinktest.Timeout
				c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: time.Millisecond, MaxElapsed: time.Millisecond}
			}).Exporter.ConsumeLogs
		},
		Good: hectest.NewUnstarted(), Batch: sinktest.Events(0, 3), Secrets: []string{hectest.Token},
	}.Holds(t)
}
