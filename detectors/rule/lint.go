package rule

import (
	"fmt"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
)

// values that a field can have, where they are a closed list.
var closed = map[string][]string{
	"kind":       {event.KindRequest, event.KindResponse, event.KindError, event.KindNotification, event.KindInvalid, event.KindRecord},
	"direction":  {event.ClientToServer, event.ServerToClient},
	"transport":  {event.TransportStdio, event.TransportHTTP, event.TransportSSE, "unknown"},
	"capture":    {event.CaptureComplete, event.CaptureTruncated, event.CaptureWithheld, event.CaptureAbsent},
	"event_name": {event.NameRequest, event.NameResponse, event.NameNotification, event.NameInvalid, event.NameTapStart, event.NameTapStop, event.NameTapLoss, event.NameTransport, event.NameMetadata, event.NameHTTPRequest, event.NameServerExit, event.NameAudit},
	"outcome": {event.OutcomeOK, event.OutcomeToolError, event.OutcomeRPCError, event.OutcomeTransportError, event.OutcomeCancelled, event.OutcomeTimeout, event.OutcomeOrphan,
		event.OutcomeLate, event.OutcomeInputRequired},
	"auth_decision":  {"granted", "denied", "insufficient_scope", "unauthenticated"},
	"principal_kind": {"user", "service", "agent", "unknown"},
	"era":            {"legacy", "modern"},
	"capabilities":   {"reads_private", "reads_untrusted", "sends_outside", "executes", "writes", "destroys", "spends"},
}

// Lint tells what is right but unwise about a set of rules.
func Lint(s *Set) Problems {
	var out Problems
	for _, r := range s.All() {
		out = append(out, lint(r)...)
	}
	return out
}

func lint(r *Rule) (out Problems) {
	warn := func(path, hint, format string, args ...any) {
		line := r.lines[path]
		if line == 0 {
			line = r.Line
		}
		out = append(out, Problem{File: r.Source, Line: line, Text: r.ID + ": " + fmt.Sprintf(format, args...), Hint: hint})
	}
	if !r.Indexed() {
		warn("when", "begin with kind, method, tool, server, a data class or a signal; see docs/rules.md", "unindexed: the rule is asked for every event")
	}
	paths := []string{"when"}
	if r.Kind == KindSequence {
		paths = nil
		for i := range r.steps {
			paths = append(paths, fmt.Sprintf("steps[%d].when", i))
		}
	} else if r.Kind == KindAbsence {
		paths = append(paths, "absent.when")
	}
	for i, x := range r.conditions() {
		if x.exact && len(x.need) == 0 {
			warn(paths[i], "say which events are meant", "too broad: the condition is true of every event")
		}
		if never(x) {
			warn(paths[i], "", "unreachable: no event has two values of one field at once")
		}
		for _, p := range values(x.src) {
			warn(paths[i], p.Hint, "%s", p.Text)
		}
		if rankOf(x) >= 40 && len(x.need) > 0 {
			warn(paths[i], "add a method, tool or server", "too broad: it is found by %s alone", best(x.need)[0].f.name)
		}
	}
	if r.Kind == KindEvent && len(r.GroupBy) > 0 && r.Dedup == nil {
		warn("group_by", "write dedup: 1h", "group_by without dedup: every event is a finding of its own")
	}
	if r.Kind == KindEvent && r.Dedup != nil && *r.Dedup > 0 && len(r.GroupBy) == 0 {
		warn("dedup", "write group_by: [principal_id, server]", "dedup without group_by: one finding for the whole tenant")
	}
	if len(r.GroupBy) == 0 && (r.Kind == KindThreshold || r.Kind == KindBaseline || r.Kind == KindSequence) {
		warn("group_by", "write group_by: [principal_id, server]", "unbounded group: all events of a tenant are counted together")
	}
	if time.Duration(r.Window) > 24*time.Hour {
		warn("window", "", "long window: state is kept for %s, and beyond %d events a group forgets the oldest", r.Window, maxEntries)
	}
	for _, g := range r.GroupBy {
		if slices.Contains([]string{"event_id", "exchange_id", "request_id", "message", "tap_seq", "trace_id"}, g) {
			warn("group_by", "", "group by %s: hardly two events share one", g)
		}
	}
	if r.Description == "" || r.Remediation == "" || r.FalsePositives == "" {
		warn("", "", "an analyst will miss description, remediation or false_positives")
	}
	if len(r.References) == 0 {
		warn("", "name entries of schemas/taxonomy", "no references")
	}
	return out
}

func rankOf(x *expression) int {
	if len(x.need) == 0 {
		return 0
	}
	return rank(best(x.need))
}

// never reports whether two clauses ask for different values of one field.
func never(x *expression) bool {
	want := map[string]map[string]bool{}
	for _, c := range x.need {
		vals := map[string]bool{}
		for _, a := range c {
			if a.f.name != c[0].f.name || a.f.typ != textField && a.f.typ != boolField || a.fold {
				vals = nil
				break
			}
			vals[a.value] = true
		}
		if vals == nil {
			continue
		}
		if before, ok := want[c[0].f.name]; ok {
			for v := range vals {
				if !before[v] {
					delete(vals, v)
				}
			}
			if len(vals) == 0 {
				return true
			}
		}
		want[c[0].f.name] = vals
	}
	return false
}

// values finds names of values, signals and data classes that do not exist.
func values(src string) (out Problems) {
	tree, err := parser.Parse(src)
	if err != nil {
		return nil
	}
	var classes []string
	for i := range class.Classes {
		classes = append(classes, class.Classes[i].Name)
	}
	known := func(f, v string) {
		list := closed[f]
		switch f {
		case "signals":
			list = signal.Names[:]
		case "data_classes", "redactions":
			list = classes
		}
		if list != nil && v != "" && !slices.Contains(list, v) && f != "event_name" {
			hint := suggest(v, list)
			out = append(out, Problem{Text: fmt.Sprintf("no event has %q in %s", v, f), Hint: hint})
		}
	}
	strings := func(n ast.Node) []string {
		if s, ok := n.(*ast.StringNode); ok {
			return []string{s.Value}
		}
		list, _ := texts(n)
		return list
	}
	root := tree.Node
	ast.Walk(&root, visitor(func(n *ast.Node) {
		switch n := (*n).(type) {
		case *ast.BinaryNode:
			if n.Operator != "==" && n.Operator != "in" && n.Operator != "!=" {
				return
			}
			for _, pair := range [][2]ast.Node{{n.Left, n.Right}, {n.Right, n.Left}} {
				if f, ok := operand(pair[0]); ok {
					for _, v := range strings(pair[1]) {
						known(f.name, v)
					}
				}
			}
		case *ast.MemberNode:
			if f, name, ok := entry(n); ok && f.typ == scoresField {
				known(f.name, name)
			}
		case *ast.BuiltinNode:
			if c, _ := needsAny(n); len(c) > 0 {
				for _, a := range c[0] {
					if !a.fold {
						known(a.f.name, a.value)
					}
				}
			}
		}
	}))
	return out
}
