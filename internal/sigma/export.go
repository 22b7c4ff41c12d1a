package sigma

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/detectors/rule"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Export writes a rule as Sigma: a detection rule, or a correlation with the rules that it refers to. What Sigma cannot say is an error.
func Export(r *rule.Rule) ([]byte, error) {
	fail := func(format string, args ...any) ([]byte, error) {
		return nil, fmt.Errorf("cannot write rule %s as Sigma: %s", r.ID, fmt.Sprintf(format, args...))
	}
	if r.Severity.Expr != "" {
		return fail("its severity is an expression")
	}
	conds := r.Conditions()
	var docs []*yaml.Node
	detection := func(i int, id, title string) error {
		x := &exporter{}
		n, err := x.detection(conds[i])
		if err != nil {
			return err
		}
		d := mapping("title", title, "id", id)
		docs = append(docs, d)
		put(d, "logsource", mapping("product", "mcp"))
		put(d, "detection", n)
		return nil
	}
	meta := func(d *yaml.Node) {
		put(d, "level", text(r.Severity.Fixed))
		put(d, "status", text(r.Status))
		if r.Description != "" {
			put(d, "description", text(r.Description))
		}
		if r.FalsePositives != "" {
			put(d, "falsepositives", sequence([]string{r.FalsePositives}))
		}
		if len(r.Tags) > 0 {
			put(d, "tags", sequence(r.Tags))
		}
	}
	correlation := func(kind string, ids []string, cond *yaml.Node) {
		c := mapping("type", kind)
		put(c, "rules", sequence(ids))
		if len(r.GroupBy) > 0 {
			put(c, "group-by", sequence(r.GroupBy))
		}
		put(c, "timespan", text(timespanText(time.Duration(r.Window))))
		if cond != nil {
			put(c, "condition", cond)
		}
		d := mapping("title", r.Title, "id", uuid(r.ID))
		put(d, "correlation", c)
		meta(d)
		docs = append(docs, d)
	}
	switch r.Kind {
	case rule.KindEvent:
		if err := detection(0, uuid(r.ID), r.Title); err != nil {
			return fail("%s", err)
		}
		meta(docs[0])
	case rule.KindThreshold:
		id := uuid(r.ID + "/when")
		if err := detection(0, id, r.Title+" (one event)"); err != nil {
			return fail("%s", err)
		}
		t := r.File.Threshold
		if t.MinEvents > 0 {
			return fail("min_events has no counterpart")
		}
		cond := mapping()
		for _, p := range []struct {
			key string
			n   *float64
		}{{"gt", t.GT}, {"gte", t.GTE}, {"lt", t.LT}, {"lte", t.LTE}, {"eq", t.EQ}, {"neq", t.NEQ}} {
			if p.n != nil {
				put(cond, p.key, plain(strconv.FormatFloat(*p.n, 'f', -1, 64)))
			}
		}
		kind := ""
		for k, v := range aggregates {
			if v == t.Aggregate {
				kind = k
			}
		}
		for _, f := range t.Of {
			if rule.FieldType(f) == "" {
				return fail("it is over an expression")
			}
		}
		if len(t.Of) > 0 {
			put(cond, "field", sequence(t.Of))
		}
		if t.Percentile > 0 {
			put(cond, "percentile", plain(strconv.FormatFloat(t.Percentile, 'f', -1, 64)))
		}
		correlation(kind, []string{id}, cond)
	case rule.KindSequence:
		var ids []string
		for i, s := range r.Steps {
			if len(s.By) > 0 {
				return fail("its steps join different fields")
			}
			id := uuid(r.ID + "/" + strconv.Itoa(i))
			if err := detection(i, id, r.Title+" ("+s.ID+")"); err != nil {
				return fail("%s", err)
			}
			ids = append(ids, id)
		}
		kind := "temporal_ordered"
		if r.Ordered != nil && !*r.Ordered {
			kind = "temporal"
		}
		correlation(kind, ids, nil)
	default:
		return fail("rules of kind %s have no form in it", r.Kind)
	}
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	for _, d := range docs {
		if err := enc.Encode(d); err != nil {
			return fail("%s", err)
		}
	}
	return []byte(b.String()), nil
}

