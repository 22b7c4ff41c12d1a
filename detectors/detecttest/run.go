package detecttest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// RunDir runs every fixture of a folder against the detectors, each case as a subtest. A folder without fixtures fails.
func RunDir(t *testing.T, dir string, defs ...engine.Definition) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.detect"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures (*.detect) in %s", dir)
	}
	fired := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Cases {
			t.Run(filepath.Base(name)+"/"+s.Cases[i].Name, func(t *testing.T) {
				raised, problems := s.Check(i, defs)
				for _, p := range problems {
					t.Error(p)
				}
				for _, f := range raised {
					fired[f.RuleID] = true
				}
			})
		}
	}
	for _, d := range defs {
		if !fired[d.Spec.ID] && !t.Failed() {
			t.Errorf("no fixture in %s makes %s fire", dir, d.Spec.ID)
		}
	}
}

// Check runs one case. It returns what the detectors raised and, for people, every way in which that is not what was expected.
func (s *Script) Check(i int, defs []engine.Definition) (raised []finding.Finding, problems []string) {
	c := &s.Cases[i]
	fail := func(line int, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s:%d: ", s.Name, line)+fmt.Sprintf(format, args...))
	}
	if err := s.knownConfig(defs); err != nil {
		fail(1, "%v", err)
		return nil, problems
	}

	// Each event alone, with the expectations.
	g, err := s.engine(defs)
	if err != nil {
		fail(1, "%v", err)
		return nil, problems
	}
	var open []finding.Finding
	last := c.Line
	for _, st := range c.steps {
		last = st.line
		if st.event != nil {
			g.Apply(*st.event)
			now := findings(g.Findings())
			open = append(open, now...)
			raised = append(raised, now...)
			continue
		}
		open = match(open, st.expect, fail)
		for i := range open {
			fail(st.line, "not expected: %s", describe(&open[i]))
		}
		open = nil
	}
	for i := range open {
		fail(last, "not expected at the end of the case: %s", describe(&open[i]))
	}
	if len(problems) > 0 {
		return raised, problems
	}

	// The same events delivered otherwise.
	want := sorted(raised)
	for _, v := range variants {
		got, err := v.run(s, c, defs)
		if err != nil {
			fail(c.Line, "with %s: %v", v.name, err)
		} else if !slices.Equal(sorted(got), want) {
			fail(c.Line, "with %s other findings are raised:\n%s\ninstead of\n%s", v.name, strings.Join(sorted(got), "\n"), strings.Join(want, "\n"))
		}
	}
	return raised, problems
}

var variants = []struct {
	name string
	run  func(*Script, *Case, []engine.Definition) ([]finding.Finding, error)
}{
	{"all events in one batch", func(s *Script, c *Case, defs []engine.Definition) ([]finding.Finding, error) {
		g, err := s.engine(defs)
		if err != nil {
			return nil, err
		}
		all := plog.NewLogs()
		for _, st := range c.steps {
			if st.event != nil {
				one := plog.NewLogs()
				st.event.CopyTo(one)
				one.ResourceLogs().MoveAndAppendTo(all.ResourceLogs())
			}
		}
		g.Apply(all)
		return findings(g.Findings()), nil
	}},
	{"every event twice", func(s *Script, c *Case, defs []engine.Definition) ([]finding.Finding, error) {
		g, err := s.engine(defs)
		if err != nil {
			return nil, err
		}
		for _, st := range c.steps {
			if st.event != nil {
				g.Apply(*st.event)
				g.Apply(*st.event)
			}
		}
		for _, st := range c.steps { // and all of them once more
			if st.event != nil {
				g.Apply(*st.event)
			}
		}
		return findings(g.Findings()), nil
	}},
	{"a restart after every event", func(s *Script, c *Case, defs []engine.Definition) ([]finding.Finding, error) {
		var out []finding.Finding
		var saved []byte
		for _, st := range c.steps {
			if st.event == nil {
				continue
			}
			g, err := s.engine(defs)
			if err != nil {
				return nil, err
			}
			if saved != nil {
				if _, skipped, err := g.Restore(saved); err != nil || len(skipped) > 0 {
					return nil, fmt.Errorf("cannot restore (skipped %v): %w", skipped, err)
				}
			}
			g.Apply(*st.event)
			out = append(out, findings(g.Findings())...)
			if saved, err = g.Snapshot(engine.Position{}); err != nil {
				return nil, err
			}
		}
		return out, nil
	}},
}

