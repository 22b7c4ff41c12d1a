// Package policy decides what happens to a value that inspection found: by tenant, server, tool, field and data class.
package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Action is what is done with a value.
type Action uint8

const (
	Pseudonymise Action = iota // a placeholder that correlates inside the tenant
	Mask                       // asterisks; cards keep their last four digits
	LastFour                   // a pseudonym that shows the last four characters
	Hash                       // the full keyed hash
	Drop                       // the name of the class only
	Keep                       // as it is; not for credentials
)

var names = []string{"pseudonymise", "mask", "last_four", "hash", "drop", "keep"}

func (a Action) String() string { return names[a] }

// File is a policy as written. The first rule that matches a value decides.
type File struct {
	Version int    `yaml:"version"`
	Default string `yaml:"default"` // action for what no rule names; pseudonymise if empty
	Rules   []Rule `yaml:"rules"`
}

// Rule matches where all of its lists match; an empty list matches anything. Entries are globs as in path.Match; fields are
// dotted paths in the message, where ** stands for any number of members.
type Rule struct {
	Tenants []string `yaml:"tenants"`
	Servers []string `yaml:"servers"`
	Tools   []string `yaml:"tools"`
	Fields  []string `yaml:"fields"`
	Classes []string `yaml:"classes"` // names, globs, or tag:pii, tag:phi, tag:pci, tag:secret
	Action  string   `yaml:"action"`
}

// Class is what the policy needs to know of a data class.
type Class struct {
	Name   string
	Tags   []string // pii, phi, pci, secret
	Secret bool
}

// Policy is compiled for a list of classes and safe for concurrent use.
type Policy struct {
	def   Action
	rules []rule
	n     int
}

type rule struct {
	tenants, servers, tools []string
	fields                  [][]string
	classes                 []bool
	action                  Action
}

// Load reads and compiles a policy file.
func Load(file string, classes []Class) (*Policy, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read redaction policy: %w", err)
	}
	var f File
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read redaction policy %s: %w", file, err)
	}
	p, err := Compile(f, classes)
	if err != nil {
		return nil, fmt.Errorf("cannot use redaction policy %s: %w", file, err)
	}
	return p, nil
}

// Compile checks a policy: every glob is well formed, every class entry names some class, and no rule keeps a credential.
func Compile(f File, classes []Class) (*Policy, error) {
	if f.Version != 0 && f.Version != 1 {
		return nil, fmt.Errorf("version %d is not known, want 1", f.Version)
	}
	p := &Policy{n: len(classes)}
	var err error
	if f.Default != "" {
		if p.def, err = parse(f.Default); err != nil {
			return nil, fmt.Errorf("default: %w", err)
		}
		if p.def == Keep {
			return nil, errors.New("default: keep would store everything; name the classes to keep in a rule")
		}
	}
	for i, r := range f.Rules {
		c := rule{tenants: r.Tenants, servers: r.Servers, tools: r.Tools, classes: make([]bool, len(classes))}
		if c.action, err = parse(r.Action); err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		for _, g := range slices.Concat(r.Tenants, r.Servers, r.Tools) {
			if _, err := path.Match(g, ""); err != nil {
				return nil, fmt.Errorf("rule %d: bad pattern %q", i+1, g)
			}
		}
		for _, fld := range r.Fields {
			parts := strings.Split(fld, ".")
			for _, g := range parts {
				if _, err := path.Match(g, ""); err != nil {
					return nil, fmt.Errorf("rule %d: bad field %q", i+1, fld)
				}
			}
			c.fields = append(c.fields, parts)
		}
		for k := range c.classes {
			c.classes[k] = len(r.Classes) == 0
		}
		for _, g := range r.Classes {
			found := false
			for k, cl := range classes {
				tag, isTag := strings.CutPrefix(g, "tag:")
				ok := isTag && slices.Contains(cl.Tags, tag)
				if !isTag {
					if ok, err = path.Match(g, cl.Name); err != nil {
						return nil, fmt.Errorf("rule %d: bad class %q", i+1, g)
					}
				}
				if ok {
					c.classes[k], found = true, true
				}
			}
			if !found {
				return nil, fmt.Errorf("rule %d: no data class matches %q", i+1, g)
			}
		}
		if c.action == Keep {
			for k, on := range c.classes {
				if !on || !classes[k].Secret {
					continue
				}
				if len(r.Classes) > 0 {
					return nil, fmt.Errorf("rule %d: cannot keep %s: credentials are never stored", i+1, classes[k].Name)
				}
				c.classes[k] = false
			}
		}
		p.rules = append(p.rules, c)
	}
	return p, nil
}

func parse(s string) (Action, error) {
	switch s {
	case "pseudonymize":
		s = "pseudonymise"
	case "":
		return 0, errors.New("action is missing: keep, mask, last_four, pseudonymise, hash or drop")
	}
	if i := slices.Index(names, s); i >= 0 {
		return Action(i), nil
	}
	return 0, fmt.Errorf("action %q is not known: keep, mask, last_four, pseudonymise, hash or drop", s)
}

// View is the part of a policy that can matter to one event: it is cheap to ask.
type View struct {
	p       *Policy
	rules   []int
	byClass []Action
	paths   bool
}

// For narrows the policy to an event. The View may be reused by passing it again.
func (p *Policy) For(v *View, tenant, server, tool string) {
	v.p, v.rules, v.paths = p, v.rules[:0], false
	if len(v.byClass) != p.n {
		v.byClass = make([]Action, p.n)
	}
	for i := range v.byClass {
		v.byClass[i] = p.def
	}
	for i := range p.rules {
		r := &p.rules[i]
		if matchAny(r.tenants, tenant) && matchAny(r.servers, server) && matchAny(r.tools, tool) {
			v.rules = append(v.rules, i)
			v.paths = v.paths || len(r.fields) > 0
		}
	}
	if v.paths {
		return
	}
	for k := len(v.rules) - 1; k >= 0; k-- { // first match wins: write the later ones first
		r := &p.rules[v.rules[k]]
		for c, on := range r.classes {
			if on {
				v.byClass[c] = r.action
			}
		}
	}
}

// Paths says whether Action looks at the field.
func (v *View) Paths() bool { return v.paths }

// Action is what happens to a value of a class at a field, whose path is given as member names; array items have none.
func (v *View) Action(class int, field [][]byte) Action {
	if !v.paths {
		return v.byClass[class]
	}
	for _, i := range v.rules {
		r := &v.p.rules[i]
		if !r.classes[class] {
			continue
		}
		if len(r.fields) == 0 {
			return r.action
		}
		for _, f := range r.fields {
			if matchPath(f, field) {
				return r.action
			}
		}
	}
	return v.p.def
}

func matchAny(globs []string, s string) bool {
	if len(globs) == 0 {
		return true
	}
	for _, g := range globs {
		if ok, _ := path.Match(g, s); ok {
			return true
		}
	}
	return false
}

// matchPath matches with at most one retry point for **, like path globbing does, so that it is linear for each **.
func matchPath(pattern []string, field [][]byte) bool {
	p, f, star, mark := 0, 0, -1, 0
	for f < len(field) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			star, mark = p, f
			p++
			continue
		case p < len(pattern):
			if ok, _ := path.Match(pattern[p], string(field[f])); ok {
				p++
				f++
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, f = star+1, mark
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}
