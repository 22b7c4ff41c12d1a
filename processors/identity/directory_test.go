package identity

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// withDirectory writes a directory in which %FP(x)% stands for the fingerprint of x under the tests' key.
func withDirectory(t *testing.T, yaml string) func(*Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "people.yaml")
	fp := newTest(t, nil).key.Fingerprint
	for _, c := range []string{"tok-1", "key-1"} {
		yaml = strings.ReplaceAll(yaml, "%FP("+c+")%", fp(c))
	}
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.Directory.File = file }
}

const people = `
- id: alice@example.com
  team: payments
  cost_center: "4711"
  aliases: ["https://login.example.com/|u-1", alice]
  os_users: [laptop-7/alice]
- {id: ci, kind: service, team: platform, tokens: ["%FP(tok-1)%", "%FP(key-1)%"]}
- {id: mallory, status: suspended, os_users: [mallory]}
- {id: gone, status: left, left: 2026-02-28, aliases: [gone-sub]}
- {id: leaving, status: left, left: 2026-03-01, aliases: [leaving-sub]}
- {id: acme-user, tenant: acme, aliases: [acme-sub]}
`

func TestDirectory(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "r"))
	dir := withDirectory(t, people)
	p := newTest(t, func(c *Config) { withIssuer(is)(c); dir(c) })
	jwt := func(sub string) event.Event {
		return httpCall("Bearer " + sign(t, jose.RS256, rsaKey, "r", standard(m{"sub": sub})))
	}

	e := one(t, p, jwt("u-1"))
	if check(t, e, "jwt:alice@example.com:user!"); e.PrincipalTeam != "payments" || e.PrincipalCostCenter != "4711" || e.PrincipalIssuer != testIssuer {
		t.Errorf("%+v", e.Fields)
	}
	check(t, one(t, p, jwt("stranger")), "jwt:stranger:user!", SignalUnknownOwner)
	check(t, one(t, p, jwt("gone-sub")), "jwt:gone:user!", SignalAfterDeparture)
	check(t, one(t, p, jwt("leaving-sub")), "jwt:leaving:user!") // the last day still counts
	e = one(t, p, jwt("acme-sub"))
	if check(t, e, "jwt:acme-user:user!"); e.Tenant != "acme" {
		t.Errorf("tenant %s", e.Tenant)
	}
	e = jwt("acme-sub")
	e.Tenant = "other"
	check(t, one(t, p, e), "jwt:acme-user:user!", SignalForeignTenant)

	e = one(t, p, httpCall("Bearer tok-1"))
	if check(t, e, "opaque_token:ci:service!"); e.PrincipalTeam != "platform" || e.PrincipalIssuer != "directory" {
		t.Errorf("%+v", e.Fields)
	}
	check(t, one(t, p, httpCall("Bearer tok-2")), "opaque_token:fp-"+p.key.Fingerprint("tok-2")+":unknown", SignalUnregistered)
	e = httpCall("")
	e.RawHeaders = map[string]string{"x-api-key": "key-1"}
	check(t, one(t, p, e), "api_key:ci:service!")

	e = httpCall("")
	e.Transport, e.HostName, e.OSUser = event.TransportStdio, "laptop-7", "alice"
	check(t, one(t, p, e), "os_user:alice@example.com:user!")
	e.HostName = "other"
	check(t, one(t, p, e), "os_user:alice@other:user!", SignalUnknownOwner)
	e.OSUser = "mallory"
	check(t, one(t, p, e), "os_user:mallory:user!", SignalSuspendedOwner)

	// A forged token does not name a person, and two verified users at once are a conflict.
	e = httpCall("Bearer " + unsigned(m{"alg": "none"}, standard(nil)))
	if got := one(t, p, e); got.PrincipalTeam != "" || got.PrincipalID != "" || !slices.Equal(got.IdentityClaims, []string{"jwt:u-1"}) {
		t.Errorf("%+v", got.Fields)
	}
	e = jwt("u-1")
	e.Transport, e.HostName, e.OSUser = event.TransportStdio, "x", "mallory"
	check(t, one(t, p, e), "jwt:alice@example.com:user!", SignalConflict)
}

func TestDirectoryReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "people.csv")
	write := func(s string) {
		t.Helper()
		tmp := file + ".new"
		if err := os.WriteFile(tmp, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, file); err != nil {
			t.Fatal(err)
		}
	}
	write("id,team,os_users\nalice,red,alice\n")
	p := newTest(t, func(c *Config) { c.Directory.File = file })
	team := func() string {
		e := httpCall("")
		e.Transport, e.OSUser = event.TransportStdio, "alice"
		return one(t, p, e).PrincipalTeam
	}
	reload := func() error { _, err := p.directory.Check(); return err }
	if team() != "red" {
		t.Fatal(team())
	}
	write("id,team,os_users\nalice,blue,alice\n")
	if err := reload(); err != nil || team() != "blue" {
		t.Fatal(err, team())
	}
	write("id,team,os_users\nalice,green,alice,secret-value\n")
	if err := reload(); err == nil || strings.Contains(err.Error(), "secret-value") || team() != "blue" {
		t.Fatal(err, team())
	}
	write("id,team,os_users\nalice,green,alice\n")
	if err := reload(); err != nil || team() != "green" {
		t.Fatal(err, team())
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := reload(); err == nil || team() != "green" {
		t.Fatal(err, team())
	}
	// At start it must be good.
	cfg := *p.cfg
	q, err := newProcessor(&cfg, p.set)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.start(context.Background(), nil); err == nil {
		t.Error("started without its directory")
	}
	q.shutdown(context.Background())
}

