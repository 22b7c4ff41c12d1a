// Configuration of the page extension.

package page

import (
	"errors"
	"fmt"
	"net"
)

// Config of the page extension.
type Config struct {
	Endpoint   string           `mapstructure:"endpoint"`
	TokenFile  string           `mapstructure:"token_file"`
	ClickHouse ClickHouseConfig `mapstructure:"clickhouse"`
}

// ClickHouseConfig says where the store is and who asks.
type ClickHouseConfig struct {
	Endpoint     string `mapstructure:"endpoint"`
	Database     string `mapstructure:"database"`
	Username     string `mapstructure:"username"`
	PasswordFile string `mapstructure:"password_file"`
}

func defaultConfig() *Config {
	return &Config{Endpoint: "127.0.0.1:18600", ClickHouse: ClickHouseConfig{Database: "mcpsiem", Username: "analyst"}}
}

// Validate checks what can be known without connecting.
func (c *Config) Validate() error {
	host, _, err := net.SplitHostPort(c.Endpoint)
	if err != nil {
		return fmt.Errorf("endpoint: write HOST:PORT, e.g. 127.0.0.1:18600")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("endpoint must be on loopback: the page has no TLS; for other machines use Grafana (deploy/grafana)")
	}
	if c.TokenFile == "" {
		return errors.New("token_file must be set: the page shows nothing without a token")
	}
	if c.ClickHouse.Endpoint == "" {
		return errors.New("clickhouse.endpoint must be set, e.g. 127.0.0.1:9000")
	}
	return nil
}
