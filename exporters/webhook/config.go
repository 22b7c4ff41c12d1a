package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Config is the exporter's configuration.
type Config struct {
	// URL that is posted to. URLSecret is for one that is a secret itself.
	URL       string      `mapstructure:"url"`
	URLSecret sink.Secret `mapstructure:"url_secret"`
	// Body is batch (an object with records), record (one request for each record) or lines (a record a line).
	Body string `mapstructure:"body"`
	// Signing are the secrets of signatures, at most four: each signs, so that the receiver may change over at any time.
	Signing []sink.Secret `mapstructure:"signing"`
	// Token goes as `Authorization: Bearer`.
	Token sink.Secret `mapstructure:"token"`
	// Headers are sent with each request. They are no place for secrets.
	Headers map[string]string `mapstructure:"headers"`
	// MaxRecords and MaxBytes bound a request. A record larger than MaxBytes goes without its message.
	MaxRecords int `mapstructure:"max_records"`
	MaxBytes   int `mapstructure:"max_bytes"`
	// OnMisconfigured says what becomes of records at 401, 403, 404 and redirections: wait (in the stream) or dead_letter.
	OnMisconfigured string        `mapstructure:"on_misconfigured"`
	Connections     int           `mapstructure:"connections"`
	Timeout         time.Duration `mapstructure:"timeout"`
	// Networks: private addresses are refused unless allowed.
	Networks sink.Networks           `mapstructure:"networks"`
	TLS      *configtls.ClientConfig `mapstructure:"tls"`
	Retry    sink.RetryConfig        `mapstructure:"retry"`
	Route    sink.Route              `mapstructure:"route"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	bodyBatch, bodyRecord, bodyLines = "batch", "record", "lines"
	wait, deadLetter                 = "wait", "dead_letter"
)

func newDefaultConfig() *Config {
	return &Config{
		Body: bodyBatch, MaxRecords: 500, MaxBytes: 1 << 20, OnMisconfigured: wait, Connections: 4, Timeout: 30 * time.Second,
		Networks: sink.Networks{DenyPrivate: true}, Retry: sink.NewRetryConfig(),
	}
}

// Validate checks what can be checked without the receiver.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	oneOf := func(name, v string, of ...string) {
		if !slices.Contains(of, v) {
			bad("%s must be one of %s", name, strings.Join(of, ", "))
		}
	}
	switch {
	case (c.URL == "") == c.URLSecret.IsZero():
		bad("set url, or url_secret where the URL itself is a secret")
	case c.URL != "":
		if err := checkURL(c.URL); err != nil {
			bad("url: %w", err)
		}
	default:
		if err := required(c.URLSecret); err != nil {
			bad("url_secret: %w", err)
		}
	}
	oneOf("body", c.Body, bodyBatch, bodyRecord, bodyLines)
	oneOf("on_misconfigured", c.OnMisconfigured, wait, deadLetter)
	if len(c.Signing) > 4 {
		bad("signing: at most four secrets")
	}
	for i, s := range c.Signing {
		if err := required(s); err != nil {
			bad("signing[%d]: %w", i, err)
		}
	}
	if !c.Token.IsZero() {
		if err := required(c.Token); err != nil {
			bad("token: %w", err)
		}
	}
	for k, v := range c.Headers {
		l := strings.ToLower(k)
		switch {
		case k == "" || strings.ContainsFunc(k, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) }) || strings.ContainsAny(v, "\r\n\x00"):
			bad("headers: a name or value cannot be sent")
		case strings.HasPrefix(l, "webhook-"), slices.Contains([]string{"authorization", "content-type", "content-length", "host", "idempotency-key"}, l):
			bad("headers: %s is set by the exporter", http.CanonicalHeaderKey(k))
		}
	}
	if c.MaxRecords < 1 || c.MaxRecords > 10_000 || c.MaxBytes < 16<<10 || c.MaxBytes > 64<<20 {
		bad("max_records must be 1 to 10000, max_bytes 16 KiB to 64 MiB")
	}
	if c.Connections < 1 || c.Connections > 64 || c.Timeout <= 0 {
		bad("connections must be 1 to 64, timeout positive")
	}
	errs = append(errs, c.Networks.Validate(), c.Retry.Validate())
	if err := c.Route.Validate(); err != nil {
		bad("route: %w", err)
	}
	return errors.Join(errs...)
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Fragment != "" {
		return errors.New("it must be an http or https URL without credentials, e.g. https://soar.example.com/hooks/mcp")
	}
	return nil
}

// required checks that exactly one place of a secret is given.
func required(s sink.Secret) error {
	if s.IsZero() {
		return errors.New("say where the secret is: file (a path) or env (the name of an environment variable)")
	}
	return s.Validate()
}
