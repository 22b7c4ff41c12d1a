// Package jetstream is the receiver that reads batches from a JetStream stream and acknowledges them when the pipeline has them.
package jetstream

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
)

// Type is the component's type in configurations.
var Type = component.MustNewType("jetstream")

// NewFactory returns the factory of the jetstream receiver.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(Type,
		func() component.Config { return defaultConfig() },
		receiver.WithLogs(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			c := cfg.(*Config)
			if c.Partitions.Count > 1 {
				return newPartitioned(set, c, next)
			}
			return newReceiver(set, c, next)
		}, component.StabilityLevelBeta))
}
