// Package inspect is the Collector processor that looks into the content of MCP messages once, replaces what must not be stored and
// leaves on the event what detectors need to know of it. It is the last processor before an event may leave the enrich stage.
package inspect

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.opentelemetry.io/collector/component"
)

// Config configures the processor.
type Config struct {
	// KeyFile holds the master key of all pseudonyms: 64 hex digits, mode 0600.
	KeyFile string `mapstructure:"key_file"`
	// KeysDir is the folder of the tenants' own keys; without it, the folder tenants beside KeyFile. It is made if it is not there. A wrap.key beside it wraps them (docs/keys.md).
	KeysDir string `mapstructure:"keys_dir"`
	// KeyEpoch is part of every key; change it to cut the correlation with what was stored before.
	KeyEpoch string `mapstructure:"key_epoch"`
	// PolicyFile says what to do with which data class, for whom; without it everything found is pseudonymised.
	PolicyFile string `mapstructure:"policy_file"`
	// CapabilitiesFile overrides what tools can do; without it the built-in catalogue decides.
	CapabilitiesFile string `mapstructure:"capabilities_file"`
	// MaxBytes is the largest body that is examined; a larger one is withheld.
	MaxBytes int `mapstructure:"max_bytes"`
	// MaxDepth is the deepest JSON nesting that is examined.
	MaxDepth int `mapstructure:"max_depth"`
	// Timeout bounds the time for one message; after it the message is withheld.
	Timeout time.Duration `mapstructure:"timeout"`
	// FingerprintRotation is how long one fingerprint key is used.
	FingerprintRotation time.Duration `mapstructure:"fingerprint_rotation"`
	// DryRun reports and does not redact. It stores raw content, so DryRunConfirm must say so.
	DryRun        bool   `mapstructure:"dry_run"`
	DryRunConfirm string `mapstructure:"dry_run_confirm"`
}

// DryRunSentence is what DryRunConfirm must say.
const DryRunSentence = "raw content will be stored"

// keysDir is the folder of the tenants' own keys.
func (c *Config) keysDir() string {
	if c.KeysDir != "" {
		return c.KeysDir
	}
	return filepath.Join(filepath.Dir(c.KeyFile), "tenants")
}

var _ component.Config = (*Config)(nil)

// Validate implements the Collector's check of a configuration.
func (c *Config) Validate() error {
	var errs []error
	if c.KeyFile == "" {
		errs = append(errs, errors.New("key_file is missing: name a file for the master key (mode 0600); `mcpsiem up` makes one"))
	}
	if c.MaxBytes < 1024 {
		errs = append(errs, fmt.Errorf("max_bytes is %d, want at least 1024", c.MaxBytes))
	}
	if c.MaxDepth < 8 || c.MaxDepth > 10000 {
		errs = append(errs, fmt.Errorf("max_depth is %d, want 8 to 10000", c.MaxDepth))
	}
	if c.Timeout < 10*time.Millisecond {
		errs = append(errs, fmt.Errorf("timeout is %v, want at least 10ms", c.Timeout))
	}
	if c.FingerprintRotation < time.Hour {
		errs = append(errs, fmt.Errorf("fingerprint_rotation is %v, want at least 1h", c.FingerprintRotation))
	}
	if c.DryRun && c.DryRunConfirm != DryRunSentence {
		errs = append(errs, fmt.Errorf("dry_run leaves secrets and personal data in everything that is stored; to accept that set dry_run_confirm: %q", DryRunSentence))
	}
	return errors.Join(errs...)
}
