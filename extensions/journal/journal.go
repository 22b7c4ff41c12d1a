// Package journal is the extension that puts on record what the pipeline itself does.
package journal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Type is the component's type in configurations.
var Type = component.MustNewType("journal")

// NewFactory returns the factory of the journal extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(Type,
		func() component.Config {
			return &Config{NATS: streams.NewNATSConfig(), Interval: 10 * time.Second, FailingFor: 10 * time.Second}
		},
		func(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
			return newJournal(set, cfg.(*Config)), nil
		}, component.StabilityLevelBeta)
}

// Config of the journal extension.
type Config struct {
	NATS       streams.NATSConfig `mapstructure:"nats"`
	StateFile  string             `mapstructure:"state_file"`
	Watch      map[string]string  `mapstructure:"watch"`
	Interval   time.Duration      `mapstructure:"interval"`
	FailingFor time.Duration      `mapstructure:"failing_for"`
}

var watched = map[string]audit.Action{
	"prices": audit.PricesChange, "budgets": audit.BudgetsChange, "directory": audit.DirectoryChange, "retention": audit.RetentionChange, "roles": audit.RolesChange,
}

// Validate checks what can be known without connecting.
func (c *Config) Validate() error {
	for name, path := range c.Watch {
		if watched[name] == "" {
			return errors.New("watch: its keys are prices, budgets, directory, retention and roles")
		}
		if path == "" {
			return fmt.Errorf("watch: %s needs a file", name)
		}
	}
	if c.Interval <= 0 || c.FailingFor <= 0 {
		return errors.New("interval and failing_for must be positive")
	}
	return nil
}

const (
	maxQueue    = 1000
	stopTimeout = 5 * time.Second
	maxWatched  = 64 << 20 // bytes of a watched file
)

// remembered is the state file.
type remembered struct {
	Config  string            `json:"config"`
	Files   map[string]string `json:"files"`
	Running bool              `json:"running"`
}

type failure struct {
	since    time.Time
	recorded bool
}

type journal struct {
	cfg     *Config
	log     *zap.Logger
	version string // of the program

	nc   *nats.Conn
	js   jetstream.JetStream
	stop context.CancelFunc
	done sync.WaitGroup
	wake chan struct{}

	mu      sync.Mutex
	config  string // hash of the effective configuration
	roles   string // what the process does by it
	queue   []audit.Record
	lost    int
	failing map[string]*failure
	last    remembered
	stopped bool
}

func newJournal(set extension.Settings, cfg *Config) *journal {
	return &journal{cfg: cfg, log: set.Logger, version: set.BuildInfo.Version, wake: make(chan struct{}, 1), failing: map[string]*failure{}, last: remembered{Files: map[string]string{}}}
}

func (j *journal) Start(ctx context.Context, _ component.Host) error {
	nc, err := j.cfg.NATS.Connect(ctx, "mcpsiem journal")
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return fmt.Errorf("cannot use JetStream: %w", err)
	}
	j.nc, j.js = nc, js
	if b, err := os.ReadFile(j.cfg.StateFile); err == nil && json.Unmarshal(b, &j.last) == nil && j.last.Files == nil {
		j.last.Files = map[string]string{}
	}
	run, stop := context.WithCancel(context.Background())
	j.stop = stop
	j.done.Add(1)
	go func() { defer j.done.Done(); j.run(run) }()
	return nil
}

func (j *journal) Shutdown(context.Context) error {
	if j.stop == nil {
		return nil
	}
	_ = j.NotReady()
	j.stop()
	j.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	for ctx.Err() == nil && j.write(ctx) {
	}
	j.nc.Close()
	return nil
}

// NotifyConfig hears of the effective configuration.
func (j *journal) NotifyConfig(_ context.Context, conf *confmap.Conf) error {
	b, err := json.Marshal(conf.ToStringMap())
	if err != nil {
		return nil // it is not worth a pipeline
	}
	h := sha256.Sum256(b)
	j.mu.Lock()
	j.config, j.roles = hex.EncodeToString(h[:]), strings.Join(roles(conf.ToStringMap()), " ")
	j.mu.Unlock()
	return nil
}

// Ready hears that all pipelines run.
func (j *journal) Ready() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := map[string]string{"config_sha256": j.config, "roles": j.roles, "version": j.version}
	if j.last.Running {
		d["unclean"] = "true"
	}
	j.add(audit.Record{Action: audit.PipelineStart, Target: "pipeline", Details: d})
	if j.last.Config != "" && j.last.Config != j.config {
		j.add(audit.Record{Action: audit.PipelineConfig, Target: "pipeline", Details: map[string]string{"config_sha256": j.config, "former_sha256": j.last.Config}})
	}
	j.last.Config, j.last.Running = j.config, true
	j.save()
	return nil
}

