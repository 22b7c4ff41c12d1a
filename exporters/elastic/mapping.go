// schemas/mappings/ecs.yaml, read: which field of a record goes where in a document.

package elastic

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/schemas/mappings"
)

// mapping is schemas/mappings/ecs.yaml.
type mapping struct {
	Version int      `yaml:"version"`
	ECS     string   `yaml:"ecs"`
	Texts   []string `yaml:"texts"`
	Fields  []line   `yaml:"fields"`
}

type line struct {
	To     string            `yaml:"to"`
	Type   string            `yaml:"type"`
	From   string            `yaml:"from"`
	First  []string          `yaml:"first"`
	Value  string            `yaml:"value"`
	Any    []part            `yaml:"any"`
	Map    map[string]string `yaml:"map"`
	Only   []sink.Kind       `yaml:"only"`
	As     string            `yaml:"as"`
	Keep   bool              `yaml:"keep"`
	Threat string            `yaml:"threat"`
}

type part struct {
	From  string            `yaml:"from"`
	Value string            `yaml:"value"`
	Map   map[string]string `yaml:"map"`
}

// Names of fields that are no columns.
const (
	fieldEventName = "event_name"
	fieldOmitted   = "message_omitted" // why a message that was there is not
	omittedTooBig  = "too_large"
)

// Field of documents.
type Field struct {
	Path string // e.g. event.id
	Type string // in Elasticsearch: keyword, long, double, boolean, date_nanos, ip, flattened, match_only_text, constant_keyword
}

// Root is the object below which everything is that the Elastic Common Schema has no place for.
const Root = "mcpsiem"

// column of a schema: where in the struct of fields it is and what it is. The structs are generated from the schema and have about a hundred fields, most
// of them empty in any record; reading them by reflection costs more than everything else about a document, so they are read by their
// offset, which only columns takes, from the struct itself.
type column struct {
	name   string
	offset uintptr
	typ    fieldType
	time   bool // ns since 1970
}

type fieldType int

const (
	typeString fieldType = iota + 1
	typeInt
	typeBool
	typeFloat
	typeStrings
	typeLabels
	typeScores
	// What is not in the struct of fields.
	typeEventName
	typeTraceID
	typeSpanID
	typeReceived
)

var fieldTypes = map[reflect.Type]fieldType{
	reflect.TypeFor[string](): typeString, reflect.TypeFor[int64](): typeInt, reflect.TypeFor[bool](): typeBool, reflect.TypeFor[float64](): typeFloat,
	reflect.TypeFor[[]string](): typeStrings, reflect.TypeFor[map[string]string](): typeLabels, reflect.TypeFor[map[string]float64](): typeScores,
}

// elastic is the type in Elasticsearch of a field that no line gives another.
func (c column) elastic() string {
	switch {
	case c.time:
		return "date_nanos"
	case c.typ == typeInt:
		return "long"
	case c.typ == typeBool:
		return "boolean"
	case c.typ == typeFloat:
		return "double"
	case c.typ == typeLabels, c.typ == typeScores:
		return "flattened"
	}
	return "keyword"
}

// schemaColumns are the stored fields of records of a kind, in the order of the schema: raw fields and those for detectors only are not among them.
func schemaColumns(k sink.Kind) []column {
	var out []column
	add := func(t reflect.Type, goName, name, clickHouse string, raw bool) {
		sf, ok := t.FieldByName(goName)
		if !ok || raw || clickHouse == "-" {
			return
		}
		if typ, ok := fieldTypes[sf.Type]; ok {
			out = append(out, column{name, sf.Offset, typ, strings.HasPrefix(clickHouse, "DateTime64")})
		}
	}
	if k == sink.KindFinding {
		for _, f := range finding.Schema {
			add(reflect.TypeFor[finding.Fields](), f.Go, f.Column, f.ClickHouse, f.Raw)
		}
		return out
	}
	for _, f := range event.Schema {
		add(reflect.TypeFor[event.Fields](), f.Go, f.Column, f.ClickHouse, f.Raw)
	}
	return append(out, column{name: fieldEventName, typ: typeEventName}, column{name: sink.FieldTraceID, typ: typeTraceID},
		column{name: sink.FieldSpanID, typ: typeSpanID}, column{name: sink.FieldReceived, typ: typeReceived, time: true})
}

// placed is one field of a document and how it gets its value.
type placed struct {
	Field
	line
	source  *column // From
	sources []column
	parts   []placedPart
}

