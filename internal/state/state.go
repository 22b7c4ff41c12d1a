// Package state is the folder that a laptop installation lives in: credentials, stream and table files, the endpoints that
// the commands use to find a running mcpsiem, and the lock that keeps two of them apart.
//
// Layout, everything 0700/0600:
//
//	lock              held by the running `mcpsiem up`; holds its pid
//	endpoints.json    where the running installation listens
//	config.yaml       the generated Collector configuration
//	secrets/          generated credentials and keys, one a file; in secrets/tenants, keys of tenants that can be destroyed; in secrets/archive, keys of archives
//	nats/             JetStream's files, encrypted
//	clickhouse/       ClickHouse's files
//	detect/           detector snapshots
//	seal/             Merkle logs of the tenants: tiles, checkpoints, public keys
//	tap/              spools of the taps on this machine, encrypted
//	log/              logs
//	people.yaml       directory of people, services and agents; the operator's, optional
//	budgets.yaml      budgets and limits; the operator's, optional
//	retention.yaml    how long records are kept; the operator's, optional
//	roles.yaml        people's accounts, written by `mcpsiem roles`; optional
//	archive/          records that left the store and are kept on
//	rules/            rules, macros and overrides; the operator's, optional
//	allowlist.yaml    findings that do not alert; the operator's, optional
package state

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

// Dir is a state folder. Its methods name what lies in it.
type Dir string

// Default is $MCPSIEM_STATE, else $XDG_STATE_HOME/mcpsiem, else ~/.local/state/mcpsiem.
func Default() string {
	if d := os.Getenv("MCPSIEM_STATE"); d != "" {
		return d
	}
	if d := os.Getenv("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "mcpsiem")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "mcpsiem-state-"+strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(home, ".local", "state", "mcpsiem")
}

// Path joins parts below the folder.
func (d Dir) Path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Directory is the path of the operator's directory of people.
func (d Dir) Directory() string { return d.Path("people.yaml") }

// Budgets is the path of the operator's budgets and limits.
func (d Dir) Budgets() string { return d.Path("budgets.yaml") }

// Sinks is the file that says where else events and findings go.
func (d Dir) Sinks() string { return d.Path("sinks.yaml") }

// Residency is the path of the operator's policy of what must stay in which region.
func (d Dir) Residency() string { return d.Path("residency.yaml") }

// Rules is the folder of the operator's own rules.
func (d Dir) Rules() string { return d.Path("rules") }

// Retention is the path of the operator's retention policy.
func (d Dir) Retention() string { return d.Path("retention.yaml") }

// Roles is the path of the list of people's accounts.
func (d Dir) Roles() string { return d.Path("roles.yaml") }

// AllowList is the path of the operator's allow-list and maintenance windows.
func (d Dir) AllowList() string { return d.Path("allowlist.yaml") }

// Secret is the path of the named secret.
func (d Dir) Secret(name string) string { return d.Path("secrets", name) }

// Next is where the key lies that shall replace the named secret.
func (d Dir) Next(name string) string { return d.Secret(name) + ".next" }

// GenerateNext makes a key that shall replace the named secret, unless one lies there.
func (d Dir) GenerateNext(name string) error { return generate(d.Next(name)) }

// Promote lets the next key take the place of the named secret, which is gone then.
func (d Dir) Promote(name string) error {
	err := os.Rename(d.Next(name), d.Secret(name))
	if err == nil {
		err = syncDir(filepath.Dir(d.Secret(name)))
	}
	if err != nil {
		return fmt.Errorf("cannot put the next key in place: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Secrets that an installation holds. Tokens and passwords are 64 hex digits, keys are 32 bytes as 64 hex digits.
const (
	SecretOTLPToken        = "otlp.token"
	SecretNATSPipeline     = "nats-pipeline.password"
	SecretNATSViewer       = "nats-viewer.password"
	SecretJetStreamKey     = "jetstream.key"
	SecretMasterKey        = "master.key"   // pseudonyms and fingerprints of content
	SecretIdentityKey      = "identity.key" // fingerprints of credentials
	SecretClickHouseAdm    = "clickhouse-admin.password"
	SecretClickHousePipe   = "clickhouse-pipeline.password"
	SecretClickHouseRead   = "clickhouse-analyst.password"
	SecretClickHouseRemove = "clickhouse-remover.password" // retention and erasure
	SecretPage             = "page.token"                  // opens the built-in page
)

// Secrets lists every secret that Create generates.
var Secrets = []string{
	SecretOTLPToken, SecretNATSPipeline, SecretNATSViewer, SecretJetStreamKey, SecretMasterKey, SecretIdentityKey,
	SecretClickHouseAdm, SecretClickHousePipe, SecretClickHouseRead, SecretClickHouseRemove, SecretPage,
}

// Create makes the folder and whatever secrets are missing. It never replaces one that exists: a lost jetstream.key or
// master.key cannot be made again.
func Create(path string) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("cannot resolve state folder %q: %w", path, err)
	}
	d := Dir(abs)
	for _, sub := range []string{"", "secrets", "nats", "clickhouse", "detect", "tap", "log"} {
		if err := os.MkdirAll(d.Path(sub), 0o700); err != nil {
			return "", fmt.Errorf("cannot create state folder: %w (choose another with --state)", err)
		}
	}
	if err := d.tighten(); err != nil {
		return "", err
	}
	// Data without its key is unreadable, and a fresh key would hide that until the streams fail to open.
	if _, err := os.Stat(d.Secret(SecretJetStreamKey)); errors.Is(err, fs.ErrNotExist) {
		if entries, _ := os.ReadDir(d.Path("nats")); len(entries) > 0 {
			return "", fmt.Errorf("%s is missing but %s holds encrypted streams: restore the key, or move that folder away to start empty",
				d.Secret(SecretJetStreamKey), d.Path("nats"))
		}
	}
	for _, name := range Secrets {
		if err := generate(d.Secret(name)); err != nil {
			return "", err
		}
	}
	return d, nil
}

// tighten takes group and other permissions off the folder itself and its secrets.
func (d Dir) tighten() error {
	for _, sub := range []string{"", "secrets"} {
		if err := os.Chmod(d.Path(sub), 0o700); err != nil {
			return fmt.Errorf("cannot make state folder private: %w", err)
		}
	}
	return nil
}

// generate writes 32 random bytes as hex to path unless it exists.
func generate(path string) error {
	if st, err := os.Stat(path); err == nil && st.Size() > 0 {
		return nil
	}
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("cannot generate a secret: %w", err)
	}
	// Written aside and renamed, so that a crash leaves no empty secret behind.
	// Synced, since what is encrypted with it may be on disk sooner.
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(hex.EncodeToString(b[:]) + "\n")
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("cannot write secret: %w", err)
	}
	return nil
}