// The file is followed in the background.
func TestDirectoryIsWatched(t *testing.T) {
	file := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(file, []byte("id\na\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newTest(t, func(c *Config) { c.Directory.File = file; c.Directory.ReloadInterval = time.Second })
	if err := os.WriteFile(file, []byte("id\na\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if p.directory.Current().Len() == 2 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the change was not seen")
}

func TestTenants(t *testing.T) {
	p := newTest(t, func(c *Config) {
		c.Bindings = []BindingConfig{
			{Credential: strings.Repeat("a", 32), Tenant: "acme"},
			{Attribute: "k8s.namespace.name", Value: "globex-prod", Tenant: "globex"},
			{Tap: "initech-1", Tenant: "initech"},
		}
	})
	f := func(change func(*event.Event), want string, mismatch bool) {
		t.Helper()
		e := httpCall("")
		e.Transport = "unknown"
		change(&e)
		got := one(t, p, e)
		if got.Tenant != want {
			t.Errorf("tenant %s, want %s", got.Tenant, want)
		}
		if _, sig := got.Signals[SignalTenantMismatch]; sig != mismatch || slices.Contains(got.Anomalies, AnomalyTenantMismatch) != mismatch {
			t.Errorf("mismatch: signals %v, anomalies %v", got.Signals, got.Anomalies)
		}
	}
	f(func(*event.Event) {}, "default", false)
	f(func(e *event.Event) { e.Tenant = "free" }, "free", false)
	f(func(e *event.Event) { e.SourceCredential, e.Tenant = strings.Repeat("a", 32), "default" }, "acme", false)
	f(func(e *event.Event) { e.SourceCredential = strings.Repeat("a", 32) }, "acme", false)
	f(func(e *event.Event) { e.SourceCredential, e.Tenant = strings.Repeat("a", 32), "acme" }, "acme", false)
	f(func(e *event.Event) { e.SourceCredential, e.Tenant = strings.Repeat("a", 32), "globex" }, "acme", true)
	f(func(e *event.Event) { e.SourceCredential, e.TapID = strings.Repeat("a", 32), "initech-1" }, "acme", true)
	f(func(e *event.Event) { e.Extra = map[string]string{"k8s.namespace.name": "globex-prod"} }, "globex", false)
	f(func(e *event.Event) {
		e.Extra, e.Tenant = map[string]string{"k8s.namespace.name": "globex-prod"}, "free"
	}, "globex", true)
	f(func(e *event.Event) { e.TapID = "initech-1" }, "initech", false)
	f(func(e *event.Event) { e.Tenant = "acme" }, "default", true) // takes events of enrolled senders only
	f(func(e *event.Event) { e.Anomalies, e.Tenant = []string{"x"}, "acme" }, "default", true)
}

func TestConversations(t *testing.T) {
	p := newTest(t, nil)
	f := func(change func(*event.Event)) event.Event {
		t.Helper()
		e := httpCall("Bearer t")
		change(&e)
		return one(t, p, e)
	}
	first := f(func(*event.Event) {})
	if first.ConversationID == "" || !first.ConversationInferred {
		t.Fatalf("%+v", first.Fields)
	}
	same := func(want bool, change func(*event.Event)) {
		t.Helper()
		if got := f(change); (got.ConversationID == first.ConversationID) != want {
			t.Errorf("conversation %s, first %s", got.ConversationID, first.ConversationID)
		}
	}
	later := func(d time.Duration) func(*event.Event) {
		return func(e *event.Event) { e.Time, e.Received = at.Add(d).UnixNano(), at.Add(d).UnixNano() }
	}
	same(true, later(-5*time.Minute)) // late arrivals join
	same(true, later(29*time.Minute))
	same(true, later(58*time.Minute))
	same(true, later(time.Second)) // delivered again
	same(false, later(89*time.Minute))
	same(false, func(e *event.Event) { e.Server = "mail" })
	same(false, func(e *event.Event) { e.ClientName = "other" })
	same(false, func(e *event.Event) { e.RawAuthorization = "Bearer u" })

	if e := f(func(e *event.Event) { e.ConversationID = "own" }); e.ConversationID != "own" || e.ConversationInferred {
		t.Errorf("%+v", e.Fields)
	}
	a, b := f(func(e *event.Event) { e.SessionID = "s" }), f(func(e *event.Event) { e.SessionID = "s"; later(5 * time.Hour)(e) })
	if a.ConversationID != b.ConversationID || a.ConversationInferred {
		t.Errorf("session: %+v", a.Fields)
	}
	trace := func(e *event.Event) { e.TraceID = [16]byte{1} }
	a, b = f(trace), f(func(e *event.Event) { trace(e); later(5 * time.Hour)(e) })
	if a.ConversationID != b.ConversationID || !a.ConversationInferred || a.ConversationID == first.ConversationID {
		t.Errorf("trace: %+v", a.Fields)
	}
	stdio := func(pid int64) func(*event.Event) {
		return func(e *event.Event) { e.Transport, e.PID, e.RawAuthorization = event.TransportStdio, pid, "" }
	}
	a, b = f(stdio(1)), f(stdio(2))
	if a.ConversationID == b.ConversationID || a.ConversationInferred {
		t.Errorf("process: %+v", a.Fields)
	}
}

func TestTablesAreBounded(t *testing.T) {
	p := newTest(t, func(c *Config) { c.Tables = TablesConfig{Tokens: 10, Exchanges: 10, Conversations: 10} })
	for i := range 1000 {
		e := httpCall("Bearer " + strings.Repeat("x", i))
		e.ID, e.ExchangeID = event.SourceID(e.RawAuthorization), event.SourceID(e.RawAuthorization)
		one(t, p, e)
	}
	if a, b, c := p.credentials.Len(), p.exchanges.Len(), p.conversations.open.Len(); a > 10 || b > 10 || c > 10 {
		t.Error(a, b, c)
	}
}

// Batches come from several workers at once.
func TestConcurrently(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "r"))
	dir := withDirectory(t, people)
	p := newTest(t, func(c *Config) { withIssuer(is)(c); dir(c) })
	token := "Bearer " + sign(t, jose.RS256, rsaKey, "r", standard(nil))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				q := httpCall(token)
				for _, e := range run(t, p, q, answerTo(q, 200), httpCall("")) {
					if e.Tool == "" {
						t.Error("lost a field")
					}
				}
				p.directory.Check()
			}
		})
	}
	for range 10 {
		p.issuers[testIssuer].Keys.Refresh(context.Background())
	}
	wg.Wait()
}

// A tap that was given no tenant says "default": the collector's own default owns its events then.
func TestDefaultTenant(t *testing.T) {
	p := newTest(t, func(c *Config) { c.DefaultTenant = "acme" })
	for named, want := range map[string]string{"": "acme", event.DefaultTenant: "acme", "acme": "acme", "globex": "globex"} {
		e := httpCall("")
		e.Tenant = named
		got := one(t, p, e)
		if _, mismatch := got.Signals[SignalTenantMismatch]; got.Tenant != want || mismatch {
			t.Errorf("%q: tenant %s, want %s; mismatch %v", named, got.Tenant, want, mismatch)
		}
	}
}
