// Reading the file. Errors name the line; they quote keys that the file should not have, never values.

package budget

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file.
const (
	maxFile  = 1 << 20
	maxRules = 1000 // budgets, and limits
	maxName  = 256  // bytes
	maxWarn  = 10
)

// Parse reads a budget file.
func Parse(data []byte) (*Rules, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty")
		}
		return nil, fmt.Errorf("not YAML: %s", lineOnly(err))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file has more than one YAML document")
	}
	p := &parser{}
	r := p.file(doc.Content[0])
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	sum := sha256.Sum256(data)
	r.Version += "+" + hex.EncodeToString(sum[:4])
	return r, nil
}

var lineIn = regexp.MustCompile(`line \d+`)

// lineOnly keeps the line of a YAML error, which may quote the file.
func lineOnly(err error) string {
	if s := lineIn.FindString(err.Error()); s != "" {
		return s + " cannot be read"
	}
	return "the syntax is wrong"
}

type parser struct{ errs []error }

// maxErrors is how many problems are listed.
const maxErrors = 20

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	if len(p.errs) < maxErrors {
		p.errs = append(p.errs, fmt.Errorf("line %d: "+format, append([]any{n.Line}, args...)...))
	}
}

// object is a mapping whose keys are known.
type object struct {
	p    *parser
	node *yaml.Node
	m    map[string]*yaml.Node
}

func (p *parser) object(n *yaml.Node, what string, keys ...string) (o object, ok bool) {
	o = object{p, n, map[string]*yaml.Node{}}
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s must be a mapping of %s", what, strings.Join(keys, ", "))
		return o, false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind != yaml.ScalarNode || !slices.Contains(keys, k.Value):
			name := "that key"
			if k.Kind == yaml.ScalarNode && len(k.Value) <= 32 {
				name = fmt.Sprintf("%q", k.Value)
			}
			p.fail(k, "%s has no %s; it has %s", what, name, strings.Join(keys, ", "))
		case o.m[k.Value] != nil:
			p.fail(k, "%s is given twice", k.Value)
		default:
			o.m[k.Value] = n.Content[i+1]
		}
	}
	return o, true
}

// text is a string of at most maxName bytes.
func (o object) text(key string, required bool) string {
	n := o.m[key]
	if n == nil {
		if required {
			o.p.fail(o.node, "%s is required", key)
		}
		return ""
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" || len(n.Value) > maxName {
		o.p.fail(n, "%s must be text of 1 to %d bytes", key, maxName)
		return ""
	}
	return n.Value
}

func (o object) pattern(key string, fold bool) Pattern {
	return NewPattern(o.text(key, false), fold)
}

// number is a positive number, 0 if absent.
func (o object) number(key string) float64 {
	n := o.m[key]
	if n == nil {
		return 0
	}
	return o.p.number(n, key, 1e15)
}

func (p *parser) number(n *yaml.Node, key string, most float64) float64 {
	var v float64
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" || n.Decode(&v) != nil || math.IsNaN(v) || v <= 0 || v > most {
		p.fail(n, "%s must be a number above 0 and at most %g", key, most)
		return 0
	}
	return v
}

// list calls f for each member.
func (o object) list(key string, f func(*yaml.Node)) {
	n := o.m[key]
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode {
		o.p.fail(n, "%s must be a list", key)
		return
	}
	if len(n.Content) > maxRules {
		o.p.fail(n, "%s has more than %d entries", key, maxRules)
		return
	}
	for _, x := range n.Content {
		f(x)
	}
}

