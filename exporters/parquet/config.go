package parquet

import (
	"errors"
	"fmt"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Config is the exporter's configuration.
type Config struct {
	// Dir is the folder for the files; one process writes there.
	Dir string `mapstructure:"dir"`
	// Message says whether the redacted JSON-RPC message is a column; default true.
	Message bool       `mapstructure:"message"`
	Route   sink.Route `mapstructure:"route"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func newDefaultConfig() *Config { return &Config{Message: true} }

// Validate checks the configuration.
func (c *Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("dir must be the folder for the files"))
	}
	if err := c.Route.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("route: %w", err))
	}
	return errors.Join(errs...)
}
