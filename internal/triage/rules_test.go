package triage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr/vm"

	"github.com/mcpsiem/mcpsiem/internal/finding"
)

const someRules = `version: 1
allow:
  - {id: one, rule: argument_injection, server: "shell-*", severity: [low, medium], owner: ann, reason: tests, created: 2026-01-01, expires: 2026-02-01}
  - {id: two, when: 'why["kind"] == "template" && count < 5 && principal startsWith "bot-"', owner: bob, reason: templates, created: 2026-01-01, expires: 2026-12-31}
maintenance:
  - {id: once, tenant: acme, owner: ops, reason: release, from: 2026-03-01T20:00:00Z, to: 2026-03-02T04:00:00Z}
  - {id: sundays, server: backup, owner: ops, reason: backup, from: 2026-01-01, to: 2026-12-31, weekly: {days: [sunday], start: "23:00", end: "02:00", zone: Europe/Berlin}}
`

func rules(t testing.TB, text string) *Rules {
	t.Helper()
	r, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestJudge(t *testing.T) {
	r := rules(t, someRules)
	var machine vm.VM
	at := func(s string) int64 {
		t.Helper()
		x, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return x.UnixNano()
	}
	f := func(name, when, want string, edit func(*finding.Finding)) {
		t.Helper()
		x := finding.Finding{Time: at(when), Fields: finding.Fields{RuleID: "argument_injection", Tenant: "acme", Server: "shell-1", Severity: "low", PrincipalID: "bot-7", Count: 1}}
		if edit != nil {
			edit(&x)
		}
		for range 2 {
			v, _ := r.Judge(&x, &machine)
			if got, _, _ := strings.Cut(v.By, " ("); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	const in = "2026-01-15T12:00:00Z"
	f("fits", in, "allow-list: one", nil)
	f("at its creation", "2026-01-01T00:00:00Z", "allow-list: one", nil)
	f("before its creation", "2025-12-31T23:59:59Z", "", nil)
	f("last moment", "2026-01-31T23:59:59Z", "allow-list: one", nil)
	f("expired", "2026-02-01T00:00:00Z", "", nil)
	f("other rule", in, "", func(x *finding.Finding) { x.RuleID = "other" })
	f("other server", in, "", func(x *finding.Finding) { x.Server = "a-shell-1" })
	f("worse", in, "", func(x *finding.Finding) { x.Severity = "high" })
	template := func(x *finding.Finding) { x.RuleID, x.Why = "z", map[string]string{"kind": "template"} }
	f("condition", in, "allow-list: two", template)
	f("condition not met", in, "", func(x *finding.Finding) { template(x); x.Count = 5 })
	f("condition on what is absent", in, "", func(x *finding.Finding) { x.RuleID = "z" })
	f("maintenance", "2026-03-01T23:00:00Z", "maintenance: once", nil)
	f("before maintenance", "2026-03-01T19:59:59Z", "", nil)
	f("after maintenance", "2026-03-02T04:00:00Z", "", nil)
	f("maintenance of another tenant", "2026-03-01T23:00:00Z", "", func(x *finding.Finding) { x.Tenant = "other" })
	backup := func(x *finding.Finding) { x.RuleID, x.Server = "z", "backup" }
	f("Sunday night", "2026-06-07T21:30:00Z", "maintenance: sundays", backup) // 23:30 in Berlin
	f("the Monday after it", "2026-06-07T23:30:00Z", "maintenance: sundays", backup)
	f("Monday, too late", "2026-06-08T00:00:00Z", "", backup)
	f("Sunday, too early", "2026-06-07T20:59:00Z", "", backup)
	f("Saturday night", "2026-06-06T21:30:00Z", "", backup)
	f("Sunday in winter", "2026-01-11T22:00:00Z", "maintenance: sundays", backup)
	f("Sunday in winter, too early", "2026-01-11T21:59:00Z", "", backup)
	if _, ok := (*Rules)(nil).Judge(&finding.Finding{}, &machine); ok {
		t.Error("no rules suppress")
	}
}

func TestRefusedFiles(t *testing.T) {
	entry := func(s string) string {
		return "version: 1\nallow:\n  - {" + s + "}\n"
	}
	const good = `id: a, rule: r, owner: o, reason: why, created: 2026-01-01, expires: 2026-02-01`
	rules(t, entry(good))
	f := func(text, want string) {
		t.Helper()
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	without := func(part string) string { return entry(strings.Replace(good, part, "", 1)) }
	f("allow: []\n", "version must be 1")
	f("version: 2\n", "version must be 1")
	f("version: 1\nextra: 1\n", "extra")
	f("version: [", "no allow-list")
	f(without("id: a, "), "id must be set")
	f(without("owner: o, "), "owner and reason")
	f(without("reason: why, "), "owner and reason")
	f(without("created: 2026-01-01, "), "created and expires")
	f(without(", expires: 2026-02-01"), "created and expires")
	f(without("rule: r, "), "nearly everything")
	f(entry(strings.Replace(good, "rule: r", `rule: "*"`, 1)), "nearly everything")
	f(entry(strings.Replace(good, "2026-02-01", "2028-02-01", 1)), "within a year")
	f(entry(strings.Replace(good, "2026-02-01", "2025-02-01", 1)), "before created")
	f(entry(good+", severity: [bad]"), "severity")
	f(entry(good+", group: 12"), "group")
	f(entry(good+", when: 'rule =='"), "when")
	f(entry(good+", when: 'rule'"), "when")
	f(entry(good+", when: 'secret == 1'"), "when")
	f(entry(good+", when: 'now().Year() > 1'"), "when")
	f(entry(good+", when: '"+strings.Repeat("true and ", 300)+"true'"), "when")
	f(entry(good)+"  - {"+good+"}\n", "same id")
	window := func(s string) string {
		return "version: 1\nmaintenance:\n  - {id: w, owner: o, reason: r, " + s + "}\n"
	}
	rules(t, window("from: 2026-01-01, to: 2026-01-02"))
	f(window("from: 2026-01-02, to: 2026-01-01"), "from before to")
	f(window("to: 2026-01-01"), "from and to")
	f(window("from: 2026-01-01, to: 2028-01-01"), "within a year")
	f(window(`from: 2026-01-01, to: 2026-02-01, weekly: {days: [], start: "1:00", end: "2:00"}`), "days")
	f(window(`from: 2026-01-01, to: 2026-02-01, weekly: {days: [noday], start: "1:00", end: "2:00"}`), "days")
	f(window(`from: 2026-01-01, to: 2026-02-01, weekly: {days: [mon], start: "25:00", end: "2:00"}`), "start and end")
	f(window(`from: 2026-01-01, to: 2026-02-01, weekly: {days: [mon], start: "01:00", end: "02:00", zone: Moon/Crater}`), "zone")
	if r := rules(t, ""); len(r.Allow) != 0 {
		t.Error("an empty file has rules")
	}
}

func TestLike(t *testing.T) {
	f := func(pattern, s string, want bool) {
		t.Helper()
		if like(pattern, s) != want {
			t.Errorf("like(%q, %q) is not %t", pattern, s, want)
		}
	}
	f("a", "a", true)
	f("a", "ab", false)
	f("*", "", true)
	f("a*", "ab", true)
	f("*b", "ab", true)
	f("a*b", "ab", true)
	f("a*a", "a", false)
	f("a*b*c", "axbxc", true)
	f("a*b*c", "acb", false)
	f("*a*", "bab", true)
	f("**", "x", true)
}

func TestEditing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "allowlist.yaml")
	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	e := Entry{ID: "a", Match: Match{Rule: "r", Server: "s"}, Owner: "ann", Reason: "tested: yes", Created: now, Expires: now.Add(24 * time.Hour)}
	if err := Add(path, e, nil); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, "# a comment of mine\nmaintenance: []\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	e.ID = "b"
	if err := Add(path, e, func() error { return errors.New("no audit") }); err == nil {
		t.Fatal("changed without an audit record")
	}
	if err := Add(path, e, nil); err != nil {
		t.Fatal(err)
	}
	if err := Add(path, e, nil); err == nil || !strings.Contains(err.Error(), "same id") {
		t.Fatalf("a second entry of that id: %v", err)
	}
	if err := End(path, "a", now.Add(time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	if err := End(path, "a", now.Add(2*time.Hour), nil); err == nil {
		t.Error("ended twice")
	}
	if err := End(path, "c", now, nil); !errors.Is(err, ErrNoEntry) {
		t.Errorf("ending what is not there: %v", err)
	}
	r, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Allow) != 2 || !r.Allow[0].Expires.Equal(now.Add(time.Hour)) || !r.Allow[1].Expires.Equal(e.Expires) || r.Allow[1].Reason != e.Reason || r.Allow[1].Server != "s" {
		t.Errorf("the file holds %+v", r.Allow)
	}
	if b, _ := os.ReadFile(path); !strings.Contains(string(b), "# a comment of mine") || !strings.HasPrefix(string(b), "# Findings that are known") {
		t.Errorf("comments are gone:\n%s", b)
	}
	if list := r.Expiring(now, 48*time.Hour); len(list) != 2 || list[0].ID != "a" {
		t.Errorf("expiring: %+v", list)
	}
	if list := r.Expiring(now.Add(2*time.Hour), time.Hour); len(list) != 0 {
		t.Errorf("expiring within an hour: %+v", list)
	}
}

func TestFollowing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "allowlist.yaml")
	f := NewFile(path)
	look := func(name string, wantChange, wantErr bool, wantEntries int) {
		t.Helper()
		s, changed, err := f.Look()
		if changed != wantChange || (err != nil) != wantErr {
			t.Fatalf("%s: changed %t, error %v", name, changed, err)
		}
		if changed && !wantErr && len(s.Rules.Allow) != wantEntries {
			t.Errorf("%s: %d entries", name, len(s.Rules.Allow))
		}
	}
	look("no file", false, false, 0)
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(someRules)
	look("a file", true, false, 2)
	look("the same", false, false, 0)
	write("version: 9\n")
	look("a bad one", true, true, 0)
	look("still bad", false, false, 0)
	write(someRules)
	look("good again", true, false, 2)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look("gone", true, false, 0)
	look("still gone", false, false, 0)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(someRules))
	f.Add([]byte("version: 1\nallow: [{id: a, when: 'all(evidence, # contains rule)'}]"))
	x := finding.Finding{Time: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC).UnixNano(), Fields: finding.Fields{RuleID: "r", Evidence: []string{"e"}, Why: map[string]string{"k": "v"}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		var machine vm.VM
		a, _ := r.Judge(&x, &machine)
		if b, _ := r.Judge(&x, &machine); a != b {
			t.Error("judged differently the second time")
		}
	})
}