func (p *parser) file(n *yaml.Node) *Rules {
	r := &Rules{}
	o, ok := p.object(n, "the file", "version", "currency", "budgets", "limits")
	if !ok {
		return r
	}
	if r.Version = o.text("version", true); len(r.Version) > 64 {
		p.fail(o.m["version"], "version is longer than 64 bytes")
	}
	currency := o.currency("")
	names := map[string]int{}
	unique := func(n *yaml.Node, name string) {
		if at := names[name]; at != 0 && name != "" {
			p.fail(n, "the name is that of line %d: names are unique, since findings carry them", at)
		}
		names[name] = n.Line
	}
	o.list("budgets", func(n *yaml.Node) {
		if b, ok := p.budget(n, currency); ok {
			unique(n, b.Name)
			r.Budgets = append(r.Budgets, b)
		}
	})
	clear(names)
	o.list("limits", func(n *yaml.Node) {
		if l, ok := p.limit(n); ok {
			unique(n, l.Name)
			r.Limits = append(r.Limits, l)
		}
	})
	return r
}

func (o object) currency(fallback string) string {
	c := o.text("currency", false)
	if c == "" {
		return fallback
	}
	if len(c) != 3 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		o.p.fail(o.m["currency"], "currency must be three capital letters as in ISO 4217")
	}
	return c
}

func (p *parser) budget(n *yaml.Node, currency string) (b Budget, ok bool) {
	o, ok := p.object(n, "a budget", "name", "tenant", "team", "user", "server", "period", "money", "currency", "tokens", "warn")
	if !ok {
		return b, false
	}
	b = Budget{
		Name: o.text("name", true), Tenant: o.pattern("tenant", false), Team: o.pattern("team", false), User: o.pattern("user", false), Server: o.pattern("server", false),
		Period: o.text("period", true), Money: o.number("money"), Tokens: o.number("tokens"), Currency: o.currency(currency), Line: n.Line,
	}
	if o.m["tenant"] == nil && o.m["team"] == nil && o.m["user"] == nil && o.m["server"] == nil {
		p.fail(n, "a budget needs one of tenant, team, user, server: whose it is")
	}
	if b.Period != "" && b.Period != Day && b.Period != Month {
		p.fail(o.m["period"], "period must be day or month")
	}
	if o.m["money"] == nil && o.m["tokens"] == nil {
		p.fail(n, "a budget needs money or tokens")
	}
	if o.m["money"] != nil && b.Currency == "" {
		p.fail(n, "money needs a currency, here or for the file")
	}
	b.Warn = []float64{0.8}
	if o.m["warn"] != nil {
		b.Warn = nil
		o.list("warn", func(n *yaml.Node) {
			w := p.number(n, "warn", 0.999)
			if k := len(b.Warn); k > 0 && w != 0 && w <= b.Warn[k-1] {
				p.fail(n, "shares of warn must ascend")
			}
			b.Warn = append(b.Warn, w)
		})
		if len(b.Warn) > maxWarn {
			p.fail(o.m["warn"], "warn has more than %d shares", maxWarn)
		}
	}
	return b, true
}

func (p *parser) limit(n *yaml.Node) (l Limit, ok bool) {
	o, ok := p.object(n, "a limit", "name", "provider", "model", "tenant", "principal", "tokens_per_minute", "requests_per_minute", "warn")
	if !ok {
		return l, false
	}
	l = Limit{
		Name: o.text("name", true), Provider: strings.ToLower(o.text("provider", false)), Model: o.pattern("model", true), Tenant: o.pattern("tenant", false),
		Principal: o.pattern("principal", false), Tokens: o.number("tokens_per_minute"), Requests: o.number("requests_per_minute"), Warn: 0.8, Line: n.Line,
	}
	if o.m["provider"] == nil && o.m["model"] == nil {
		p.fail(n, "a limit needs provider or model: whose it is")
	}
	if l.Provider != "" {
		if known, all := knownProvider(l.Provider); !known {
			p.fail(o.m["provider"], "the price list knows no such provider; it knows %s; use model for others", strings.Join(all, ", "))
		}
	}
	if o.m["tokens_per_minute"] == nil && o.m["requests_per_minute"] == nil {
		p.fail(n, "a limit needs tokens_per_minute or requests_per_minute")
	}
	if w := o.m["warn"]; w != nil {
		l.Warn = p.number(w, "warn", 0.999)
	}
	return l, true
}
