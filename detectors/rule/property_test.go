package rule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// picker draws parts of rules and events.
type picker struct{ r *rand.Rand }

func (p picker) of(list ...string) string { return list[p.r.IntN(len(list))] }
func (p picker) n(n int) int              { return p.r.IntN(n) }

var (
	someTools   = []string{"read", "Write", "drop", "send", "list", "İstanbul", ""}
	someClasses = []string{"email", "card", "jwt", "iban"}
	someSignals = []string{"injection", "hidden_text", "ssrf"}
	someServers = []string{"files", "mail", "prod-db"}
)

// condition is a random one, of depth at most d.
func (p picker) condition(d int) string {
	if d > 0 {
		switch p.n(6) {
		case 0, 1:
			return "(" + p.condition(d-1) + ") and (" + p.condition(d-1) + ")"
		case 2:
			return "(" + p.condition(d-1) + ") or (" + p.condition(d-1) + ")"
		case 3:
			return "not (" + p.condition(d-1) + ")"
		}
	}
	q := func(s string) string { return "'" + s + "'" }
	switch p.n(20) {
	case 0:
		return "tool == " + q(p.of(someTools...))
	case 1:
		return q(p.of(someTools...)) + " == lower(tool)"
	case 2:
		return "lower(tool) in [" + q(p.of(someTools...)) + ", " + q(strings.ToLower(p.of(someTools...))) + "]"
	case 3:
		return q(p.of(someClasses...)) + " in data_classes"
	case 4:
		return "any(data_classes, # in [" + q(p.of(someClasses...)) + ", " + q(p.of(someClasses...)) + "])"
	case 5:
		return "signals." + p.of(someSignals...) + p.of(" > 0.5", " >= 0.5", " < 0.5", " > -1", " >= 0")
	case 6:
		return q(p.of(someSignals...)) + " in signals"
	case 7:
		return p.of("principal_verified", "not principal_verified", "principal_verified == true", "false == principal_verified", "true", "false")
	case 8:
		return "tool startsWith " + q(p.of("r", "W", ""))
	case 9:
		return "tool in names"
	case 10:
		return "tokens_result > " + fmt.Sprint(p.n(50))
	case 11:
		return "event_name == " + q(p.of("mcp.request", "mcp.response"))
	case 12:
		return "server != " + q(p.of(someServers...))
	case 13:
		return p.of("tool", "lower(tool)", "event_name", "lower(server)") + " matches " + q(p.of("^r|db$", "WRITE|request$", "i.stanbul", "", "(^|-)prod(-|$)"))
	case 14:
		return p.of("tokens_result", "cost_amount", "tokens_result + 1") + p.of(" > ", " >= ", " < ", " <= ", " == ") + p.of("20", "20.5", "0", "-1", "0.25", "9223372036854775807")
	case 15:
		return "signals." + p.of(someSignals...) + " + signals." + p.of(someSignals...) + " + signals." + p.of(someSignals...) + p.of(" > 0.3", " >= 1", " < 0.9", " <= 0", " > 0")
	case 16:
		return p.of("tool", "event_name", "server") + " != " + q(p.of("", "read", "mcp.request", "mail"))
	}
	return "kind in ['request', 'response']"
}

func (p picker) rule(i int) string {
	text := fmt.Sprintf("schema: mcpsiem.rule/v1\nid: rule_%03d\nversion: 1.0.0\ntitle: T\nseverity: low\nsummary: \"{tool} {count}\"\n", i)
	when := func() string { return fmt.Sprintf("%q", p.condition(3)) }
	if p.n(4) == 0 {
		text += "except: " + when() + "\n"
	}
	switch p.n(6) {
	case 0:
		return text + "kind: threshold\nwhen: " + when() + "\ngroup_by: [server]\nwindow: 1m\nthreshold: {aggregate: value_count, of: [tool], gte: 3}\n"
	case 1:
		return text + "kind: sequence\nwindow: 1m\ngroup_by: [principal_id]\nsteps: [{when: " + when() + "}, {when: " + when() + "}]\n"
	case 2:
		return text + "kind: absence\nwindow: 1m\nwhen: " + when() + "\nabsent: {when: " + when() + "}\n"
	case 3:
		return text + "kind: first_seen\nwhen: " + when() + "\nfirst_seen: {of: [tool, server], learn: 10s}\n"
	case 4:
		return text + "kind: threshold\nwhen: " + when() + "\nwindow: 1m\nthreshold: {aggregate: event_count, lt: 3}\n"
	}
	return text + "kind: event\nwhen: " + when() + "\ngroup_by: [tool]\ndedup: 1m\n"
}

