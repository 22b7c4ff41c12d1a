package state

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCreateKeepsSecrets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	d, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Secrets {
		st, err := os.Stat(d.Secret(name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", name, st.Mode().Perm())
		}
	}
	before, err := d.ReadSecret(SecretMasterKey)
	if err != nil || len(before) != 64 {
		t.Fatalf("master key has %d digits, err %v", len(before), err)
	}
	if _, err := Create(dir); err != nil {
		t.Fatal(err)
	}
	if after, _ := d.ReadSecret(SecretMasterKey); after != before {
		t.Error("a second Create replaced the master key")
	}
}

func TestCreateRefusesStreamsWithoutTheirKey(t *testing.T) {
	d, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.Path("nats", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.Secret(SecretJetStreamKey)); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(string(d)); err == nil {
		t.Fatal("a lost stream key was replaced by a new one")
	}
}

func TestLockIsExclusive(t *testing.T) {
	d, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if pid, ok := d.Holder(); !ok || pid != os.Getpid() {
		t.Errorf("Holder() = %d, %v; want %d, true", pid, ok, os.Getpid())
	}
	var running *ErrRunning
	if _, err := d.Lock(); !errors.As(err, &running) || running.PID != os.Getpid() {
		t.Errorf("second Lock: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Holder(); ok {
		t.Error("a released lock is still held")
	}
	l, err = d.Lock()
	if err != nil || l.Unclean {
		t.Errorf("after a release: unclean %v, err %v", l.Unclean, err)
	}
	l.f.Close() // as the kernel does for a killed process
	if l, err = d.Lock(); err != nil || !l.Unclean {
		t.Errorf("after a crash: unclean %v, err %v", l.Unclean, err)
	}
}
