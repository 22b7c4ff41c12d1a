package otlp

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Config is the exporter's configuration.
type Config struct {
	// Endpoint is a base URL for http (https://otlp.example.com:4318), host:port for grpc.
	Endpoint string `mapstructure:"endpoint"`
	Protocol string `mapstructure:"protocol"` // http (protobuf) or grpc; default http
	// Headers go with each request; their values are secrets or plain texts that are no secret.
	Headers map[string]Header `mapstructure:"headers"`
	// Signals are what goes: logs, metrics or both; default logs.
	Signals []string `mapstructure:"signals"`
	// MaxSeries bounds the combinations of attributes of one metric; what comes beyond is counted as one more, otel.metric.overflow. Default 2000.
	MaxSeries int `mapstructure:"max_series"`
	// Message says whether the redacted JSON-RPC message goes as the record's body; default true.
	Message     bool                   `mapstructure:"message"`
	Service     string                 `mapstructure:"service"`     // resource attribute service.name; default mcpsiem
	Compression string                 `mapstructure:"compression"` // gzip or none; default gzip
	MaxRecords  int                    `mapstructure:"max_records"` // of a request; default 500
	MaxBytes    int                    `mapstructure:"max_bytes"`   // of a request before compression; default 3 MiB, under the 4 MiB that gRPC servers take
	Timeout     time.Duration          `mapstructure:"timeout"`
	TLS         configtls.ClientConfig `mapstructure:"tls"` // insecure: true for no TLS with grpc
	Retry       sink.RetryConfig       `mapstructure:"retry"`
	Route       sink.Route             `mapstructure:"route"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Header is the value of one header.
type Header struct {
	Value  string      `mapstructure:"value"`  // one that is no secret
	Prefix string      `mapstructure:"prefix"` // before the secret, e.g. "Bearer "
	Secret sink.Secret `mapstructure:",squash"`
}

func (h Header) read() (string, error) {
	if h.Secret.IsZero() {
		return h.Value, nil
	}
	s, err := h.Secret.Read()
	return h.Prefix + s, err
}

const (
	protocolHTTP, protocolGRPC = "http", "grpc"
	gzipped, none              = "gzip", "none"
	signalLogs, signalMetrics  = "logs", "metrics"
)

func newDefaultConfig() *Config {
	return &Config{Protocol: protocolHTTP, Signals: []string{signalLogs}, MaxSeries: 2000, Message: true, Service: "mcpsiem", Compression: gzipped, MaxRecords: 500, MaxBytes: 3 << 20, Timeout: 30 * time.Second, Retry: sink.NewRetryConfig()}
}

// Validate checks what can be checked without the other side.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	switch c.Protocol {
	case protocolHTTP:
		u, err := url.Parse(c.Endpoint)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "":
			bad("endpoint must be a base URL without credentials, e.g. https://otlp.example.com:4318")
		case strings.HasSuffix(u.Path, "/v1/logs"), strings.HasSuffix(u.Path, "/v1/metrics"):
			bad("endpoint must be the base URL, without /v1/logs or /v1/metrics")
		}
	case protocolGRPC:
		if _, _, err := net.SplitHostPort(c.Endpoint); err != nil || strings.Contains(c.Endpoint, "/") {
			bad("endpoint must be host:port for grpc, e.g. otlp.example.com:4317")
		}
	default:
		bad("protocol must be http or grpc")
	}
	if len(c.Signals) == 0 {
		bad("signals: name logs, metrics or both")
	}
	for _, s := range c.Signals {
		if s != signalLogs && s != signalMetrics {
			bad("signals: must be logs or metrics")
		}
	}
	if c.MaxSeries < 1 || c.MaxSeries > 1_000_000 {
		bad("max_series must be 1 to 1,000,000")
	}
	for name, h := range c.Headers {
		set := 0
		for _, s := range []string{h.Value, h.Secret.File, h.Secret.Env} {
			if s != "" {
				set++
			}
		}
		if set != 1 {
			bad("headers: %s needs exactly one of value, file and env", name)
		}
		if h.Value != "" && strings.EqualFold(name, "authorization") {
			bad("headers: %s is a secret: use file or env", name)
		}
	}
	if c.Compression != gzipped && c.Compression != none {
		bad("compression must be gzip or none")
	}
	if c.MaxRecords < 1 || c.MaxBytes < 16<<10 || c.Timeout <= 0 || c.Service == "" {
		bad("max_records and timeout must be positive, max_bytes at least 16 KiB, service not empty")
	}
	errs = append(errs, c.Retry.Validate())
	if err := c.Route.Validate(); err != nil {
		bad("route: %w", err)
	}
	return errors.Join(errs...)
}
