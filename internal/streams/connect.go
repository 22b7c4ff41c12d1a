// How components reach NATS: the configuration block that they share, and the connection.

package streams

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"
)

// DefaultURL is that of a NATS server on this machine.
const DefaultURL = "nats://127.0.0.1:4222"

// NATSConfig says how to reach NATS; configuration key "nats".
type NATSConfig struct {
	// URL of a server, or of several, separated by commas. Without credentials.
	URL string `mapstructure:"url"`
	// Username, with Password or PasswordFile.
	Username     string              `mapstructure:"username"`
	Password     configopaque.String `mapstructure:"password"`
	PasswordFile string              `mapstructure:"password_file"`
	// CredentialsFile is a NATS .creds file (JWT and seed).
	CredentialsFile string `mapstructure:"credentials_file"`
	// NKeyFile holds an NKey seed.
	NKeyFile string `mapstructure:"nkey_file"`
	// TLS is used where it is set, and for tls:// URLs.
	TLS *configtls.ClientConfig `mapstructure:"tls"`
	// ConnectTimeout of one attempt; attempts go on without end.
	ConnectTimeout time.Duration `mapstructure:"connect_timeout"`
	// InboxPrefix of replies; a user whose permissions demand one needs it.
	InboxPrefix string `mapstructure:"inbox_prefix"`
}

// NewNATSConfig returns the defaults.
func NewNATSConfig() NATSConfig {
	return NATSConfig{URL: DefaultURL, ConnectTimeout: 5 * time.Second}
}

// Validate checks the block for what can be known without connecting.
func (c *NATSConfig) Validate() error {
	if c.URL == "" {
		return errors.New("nats.url must not be empty, e.g. " + DefaultURL)
	}
	for _, s := range c.urls() {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return errors.New("nats.url: each address must look like nats://host:port") // the text may hold a password
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return errors.New("nats.url: the scheme must be nats, tls, ws or wss")
		}
		if u.User != nil {
			return errors.New("nats.url must not hold credentials: use username with password_file, credentials_file or nkey_file")
		}
	}
	ways := 0
	for _, set := range []bool{c.Username != "", c.CredentialsFile != "", c.NKeyFile != ""} {
		if set {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("nats: give only one of username, credentials_file and nkey_file")
	case c.Password != "" && c.PasswordFile != "":
		return errors.New("nats: give only one of password and password_file")
	case (c.Password != "" || c.PasswordFile != "") != (c.Username != ""):
		return errors.New("nats: username and password (or password_file) belong together")
	case c.ConnectTimeout < 0:
		return errors.New("nats.connect_timeout must not be negative")
	}
	return nil
}

func (c *NATSConfig) urls() []string {
	var out []string
	for _, s := range strings.Split(c.URL, ",") {
		out = append(out, strings.TrimSpace(s))
	}
	return out
}

// Connect returns a connection that is kept up until it is closed. A server that is away is no error: the connection is
// made when it comes. Unreadable files are. While the connection is down publishes fail at once and nothing is buffered.
// The caller's options come last.
func (c *NATSConfig) Connect(ctx context.Context, name string, opts ...nats.Option) (*nats.Conn, error) {
	all := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(), // an account may be made, or a password changed, later
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(20 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // the default prints to stderr
	}
	if c.ConnectTimeout > 0 {
		all = append(all, nats.Timeout(c.ConnectTimeout))
	}
	if c.InboxPrefix != "" {
		all = append(all, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	auth, err := c.auth()
	if err != nil {
		return nil, err
	}
	all = append(all, auth...)
	if c.TLS != nil {
		tc, err := c.TLS.LoadTLSConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot load nats.tls: %w", err)
		}
		if tc == nil && !c.TLS.Insecure {
			tc = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if tc != nil {
			all = append(all, nats.Secure(tc))
		}
	}
	nc, err := nats.Connect(strings.Join(c.urls(), ","), append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to NATS: %w", err)
	}
	return nc, nil
}

func (c *NATSConfig) auth() ([]nats.Option, error) {
	switch {
	case c.CredentialsFile != "":
		if _, err := os.Stat(c.CredentialsFile); err != nil {
			return nil, fmt.Errorf("cannot read nats.credentials_file: %w", err)
		}
		return []nats.Option{nats.UserCredentials(c.CredentialsFile)}, nil
	case c.NKeyFile != "":
		opt, err := nats.NkeyOptionFromSeed(c.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read nats.nkey_file %s: it must hold an NKey user seed", c.NKeyFile)
		}
		return []nats.Option{opt}, nil
	case c.PasswordFile != "":
		if _, err := os.Stat(c.PasswordFile); err != nil {
			return nil, fmt.Errorf("cannot read nats.password_file: %w", err)
		}
		// Read at each connect, so that a changed password needs no restart.
		return []nats.Option{nats.UserInfoHandler(func() (string, string) {
			b, _ := os.ReadFile(c.PasswordFile)
			return c.Username, strings.TrimRight(string(b), "\r\n")
		})}, nil
	case c.Username != "":
		return []nats.Option{nats.UserInfo(c.Username, string(c.Password))}, nil
	}
	return nil, nil
}
