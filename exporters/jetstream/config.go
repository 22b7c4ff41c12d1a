// Configuration of the jetstream exporter.

package jetstream

import (
	"errors"
	"fmt"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Config of the jetstream exporter.
type Config struct {
	NATS streams.NATSConfig `mapstructure:"nats"`
	// Stream to publish to.
	Stream string `mapstructure:"stream"`
	// Subject to publish under; that of the stream by default.
	Subject string `mapstructure:"subject"`
	// MaxBatchBytes of a message body after compression; larger batches are split.
	MaxBatchBytes int `mapstructure:"max_batch_bytes"`
	// AckWait bounds the wait for the stream's acknowledgement.
	AckWait time.Duration `mapstructure:"ack_wait"`
	// CreateStream makes the stream and sets its limits.
	CreateStream bool         `mapstructure:"create_stream"`
	Limits       LimitsConfig `mapstructure:"limits"`
	Trim         TrimConfig   `mapstructure:"trim"`
}

// LimitsConfig of the stream; zero values mean the stream's defaults.
type LimitsConfig struct {
	MaxBytes   int64         `mapstructure:"max_bytes"`
	MaxAge     time.Duration `mapstructure:"max_age"`
	Duplicates time.Duration `mapstructure:"duplicates"`
	Replicas   int           `mapstructure:"replicas"`
}

// TrimConfig says when a nearly full stream gives up what all consumers have read.
type TrimConfig struct {
	High     float64       `mapstructure:"high"` // share of max_bytes at which it starts; 0: never
	Low      float64       `mapstructure:"low"`  // share of max_bytes at which it ends
	Interval time.Duration `mapstructure:"interval"`
}

const (
	minBatchBytes = 16 << 10
	maxBatchBytes = 8 << 20
)

func defaultConfig() *Config {
	return &Config{
		NATS:          streams.NewNATSConfig(),
		MaxBatchBytes: 512 << 10,
		AckWait:       10 * time.Second,
		CreateStream:  true,
		Trim:          TrimConfig{High: 0.8, Low: 0.6, Interval: 15 * time.Second},
	}
}

// Validate checks what can be known without connecting.
func (c *Config) Validate() error {
	if c.Stream == "" {
		return errors.New("stream must be set: RAW, EVENTS, FINDINGS or a name of your own")
	}
	if err := streams.ValidName(c.Stream); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if c.Stream == streams.Dead || c.Stream == streams.RawDead {
		return fmt.Errorf("stream: %s is written by receivers only", c.Stream)
	}
	known := streams.SubjectOf(c.Stream)
	switch {
	case c.Subject == "" && known == "":
		return fmt.Errorf("subject must be set for stream %s", c.Stream)
	case c.Subject != "" && known != "" && c.Subject != known:
		return fmt.Errorf("subject of stream %s is %s; leave it out", c.Stream, known)
	case c.Subject != "":
		if err := streams.ValidSubject(c.Subject); err != nil {
			return fmt.Errorf("subject: %w", err)
		}
	}
	if c.MaxBatchBytes < minBatchBytes || c.MaxBatchBytes > maxBatchBytes {
		return fmt.Errorf("max_batch_bytes must be from %d to %d, not %d", minBatchBytes, maxBatchBytes, c.MaxBatchBytes)
	}
	if c.AckWait <= 0 {
		return errors.New("ack_wait must be positive: a batch counts as stored when the stream says so")
	}
	l := c.Limits
	if l.MaxBytes < 0 || l.MaxAge < 0 || l.Duplicates < 0 {
		return errors.New("limits must not be negative")
	}
	if l.Duplicates > 0 && l.Duplicates < time.Minute {
		return errors.New("limits.duplicates must be at least 1m, and longer than senders retry")
	}
	if l.Replicas < 0 || l.Replicas > 5 {
		return errors.New("limits.replicas must be from 0 to 5")
	}
	if t := c.Trim; t.High != 0 && (t.High > 1 || t.Low <= 0 || t.Low >= t.High || t.Interval <= 0) {
		return errors.New("trim: low and high must be shares with 0 < low < high <= 1, and interval positive; high: 0 turns it off")
	}
	return nil
}

func (c *Config) subject() string {
	if c.Subject != "" {
		return c.Subject
	}
	return streams.SubjectOf(c.Stream)
}

func (c *Config) spec() streams.Spec {
	s, ok := streams.DefaultSpec(c.Stream)
	if !ok {
		s = streams.Spec{
			Name:       c.Stream,
			Subjects:   []string{c.Subject, streams.ReplaySubject(c.Subject, "*")},
			MaxBytes:   1 << 30,
			Duplicates: streams.DefaultDuplicates,
		}
	}
	if c.Limits.MaxBytes > 0 {
		s.MaxBytes = c.Limits.MaxBytes
	}
	if c.Limits.MaxAge > 0 {
		s.MaxAge = c.Limits.MaxAge
	}
	if c.Limits.Duplicates > 0 {
		s.Duplicates = c.Limits.Duplicates
	}
	s.Replicas = c.Limits.Replicas
	return s
}
