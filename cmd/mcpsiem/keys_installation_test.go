package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/state"
)

func TestKeysOfTheInstallation(t *testing.T) {
	d, err := state.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := func(want, problem string) {
		t.Helper()
		var b bytes.Buffer
		c := newRoot()
		c.SetArgs([]string{"keys", "installation", "--state", string(d)})
		c.SetOut(&b)
		c.SetErr(&b)
		err := c.Execute()
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("error %v, want %q", err, problem)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s, want %q", b.String(), want)
		}
		for _, name := range state.Secrets {
			if material, err := d.ReadSecret(name); err == nil && strings.Contains(b.String(), material) {
				t.Errorf("%s is shown", name)
			}
		}
	}
	f("missing", "1 key is not") // seal.key is made by the first seal
	if err := os.WriteFile(d.Secret("seal.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("encrypts RAW", "")
	if err := os.Chmod(d.Secret(state.SecretMasterKey), 0o644); err != nil {
		t.Fatal(err)
	}
	f("others may read it", "1 key is not")
	if err := os.Chmod(d.Secret(state.SecretMasterKey), 0o600); err != nil {
		t.Fatal(err)
	}
	// A key that is elsewhere: where it is shows, and --test fetches it.
	g := func(reference, want, problem string, args ...string) {
		t.Helper()
		if err := os.WriteFile(d.Secret(state.SecretIdentityKey), []byte(reference), 0o600); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		c := newRoot()
		c.SetArgs(append([]string{"keys", "installation", "--state", string(d)}, args...))
		c.SetOut(&b)
		c.SetErr(&b)
		err := c.Execute()
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) || !strings.Contains(b.String(), want) {
			t.Errorf("%s %v: %v\n%s", reference, args, err, b.String())
		}
	}
	g(`{"command": ["/bin/echo", "0123456789012345678901234567890123456789"]}`, "command echo", "", "--test")
	g(`{"command": ["/bin/false"]}`, "command false", "")
	g(`{"command": ["/bin/false"]}`, "exit status 1", "1 key is not", "--test")
	g(`{"env": "MCPSIEM_TEST_NO_SUCH_KEY"}`, "is not set", "1 key is not", "--test")
	// Every secret that is generated is known.
	list := installationKeys(d)
	for _, name := range state.Secrets {
		found := false
		for _, k := range list {
			found = found || k.File == filepath.Join(string(d), "secrets", name)
		}
		if !found {
			t.Errorf("nobody says what %s is for", name)
		}
	}
}
