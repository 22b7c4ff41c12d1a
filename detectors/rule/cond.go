package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Bounds of one expression.
const (
	maxNodes     = 2000    // of its tree, macros expanded
	maxOps       = 100_000 // cost of one evaluation; see cost
	memoryBudget = 20_000  // of expr's own accounting, in values made
	maxMacros    = 16      // macros within macros
	bytesPerOp   = 16      // text that is looked through for the cost of one operation
	nestedLength = 16      // taken as the length of a list within a list
)

// env is what an expression sees: the fields of one event.
type env struct {
	*event.Fields
	EventName string `expr:"event_name"`
	Message   string `expr:"message"`
	Time      int64  `expr:"time"`
}

func (v *env) set(e *event.Event) {
	v.Fields, v.EventName, v.Message, v.Time = &e.Fields, e.Name, e.Body, e.Time
}

// builtins that expressions may call; the rest of expr's are turned off.
var builtins = []string{"all", "any", "none", "one", "count", "filter", "len", "lower", "upper", "trim", "abs", "min", "max", "int", "float", "string", "keys"}

// functions of rules beside the builtins.
var functions = []expr.Option{
	expr.Function("cidr", func(p ...any) (any, error) { return inNetwork(p[0].(string), p[1].(string)), nil }, new(func(string, string) bool)),
	expr.Function("hour", func(p ...any) (any, error) { return time.Unix(0, p[0].(int64)).UTC().Hour(), nil }, new(func(int64) int)),
	expr.Function("weekday", func(p ...any) (any, error) { return int(time.Unix(0, p[0].(int64)).UTC().Weekday()), nil }, new(func(int64) int)),
	expr.Function("minute", func(p ...any) (any, error) { return time.Unix(0, p[0].(int64)).UTC().Minute(), nil }, new(func(int64) int)),
	expr.Function("day", func(p ...any) (any, error) { return time.Unix(0, p[0].(int64)).UTC().Day(), nil }, new(func(int64) int)),
	expr.Function("month", func(p ...any) (any, error) { return int(time.Unix(0, p[0].(int64)).UTC().Month()), nil }, new(func(int64) int)),
	expr.Function("year", func(p ...any) (any, error) { return time.Unix(0, p[0].(int64)).UTC().Year(), nil }, new(func(int64) int)),
	expr.Function("week", func(p ...any) (any, error) { _, w := time.Unix(0, p[0].(int64)).UTC().ISOWeek(); return w, nil }, new(func(int64) int)),
}

var functionNames = []string{"cidr", "hour", "weekday", "minute", "day", "month", "year", "week"}

// inNetwork reports whether the address, with or without a port, is in the network. What is no address is in none.
func inNetwork(addr, network string) bool {
	p, err := netip.ParsePrefix(network)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(addr)
	if err != nil {
		ap, err := netip.ParseAddrPort(addr)
		if err != nil {
			return false
		}
		a = ap.Addr()
	}
	return p.Contains(a.Unmap())
}

// names are what expressions can use beside fields: macros and lists.
type names struct {
	macros map[string]string
	lists  map[string][]string
}

// fault is what is wrong with an expression, and where.
type fault struct {
	line int // of the expression, from 1
	text string
	hint string
}

func (f *fault) Error() string { return f.text }

// expression is a compiled one. It is immutable: each detector runs it with an env and a vm of its own.
type expression struct {
	src   string
	plain string // src with its macros expanded
	prog  *vm.Program
	need  []clause // all must hold for the expression to be true
	exact bool     // need says all that the expression says
	also  []part   // all must hold too
	whole bool     // need and also say all that the expression says
	cost  cost
	uses  []string // fields
}

// cost bounds what one evaluation does, from the tree and the sizes of the event's lists and texts: the same event always costs
// the same, in every process.
type cost struct {
	nodes int
	lists []sized // nodes of the body for each entry of a list
	texts []field // texts that are looked through
}

type sized struct {
	f     field
	nodes int
}

