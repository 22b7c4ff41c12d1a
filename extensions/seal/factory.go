// Package seal is the extension that seals stored events and findings in the tenants' Merkle logs.
package seal

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
)

// Type is the component's type in configurations.
var Type = component.MustNewType("seal")

// NewFactory returns the factory of the seal extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(Type,
		func() component.Config { return defaultConfig() },
		func(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
			return newSeal(set, cfg.(*Config))
		}, component.StabilityLevelBeta)
}
