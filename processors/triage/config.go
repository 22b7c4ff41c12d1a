package triage

import (
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Config of the triage processor.
type Config struct {
	// File holds the allow-list and maintenance windows.
	File string `mapstructure:"file"`
	// NATS is where changes of the file are recorded.
	NATS configoptional.Optional[streams.NATSConfig] `mapstructure:"nats"`
	// Interval between looks at the file.
	Interval time.Duration `mapstructure:"interval"`
	// WarnBefore is how long before its expiry an entry is warned of.
	WarnBefore time.Duration `mapstructure:"warn_before"`
}

func createDefaultConfig() component.Config {
	return &Config{NATS: configoptional.Default(streams.NewNATSConfig()), Interval: 2 * time.Second, WarnBefore: 7 * 24 * time.Hour}
}

// Validate checks what can be known without reading the file, which may be made later.
func (c *Config) Validate() error {
	switch {
	case c.File == "":
		return errors.New("file must be set: the allow-list, which need not exist yet")
	case c.Interval < 10*time.Millisecond:
		return errors.New("interval must be at least 10ms")
	case c.WarnBefore < 0:
		return errors.New("warn_before must not be negative")
	}
	return nil
}