func (c *cost) of(e *event.Event) int {
	n := c.nodes
	for i := range c.lists {
		n += c.lists[i].f.size(e) * c.lists[i].nodes
	}
	for i := range c.texts {
		n += c.texts[i].size(e) / bytesPerOp
	}
	return n
}

type result uint8

const (
	resultBool result = iota
	resultNumber
	resultText
)

// compile makes an expression of src.
func compile(src string, ns *names, want result) (*expression, *fault) {
	if len(src) > 16<<10 {
		return nil, &fault{text: "the expression has more than 16 KiB", hint: "put long lists into a macros file"}
	}
	tree, err := parser.Parse(src)
	if err != nil {
		return nil, exprFault(err)
	}
	x := &expression{src: src}
	ex := &expander{ns: ns, file: src}
	root := tree.Node
	ex.expand(&root, 0)
	if ex.fault != nil {
		return nil, ex.fault
	}
	a := &analysis{x: x, src: src}
	x.cost.nodes = a.walk(root, 0)
	if a.fault != nil {
		return nil, a.fault
	}
	if a.count > maxNodes {
		return nil, &fault{text: fmt.Sprintf("the expression has %d parts with its macros, more than %d", a.count, maxNodes)}
	}
	x.plain = root.String()
	x.need, x.exact = needs(root)
	x.also, x.whole = partsOf(root)

	opts := []expr.Option{expr.Env(&env{}), expr.MaxNodes(maxNodes * 2), expr.DisableAllBuiltins(), expr.Patch(&patcher{ns})}
	for _, b := range builtins {
		opts = append(opts, expr.EnableBuiltin(b))
	}
	opts = append(opts, functions...)
	switch want {
	case resultBool:
		opts = append(opts, expr.AsBool())
	case resultNumber:
		opts = append(opts, expr.AsFloat64())
	}
	if x.prog, err = expr.Compile(src, opts...); err != nil {
		return nil, exprFault(err)
	}
	slices.Sort(x.uses)
	x.uses = slices.Compact(x.uses)
	return x, nil
}

// exprFault takes the place and the reason out of an error of the library.
func exprFault(err error) *fault {
	var f *file.Error
	if fe, ok := err.(*file.Error); ok {
		f = fe
	}
	if f == nil {
		return &fault{text: strings.SplitN(err.Error(), "\n", 2)[0]}
	}
	return &fault{line: f.Line, text: f.Message}
}

// expander replaces macros and lists in a tree.
type expander struct {
	ns    *names
	file  string
	fault *fault
}

func (x *expander) expand(n *ast.Node, depth int) {
	if depth > maxMacros {
		x.fault = &fault{text: "macros are nested too deeply, or name each other"}
		return
	}
	ast.Walk(n, visitor(func(node *ast.Node) {
		id, ok := (*node).(*ast.IdentifierNode)
		if !ok || x.fault != nil || x.ns == nil {
			return
		}
		if list, ok := x.ns.lists[id.Value]; ok {
			ast.Patch(node, listNode(list))
			return
		}
		src, ok := x.ns.macros[id.Value]
		if !ok {
			return
		}
		tree, err := parser.Parse(src)
		if err != nil {
			f := exprFault(err)
			x.fault = &fault{line: lineAt(x.file, id.Location().From), text: fmt.Sprintf("macro %s: %s", id.Value, f.text)}
			return
		}
		root := tree.Node
		x.expand(&root, depth+1)
		if size(root) > maxNodes {
			x.fault = &fault{text: fmt.Sprintf("macro %s has more than %d parts", id.Value, maxNodes)}
			return
		}
		ast.Patch(node, root)
	}))
}

func listNode(list []string) ast.Node {
	a := &ast.ArrayNode{}
	for _, s := range list {
		a.Nodes = append(a.Nodes, &ast.StringNode{Value: s})
	}
	return a
}

func size(n ast.Node) int {
	count := 0
	ast.Walk(&n, visitor(func(*ast.Node) { count++ }))
	return count
}

type visitor func(*ast.Node)

func (v visitor) Visit(n *ast.Node) { v(n) }

// patcher is expander within the library's compilation. compile has checked that it finds no fault.
type patcher struct{ ns *names }

