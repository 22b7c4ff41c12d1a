// Configuration of the seal extension.

package seal

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Config of the seal extension.
type Config struct {
	NATS           streams.NATSConfig `mapstructure:"nats"`
	ClickHouse     ClickHouseConfig   `mapstructure:"clickhouse"`
	Dir            string             `mapstructure:"dir"`
	KeyFile        string             `mapstructure:"key_file"`
	Interval       time.Duration      `mapstructure:"interval"`
	MaxRows        int                `mapstructure:"max_rows"`
	AnchorInterval time.Duration      `mapstructure:"anchor_interval"`
	Anchors        AnchorConfig       `mapstructure:"anchors"`
	Stores         map[string]string  `mapstructure:"stores"`
}

// AnchorConfig says where checkpoints go beside the store and the stream.
type AnchorConfig struct {
	File      string          `mapstructure:"file"`
	Dir       string          `mapstructure:"dir"`
	TSA       []TSAConfig     `mapstructure:"tsa"`
	Witnesses []WitnessConfig `mapstructure:"witnesses"`
	Buckets   []BucketConfig  `mapstructure:"buckets"`
}

// RemoteConfig is what places outside have in common. Zero times are the defaults.
type RemoteConfig struct {
	Interval time.Duration           `mapstructure:"interval"` // how often at most a tenant's newest checkpoint is sent
	Timeout  time.Duration           `mapstructure:"timeout"`  // of one attempt
	Retry    time.Duration           `mapstructure:"retry"`    // wait after the first failure; doubled up to ten minutes
	TLS      *configtls.ClientConfig `mapstructure:"tls"`
}

// TSAConfig is a time stamping authority, RFC 3161 over HTTP.
type TSAConfig struct {
	RemoteConfig `mapstructure:",squash"`
	URL          string `mapstructure:"url"`
	CAFile       string `mapstructure:"ca_file"` // PEM: certificates that its chain may end in
	Username     string `mapstructure:"username"`
	PasswordFile string `mapstructure:"password_file"`
}

// WitnessConfig is a witness, C2SP tlog-witness.
type WitnessConfig struct {
	RemoteConfig `mapstructure:",squash"`
	URL          string `mapstructure:"url"` // what /add-checkpoint is added to
	Key          string `mapstructure:"key"` // verifier key NAME+ID+KEY
}

// BucketConfig is an S3 bucket with object lock.
type BucketConfig struct {
	RemoteConfig  `mapstructure:",squash"`
	Endpoint      string        `mapstructure:"endpoint"` // e.g. https://s3.eu-central-1.amazonaws.com
	Region        string        `mapstructure:"region"`
	Bucket        string        `mapstructure:"bucket"`
	Prefix        string        `mapstructure:"prefix"`
	AccessKey     string        `mapstructure:"access_key"`
	SecretKeyFile string        `mapstructure:"secret_key_file"`
	Mode          string        `mapstructure:"mode"`      // COMPLIANCE or GOVERNANCE
	Retention     time.Duration `mapstructure:"retention"` // how long each object is locked
}

// defaults fills in what is not set. interval is the kind's.
func (c *RemoteConfig) defaults(interval time.Duration) {
	for _, x := range []struct {
		to *time.Duration
		d  time.Duration
	}{{&c.Interval, interval}, {&c.Timeout, 15 * time.Second}, {&c.Retry, firstRetry}} {
		if *x.to == 0 {
			*x.to = x.d
		}
	}
}

func (c *AnchorConfig) defaults() {
	for i := range c.TSA {
		c.TSA[i].defaults(10 * time.Minute)
	}
	for i := range c.Witnesses {
		c.Witnesses[i].defaults(time.Minute)
	}
	for i := range c.Buckets {
		b := &c.Buckets[i]
		b.defaults(time.Minute)
		if b.Mode == "" {
			b.Mode = "COMPLIANCE"
		}
		if b.Region == "" {
			b.Region = "us-east-1"
		}
		if b.Retention == 0 {
			b.Retention = 400 * 24 * time.Hour
		}
	}
}

