package identity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	ident "github.com/mcpsiem/mcpsiem/internal/identity"
	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

// The key of fingerprints is replaced while it is in use. Who is enrolled or bound under the former key stays that; other credentials have other fingerprints; without the former key's
// file nobody is known by it any more.
func TestKeyIsReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "people.yaml")
	var key string
	fp := newTest(t, nil).key.Fingerprint
	yaml := `- {id: ci, kind: service, team: platform, tokens: ["` + fp("tok-1") + `", "` + fp("key-1") + `"]}`
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newTest(t, func(c *Config) {
		key = c.KeyFile
		c.Directory.File = file
		c.Bindings = []BindingConfig{{Tenant: "acme", Credential: fp("of the sender")}}
	})
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("not ", what)
			}
		}
	}
	enrolled := func() event.Event { return one(t, p, httpCall("Bearer tok-1")) }
	apiKey := func() event.Event {
		e := httpCall("")
		e.RawHeaders = map[string]string{"x-api-key": "key-1"}
		return one(t, p, e)
	}
	// As decoding sends it: the fingerprint of now, and those before.
	bound := func() event.Event {
		now := p.key.Current()
		e := httpCall("Bearer tok-1")
		e.SourceCredential = now.Key.Fingerprint("of the sender")
		if f := now.Former("of the sender"); len(f) > 0 {
			return runWith(t, p, e, map[string]string{ident.SourceFormer: strings.Join(f, ",")})
		}
		return one(t, p, e)
	}
	check(t, enrolled(), "opaque_token:ci:service!")
	check(t, apiKey(), "api_key:ci:service!")
	if e := bound(); e.Tenant != "acme" {
		t.Errorf("tenant %s", e.Tenant)
	}
	before := one(t, p, httpCall("Bearer unknown")).TokenFingerprint
	old, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}

	write(key+keysource.FormerMark+"1", string(old))
	write(key, strings.Repeat("cd", 32))
	until("replaced", func() bool { return p.key.Fingerprint("unknown") != before })
	e := one(t, p, httpCall("Bearer unknown"))
	if e.TokenFingerprint == before || e.TokenFingerprint != p.key.Fingerprint("unknown") {
		t.Errorf("fingerprint %s", e.TokenFingerprint)
	}
	e = enrolled()
	if check(t, e, "opaque_token:ci:service!"); e.TokenFingerprint != p.key.Fingerprint("tok-1") || e.PrincipalTeam != "platform" {
		t.Errorf("%+v", e.Fields)
	}
	check(t, apiKey(), "api_key:ci:service!")
	if e := bound(); e.Tenant != "acme" || e.SourceCredential == fp("of the sender") {
		t.Errorf("tenant %s", e.Tenant)
	}

	// An exchange that was under way belongs to its sender on.
	q := httpCall("Bearer tok-1")
	q.SourceCredential = fp("of the sender")
	one(t, p, q)
	r := answerTo(q, 200)
	r.SourceCredential = p.key.Fingerprint("of the sender")
	if e := runWith(t, p, r, map[string]string{ident.SourceFormer: fp("of the sender")}); e.PrincipalID != "ci" {
		t.Errorf("the answer is of %q", e.PrincipalID)
	}
	if e := one(t, p, r); e.PrincipalID == "ci" {
		t.Error("another sender goes on with an exchange")
	}

	// What cannot be used is not taken.
	now := p.key.Fingerprint("x")
	write(key, "short")
	time.Sleep(1500 * time.Millisecond)
	if p.key.Fingerprint("x") != now {
		t.Error("a key that cannot be used is in use")
	}
	write(key, strings.Repeat("cd", 32))
	if err := os.Remove(key + keysource.FormerMark + "1"); err != nil {
		t.Fatal(err)
	}
	until("forgotten", func() bool { return len(p.key.Current().Former("x")) == 0 })
	check(t, enrolled(), "opaque_token:fp-"+p.key.Fingerprint("tok-1")+":unknown", SignalUnregistered)
}
