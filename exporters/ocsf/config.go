package ocsf

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Config is the exporter's configuration. Exactly one of File, HTTP and Kafka is set.
type Config struct {
	File  *FileConfig  `mapstructure:"file"`
	HTTP  *HTTPConfig  `mapstructure:"http"`
	Kafka *KafkaConfig `mapstructure:"kafka"`
	// Mapping is the path of a mapping file that is used instead of the built-in one.
	Mapping string `mapstructure:"mapping"`
	// Message says whether the redacted JSON-RPC message goes; default true.
	Message bool `mapstructure:"message"`
	// MaxEventBytes bounds one event; one that is larger goes without its message.
	MaxEventBytes int              `mapstructure:"max_event_bytes"`
	Retry         sink.RetryConfig `mapstructure:"retry"`
	Route         sink.Route       `mapstructure:"route"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// FileConfig is about files of one event a line.
type FileConfig struct {
	Dir         string        `mapstructure:"dir"`
	MaxBytes    int64         `mapstructure:"max_bytes"`   // of a file before compression; default 64 MiB
	MaxAge      time.Duration `mapstructure:"max_age"`     // default 1h
	Compression string        `mapstructure:"compression"` // none or gzip, of finished files; default gzip
}

// HTTPConfig is about posting to a URL.
type HTTPConfig struct {
	Endpoint    string                  `mapstructure:"endpoint"`
	Format      string                  `mapstructure:"format"` // ndjson or array; default ndjson
	Compression string                  `mapstructure:"compression"`
	MaxBytes    int                     `mapstructure:"max_bytes"` // of a request before compression; default 1 MiB
	Header      string                  `mapstructure:"header"`    // that the secret goes in; default Authorization
	Prefix      string                  `mapstructure:"prefix"`    // before the secret; default "Bearer "
	Secret      sink.Secret             `mapstructure:"secret"`
	Timeout     time.Duration           `mapstructure:"timeout"`
	TLS         *configtls.ClientConfig `mapstructure:"tls"`
}

// KafkaConfig is about producing to Kafka: acknowledged by all in-sync replicas, idempotent.
type KafkaConfig struct {
	Brokers     []string                `mapstructure:"brokers"`
	Topic       string                  `mapstructure:"topic"`
	Topics      Topics                  `mapstructure:"topics"` // instead of Topic for some kinds
	Compression string                  `mapstructure:"compression"`
	MaxBytes    int32                   `mapstructure:"max_bytes"` // of a request; default 1,000,000, as brokers'
	Timeout     time.Duration           `mapstructure:"timeout"`   // until a record counts as not delivered
	TLS         *configtls.ClientConfig `mapstructure:"tls"`
	SASL        *SASLConfig             `mapstructure:"sasl"`
}

// Topics by kind of record.
type Topics struct {
	Event   string `mapstructure:"event"`
	Finding string `mapstructure:"finding"`
	Audit   string `mapstructure:"audit"`
}

// SASLConfig is how to log in to Kafka.
type SASLConfig struct {
	Mechanism string      `mapstructure:"mechanism"` // plain, scram-sha-256, scram-sha-512
	Username  string      `mapstructure:"username"`
	Password  sink.Secret `mapstructure:"password"`
}

const (
	none, gzipped = "none", "gzip"
	ndjson, array = "ndjson", "array"
)

func newDefaultConfig() *Config {
	return &Config{Message: true, MaxEventBytes: 1 << 20, Retry: sink.NewRetryConfig()}
}

// defaults fills what the operator left open in the part that is used.
func (c *Config) defaults() {
	if f := c.File; f != nil {
		if f.MaxBytes == 0 {
			f.MaxBytes = 64 << 20
		}
		if f.MaxAge == 0 {
			f.MaxAge = time.Hour
		}
		if f.Compression == "" {
			f.Compression = gzipped
		}
	}
	if h := c.HTTP; h != nil {
		if h.Format == "" {
			h.Format = ndjson
		}
		if h.Compression == "" {
			h.Compression = gzipped
		}
		if h.MaxBytes == 0 {
			h.MaxBytes = 1 << 20
		}
		if h.Header == "" {
			h.Header = "Authorization"
			if h.Prefix == "" {
				h.Prefix = "Bearer "
			}
		}
		if h.Timeout == 0 {
			h.Timeout = 30 * time.Second
		}
	}
	if k := c.Kafka; k != nil {
		if k.Compression == "" {
			k.Compression = "zstd"
		}
		if k.MaxBytes == 0 {
			k.MaxBytes = 1_000_000
		}
		if k.Timeout == 0 {
			k.Timeout = 30 * time.Second
		}
	}
}

// Validate checks what can be checked without the other side.
func (c *Config) Validate() error {
	c.defaults()
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	oneOf := func(name, v string, of ...string) {
		if !slices.Contains(of, v) {
			bad("%s must be one of %q", name, of)
		}
	}
	n := 0
	if f := c.File; f != nil {
		n++
		if f.Dir == "" {
			bad("file.dir must be the folder for the files")
		}
		if f.MaxBytes < 64<<10 || f.MaxAge < time.Second {
			bad("file.max_bytes must be at least 64 KiB and file.max_age at least 1s")
		}
		oneOf("file.compression", f.Compression, none, gzipped)
	}
	if h := c.HTTP; h != nil {
		n++
		u, err := url.Parse(h.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			bad("http.endpoint must be a URL without credentials, e.g. https://lake.example.com/ocsf")
		}
		oneOf("http.format", h.Format, ndjson, array)
		oneOf("http.compression", h.Compression, none, gzipped)
		if h.MaxBytes < 16<<10 || h.Timeout <= 0 {
			bad("http.max_bytes must be at least 16 KiB and http.timeout positive")
		}
		if !h.Secret.IsZero() {
			if err := h.Secret.Validate(); err != nil {
				bad("http.secret: %w", err)
			}
		}
	}
	if k := c.Kafka; k != nil {
		n++
		if len(k.Brokers) == 0 {
			bad("kafka.brokers must list at least one host:port")
		}
		if k.Topic == "" && (k.Topics.Event == "" || k.Topics.Finding == "" || k.Topics.Audit == "") {
			bad("kafka.topic must be set, or topics for event, finding and audit")
		}
		oneOf("kafka.compression", k.Compression, none, gzipped, "snappy", "lz4", "zstd")
		if k.MaxBytes < 16<<10 || k.Timeout < time.Second {
			bad("kafka.max_bytes must be at least 16 KiB and kafka.timeout at least 1s")
		}
		if s := k.SASL; s != nil {
			oneOf("kafka.sasl.mechanism", s.Mechanism, "plain", "scram-sha-256", "scram-sha-512")
			if err := s.Password.Required(); s.Username == "" || err != nil {
				bad("kafka.sasl needs username and password (file or env)")
			}
		}
	}
	if n != 1 {
		bad("say where events go: exactly one of file, http and kafka")
	}
	if c.MaxEventBytes < 16<<10 || c.MaxEventBytes > 64<<20 {
		bad("max_event_bytes must be between 16 KiB and 64 MiB")
	}
	errs = append(errs, c.Retry.Validate())
	if err := c.Route.Validate(); err != nil {
		bad("route: %w", err)
	}
	return errors.Join(errs...)
}
