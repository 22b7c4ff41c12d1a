package sigma

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/detectors/rule"
)

// fault is what cannot be carried, and where.
type fault struct {
	line int
	text string
	hint string
}

func (f *fault) Error() string { return f.text }

func bad(n *yaml.Node, format string, args ...any) *fault {
	return &fault{line: n.Line, text: fmt.Sprintf(format, args...)}
}

// detection makes expressions of the search identifiers of a detection or filter.
func (m *Mapping) detection(n *yaml.Node, skip ...string) (map[string]string, *fault) {
	out := map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case slices.Contains(skip, k.Value):
		case k.Value == "timeframe":
			return nil, bad(k, "timeframe is of Sigma 1: write a correlation with a timespan instead")
		default:
			x, f := m.selection(v)
			if f != nil {
				return nil, f
			}
			out[k.Value] = x
		}
	}
	return out, nil
}

// selection is one search identifier: a map is and, a list is or, scalars in a list are keywords.
func (m *Mapping) selection(n *yaml.Node) (string, *fault) {
	switch n.Kind {
	case yaml.MappingNode:
		var list []string
		for i := 0; i+1 < len(n.Content); i += 2 {
			x, f := m.item(n.Content[i], n.Content[i+1])
			if f != nil {
				return "", f
			}
			list = append(list, x)
		}
		if len(list) == 0 {
			return "", bad(n, "a search without fields")
		}
		return combine("and", list), nil
	case yaml.SequenceNode:
		var list []string
		for _, c := range n.Content {
			var x string
			var f *fault
			if c.Kind == yaml.ScalarNode {
				x, f = m.keyword(c)
			} else {
				x, f = m.selection(c)
			}
			if f != nil {
				return "", f
			}
			list = append(list, x)
		}
		if len(list) == 0 {
			return "", bad(n, "a search without values")
		}
		return combine("or", list), nil
	}
	return m.keyword(n)
}

func (m *Mapping) keyword(n *yaml.Node) (string, *fault) {
	if n.Kind != yaml.ScalarNode || n.Value == "" || n.Tag == "!!null" {
		return "", bad(n, "a keyword must be a text")
	}
	return parsePattern(n.Value).surround(true, true).match("message", false), nil
}

// operand is a field as an expression sees it.
type operand struct {
	expr string // for lists: of the list
	typ  string
}

// field finds what a Sigma field is here.
func (m *Mapping) field(name string) (operand, bool) {
	if to, ok := m.Fields[name]; ok {
		name = to
	}
	if t := rule.FieldType(name); t != "" {
		return operand{name, t}, true
	}
	if base, entry, ok := strings.Cut(name, "."); ok && entry != "" {
		switch rule.FieldType(base) {
		case "scores":
			return operand{base + "[" + strconv.Quote(entry) + "]", "float"}, true
		case "labels":
			return operand{base + "[" + strconv.Quote(entry) + "]", "text"}, true
		}
	}
	return operand{}, false
}

