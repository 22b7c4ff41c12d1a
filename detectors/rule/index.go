package rule

import (
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// atom is one simple thing that an event can have: a value of a text field, an entry of a list, or a name in a map.
type atom struct {
	f     field
	value string
	fold  bool // compared without case; value is in lower case
}

// clause holds if one of its atoms does.
type clause []atom

func (c clause) holds(e *event.Event) bool {
	for i := range c {
		if c[i].holds(e) {
			return true
		}
	}
	return false
}

func (a *atom) holds(e *event.Event) bool {
	switch a.f.typ {
	case textField:
		s := e.Name
		if a.f.own == "" {
			s = a.f.value(e).String()
		}
		return a.same(s)
	case boolField:
		return a.f.value(e).Bool() == (a.value == "true")
	case listField:
		for _, s := range *a.f.value(e).Addr().Interface().(*[]string) {
			if a.same(s) {
				return true
			}
		}
	case scoresField:
		_, ok := (*a.f.value(e).Addr().Interface().(*map[string]float64))[a.value]
		return ok
	case labelsField:
		_, ok := (*a.f.value(e).Addr().Interface().(*map[string]string))[a.value]
		return ok
	}
	return false
}

func (a *atom) same(s string) bool {
	if !a.fold {
		return s == a.value
	}
	return len(s) <= maxFold && strings.ToLower(s) == a.value
}

// maxFold is the longest text, in bytes, that is lowered for a comparison. Lowering shortens a text to a third at most, so that none
// that is longer equals a value of up to a quarter of it; longer values are left to the expression.
const maxFold = 4096

// needs finds clauses that must all hold for a condition to be true, and whether they say all that it says.
func needs(n ast.Node) (all []clause, exact bool) {
	switch n := n.(type) {
	case *ast.BoolNode:
		return nil, n.Value
	case *ast.IdentifierNode:
		if f := fields[n.Value]; f.typ == boolField && f.name != "" {
			return []clause{{{f: f, value: "true"}}}, true
		}
	case *ast.UnaryNode:
		if id, ok := n.Node.(*ast.IdentifierNode); ok && (n.Operator == "!" || n.Operator == "not") {
			if f := fields[id.Value]; f.typ == boolField && f.name != "" {
				return []clause{{{f: f, value: "false"}}}, true
			}
		}
	case *ast.BuiltinNode:
		return needsAny(n)
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			l, le := needs(n.Left)
			r, re := needs(n.Right)
			return append(l[:len(l):len(l)], r...), le && re
		case "||", "or":
			l, le := needs(n.Left)
			r, re := needs(n.Right)
			if len(l) == 0 || len(r) == 0 {
				return nil, false
			}
			lb, rb := best(l), best(r)
			if len(lb)+len(rb) > maxAtoms {
				return nil, false
			}
			return []clause{append(lb[:len(lb):len(lb)], rb...)}, le && re && len(l) == 1 && len(r) == 1
		case "==":
			if c, ok := equal(n.Left, n.Right); ok {
				return []clause{c}, true
			}
			if c, ok := equal(n.Right, n.Left); ok {
				return []clause{c}, true
			}
		case "in":
			if values, ok := texts(n.Right); ok {
				if f, fold, ok := textOperand(n.Left); ok && len(values) > 0 && len(values) <= maxAtoms {
					if c, ok := atoms(f, fold, values); ok {
						return []clause{c}, true
					}
				}
			}
			if s, ok := n.Left.(*ast.StringNode); ok {
				if f, ok := operand(n.Right); ok && (f.typ == listField || f.typ == scoresField || f.typ == labelsField) {
					return []clause{{{f: f, value: s.Value}}}, true
				}
			}
		case ">", ">=":
			if f, name, ok := entry(n.Left); ok && f.typ == scoresField && positive(n.Right, n.Operator == ">") {
				return []clause{{{f: f, value: name}}}, false
			}
		case "<", "<=":
			if f, name, ok := entry(n.Right); ok && f.typ == scoresField && positive(n.Left, n.Operator == "<") {
				return []clause{{{f: f, value: name}}}, false
			}
		}
	}
	return nil, false
}

