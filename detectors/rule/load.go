package rule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
)

// SchemaMacros is the `schema` of a file of macros, lists and overrides.
const SchemaMacros = "mcpsiem.macros/v1"

// Macros is a file of what rules share, and of what a site changes about rules that it does not own.
type Macros struct {
	Schema    string              `yaml:"schema"`
	Macros    map[string]string   `yaml:"macros,omitempty"`
	Lists     map[string][]string `yaml:"lists,omitempty"`
	Overrides map[string]Override `yaml:"overrides,omitempty"`
}

// Override changes a rule by its id.
type Override struct {
	Enabled  *bool     `yaml:"enabled,omitempty"`
	Severity string    `yaml:"severity,omitempty"`
	Except   string    `yaml:"except,omitempty"` // an allow-list: added to the rule's own
	Dedup    *Duration `yaml:"dedup,omitempty"`
	Owner    string    `yaml:"owner,omitempty"`
}

// Document is a file of rules or macros before it is compiled.
type Document struct {
	Name    string // for messages
	Text    []byte
	Builtin bool
}

// Set is rules that belong together: compiled, with one index.
type Set struct {
	Rules []*Rule // active ones, in order of id
	Off   []*Rule // those that are turned off
	Hash  string  // of all that they are made of, 16 hex digits
	index *Index
}

