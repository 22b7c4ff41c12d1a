package inspect

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"

	engine "github.com/mcpsiem/mcpsiem/internal/inspect"
)

// Type is the component's type in configurations.
var Type = component.MustNewType("inspect")

// NewFactory makes the factory of the inspect processor.
func NewFactory() processor.Factory {
	return processor.NewFactory(Type, createDefaultConfig, processor.WithLogs(createLogs, component.StabilityLevelBeta))
}

func createDefaultConfig() component.Config {
	return &Config{
		KeyEpoch:            "1",
		MaxBytes:            engine.DefaultMaxBytes,
		MaxDepth:            engine.DefaultMaxDepth,
		Timeout:             engine.DefaultTimeout,
		FingerprintRotation: engine.DefaultRotation,
	}
}

func createLogs(ctx context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
	p, err := newProcessor(set, cfg.(*Config))
	if err != nil {
		return nil, err
	}
	return processorhelper.NewLogs(ctx, set, cfg, next, p.process,
		processorhelper.WithCapabilities(consumer.Capabilities{MutatesData: true}),
		processorhelper.WithStart(p.start))
}
