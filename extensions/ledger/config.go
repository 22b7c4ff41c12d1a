// Configuration of the ledger extension.

package ledger

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Config of the ledger extension.
type Config struct {
	NATS       streams.NATSConfig `mapstructure:"nats"`
	ClickHouse ClickHouseConfig   `mapstructure:"clickhouse"`
	Durable    string             `mapstructure:"durable"`
	Interval   time.Duration      `mapstructure:"interval"`
	MaxBatch   int                `mapstructure:"max_batch"`
	Observe    time.Duration      `mapstructure:"observe"`
}

// ClickHouseConfig says where the table is.
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
		NATS:       streams.NewNATSConfig(),
		ClickHouse: ClickHouseConfig{Database: "mcpsiem"},
		Durable:    "ledger",
		Interval:   time.Second,
		MaxBatch:   5000,
		Observe:    10 * time.Second,
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
	case c.Interval <= 0:
		return errors.New("interval must be positive")
	case c.Observe < 0:
		return errors.New("observe must not be negative; 0 turns it off")
	case c.MaxBatch < 1 || c.MaxBatch > 100_000:
		return fmt.Errorf("max_batch must be from 1 to 100000, not %d", c.MaxBatch)
	}
	if err := streams.ValidName(c.Durable); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	return nil
}
