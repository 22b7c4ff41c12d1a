package budget

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const good = `version: "1"
currency: USD
budgets:
  - {name: research, team: research, period: month, money: 200, warn: [0.5, 0.8]}
  - {name: users, user: "*", tenant: acme, period: day, tokens: 2_000_000}
limits:
  - {name: opus, model: "claude-opus-*", principal: "*", tokens_per_minute: 400_000, requests_per_minute: 50}
  - {name: openai, provider: OpenAI, requests_per_minute: 500, warn: 0.9}
`

func TestParse(t *testing.T) {
	r, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.Version, "1+") || len(r.Version) != 10 || len(r.Budgets) != 2 || len(r.Limits) != 2 {
		t.Errorf("%+v", r)
	}
	b := r.Budgets[0]
	if b.Money != 200 || b.Currency != "USD" || len(b.Warn) != 2 || b.Line != 4 {
		t.Errorf("%+v", b)
	}
	if r.Budgets[1].Tokens != 2e6 || r.Budgets[1].Warn[0] != 0.8 || r.Limits[0].Warn != 0.8 || r.Limits[1].Provider != "openai" {
		t.Errorf("%+v", r)
	}
}

func TestParseRefuses(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := Parse([]byte(text))
		if err == nil {
			t.Errorf("accepted:\n%s", text)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q quotes a value", err)
		}
	}
	budget := func(s string) string { return "version: x\ncurrency: USD\nbudgets:\n  - {" + s + "}\n" }
	limit := func(s string) string { return "version: x\nlimits:\n  - {" + s + "}\n" }
	f("", "empty")
	f("[]", "line 1", "mapping")
	f("a: [", "line")
	f("version: x\n---\nversion: y", "more than one")
	f("currency: USD", "line 1", "version is required")
	f("version: x\nbudget: []", "line 2", `no "budget"`, "budgets")
	f("version: x\nversion: y", "version is given twice")
	f("version: x\ncurrency: dollars", "line 2", "ISO 4217")
	f("version: x\nbudgets: {}", "line 2", "list")
	f("version: x\nbudgets:\n  - SECRET", "line 3", "mapping")
	f(budget("team: a, period: day, money: 1"), "line 4", "name is required")
	f(budget("name: a, period: day, money: 1"), "line 4", "one of tenant")
	f(budget("name: a, team: a, money: 1"), "line 4", "period is required")
	f(budget("name: a, team: a, period: SECRET, money: 1"), "line 4", "day or month")
	f(budget("name: a, team: a, period: day"), "line 4", "money or tokens")
	f(budget("name: a, team: a, period: day, money: SECRET"), "line 4", "above 0")
	f(budget("name: a, team: a, period: day, money: -1"), "line 4", "above 0")
	f(budget("name: a, team: a, period: day, money: .nan"), "line 4", "above 0")
	f(budget("name: a, team: a, period: day, money: .inf"), "line 4", "above 0")
	f(budget(`name: a, team: "", period: day, money: 1`), "line 4", "team must be text")
	f(budget("name: a, team: [SECRET], period: day, money: 1"), "line 4", "team must be text")
	f(budget("name: a, team: a, period: day, money: 1, warn: 0.5"), "line 4", "list")
	f(budget("name: a, team: a, period: day, money: 1, warn: [1]"), "line 4", "at most 0.999")
	f(budget("name: a, team: a, period: day, money: 1, warn: [0.8, 0.5]"), "line 4", "ascend")
	f(budget("name: a, team: a, period: day, money: 1}\n  - {name: a, team: b, period: day, money: 1"), "line 5", "line 4")
	f("version: x\nbudgets:\n  - {name: a, team: a, period: day, money: 1}", "line 3", "currency")
	f(limit("name: a, requests_per_minute: 1"), "line 3", "provider or model")
	f(limit("name: a, provider: SECRET, requests_per_minute: 1"), "line 3", "anthropic")
	f(limit("name: a, model: m"), "line 3", "tokens_per_minute or requests")
	f("version: x\nbudgets: [&a {name: a, team: a, period: day, tokens: 1}, *a]", "mapping")
	f("version: x\nbudgets: ["+strings.Repeat("{},", 1001)+"]", "more than 1000")
	f(strings.Repeat("#", maxFile+1), "larger")
	// Several problems are listed at once.
	f("version: x\nbudgets:\n  - {name: a}\n  - {nam: b}", "line 3", "line 4")
}