// maxRules bounds a set.
const maxRules = 5000

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{1,63}$`)

// Parse compiles documents into a set. It gives what is right even where there are problems, so that one bad file need not take the
// others with it; whether that will do is the caller's to say. reserved are ids that are not to be had.
func Parse(docs []Document, reserved ...string) (*Set, Problems) {
	type item struct {
		n       *yaml.Node
		file    string
		builtin bool
	}
	var problems Problems
	ns := &names{macros: map[string]string{}, lists: map[string][]string{}}
	overrides := map[string]Override{}
	overriddenAt, definedAt := map[string]Problem{}, map[string]Problem{}
	var rules []item
	for _, d := range docs {
		nodes, p := documents(d.Name, d.Text)
		problems = append(problems, p...)
		for _, n := range nodes {
			switch schema := valueOf(n, "schema"); schema {
			case SchemaRule:
				rules = append(rules, item{n: n, file: d.Name, builtin: d.Builtin})
			case SchemaMacros:
				r := &reader{file: d.Name, lines: map[string]int{}}
				var m Macros
				r.read(n, "", reflect.ValueOf(&m).Elem())
				for name, src := range m.Macros {
					r.name(ns, name, "macros."+name)
					ns.macros[name] = src
					definedAt[name] = Problem{File: d.Name, Line: r.lines["macros."+name]}
				}
				for name, list := range m.Lists {
					r.name(ns, name, "lists."+name)
					ns.lists[name] = list
				}
				for id, o := range m.Overrides {
					overrides[id] = o
					overriddenAt[id] = Problem{File: d.Name, Line: r.lines["overrides."+id]}
				}
				problems = append(problems, r.problems...)
			default:
				hint := "write schema: " + SchemaRule + " or schema: " + SchemaMacros
				if schema == "" && (valueOf(n, "logsource") != "" || hasKey(n, "detection") || hasKey(n, "correlation")) {
					hint = "this looks like Sigma: `mcpsiem rules import` makes a rule of it"
				}
				problems = append(problems, Problem{File: d.Name, Line: n.Line, Text: "the document does not say what it is", Hint: hint})
			}
		}
	}
	for _, name := range slices.Sorted(mapKeys(ns.macros)) {
		if _, f := compile(name, ns, resultBool); f != nil {
			p := definedAt[name]
			p.Text, p.Hint = "macro "+name+": "+strings.TrimPrefix(f.text, "macro "+name+": "), f.hint
			problems = append(problems, p)
		}
	}
	s := &Set{}
	at := map[string]*Rule{}
	for _, it := range rules {
		r := &reader{file: it.file, lines: map[string]int{}}
		var f File
		r.read(it.n, "", reflect.ValueOf(&f).Elem())
		if o, ok := overrides[f.ID]; ok {
			f.override(o)
			delete(overriddenAt, f.ID)
		}
		if len(r.problems) > 0 {
			problems = append(problems, r.problems...)
			continue
		}
		built, p := build(f, it.file, it.n.Line, r.lines, ns)
		if len(p) > 0 {
			problems = append(problems, p...)
			continue
		}
		built.Builtin = it.builtin
		if slices.Contains(reserved, f.ID) {
			problems = append(problems, Problem{File: it.file, Line: r.lines["id"], Text: fmt.Sprintf("the id %s is that of a detector", f.ID), Hint: "choose another id"})
			continue
		}
		if other := at[f.ID]; other != nil {
			problems = append(problems, Problem{File: it.file, Line: r.lines["id"], Text: fmt.Sprintf("the id %s is taken by %s:%d", f.ID, other.Source, other.Line), Hint: "ids are never shared; an override in a macros file changes a rule that is not yours"})
			continue
		}
		at[f.ID] = built
		if len(at) > maxRules {
			problems = append(problems, Problem{File: it.file, Text: fmt.Sprintf("there are more than %d rules", maxRules)})
			break
		}
		if built.Active() {
			s.Rules = append(s.Rules, built)
		} else {
			s.Off = append(s.Off, built)
		}
	}
	for id, p := range overriddenAt {
		p.Text = fmt.Sprintf("there is no rule %q to override", id)
		p.Hint = suggest(id, slices.Collect(mapKeys(at)))
		problems = append(problems, p)
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	byID := func(a, b *Rule) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(s.Rules, byID)
	slices.SortFunc(s.Off, byID)
	s.Hash = HashOf(docs)
	s.index = newIndex(s.Rules)
	return s, problems
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (r *reader) name(ns *names, name, path string) {
	_, macro := ns.macros[name]
	_, list := ns.lists[name]
	_, isField := fields[name]
	switch {
	case !namePattern.MatchString(name):
		r.fail(r.lines[path], "lower-case letters, digits and underscores", "%q is no name for a macro or list", name)
	case isField || slices.Contains(builtins, name) || slices.Contains(functionNames, name):
		r.fail(r.lines[path], "", "%q is the name of a field or function already", name)
	case macro || list:
		r.fail(r.lines[path], "", "%q is defined twice", name)
	}
}

func valueOf(n *yaml.Node, key string) string {
	if n.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1].Value
		}
	}
	return ""
}

func hasKey(n *yaml.Node, key string) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

func (f *File) override(o Override) {
	if o.Enabled != nil {
		f.Enabled = o.Enabled
	}
	if o.Severity != "" {
		f.Severity = Severity{Fixed: o.Severity}
	}
	if o.Dedup != nil {
		f.Dedup = o.Dedup
	}
	if o.Owner != "" {
		f.Owner = o.Owner
	}
	switch {
	case o.Except != "" && f.Except != "":
		f.Except = "(" + f.Except + ") or (" + o.Except + ")"
	case o.Except != "":
		f.Except = o.Except
	}
}

// usedBy is the macros and lists whose names stand in the expressions of a rule, and those that they name.
func (ns *names) usedBy(f File) map[string]any {
	text, _ := json.Marshal(f)
	out := map[string]any{}
	todo := []string{string(text)}
	for len(todo) > 0 {
		t := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for n, src := range ns.macros {
			if _, ok := out[n]; !ok && strings.Contains(t, n) {
				out[n] = src
				todo = append(todo, src)
			}
		}
		for n, list := range ns.lists {
			if _, ok := out[n]; !ok && strings.Contains(t, n) {
				out[n] = list
			}
		}
	}
	return out
}

// Instances are the active rules for an engine, and the selector that goes with them.
func (s *Set) Instances() ([]engine.Instance, engine.Selector, error) {
	var out []engine.Instance
	for _, r := range s.Rules {
		in, err := r.Definition().New(nil)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, in)
	}
	return out, s.index, nil
}

// Find is the rule with the id, active or not; nil if there is none.
func (s *Set) Find(id string) *Rule {
	for _, list := range [][]*Rule{s.Rules, s.Off} {
		for _, r := range list {
			if r.ID == id {
				return r
			}
		}
	}
	return nil
}

// All is every rule, active or not, in order of id.
func (s *Set) All() []*Rule {
	out := slices.Concat(s.Rules, s.Off)
	slices.SortFunc(out, func(a, b *Rule) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// ReadDir reads the .yaml and .yml files of a folder and those below it; a folder that does not exist has none. Names that begin with a
// dot are left out: editors leave such behind.
func ReadDir(dir string) ([]Document, error) {
	var out []Document
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path == dir && errors.Is(err, fs.ErrNotExist) {
				return fs.SkipAll
			}
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && path != dir {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || !isRuleFile(d.Name()) {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Size() > maxFile {
			out = append(out, Document{Name: path, Text: make([]byte, maxFile+1)})
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		out = append(out, Document{Name: path, Text: text})
		if len(out) > maxRules {
			return fmt.Errorf("there are more than %d files", maxRules)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read rules in %s: %w", dir, err)
	}
	return out, nil
}

func isRuleFile(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}
