package event

import (
	"encoding/json"
	"time"
)

// MarshalJSON writes the event in its JSON form (schemas/event.schema.json): attribute names as keys, the message as JSON
// where it is valid JSON and as a string where it is not.
func (e *Event) MarshalJSON() ([]byte, error) {
	out := struct {
		Time     string `json:"time"`
		Received string `json:"received,omitempty"`
		Name     string `json:"event_name,omitempty"`
		TraceID  string `json:"trace_id,omitempty"`
		SpanID   string `json:"span_id,omitempty"`
		Fields
		Message    any               `json:"message,omitempty"`
		Attributes map[string]string `json:"attributes,omitempty"`
	}{
		Time: timeText(e.Time), Name: e.Name, Fields: e.Fields, Attributes: e.Extra,
	}
	if e.Received != 0 {
		out.Received = timeText(e.Received)
	}
	if !e.TraceID.IsEmpty() {
		out.TraceID = e.TraceID.String()
	}
	if !e.SpanID.IsEmpty() {
		out.SpanID = e.SpanID.String()
	}
	switch {
	case e.Body == "":
	case json.Valid([]byte(e.Body)):
		out.Message = json.RawMessage(e.Body)
	default:
		out.Message = e.Body
	}
	return json.Marshal(out)
}

func timeText(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
