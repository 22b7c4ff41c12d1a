package decode

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"
)

// Config is the configuration of the decode connector. Every key has a default.
type Config struct {
	// KeyFile holds the key of credential fingerprints, the same as that of the identity processor. With it, events carry the
	// fingerprint of the credential with which they were sent here (mcpsiem.source.credential), which bindings of identity use.
	// The OTLP receiver must pass the credential on: include_metadata: true.
	KeyFile string `mapstructure:"key_file"`
	// AcceptEnriched keeps what only later stages may set (signals, redactions, costs, ...). Set it where the senders are
	// pipelines of your own that enrich before they send.
	AcceptEnriched bool `mapstructure:"accept_enriched"`
	// ExecuteToolSpans takes GenAI execute_tool spans for tool calls even without MCP attributes.
	ExecuteToolSpans bool `mapstructure:"execute_tool_spans"`
	// MaxMessageBytes cuts longer messages; the event then says so.
	MaxMessageBytes int `mapstructure:"max_message_bytes"`
	// Unknown bounds what is kept of records in no known format.
	Unknown UnknownConfig `mapstructure:"unknown"`
	// Pairing bounds the table that pairs single messages.
	Pairing PairingConfig `mapstructure:"pairing"`
}

// UnknownConfig bounds records in no known format.
type UnknownConfig struct {
	PerSecond float64 `mapstructure:"per_second"` // events made of such records, on average; the others are counted
	Burst     int     `mapstructure:"burst"`      // events at once
	MaxBytes  int     `mapstructure:"max_bytes"`  // of the body kept
}

// PairingConfig bounds pairing.
type PairingConfig struct {
	Size int `mapstructure:"size"` // requests remembered
}

func createDefaultConfig() component.Config {
	return &Config{
		ExecuteToolSpans: true,
		MaxMessageBytes:  4 << 20,
		Unknown:          UnknownConfig{PerSecond: 100, Burst: 1000, MaxBytes: 16 << 10},
		Pairing:          PairingConfig{Size: 20_000},
	}
}

// Validate reports what is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	if c.MaxMessageBytes < 1<<10 || c.MaxMessageBytes > 256<<20 {
		errs = append(errs, fmt.Errorf("max_message_bytes is %d: it must be from 1024 to 268435456", c.MaxMessageBytes))
	}
	if c.Unknown.PerSecond < 0 || c.Unknown.Burst < 0 || c.Unknown.MaxBytes < 0 {
		errs = append(errs, errors.New("unknown: per_second, burst and max_bytes must not be negative"))
	}
	if c.Pairing.Size < 1 || c.Pairing.Size > 10_000_000 {
		errs = append(errs, fmt.Errorf("pairing::size is %d: it must be from 1 to 10000000", c.Pairing.Size))
	}
	return errors.Join(errs...)
}