// NotReady hears that the pipelines stop.
func (j *journal) NotReady() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.stopped && j.last.Running {
		j.stopped = true
		j.add(audit.Record{Action: audit.PipelineStop, Target: "pipeline", Details: map[string]string{"config_sha256": j.config, "roles": j.roles, "version": j.version}})
		j.last.Running = false
		j.save()
	}
	return nil
}

// ComponentStatusChanged hears what components say of themselves.
func (j *journal) ComponentStatusChanged(source *componentstatus.InstanceID, e *componentstatus.Event) {
	name := fmt.Sprintf("%s %s", source.Kind(), source.ComponentID())
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.failing[name]
	switch {
	case componentstatus.StatusIsError(e.Status()):
		if f == nil && len(j.failing) < 1000 {
			j.failing[name] = &failure{since: e.Timestamp()}
		}
	case f != nil && e.Status() == componentstatus.StatusOK:
		if f.recorded {
			j.add(audit.Record{Action: audit.LoggingRestored, Target: name, Details: map[string]string{"failed_since": f.since.UTC().Format(time.RFC3339), "seconds": fmt.Sprintf("%.0f", e.Timestamp().Sub(f.since).Seconds())}})
		}
		delete(j.failing, name)
	}
}

// add queues a record. j.mu is held.
func (j *journal) add(r audit.Record) {
	var id [16]byte
	rand.Read(id[:])
	host, _ := os.Hostname()
	r.ID = hex.EncodeToString(id[:])
	r.Time = time.Now()
	r.Actor = audit.Actor{ID: "mcpsiem", Kind: "service", Issuer: host, Method: "internal", Verified: true}
	if len(j.queue) >= maxQueue {
		j.lost++
		return
	}
	j.queue = append(j.queue, r)
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *journal) run(ctx context.Context) {
	look := time.NewTicker(j.cfg.Interval)
	defer look.Stop()
	often := time.NewTicker(min(time.Second, j.cfg.FailingFor))
	defer often.Stop()
	j.look()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			j.look()
		case <-often.C:
			j.judge()
		case <-j.wake:
		}
		for ctx.Err() == nil && j.write(ctx) {
		}
	}
}

// judge records what fails for too long.
func (j *journal) judge() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(j.failing)) {
		if f := j.failing[name]; !f.recorded && time.Since(f.since) >= j.cfg.FailingFor {
			f.recorded = true
			j.add(audit.Record{Action: audit.LoggingFailed, Target: name, Outcome: "error", Details: map[string]string{"failed_since": f.since.UTC().Format(time.RFC3339)}})
		}
	}
}

// look compares the watched files with what they were.
func (j *journal) look() {
	for _, name := range slices.Sorted(maps.Keys(j.cfg.Watch)) {
		sum := "absent"
		if st, err := os.Stat(j.cfg.Watch[name]); err == nil && st.Size() <= maxWatched {
			b, err := os.ReadFile(j.cfg.Watch[name])
			if err != nil {
				continue
			}
			h := sha256.Sum256(b)
			sum = hex.EncodeToString(h[:])
		}
		j.mu.Lock()
		if old, known := j.last.Files[name]; old != sum {
			if known {
				j.add(audit.Record{Action: watched[name], Target: filepath.Base(j.cfg.Watch[name]), Details: map[string]string{"sha256": sum, "former_sha256": old}})
			}
			j.last.Files[name] = sum
			j.save()
		}
		j.mu.Unlock()
	}
}

// write writes the oldest record and says whether there may be more to write now.
func (j *journal) write(ctx context.Context) bool {
	j.mu.Lock()
	if len(j.queue) == 0 {
		j.mu.Unlock()
		return false
	}
	r := j.queue[0]
	j.mu.Unlock()
	if !j.nc.IsConnected() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := audit.Write(ctx, j.js, r); err != nil {
		j.log.Warn("A record of the pipeline waits for the audit trail", zap.String("action", string(r.Action)), zap.Error(err))
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue = j.queue[1:]
	if j.lost > 0 && len(j.queue) == 0 {
		j.add(audit.Record{Action: audit.LoggingFailed, Target: "journal", Outcome: "error", Details: map[string]string{"records_lost": fmt.Sprint(j.lost)}})
		j.lost = 0
	}
	return true
}

// save writes the state file. j.mu is held.
func (j *journal) save() {
	if j.cfg.StateFile == "" {
		return
	}
	b, err := json.Marshal(j.last)
	if err == nil {
		tmp := j.cfg.StateFile + ".tmp"
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			err = os.Rename(tmp, j.cfg.StateFile)
		}
	}
	if err != nil {
		j.log.Warn("The journal cannot remember: a change made while it is away will not be noticed", zap.Error(err))
	}
}
