package pagerduty

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Config is the exporter's configuration.
type Config struct {
	// Region of the PagerDuty account: us or eu.
	Region string `mapstructure:"region"`
	// Endpoint is the base URL of another Events API, e.g. of a proxy. It wins over Region.
	Endpoint string `mapstructure:"endpoint"`
	// RoutingKey is the integration key for what no route takes. Without one that pages nobody.
	RoutingKey sink.Secret `mapstructure:"routing_key"`
	// Routes say whom a finding pages; the first that fits counts.
	Routes []RouteConfig `mapstructure:"routes"`
	// Summary is title (the rule's title, server and tool) or sentence (the finding's, which may name people).
	Summary string `mapstructure:"summary"`
	// Details is names (who and what) or evidence (also the evidence in words and the values compared).
	Details string `mapstructure:"details"`
	Links   Links  `mapstructure:"links"`
	// MaxAge is how old a finding or a change may be to be told; 0: any. Acknowledgements and resolutions have no age.
	MaxAge   time.Duration  `mapstructure:"max_age"`
	Throttle ThrottleConfig `mapstructure:"throttle"`
	// Changes are the actions of the audit trail that become change events, where route.records has audit.
	Changes []string    `mapstructure:"changes"`
	State   StateConfig `mapstructure:"state"`
	// Connections bounds the batches in work at once.
	Connections int `mapstructure:"connections"`
	// Timeout bounds one request.
	Timeout time.Duration           `mapstructure:"timeout"`
	TLS     *configtls.ClientConfig `mapstructure:"tls"`
	Retry   sink.RetryConfig        `mapstructure:"retry"`
	Route   sink.Route              `mapstructure:"route"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// RouteConfig is a way to an integration key.
type RouteConfig struct {
	Name        string      `mapstructure:"name"`
	Tenants     []string    `mapstructure:"tenants"` // patterns as in route; none means all
	Rules       []string    `mapstructure:"rules"`
	Servers     []string    `mapstructure:"servers"`
	MinSeverity string      `mapstructure:"min_severity"`
	Schedule    *Schedule   `mapstructure:"schedule"` // when; none means always
	RoutingKey  sink.Secret `mapstructure:"routing_key"`
	Nobody      bool        `mapstructure:"nobody"` // what fits pages nobody
}

// Links go with each incident.
type Links struct {
	// GrafanaURL is the base URL of Grafana, e.g. https://grafana.example.com.
	GrafanaURL string `mapstructure:"grafana_url"`
}

// ThrottleConfig bounds new incidents.
type ThrottleConfig struct {
	// Limit is how many incidents a window opens for one integration key and severity; those above become one digest. 0: no limit.
	Limit  int           `mapstructure:"limit"`
	Window time.Duration `mapstructure:"window"`
}

// StateConfig says where it is kept which incidents there are.
type StateConfig struct {
	// Bucket of JetStream's key-value store. Empty: in memory.
	Bucket string             `mapstructure:"bucket"`
	NATS   streams.NATSConfig `mapstructure:"nats"`
	// Keep is how long an incident is remembered after its last finding.
	Keep     time.Duration `mapstructure:"keep"`
	Replicas int           `mapstructure:"replicas"`
}

const (
	summaryTitle, summarySentence = "title", "sentence"
	detailNames, detailEvidence   = "names", "evidence"
	maxSources                    = 64
)

var regions = map[string]string{"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}

func newDefaultConfig() *Config {
	return &Config{
		Region: "us", Summary: summaryTitle, Details: detailNames, MaxAge: 12 * time.Hour,
		Throttle:    ThrottleConfig{Limit: 10, Window: 10 * time.Minute},
		Changes:     []string{"server.approve", "server.revoke", "rules.change", "pipeline.config"},
		State:       StateConfig{NATS: streams.NewNATSConfig(), Keep: 30 * 24 * time.Hour, Replicas: 1},
		Connections: 4, Timeout: 30 * time.Second,
		Retry: sink.RetryConfig{Initial: time.Second, Max: time.Minute, MaxElapsed: 2 * time.Minute},
		Route: sink.Route{Records: []sink.Kind{sink.KindFinding}},
	}
}

// without the fields that follow a finding cannot be told from another, or its state from another.
var needed = []string{"status", "severity", "rule_id", "group_id", "title"}

var bucketName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Validate checks what can be checked without PagerDuty.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	oneOf := func(name, v string, of ...string) {
		if !slices.Contains(of, v) {
			bad("%s must be one of %s", name, strings.Join(of, ", "))
		}
	}
	oneOf("region", c.Region, "us", "eu")
	oneOf("summary", c.Summary, summaryTitle, summarySentence)
	oneOf("details", c.Details, detailNames, detailEvidence)
	if c.Endpoint != "" && !baseURL(c.Endpoint) {
		bad("endpoint must be a base URL like %s, without credentials and path", regions["us"])
	}
	if u := c.Links.GrafanaURL; u != "" && !baseURL(u) {
		bad("links.grafana_url must be a base URL like https://grafana.example.com, without credentials and query")
	}
	if !c.RoutingKey.IsZero() {
		if err := required(c.RoutingKey); err != nil {
			bad("routing_key: %w", err)
		}
	} else if len(c.Routes) == 0 {
		bad("routing_key: say where the integration key is (file or env), or give routes")
	}
	names := map[string]bool{defaultRoute: true}
	for i, r := range c.Routes {
		if r.Name == "" || names[r.Name] {
			bad("routes[%d].name must be given, and another than those of other routes and %q: an incident remembers its route by it", i, defaultRoute)
		}
		names[r.Name] = true
		switch {
		case r.Nobody && !r.RoutingKey.IsZero():
			bad("routes[%d]: nobody and routing_key exclude each other", i)
		case !r.Nobody:
			if err := required(r.RoutingKey); err != nil {
				bad("routes[%d].routing_key: %w", i, err)
			}
		}
		rt := sink.Route{Tenants: sink.Choice{Include: r.Tenants}, Servers: sink.Choice{Include: r.Servers}, Methods: sink.Choice{Include: r.Rules}, MinSeverity: r.MinSeverity}
		if err := rt.Validate(); err != nil {
			bad("routes[%d]: %w", i, err)
		}
		if r.Schedule != nil {
			if _, err := r.Schedule.compile(); err != nil {
				bad("routes[%d].schedule: %w", i, err)
			}
		}
	}
	if c.MaxAge < 0 || c.Timeout <= 0 || c.Connections < 1 || c.Connections > maxSources {
		bad("max_age must not be negative, timeout must be positive, connections 1 to %d", maxSources)
	}
	if c.Throttle.Limit < 0 || c.Throttle.Limit > 0 && c.Throttle.Window < time.Second {
		bad("throttle.limit must not be negative, throttle.window at least 1s")
	}
	if c.State.Bucket != "" {
		if !bucketName.MatchString(c.State.Bucket) {
			bad("state.bucket must be letters, digits, - and _")
		}
		if err := c.State.NATS.Validate(); err != nil {
			bad("state.nats: %w", err)
		}
		if c.State.Keep < time.Hour || c.State.Replicas < 1 || c.State.Replicas > 5 {
			bad("state.keep must be at least 1h, state.replicas 1 to 5")
		}
	}
	for _, n := range needed {
		if slices.Contains(c.Route.Fields.Drop, n) || len(c.Route.Fields.Keep) > 0 && !slices.Contains(c.Route.Fields.Keep, n) {
			bad("route.fields: %s is needed to tell incidents apart", n)
		}
	}
	errs = append(errs, c.Retry.Validate())
	if err := c.Route.Validate(); err != nil {
		bad("route: %w", err)
	}
	return errors.Join(errs...)
}

func baseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func (c *Config) endpoint() string {
	if c.Endpoint != "" {
		return strings.TrimRight(c.Endpoint, "/")
	}
	return regions[c.Region]
}

// required checks that exactly one place of a secret is given.
func required(s sink.Secret) error {
	if s.IsZero() {
		return errors.New("say where the secret is: file (a path) or env (the name of an environment variable)")
	}
	return s.Validate()
}
