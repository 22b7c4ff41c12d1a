package elastic

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
)

// Config is the exporter's configuration.
type Config struct {
	// Endpoints are base URLs of nodes of one cluster, or of a proxy before it. Requests go round; one that does not answer is left out for a while.
	Endpoints []string `mapstructure:"endpoints"`
	Auth      Auth     `mapstructure:"auth"`
	// Namespace is the last part of the data streams' names, logs-mcpsiem.event-NAMESPACE.
	Namespace string `mapstructure:"namespace"`
	// Namespaces give some tenants another one; the first that matches counts.
	Namespaces []Namespace `mapstructure:"namespaces"`
	// Message says whether the JSON-RPC message goes: text or none.
	Message string `mapstructure:"message"`
	// Compression is gzip or none.
	Compression string `mapstructure:"compression"`
	// MaxBodyBytes bounds a request body before compression.
	MaxBodyBytes int `mapstructure:"max_body_bytes"`
	// MaxEventBytes bounds one document; one that is larger goes without its message.
	MaxEventBytes int `mapstructure:"max_event_bytes"`
	// Connections bounds the batches in work at once.
	Connections int `mapstructure:"connections"`
	// Timeout bounds one request.
	Timeout time.Duration `mapstructure:"timeout"`
	// OnMisconfigured says what becomes of records when the other side refuses the credential or has no data stream for them: wait (they stay in
	// the stream) or dead_letter.
	OnMisconfigured string `mapstructure:"on_misconfigured"`
	// OnFailureStore says what becomes of a record that Elasticsearch put into the failure store instead of the data stream: dead_letter, or
	// accept (that is enough).
	OnFailureStore string `mapstructure:"on_failure_store"`
	// TemplateCheck has records wait until the index templates of `mcpsiem elastic setup` are there.
	TemplateCheck bool `mapstructure:"template_check"`
	// RolloverCheck looks before repeating a request whether an earlier backing index has its records.
	RolloverCheck bool                    `mapstructure:"rollover_check"`
	HealthCheck   HealthConfig            `mapstructure:"health_check"`
	TLS           *configtls.ClientConfig `mapstructure:"tls"`
	Retry         sink.RetryConfig        `mapstructure:"retry"`
	Route         sink.Route              `mapstructure:"route"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Auth is how the exporter says who it is: an API key, or a user and a password. Anonymous says that neither is needed.
type Auth struct {
	// APIKey is the key as Kibana shows it: encoded, or id:key.
	APIKey    sink.Secret `mapstructure:"api_key"`
	Username  string      `mapstructure:"username"`
	Password  sink.Secret `mapstructure:"password"`
	Anonymous bool        `mapstructure:"anonymous"`
}

// Validate checks that there is one way.
func (a Auth) Validate() error {
	n := 0
	if !a.APIKey.IsZero() {
		n++
		if err := a.APIKey.Validate(); err != nil {
			return fmt.Errorf("api_key: %w", err)
		}
	}
	if a.Username != "" || !a.Password.IsZero() {
		n++
		if a.Username == "" || strings.ContainsAny(a.Username, ":\r\n") {
			return errors.New("username must be set with password, and hold no colon")
		}
		if err := a.Password.Required(); err != nil {
			return fmt.Errorf("password: %w", err)
		}
	}
	if a.Anonymous {
		n++
	}
	if n != 1 {
		return errors.New("set api_key, or username and password, or anonymous: true if the cluster asks for nothing")
	}
	return nil
}

// Namespace of some tenants.
type Namespace struct {
	Tenants   []string `mapstructure:"tenants"` // names, or beginnings followed by *
	Namespace string   `mapstructure:"namespace"`
}

// HealthConfig is the check at the start.
type HealthConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Required lets the start fail if the check does.
	Required bool          `mapstructure:"required"`
	Timeout  time.Duration `mapstructure:"timeout"`
}

const (
	messageText, messageNone = "text", "none"
	gzipped, plain           = "gzip", "none"
	wait, deadLetter, accept = "wait", "dead_letter", "accept"
)

func newDefaultConfig() *Config {
	return &Config{
		Namespace:       "default",
		Message:         messageText,
		Compression:     gzipped,
		MaxBodyBytes:    5 << 20,
		MaxEventBytes:   1 << 20,
		Connections:     4,
		Timeout:         60 * time.Second,
		OnMisconfigured: wait,
		OnFailureStore:  deadLetter,
		TemplateCheck:   true,
		RolloverCheck:   true,
		HealthCheck:     HealthConfig{Enabled: true, Timeout: 10 * time.Second},
		Retry:           sink.NewRetryConfig(),
	}
}

// A namespace is part of an index name (Elastic, "data stream naming": lower case, at most 100 bytes, none of \ / * ? " < > | , # : - and no white space).
var validNamespace = regexp.MustCompile(`^[a-z0-9][a-z0-9_.+@]{0,99}$`)

// ValidNamespace reports whether s can be a data stream's namespace.
func ValidNamespace(s string) bool { return validNamespace.MatchString(s) }

// ValidateEndpoint checks a base URL.
func ValidateEndpoint(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must be the base URL of a node, e.g. https://elastic.example.com:9200")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("must hold no credentials and no query; credentials have their own setting")
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "_bulk"):
		return errors.New("must be the base URL, without /_bulk")
	}
	return nil
}

// Validate checks what can be checked without the other side.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if len(c.Endpoints) == 0 {
		bad("endpoints: name at least one, e.g. [https://elastic.example.com:9200]")
	}
	for i, s := range c.Endpoints {
		if err := ValidateEndpoint(s); err != nil {
			bad("endpoints[%d] %w", i, err)
		}
	}
	if err := c.Auth.Validate(); err != nil {
		bad("auth: %w", err)
	}
	const nsHelp = "must be 1 to 100 lower-case letters, digits, _ . + @, without -"
	if !ValidNamespace(c.Namespace) {
		bad("namespace %s", nsHelp)
	}
	for i, n := range c.Namespaces {
		if !ValidNamespace(n.Namespace) {
			bad("namespaces[%d].namespace %s", i, nsHelp)
		}
		r := sink.Route{Tenants: sink.Choice{Include: n.Tenants}}
		if err := r.Validate(); err != nil || len(n.Tenants) == 0 {
			bad("namespaces[%d].tenants must be names, with * at the end for \"begins with\"", i)
		}
	}
	oneOf := func(name, v string, of ...string) {
		if !slices.Contains(of, v) {
			bad("%s must be one of %s", name, strings.Join(of, ", "))
		}
	}
	oneOf("message", c.Message, messageText, messageNone)
	oneOf("compression", c.Compression, gzipped, plain)
	oneOf("on_misconfigured", c.OnMisconfigured, wait, deadLetter)
	oneOf("on_failure_store", c.OnFailureStore, deadLetter, accept)
	if c.MaxBodyBytes < 64<<10 || c.MaxBodyBytes > 100<<20 {
		bad("max_body_bytes must be between 64 KiB and 100 MiB, the largest request that Elasticsearch takes by default")
	}
	if c.MaxEventBytes < 16<<10 || c.MaxEventBytes > c.MaxBodyBytes {
		bad("max_event_bytes must be at least 16 KiB and at most max_body_bytes")
	}
	if c.Connections < 1 || c.Connections > 64 {
		bad("connections must be 1 to 64")
	}
	if c.Timeout <= 0 || c.HealthCheck.Timeout <= 0 {
		bad("timeout and health_check.timeout must be positive")
	}
	errs = append(errs, c.Retry.Validate())
	if err := c.Route.Validate(); err != nil {
		bad("route: %w", err)
	}
	return errors.Join(errs...)
}
