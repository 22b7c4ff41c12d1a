// The values of a record by the names of its columns.

package ocsf

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// value is what a column holds. The zero value is nothing.
type value struct {
	kind   valueKind
	s      string
	i      int64
	f      float64
	list   []string
	labels map[string]string
	scores map[string]float64
}

type valueKind int

const (
	isNothing valueKind = iota
	isString
	isInt
	isBool
	isFloat
	isList
	isLabels
	isScores
)

// text is the value as one string, "" for lists and maps.
func (v *value) text() string {
	switch v.kind {
	case isString:
		return v.s
	case isInt:
		return strconv.FormatInt(v.i, 10)
	case isBool:
		return strconv.FormatBool(v.i != 0)
	case isFloat:
		return strconv.FormatFloat(v.f, 'g', -1, 64)
	}
	return ""
}

// column reads one column; a record of the other kind has nothing in it.
type column struct {
	name           string
	event, finding int // index of the field in Fields; -1: none
	pseudo         func(*sink.Record) value
}

var pseudoColumns = map[string]func(*sink.Record) value{
	"time": func(r *sink.Record) value { return intValue(r.Time()) },
	"received": func(r *sink.Record) value {
		if r.Event == nil {
			return value{}
		}
		return intValue(r.Event.Received)
	},
	"event_name": func(r *sink.Record) value {
		if r.Event == nil {
			return stringValue(finding.EventName)
		}
		return stringValue(r.Event.Name)
	},
	"record_key":     func(r *sink.Record) value { return stringValue(r.Key()) },
	"kind_of_record": func(r *sink.Record) value { return stringValue(string(r.Kind())) },
	"message": func(r *sink.Record) value {
		if r.Event == nil {
			return value{}
		}
		return stringValue(r.Event.Body)
	},
	"attributes": func(r *sink.Record) value {
		if r.Event == nil || len(r.Event.Extra) == 0 {
			return value{}
		}
		return value{kind: isLabels, labels: r.Event.Extra}
	},
	"trace_id": func(r *sink.Record) value {
		if r.Event == nil || r.Event.TraceID.IsEmpty() {
			return value{}
		}
		return stringValue(hex.EncodeToString(r.Event.TraceID[:]))
	},
	"span_id": func(r *sink.Record) value {
		if r.Event == nil || r.Event.SpanID.IsEmpty() {
			return value{}
		}
		return stringValue(hex.EncodeToString(r.Event.SpanID[:]))
	},
}

func intValue(n int64) value {
	if n == 0 {
		return value{}
	}
	return value{kind: isInt, i: n}
}

func stringValue(s string) value {
	if s == "" {
		return value{}
	}
	return value{kind: isString, s: s}
}

var eventType, findingType = reflect.TypeFor[event.Fields](), reflect.TypeFor[finding.Fields]()

// newColumn finds a column by its name.
func newColumn(name string) (column, error) {
	c := column{name: name, event: -1, finding: -1, pseudo: pseudoColumns[name]}
	for _, f := range event.Schema {
		if f.Column == name && !f.Raw && f.ClickHouse != "-" {
			c.event = fieldIndex(eventType, f.Go)
		}
	}
	for _, f := range finding.Schema {
		if f.Column == name && f.ClickHouse != "-" {
			c.finding = fieldIndex(findingType, f.Go)
		}
	}
	if c.pseudo == nil && c.event < 0 && c.finding < 0 {
		return c, fmt.Errorf("there is no column %q", name)
	}
	return c, nil
}

func fieldIndex(t reflect.Type, name string) int {
	if f, ok := t.FieldByName(name); ok {
		return f.Index[0]
	}
	return -1
}

// read takes the record's fields as reflect values, which are made once for a record.
func (c *column) read(r *sink.Record, fields reflect.Value) value {
	if c.pseudo != nil {
		return c.pseudo(r)
	}
	i := c.event
	if r.Finding != nil {
		i = c.finding
	}
	if i < 0 {
		return value{}
	}
	f := fields.Field(i)
	switch f.Kind() {
	case reflect.String:
		return stringValue(f.String())
	case reflect.Int64:
		return intValue(f.Int())
	case reflect.Bool:
		if f.Bool() {
			return value{kind: isBool, i: 1}
		}
	case reflect.Float64:
		if x := f.Float(); x != 0 {
			return value{kind: isFloat, f: x}
		}
	case reflect.Slice:
		if l, ok := f.Interface().([]string); ok && len(l) > 0 {
			return value{kind: isList, list: l}
		}
	case reflect.Map:
		switch m := f.Interface().(type) {
		case map[string]string:
			if len(m) > 0 {
				return value{kind: isLabels, labels: m}
			}
		case map[string]float64:
			if len(m) > 0 {
				return value{kind: isScores, scores: m}
			}
		}
	}
	return value{}
}

func fieldsOf(r *sink.Record) reflect.Value {
	if r.Finding != nil {
		return reflect.ValueOf(&r.Finding.Fields).Elem()
	}
	return reflect.ValueOf(&r.Event.Fields).Elem()
}

// stored are the names of all columns of a kind of record.
func stored(k sink.Kind) (names []string) {
	if k == sink.KindFinding {
		for _, f := range finding.Schema {
			if f.ClickHouse != "-" {
				names = append(names, f.Column)
			}
		}
		return names
	}
	for _, f := range event.Schema {
		if f.ClickHouse != "-" && !f.Raw {
			names = append(names, f.Column)
		}
	}
	return append(names, "span_id", "attributes", "message")
}
