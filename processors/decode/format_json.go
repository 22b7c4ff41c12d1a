package decode

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// kindJSON is the source kind of events in the JSON form.
const kindJSON = "json"

// jsonFormat reads the JSON form of an event (schemas/event.schema.json): an object with `time`, `message`, and attributes by
// their names in the schema. It comes as the body of a log record: a line of a file as text, or a map.
type jsonFormat struct{}

func (jsonFormat) Name() string { return kindJSON }

func (jsonFormat) Claims(_ pcommon.Resource, _ pcommon.InstrumentationScope, lr plog.LogRecord) bool {
	switch b := lr.Body(); b.Type() {
	case pcommon.ValueTypeStr:
		return looksJSONForm(b.Str())
	case pcommon.ValueTypeBytes:
		return looksJSONForm(string(b.Bytes().AsRaw()))
	case pcommon.ValueTypeMap:
		_, m := b.Map().Get("message")
		_, t := b.Map().Get("time")
		return m && t
	}
	return false
}

// looksJSONForm is a guess without parsing; Decode finds out.
func looksJSONForm(s string) bool {
	s = strings.TrimLeft(strings.TrimPrefix(s, "\ufeff"), " \t\r\n")
	return strings.HasPrefix(s, "{") && strings.Contains(s, `"message"`) && strings.Contains(s, `"time"`)
}

func (jsonFormat) Decode(d *decoder, in *input, out *output) {
	body := in.lr.Body()
	if body.Type() == pcommon.ValueTypeMap && !shallow(body, maxAttrDepth) {
		body.SetStr("")
	}
	line := strings.TrimPrefix(text(body), "\ufeff")
	f, ok := parseJSONForm(line)
	if !ok {
		unknownEvent(d, in, out, anomalyJSON)
		return
	}

	// The attributes go through the wire form once, which gives them the types of the schema.
	tmp := plog.NewLogRecord()
	m := tmp.Attributes()
	in.lr.Attributes().Range(func(k string, v pcommon.Value) bool { // of the log record, e.g. log.file.path
		if m.Len() < maxAttrs && !d.forbidden(k) && shallow(v, maxAttrDepth) {
			v.CopyTo(m.PutEmpty(k))
		}
		return true
	})
	for _, a := range f.attrs {
		if m.Len() < maxAttrs && !d.forbidden(a.key) {
			putJSON(m, a.key, a.raw)
		}
	}
	if _, ok := m.Get(event.AttrMethod); ok && (f.message == "" || f.message == "null") {
		jsonOperation(d, in, out, f, m, line)
		return
	}
	var e event.Event
	event.Decode(pcommon.NewResource(), tmp, &e)
	limitExtra(&e)
	e.Name, e.SourceKind = "", kindJSON
	e.TraceID, e.SpanID = f.trace, f.span
	e.Time, e.Received = f.time, in.received
	if e.Time == 0 {
		e.Time, e.ClockSource = int64(in.lr.Timestamp()), "receiver"
	}
	if e.ClockSource == "" {
		e.ClockSource = "source"
	}
	settleTime(&e)
	if e.SessionID != "" {
		e.SessionID = mcp.Hash("session", e.SessionID)
	}
	if f.bad {
		e.Anomalies = append(e.Anomalies, anomalyJSON)
	}

	id := jsonID(&e, in, line)
	base := e
	base.ID = id
	own := func(id *string) {
		if *id == "" {
			return
		}
		if p := in.prefix.of(e.TapID, e.TapEpoch); e.TapID != "" && isID(*id) && (*id)[:16] == hex.EncodeToString(p[:]) {
			return
		}
		*id, _ = ownID(*id)
	}
	own(&base.ExchangeID)
	own(&base.CallID)
	own(&base.BatchID)
	if id != e.ID { // not that tap's event
		disown(&base)
	}
	base.Transport = transportOf(&base)
	source := base.Server + "\x00" + base.HostName + "\x00" + serviceOf(in.res)
	if base.Kind == event.KindRecord { // the tap's own records, read back
		base.Name = f.name
		base.Body = f.message
		out.add(&base)
		return
	}
	addMessages(d, out, &base, f.message, in.sender, source)
}

// jsonOperation makes events of a line that tells of an operation without its message: `message` is null.
func jsonOperation(d *decoder, in *input, out *output, f jsonForm, m pcommon.Map, line string) {
	op := operation{start: f.time}
	op.read(d, m)
	e := &op.base
	e.SourceKind, e.ClockSource, e.Received = kindJSON, "source", in.received
	e.TraceID, e.SpanID = f.trace, f.span
	e.Time = f.time
	settleTime(e)
	op.start, op.end = e.Time, e.Time
	op.answered = op.ended()
	if e.DurationNanos > 0 && e.DurationNanos < op.end {
		op.start = op.end - e.DurationNanos
	}
	op.ids = []string{kindJSON, recordID("json", in, line)}
	op.emit(out)
}

