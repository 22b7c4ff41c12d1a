package sigma

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// conditionParser reads Sigma's condition language into an expression. parts are the expressions of the search identifiers.
type conditionParser struct {
	words []string
	at    int
	parts map[string]string
	depth int
	not   bool // a not was used
}

// Bounds of a condition.
const (
	maxWords   = 1000
	maxNesting = 50
)

func parseCondition(s string, parts map[string]string) (string, bool, error) {
	if strings.Contains(s, "|") {
		return "", false, fmt.Errorf("aggregations in conditions are of Sigma 1: write a correlation (event_count, value_count, temporal) instead")
	}
	p := &conditionParser{parts: parts}
	for _, w := range strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s)) {
		p.words = append(p.words, w)
		if len(p.words) > maxWords {
			return "", false, fmt.Errorf("the condition has more than %d words", maxWords)
		}
	}
	out, err := p.or()
	if err == nil && p.at < len(p.words) {
		err = fmt.Errorf("the condition goes on with %q where it should end", p.words[p.at])
	}
	return out, p.not, err
}

func (p *conditionParser) word() string {
	if p.at < len(p.words) {
		return strings.ToLower(p.words[p.at])
	}
	return ""
}

func (p *conditionParser) or() (string, error)  { return p.chain("or", p.and) }
func (p *conditionParser) and() (string, error) { return p.chain("and", p.unary) }

func (p *conditionParser) chain(op string, next func() (string, error)) (string, error) {
	first, err := next()
	if err != nil {
		return "", err
	}
	list := []string{first}
	for p.word() == op {
		p.at++
		x, err := next()
		if err != nil {
			return "", err
		}
		list = append(list, x)
	}
	return combine(op, list), nil
}

// combine joins expressions; each is put in parentheses if it is more than one.
func combine(op string, list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = "(" + x + ")"
	}
	return strings.Join(out, " "+op+" ")
}

func (p *conditionParser) unary() (string, error) {
	if p.depth++; p.depth > maxNesting {
		return "", fmt.Errorf("the condition is nested more than %d deep", maxNesting)
	}
	defer func() { p.depth-- }()
	switch w := p.word(); w {
	case "":
		return "", fmt.Errorf("the condition ends too early")
	case "not":
		p.at++
		p.not = true
		x, err := p.unary()
		return "not (" + x + ")", err
	case "(":
		p.at++
		x, err := p.or()
		if err != nil {
			return "", err
		}
		if p.word() != ")" {
			return "", fmt.Errorf("a parenthesis of the condition is not closed")
		}
		p.at++
		return x, nil
	case "1", "any", "all":
		if p.at+1 < len(p.words) && strings.EqualFold(p.words[p.at+1], "of") {
			return p.of(w)
		}
	case "near", "by", "count", ")", "and", "or":
		return "", fmt.Errorf("%q cannot stand here in a condition", w)
	}
	name := p.words[p.at]
	if len(name) > 0 && name[0] >= '0' && name[0] <= '9' && p.at+1 < len(p.words) && strings.EqualFold(p.words[p.at+1], "of") {
		return "", fmt.Errorf("only 1, any and all can stand before of")
	}
	x, ok := p.parts[name]
	if !ok {
		return "", fmt.Errorf("the condition names %q, which the detection does not have", name)
	}
	p.at++
	return x, nil
}

func (p *conditionParser) of(quantity string) (string, error) {
	if p.at += 2; p.at >= len(p.words) {
		return "", fmt.Errorf("the condition ends after of")
	}
	target := p.words[p.at]
	p.at++
	var list []string
	for _, name := range sortedKeys(p.parts) {
		ok := !strings.HasPrefix(name, "_")
		if !strings.EqualFold(target, "them") {
			ok, _ = path.Match(strings.ReplaceAll(target, "[", `\[`), name)
		}
		if ok {
			list = append(list, p.parts[name])
		}
	}
	if len(list) == 0 {
		return "", fmt.Errorf("nothing in the detection is named %s", target)
	}
	if quantity == "all" {
		return combine("and", list), nil
	}
	return combine("or", list), nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
