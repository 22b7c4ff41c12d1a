package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"
)

// Config is the exporter's configuration.
type Config struct {
	// Endpoint is host:port of ClickHouse's native protocol.
	Endpoint string `mapstructure:"endpoint"`
	// Database that `mcpsiem migrate` made.
	Database string `mapstructure:"database"`
	Username string `mapstructure:"username"`
	// Password, or PasswordFile: a file that holds it, read at every connect.
	Password     configopaque.String `mapstructure:"password"`
	PasswordFile string              `mapstructure:"password_file"`
	// TLS for the connection; without it the connection is not encrypted.
	TLS *configtls.ClientConfig `mapstructure:"tls"`
	// DialTimeout bounds a connect with its handshake.
	DialTimeout time.Duration `mapstructure:"dial_timeout"`
	// ReadTimeout bounds the wait for the server's next word on an insert.
	ReadTimeout time.Duration `mapstructure:"read_timeout"`
	// MaxInsertRows cuts bigger batches into several inserts.
	MaxInsertRows int `mapstructure:"max_insert_rows"`
	// Connections bounds the inserts under way at once.
	Connections int `mapstructure:"connections"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func newDefaultConfig() *Config {
	return &Config{
		Endpoint:      "127.0.0.1:9000",
		Database:      "mcpsiem",
		Username:      "pipeline",
		DialTimeout:   5 * time.Second,
		ReadTimeout:   60 * time.Second,
		MaxInsertRows: 50_000,
		Connections:   2,
	}
}

var nameRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// Validate checks what can be checked without the server.
func (c *Config) Validate() error {
	var errs []error
	if _, port, err := net.SplitHostPort(c.Endpoint); err != nil || strings.Trim(port, "0123456789") != "" || port == "" {
		errs = append(errs, errors.New("endpoint must be host:port of the native protocol, e.g. 127.0.0.1:9000"))
	}
	if !nameRule.MatchString(c.Database) {
		errs = append(errs, errors.New("database must be a name of letters, digits and _, e.g. mcpsiem"))
	}
	if c.Username == "" {
		errs = append(errs, errors.New("username must be set, e.g. pipeline"))
	}
	if c.Password != "" && c.PasswordFile != "" {
		errs = append(errs, errors.New("set password or password_file, not both"))
	}
	if c.DialTimeout <= 0 || c.ReadTimeout <= 0 {
		errs = append(errs, errors.New("dial_timeout and read_timeout must be positive, e.g. 5s and 60s"))
	}
	if c.MaxInsertRows < 1 || c.MaxInsertRows > 1_000_000 {
		errs = append(errs, errors.New("max_insert_rows must be 1 to 1000000"))
	}
	if c.Connections < 1 || c.Connections > 32 {
		errs = append(errs, errors.New("connections must be 1 to 32"))
	}
	return errors.Join(errs...)
}

func (c *Config) password() (string, error) {
	if c.PasswordFile == "" {
		return string(c.Password), nil
	}
	b, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("cannot read password_file: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func (c *Config) tls(ctx context.Context) (*tls.Config, error) {
	if c.TLS == nil {
		return nil, nil
	}
	return c.TLS.LoadTLSConfig(ctx)
}