// addMessages makes an event of each JSON-RPC message in body. base is the event without its message.
func addMessages(d *decoder, out *output, base *event.Event, body, sender, source string) {
	lim := mcp.Limits{Partial: base.Capture == event.CaptureTruncated}
	n := 0
	trimmed := strings.TrimLeft(strings.TrimPrefix(body, "\ufeff"), " \t\r\n")
	single := !strings.HasPrefix(trimmed, "[")
	emit := func(m *mcp.Message, raw string) {
		e := *base
		e.Anomalies = append([]string(nil), base.Anomalies...)
		e.Body = raw
		if n > 0 {
			e.ID = event.SourceID("member", base.ID, strconv.Itoa(n))
		}
		if !single {
			e.BodySize, e.BodySHA256 = 0, ""
			e.BatchID, e.BatchIndex = base.ID, int64(n)
		}
		describe(&e, m)
		d.pairs.pair(&e, sender, source)
		out.add(&e)
		n++
	}
	if single {
		m := mcp.Parse([]byte(body), lim)
		emit(&m, body)
		return
	}
	mcp.Split([]byte(body), lim, func(m *mcp.Message) bool {
		if !m.Batched { // not a batch after all, e.g. not JSON
			single = true
			emit(m, body)
			return true
		}
		emit(m, string(m.Raw))
		return true
	})
}

// jsonID is the event's id: the source's own, else a place in a file, else the content.
func jsonID(e *event.Event, in *input, line string) string {
	if e.ID != "" {
		if e.TapID != "" && e.TapSeq > 0 && isTapID(e.ID, in.prefix.of(e.TapID, e.TapEpoch), e.TapSeq) {
			return e.ID // a tap's event, read back
		}
		id, refused := ownID(e.ID)
		if refused {
			e.Anomalies = append(e.Anomalies, anomalyID)
		}
		return id
	}
	return recordID("json", in, line)
}

// jsonForm is a line taken apart.
type jsonForm struct {
	name       string
	time       int64 // ns since 1970; 0 if it cannot be read
	trace      pcommon.TraceID
	span       pcommon.SpanID
	message    string // JSON-RPC
	attrs      []jsonAttr
	bad        bool // a field that cannot be read
	hasM, hasT bool
}

type jsonAttr struct {
	key string
	raw []byte
}

func parseJSONForm(line string) (f jsonForm, ok bool) {
	b := []byte(line)
	if !mcp.Valid(b) {
		return f, false
	}
	add := func(k string, v []byte) {
		if len(f.attrs) < maxAttrs {
			f.attrs = append(f.attrs, jsonAttr{strings.Clone(cut(k, maxAttrKey)), v})
		}
	}
	mcp.EachMember(b, func(k, v []byte) bool {
		switch string(k) {
		case "time":
			s, _ := mcp.Text(v)
			t, err := time.Parse(time.RFC3339Nano, s)
			switch {
			case err == nil && t.Year() >= 1970 && t.Year() < 2262:
				f.time = t.UnixNano()
			default:
				f.bad = true
			}
			f.hasT = true
		case "received": // when we received it counts
		case "event_name":
			f.name, _ = mcp.Text(v)
			f.name = cut(f.name, maxAttrKey)
		case "trace_id":
			s, _ := mcp.Text(v)
			if n, err := hex.Decode(f.trace[:], []byte(cut(s, 32))); err != nil || n != 16 {
				f.trace, f.bad = pcommon.TraceID{}, true
			}
		case "span_id":
			s, _ := mcp.Text(v)
			if n, err := hex.Decode(f.span[:], []byte(cut(s, 16))); err != nil || n != 8 {
				f.span, f.bad = pcommon.SpanID{}, true
			}
		case "message":
			f.hasM = true
			if s, isText := mcp.Text(v); isText {
				f.message = s
			} else {
				f.message = string(v)
			}
		case "attributes":
			if !mcp.EachMember(v, func(k, v []byte) bool { add(string(k), v); return true }) {
				f.bad = true
			}
		default:
			add(string(k), v)
		}
		return true
	})
	return f, f.hasM && f.hasT
}

// putJSON puts a JSON value as an attribute.
func putJSON(m pcommon.Map, k string, raw []byte) {
	if len(raw) == 0 {
		return
	}
	switch raw[0] {
	case '"':
		s, _ := mcp.Text(raw)
		m.PutStr(k, s)
	case 't', 'f':
		m.PutBool(k, raw[0] == 't')
	case 'n':
	case '[':
		s := m.PutEmptySlice(k)
		mcp.EachElement(raw, func(i int, v []byte) bool {
			jsonValue(s.AppendEmpty(), v)
			return i < maxAttrs
		})
	case '{':
		o := m.PutEmptyMap(k)
		mcp.EachMember(raw, func(k, v []byte) bool {
			jsonValue(o.PutEmpty(string(k)), v)
			return o.Len() < maxAttrs
		})
	default:
		jsonValue(m.PutEmpty(k), raw)
	}
}

// jsonValue sets a scalar; what is nested stays JSON text, since no attribute of the schema nests deeper.
func jsonValue(to pcommon.Value, raw []byte) {
	switch raw[0] {
	case '"':
		s, _ := mcp.Text(raw)
		to.SetStr(s)
	case 't', 'f':
		to.SetBool(raw[0] == 't')
	case 'n':
	case '{', '[':
		// Of the schema's fields only the tool definitions have objects in a list, and no source may set those.
		to.SetStr(string(raw))
	default:
		s := string(raw)
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			to.SetInt(i)
		} else if f, err := strconv.ParseFloat(s, 64); err == nil {
			to.SetDouble(f)
		} else {
			to.SetStr(s)
		}
	}
}