func (c *AnchorConfig) validate() error {
	address := func(what, s string) error {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("%s must be an http or https URL", what)
		}
		if u.User != nil {
			return fmt.Errorf("%s must have no password in it", what)
		}
		return nil
	}
	times := func(what string, r RemoteConfig) error {
		if r.Interval < 0 || r.Timeout < 0 || r.Retry < 0 {
			return fmt.Errorf("%s: interval, timeout and retry must be positive", what)
		}
		return nil
	}
	for _, t := range c.TSA {
		if err := errors.Join(address("anchors.tsa.url", t.URL), times("anchors.tsa", t.RemoteConfig)); err != nil {
			return err
		}
		if (t.Username == "") != (t.PasswordFile == "") {
			return errors.New("anchors.tsa: give both of username and password_file, or none")
		}
	}
	for _, w := range c.Witnesses {
		if err := errors.Join(address("anchors.witnesses.url", w.URL), times("anchors.witnesses", w.RemoteConfig)); err != nil {
			return err
		}
		if _, err := seal.WitnessName(w.Key); err != nil {
			return fmt.Errorf("anchors.witnesses.key: %w", err)
		}
	}
	for _, b := range c.Buckets {
		switch err := errors.Join(address("anchors.buckets.endpoint", b.Endpoint), times("anchors.buckets", b.RemoteConfig)); {
		case err != nil:
			return err
		case !bucketRule.MatchString(b.Bucket):
			return errors.New("anchors.buckets.bucket must be a bucket's name")
		case b.AccessKey == "" || b.SecretKeyFile == "":
			return errors.New("anchors.buckets: access_key and secret_key_file must be set")
		case b.Mode != "" && b.Mode != "COMPLIANCE" && b.Mode != "GOVERNANCE":
			return errors.New("anchors.buckets.mode must be COMPLIANCE or GOVERNANCE")
		case b.Retention < 0:
			return errors.New("anchors.buckets.retention must be positive")
		case strings.HasPrefix(b.Prefix, "/"):
			return errors.New("anchors.buckets.prefix must not begin with /")
		}
	}
	return nil
}

var bucketRule = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// ClickHouseConfig says where the tables are.
type ClickHouseConfig struct {
	Endpoint     string                  `mapstructure:"endpoint"`
	Database     string                  `mapstructure:"database"`
	Username     string                  `mapstructure:"username"`
	Password     configopaque.String     `mapstructure:"password"`
	PasswordFile string                  `mapstructure:"password_file"`
	TLS          *configtls.ClientConfig `mapstructure:"tls"`
}

var nameRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

func defaultConfig() *Config {
	return &Config{
		NATS:           streams.NewNATSConfig(),
		ClickHouse:     ClickHouseConfig{Database: "mcpsiem"},
		Interval:       2 * time.Second,
		MaxRows:        20_000,
		AnchorInterval: time.Minute,
		Stores:         map[string]string{streams.Events: "clickhouse", streams.Findings: "clickhouse-findings"},
	}
}

// Validate checks what can be known without connecting.
func (c *Config) Validate() error {
	switch {
	case c.ClickHouse.Endpoint == "":
		return errors.New("clickhouse.endpoint must be set, e.g. 127.0.0.1:9000")
	case !nameRule.MatchString(c.ClickHouse.Database):
		return errors.New("clickhouse.database must be a name of letters, digits and _")
	case c.ClickHouse.Password != "" && c.ClickHouse.PasswordFile != "":
		return errors.New("clickhouse: give only one of password and password_file")
	case c.Dir == "" || !filepath.IsAbs(c.Dir):
		return errors.New("dir must be set to an absolute path: the folder of the logs")
	case c.KeyFile == "" || !filepath.IsAbs(c.KeyFile):
		return errors.New("key_file must be set to an absolute path: the file of the signing key, which is made if there is none")
	case c.Interval <= 0:
		return errors.New("interval must be positive")
	case c.AnchorInterval <= 0:
		return errors.New("anchor_interval must be positive")
	case c.MaxRows < 1 || c.MaxRows > 1_000_000:
		return fmt.Errorf("max_rows must be from 1 to 1000000, not %d", c.MaxRows)
	}
	if err := c.Anchors.validate(); err != nil {
		return err
	}
	for stream, durable := range c.Stores {
		if stream != streams.Events && stream != streams.Findings {
			return errors.New("stores: its keys are EVENTS and FINDINGS")
		}
		if err := streams.ValidName(durable); err != nil {
			return fmt.Errorf("stores: %w", err)
		}
	}
	return nil
}
