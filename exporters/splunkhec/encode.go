// A record as an event for HEC.

package splunkhec

import (
	"bytes"
	"encoding/hex"
	"unicode/utf8"
	"unsafe"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// encoder writes records. It is read-only and shared.
type encoder struct {
	events, findings               []column // in the order of the JSON
	indexedEvents, indexedFindings []column
	message                        string
	host                           string
}

func newEncoder(c *Config) *encoder {
	e := &encoder{events: eventColumns(c.IndexedFields), findings: findingColumns(c.IndexedFields), message: c.Message, host: c.Host}
	for _, col := range e.events {
		if col.indexed {
			e.indexedEvents = append(e.indexedEvents, col)
		}
	}
	for _, col := range e.findings {
		if col.indexed {
			e.indexedFindings = append(e.indexedFindings, col)
		}
	}
	return e
}

// hostOf is Splunk's host of a record: where the tap is.
func (e *encoder) hostOf(rec *sink.Record) string {
	if rec.Event != nil && rec.Event.HostName != "" {
		return rec.Event.HostName
	}
	return e.host
}

// envelope appends a record for /services/collector/event. head is the part of the envelope that all records of a kind and target share.
func (e *encoder) envelope(b []byte, rec *sink.Record, head string, withMessage bool) []byte {
	b = append(b, '{')
	if t := rec.Time(); t > 0 {
		b = appendEpoch(appendKey(b, "time"), t)
	}
	if h := e.hostOf(rec); h != "" {
		b = sink.AppendString(appendKey(b, "host"), h)
	}
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, head...)
	b = append(b, `,"fields":{`...)
	if rec.Finding != nil {
		b = appendIndexed(b, e.indexedFindings, unsafe.Pointer(&rec.Finding.Fields))
	} else {
		b = appendIndexed(b, e.indexedEvents, unsafe.Pointer(&rec.Event.Fields))
	}
	b = append(b, `},"event":`...)
	b = e.event(b, rec, withMessage)
	return append(b, '}')
}

// event appends the record itself.
func (e *encoder) event(b []byte, rec *sink.Record, withMessage bool) []byte {
	b = append(b, '{')
	if t := rec.Time(); t > 0 {
		b = appendEpoch(appendKey(b, fieldTime), t)
	}
	if rec.Finding != nil {
		b = e.findingFields(b, rec.Finding)
	} else {
		b = e.eventFields(b, rec.Event, withMessage)
	}
	return append(b, '}')
}

func (e *encoder) findingFields(b []byte, f *finding.Finding) []byte {
	b = sink.AppendString(appendKey(b, fieldName), finding.EventName)
	return appendColumns(b, e.findings, unsafe.Pointer(&f.Fields))
}

func (e *encoder) eventFields(b []byte, ev *event.Event, withMessage bool) []byte {
	b = sink.AppendString(appendKey(b, fieldName), ev.Name)
	b = appendColumns(b, e.events, unsafe.Pointer(&ev.Fields))
	if !ev.TraceID.IsEmpty() {
		b = appendHex(appendKey(b, sink.FieldTraceID), ev.TraceID[:])
	}
	if !ev.SpanID.IsEmpty() {
		b = appendHex(appendKey(b, sink.FieldSpanID), ev.SpanID[:])
	}
	if ev.Received > 0 {
		b = appendEpoch(appendKey(b, sink.FieldReceived), ev.Received)
	}
	if len(ev.Extra) > 0 {
		b = appendMap(appendKey(b, sink.FieldAttributes), ev.Extra, sink.AppendString)
	}
	if ev.Body == "" || e.message == messageNone {
		return b
	}
	if !withMessage {
		return sink.AppendString(appendKey(b, fieldOmitted), omittedTooBig)
	}
	b = appendKey(b, sink.FieldMessage)
	if e.message == messageJSON {
		start := len(b)
		b = append(b, ev.Body...)
		// What is not JSON must not be able to end the event or the batch that it is in.
		if m := b[start:]; mcp.Valid(m) && utf8.Valid(m) {
			oneLine(m)
			return b
		}
		b = b[:start]
	}
	return sink.AppendString(b, ev.Body)
}

// oneLine replaces the line breaks of a JSON value, which are between its tokens: one would end a line of the raw endpoint.
func oneLine(m []byte) {
	for _, c := range []byte{'\n', '\r'} {
		for rest := m; ; {
			i := bytes.IndexByte(rest, c)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
}

func appendHex(b, id []byte) []byte {
	b = append(b, '"')
	b = hex.AppendEncode(b, id)
	return append(b, '"')
}