// maxAtoms bounds a clause; a rule with more alternatives is asked for every event that its other clauses allow.
const maxAtoms = 2000

// needsAny is needs of any(list, # == "x") and any(list, # in [...]).
func needsAny(n *ast.BuiltinNode) ([]clause, bool) {
	if n.Name != "any" || len(n.Arguments) != 2 {
		return nil, false
	}
	f, ok := operand(n.Arguments[0])
	p, isPred := n.Arguments[1].(*ast.PredicateNode)
	if !ok || !isPred || f.typ != listField {
		return nil, false
	}
	b, ok := p.Node.(*ast.BinaryNode)
	if !ok {
		return nil, false
	}
	left, fold := b.Left, false
	if l, ok := left.(*ast.BuiltinNode); ok && l.Name == "lower" && len(l.Arguments) == 1 {
		left, fold = l.Arguments[0], true
	}
	if ptr, ok := left.(*ast.PointerNode); !ok || ptr.Name != "" {
		return nil, false
	}
	var values []string
	switch b.Operator {
	case "==":
		s, ok := b.Right.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		values = []string{s.Value}
	case "in":
		if values, ok = texts(b.Right); !ok || len(values) == 0 || len(values) > maxAtoms {
			return nil, false
		}
	default:
		return nil, false
	}
	if c, ok := atoms(f, fold, values); ok {
		return []clause{c}, true
	}
	return nil, false
}

// atoms makes a clause; not of values that are too long to be compared without case.
func atoms(f field, fold bool, values []string) (clause, bool) {
	c := make(clause, 0, len(values))
	for _, v := range values {
		if fold && len(v) > maxFold/4 {
			return nil, false
		}
		c = append(c, atom{f: f, value: v, fold: fold})
	}
	return c, true
}

func equal(l, r ast.Node) (clause, bool) {
	if f, fold, ok := textOperand(l); ok {
		if s, ok := r.(*ast.StringNode); ok {
			return atoms(f, fold, []string{s.Value})
		}
		return nil, false
	}
	if f, ok := operand(l); ok && f.typ == boolField {
		if b, ok := r.(*ast.BoolNode); ok {
			return clause{{f: f, value: strconv.FormatBool(b.Value)}}, true
		}
	}
	return nil, false
}

func operand(n ast.Node) (field, bool) {
	if c, ok := n.(*ast.ChainNode); ok {
		n = c.Node
	}
	id, ok := n.(*ast.IdentifierNode)
	if !ok {
		return field{}, false
	}
	f, ok := fields[id.Value]
	return f, ok
}

// textOperand is a text field, or lower() of one.
func textOperand(n ast.Node) (f field, fold, ok bool) {
	if l, isCall := n.(*ast.BuiltinNode); isCall && l.Name == "lower" && len(l.Arguments) == 1 {
		n, fold = l.Arguments[0], true
	}
	f, ok = operand(n)
	return f, fold, ok && f.typ == textField
}

// entry is signals.name or signals["name"].
func entry(n ast.Node) (f field, name string, ok bool) {
	if c, isChain := n.(*ast.ChainNode); isChain {
		n = c.Node
	}
	m, isMember := n.(*ast.MemberNode)
	if !isMember {
		return f, "", false
	}
	s, isText := m.Property.(*ast.StringNode)
	if f, ok = operand(m.Node); !ok || !isText {
		return f, "", false
	}
	return f, s.Value, true
}

func texts(n ast.Node) ([]string, bool) {
	a, ok := n.(*ast.ArrayNode)
	if !ok {
		return nil, false
	}
	out := make([]string, len(a.Nodes))
	for i, x := range a.Nodes {
		s, ok := x.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		out[i] = s.Value
	}
	return out, true
}

// positive reports whether a score that is not there, which counts as 0, fails the comparison with the number.
func positive(n ast.Node, strict bool) bool {
	var x float64
	switch n := n.(type) {
	case *ast.FloatNode:
		x = n.Value
	case *ast.IntegerNode:
		x = float64(n.Value)
	default:
		return false
	}
	return x > 0 || strict && x == 0
}

