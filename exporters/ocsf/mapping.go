// The mapping file, compiled: for each class a tree of the fields that an event has, with the sources of each.

package ocsf

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// mapping is read-only and shared.
type mapping struct {
	version string
	classes []*class
}

// class is one of OCSF's with what goes into its events.
type class struct {
	name     string
	uid      int64
	records  []sink.Kind
	when     []condition
	tree     *node
	unmapped []column
}

// node is a field: with sources, or with fields or items of its own.
type node struct {
	name    string
	list    bool // its kids are items
	kids    []*node
	sources []source
}

// source is one way to a field's value.
type source struct {
	columns  []column
	when     []condition
	lines    []line // of map
	fallback []byte // JSON; nil: none
	caption  []byte // beside the fallback
	constant []byte // JSON
	as       string
	sibling  string
	each     string // name of the one field of each object
	refs     bool
	unmapped bool
	typeUID  bool
}

// line of a map: a value, or the beginning of one and `*`.
type line struct {
	pattern      string
	out, caption []byte // JSON
}

type condition struct {
	column column
	values []string // none: any
}

var pathPart = regexp.MustCompile(`^([a-z][a-z0-9_]*)(?:\[(\d)\])?$`)

// parseMapping compiles the file.
func parseMapping(text []byte) (*mapping, error) {
	var doc struct {
		Version int       `yaml:"version"`
		Schema  string    `yaml:"schema"`
		Common  yaml.Node `yaml:"common"`
		Classes []struct {
			Class        string              `yaml:"class"`
			ClassUID     int64               `yaml:"class_uid"`
			ClassName    string              `yaml:"class_name"`
			CategoryUID  int64               `yaml:"category_uid"`
			CategoryName string              `yaml:"category_name"`
			Records      []sink.Kind         `yaml:"records"`
			When         map[string][]string `yaml:"when"`
			Profiles     []string            `yaml:"profiles"`
			Fields       yaml.Node           `yaml:"fields"`
		} `yaml:"classes"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("cannot read the OCSF mapping: %w", err)
	}
	if doc.Version != 1 || doc.Schema == "" || len(doc.Classes) == 0 {
		return nil, errors.New("cannot read the OCSF mapping: it must have version 1, a schema and classes")
	}
	m := &mapping{version: doc.Schema}
	for _, d := range doc.Classes {
		c := &class{name: d.Class, uid: d.ClassUID, records: d.Records, tree: &node{}}
		var err error
		if c.when, err = conditions(d.When); err != nil {
			return nil, fmt.Errorf("OCSF class %s: %w", d.Class, err)
		}
		own := map[string]any{"class_uid": d.ClassUID, "class_name": d.ClassName, "category_uid": d.CategoryUID, "category_name": d.CategoryName}
		used := map[string]bool{}
		for _, fields := range []*yaml.Node{&doc.Common, &d.Fields} {
			for i := 0; i+1 < len(fields.Content); i += 2 {
				path := fields.Content[i].Value
				srcs, err := parseSources(fields.Content[i+1], own)
				if err == nil {
					err = c.tree.place(path, srcs)
				}
				if err != nil {
					return nil, fmt.Errorf("line %d of the OCSF mapping: class %s, field %s: %w", fields.Content[i].Line, d.Class, path, err)
				}
				for _, s := range srcs {
					for _, col := range s.columns {
						used[col.name] = true
					}
				}
			}
		}
		for _, k := range c.records {
			for _, name := range stored(k) {
				if col, err := newColumn(name); err == nil && !used[name] {
					used[name] = true
					c.unmapped = append(c.unmapped, col)
				}
			}
		}
		m.classes = append(m.classes, c)
	}
	return m, nil
}

// place puts sources at a path of the tree.
func (n *node) place(path string, srcs []source) error {
	at := n
	for _, part := range strings.Split(path, ".") {
		m := pathPart.FindStringSubmatch(part)
		if m == nil {
			return errors.New("is no path of names and [n] joined by dots")
		}
		if at.sources != nil {
			return errors.New("is below a field that has a value")
		}
		at = at.kid(m[1])
		if m[2] != "" {
			at.list = true
			at = at.kid(m[2])
		}
	}
	if len(at.kids) > 0 || at.sources != nil {
		return errors.New("is there twice")
	}
	at.sources = srcs
	return nil
}

func (n *node) kid(name string) *node {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	k := &node{name: name}
	n.kids = append(n.kids, k)
	return k
}

func conditions(m map[string][]string) (out []condition, err error) {
	for name, values := range m {
		c, err := newColumn(name)
		if err != nil {
			return nil, err
		}
		out = append(out, condition{c, values})
	}
	return out, nil
}

func parseSources(n *yaml.Node, own map[string]any) ([]source, error) {
	if n.Kind == yaml.SequenceNode && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode {
		var out []source
		for _, k := range n.Content {
			s, err := parseSource(k, own)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		return out, nil
	}
	s, err := parseSource(n, own)
	return []source{s}, err
}

var formats = []string{"", "string", "int", "bool", "ms", "ns_to_ms", "percent", "json", "strings", "ip"}

func parseSource(n *yaml.Node, own map[string]any) (s source, err error) {
	columns := func(n *yaml.Node) error {
		var names []string
		if n.Kind == yaml.ScalarNode {
			names = []string{n.Value}
		} else if err := n.Decode(&names); err != nil {
			return errors.New("from must be a column or a list of columns")
		}
		for _, name := range names {
			c, err := newColumn(name)
			if err != nil {
				return err
			}
			s.columns = append(s.columns, c)
		}
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return s, columns(n)
	}
	var fallback *yaml.Node
	for i := 0; i+1 < len(n.Content) && err == nil; i += 2 {
		v := n.Content[i+1]
		switch key := n.Content[i].Value; key {
		case "from":
			err = columns(v)
		case "const":
			s.constant, err = jsonOf(v)
		case "class":
			if s.constant, err = anyJSON(own[v.Value]); v.Value == "type_uid" {
				s.typeUID = true
			}
		case "map":
			for j := 0; j+1 < len(v.Content) && err == nil; j += 2 {
				l := line{pattern: v.Content[j].Value}
				l.out, l.caption, err = withCaption(v.Content[j+1])
				s.lines = append(s.lines, l)
			}
		case "default":
			fallback = v
		case "as":
			s.as = v.Value
		case "sibling":
			s.sibling = v.Value
		case "when":
			var m map[string][]string
			if err = v.Decode(&m); err == nil {
				s.when, err = conditions(m)
			}
		case "each":
			var m map[string]string
			if err = v.Decode(&m); err == nil {
				for k, x := range m {
					if x != "." || len(m) != 1 {
						return s, errors.New(`each must be like {uid: "."}`)
					}
					s.each = k
				}
			}
		case "references":
			s.refs = v.Value == "true"
		case "unmapped":
			s.unmapped = v.Value == "true"
		default:
			return s, fmt.Errorf("a source has no %s", key)
		}
	}
	if err != nil {
		return s, err
	}
	if fallback != nil {
		if s.fallback, s.caption, err = withCaption(fallback); err != nil {
			return s, err
		}
	}
	if !slices.Contains(formats, s.as) {
		return s, fmt.Errorf("as must be one of %s", strings.Join(formats[1:], ", "))
	}
	if len(s.columns) == 0 && s.constant == nil && !s.unmapped {
		return s, errors.New("a source needs from, const or unmapped")
	}
	return s, nil
}

// withCaption reads `id` or `[id, caption]`.
func withCaption(n *yaml.Node) (out, caption []byte, err error) {
	if n.Kind != yaml.SequenceNode {
		out, err = jsonOf(n)
		return out, nil, err
	}
	if len(n.Content) != 2 {
		return nil, nil, errors.New("a list here is [id, caption]")
	}
	if out, err = jsonOf(n.Content[0]); err == nil {
		caption, err = jsonOf(n.Content[1])
	}
	return out, caption, err
}

func jsonOf(n *yaml.Node) ([]byte, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, err
	}
	return anyJSON(v)
}

func anyJSON(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return []byte("0"), nil
	case string:
		return appendString(nil, v), nil
	case int:
		return strconv.AppendInt(nil, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(nil, v, 10), nil
	case bool:
		return strconv.AppendBool(nil, v), nil
	case []any:
		b := []byte{'['}
		for i, x := range v {
			if i > 0 {
				b = append(b, ',')
			}
			j, err := anyJSON(x)
			if err != nil {
				return nil, err
			}
			b = append(b, j...)
		}
		return append(b, ']'), nil
	}
	return nil, fmt.Errorf("a value must be a string, a whole number, a truth value or a list of them, not %T", v)
}