// uuid is an id in the form that Sigma recommends, always the same for a rule.
func uuid(id string) string {
	h := event.SourceID("sigma", id)
	return h[:8] + "-" + h[8:12] + "-5" + h[13:16] + "-8" + h[17:20] + "-" + h[20:]
}

func timespanText(d time.Duration) string {
	for _, u := range []struct {
		d time.Duration
		s string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= u.d && d%u.d == 0 {
			return strconv.FormatInt(int64(d/u.d), 10) + u.s
		}
	}
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10) + "s"
}

func text(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

func quoted(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.SingleQuotedStyle}
}

func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

func sequence(list []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, s := range list {
		n.Content = append(n.Content, text(s))
	}
	return n
}

func mapping(kv ...string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(kv); i += 2 {
		put(n, kv[i], text(kv[i+1]))
	}
	return n
}

func put(n *yaml.Node, key string, v *yaml.Node) { n.Content = append(n.Content, text(key), v) }

// exporter makes searches of the simple parts of a condition.
type exporter struct{ searches []*yaml.Node }

func (x *exporter) detection(cond string) (*yaml.Node, error) {
	tree, err := parser.Parse(cond)
	if err != nil {
		return nil, err
	}
	c, err := x.condition(tree.Node)
	if err != nil {
		return nil, err
	}
	n := mapping()
	for i, s := range x.searches {
		put(n, "s"+strconv.Itoa(i+1), s)
	}
	put(n, "condition", text(c))
	return n, nil
}

func (x *exporter) condition(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		if op := junction(n); op != "" {
			var parts []string
			for _, p := range operands(n, op) {
				c, err := x.condition(p)
				if err != nil {
					return "", err
				}
				if junction(p) != "" {
					c = "(" + c + ")"
				}
				parts = append(parts, c)
			}
			return strings.Join(parts, " "+op+" "), nil
		}
		if n.Operator == "!=" {
			c, err := x.condition(&ast.BinaryNode{Operator: "==", Left: n.Left, Right: n.Right})
			return "not (" + c + ")", err
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			c, err := x.condition(n.Node)
			return "not (" + c + ")", err
		}
	}
	key, values, err := x.search(n)
	if err != nil {
		return "", err
	}
	s := mapping()
	if len(values) == 1 {
		put(s, key, values[0])
	} else {
		put(s, key, &yaml.Node{Kind: yaml.SequenceNode, Content: values})
	}
	x.searches = append(x.searches, s)
	return "s" + strconv.Itoa(len(x.searches)), nil
}

// junction is the word that joins n's sides; nothing if n joins none.
func junction(n ast.Node) string {
	if b, ok := n.(*ast.BinaryNode); ok {
		switch b.Operator {
		case "and", "&&":
			return "and"
		case "or", "||":
			return "or"
		}
	}
	return ""
}

// operands are what a chain of one junction joins, without nesting: lists of a hundred values are nested a hundred deep.
func operands(n ast.Node, op string) []ast.Node {
	if junction(n) != op {
		return []ast.Node{n}
	}
	b := n.(*ast.BinaryNode)
	return append(operands(b.Left, op), operands(b.Right, op)...)
}

