package rule

import (
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// part is a part of a condition that is decided without expr, for events that the clauses let through: most of those a condition is asked
// about are ordinary, and most of them end here. It says what expr would say.
type part func(e *event.Event) bool

// partsOf makes parts of those of a condition that must all hold. all is whether they, with the clauses, are the whole of it.
func partsOf(n ast.Node) (out []part, all bool) {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		l, le := partsOf(b.Left)
		r, re := partsOf(b.Right)
		return append(l, r...), le && re
	}
	if _, exact := needs(n); exact {
		return nil, true // a clause says it
	}
	if c := partOf(n); c != nil {
		return []part{c}, true
	}
	return nil, false
}

func partOf(n ast.Node) part {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return nil
	}
	switch b.Operator {
	case "!=":
		f, fold, ok := textOperand(b.Left)
		s, isText := b.Right.(*ast.StringNode)
		if !ok || fold || !isText {
			return nil
		}
		value := s.Value
		return func(e *event.Event) bool { return f.textOf(e) != value }
	case "matches":
		f, fold, ok := textOperand(b.Left)
		s, isText := b.Right.(*ast.StringNode)
		if !ok || !isText {
			return nil
		}
		re, err := regexp.Compile(s.Value)
		if err != nil {
			return nil
		}
		return func(e *event.Event) bool {
			text := f.textOf(e)
			if fold {
				text = strings.ToLower(text)
			}
			return re.MatchString(text)
		}
	case ">", ">=", "<", "<=":
		limit, ok := constant(b.Right)
		x := measure(b.Left)
		if !ok || x == nil {
			return nil
		}
		switch b.Operator {
		case ">":
			return func(e *event.Event) bool { return x(e) > limit }
		case ">=":
			return func(e *event.Event) bool { return x(e) >= limit }
		case "<":
			return func(e *event.Event) bool { return x(e) < limit }
		}
		return func(e *event.Event) bool { return x(e) <= limit }
	}
	return nil
}

// exactInt bounds whole numbers that are the same as float64.
const exactInt = 1 << 53

func constant(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.FloatNode:
		return n.Value, true
	case *ast.IntegerNode:
		return float64(n.Value), n.Value > -exactInt && n.Value < exactInt
	}
	return 0, false
}

// measure is a number of the event: a field, an entry of scores, or a sum of such entries.
func measure(n ast.Node) func(e *event.Event) float64 {
	if f, name, ok := entry(n); ok && f.typ == scoresField {
		return func(e *event.Event) float64 { return (*f.value(e).Addr().Interface().(*map[string]float64))[name] }
	}
	if f, ok := operand(n); ok && f.own == "" {
		switch f.typ {
		case intField:
			// A number beyond 2^53 may be rounded, but not across a limit below it.
			return func(e *event.Event) float64 { return float64(f.value(e).Int()) }
		case floatField:
			return func(e *event.Event) float64 { return f.value(e).Float() }
		}
		return nil
	}
	if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "+" && scores(b.Left) && scores(b.Right) {
		l, r := measure(b.Left), measure(b.Right)
		return func(e *event.Event) float64 { return l(e) + r(e) }
	}
	return nil
}

// scores says whether the node is an entry of scores or a sum of some: adding numbers of that type rounds as expr does.
func scores(n ast.Node) bool {
	if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "+" {
		return scores(b.Left) && scores(b.Right)
	}
	f, _, ok := entry(n)
	return ok && f.typ == scoresField
}

// textOf is the value of a text field.
func (f *field) textOf(e *event.Event) string {
	if f.own != "" {
		return e.Name
	}
	return f.value(e).String()
}