func (p *patcher) Visit(n *ast.Node) {
	id, ok := (*n).(*ast.IdentifierNode)
	if !ok || p.ns == nil {
		return
	}
	if _, ok := p.ns.macros[id.Value]; !ok {
		if _, ok := p.ns.lists[id.Value]; !ok {
			return
		}
	}
	loc := id.Location()
	x := &expander{ns: p.ns}
	var root ast.Node = &ast.IdentifierNode{Value: id.Value}
	x.expand(&root, 0)
	ast.Patch(n, root)
	(*n).SetLocation(loc)
}

func lineAt(src string, offset int) int {
	return 1 + strings.Count(string([]rune(src)[:min(offset, len([]rune(src)))]), "\n")
}

// analysis checks a tree and adds up its cost.
type analysis struct {
	x     *expression
	src   string
	count int
	fault *fault
}

func (a *analysis) fail(n ast.Node, hint, format string, args ...any) {
	if a.fault == nil {
		a.fault = &fault{line: lineAt(a.src, n.Location().From), text: fmt.Sprintf(format, args...), hint: hint}
	}
}

// walk returns the cost of the node, but for what depends on the event, which it notes. depth is of lists within lists.
func (a *analysis) walk(n ast.Node, depth int) int {
	a.count++
	if a.fault != nil || n == nil || a.count > maxNodes {
		return 1
	}
	sum := func(list ...ast.Node) int {
		c := 1
		for _, x := range list {
			if x != nil {
				c += a.walk(x, depth)
			}
		}
		return c
	}
	switch n := n.(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.PointerNode, *ast.ConstantNode:
		return 1
	case *ast.IdentifierNode:
		if _, ok := fields[n.Value]; !ok {
			if why := withheld[n.Value]; why != "" {
				a.fail(n, why, "rules cannot use %s", n.Value)
			} else {
				a.fail(n, suggest(n.Value, FieldNames()), "there is no field, macro or list %q", n.Value)
			}
			return 1
		}
		a.x.uses = append(a.x.uses, n.Value)
		return 1
	case *ast.UnaryNode:
		return sum(n.Node)
	case *ast.BinaryNode:
		switch n.Operator {
		case "..", "|", "??":
			a.fail(n, "", "the operator %s is not available in rules", n.Operator)
		case "matches":
			if _, ok := n.Right.(*ast.StringNode); !ok {
				a.fail(n, "write the expression as a text in quotes", "matches needs a fixed regular expression")
			}
			a.text(n.Left)
		case "contains", "startsWith", "endsWith":
			a.text(n.Left)
		}
		return sum(n.Left, n.Right)
	case *ast.ChainNode:
		return sum(n.Node)
	case *ast.MemberNode:
		if n.Method {
			a.fail(n, "", "methods are not available in rules")
		}
		return sum(n.Node, n.Property)
	case *ast.ConditionalNode:
		return sum(n.Cond, n.Exp1, n.Exp2)
	case *ast.ArrayNode:
		return sum(n.Nodes...)
	case *ast.PredicateNode:
		return sum(n.Node)
	case *ast.CallNode:
		id, ok := n.Callee.(*ast.IdentifierNode)
		if !ok || !slices.Contains(functionNames, id.Value) {
			name := "this function"
			if ok {
				name = "function " + id.Value
			}
			a.fail(n, suggest(strings.TrimPrefix(name, "function "), slices.Concat(builtins, functionNames)), "%s is not available in rules", name)
			return 1
		}
		if id.Value == "cidr" && len(n.Arguments) == 2 {
			if s, ok := n.Arguments[1].(*ast.StringNode); ok {
				if _, err := netip.ParsePrefix(s.Value); err != nil {
					a.fail(n, "write 10.0.0.0/8", "%q is no network", s.Value)
				}
			}
		}
		return 4 + sum(n.Arguments...)
	case *ast.BuiltinNode:
		if !slices.Contains(builtins, n.Name) {
			a.fail(n, suggest(n.Name, slices.Concat(builtins, functionNames)), "function %s is not available in rules", n.Name)
			return 1
		}
		for _, arg := range n.Arguments {
			a.text(arg)
		}
		if len(n.Arguments) != 2 {
			return sum(n.Arguments...)
		}
		pred, ok := n.Arguments[1].(*ast.PredicateNode)
		if !ok {
			return sum(n.Arguments...)
		}
		over := n.Arguments[0]
		if f, ok := over.(*ast.BuiltinNode); ok && (f.Name == "keys" || f.Name == "filter") && len(f.Arguments) > 0 {
			a.walk(over, depth)
			over = f.Arguments[0]
		}
		body := a.walk(pred, depth+1)
		switch over := over.(type) {
		case *ast.IdentifierNode:
			a.walk(over, depth)
			if f, ok := fields[over.Value]; ok {
				a.x.cost.lists = append(a.x.cost.lists, sized{f, body * power(nestedLength, depth)})
			}
			return 1
		case *ast.MemberNode, *ast.ArrayNode, *ast.PointerNode:
			if depth > 1 {
				a.fail(n, "", "lists within lists within lists are not available in rules")
			}
			return sum(over) + body*nestedLength
		}
		a.fail(n, "", "%s works on a field of the event", n.Name)
		return 1
	}
	a.fail(n, "", "this construct is not available in rules")
	return 1
}