type placedPart struct {
	column *column
	value  string
	m      map[string]string
}

var loadMapping = sync.OnceValues(func() (*mapping, error) {
	var m mapping
	d := yaml.NewDecoder(bytes.NewReader(mappings.ECS))
	d.KnownFields(true)
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("cannot read schemas/mappings/ecs.yaml: %w", err)
	}
	known := map[string]bool{}
	for _, k := range sink.Kinds {
		for _, c := range schemaColumns(k) {
			known[c.name] = true
		}
	}
	var errs []error
	for _, l := range m.Fields {
		for _, name := range l.names() {
			if !known[name] {
				errs = append(errs, fmt.Errorf("schemas/mappings/ecs.yaml: %s: there is no field %s", l.To, name))
			}
		}
		if l.Threat != "" && !slices.Contains(threatParts, l.Threat) {
			errs = append(errs, fmt.Errorf("schemas/mappings/ecs.yaml: %s: threat is one of %s", l.To, strings.Join(threatParts, ", ")))
		}
	}
	return &m, errors.Join(errs...)
})

func (l line) names() []string {
	names := slices.Clone(l.First)
	if l.From != "" {
		names = append(names, l.From)
	}
	for _, p := range l.Any {
		if p.From != "" {
			names = append(names, p.From)
		}
	}
	return names
}

// place works the mapping out for records of a kind.
func (m *mapping) place(k sink.Kind) []placed {
	columns := schemaColumns(k)
	find := func(name string) *column {
		if i := slices.IndexFunc(columns, func(c column) bool { return c.name == name }); i >= 0 {
			return &columns[i]
		}
		return nil
	}
	taken := map[string]bool{}
	var out []placed
	for _, l := range m.Fields {
		if len(l.Only) > 0 && !slices.Contains(l.Only, k) || l.Threat != "" && k != sink.KindFinding {
			continue
		}
		p := placed{Field: Field{l.To, orKeyword(l.Type)}, line: l}
		switch {
		case l.Threat != "" || l.Value != "":
		case l.From != "":
			if p.source = find(l.From); p.source == nil {
				continue
			}
			if l.Map == nil && !l.Keep {
				taken[l.From] = true
			}
		case len(l.First) > 0:
			for _, name := range l.First {
				if c := find(name); c != nil {
					p.sources = append(p.sources, *c)
				}
			}
			if p.sources == nil {
				continue
			}
		default:
			for _, x := range l.Any {
				pp := placedPart{value: x.Value, m: x.Map}
				if x.From != "" {
					if pp.column = find(x.From); pp.column == nil {
						continue
					}
				}
				p.parts = append(p.parts, pp)
			}
			if p.parts == nil {
				continue
			}
		}
		out = append(out, p)
	}
	for i := range columns {
		c := &columns[i]
		if taken[c.name] {
			continue
		}
		f := Field{Root + "." + c.name, c.elastic()}
		if slices.Contains(m.Texts, c.name) {
			f.Type = "match_only_text"
		}
		out = append(out, placed{Field: f, source: c})
	}
	return out
}

func orKeyword(t string) string {
	if t == "" {
		return "keyword"
	}
	return t
}

// Fields are all fields that documents of a kind can have, by their path.
func Fields(k sink.Kind) ([]Field, error) {
	m, err := loadMapping()
	if err != nil {
		return nil, err
	}
	types := map[string]string{
		"@timestamp": "date_nanos", "event.ingested": "date_nanos",
		"data_stream.type": "constant_keyword", "data_stream.dataset": "constant_keyword", "data_stream.namespace": "constant_keyword",
	}
	if k != sink.KindFinding {
		types[Root+"."+sink.FieldMessage] = "match_only_text"
		types[Root+"."+sink.FieldAttributes] = "flattened"
		types[Root+"."+fieldOmitted] = "keyword"
	}
	for _, p := range m.place(k) {
		if t, ok := types[p.Path]; ok && t != p.Field.Type {
			return nil, fmt.Errorf("schemas/mappings/ecs.yaml: %s is %s and %s", p.Path, t, p.Field.Type)
		}
		types[p.Path] = p.Field.Type
	}
	var out []Field
	for _, path := range slices.Sorted(maps.Keys(types)) {
		out = append(out, Field{path, types[path]})
	}
	return out, nil
}

// ECSVersion is the version of the Elastic Common Schema that documents follow.
func ECSVersion() (string, error) {
	m, err := loadMapping()
	if err != nil {
		return "", err
	}
	return m.ECS, nil
}
