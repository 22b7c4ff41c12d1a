package tokens

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/schemas/prices"
)

func TestBuiltInPrices(t *testing.T) {
	tab, err := parsePrices(prices.Default)
	if err != nil {
		t.Fatal(err)
	}
	f := func(model, day string, input, output, cached float64) {
		t.Helper()
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		switch p := tab.find(model, at.UnixNano()); {
		case p == nil && input == 0:
		case p == nil:
			t.Errorf("%s has no price", model)
		case p.input != input || p.output != output || p.cached != cached:
			t.Errorf("%s: %v, %v, %v", model, p.input, p.output, p.cached)
		}
	}
	f("claude-opus-4-5-20251101", "2026-11-20", 5, 25, 0.5)
	f("claude-opus-5-5", "2026-11-20", 4, 20, 0.2)
	f("claude-opus-5", "2026-11-20", 5, 25, 0.5)
	f("claude-fable-5-1", "2026-11-20", 10, 50, 0.25)
	f("claude-fable-5", "2026-11-20", 10, 50, 1)
	f("claude-sonnet-5-5", "2026-10-06", 2, 10, 0.2)
	f("claude-sonnet-5-5", "2026-10-07", 2, 10, 0.1)
	f("claude-sonnet-4-5-20250929", "2026-01-01", 3, 15, 0.3)
	f("gpt-5.4-mini", "2026-11-20", 0.75, 4.5, 0.075)
	f("gpt-5.4-2026-03-05", "2026-11-20", 2.5, 15, 0.25)
	f("gpt-4o-2024-11-20", "2026-11-20", 2.5, 10, 1.25)
	f("gpt-4o-mini-2024-07-18", "2026-11-20", 0.15, 0.6, 0.075)
	f("gpt-4o-audio-preview", "2026-11-20", 0, 0, 0)
	f("gpt-5-2025-08-07", "2026-11-20", 1.25, 10, 1.25)
	f("gpt-5-pro", "2026-11-20", 0, 0, 0)
	f("gpt-5.4-pro", "2026-11-20", 0, 0, 0)
	f("claude-haiku-5-5", "2026-11-20", 0, 0, 0)
	f("unknown", "2026-11-20", 0, 0, 0)
}

func TestPriceFileFailures(t *testing.T) {
	f := func(file, want string) {
		t.Helper()
		_, err := parsePrices([]byte(file))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	const head = "version: \"1\"\ncurrency: EUR\nprices:\n"
	f("", "not a price file")
	f("version: [", "not a price file")
	f("currency: EUR", "version is required")
	f("version: \"1\"\npricess: []", "pricess")
	f(head+"- {model: m, input: 1, source: s}", "prices[0]: model, input and output")
	f(head+"- {input: 1, output: 1, source: s}", "prices[0]: model, input and output")
	f(head+"- {model: m, input: 1, output: 1}", "source is required")
	f(head+"- {model: m, input: -1, output: 1, source: s}", "not between 0")
	f(head+"- {model: m, input: .nan, output: 1, source: s}", "not between 0")
	f(head+"- {model: m, input: .inf, output: 1, source: s}", "not between 0")
	f(head+"- {model: m, input: 1, output: 1, source: s, currency: euro}", "ISO 4217")
	f(head+"- {model: m, input: 1, output: 1, source: s, from: yesterday}", "prices[0]: from")
	f(head+"- {model: m, input: 1, output: 1, source: s, from: 2026-02-01, to: 2026-02-01}", "not before")
	f("version: \"1\"\n---\nversion: \"2\"", "more than one")
	f("version: \""+strings.Repeat("1", 65)+"\"", "longer than")
}

func TestPricesAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prices.yaml")
	write := func(version, row string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte("version: "+version+"\ncurrency: EUR\nprices:\n- {model: m, "+row+", source: contract}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		mod := time.Now().Add(-age)
		if err := os.Chtimes(path, mod, mod); err != nil {
			t.Fatal(err)
		}
	}
	write("one", "input: 1, output: 1000000", 3*time.Hour)
	p, sink := start(t, func(c *Config) { c.PricesFile = path; c.DefaultModel = "M" })
	n := float64(tokensOf(t, `{"q":"some words to search for"}`))
	check := func(version string, amount float64) {
		t.Helper()
		e := enrich(t, p, sink, call, map[string]any{event.AttrMethod: "tools/call"})
		if !strings.HasPrefix(e.CostPriceVersion, version+"+") || e.CostAmount != amount || e.CostCurrency != "EUR" {
			t.Errorf("%v %s by %s, want %v by %s", e.CostAmount, e.CostCurrency, e.CostPriceVersion, amount, version)
		}
	}
	check("one", n)

	cfg := createDefaultConfig().(*Config)
	cfg.PricesFile = path
	tel, err := newTelemetry(nopTelemetry())
	if err != nil {
		t.Fatal(err)
	}
	l, err := newPriceList(cfg, tel)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	version := func(after time.Duration, want string) {
		t.Helper()
		if got := l.table(now.Add(after)).version; !strings.HasPrefix(got, want+"+") {
			t.Errorf("after %s prices are %s, want %s", after, got, want)
		}
	}
	version(0, "one")
	write("two", "input: 2, output: 2", 2*time.Hour)
	version(cfg.PricesInterval-1, "one") // not looked at yet
	version(cfg.PricesInterval, "two")
	write("three", "input: x, output: 2", time.Hour)
	version(2*cfg.PricesInterval, "two") // broken: as it was
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	version(3*cfg.PricesInterval, "two")
	write("four", "input: 2, output: 2", 0)
	version(4*cfg.PricesInterval, "four")
}

func TestGlob(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		if got := newGlob(pattern).matches(name); got != want {
			t.Errorf("%q matches %q: %v", pattern, name, got)
		}
	}
	f("", "anything", true)
	f("*", "", true)
	f("a", "a", true)
	f("A", "a", true)
	f("a", "ab", false)
	f("a*", "ab", true)
	f("a*", "ba", false)
	f("*b", "ab", true)
	f("a*b*c", "a-b-c", true)
	f("a*b*c", "ac", false)
	f("ab*ba", "aba", false)
	f("*a*a*", "a", false)
	f("*a*b*", "xbxa", false)
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune("ab*")), 1, 8, -1).Draw(t, "pattern")
		name := rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 0, 8, -1).Draw(t, "name")
		if got, want := newGlob(pattern).matches(name), slowMatch(pattern, name); got != want {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func slowMatch(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return slowMatch(pattern[1:], name) || name != "" && slowMatch(pattern, name[1:])
	}
	return name != "" && name[0] == pattern[0] && slowMatch(pattern[1:], name[1:])
}