// selectivity orders fields by how few events have one given value of them; those not named come between.
var selectivity = map[string]int{
	"audit_action": 1, "signals": 2, "data_classes": 3, "anomalies": 4, "redactions": 4, "tool": 5, "prompt": 5, "resource_uri": 5, "rpc_code": 6, "error_type": 6,
	"auth_decision": 6, "withheld_reason": 6, "capabilities": 7, "principal_id": 8, "server": 9, "client_name": 10, "method": 30, "outcome": 31, "event_name": 32,
	"kind": 40, "transport": 41, "direction": 42, "principal_kind": 43, "tenant": 44, "capture": 45,
}

func rank(c clause) int {
	worst := 0
	for i := range c {
		r, ok := selectivity[c[i].f.name]
		if !ok {
			r = 20
		}
		if c[i].f.typ == boolField {
			r = 50
		}
		if c[i].f.typ == textField && c[i].value == "" {
			r = 60 // absent is what most fields mostly are
		}
		worst = max(worst, r)
	}
	return worst
}

// best is the clause that fewest events fulfil, going by its fields.
func best(all []clause) clause {
	return slices.MinFunc(all, func(a, b clause) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return len(a) - len(b)
	})
}

// Index tells which rules can want an event. It implements engine.Selector.
type Index struct {
	always []int
	fields []indexed
}

type indexed struct {
	f     field
	exact map[string][]int // value -> rules
	fold  map[string][]int // value in lower case -> rules
}

// newIndex makes the index of rules, numbered as given.
func newIndex(rules []*Rule) *Index {
	x := &Index{}
	at := map[string]int{}
	for i, r := range rules {
		c, ok := r.key()
		if !ok {
			x.always = append(x.always, i)
			continue
		}
		for _, a := range c {
			k, ok := at[a.f.name]
			if !ok {
				k = len(x.fields)
				at[a.f.name] = k
				x.fields = append(x.fields, indexed{f: a.f, exact: map[string][]int{}, fold: map[string][]int{}})
			}
			m := x.fields[k].exact
			if a.fold {
				m = x.fields[k].fold
			}
			m[a.value] = append(m[a.value], i)
		}
	}
	return x
}

// key is the clause that the rule is found by: one for each of its conditions, together.
func (r *Rule) key() (clause, bool) {
	var out clause
	for _, w := range r.conditions() {
		if len(w.need) == 0 {
			return nil, false
		}
		out = append(out, best(w.need)...)
	}
	return out, len(out) > 0 && len(out) <= maxAtoms
}

// Select implements engine.Selector.
func (x *Index) Select(e *event.Event, marks []uint64) {
	for _, i := range x.always {
		marks[i/64] |= 1 << (i % 64)
	}
	for i := range x.fields {
		d := &x.fields[i]
		switch d.f.typ {
		case textField:
			if d.f.own != "" {
				d.mark(e.Name, marks)
			} else {
				d.mark(d.f.value(e).String(), marks)
			}
		case boolField:
			if d.f.value(e).Bool() {
				d.mark("true", marks)
			} else {
				d.mark("false", marks)
			}
		case listField:
			for _, s := range *d.f.value(e).Addr().Interface().(*[]string) {
				d.mark(s, marks)
			}
		case scoresField:
			for s := range *d.f.value(e).Addr().Interface().(*map[string]float64) {
				d.mark(s, marks)
			}
		case labelsField:
			for s := range *d.f.value(e).Addr().Interface().(*map[string]string) {
				d.mark(s, marks)
			}
		}
	}
}

func (d *indexed) mark(s string, marks []uint64) {
	for _, i := range d.exact[s] {
		marks[i/64] |= 1 << (i % 64)
	}
	if len(d.fold) > 0 && len(s) <= maxFold {
		for _, i := range d.fold[strings.ToLower(s)] {
			marks[i/64] |= 1 << (i % 64)
		}
	}
}
