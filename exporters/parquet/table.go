// The files' schema, made from that of events and findings, and records as rows of it.

package parquet

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"

	pq "github.com/parquet-go/parquet-go"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// table is the schema of one kind of file. Read-only.
type table struct {
	name    string // events or findings
	schema  *pq.Schema
	columns []column // in the order of the schema's leaves; a map has two leaves and one entry
}

type column struct {
	name   string
	leaf   int // index of its first leaf
	kind   kind
	field  int // index in Fields, or -1
	pseudo func(*sink.Record) any
}

type kind int

const (
	text kind = iota
	number
	nanos // since 1970
	flag
	real
	texts
	labels
	scores
)

func (k kind) node() pq.Node {
	dict := func() pq.Node { return pq.Encoded(pq.String(), &pq.RLEDictionary) }
	switch k {
	case number:
		return pq.Encoded(pq.Int(64), &pq.DeltaBinaryPacked)
	case nanos:
		return pq.Encoded(pq.Timestamp(pq.Nanosecond), &pq.DeltaBinaryPacked)
	case flag:
		return pq.Leaf(pq.BooleanType)
	case real:
		return pq.Leaf(pq.DoubleType)
	case texts:
		return pq.List(dict())
	case labels:
		return pq.Map(dict(), dict())
	case scores:
		return pq.Map(dict(), pq.Leaf(pq.DoubleType))
	}
	return dict()
}

// field is what the descriptions of events and findings have in common.
type field struct{ goName, typ, column, clickHouse string }

var kinds = map[string]kind{"string": text, "int": number, "bool": flag, "float": real, "strings": texts, "labels": labels, "scores": scores}

func newTable(name string, t reflect.Type, fields []field, pseudo map[string]column, plain ...string) (*table, error) {
	tb := &table{name: name}
	root := pq.Group{}
	byName := map[string]column{}
	for _, f := range fields {
		k, ok := kinds[f.typ]
		if !ok || f.clickHouse == "-" {
			continue
		}
		sf, ok := t.FieldByName(f.goName)
		if !ok {
			return nil, fmt.Errorf("BUG: no field %s", f.goName)
		}
		if strings.HasPrefix(f.clickHouse, "DateTime64") {
			k = nanos
		}
		byName[f.column] = column{name: f.column, kind: k, field: sf.Index[0]}
	}
	for n, c := range pseudo {
		c.name, c.field = n, -1
		byName[n] = c
	}
	for n, c := range byName {
		node := c.kind.node()
		if slices.Contains(plain, n) { // different in each row: a dictionary would be as large as they are
			node = pq.Encoded(pq.String(), &pq.DeltaLengthByteArray)
		}
		root[n] = node
	}
	tb.schema = pq.NewSchema(name, root)
	for i, path := range tb.schema.Columns() {
		c := byName[path[0]]
		if len(tb.columns) > 0 && tb.columns[len(tb.columns)-1].name == c.name { // a map's values
			continue
		}
		c.leaf = i
		tb.columns = append(tb.columns, c)
	}
	return tb, nil
}

func newTables(message bool) (events, findings *table, err error) {
	var fs []field
	for _, f := range event.Schema {
		if !f.Raw {
			fs = append(fs, field{f.Go, f.Type, f.Column, f.ClickHouse})
		}
	}
	pseudo := map[string]column{
		"time":       {kind: nanos, pseudo: func(r *sink.Record) any { return r.Event.Time }},
		"received":   {kind: nanos, pseudo: func(r *sink.Record) any { return r.Event.Received }},
		"event_name": {kind: text, pseudo: func(r *sink.Record) any { return r.Event.Name }},
		"trace_id": {kind: text, pseudo: func(r *sink.Record) any {
			if r.Event.TraceID.IsEmpty() {
				return ""
			}
			return hex.EncodeToString(r.Event.TraceID[:])
		}},
		"span_id": {kind: text, pseudo: func(r *sink.Record) any {
			if r.Event.SpanID.IsEmpty() {
				return ""
			}
			return hex.EncodeToString(r.Event.SpanID[:])
		}},
		"attributes": {kind: labels, pseudo: func(r *sink.Record) any { return r.Event.Extra }},
	}
	if message {
		pseudo["message"] = column{kind: text, pseudo: func(r *sink.Record) any { return r.Event.Body }}
	}
	if events, err = newTable("events", reflect.TypeFor[event.Fields](), fs, pseudo, "event_id", "exchange_id", "message", "body_fingerprint", "trace_id", "span_id"); err != nil {
		return nil, nil, err
	}
	fs = nil
	for _, f := range finding.Schema {
		fs = append(fs, field{f.Go, f.Type, f.Column, f.ClickHouse})
	}
	findings, err = newTable("findings", reflect.TypeFor[finding.Fields](), fs,
		map[string]column{"time": {kind: nanos, pseudo: func(r *sink.Record) any { return r.Finding.Time }}}, "finding_id", "summary")
	return events, findings, err
}

// row makes the record's row. What it points to belongs to the record and must be copied by who keeps it.
func (t *table) row(rec *sink.Record) pq.Row {
	var fields reflect.Value
	if rec.Finding != nil {
		fields = reflect.ValueOf(&rec.Finding.Fields).Elem()
	} else {
		fields = reflect.ValueOf(&rec.Event.Fields).Elem()
	}
	row := make(pq.Row, 0, len(t.columns)+8)
	for i := range t.columns {
		c := &t.columns[i]
		var v any
		if c.pseudo != nil {
			v = c.pseudo(rec)
		} else {
			v = fields.Field(c.field).Interface()
		}
		row = c.append(row, v)
	}
	return row
}

func (c *column) append(row pq.Row, v any) pq.Row {
	str := func(s string) pq.Value { return pq.ByteArrayValue([]byte(strings.ToValidUTF8(s, "\ufffd"))) }
	switch v := v.(type) {
	case string:
		return append(row, str(v).Level(0, 0, c.leaf))
	case int64:
		return append(row, pq.Int64Value(v).Level(0, 0, c.leaf))
	case bool:
		return append(row, pq.BooleanValue(v).Level(0, 0, c.leaf))
	case float64:
		return append(row, pq.DoubleValue(v).Level(0, 0, c.leaf))
	case []string:
		if len(v) == 0 {
			return append(row, pq.Value{}.Level(0, 0, c.leaf))
		}
		for i, s := range v {
			row = append(row, str(s).Level(min(i, 1), 1, c.leaf))
		}
		return row
	case map[string]string:
		return appendMap(row, c.leaf, v, str)
	case map[string]float64:
		return appendMap(row, c.leaf, v, pq.DoubleValue)
	}
	panic(fmt.Sprintf("BUG: column %s has a value of type %T", c.name, v))
}

// appendMap appends keys and then values, in key order: equal records have equal rows.
func appendMap[V any](row pq.Row, leaf int, m map[string]V, value func(V) pq.Value) pq.Row {
	if len(m) == 0 {
		return append(row, pq.Value{}.Level(0, 0, leaf), pq.Value{}.Level(0, 0, leaf+1))
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		row = append(row, pq.ByteArrayValue([]byte(strings.ToValidUTF8(k, "\ufffd"))).Level(min(i, 1), 1, leaf))
	}
	for i, k := range keys {
		row = append(row, value(m[k]).Level(min(i, 1), 1, leaf+1))
	}
	return row
}
