package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/internal/keysource"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

func TestRotateWrap(t *testing.T) {
	d, err := state.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tenants, err := pseudonym.EnsureTenants(d.Secret("tenants"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	salt := func() pseudonym.Salt {
		t.Helper()
		now = now.Add(2 * pseudonym.Recheck)
		s, err := tenants.Salt("acme", now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := salt()
	var last string
	run := func(want, problem string, args ...string) {
		t.Helper()
		var b bytes.Buffer
		c := newRoot()
		c.SetArgs(append(append([]string{"keys"}, args...), "--state", string(d)))
		c.SetOut(&b)
		c.SetErr(&b)
		err := c.Execute()
		last = b.String()
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) || !strings.Contains(last, want) {
			t.Errorf("%v: %v\n%s", args, err, last)
		}
		if strings.Contains(last, strings.Repeat("7", 32)) {
			t.Error("a key is shown")
		}
		if salt() != first {
			t.Errorf("%v changed the tenant's key", args)
		}
	}
	put := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(d.Secret(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	content := func() string {
		t.Helper()
		files, _ := filepath.Glob(d.Secret("tenants/*/1.key"))
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	rotate := []string{"rotate", "--key", "wrap"}
	run("", "there is no wrapping key", rotate...)
	put("wrap.key.next", `{"command": ["/bin/sh", "-c", "echo no token >&2; exit 4"]}`)
	run("", "exit status 4: no token", rotate...)
	if !strings.Contains(content(), `"salt"`) {
		t.Error("wrapped with nothing")
	}
	t.Setenv("MCPSIEM_TEST_WRAP", strings.Repeat("7", 64))
	put("wrap.key.next", `{"env": "MCPSIEM_TEST_WRAP"}`)
	run("1 key is wrapped anew", "", rotate...)
	wrapped := content()
	if !strings.Contains(wrapped, `"wrapped":"wrapped:1:`) || strings.Contains(wrapped, `"salt"`) {
		t.Error(wrapped)
	}
	run("env MCPSIEM_TEST_WRAP", "", "list")
	if !strings.Contains(last, "file, wrapped") {
		t.Error(last)
	}
	run("0 keys are wrapped anew", "", rotate...) // it is elsewhere: no other is made
	// Cut off between its steps: both are there, and the next command goes on.
	put("wrap.key.next", strings.Repeat("8", 64))
	if _, err := tenants.Rewrap(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.Secret("wrap.key"), d.Secret("wrap.key.former")); err != nil {
		t.Fatal(err)
	}
	salt()
	run("keys are wrapped anew", "", rotate...)
	// One that is a file is replaced by a new one.
	run("1 key is wrapped anew", "", rotate...)
	b, err := os.ReadFile(d.Secret("wrap.key"))
	if err != nil || strings.Contains(string(b), "8888") {
		t.Error("the wrapping key is the former one")
	}
	for _, name := range []string{"wrap.key.next", "wrap.key.former"} {
		if exists(d.Secret(name)) {
			t.Error(name, "is left over")
		}
	}
	// Without it, what is wrapped is lost, which the lists say.
	if err := os.Remove(d.Secret(keysource.WrapFile)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := newRoot()
	c.SetArgs([]string{"keys", "installation", "--state", string(d)})
	c.SetOut(&out)
	c.SetErr(&out)
	if err := c.Execute(); err == nil || !strings.Contains(out.String(), "wrap.key") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
