// Package retention is the extension that applies a retention policy once a day.
package retention

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/retention"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Type is the component's type in configurations.
var Type = component.MustNewType("retention")

// NewFactory returns the factory of the retention extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(Type,
		func() component.Config {
			return &Config{NATS: streams.NewNATSConfig(), ClickHouse: ClickHouseConfig{Database: store.DefaultDatabase}, At: "03:30"}
		},
		func(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
			return newScheduler(set, cfg.(*Config))
		}, component.StabilityLevelBeta)
}

// Config of the retention extension.
type Config struct {
	PolicyFile string             `mapstructure:"policy_file"`
	At         string             `mapstructure:"at"`
	NATS       streams.NATSConfig `mapstructure:"nats"`
	ClickHouse ClickHouseConfig   `mapstructure:"clickhouse"`
	ArchiveDir string             `mapstructure:"archive_dir"`
	// ArchiveKeysDir holds the keys of archives; by default secrets/archive beside archive_dir.
	ArchiveKeysDir string `mapstructure:"archive_keys_dir"`
	LockDir        string `mapstructure:"lock_dir"`
}

// ClickHouseConfig says where the tables are.
type ClickHouseConfig struct {
	Endpoint     string              `mapstructure:"endpoint"`
	HTTP         string              `mapstructure:"http"`
	Database     string              `mapstructure:"database"`
	Username     string              `mapstructure:"username"`
	Password     configopaque.String `mapstructure:"password"`
	PasswordFile string              `mapstructure:"password_file"`

	// TLS is for both addresses; nil for none.
	TLS *configtls.ClientConfig `mapstructure:"tls"`
}

// Validate checks what can be known without connecting.
func (c *Config) Validate() error {
	switch {
	case c.PolicyFile == "":
		return errors.New("policy_file must be set: the retention policy")
	case c.ClickHouse.Endpoint == "":
		return errors.New("clickhouse.endpoint must be set, e.g. 127.0.0.1:9000")
	case c.ClickHouse.Password != "" && c.ClickHouse.PasswordFile != "":
		return errors.New("clickhouse: give only one of password and password_file")
	case !filepath.IsAbs(c.LockDir):
		return errors.New("lock_dir must be set to an absolute path")
	case c.ArchiveDir != "" && !filepath.IsAbs(c.ArchiveDir):
		return errors.New("archive_dir must be an absolute path")
	case c.ArchiveKeysDir != "" && !filepath.IsAbs(c.ArchiveKeysDir):
		return errors.New("archive_keys_dir must be an absolute path")
	}
	if _, err := time.Parse("15:04", c.At); err != nil {
		return errors.New("at must be a time of day such as 03:30")
	}
	return nil
}

type scheduler struct {
	cfg  *Config
	set  extension.Settings
	rows metric.Int64Counter
	runs metric.Int64Counter
	host component.Host
	stop context.CancelFunc
	done sync.WaitGroup
	now  func() time.Time
}

func newScheduler(set extension.Settings, cfg *Config) (*scheduler, error) {
	m := set.MeterProvider.Meter("github.com/mcpsiem/mcpsiem/extensions/retention")
	rows, err := m.Int64Counter("otelcol_extension_retention_rows", metric.WithUnit("{row}"), metric.WithDescription("Rows removed."))
	if err != nil {
		return nil, err
	}
	runs, err := m.Int64Counter("otelcol_extension_retention_runs", metric.WithUnit("{run}"), metric.WithDescription("Applications of the policy."))
	return &scheduler{cfg: cfg, set: set, rows: rows, runs: runs, now: time.Now}, err
}

func (s *scheduler) Start(_ context.Context, host component.Host) error {
	s.host = host
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Add(1)
	go func() { defer s.done.Done(); s.run(ctx) }()
	return nil
}

func (s *scheduler) Shutdown(context.Context) error {
	if s.stop != nil {
		s.stop()
		s.done.Wait()
	}
	return nil
}

// next is how long it is to the next run.
func (s *scheduler) next() time.Duration {
	at, _ := time.Parse("15:04", s.cfg.At)
	now := s.now().UTC()
	t := time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC)
	if !t.After(now) {
		t = t.AddDate(0, 0, 1)
	}
	return t.Sub(now)
}

func (s *scheduler) run(ctx context.Context) {
	wait, finish := 10*time.Second, true // what a former process left is finished soon
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := s.apply(ctx, finish)
		if ctx.Err() != nil {
			return
		}
		outcome := "ok"
		if err != nil {
			outcome = "error"
			componentstatus.ReportStatus(s.host, componentstatus.NewRecoverableErrorEvent(err))
			s.set.Logger.Warn("Retention is not applied; it is tried again at the next run", zap.Error(err))
		} else {
			componentstatus.ReportStatus(s.host, componentstatus.NewEvent(componentstatus.StatusOK))
		}
		s.runs.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
		wait, finish = s.next(), false
	}
}

// apply applies the policy, or only finishes what was begun.
func (s *scheduler) apply(ctx context.Context, finish bool) error {
	p, err := retention.Load(s.cfg.PolicyFile)
	if err != nil {
		return err
	}
	c := s.cfg.ClickHouse
	var (
		tc     *tls.Config
		client *http.Client
	)
	if c.TLS != nil {
		if tc, err = c.TLS.LoadTLSConfig(ctx); err != nil {
			return fmt.Errorf("cannot load clickhouse.tls: %w", err)
		}
		t := &http.Transport{TLSClientConfig: tc}
		defer t.CloseIdleConnections()
		client = &http.Client{Transport: t}
	}
	conn, err := store.Open(ctx, store.Config{Endpoint: c.Endpoint, Database: c.Database, Username: c.Username, Password: string(c.Password), PasswordFile: c.PasswordFile, TLS: tc})
	if err != nil {
		return err
	}
	defer conn.Close()
	host := audit.Me()
	r := &retention.Remover{
		Conn: conn, LockDir: s.cfg.LockDir, Actor: audit.Actor{ID: "mcpsiem", Kind: "service", Issuer: host.Issuer, Method: "internal", Verified: true},
		Record:  func(ctx context.Context, x audit.Record) error { return audit.WriteTo(ctx, s.cfg.NATS, x) },
		Archive: retention.Archive{Dir: s.cfg.ArchiveDir, Keys: s.cfg.ArchiveKeysDir, HTTP: c.HTTP, User: c.Username, Password: string(c.Password), PasswordFile: c.PasswordFile, Client: client},
	}
	var done []retention.Removal
	if finish {
		done, err = r.Carry(ctx)
	} else {
		done, err = r.Apply(ctx, p, retention.Options{})
	}
	for _, m := range done {
		s.rows.Add(ctx, int64(m.Rows-m.RowsHeld), metric.WithAttributes(attribute.String("kind", m.Kind)))
	}
	if err != nil {
		return fmt.Errorf("cannot apply the retention policy: %w", err)
	}
	return nil
}
