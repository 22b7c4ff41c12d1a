package distro

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/otelcol"
)

// waitRunning calls started once the Collector runs. The Collector offers its state only by asking.
func waitRunning(ctx context.Context, col *otelcol.Collector, started func()) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		switch col.GetState() {
		case otelcol.StateRunning:
			started()
			return
		case otelcol.StateClosing, otelcol.StateClosed:
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
