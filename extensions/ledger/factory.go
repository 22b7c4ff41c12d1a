// Package ledger is the extension that counts the messages of the streams in ClickHouse.
package ledger

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
)

// Type is the component's type in configurations.
var Type = component.MustNewType("ledger")

// NewFactory returns the factory of the ledger extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(Type,
		func() component.Config { return defaultConfig() },
		func(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
			return newLedger(set, cfg.(*Config))
		}, component.StabilityLevelBeta)
}
