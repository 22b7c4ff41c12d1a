// Configuration of the seal extension.

package seal

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Config of the seal extension.
type Config struct {
	NATS           streams.NATSConfig `mapstructure:"nats"`
	ClickHouse     ClickHouseConfig   `mapstructure:"clickhouse"`
	Dir            string             `mapstructure:"dir"`
	KeyFile        string             `mapstructure:"key_file"`
	Interval       time.Duration      `mapstructure:"interval"`
	MaxRows        int                `mapstructure:"max_rows"`
	AnchorInterval time.Duration      `mapstructure:"anchor_interval"`
	Anchors        AnchorConfig       `mapstructure:"anchors"`
	Stores         map[string]string  `mapstructure:"stores"`
}

// AnchorConfig says where checkpoints go beside the store and the stream.
type AnchorConfig struct {
	File string `mapstructure:"file"`
	Dir  string `mapstructure:"dir"`
}

// ClickHouseConfig says where the tables are.
type ClickHouseConfig struct {
	Endpoint     string                  `mapstructure:"endpoint"`
	Database     string                  `mapstructure:"database"`
	Username     string                  `mapstructure:"username"`
	Password     configopaque.String     `mapstructure:"password"`
	PasswordFile string                  `mapstructure:"password_file"`
	TLS          *configtls.ClientConfig `mapstructure:"tls"`
}

var nameRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

func defaultConfig() *Config {
	return &Config{
		NATS:           streams.NewNATSConfig(),
		ClickHouse:     ClickHouseConfig{Database: "mcpsiem"},
		Interval:       2 * time.Second,
		MaxRows:        20_000,
		AnchorInterval: time.Minute,
		Stores:         map[string]string{streams.Events: "clickhouse", streams.Findings: "clickhouse-findings"},
	}
}

// Validate checks what can be known without connecting.
func (c *Config) Validate() error {
	switch {
	case c.ClickHouse.Endpoint == "":
		return errors.New("clickhouse.endpoint must be set, e.g. 127.0.0.1:9000")
	case !nameRule.MatchString(c.ClickHouse.Database):
		return errors.New("clickhouse.database must be a name of letters, digits and _")
	case c.ClickHouse.Password != "" && c.ClickHouse.PasswordFile != "":
		return errors.New("clickhouse: give only one of password and password_file")
	case c.Dir == "" || !filepath.IsAbs(c.Dir):
		return errors.New("dir must be set to an absolute path: the folder of the logs")
	case c.KeyFile == "" || !filepath.IsAbs(c.KeyFile):
		return errors.New("key_file must be set to an absolute path: the file of the signing key, which is made if there is none")
	case c.Interval <= 0:
		return errors.New("interval must be positive")
	case c.AnchorInterval <= 0:
		return errors.New("anchor_interval must be positive")
	case c.MaxRows < 1 || c.MaxRows > 1_000_000:
		return fmt.Errorf("max_rows must be from 1 to 1000000, not %d", c.MaxRows)
	}
	for stream, durable := range c.Stores {
		if stream != streams.Events && stream != streams.Findings {
			return errors.New("stores: its keys are EVENTS and FINDINGS")
		}
		if err := streams.ValidName(durable); err != nil {
			return fmt.Errorf("stores: %w", err)
		}
	}
	return nil
}
