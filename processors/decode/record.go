package decode

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Limits of what a record may bring along that the schema does not know.
const (
	maxAttrs   = 256     // attributes of a record; elements of a list
	maxAttrKey = 128     // bytes
	maxExtra   = 64      // unknown attributes kept
	maxValue   = 4 << 10 // bytes of an unknown attribute
)

// text is a body or attribute as text.
func text(v pcommon.Value) string {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return v.Str()
	case pcommon.ValueTypeBytes:
		return string(v.Bytes().AsRaw())
	}
	return v.AsString()
}

// recordID names a record without an id of its own: log.record.uid if its source gives one, else its place in a file, else its
// content. Without the first two, equal records of one moment are one event.
func recordID(domain string, in *input, body string) string {
	a := in.lr.Attributes()
	if v, ok := a.Get("log.record.uid"); ok && v.AsString() != "" {
		return event.SourceID(domain, "uid", in.sender, v.AsString())
	}
	if off, ok := a.Get("log.file.record_offset"); ok {
		path := ""
		for _, k := range []string{"log.file.path_resolved", "log.file.path", "log.file.name"} {
			if v, ok := a.Get(k); ok {
				path = v.AsString()
				break
			}
		}
		host := ""
		if v, ok := in.res.Attributes().Get("host.name"); ok {
			host = v.AsString()
		}
		if path != "" { // with the content, since a file that is replaced has the same places again
			return event.SourceID(domain, "file", in.sender, host, path, off.AsString(), body)
		}
	}
	return event.SourceID(domain, "content", in.sender, body, contentOf(in.lr))
}

// contentOf is a hash over everything in a record that its source set, whatever the order of its attributes.
func contentOf(lr plog.LogRecord) string {
	h := sha256.New()
	put := func(s string) { h.Write([]byte(strconv.Itoa(len(s)) + ":" + s)) }
	put(strconv.FormatInt(int64(lr.Timestamp()), 10))
	put(lr.EventName())
	put(lr.TraceID().String())
	put(lr.SpanID().String())
	put(text(lr.Body()))
	keys := make([]string, 0, lr.Attributes().Len())
	lr.Attributes().Range(func(k string, _ pcommon.Value) bool { keys = append(keys, k); return true })
	slices.Sort(keys)
	for _, k := range keys {
		v, _ := lr.Attributes().Get(k)
		put(k)
		if shallow(v, maxAttrDepth) {
			put(v.AsString())
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// limitExtra bounds what the schema does not know, in a fixed order.
func limitExtra(e *event.Event) {
	if e.Extra == nil {
		return
	}
	delete(e.Extra, "log.record.uid") // it is in the id
	keys := make([]string, 0, len(e.Extra))
	for k := range e.Extra {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		switch v := e.Extra[k]; {
		case i >= maxExtra || len(k) > maxAttrKey:
			delete(e.Extra, k)
		case len(v) > maxValue:
			e.Extra[k] = cut(v, maxValue)
		}
	}
}

// settleTime makes the event's time one that can be: not absent, not far in the future.
func settleTime(e *event.Event) {
	switch {
	case e.Time <= 0:
		e.Time, e.ClockSource = e.Received, "receiver"
	case e.Time > e.Received+int64(maxAhead/time.Nanosecond):
		e.Time, e.ClockSource = e.Received, "receiver"
		e.Anomalies = append(e.Anomalies, anomalyFuture)
	}
}