// search is one simple part as a field with modifiers, and values.
func (x *exporter) search(n ast.Node) (string, []*yaml.Node, error) {
	unfit := fmt.Errorf("%s has no counterpart", n.String())
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if rule.FieldType(n.Value) == "bool" {
			return n.Value, []*yaml.Node{plain("true")}, nil
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && id.Value == "cidr" && len(n.Arguments) == 2 {
			f, _, typ := exportField(n.Arguments[0])
			if s, ok := n.Arguments[1].(*ast.StringNode); ok && typ == "text" {
				return f + "|cidr", []*yaml.Node{text(s.Value)}, nil
			}
		}
	case *ast.BuiltinNode:
		if n.Name == "any" && len(n.Arguments) == 2 {
			f, _, typ := exportField(n.Arguments[0])
			p, ok := n.Arguments[1].(*ast.PredicateNode)
			if b, isBinary := p.Node.(*ast.BinaryNode); ok && isBinary && typ == "list" {
				if ptr, lowered := unlower(b.Left); ptr != nil {
					if _, ok := ptr.(*ast.PointerNode); ok {
						if mods, v, ok := compare(b.Operator, b.Right, lowered, true); ok {
							return f + mods, v, nil
						}
					}
				}
			}
		}
	case *ast.BinaryNode:
		if s, ok := n.Left.(*ast.StringNode); ok && n.Operator == "in" {
			if f, _, typ := exportField(n.Right); typ == "list" || typ == "scores" || typ == "labels" {
				return f + "|cased", []*yaml.Node{quoted(escape(s.Value))}, nil
			}
		}
		f, lowered, typ := exportField(n.Left)
		switch typ {
		case "text", "message":
			if mods, v, ok := compare(n.Operator, n.Right, lowered, false); ok {
				return f + mods, v, nil
			}
			if g, l2, t2 := exportField(n.Right); n.Operator == "==" && t2 == "text" && lowered == l2 {
				if lowered {
					return f + "|fieldref", []*yaml.Node{text(g)}, nil
				}
				return f + "|fieldref|cased", []*yaml.Node{text(g)}, nil
			}
		case "bool":
			if b, ok := n.Right.(*ast.BoolNode); ok && n.Operator == "==" {
				return f, []*yaml.Node{plain(strconv.FormatBool(b.Value))}, nil
			}
		case "int", "float":
			num := ""
			right, sign := n.Right, ""
			if u, ok := right.(*ast.UnaryNode); ok && u.Operator == "-" {
				right, sign = u.Node, "-"
			}
			switch v := right.(type) {
			case *ast.IntegerNode:
				num = sign + strconv.Itoa(v.Value)
			case *ast.FloatNode:
				num = sign + strconv.FormatFloat(v.Value, 'f', -1, 64)
			}
			if num != "" {
				if n.Operator == "==" {
					return f, []*yaml.Node{plain(num)}, nil
				}
				for mod, op := range comparisons {
					if op == n.Operator {
						return f + "|" + mod, []*yaml.Node{plain(num)}, nil
					}
				}
			}
		}
	}
	return "", nil, unfit
}

// compare is an operator and its fixed right side as modifiers and values.
func compare(op string, right ast.Node, lowered, element bool) (mods string, values []*yaml.Node, ok bool) {
	var list []string
	switch r := right.(type) {
	case *ast.StringNode:
		list = []string{r.Value}
	case *ast.ArrayNode:
		for _, n := range r.Nodes {
			s, ok := n.(*ast.StringNode)
			if !ok || op != "in" {
				return "", nil, false
			}
			list = append(list, s.Value)
		}
	}
	if len(list) == 0 {
		return "", nil, false
	}
	if op == "matches" {
		return "|re", []*yaml.Node{quoted(list[0])}, !lowered && len(list) == 1
	}
	mods = "|cased"
	if lowered {
		mods = ""
	}
	switch op {
	case "==", "in":
	case "contains":
		mods += "|contains"
	case "startsWith":
		mods += "|startswith"
	case "endsWith":
		mods += "|endswith"
	default:
		return "", nil, false
	}
	for _, s := range list {
		if lowered && s != strings.ToLower(s) || s == "" && op != "==" {
			return "", nil, false
		}
		values = append(values, quoted(escape(s)))
	}
	return mods, values, true
}

func unlower(n ast.Node) (ast.Node, bool) {
	if b, ok := n.(*ast.BuiltinNode); ok && b.Name == "lower" && len(b.Arguments) == 1 {
		return b.Arguments[0], true
	}
	return n, false
}

// exportField is a field or an entry of a map by its name here, which Sigma's import takes as it is.
func exportField(n ast.Node) (name string, lowered bool, typ string) {
	n, lowered = unlower(n)
	if c, ok := n.(*ast.ChainNode); ok {
		n = c.Node
	}
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, lowered, rule.FieldType(n.Value)
	case *ast.MemberNode:
		id, ok := n.Node.(*ast.IdentifierNode)
		key, isText := n.Property.(*ast.StringNode)
		if ok && isText && !strings.Contains(key.Value, "|") {
			switch rule.FieldType(id.Value) {
			case "scores":
				return id.Value + "." + key.Value, lowered, "float"
			case "labels":
				return id.Value + "." + key.Value, lowered, "text"
			}
		}
	}
	return "", lowered, ""
}