const someMacros = "schema: mcpsiem.macros/v1\nlists: {names: [read, drop]}\n"

func (p picker) event(i int) *event.Event {
	e := &event.Event{Name: p.of("mcp.request", "mcp.response"), Time: 1_767_600_000e9 + int64(i)*2e9 - int64(p.n(20))*1e9}
	e.Received = e.Time
	e.ID = event.SourceID(fmt.Sprint(i))
	e.Kind = p.of("request", "response", "error")
	e.Tool, e.Server, e.PrincipalID = p.of(someTools...), p.of(someServers...), p.of("alice", "bob")
	e.PrincipalVerified = p.n(2) == 0
	e.TokensResult = int64(p.n(60))
	e.CostAmount = float64(p.n(3)) / 4
	for range p.n(3) {
		e.DataClasses = append(e.DataClasses, p.of(someClasses...))
	}
	if p.n(2) == 0 {
		e.Signals = map[string]float64{p.of(someSignals...): float64(p.n(10)) / 10}
		e.Signals[p.of(someSignals...)] = float64(p.n(10)) / 10
	}
	return e
}

func ruleSet(t testing.TB, p picker, n int) *Set {
	docs := []Document{{Name: "macros", Text: []byte(someMacros)}}
	for i := range n {
		docs = append(docs, Document{Name: fmt.Sprint(i), Text: []byte(p.rule(i))})
	}
	s, problems := Parse(docs)
	if len(problems) > 0 {
		t.Fatal(problems[0])
	}
	return s
}

