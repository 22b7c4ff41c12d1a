// The bodies of requests: records in their documented JSON form.

package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// item is a record ready to go.
type item struct {
	key   string
	index int
	json  []byte
}

// encode is the record as JSON: schemas/event.schema.json, schemas/finding.schema.json with time and event_name. One that is larger than limit
// goes without its message; ok says whether it fits then.
func encode(rec *sink.Record, limit int) (b []byte, ok bool) {
	if rec.Finding != nil {
		b = encodeFinding(rec.Finding)
		return b, b != nil && len(b) <= limit
	}
	b = encodeEvent(rec.Event)
	if len(b) > limit && rec.Event.Body != "" {
		short := *rec.Event
		short.Body = ""
		b = encodeEvent(&short)
	}
	return b, b != nil && len(b) <= limit
}

func encodeEvent(e *event.Event) []byte {
	b, err := e.MarshalJSON()
	if err != nil {
		return nil // a number that JSON cannot hold
	}
	return b
}

func encodeFinding(f *finding.Finding) []byte {
	b, err := json.Marshal(struct {
		Time string `json:"time"`
		Name string `json:"event_name"`
		finding.Fields
	}{time.Unix(0, f.Time).UTC().Format(time.RFC3339Nano), finding.EventName, f.Fields})
	if err != nil {
		return nil
	}
	return b
}

// batchID is the same for the same records in the same order: what the receiver knows a repetition by. A record's own key is only taken if it fits
// into a header and into the text that is signed, whose parts are separated by dots.
func batchID(items []item) string {
	if len(items) == 1 && fits(items[0].key) {
		return items[0].key
	}
	h := sha256.New()
	for _, x := range items {
		h.Write([]byte(x.key))
		if x.key == "" {
			h.Write(x.json)
		}
		h.Write([]byte{0})
	}
	return "batch-" + hex.EncodeToString(h.Sum(nil)[:16])
}

func fits(key string) bool {
	return key != "" && len(key) <= 128 && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_'
	})
}

func body(kind string, items []item) (b []byte, contentType string) {
	switch kind {
	case bodyRecord:
		return items[0].json, "application/json"
	case bodyLines:
		for _, x := range items {
			b = append(append(b, x.json...), '\n')
		}
		return b, "application/x-ndjson"
	}
	var w bytes.Buffer
	w.WriteString(`{"version":1,"records":[`)
	for i, x := range items {
		if i > 0 {
			w.WriteByte(',')
		}
		w.Write(x.json)
	}
	w.WriteString(`]}`)
	return w.Bytes(), "application/json"
}
