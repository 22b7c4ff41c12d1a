// Package store is the ClickHouse side of mcpsiem for everything but the hot path: connections for commands, the schema's
// migrations and its check.
package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Config says how to reach a ClickHouse server.
type Config struct {
	Endpoint     string // host:port of the native protocol
	Database     string // default: mcpsiem
	Username     string
	Password     string
	PasswordFile string      // read instead of Password if set
	Cluster      string      // for Migrate: replicated tables on this cluster; empty for one server
	TLS          *tls.Config // nil for none
	DialTimeout  time.Duration
}

// Conn is a connection, with the name of the database that mcpsiem's tables are in.
type Conn struct {
	clickhouse.Conn
	Database string
	Cluster  string
}

// DefaultDatabase is used where a Config names none.
const DefaultDatabase = "mcpsiem"

// codeUnknownDatabase is what a server says to a client whose database is not there, which before the first migration is so.
const codeUnknownDatabase = 81

var nameRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// Open connects and makes sure that the server answers. The caller closes the connection.
func Open(ctx context.Context, cfg Config) (*Conn, error) {
	if cfg.Database == "" {
		cfg.Database = DefaultDatabase
	}
	if !nameRule.MatchString(cfg.Database) {
		return nil, errors.New("cannot open ClickHouse: a database name has letters, digits and _ only")
	}
	if cfg.Cluster != "" && !nameRule.MatchString(cfg.Cluster) {
		return nil, errors.New("cannot open ClickHouse: a cluster name has letters, digits and _ only")
	}
	password := cfg.Password
	if cfg.PasswordFile != "" {
		b, err := os.ReadFile(cfg.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read ClickHouse's password: %w", err)
		}
		password = strings.TrimSpace(string(b))
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 10 * time.Second
	}
	open := func(database string) (*Conn, error) {
		c, err := clickhouse.Open(&clickhouse.Options{
			Addr:        []string{cfg.Endpoint},
			Auth:        clickhouse.Auth{Database: database, Username: cfg.Username, Password: password},
			TLS:         cfg.TLS,
			DialTimeout: cfg.DialTimeout,
			Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		})
		if err != nil {
			return nil, err
		}
		if err := c.Ping(ctx); err != nil {
			c.Close()
			return nil, err
		}
		return &Conn{Conn: c, Database: cfg.Database, Cluster: cfg.Cluster}, nil
	}
	c, err := open(cfg.Database)
	var ex *clickhouse.Exception
	if errors.As(err, &ex) && ex.Code == codeUnknownDatabase {
		c, err = open("default")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open ClickHouse at %s as %s: %w", cfg.Endpoint, cfg.Username, err)
	}
	return c, nil
}
