// Package connector is the Collector connector `detect`: it runs the detectors over events and sends on what they raise.
// README.md has configuration and guarantees.
package connector

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
)

// Type is the component's name in a configuration.
var Type = component.MustNewType("detect")

// NewFactory returns the factory of the detect connector.
func NewFactory() connector.Factory {
	return connector.NewFactory(Type, createDefaultConfig, connector.WithLogsToLogs(createLogsToLogs, component.StabilityLevelAlpha))
}

func createLogsToLogs(_ context.Context, set connector.Settings, cfg component.Config, next consumer.Logs) (connector.Logs, error) {
	return newShares(set, cfg.(*Config), next)
}
