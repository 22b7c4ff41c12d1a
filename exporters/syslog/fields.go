// The fields of a record by their names in the store.

package syslog

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Names beside those of the schemas.
const (
	fieldTime = "time"       // ms since 1970
	fieldName = "event_name" // of the record
)

var eventFields, findingFields = index(reflect.TypeFor[event.Fields](), eventColumns()), index(reflect.TypeFor[finding.Fields](), findingColumns())

type column struct{ goName, name string }

func eventColumns() (out []column) {
	for _, f := range event.Schema {
		if !f.Raw {
			out = append(out, column{f.Go, f.Column})
		}
	}
	return out
}

func findingColumns() (out []column) {
	for _, f := range finding.Schema {
		out = append(out, column{f.Go, f.Column})
	}
	return out
}

func index(t reflect.Type, cols []column) map[string]int {
	out := map[string]int{}
	for _, c := range cols {
		if sf, ok := t.FieldByName(c.goName); ok {
			out[c.name] = sf.Index[0]
		}
	}
	return out
}

// known reports whether records of a kind have a field.
func known(kind sink.Kind, name string) bool {
	if name == fieldTime || name == fieldName {
		return true
	}
	m := eventFields
	if kind == sink.KindFinding {
		m = findingFields
	}
	_, ok := m[name]
	return ok
}

// value is a field as text; empty if it has none. Lists are joined by commas.
func value(rec *sink.Record, name string) string {
	switch name {
	case fieldTime:
		if t := rec.Time(); t > 0 {
			return strconv.FormatInt(t/1e6, 10)
		}
		return ""
	case fieldName:
		if rec.Finding != nil {
			return finding.EventName
		}
		return rec.Event.Name
	}
	var v reflect.Value
	if rec.Finding != nil {
		i, ok := findingFields[name]
		if !ok {
			return ""
		}
		v = reflect.ValueOf(&rec.Finding.Fields).Elem().Field(i)
	} else {
		i, ok := eventFields[name]
		if !ok {
			return ""
		}
		v = reflect.ValueOf(&rec.Event.Fields).Elem().Field(i)
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Int64:
		if n := v.Int(); n != 0 {
			return strconv.FormatInt(n, 10)
		}
	case reflect.Bool:
		if v.Bool() {
			return "true"
		}
	case reflect.Float64:
		if f := v.Float(); f != 0 {
			return strconv.FormatFloat(f, 'g', -1, 64)
		}
	case reflect.Slice:
		if l, ok := v.Interface().([]string); ok {
			return strings.Join(l, ",")
		}
	case reflect.Map:
		var keys []string
		for _, k := range v.MapKeys() {
			keys = append(keys, k.String())
		}
		slices.Sort(keys)
		return strings.Join(keys, ",")
	}
	return ""
}
