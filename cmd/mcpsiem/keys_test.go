package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/identity"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

func TestKeys(t *testing.T) {
	d, err := state.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var last string
	f := func(want, problem string, args ...string) {
		t.Helper()
		var b bytes.Buffer
		c := newRoot()
		c.SetArgs(append(append([]string{"keys"}, args...), "--state="+string(d)))
		c.SetIn(strings.NewReader("acme\n")) // no terminal: the answer does not count
		c.SetOut(&b)
		c.SetErr(&b)
		err := c.Execute()
		last = b.String()
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%v: error %v, want %q", args, err, problem)
		}
		if !strings.Contains(last, want) {
			t.Errorf("%v: %s, want %q", args, last, want)
		}
	}
	f("no event has been inspected", "", "list")
	f(`"tenants": []`, "", "list", "--json")
	f("", "cannot replace the key", "rotate", "--key=spool")
	if err := os.WriteFile(d.Path("tap", "key"), []byte(strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("from now on is encrypted", "", "rotate", "--key=spool")
	f("opens what was spooled before", "", "list")
	fp := func(key string) string {
		t.Helper()
		k, err := identity.LoadKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return k.Fingerprint("x")
	}
	before := fp(d.Secret(state.SecretIdentityKey))
	f("enrol them anew", "", "rotate", "--key=identity")
	former, _ := filepath.Glob(d.Secret("identity.key.former.*"))
	if len(former) != 1 || fp(former[0]) != before || fp(d.Secret(state.SecretIdentityKey)) == before {
		t.Errorf("former keys %v", former)
	}
	f("knows credentials that were", "", "list")
	f("", "--key is seal", "rotate", "--key=master")
	if b, err := os.ReadFile(d.Path("tap", "key")); err != nil || len(b) != 65 || strings.HasPrefix(string(b), "abab") || strings.Contains(last, string(b[:16])) || strings.Contains(last, "abab") {
		t.Error("the key is the former one, or shown", err)
	}
	dir := d.Path("secrets", "tenants")
	store, err := pseudonym.EnsureTenants(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme", "evil\x1b[2J\nname"} {
		if _, err := store.Salt(name, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	material := func() (all []string) {
		files, _ := filepath.Glob(filepath.Join(dir, "*", "*.key"))
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(string(raw), `"salt":"`)
			all = append(all, rest[:64])
		}
		return all
	}
	f("acme", "", "list")
	if _, tenants, ok := strings.Cut(last, "\n\nTENANT"); !ok || strings.Count(tenants, "\n") != 5 || !strings.Contains(last, "encrypts RAW") || strings.Contains(last, "\x1b") {
		t.Errorf("%q", last)
	}
	for _, secret := range material() {
		if strings.Contains(last, secret) || strings.Contains(last, secret[:12]) {
			t.Error("key material is shown")
		}
	}
	f(`"kept": 1`, "", "list", "--json")
	for _, secret := range material() {
		if strings.Contains(last, secret[:12]) {
			t.Error("key material is shown")
		}
	}
	f("of epoch 2; 1 former kept", "", "rotate", "--tenant=acme")
	f("", "has no key: nobody", "rotate", "--tenant=nobody")
	f("", "tenant", "rotate")
	f("", "has no key", "destroy", "--tenant=nobody", "--yes")
	f("keys         2", "--yes", "destroy", "--tenant=acme")
	if len(material()) != 3 {
		t.Error("destroyed without consent")
	}
	f("destroyed: 2 keys", "", "destroy", "--tenant=acme", "--yes")
	if len(material()) != 1 {
		t.Error("not destroyed")
	}
	f("", "has no key", "destroy", "--tenant=acme", "--yes")
	f("acme                 -  ", "", "list", "--keys-dir="+dir)
	f(`"destroyed": "2`, "", "list", "--json")
}