var comparisons = map[string]string{"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}

var timeParts = []string{"minute", "hour", "day", "week", "month", "year"}

// item is one field with its modifiers and values.
func (m *Mapping) item(k, v *yaml.Node) (string, *fault) {
	name, rest, _ := strings.Cut(k.Value, "|")
	var mods []string
	if rest != "" {
		mods = strings.Split(rest, "|")
	}
	values := v.Content
	if v.Kind == yaml.ScalarNode {
		values = []*yaml.Node{v}
	} else if v.Kind != yaml.SequenceNode || len(values) == 0 {
		return "", bad(v, "the values of %s must be a value or a list of them", k.Value)
	}
	op := "or"
	if slices.Contains(mods, "all") {
		op = "and"
		mods = slices.DeleteFunc(mods, func(s string) bool { return s == "all" })
		if len(values) < 2 {
			return "", bad(k, "all needs a list of at least two values")
		}
	}
	if name == "" {
		if len(mods) > 0 {
			return "", bad(k, "keywords take no modifier but all")
		}
		var list []string
		for _, x := range values {
			e, f := m.keyword(x)
			if f != nil {
				return "", f
			}
			list = append(list, e)
		}
		return combine(op, list), nil
	}
	o, ok := m.field(name)
	if !ok {
		return "", &fault{k.Line, fmt.Sprintf("field %s has no counterpart", name), "map it in schemas/mappings/sigma.yaml or with --mapping; our own names are in docs/event.md"}
	}
	var list []string
	for _, x := range values {
		if x.Kind != yaml.ScalarNode {
			return "", bad(x, "a value of %s is no scalar", k.Value)
		}
		if x.Tag == "!!null" && len(values) > 1 {
			return "", bad(x, "null cannot stand in a list with others")
		}
		e, f := m.value(o, x, k, mods)
		if f != nil {
			return "", f
		}
		list = append(list, e)
	}
	return combine(op, list), nil
}

// value is one value with the modifiers of its field.
func (m *Mapping) value(o operand, v, k *yaml.Node, mods []string) (string, *fault) {
	if len(mods) == 1 && mods[0] == "exists" {
		there, err := strconv.ParseBool(v.Value)
		if err != nil {
			return "", bad(v, "exists takes true or false")
		}
		x, ok := o.present()
		if !ok {
			return "", bad(k, "whether %s exists cannot be told", o.expr)
		}
		if !there {
			x = "not (" + x + ")"
		}
		return x, nil
	}
	if v.Tag == "!!null" {
		x, ok := o.present()
		if !ok || len(mods) > 0 {
			return "", bad(v, "null does not fit %s", k.Value)
		}
		return "not (" + x + ")", nil
	}
	texts := []pattern{parsePattern(v.Value)}
	cased, negated, re, flags, cidr, ref, part, compare, contained := false, false, false, "", false, false, "", "", false
	var before, after bool
	literal := func(f func(string) []string) *fault {
		var out []pattern
		for _, t := range texts {
			s, ok := t.literal()
			if !ok {
				return bad(v, "wildcards cannot be encoded")
			}
			for _, x := range f(s) {
				out = append(out, pattern{{text: x}})
			}
		}
		texts = out
		return nil
	}
	for _, mod := range mods {
		var f *fault
		switch mod {
		case "contains":
			before, after, contained = true, true, true
			for i := range texts {
				texts[i] = texts[i].surround(true, true)
			}
		case "startswith":
			after = true
			for i := range texts {
				texts[i] = texts[i].surround(false, true)
			}
		case "endswith":
			before = true
			for i := range texts {
				texts[i] = texts[i].surround(true, false)
			}
		case "cased":
			cased = true
		case "neq":
			negated = true
		case "re":
			re = true
		case "i", "m", "s":
			if !re {
				return "", bad(k, "modifier %s belongs after re", mod)
			}
			flags += mod
		case "cidr":
			cidr = true
		case "fieldref":
			ref = true
		case "windash":
			var out []pattern
			for _, t := range texts {
				out = append(out, t.windash()...)
			}
			texts = out
		case "base64":
			f = literal(func(s string) []string { return []string{base64.StdEncoding.EncodeToString([]byte(s))} })
			cased = true
		case "base64offset":
			f = literal(base64Offsets)
			cased = true
		case "wide", "utf16le":
			f = literal(func(s string) []string { return []string{utf16Text(s, binary.LittleEndian, false)} })
		case "utf16be":
			f = literal(func(s string) []string { return []string{utf16Text(s, binary.BigEndian, false)} })
		case "utf16":
			f = literal(func(s string) []string { return []string{utf16Text(s, binary.LittleEndian, true)} })
		case "expand":
			var out []pattern
			for _, s := range m.expand(v.Value) {
				out = append(out, parsePattern(s))
			}
			if out == nil {
				return "", &fault{v.Line, "a placeholder has no values", "give it under placeholders in a mapping file"}
			}
			texts = out
		default:
			switch {
			case comparisons[mod] != "":
				compare = comparisons[mod]
			case slices.Contains(timeParts, mod):
				part = mod
			case mod == "exists":
				return "", bad(k, "exists stands alone")
			default:
				return "", bad(k, "there is no modifier %s", mod)
			}
		}
		if f != nil {
			return "", f
		}
	}
	if slices.Contains(mods, "base64offset") && !contained {
		return "", bad(k, "base64offset needs contains after it")
	}
	x, f := func() (string, *fault) {
		switch {
		case ref:
			return m.reference(o, v, k, before, after, cased)
		case part != "":
			if o.expr != "time" {
				return "", bad(k, "%s is taken of the event's time only", part)
			}
			n, err := strconv.Atoi(v.Value)
			if err != nil {
				return "", bad(v, "%s is compared with a whole number", part)
			}
			if compare == "" {
				compare = "=="
			}
			return part + "(time) " + compare + " " + strconv.Itoa(n), nil
		case compare != "":
			if o.typ != "int" && o.typ != "float" {
				return "", bad(k, "%s is no number", o.expr)
			}
			n, err := strconv.ParseFloat(v.Value, 64)
			if err != nil {
				return "", bad(v, "%s is compared with a number", o.expr)
			}
			return o.expr + " " + compare + " " + strconv.FormatFloat(n, 'f', -1, 64), nil
		case cidr:
			if _, err := netip.ParsePrefix(v.Value); err != nil {
				return "", bad(v, "cidr takes a network such as 10.0.0.0/8")
			}
			return o.each(k, func(s string) string { return "cidr(" + s + ", " + strconv.Quote(v.Value) + ")" })
		case re:
			text := v.Value
			if flags != "" {
				text = "(?" + flags + ")" + text
			}
			if _, err := regexp.Compile(text); err != nil {
				return "", &fault{v.Line, "the regular expression is not one of RE2", "look-around and back references are not supported"}
			}
			return o.each(k, func(s string) string { return s + " matches " + strconv.Quote(text) })
		}
		var list []string
		for _, t := range texts {
			e, f := o.equal(t, v, k, cased)
			if f != nil {
				return "", f
			}
			list = append(list, e)
		}
		return combine("or", list), nil
	}()
	if f == nil && negated {
		x = "not (" + x + ")"
	}
	return x, f
}

// present is an expression that is true where the field has a value.
func (o operand) present() (string, bool) {
	switch o.typ {
	case "text", "message":
		return o.expr + ` != ""`, true
	case "int", "float":
		return o.expr + " != 0", true
	case "list", "scores", "labels":
		return "len(" + o.expr + ") > 0", true
	}
	return "", false
}

// each applies a test of a text to the field, or to any of its elements.
func (o operand) each(k *yaml.Node, test func(string) string) (string, *fault) {
	switch o.typ {
	case "text", "message":
		return test(o.expr), nil
	case "list":
		return "any(" + o.expr + ", " + test("#") + ")", nil
	case "scores", "labels":
		return "any(keys(" + o.expr + "), " + test("#") + ")", nil
	}
	return "", bad(k, "%s is no text", o.expr)
}

// equal compares the field with a pattern.
func (o operand) equal(p pattern, v, k *yaml.Node, cased bool) (string, *fault) {
	switch o.typ {
	case "int", "float":
		if len(p) == 1 && p[0].wild == '*' {
			x, _ := o.present()
			return x, nil
		}
		s, _ := p.literal()
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return "", bad(v, "%s is a number and cannot be compared with a text", o.expr)
		}
		return o.expr + " == " + strconv.FormatFloat(n, 'f', -1, 64), nil
	case "bool":
		s, _ := p.literal()
		b, err := strconv.ParseBool(strings.ToLower(s))
		if err != nil {
			return "", bad(v, "%s is true or false", o.expr)
		}
		return o.expr + " == " + strconv.FormatBool(b), nil
	}
	return o.each(k, func(s string) string { return p.match(s, cased) })
}

