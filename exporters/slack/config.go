package slack

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Config is the exporter's configuration.
type Config struct {
	// URL is the incoming webhook. Whoever has it can post, so it is a secret.
	URL sink.Secret `mapstructure:"url"`
	// Changes posts also what people decide about findings.
	Changes bool `mapstructure:"changes"`
	// Sentence shows the finding's sentence, which may name people; without it the title with server and tool is all.
	Sentence bool   `mapstructure:"sentence"`
	Grafana  string `mapstructure:"grafana_url"`
	// MaxAge is how old a finding or change may be to be posted; 0: any.
	MaxAge time.Duration `mapstructure:"max_age"`
	// Interval is the least time between two messages.
	Interval time.Duration `mapstructure:"interval"`
	// Limit is how many findings a window posts one by one; those above are one message with their number, renewed as it grows. 0: no limit.
	Limit    int                     `mapstructure:"limit"`
	Window   time.Duration           `mapstructure:"window"`
	Timeout  time.Duration           `mapstructure:"timeout"`
	Networks sink.Networks           `mapstructure:"networks"`
	TLS      *configtls.ClientConfig `mapstructure:"tls"`
	Retry    sink.RetryConfig        `mapstructure:"retry"`
	Route    sink.Route              `mapstructure:"route"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func newDefaultConfig() *Config {
	return &Config{
		Changes: true, Sentence: true, MaxAge: 24 * time.Hour, Interval: time.Second, Limit: 20, Window: 10 * time.Minute, Timeout: 30 * time.Second,
		Retry: sink.NewRetryConfig(), Route: sink.Route{Records: []sink.Kind{sink.KindFinding}},
	}
}

// Validate checks what can be checked without Slack.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if err := required(c.URL); err != nil {
		bad("url: %w", err)
	}
	if c.Grafana != "" {
		if u, err := url.Parse(c.Grafana); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
			bad("grafana_url must be a base URL like https://grafana.example.com")
		}
	}
	if c.MaxAge < 0 || c.Interval < 0 || c.Interval > time.Minute || c.Limit < 0 || c.Limit > 0 && c.Window < time.Second || c.Timeout <= 0 {
		bad("max_age, interval (up to 1m) and limit must not be negative, window must be at least 1s, timeout positive")
	}
	if slices.ContainsFunc(c.Route.Records, func(k sink.Kind) bool { return k == sink.KindEvent }) {
		bad("route.records: events of traffic do not go to a chat; finding and audit do")
	}
	errs = append(errs, c.Networks.Validate(), c.Retry.Validate())
	if err := c.Route.Validate(); err != nil {
		bad("route: %w", err)
	}
	return errors.Join(errs...)
}

// required checks that exactly one place of a secret is given.
func required(s sink.Secret) error {
	if s.IsZero() {
		return errors.New("say where the secret is: file (a path) or env (the name of an environment variable)")
	}
	return s.Validate()
}
