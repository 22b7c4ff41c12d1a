// Package configdoc makes the reference of the configuration, and a JSON Schema of it, from the components' types, defaults and comments.
package configdoc

//go:generate go test . -run TestFiles -update

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/otelcol"
)

// Kinds of components, in the order of a configuration file.
var Kinds = []string{"extensions", "receivers", "processors", "connectors", "exporters"}

// Component is one component of the distribution.
type Component struct {
	Kind, Type string
	Package    string // of its configuration type
	Fields     []Field
}

// Own reports whether the component is mcpsiem's.
func (c Component) Own() bool { return strings.HasPrefix(c.Package, module) }

const module = "github.com/mcpsiem/mcpsiem/"

// Field is one setting.
type Field struct {
	Key      string
	Type     string // in words: string, integer, number, boolean, duration, secret, list, map, section, any
	Default  string // YAML flow form; empty for none
	Doc      string
	Optional bool    // a section that is absent unless given
	Fields   []Field // of a section, or of a list's or map's items
	Item     string  // type in words of a list's or map's items
	Foreign  bool    // the section's type is the Collector's

	owner reflect.Type // struct that has it
	name  string       // its name in Go
}

// Components reads the default configurations of the distribution's factories.
func Components(f otelcol.Factories) []Component {
	var out []Component
	add := func(kind string, typ component.Type, fac component.Factory) {
		cfg := reflect.ValueOf(fac.CreateDefaultConfig())
		for cfg.Kind() == reflect.Pointer {
			cfg = cfg.Elem()
		}
		out = append(out, Component{Kind: kind, Type: typ.String(), Package: cfg.Type().PkgPath(), Fields: fields(cfg, 0)})
	}
	for t, x := range f.Extensions {
		add("extensions", t, x)
	}
	for t, x := range f.Receivers {
		add("receivers", t, x)
	}
	for t, x := range f.Processors {
		add("processors", t, x)
	}
	for t, x := range f.Connectors {
		add("connectors", t, x)
	}
	for t, x := range f.Exporters {
		add("exporters", t, x)
	}
	slices.SortFunc(out, func(a, b Component) int {
		if d := slices.Index(Kinds, a.Kind) - slices.Index(Kinds, b.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.Type, b.Type)
	})
	return out
}

const maxDepth = 12 // some of the Collector's types contain themselves

// fields lists the settings of a struct.
func fields(v reflect.Value, depth int) []Field {
	if depth > maxDepth {
		return nil
	}
	var out []Field
	t := v.Type()
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, opts, _ := strings.Cut(sf.Tag.Get("mapstructure"), ",")
		if !sf.IsExported() || tag == "-" || strings.Contains(opts, "remain") {
			continue
		}
		if strings.Contains(opts, "squash") || sf.Anonymous && tag == "" {
			if e := deref(v.Field(i)); e.Kind() == reflect.Struct {
				out = append(out, fields(e, depth+1)...)
			}
			continue
		}
		if tag == "" {
			tag = strings.ToLower(sf.Name)
		}
		f := Field{Key: tag, owner: t, name: sf.Name}
		describe(&f, v.Field(i), depth)
		out = append(out, f)
	}
	return out
}

func deref(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		v = v.Elem()
	}
	return v
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]() // what reads itself from text is text
)

// describe fills type, default and parts from a value.
func describe(f *Field, v reflect.Value, depth int) {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		f.Optional = v.IsNil()
		describe(f, deref(v), depth)
		if f.Optional {
			f.Default = ""
		}
		return
	}
	if strings.HasPrefix(t.Name(), "Optional[") && strings.HasSuffix(t.PkgPath(), "/configoptional") {
		f.Optional = v.FieldByName("flavor").Int() == 0 || v.FieldByName("flavor").Int() == 1
		describe(f, v.FieldByName("value"), depth)
		if f.Optional {
			f.Default = ""
		}
		return
	}
	switch {
	case t == durationType:
		f.Type, f.Default = "duration", duration(time.Duration(v.Int()))
		return
	case t == timeType:
		f.Type = "time"
		return
	case strings.HasSuffix(t.PkgPath(), "/configopaque") && t.Kind() == reflect.String:
		f.Type = "secret"
		return
	}
	if reflect.PointerTo(t).Implements(textType) {
		f.Type = "string"
		if v.Kind() == reflect.String {
			f.Default = scalar(v)
		}
		return
	}
	switch t.Kind() {
	case reflect.String:
		f.Type, f.Default = "string", scalar(v)
	case reflect.Bool:
		f.Type, f.Default = "boolean", scalar(v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		f.Type, f.Default = "integer", scalar(v)
	case reflect.Float32, reflect.Float64:
		f.Type, f.Default = "number", scalar(v)
	case reflect.Slice, reflect.Array:
		f.Type, f.Default = "list", list(v)
		item := Field{}
		describe(&item, reflect.New(t.Elem()).Elem(), depth+1)
		f.Item, f.Fields = item.Type, item.Fields
		if t.Elem().Kind() == reflect.Uint8 {
			f.Type, f.Item, f.Default = "string", "", ""
		}
	case reflect.Map:
		f.Type, f.Default = "map", list(v)
		item := Field{}
		describe(&item, reflect.New(t.Elem()).Elem(), depth+1)
		f.Item, f.Fields = item.Type, item.Fields
	case reflect.Struct:
		f.Type, f.Fields = "section", fields(v, depth+1)
		f.Foreign = !strings.HasPrefix(t.PkgPath(), strings.TrimSuffix(module, "/"))
	default:
		f.Type = "any"
	}
}

// scalar is a value in YAML; zero values of text and numbers are nothing to tell.
func scalar(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		if v.String() == "" {
			return ""
		}
		if s := v.String(); strings.ContainsAny(s, ":#{}[],&*!|>'\"%@`\n") || strings.TrimSpace(s) != s || s == "true" || s == "false" || s == "off" || s == "on" || s == "none" || s == "null" {
			return strconv.Quote(s)
		}
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.Type() == durationType {
			return duration(time.Duration(v.Int()))
		}
		return strconv.FormatInt(v.Int(), 10)
	}
	return ""
}

// list writes lists and maps of scalars in flow form; others are too long for a default.
func list(v reflect.Value) string {
	if v.Len() == 0 {
		return ""
	}
	var parts []string
	if v.Kind() == reflect.Map {
		for _, k := range v.MapKeys() {
			s := scalar(v.MapIndex(k))
			if s == "" {
				return ""
			}
			parts = append(parts, scalar(k)+": "+s)
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	}
	for i := range v.Len() {
		s := scalar(v.Index(i))
		if s == "" {
			return ""
		}
		parts = append(parts, s)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// duration in the largest unit that is whole: 168h, not 168h0m0s.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
