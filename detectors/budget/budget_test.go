package budget

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	rules "github.com/mcpsiem/mcpsiem/internal/budget"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

// run gives the detector events and returns the findings' titles, whatever their rule.
func run(t *testing.T, file string, events ...event.Event) (out []finding.Finding, g *engine.Engine) {
	t.Helper()
	in, err := Definition.New(map[string]any{"file": file})
	if err != nil {
		t.Fatal(err)
	}
	g, err = engine.New(engine.Settings{Detectors: []engine.Instance{in}})
	if err != nil {
		t.Fatal(err)
	}
	return apply(g, events...), g
}

func apply(g *engine.Engine, events ...event.Event) (out []finding.Finding) {
	ld := plog.NewLogs()
	recs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range events {
		events[i].Encode(recs.AppendEmpty())
	}
	g.Apply(ld)
	raised := g.Findings()
	for _, lr := range raised.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
		var f finding.Finding
		finding.Decode(raised.ResourceLogs().At(0).Resource(), lr, &f)
		out = append(out, f)
	}
	return out
}

func spent(i int, user string, tokens int64, cost float64) event.Event {
	e := event.Event{Time: 1_767_600_000e9 + int64(i), Received: 1_767_600_000e9 + int64(i)}
	e.ID, e.Tenant, e.PrincipalID, e.PrincipalTeam = event.SourceID(strconv.Itoa(i)), "acme", user, "research"
	e.TokensResult, e.CostAmount, e.CostCurrency = tokens, cost, "USD"
	return e
}

// More subjects than are followed are said to be, once, and what is followed stays right.
func TestSubjectsAreBounded(t *testing.T) {
	var events []event.Event
	for i := range maxAccounts + 100 {
		events = append(events, spent(i, "user-"+strconv.Itoa(i), 1, 0))
	}
	events = append(events, spent(1_000_000, "user-7", 9999, 0))
	got, g := run(t, "testdata/budgets.yaml", events...)
	if len(got) != 2 || got[0].Title != "More budget subjects than are followed" || got[1].Why["spent"] != "10000" {
		t.Errorf("%+v", got)
	}
	snap, err := g.Snapshot(engine.Position{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a snapshot of %d accounts: %d bytes", maxAccounts, len(snap))
}

// Amounts that make no sense change nothing, and leave a state that can be saved.
func TestSenselessAmounts(t *testing.T) {
	var events []event.Event
	for i, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -5, math.MaxFloat64, math.MaxFloat64, 1e13} {
		events = append(events, spent(i, "u", math.MaxInt64, v), spent(100+i, "u", math.MinInt64, v))
	}
	got, g := run(t, "testdata/budgets.yaml", events...)
	if len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := g.Snapshot(engine.Position{}); err != nil {
		t.Error(err)
	}
}

func TestFileMustBeGoodAtTheStart(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		if _, err := Definition.New(map[string]any{"file": path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("version: x\nbudgets:\n  - {name: a}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("/does/not/exist", "cannot read budgets")
	f(bad, "line 3")
	in, err := Definition.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := engine.New(engine.Settings{Detectors: []engine.Instance{in}})
	if err != nil {
		t.Fatal(err)
	}
	if got := apply(g, spent(1, "u", 1e9, 1e9)); len(got) != 0 {
		t.Errorf("without a file: %+v", got)
	}
}

func TestBroken(t *testing.T) {
	a := Broken("abcd", errors.New("line 3: period must be day or month\nline 4: \x1b[31m"))
	if len(a.Evidence) != 2 || a.Evidence[0] != "line 3: period must be day or month" || strings.Contains(a.Evidence[1], "\x1b") || a.Scope[1] != "abcd" {
		t.Errorf("%+v", a)
	}
}

// A changed file is taken up; a broken one is said once and leaves the budgets as they are.
func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "budgets.yaml")
	now := time.Now()
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	const head = "version: x\ncurrency: USD\nbudgets:\n  - {name: r, team: research, period: day, warn: [0.5], money: "
	write(head + "100}")
	f, err := rules.OpenAt(path, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	def := engine.Define(Definition.Spec, Config{}, func(Config) (engine.Detector[state], error) { return &detector{f}, nil })
	in, err := def.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := engine.New(engine.Settings{Detectors: []engine.Instance{in}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	check := func(cost float64, want ...string) {
		t.Helper()
		n++
		var got []string
		for _, f := range apply(g, spent(n, "u", 0, cost)) {
			got = append(got, f.Title+" "+f.Why["limit"])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	check(60, "Budget nearly spent 100")
	write(head + "[}")
	check(1, "Budget file cannot be used ")
	check(1)
	write(head + "100, perod: 5}")
	check(1, "Budget file cannot be used ")
	check(40, "Budget exceeded 100")
	write(head + "200}") // 103 of 200
	check(0.5, "Budget nearly spent 200")
	check(1)
	write("version: x\n")
	check(1000)
}
