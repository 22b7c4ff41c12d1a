package syslog

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

// Type is the component's type in configurations.
var Type = component.MustNewType("syslog")

// NewFactory returns the factory of the syslog exporter.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(Type,
		func() component.Config { return newDefaultConfig() },
		exporter.WithLogs(newLogs, component.StabilityLevelBeta))
}

func newLogs(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	e, err := newExporter(set, cfg.(*Config))
	if err != nil {
		return nil, err
	}
	// No queue and no retry: the caller's acknowledgement is ours. No timeout: each request has one.
	return exporterhelper.NewLogs(ctx, set, cfg, e.consume,
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: false}),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}),
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown))
}
