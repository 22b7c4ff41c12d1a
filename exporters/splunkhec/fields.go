// Which fields of a record go into its JSON, and in which order.

package splunkhec

import (
	"reflect"
	"slices"
	"strconv"
	"unsafe"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Splunk's automatic extraction at search time gives up after 10,240 characters ([kv] maxchars), spath after 5,000: what people search by
// comes first, the message last.
var (
	eventFirst = []string{
		"event_id", "tenant", "kind", "method", "tool", "server", "outcome", "principal_id", "principal_kind", "principal_verified", "principal_method",
		"client_name", "direction", "exchange_id", "conversation_id", "audit_action", "audit_target", "error_type", "rpc_code", "auth_decision",
		"data_classes", "anomalies", "signals", "redactions", "destinations", "capabilities", "resource_uri", "prompt", "duration_ns", "capture", "host_name", "client_address",
		"server_address", "transport", "cost_amount", "cost_currency", "tokens_arguments", "tokens_result",
	}
	findingFirst = []string{
		"finding_id", "revision", "rule_id", "severity", "status", "title", "tenant", "principal_id", "principal_verified", "server", "tool", "client_name",
		"conversation_id", "count", "first_seen", "last_seen", "group_id", "summary", "references", "confidence", "rule_version", "event_ids",
	}
	defaultIndexed = []string{
		"event_id", "finding_id", "revision", "tenant", "server", "tool", "principal_id", "severity", "rule_id", "audit_action",
	}
)

// column is one field of the schema: where in the struct of fields it is and how to write it. The structs are generated from the schema and have
// about a hundred fields, most of them empty in any record: reading them by reflection costs more than everything else about an event, so they
// are read by their offset. columns, which alone makes columns, takes offset and type from the struct itself.
type column struct {
	name    string
	offset  uintptr
	typ     fieldType
	time    bool // ns since 1970: written as epoch seconds
	indexed bool
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
)

var fieldTypes = map[reflect.Type]fieldType{
	reflect.TypeFor[string](): typeString, reflect.TypeFor[int64](): typeInt, reflect.TypeFor[bool](): typeBool, reflect.TypeFor[float64](): typeFloat,
	reflect.TypeFor[[]string](): typeStrings, reflect.TypeFor[map[string]string](): typeLabels, reflect.TypeFor[map[string]float64](): typeScores,
}

// Fields that hold a time. They are numbers of nanoseconds in the schema.
var times = []string{"exchange_start", "tap_epoch", "first_seen", "last_seen", "accepted_until"}

// stored is what the store has of a schema: raw fields and those for detectors only are left out.
func columns(t reflect.Type, fields []sinkField, first, indexed []string) []column {
	var out []column
	add := func(f sinkField) {
		sf, ok := t.FieldByName(f.goName)
		if !ok || f.raw || f.clickHouse == "-" {
			return
		}
		typ, ok := fieldTypes[sf.Type]
		if !ok {
			return // a list of structs or numbers, for detectors
		}
		c := column{name: f.column, offset: sf.Offset, typ: typ, time: slices.Contains(times, f.column), indexed: slices.Contains(indexed, f.column)}
		out = append(out, c)
	}
	for _, name := range first {
		if i := slices.IndexFunc(fields, func(f sinkField) bool { return f.column == name }); i >= 0 {
			add(fields[i])
		}
	}
	for _, f := range fields {
		if !slices.Contains(first, f.column) {
			add(f)
		}
	}
	return out
}

// sinkField is what the two schemas' descriptions have in common.
type sinkField struct {
	goName, column, clickHouse string
	raw                        bool
}

func eventColumns(indexed []string) []column {
	var fs []sinkField
	for _, f := range event.Schema {
		fs = append(fs, sinkField{f.Go, f.Column, f.ClickHouse, f.Raw})
	}
	return columns(reflect.TypeFor[event.Fields](), fs, eventFirst, indexed)
}

func findingColumns(indexed []string) []column {
	var fs []sinkField
	for _, f := range finding.Schema {
		fs = append(fs, sinkField{f.Go, f.Column, f.ClickHouse, f.Raw})
	}
	return columns(reflect.TypeFor[finding.Fields](), fs, findingFirst, indexed)
}

// DefaultIndexed are the fields that go as indexed ones unless told otherwise.
func DefaultIndexed() []string { return slices.Clone(defaultIndexed) }

// Names beside those of the schema.
const (
	fieldTime     = "time"
	fieldName     = "event_name"
	fieldOmitted  = "message_omitted" // why a message that was there is not
	omittedTooBig = "too_large"
)

// EmittedFields are the names of the fields that events of this exporter can have in Splunk, beside Splunk's own. What is searched for or
// mapped elsewhere must be among them.
func EmittedFields() []string {
	out := []string{fieldTime, fieldName, fieldOmitted, sink.FieldMessage, sink.FieldAttributes, sink.FieldTraceID, sink.FieldSpanID, sink.FieldReceived}
	for _, c := range slices.Concat(eventColumns(nil), findingColumns(nil)) {
		if !slices.Contains(out, c.name) {
			out = append(out, c.name)
		}
	}
	return out
}

// appendColumns appends the fields that have a value. p points to the struct that the columns were made for.
func appendColumns(b []byte, cols []column, p unsafe.Pointer) []byte {
	for i := range cols {
		c := &cols[i]
		at := unsafe.Add(p, c.offset)
		switch c.typ {
		case typeString:
			if s := *(*string)(at); s != "" {
				b = sink.AppendString(appendKey(b, c.name), s)
			}
		case typeInt:
			if n := *(*int64)(at); n != 0 {
				b = appendKey(b, c.name)
				if c.time && n > 0 {
					b = appendEpoch(b, n)
				} else {
					b = strconv.AppendInt(b, n, 10)
				}
			}
		case typeBool:
			if *(*bool)(at) {
				b = append(appendKey(b, c.name), "true"...)
			}
		case typeFloat:
			if f := *(*float64)(at); f != 0 {
				b = sink.AppendFloat(appendKey(b, c.name), f)
			}
		case typeStrings:
			if l := *(*[]string)(at); len(l) > 0 {
				b = appendStrings(appendKey(b, c.name), l)
			}
		case typeLabels:
			if m := *(*map[string]string)(at); len(m) > 0 {
				b = appendMap(appendKey(b, c.name), m, sink.AppendString)
			}
		case typeScores:
			if m := *(*map[string]float64)(at); len(m) > 0 {
				b = appendMap(appendKey(b, c.name), m, sink.AppendFloat)
			}
		}
	}
	return b
}

// appendIndexed appends fields as indexed ones: HEC takes strings and lists of strings only.
func appendIndexed(b []byte, cols []column, p unsafe.Pointer) []byte {
	for i := range cols {
		c := &cols[i]
		at := unsafe.Add(p, c.offset)
		switch c.typ {
		case typeString:
			if s := *(*string)(at); s != "" {
				b = sink.AppendString(appendIndexedKey(b, c.name), s)
			}
		case typeInt:
			if n := *(*int64)(at); n != 0 {
				b = append(appendIndexedKey(b, c.name), '"')
				b = append(strconv.AppendInt(b, n, 10), '"')
			}
		case typeBool:
			if *(*bool)(at) {
				b = append(appendIndexedKey(b, c.name), `"true"`...)
			}
		case typeStrings:
			if l := *(*[]string)(at); len(l) > 0 {
				b = appendStrings(appendIndexedKey(b, c.name), l)
			}
		}
	}
	return b
}

// IndexedPrefix is what the names of indexed fields begin with. A field of the same name in the event and in the index would have each of its
// values twice.
const IndexedPrefix = "mcp_"

func appendIndexedKey(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), IndexedPrefix...)
	return append(append(b, name...), '"', ':')
}
