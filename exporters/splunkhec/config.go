package splunkhec

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Config is the exporter's configuration.
type Config struct {
	// Endpoint is the base URL of the HTTP Event Collector, e.g. https://splunk.example.com:8088.
	Endpoint string      `mapstructure:"endpoint"`
	Token    sink.Secret `mapstructure:"token"`
	// Raw sends to /services/collector/raw: lines of JSON, without indexed fields and without Splunk saying which event it refused.
	Raw bool `mapstructure:"raw"`
	// Index, Source, Host and SourceTypes are the envelope. An empty index means the token's. Host is used for records that name none.
	Index       string      `mapstructure:"index"`
	Source      string      `mapstructure:"source"`
	Host        string      `mapstructure:"host"`
	SourceTypes SourceTypes `mapstructure:"sourcetypes"`
	// Targets give some records another index or token; the first that matches counts.
	Targets []Target `mapstructure:"targets"`
	// Message says how the JSON-RPC message goes: json (an object), string, or none.
	Message string `mapstructure:"message"`
	// IndexedFields are the fields that also go as indexed fields, named mcp_<field>, for tstats.
	IndexedFields []string `mapstructure:"indexed_fields"`
	// Compression is gzip or none.
	Compression string `mapstructure:"compression"`
	// MaxContentLength bounds a request body before compression, bytes.
	MaxContentLength int `mapstructure:"max_content_length"`
	// MaxEventBytes bounds one event; one that is larger goes without its message.
	MaxEventBytes int `mapstructure:"max_event_bytes"`
	// Connections bounds the batches in work at once. Each has its own HTTP connection, cookies and acknowledgement channel.
	Connections int `mapstructure:"connections"`
	// Timeout bounds one request.
	Timeout time.Duration `mapstructure:"timeout"`
	Ack     AckConfig     `mapstructure:"ack"`
	// OnMisconfigured says what becomes of records when Splunk refuses the token, the index or the request as such: wait (they stay in
	// the stream) or dead_letter.
	OnMisconfigured string                  `mapstructure:"on_misconfigured"`
	HealthCheck     HealthConfig            `mapstructure:"health_check"`
	TLS             *configtls.ClientConfig `mapstructure:"tls"`
	Retry           sink.RetryConfig        `mapstructure:"retry"`
	Route           sink.Route              `mapstructure:"route"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// SourceTypes by kind of record.
type SourceTypes struct {
	Event   string `mapstructure:"event"`
	Finding string `mapstructure:"finding"`
	Audit   string `mapstructure:"audit"`
}

// Target is another index or token for some records.
type Target struct {
	Records []sink.Kind `mapstructure:"records"` // none means all
	Tenants []string    `mapstructure:"tenants"` // names, or beginnings followed by *; none means all
	Index   string      `mapstructure:"index"`
	Token   sink.Secret `mapstructure:"token"` // empty: the exporter's
}

// AckConfig is about indexer acknowledgement.
type AckConfig struct {
	// Mode is auto (a channel goes with every request, and a reply with an ackId is waited for) or off (no channel).
	Mode string `mapstructure:"mode"`
	// PollInterval is the longest pause between two questions; the first come sooner.
	PollInterval time.Duration `mapstructure:"poll_interval"`
	// Timeout is how long an acknowledgement is waited for; then the events are sent again.
	Timeout time.Duration `mapstructure:"timeout"`
}

// HealthConfig is the check at the start.
type HealthConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Required lets the start fail if the check does.
	Required bool          `mapstructure:"required"`
	Timeout  time.Duration `mapstructure:"timeout"`
}

const (
	messageJSON, messageString, messageNone = "json", "string", "none"
	gzipped, plain                          = "gzip", "none"
	ackAuto, ackOff                         = "auto", "off"
	wait, deadLetter                        = "wait", "dead_letter"
)

func newDefaultConfig() *Config {
	return &Config{
		Source:           "mcpsiem",
		SourceTypes:      SourceTypes{Event: "mcpsiem:event", Finding: "mcpsiem:finding", Audit: "mcpsiem:audit"},
		Message:          messageJSON,
		IndexedFields:    slices.Clone(defaultIndexed),
		Compression:      gzipped,
		MaxContentLength: 1 << 20,
		MaxEventBytes:    1 << 20,
		Connections:      4,
		Timeout:          30 * time.Second,
		Ack:              AckConfig{Mode: ackAuto, PollInterval: 5 * time.Second, Timeout: 5 * time.Minute},
		OnMisconfigured:  wait,
		HealthCheck:      HealthConfig{Enabled: true, Timeout: 10 * time.Second},
		Retry:            sink.NewRetryConfig(),
	}
}

// Validate checks what can be checked without Splunk.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		bad("endpoint must be the base URL of the HTTP Event Collector, e.g. https://splunk.example.com:8088")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		bad("endpoint must hold no credentials and no query; the token has its own setting")
	case strings.Contains(u.Path, "/services/collector"):
		bad("endpoint must be the base URL, without /services/collector")
	}
	if err := c.Token.Required(); err != nil {
		bad("token: %w", err)
	}
	for i, t := range c.Targets {
		if !t.Token.IsZero() {
			if err := t.Token.Validate(); err != nil {
				bad("targets[%d].token: %w", i, err)
			}
		}
		if t.Index == "" && t.Token.IsZero() {
			bad("targets[%d] changes nothing: set index or token", i)
		}
		r := sink.Route{Records: t.Records, Tenants: sink.Choice{Include: t.Tenants}}
		if err := r.Validate(); err != nil {
			bad("targets[%d]: %w", i, err)
		}
	}
	oneOf := func(name, v string, of ...string) {
		if !slices.Contains(of, v) {
			bad("%s must be one of %s", name, strings.Join(of, ", "))
		}
	}
	oneOf("message", c.Message, messageJSON, messageString, messageNone)
	oneOf("compression", c.Compression, gzipped, plain)
	oneOf("ack.mode", c.Ack.Mode, ackAuto, ackOff)
	oneOf("on_misconfigured", c.OnMisconfigured, wait, deadLetter)
	for _, f := range c.IndexedFields {
		if !slices.Contains(EmittedFields(), f) {
			bad("indexed_fields: the exporter sends no field %q", f)
		}
	}
	if c.SourceTypes.Event == "" || c.SourceTypes.Finding == "" || c.SourceTypes.Audit == "" {
		bad("sourcetypes must be set for event, finding and audit")
	}
	if c.MaxContentLength < 64<<10 || c.MaxContentLength > 800<<20 {
		bad("max_content_length must be between 64 KiB and 800 MiB")
	}
	if c.MaxEventBytes < 16<<10 || c.MaxEventBytes > c.MaxContentLength {
		bad("max_event_bytes must be at least 16 KiB and at most max_content_length")
	}
	if c.Connections < 1 || c.Connections > 64 {
		bad("connections must be 1 to 64")
	}
	if c.Timeout <= 0 || c.HealthCheck.Timeout <= 0 || c.Ack.PollInterval <= 0 || c.Ack.Timeout < c.Ack.PollInterval {
		bad("timeout, health_check.timeout and ack.poll_interval must be positive, ack.timeout at least ack.poll_interval")
	}
	errs = append(errs, c.Retry.Validate())
	if err := c.Route.Validate(); err != nil {
		bad("route: %w", err)
	}
	return errors.Join(errs...)
}