// text notes that a text is looked through.
func (a *analysis) text(n ast.Node) {
	if id, ok := n.(*ast.IdentifierNode); ok {
		if f, ok := fields[id.Value]; ok && (f.typ == textField || f.typ == messageField) {
			a.x.cost.texts = append(a.x.cost.texts, f)
		}
	}
}

func power(x, n int) int {
	p := 1
	for range n {
		p *= x
	}
	return p
}

// verdict of an evaluation.
type verdict uint8

const (
	no verdict = iota
	yes
	overBudget
)

// machine evaluates expressions, one at a time.
type machine struct {
	env env
	vm  vm.VM
}

// truth evaluates a condition. e is the event that env holds.
func (m *machine) truth(x *expression, e *event.Event) verdict {
	for i := range x.need {
		if !x.need[i].holds(e) {
			return no
		}
	}
	if x.exact {
		return yes
	}
	if len(x.also) > 0 {
		if x.cost.of(e) > maxOps {
			return overBudget
		}
		for _, holds := range x.also {
			if !holds(e) {
				return no
			}
		}
		if x.whole {
			return yes
		}
	}
	out, v := m.run(x, e)
	if v != yes {
		return v
	}
	if b, ok := out.(bool); ok && b {
		return yes
	}
	return no
}

// run evaluates an expression. An error of the expression itself, such as an index that does not exist, is no result.
func (m *machine) run(x *expression, e *event.Event) (any, verdict) {
	if x.cost.of(e) > maxOps {
		return nil, overBudget
	}
	m.vm.MemoryBudget = memoryBudget
	m.env.set(e)
	out, err := m.vm.Run(x.prog, &m.env)
	if err != nil {
		if strings.Contains(err.Error(), "memory budget exceeded") {
			return nil, overBudget
		}
		return nil, no
	}
	return out, yes
}

// Conditions are the rule's conditions with macros and lists expanded: of a sequence those of its steps, of an absence the one that
// begins and the one that ends the wait, else one. What the rule excepts is part of them.
func (r *Rule) Conditions() []string {
	var out []string
	for i, x := range r.conditions() {
		s := x.plain
		if r.except != nil && !(r.Kind == KindAbsence && i == 1) {
			s = "(" + s + ") and not (" + r.except.plain + ")"
		}
		out = append(out, s)
	}
	return out
}

// Test compiles a condition and evaluates it on events: a way to compare conditions.
func Test(condition string, events ...*event.Event) ([]bool, error) {
	x, f := compile(condition, nil, resultBool)
	if f != nil {
		return nil, f
	}
	var m machine
	out := make([]bool, len(events))
	for i, e := range events {
		out[i] = m.truth(x, e) == yes
	}
	return out, nil
}
