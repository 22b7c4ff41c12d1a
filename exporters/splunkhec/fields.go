// Which fields of a record go into its JSON, and in which order.

package splunkhec

import (
	"reflect"
	"slices"
	"strconv"

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
		"event_id", "finding_id", "revision", "tenant", "kind", "method", "tool", "server", "outcome", "principal_id", "severity", "rule_id", "status",
		"audit_action", "stream_seq",
	}
)

// column is one field of the schema: its place in the struct of fields and how to write it.
type column struct {
	name    string
	index   int
	kind    reflect.Kind
	elem    reflect.Kind // of a map's values
	time    bool         // ns since 1970: written as epoch seconds
	indexed bool
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
		c := column{name: f.column, index: sf.Index[0], kind: sf.Type.Kind(), time: slices.Contains(times, f.column), indexed: slices.Contains(indexed, f.column)}
		if c.kind == reflect.Map {
			c.elem = sf.Type.Elem().Kind()
		}
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

// append appends the field's value and reports whether it has one: zero values are left out.
func (c *column) append(b []byte, v reflect.Value) ([]byte, bool) {
	switch c.kind {
	case reflect.String:
		if s := v.String(); s != "" {
			return appendString(appendKey(b, c.name), s), true
		}
	case reflect.Int64:
		if n := v.Int(); n != 0 {
			b = appendKey(b, c.name)
			if c.time && n > 0 {
				return appendEpoch(b, n), true
			}
			return strconv.AppendInt(b, n, 10), true
		}
	case reflect.Bool:
		if v.Bool() {
			return append(appendKey(b, c.name), "true"...), true
		}
	case reflect.Float64:
		if f := v.Float(); f != 0 {
			return appendFloat(appendKey(b, c.name), f), true
		}
	case reflect.Slice:
		if v.Len() > 0 {
			if list, ok := v.Interface().([]string); ok {
				return appendStrings(appendKey(b, c.name), list), true
			}
		}
	case reflect.Map:
		if v.Len() > 0 {
			switch m := v.Interface().(type) {
			case map[string]string:
				return appendMap(appendKey(b, c.name), m, appendString), true
			case map[string]float64:
				return appendMap(appendKey(b, c.name), m, appendFloat), true
			}
		}
	}
	return b, false
}

// appendIndexed appends the field as an indexed one: HEC takes strings and lists of strings only.
func (c *column) appendIndexed(b []byte, v reflect.Value) []byte {
	switch c.kind {
	case reflect.String:
		if s := v.String(); s != "" {
			return appendString(appendIndexedKey(b, c.name), s)
		}
	case reflect.Int64:
		if n := v.Int(); n != 0 {
			b = append(appendIndexedKey(b, c.name), '"')
			return append(strconv.AppendInt(b, n, 10), '"')
		}
	case reflect.Bool:
		if v.Bool() {
			return append(appendIndexedKey(b, c.name), `"true"`...)
		}
	case reflect.Slice:
		if list, ok := v.Interface().([]string); ok && len(list) > 0 {
			return appendStrings(appendIndexedKey(b, c.name), list)
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
