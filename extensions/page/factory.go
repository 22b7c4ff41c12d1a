// Package page is the extension that serves the built-in page.
package page

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
)

// Type is the component's type in configurations.
var Type = component.MustNewType("page")

// NewFactory returns the factory of the page extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(Type,
		func() component.Config { return defaultConfig() },
		func(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
			return newPage(set, cfg.(*Config)), nil
		}, component.StabilityLevelBeta)
}
