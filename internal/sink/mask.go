// Which fields of a record go to a sink.

package sink

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// Names of what is not in the schema's list of fields.
const (
	FieldMessage    = "message"    // the JSON-RPC message
	FieldAttributes = "attributes" // attributes that the schema does not know
	FieldTraceID    = "trace_id"
	FieldSpanID     = "span_id"
	FieldReceived   = "received"
)

// identity are the fields without which a record is no longer itself.
var identity = []string{"event_id", "finding_id", "revision", "tenant"}

// mask empties fields. It knows them by their place in the struct.
type mask struct {
	event, finding                                 []int
	message, attributes, traceID, spanID, received bool // emptied
}

// FieldNames are the names that Fields may hold, of events and findings.
func FieldNames() []string {
	names := []string{FieldMessage, FieldAttributes, FieldTraceID, FieldSpanID, FieldReceived}
	for _, f := range event.Schema {
		names = append(names, f.Column)
	}
	for _, f := range finding.Schema {
		names = append(names, f.Column)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func newMask(f Fields) (*mask, error) {
	if len(f.Keep) == 0 && len(f.Drop) == 0 {
		return nil, nil
	}
	if len(f.Keep) > 0 && len(f.Drop) > 0 {
		return nil, errors.New("fields: set keep or drop, not both")
	}
	known := FieldNames()
	for _, n := range slices.Concat(f.Keep, f.Drop) {
		if _, ok := slices.BinarySearch(known, n); !ok {
			return nil, fmt.Errorf("fields: there is no field %q; docs/event.md and docs/finding.md list them (column), beside message, attributes, trace_id, span_id and received", n)
		}
		if len(f.Drop) > 0 && slices.Contains(identity, n) {
			return nil, fmt.Errorf("fields: %s says which record it is and cannot be dropped", n)
		}
	}
	gone := func(name string) bool {
		if len(f.Keep) > 0 {
			return !slices.Contains(f.Keep, name) && !slices.Contains(identity, name)
		}
		return slices.Contains(f.Drop, name)
	}
	m := &mask{message: gone(FieldMessage), attributes: gone(FieldAttributes), traceID: gone(FieldTraceID), spanID: gone(FieldSpanID), received: gone(FieldReceived)}
	et, ft := reflect.TypeFor[event.Fields](), reflect.TypeFor[finding.Fields]()
	for _, x := range event.Schema {
		if sf, ok := et.FieldByName(x.Go); ok && gone(x.Column) {
			m.event = append(m.event, sf.Index[0])
		}
	}
	for _, x := range finding.Schema {
		if sf, ok := ft.FieldByName(x.Go); ok && gone(x.Column) {
			m.finding = append(m.finding, sf.Index[0])
		}
	}
	return m, nil
}

func (m *mask) applyEvent(e *event.Event) {
	v := reflect.ValueOf(&e.Fields).Elem()
	for _, i := range m.event {
		v.Field(i).SetZero()
	}
	if m.message {
		e.Body = ""
	}
	if m.attributes {
		e.Extra = nil
	}
	if m.traceID {
		e.TraceID = pcommon.TraceID{}
	}
	if m.spanID {
		e.SpanID = pcommon.SpanID{}
	}
	if m.received {
		e.Received = 0
	}
}

func (m *mask) applyFinding(f *finding.Finding) {
	v := reflect.ValueOf(&f.Fields).Elem()
	for _, i := range m.finding {
		v.Field(i).SetZero()
	}
}