func (s *Script) engine(defs []engine.Definition) (*engine.Engine, error) {
	set := engine.Settings{Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew}
	for _, d := range defs {
		in, err := d.New(s.Config[d.Spec.ID])
		if err != nil {
			return nil, err
		}
		set.Detectors = append(set.Detectors, in)
	}
	return engine.New(set)
}

func (s *Script) knownConfig(defs []engine.Definition) error {
	for id := range s.Config {
		if !slices.ContainsFunc(defs, func(d engine.Definition) bool { return d.Spec.ID == id }) {
			return fmt.Errorf("config names %q, which is not among the detectors that run here", id)
		}
	}
	return nil
}

// match pairs findings with expectations and returns the findings left over.
func match(open []finding.Finding, want []expectation, fail func(int, string, ...any)) []finding.Finding {
	for _, x := range want {
		i := slices.IndexFunc(open, func(f finding.Finding) bool { return len(x.differences(&f)) == 0 })
		if i >= 0 {
			open = slices.Delete(open, i, i+1)
			continue
		}
		// Say what comes closest.
		near := slices.IndexFunc(open, func(f finding.Finding) bool { return f.RuleID == x.rule })
		if near < 0 {
			fail(x.line, "%s did not fire", x.rule)
			continue
		}
		fail(x.line, "%s fired, but %s", x.rule, strings.Join(x.differences(&open[near]), "; "))
		open = slices.Delete(open, near, near+1)
	}
	return open
}

func (x *expectation) differences(f *finding.Finding) (out []string) {
	if f.RuleID != x.rule {
		out = append(out, "it is of rule "+f.RuleID)
	}
	if x.severity != "" && f.Severity != x.severity {
		out = append(out, "severity is "+f.Severity)
	}
	lr := plog.NewLogRecord()
	f.Encode(lr)
	for _, m := range x.fields {
		got := value(f, lr.Attributes(), m.name)
		if m.contains && !strings.Contains(got, m.value) || !m.contains && got != m.value {
			out = append(out, fmt.Sprintf("%s is %q", m.name, got))
		}
	}
	return out
}

// value is a finding's field as text.
func value(f *finding.Finding, m pcommon.Map, name string) string {
	if name == "time" {
		return time.Duration(f.Time - base).String()
	}
	col, entry := name, ""
	fd, ok := findingFields[name]
	if !ok {
		col, entry, _ = strings.Cut(name, ".")
		fd = findingFields[col]
	}
	v, ok := m.Get(fd.attr)
	if !ok {
		if fd.typ == "bool" {
			return "false"
		}
		return ""
	}
	switch v.Type() {
	case pcommon.ValueTypeMap:
		if e, ok := v.Map().Get(entry); ok {
			return e.AsString()
		}
		if entry != "" {
			return ""
		}
	case pcommon.ValueTypeSlice:
		var parts []string
		for i := range v.Slice().Len() {
			parts = append(parts, v.Slice().At(i).AsString())
		}
		return strings.Join(parts, ",")
	}
	return v.AsString()
}

func findings(ld plog.Logs) (out []finding.Finding) {
	for i := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(i)
		for j := range rl.ScopeLogs().Len() {
			recs := rl.ScopeLogs().At(j).LogRecords()
			for k := range recs.Len() {
				var f finding.Finding
				finding.Decode(rl.Resource(), recs.At(k), &f)
				out = append(out, f)
			}
		}
	}
	return out
}

func describe(f *finding.Finding) string {
	return fmt.Sprintf("%s %s: %s", f.RuleID, f.Severity, f.Summary)
}

// sorted is the findings as comparable text.
func sorted(list []finding.Finding) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = fmt.Sprintf("%s %s count=%d first=%d last=%d why=%v events=%v", list[i].ID, describe(&list[i]), list[i].Count, list[i].FirstSeen, list[i].LastSeen, list[i].Why, list[i].EventIDs)
	}
	slices.Sort(out)
	return out
}
