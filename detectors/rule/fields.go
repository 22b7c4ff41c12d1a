package rule

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// fieldType is what a field of an event holds, as far as rules tell them apart.
type fieldType uint8

const (
	textField fieldType = iota
	intField
	floatField
	boolField
	listField   // strings
	scoresField // name -> number
	labelsField // name -> text
	toolsField
	messageField // content: conditions see it, sentences never
)

// field is a field of the event as rules name it.
type field struct {
	name  string
	typ   fieldType
	index int    // in event.Fields, unless own
	own   string // event_name, message, time
}

// withheld are fields that no rule sees: raw content, and what means nothing to people.
var withheld = map[string]string{
	"raw_authorization": "raw content ends before detection", "raw_headers": "raw content ends before detection", "raw_url": "raw content ends before detection",
	"body_sha256": "it is replaced before detection; use body_fingerprint", "fingerprints": "it is for detectors only",
}

// fields are all that rules can name.
var fields = func() map[string]field {
	m := map[string]field{
		"event_name": {name: "event_name", typ: textField, own: "event_name"},
		"message":    {name: "message", typ: messageField, own: "message"},
		"time":       {name: "time", typ: intField, own: "time"},
	}
	t := reflect.TypeFor[event.Fields]()
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("expr")
		if name == "" || withheld[name] != "" {
			continue
		}
		f := field{name: name, index: i}
		switch x := reflect.New(t.Field(i).Type).Interface().(type) {
		case *string:
			f.typ = textField
		case *int64:
			f.typ = intField
		case *float64:
			f.typ = floatField
		case *bool:
			f.typ = boolField
		case *[]string:
			f.typ = listField
		case *map[string]float64:
			f.typ = scoresField
		case *map[string]string:
			f.typ = labelsField
		case *[]event.ToolDef:
			f.typ = toolsField
		default:
			_ = x
			continue
		}
		m[name] = f
	}
	return m
}()

// FieldNames are the names of the fields that conditions can use, sorted.
func FieldNames() []string {
	out := make([]string, 0, len(fields))
	for n := range fields {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// FieldType is what a field holds: text, int, float, bool, list, scores, labels, tools or message; empty if there is no such field.
func FieldType(name string) string {
	f, ok := fields[name]
	if !ok {
		return ""
	}
	return [...]string{"text", "int", "float", "bool", "list", "scores", "labels", "tools", "message"}[f.typ]
}

func (f *field) value(e *event.Event) reflect.Value {
	return reflect.ValueOf(&e.Fields).Elem().Field(f.index)
}

// text is a field as one string; empty where it is absent.
func (f *field) text(e *event.Event) string {
	switch f.own {
	case "event_name":
		return e.Name
	case "time":
		return strconv.FormatInt(e.Time, 10)
	case "message":
		return ""
	}
	v := f.value(e)
	switch f.typ {
	case textField:
		return v.String()
	case intField:
		if n := v.Int(); n != 0 {
			return strconv.FormatInt(n, 10)
		}
	case floatField:
		if x := v.Float(); x != 0 {
			return number(x)
		}
	case boolField:
		return strconv.FormatBool(v.Bool())
	case listField:
		return strings.Join(*v.Addr().Interface().(*[]string), ", ")
	case scoresField:
		m := *v.Addr().Interface().(*map[string]float64)
		var parts []string
		for k, x := range m {
			parts = append(parts, k+"="+number(x))
		}
		slices.Sort(parts)
		return strings.Join(parts, ", ")
	case labelsField:
		m := *v.Addr().Interface().(*map[string]string)
		var parts []string
		for k, x := range m {
			parts = append(parts, k+"="+x)
		}
		slices.Sort(parts)
		return strings.Join(parts, ", ")
	}
	return ""
}

// number writes a number for people.
func number(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return strconv.FormatInt(int64(x), 10)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// size is the number of entries of a list or map, or bytes of a text.
func (f *field) size(e *event.Event) int {
	switch f.own {
	case "event_name":
		return len(e.Name)
	case "message":
		return len(e.Body)
	case "time":
		return 1
	}
	switch v := f.value(e); f.typ {
	case textField, listField, scoresField, labelsField, toolsField:
		return v.Len()
	}
	return 1
}
