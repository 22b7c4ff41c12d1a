// Configuration of the jetstream receiver.

package jetstream

import (
	"errors"
	"fmt"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Config of the jetstream receiver.
type Config struct {
	NATS streams.NATSConfig `mapstructure:"nats"`
	// Stream to read, through the durable consumer Durable.
	Stream  string `mapstructure:"stream"`
	Durable string `mapstructure:"durable"`
	// FilterSubjects that the consumer reads; those of the stream by default.
	FilterSubjects []string `mapstructure:"filter_subjects"`
	CreateStream   bool     `mapstructure:"create_stream"`
	// Deliver says where a new consumer starts: all, new or by_start_time.
	Deliver   string    `mapstructure:"deliver"`
	StartTime time.Time `mapstructure:"start_time"`
	// Workers process batches at the same time.
	Workers         int              `mapstructure:"workers"`
	AckWait         time.Duration    `mapstructure:"ack_wait"`
	MaxAckPending   int              `mapstructure:"max_ack_pending"`
	Retry           RetryConfig      `mapstructure:"retry"`
	Circuit         CircuitConfig    `mapstructure:"circuit"`
	Combine         CombineConfig    `mapstructure:"combine"`
	Quarantine      QuarantineConfig `mapstructure:"quarantine"`
	ShutdownTimeout time.Duration    `mapstructure:"shutdown_timeout"`
	// Partitions shares the stream's keys among processes with the same configuration.
	Partitions PartitionsConfig `mapstructure:"partitions"`
}

// PartitionsConfig of a pipeline whose state is divided by keys: each partition reads the whole stream, in order, and belongs to one process at
// a time.
type PartitionsConfig struct {
	// Count of partitions, the same in every process; 0 or 1: none.
	Count int `mapstructure:"count"`
	// Worker is this process's name among them; by default one that is made of the host's name and chance.
	Worker string `mapstructure:"worker"`
	// Lease is how long after its last sign of life a process's partitions go to others.
	Lease time.Duration `mapstructure:"lease"`
}

// RetryConfig of messages that met a transient error.
type RetryConfig struct {
	Initial     time.Duration `mapstructure:"initial"`
	Max         time.Duration `mapstructure:"max"`
	MaxAttempts int           `mapstructure:"max_attempts"`
}

// CircuitConfig of the pause after transient errors in a row.
type CircuitConfig struct {
	Failures int           `mapstructure:"failures"`
	Pause    time.Duration `mapstructure:"pause"`
	MaxPause time.Duration `mapstructure:"max_pause"`
}

// CombineConfig of merging messages into one batch.
type CombineConfig struct {
	MaxMessages int           `mapstructure:"max_messages"`
	MaxRecords  int           `mapstructure:"max_records"`
	MaxWait     time.Duration `mapstructure:"max_wait"`
}

// QuarantineConfig of RAWDEAD, where unredacted dead letters of RAW are kept.
type QuarantineConfig struct {
	MaxAge   time.Duration `mapstructure:"max_age"`
	MaxBytes int64         `mapstructure:"max_bytes"`
}

// Values of Config.Deliver.
const (
	deliverAll       = "all"
	deliverNew       = "new"
	deliverStartTime = "by_start_time"
)

func defaultConfig() *Config {
	dead, _ := streams.DefaultSpec(streams.RawDead)
	return &Config{
		NATS:            streams.NewNATSConfig(),
		CreateStream:    true,
		Deliver:         deliverAll,
		Workers:         1,
		AckWait:         30 * time.Second,
		Retry:           RetryConfig{Initial: 500 * time.Millisecond, Max: 30 * time.Second},
		Circuit:         CircuitConfig{Failures: 5, Pause: time.Second, MaxPause: 30 * time.Second},
		Combine:         CombineConfig{MaxMessages: 1, MaxRecords: 50_000, MaxWait: 100 * time.Millisecond},
		Quarantine:      QuarantineConfig{MaxAge: dead.MaxAge, MaxBytes: dead.MaxBytes},
		ShutdownTimeout: 10 * time.Second,
		Partitions:      PartitionsConfig{Lease: 15 * time.Second},
	}
}

// Validate checks what can be known without connecting.
func (c *Config) Validate() error {
	if c.Stream == "" || c.Durable == "" {
		return errors.New("stream and durable must be set, e.g. stream: EVENTS and durable: store")
	}
	if err := streams.ValidName(c.Stream); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if err := streams.ValidName(c.Durable); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	if streams.SubjectOf(c.Stream) == "" && c.CreateStream && len(c.FilterSubjects) == 0 {
		return fmt.Errorf("filter_subjects must be set for stream %s, or create_stream be false", c.Stream)
	}
	switch c.Deliver {
	case deliverAll, deliverNew:
		if !c.StartTime.IsZero() {
			return errors.New("start_time needs deliver: by_start_time")
		}
	case deliverStartTime:
		if c.StartTime.IsZero() {
			return errors.New("start_time must be set, e.g. 2026-01-31T23:00:00Z")
		}
	default:
		return fmt.Errorf("deliver must be all, new or by_start_time, not %q", c.Deliver)
	}
	if c.Workers < 1 || c.Workers > 256 {
		return fmt.Errorf("workers must be from 1 to 256, not %d", c.Workers)
	}
	if c.AckWait < time.Second {
		return errors.New("ack_wait must be at least 1s")
	}
	if m := c.MaxAckPending; m != 0 && m < c.Workers {
		return fmt.Errorf("max_ack_pending must be 0 or at least workers (%d)", c.Workers)
	}
	if r := c.Retry; r.Initial <= 0 || r.Max < r.Initial || r.MaxAttempts < 0 {
		return errors.New("retry: initial must be positive, max not smaller, max_attempts not negative")
	}
	if k := c.Circuit; k.Failures < 1 || k.Pause <= 0 || k.MaxPause < k.Pause {
		return errors.New("circuit: failures and pause must be positive, max_pause not smaller than pause")
	}
	if m := c.Combine; m.MaxMessages < 1 || m.MaxMessages > 1024 || m.MaxRecords < 1 || m.MaxWait <= 0 {
		return errors.New("combine: max_messages must be from 1 to 1024, max_records and max_wait positive")
	}
	if c.Quarantine.MaxAge <= 0 || c.Quarantine.MaxBytes <= 0 {
		return errors.New("quarantine: max_age and max_bytes must be positive: unredacted content must not stay for ever")
	}
	if p := c.Partitions; p.Count < 0 || p.Count > 256 {
		return fmt.Errorf("partitions.count must be from 0 to 256, not %d", p.Count)
	} else if p.Count > 1 {
		if c.Workers != 1 || c.Combine.MaxMessages != 1 {
			return errors.New("partitions need the stream's order: leave workers and combine.max_messages at 1")
		}
		if p.Lease < 2*time.Second {
			return errors.New("partitions.lease must be at least 2s")
		}
		if p.Worker != "" && !workerName.MatchString(p.Worker) {
			return errors.New("partitions.worker must be letters, digits, - and _")
		}
	}
	if c.ShutdownTimeout <= 0 {
		return errors.New("shutdown_timeout must be positive")
	}
	return nil
}

func (c *Config) maxAckPending() int {
	if c.MaxAckPending > 0 {
		return c.MaxAckPending
	}
	return c.Workers * c.Combine.MaxMessages
}

func (c *Config) filters() []string {
	if len(c.FilterSubjects) > 0 {
		return c.FilterSubjects
	}
	if base := streams.SubjectOf(c.Stream); base != "" && c.Stream != streams.Dead && c.Stream != streams.RawDead {
		return streams.Filters(base, c.Durable)
	}
	return nil
}

// backoff is the delay before delivery n+1, n counted from 1.
func (r *RetryConfig) backoff(n uint64) time.Duration {
	d := r.Initial
	for ; n > 1 && d < r.Max; n-- {
		d *= 2
	}
	return min(d, r.Max)
}