func TestSubject(t *testing.T) {
	r, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	f := func(i int, s Spender, want string) {
		t.Helper()
		got, ok := r.Budgets[i].Subject(s)
		if got != want || ok != (want != "") {
			t.Errorf("%+v: %q, %v", s, got, ok)
		}
	}
	f(0, Spender{Team: "research", Tenant: "x", User: "u"}, "team research")
	f(0, Spender{Team: "Research"}, "")
	f(0, Spender{}, "")
	f(1, Spender{Tenant: "acme", User: "alice"}, "tenant acme, user alice")
	f(1, Spender{Tenant: "acme"}, "")
	f(1, Spender{Tenant: "other", User: "alice"}, "")
	if s, ok := r.Budgets[0].Only(); !ok || s != (Spender{Team: "research"}) {
		t.Errorf("%+v, %v", s, ok)
	}
	if _, ok := r.Budgets[1].Only(); ok {
		t.Error("a star names nobody")
	}
}

func TestSpan(t *testing.T) {
	f := func(period, at, start, end string) {
		t.Helper()
		x, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		b := Budget{Period: period}
		s, e := b.Span(x.UnixNano())
		if got := time.Unix(0, s).UTC().Format(time.RFC3339); got != start {
			t.Errorf("%s starts %s", at, got)
		}
		if got := time.Unix(0, e).UTC().Format(time.RFC3339); got != end {
			t.Errorf("%s ends %s", at, got)
		}
	}
	f(Day, "2026-03-29T01:30:00+02:00", "2026-03-28T00:00:00Z", "2026-03-29T00:00:00Z")
	f(Day, "2026-03-29T00:00:00Z", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z")
	f(Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")
	f(Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z")
}

func TestState(t *testing.T) {
	f := func(spent float64, want string, threshold float64) {
		t.Helper()
		if s, th := State(spent, 100, []float64{0.5, 0.8}); s != want || th != threshold {
			t.Errorf("%g: %s at %g", spent, s, th)
		}
	}
	f(0, OK, 0)
	f(49.9, OK, 0)
	f(50, Warning, 0.5)
	f(80, Warning, 0.8)
	f(100, Exceeded, 1)
	f(1e9, Exceeded, 1)
}

func TestForecast(t *testing.T) {
	const h = int64(time.Hour)
	f := func(spent, limit, recent float64, now, end, want int64) {
		t.Helper()
		at, ok := Forecast(spent, limit, recent, h, now, end)
		if ok != (want != 0) || at != want {
			t.Errorf("spent %g of %g, %g an hour: %d, %v", spent, limit, recent, at, ok)
		}
	}
	f(50, 100, 10, 2*h, 24*h, 7*h)
	f(50, 100, 1, 2*h, 24*h, 0)     // after the end
	f(100, 100, 10, 2*h, 24*h, 0)   // reached
	f(50, 100, 0, 2*h, 24*h, 0)     // nothing of late
	f(0, 1e300, 1e-300, 1, 24*h, 0) // not a number of ns
}

func TestPatternAndProvider(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		p := NewPattern(pattern, true)
		if p.Match(name) != want {
			t.Errorf("%s matches %s: %v", pattern, name, !want)
		}
	}
	f("", "x", true)
	f("*", "", true)
	f("claude-*", "Claude-Opus", true)
	f("claude-*", "claude", false)
	f("*-opus-*", "claude-opus-5", true)
	f("a*a", "a", false)
	f("a*b*c", "a-b-b-c", true)
	f("exact", "exactly", false)
	if ProviderOf("claude-opus-5-20260724") != "anthropic" || ProviderOf("no-such-model") != "" {
		t.Error("providers")
	}
	l := Limit{Provider: "anthropic", Principal: NewPattern("ci-*", false)}
	if !l.Matches("t", "ci-1", "claude-opus-5") || l.Matches("t", "", "claude-opus-5") || l.Matches("t", "ci-1", "gpt-5.4") || l.Matches("t", "ci-1", "") {
		t.Error("limits")
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "budgets.yaml")
	if _, err := Open(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("nonsense")
	if _, err := Open(path); err == nil {
		t.Fatal("a bad file is accepted at the start")
	}
	write(good)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	f.now = func() time.Time { return now }
	check := func(limits int, problem bool) {
		t.Helper()
		r, hash, err := f.Rules()
		if len(r.Limits) != limits || (err != nil) != problem || (hash != "") != problem {
			t.Errorf("%d limits, %q, %v", len(r.Limits), hash, err)
		}
	}
	write("version: x\n")
	check(2, false) // not looked at yet
	now = now.Add(ReloadInterval)
	check(0, false)
	write("version: [\n")
	now = now.Add(ReloadInterval)
	check(0, true)
	now = now.Add(ReloadInterval)
	check(0, false) // said once
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(ReloadInterval)
	check(0, false)
	write(good)
	now = now.Add(ReloadInterval)
	check(2, false)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("version: x\nbudgets: [&a {name: a}, *a, !!binary x]"))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		for i := range r.Budgets {
			b := &r.Budgets[i]
			if b.Money < 0 || b.Tokens < 0 || b.Money+b.Tokens == 0 || b.Period != Day && b.Period != Month {
				t.Errorf("%+v", b)
			}
			b.Subject(Spender{"t", "t", "u", "s"})
		}
	})
}
