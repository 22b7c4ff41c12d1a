package retention

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNextRun(t *testing.T) {
	f := func(at, now, want string) {
		t.Helper()
		n, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		s := &scheduler{cfg: &Config{At: at}, now: func() time.Time { return n }}
		if have := n.Add(s.next()).UTC().Format(time.RFC3339); have != want {
			t.Errorf("at %s from %s: %s, want %s", at, now, have, want)
		}
	}
	f("03:30", "2026-11-22T03:29:59Z", "2026-11-22T03:30:00Z")
	f("03:30", "2026-11-22T03:30:00Z", "2026-11-23T03:30:00Z")
	f("00:00", "2026-12-31T23:00:00+02:00", "2027-01-01T00:00:00Z")
}

func TestValidate(t *testing.T) {
	f := func(edit func(*Config), want string) {
		t.Helper()
		c := NewFactory().CreateDefaultConfig().(*Config)
		c.PolicyFile, c.ClickHouse.Endpoint, c.LockDir = "p", "e", "/l"
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		edit(c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	f(func(c *Config) { c.PolicyFile = "" }, "policy_file")
	f(func(c *Config) { c.ClickHouse.Endpoint = "" }, "endpoint")
	f(func(c *Config) { c.LockDir = "x" }, "lock_dir")
	f(func(c *Config) { c.ArchiveDir = "x" }, "archive_dir")
	f(func(c *Config) { c.At = "25:00" }, "time of day")
	f(func(c *Config) { c.ClickHouse.Password, c.ClickHouse.PasswordFile = "a", "b" }, "only one")
}

// A policy that cannot be read removes nothing, and the extension ends in order.
func TestABadPolicyIsAnError(t *testing.T) {
	c := NewFactory().CreateDefaultConfig().(*Config)
	c.PolicyFile = filepath.Join(t.TempDir(), "retention.yaml")
	if err := os.WriteFile(c.PolicyFile, []byte("classes: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := newScheduler(extensiontest.NewNopSettings(Type), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.apply(context.Background(), false); err == nil || !strings.Contains(err.Error(), "no classes") {
		t.Error(err)
	}
	if err := s.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}
