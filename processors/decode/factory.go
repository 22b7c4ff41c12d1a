// Package decode is the connector that makes events of whatever comes in: the records of taps, OpenTelemetry spans and logs of
// MCP instrumentation, and JSON lines. README.md has the formats.
package decode

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
)

// Type is the component's name in a configuration.
var Type = component.MustNewType("decode")

// NewFactory returns the factory of the decode connector.
func NewFactory() connector.Factory {
	return connector.NewFactory(Type, createDefaultConfig,
		connector.WithLogsToLogs(createLogsToLogs, component.StabilityLevelAlpha),
		connector.WithTracesToLogs(createTracesToLogs, component.StabilityLevelAlpha))
}

func createLogsToLogs(_ context.Context, set connector.Settings, cfg component.Config, next consumer.Logs) (connector.Logs, error) {
	return newDecoder(cfg.(*Config), set.TelemetrySettings, next)
}

func createTracesToLogs(_ context.Context, set connector.Settings, cfg component.Config, next consumer.Logs) (connector.Traces, error) {
	return newDecoder(cfg.(*Config), set.TelemetrySettings, next)
}
