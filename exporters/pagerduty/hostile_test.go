package pagerduty

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/exporters/pagerduty/pagerdutytest"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
)

func TestHostileServices(t *testing.T) {
	sinktest.HTTP{
		Open: func(t *testing.T, url string) func(context.Context, plog.Logs) error {
			return open(t, config(t, url, func(c *Config) {
				c.Timeout = sinktest.Timeout
				c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: time.Millisecond, MaxElapsed: time.Millisecond}
			}), nil).consume
		},
		Good: pagerdutytest.New(t).Config.Handler, Batch: batch(raised(1, 1)), Secrets: []string{pagerdutytest.Key},
	}.Holds(t)
}