// reference compares the field with another field.
func (m *Mapping) reference(o operand, v, k *yaml.Node, before, after, cased bool) (string, *fault) {
	other, ok := m.field(v.Value)
	if !ok {
		return "", bad(v, "field %s has no counterpart", v.Value)
	}
	if o.typ != other.typ || o.typ == "list" {
		if (o.typ != "text" && o.typ != "message") || (other.typ != "text" && other.typ != "message") {
			return "", bad(k, "%s and %s cannot be compared", o.expr, other.expr)
		}
	}
	a, b := o.expr, other.expr
	if o.typ == "text" || o.typ == "message" {
		if !cased {
			a, b = "lower("+a+")", "lower("+b+")"
		}
		switch {
		case before && after:
			return a + " contains " + b, nil
		case after:
			return a + " startsWith " + b, nil
		case before:
			return a + " endsWith " + b, nil
		}
	}
	return a + " == " + b, nil
}

var placeholder = regexp.MustCompile(`%[A-Za-z0-9_.-]+%`)

// expand replaces placeholders by each of their values; nil where one has none.
func (m *Mapping) expand(s string) []string {
	s = strings.ReplaceAll(s, `\%`, "\x00")
	out := []string{s}
	for range 4 {
		loc := placeholder.FindStringIndex(out[0])
		if loc == nil {
			for i := range out {
				out[i] = strings.ReplaceAll(out[i], "\x00", "%")
			}
			return out
		}
		name := out[0][loc[0]+1 : loc[1]-1]
		values := m.Placeholders[name]
		if len(values) == 0 || len(values)*len(out) > 1000 {
			return nil
		}
		var next []string
		for _, o := range out {
			for _, v := range values {
				next = append(next, strings.ReplaceAll(o, "%"+name+"%", escape(v)))
			}
		}
		out = next
	}
	return nil
}