func newEngine(t testing.TB, s *Set, indexed bool) *engine.Engine {
	in, sel, err := s.Instances()
	if err != nil {
		t.Fatal(err)
	}
	if !indexed {
		sel = nil
	}
	g, err := engine.New(engine.Settings{Rules: in, Select: sel, Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func take(ld plog.Logs) (out []string) {
	for i := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(i)
		for j := range rl.ScopeLogs().Len() {
			recs := rl.ScopeLogs().At(j).LogRecords()
			for k := range recs.Len() {
				var f finding.Finding
				finding.Decode(rl.Resource(), recs.At(k), &f)
				out = append(out, fmt.Sprint(f.ID, f.RuleID, f.Severity, f.Summary, f.Count, f.EventIDs, f.Why))
			}
		}
	}
	return out
}

// What 500 rules raise does not depend on the index.
func TestIndexChangesNothing(t *testing.T) {
	for seed := range uint64(4) {
		p := picker{rand.New(rand.NewPCG(seed, 7))}
		s := ruleSet(t, p, 500)
		found := 0
		for _, r := range s.Rules {
			if r.Indexed() {
				found++
			}
		}
		with, without := newEngine(t, s, true), newEngine(t, s, false)
		var a, b []string
		for i := range 300 {
			e := p.event(i)
			x, y := *e, *e
			with.ApplyEvent(&x)
			without.ApplyEvent(&y)
			a, b = append(a, take(with.Findings())...), append(b, take(without.Findings())...)
		}
		if !slices.Equal(a, b) {
			t.Fatalf("seed %d: %d findings with the index, %d without", seed, len(a), len(b))
		}
		if len(a) < 500 || found < 100 {
			t.Errorf("seed %d: %d findings of %d indexed rules test too little", seed, len(a), found)
		}
		_, stats := with.Stats()
		for _, d := range stats {
			if d.Panics > 0 {
				t.Errorf("%s panicked", d.ID)
			}
		}
	}
}

// A condition is true where the expression alone says so: the clauses taken from it are necessary, and exact where they say so.
func TestClausesAreNecessary(t *testing.T) {
	ns := &names{lists: map[string][]string{"names": {"read", "drop"}}}
	rapid.Check(t, func(t *rapid.T) {
		p := picker{rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
		src := p.condition(4)
		x, f := compile(src, ns, resultBool)
		if f != nil {
			t.Fatalf("%s: %s", src, f.text)
		}
		var m machine
		for i := range 20 {
			e := p.event(i)
			got := m.truth(x, e)
			out, v := m.run(x, e)
			if v != yes {
				t.Fatalf("%s: no result", src)
			}
			if want := out.(bool); (got == yes) != want {
				t.Fatalf("%s: %v, the expression says %v, clauses %v", src, got, want, x.need)
			}
		}
	})
}

// A rule that stays goes on where it was when others are exchanged around it; one that changes starts anew.
func TestSetRulesKeepsState(t *testing.T) {
	count := func(id, tool string) string {
		return strings.Replace(head, "test_rule", id, 1) + "kind: threshold\nwhen: tool == '" + tool + "'\nwindow: 1h\nthreshold: {aggregate: event_count, gte: 3}\nsummary: \"{count}\"\n"
	}
	wait := strings.Replace(head, "test_rule", "waits", 1) + "kind: absence\nwhen: tool == 'w'\nabsent: {when: \"tool == 'z'\"}\nwindow: 1m\nsummary: x\n"
	g := newEngine(t, parse(t, count("keep", "a")+"---\n"+count("change", "a")+"---\n"+count("gone", "a")+"---\n"+wait), true)
	n := 0
	apply := func(tool string, seconds int64) []string {
		n++
		e := &event.Event{Name: "mcp.request", Time: 1_767_600_000e9 + seconds*1e9}
		e.Received, e.Tool, e.ID = e.Time, tool, event.SourceID(fmt.Sprint(n))
		g.ApplyEvent(e)
		return take(g.Findings())
	}
	apply("a", 0)
	apply("a", 1)
	apply("w", 2)
	set := parse(t, count("change", "A")+"---\n"+count("added", "a")+"---\n"+strings.Replace(count("keep", "a"), "title: Test", "title: Other", 1)+"---\n"+wait)
	in, sel, err := set.Instances()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetRules(in, sel); err != nil {
		t.Fatal(err)
	}
	if got := apply("a", 3); len(got) != 1 || !strings.Contains(got[0], "keep") {
		t.Errorf("%v", got)
	}
	if got := apply("x", 200); len(got) != 1 || !strings.Contains(got[0], "waits") {
		t.Errorf("the timer is lost: %v", got)
	}
	if err := g.SetRules(append(in, in[0]), sel); err == nil {
		t.Error("a rule that is listed twice is taken")
	}
	apply("a", 201)
	if got := apply("a", 202); len(got) != 1 || !strings.Contains(got[0], "added") {
		t.Errorf("after the refusal: %v", got)
	}
}

// An event that would cost too much is not judged; after too many of them the rule is off, at the same event every time.
func TestOverBudget(t *testing.T) {
	s := parse(t, head+"kind: event\nwhen: any(data_classes, lower(#) matches 'x+y')\nsummary: x\n")
	g := newEngine(t, s, true)
	h := s.Rules[0].Health()
	apply := func(i, n int) int {
		e := &event.Event{Name: "mcp.request", Time: 1_767_600_000e9 + int64(i)}
		e.Received, e.ID = e.Time, event.SourceID(fmt.Sprint(i))
		e.DataClasses = make([]string, n)
		e.DataClasses[0] = "xy"
		g.ApplyEvent(e)
		return len(take(g.Findings()))
	}
	if apply(0, 10) != 1 || apply(1, 100_000) != 0 || h.OverBudget.Load() != 1 || h.Disabled.Load() {
		t.Fatalf("%d over budget, disabled %v", h.OverBudget.Load(), h.Disabled.Load())
	}
	for i := range 3 * strikesPerPardon {
		if apply(10+i, 10) != 1 {
			t.Fatal("a good event is not judged")
		}
	}
	for i := range maxStrikes {
		if h.Disabled.Load() {
			t.Fatalf("off after %d", i)
		}
		apply(1000+i, 100_000)
	}
	if !h.Disabled.Load() || apply(2000, 10) != 0 {
		t.Error("is not off")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "kind: event\nwhen: any(data_classes, # == 'x')\nsummary: \"{tool}\"\n"))
	f.Add([]byte(head + "kind: sequence\nwindow: 1m\nsteps: [{when: tool == 'x'}, {when: true, by: [a]}]\nsummary: x\n"))
	f.Add([]byte(someMacros + "macros: {a: b, b: a}\noverrides: {x: {except: a}}\n"))
	f.Add([]byte("a: &a [*a, *a]\n"))
	f.Add([]byte(head + "kind: threshold\nwhen: 'let x = tool; x matches \"(a+)+$\"'\nthreshold: {aggregate: percentile, of: [body_size], percentile: 50, lt: 1e400}\nwindow: 1m\nsummary: x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, _ := Parse([]Document{{Name: "f", Text: text}})
		g := newEngine(t, s, true)
		p := picker{rand.New(rand.NewPCG(1, 2))}
		for i := range 20 {
			g.ApplyEvent(p.event(i))
		}
		_, stats := g.Stats()
		for _, d := range stats {
			if d.Panics > 0 {
				t.Errorf("%s panicked", d.ID)
			}
		}
	})
}
