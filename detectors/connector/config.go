package connector

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/mcpsiem/mcpsiem/detectors"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Config of the detect connector.
type Config struct {
	// NATS reaches the stream that the events come from, to read back what a snapshot does not hold.
	NATS configoptional.Optional[streams.NATSConfig] `mapstructure:"nats"`
	// SnapshotDir is a folder, SnapshotBucket a JetStream object store for snapshots; at most one is set.
	SnapshotDir    string `mapstructure:"snapshot_dir"`
	SnapshotBucket string `mapstructure:"snapshot_bucket"`
	// SnapshotName distinguishes engines that share a folder or bucket.
	SnapshotName     string        `mapstructure:"snapshot_name"`
	SnapshotInterval time.Duration `mapstructure:"snapshot_interval"`
	// CatchUpLimit is how many messages are read back at most, 0 for all.
	CatchUpLimit   uint64        `mapstructure:"catch_up_limit"`
	Lateness       time.Duration `mapstructure:"lateness"`
	FutureSkew     time.Duration `mapstructure:"future_skew"`
	DedupeCapacity int           `mapstructure:"dedupe_capacity"`
	// Detectors is the configuration of single detectors by rule id; `enabled: false` turns one off.
	Detectors map[string]map[string]any `mapstructure:"detectors"`
	// Rules that people write, beside the detectors.
	Rules RulesConfig `mapstructure:"rules"`
}

// RulesConfig says where rules come from.
type RulesConfig struct {
	// Builtin runs the rules that this binary brings along.
	Builtin bool `mapstructure:"builtin"`
	// Dirs are folders of rule files; one that does not exist is empty.
	Dirs []string `mapstructure:"dirs"`
	// Poll is how often the folders are read again; 0: never.
	Poll time.Duration `mapstructure:"poll"`
}

func createDefaultConfig() component.Config {
	return &Config{
		NATS:             configoptional.Default(streams.NewNATSConfig()),
		SnapshotName:     "detect",
		SnapshotInterval: 30 * time.Second,
		CatchUpLimit:     100_000,
		Lateness:         engine.DefaultLateness,
		FutureSkew:       engine.DefaultFutureSkew,
		DedupeCapacity:   engine.DefaultDedupeCapacity,
		Rules:            RulesConfig{Builtin: true, Poll: 5 * time.Second},
	}
}

// Validate checks what can be known without connecting.
func (c *Config) Validate() error {
	switch {
	case c.SnapshotDir != "" && c.SnapshotBucket != "":
		return errors.New("snapshot_dir and snapshot_bucket exclude each other: name the one place for snapshots")
	case c.SnapshotBucket != "" && !c.NATS.HasValue():
		return errors.New("snapshot_bucket needs nats, the server that keeps the bucket")
	case c.SnapshotInterval < time.Second:
		return errors.New("snapshot_interval must be at least 1s")
	case c.Lateness < 0 || c.FutureSkew < 0:
		return errors.New("lateness and future_skew must not be negative")
	case c.DedupeCapacity < 1:
		return errors.New("dedupe_capacity must be at least 1")
	case c.Rules.Poll != 0 && c.Rules.Poll < 100*time.Millisecond:
		return errors.New("rules.poll must be at least 100ms, or 0 to read rules at the start only")
	case slices.Contains(c.Rules.Dirs, ""):
		return errors.New("rules.dirs names a folder without a name")
	}
	if err := streams.ValidName(c.SnapshotName); err != nil {
		return fmt.Errorf("snapshot_name: %w", err)
	}
	if c.SnapshotBucket != "" {
		if err := streams.ValidName(c.SnapshotBucket); err != nil {
			return fmt.Errorf("snapshot_bucket: %w", err)
		}
	}
	_, err := c.instances()
	return err
}

// instances configures the detectors that are not turned off.
func (c *Config) instances() ([]engine.Instance, error) {
	known := map[string]bool{}
	var out []engine.Instance
	for _, d := range detectors.All {
		id := d.Spec.ID
		known[id] = true
		conf := maps.Clone(c.Detectors[id])
		if on, ok := conf["enabled"]; ok {
			enabled, isBool := on.(bool)
			if !isBool {
				return nil, fmt.Errorf("detectors: %s: enabled must be true or false", id)
			}
			delete(conf, "enabled")
			if !enabled {
				continue
			}
		}
		in, err := d.New(conf)
		if err != nil {
			return nil, fmt.Errorf("detectors: %w", err)
		}
		out = append(out, in)
	}
	for _, id := range slices.Sorted(maps.Keys(c.Detectors)) {
		if !known[id] {
			return nil, fmt.Errorf("detectors: there is no detector %q; there are %s", id, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return out, nil
}