// ReadSecret returns the named secret without its line end, from wherever its file says that it is (internal/keysource).
func (d Dir) ReadSecret(name string) (string, error) {
	b, err := keysource.Read(context.Background(), "secret", d.Secret(name))
	return string(b), err
}

// Endpoints says where an installation listens. Passwords are in the secrets folder.
type Endpoints struct {
	PID            int    `json:"pid"`
	OTLPHTTP       string `json:"otlp_http"`       // host:port
	OTLPGRPC       string `json:"otlp_grpc"`       // host:port
	NATS           string `json:"nats"`            // URL
	ClickHouse     string `json:"clickhouse"`      // host:port, native protocol
	ClickHouseHTTP string `json:"clickhouse_http"` // host:port
	Health         string `json:"health"`          // host:port
	Metrics        string `json:"metrics"`         // host:port, Prometheus
	Page           string `json:"page"`            // host:port, HTTP: the built-in page
}

// WriteEndpoints stores e for the commands.
func (d Dir) WriteEndpoints(e Endpoints) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	tmp := d.Path("endpoints.json.new")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write endpoints: %w", err)
	}
	return os.Rename(tmp, d.Path("endpoints.json"))
}

// ReadEndpoints reads what WriteEndpoints stored.
func (d Dir) ReadEndpoints() (Endpoints, error) {
	var e Endpoints
	b, err := os.ReadFile(d.Path("endpoints.json"))
	if err != nil {
		return e, fmt.Errorf("cannot find a running mcpsiem in %s: start one with `mcpsiem up`, or name its folder with --state", d)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("cannot read %s: it is damaged; restart mcpsiem", d.Path("endpoints.json"))
	}
	return e, nil
}

// ErrRunning means that another process holds the folder.
type ErrRunning struct {
	PID int // 0 where it could not be read
	Dir Dir
}

func (e *ErrRunning) Error() string {
	return fmt.Sprintf("mcpsiem is already running on %s (pid %d): see `mcpsiem status`, stop it with `mcpsiem down`", e.Dir, e.PID)
}

// Lock holds a state folder for this process. The kernel releases it when the process ends, however it ends.
type Lock struct {
	f *os.File
	// Unclean says that the holder before this one did not Release: it was killed, and what it had started may still be ending.
	Unclean bool
}

// Lock takes the folder or fails with *ErrRunning.
func (d Dir) Lock() (*Lock, error) {
	f, err := os.OpenFile(d.Path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		pid, _ := d.Holder()
		return nil, &ErrRunning{PID: pid, Dir: d}
	}
	st, err := f.Stat()
	unclean := err == nil && st.Size() > 0
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot write lock: %w", err)
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot write lock: %w", err)
	}
	return &Lock{f, unclean}, nil
}

// Release gives the folder up.
func (l *Lock) Release() error {
	return errors.Join(l.f.Truncate(0), l.f.Close())
}

// Holder returns the pid of the process that holds the folder, or ok false where none does.
func (d Dir) Holder() (pid int, ok bool) {
	f, err := os.OpenFile(d.Path("lock"), os.O_RDWR, 0o600)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)
	pid, _ = strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return pid, false
	}
	return pid, true
}
