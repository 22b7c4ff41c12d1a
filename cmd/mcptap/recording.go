package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/tap"
)

// recordingFlags are the flags that stdio and http share: what is recorded, and where it goes.
type recordingFlags struct {
	name, tenant, tapID       string
	labels                    map[string]string
	endpoint, tokenFile       string
	ca, cert, key             string
	insecure                  bool
	stateDir                  string
	spoolMax                  int64
	captureLimit, buffer      int64
	flushInterval, requestTTL time.Duration
	shutdownTimeout           time.Duration
	quiet                     bool
	configured                []string // stdio: variables that hold credentials in the client's configuration file
}

func (f *flags) addRecording(defaultName, buffer string) {
	r := &f.recording
	f.str(&r.name, "name", "NAME", "", "the server's name in mcpsiem; without it "+defaultName)
	f.add("label", "KEY=VALUE", "a label on every event; may be repeated", "", func(s string) error {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return errors.New("KEY=VALUE is expected")
		}
		if r.labels == nil {
			r.labels = map[string]string{}
		}
		r.labels[k] = v
		return nil
	})
	f.str(&r.tenant, "tenant", "TENANT", "", "tenant that owns the events; without it the collector's default")
	f.str(&r.endpoint, "endpoint", "URL", "http://127.0.0.1:4318", "OTLP/HTTP receiver of the collector")
	f.str(&r.tokenFile, "token-file", "FILE", "", "file with the collector's token; without it STATE/secrets/otlp.token")
	f.str(&r.ca, "endpoint-ca", "FILE", "", "PEM file of the authorities that may sign the collector's certificate; without it the system's")
	f.str(&r.cert, "endpoint-cert", "FILE", "", "PEM file of a client certificate for the collector")
	f.str(&r.key, "endpoint-key", "FILE", "", "PEM file of its key")
	f.toggle(&r.insecure, "endpoint-insecure", "do not verify the collector's certificate")
	f.str(&r.stateDir, "state-dir", "DIR", "", "STATE: folder for the token and, under tap/, the encrypted spool; without it $XDG_STATE_HOME/mcpsiem or ~/.local/state/mcpsiem")
	f.str(&r.tapID, "tap-id", "ID", "", "the tap's id, the same at each start; without it HOSTNAME/NAME")
	f.size(&r.spoolMax, "spool-max", "256MiB", "disk space for events while the collector is away, for all taps of a state folder")
	f.size(&r.captureLimit, "capture-limit", "8MiB", "how much of a message is recorded; of a longer one also size and hash")
	f.size(&r.buffer, "buffer", buffer, "memory for copies that wait to be looked at, beside two messages of the capture limit; what does not fit is counted as lost")
	f.duration(&r.flushInterval, "flush-interval", tap.DefaultFlushInterval, "how long an event may wait before it is sent")
	f.duration(&r.requestTTL, "request-timeout", 15*time.Minute, "when a request without an answer is recorded as timed out")
	f.duration(&r.shutdownTimeout, "shutdown-timeout", 2*time.Second, "at the end, how long to go on sending; what is left then goes to the spool")
	f.toggle(&r.quiet, "quiet", "no warnings about the recording on stderr")
}

// stateDir is where mcpsiem keeps its state for this user.
func (r *recordingFlags) state() string {
	if r.stateDir != "" {
		return r.stateDir
	}
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "mcpsiem")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "state", "mcpsiem")
}

// recorder starts a recorder. It fails only for what no retry mends.
func (r *recordingFlags) recorder(log *slog.Logger) (*tap.Recorder, error) {
	if u, err := url.Parse(r.endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("cannot record: --endpoint is not an http or https URL")
	}
	// A message of the largest size in each direction must fit beside whatever else waits.
	queue := r.buffer + 2*r.captureLimit
	cfg := tap.Config{
		TapID: r.tapID, Tenant: r.tenant, Endpoint: r.endpoint, TokenFile: r.tokenFile,
		TLS:           tap.TLSConfig{CAFile: r.ca, CertFile: r.cert, KeyFile: r.key, InsecureSkipVerify: r.insecure},
		SpoolMaxBytes: r.spoolMax, QueueBytes: queue, CaptureLimit: int(r.captureLimit), FlushInterval: r.flushInterval,
		RequestTimeout: r.requestTTL, Logger: log,
	}
	if state := r.state(); state != "" {
		cfg.SpoolDir = filepath.Join(state, "tap")
		if cfg.TokenFile == "" {
			cfg.TokenFile = filepath.Join(state, "secrets", "otlp.token")
		}
	}
	if cfg.TapID == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("cannot name the tap by its host, use --tap-id: %w", err)
		}
		cfg.TapID = host + "/" + r.name
	}
	rec, err := tap.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot record, traffic passes unrecorded: %w", err)
	}
	return rec, nil
}

// warnings writes each warning once: stderr is the server's, and a client may show or keep it.
type warnings struct {
	flags *flags
	mu    *sync.Mutex // guards seen
	seen  map[string]bool
}

func newWarnings(f *flags) *warnings {
	return &warnings{f, new(sync.Mutex), map[string]bool{}}
}

func (w *warnings) warn(err error) { w.say(err.Error()) }

func (w *warnings) say(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flags.recording.quiet || w.seen[text] || len(w.seen) > 20 {
		return
	}
	w.seen[text] = true
	fmt.Fprintf(w.flags.stderr, "mcptap: %s\n", text)
}

// Enabled, Handle, WithAttrs and WithGroup make it the recorder's log.
func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	known := w.seen[r.Message]
	w.seen[r.Message] = true
	w.mu.Unlock()
	if known {
		return nil
	}
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	w.say(text)
	return nil
}

func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *warnings) WithGroup(string) slog.Handler      { return w }
