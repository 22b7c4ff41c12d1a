package streams_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/confmap"

	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestNATSConfigValidate(t *testing.T) {
	f := func(edit func(*streams.NATSConfig), want string) {
		t.Helper()
		c := streams.NewNATSConfig()
		edit(&c)
		err := c.Validate()
		switch {
		case want == "" && err != nil:
			t.Errorf("refused: %v", err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("got %v, want %q", err, want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("the error holds a secret: %v", err)
		}
	}
	f(func(*streams.NATSConfig) {}, "")
	f(func(c *streams.NATSConfig) { c.URL = "nats://a:1, tls://b:2" }, "")
	f(func(c *streams.NATSConfig) { c.Username, c.PasswordFile = "u", "/f" }, "")
	f(func(c *streams.NATSConfig) { c.URL = "" }, "must not be empty")
	f(func(c *streams.NATSConfig) { c.URL = "localhost" }, "nats://host:port")
	f(func(c *streams.NATSConfig) { c.URL = "http://a:1" }, "scheme")
	f(func(c *streams.NATSConfig) { c.URL = "nats://u:hunter2@a:1" }, "must not hold credentials")
	f(func(c *streams.NATSConfig) { c.URL = "nats://u:hunter2%zz@a:1" }, "nats://host:port")
	f(func(c *streams.NATSConfig) { c.Username = "u" }, "belong together")
	f(func(c *streams.NATSConfig) { c.PasswordFile = "f" }, "belong together")
	f(func(c *streams.NATSConfig) { c.Username, c.Password, c.PasswordFile = "u", "hunter2", "f" }, "only one of password")
	f(func(c *streams.NATSConfig) { c.CredentialsFile, c.NKeyFile = "a", "b" }, "only one of username")
}

func TestNATSConfigKeys(t *testing.T) {
	c := streams.NewNATSConfig()
	err := confmap.NewFromStringMap(map[string]any{"url": "tls://a:1", "username": "u", "password": "p", "password_file": "f", "credentials_file": "c",
		"nkey_file": "n", "connect_timeout": "1s", "inbox_prefix": "i", "tls": map[string]any{"ca_file": "x"}}).Unmarshal(&c)
	if err != nil || c.TLS == nil || c.TLS.CAFile != "x" || c.ConnectTimeout != time.Second {
		t.Fatalf("%v %+v", err, c)
	}
}

// A connection waits for a server that is away, follows it through a restart, and reads a changed password.
func TestConnect(t *testing.T) {
	s := natsdtest.New(t)
	c := s.NATS()
	c.Password, c.PasswordFile = "", filepath.Join(t.TempDir(), "password")
	os.WriteFile(c.PasswordFile, []byte("wrong\n"), 0o600)
	nc, err := c.Connect(context.Background(), "test")
	if err != nil {
		t.Fatalf("a refused login must not end the attempts: %v", err)
	}
	defer nc.Close()
	os.WriteFile(c.PasswordFile, []byte(natsdtest.Password+"\n"), 0o600)
	eventually(t, "login with the corrected password", nc.IsConnected)
	s.Stop()
	eventually(t, "noticing the stop", func() bool { return !nc.IsConnected() })
	if err := nc.Publish("mcpsiem.x", nil); err == nil {
		t.Error("a publish without connection was buffered")
	}
	s.Start()
	eventually(t, "reconnect", nc.IsConnected)

	for name, edit := range map[string]func(*streams.NATSConfig){
		"password file": func(c *streams.NATSConfig) { c.PasswordFile = "/does/not/exist" },
		"credentials":   func(c *streams.NATSConfig) { c.CredentialsFile = "/does/not/exist" },
		"nkey":          func(c *streams.NATSConfig) { c.NKeyFile = "/does/not/exist" },
	} {
		c := streams.NewNATSConfig()
		edit(&c)
		if nc, err := c.Connect(context.Background(), "test"); err == nil {
			nc.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}
