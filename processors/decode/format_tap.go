package decode

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/attr"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// kindTap is the source kind of a tap's records.
const kindTap = "tap"

// tapFormat takes the records of mcptap. They are events already: one pass over the attributes checks what a sender could
// forge, and the record stays in place.
type tapFormat struct{}

func (tapFormat) Name() string { return kindTap }

func (tapFormat) Claims(res pcommon.Resource, _ pcommon.InstrumentationScope, lr plog.LogRecord) bool {
	v, ok := lr.Attributes().Get(event.AttrSourceKind)
	if !ok {
		v, ok = res.Attributes().Get(event.AttrSourceKind)
	}
	return ok && v.Type() == pcommon.ValueTypeStr && v.Str() == kindTap
}

func (tapFormat) Decode(d *decoder, in *input, out *output) {
	var id, tap, kind string
	var epoch, seq int64
	deep := false
	m := in.lr.Attributes()
	m.RemoveIf(func(k string, v pcommon.Value) bool {
		switch k {
		case event.AttrID:
			id = v.AsString()
		case event.AttrTapID:
			tap = v.AsString()
		case event.AttrTapEpoch:
			epoch = attr.Int(v)
		case event.AttrTapSeq:
			seq = attr.Int(v)
		case event.AttrKind:
			kind = v.AsString()
		default:
			if t := v.Type(); (t == pcommon.ValueTypeMap || t == pcommon.ValueTypeSlice) && !shallow(v, maxAttrDepth) {
				deep = true
				return true
			}
			return d.forbidden(k)
		}
		return false
	})
	if tap == "" || epoch == 0 { // a tap may put what all its events share on the resource
		if v, ok := in.res.Attributes().Get(event.AttrTapID); ok && tap == "" {
			tap = v.AsString()
		}
		if v, ok := in.res.Attributes().Get(event.AttrTapEpoch); ok && epoch == 0 {
			epoch = attr.Int(v)
		}
	}
	if deep {
		addAnomaly(m, anomalyDeep)
	}
	body := in.lr.Body()
	switch body.Type() {
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		if !shallow(body, maxAttrDepth) {
			body.SetStr("")
			addAnomaly(m, anomalyDeep)
			break
		}
		body.SetStr(body.AsString())
	case pcommon.ValueTypeEmpty, pcommon.ValueTypeStr, pcommon.ValueTypeBytes:
	default:
		body.SetStr(body.AsString())
	}
	d.tapTime(in)
	if p := in.prefix.of(tap, epoch); tap == "" || seq <= 0 {
		m.PutStr(event.AttrID, event.SourceID("tap", tap, strconv.FormatInt(epoch, 10), contentOf(in.lr)))
		if id != "" {
			addAnomaly(m, anomalyID)
		}
	} else if !isTapID(id, p, seq) {
		m.PutStr(event.AttrID, p.ID(seq))
		if id != "" {
			addAnomaly(m, anomalyID)
		}
	}
	if kind == "" {
		m.PutStr(event.AttrKind, event.KindInvalid)
		kind = event.KindInvalid
	}
	if in.lr.EventName() == "" {
		in.lr.SetEventName(nameOf(kind))
	}
	out.keep()
}

// tapTime fills in missing times and takes back those from the future.
func (d *decoder) tapTime(in *input) {
	lr, now := in.lr, pcommon.Timestamp(in.received)
	if t := lr.ObservedTimestamp(); t == 0 || t > now+pcommon.Timestamp(maxAhead) {
		lr.SetObservedTimestamp(now)
	}
	switch t := lr.Timestamp(); {
	case t == 0:
		lr.SetTimestamp(lr.ObservedTimestamp())
		lr.Attributes().PutStr(event.AttrClockSource, "receiver")
	case t > now+pcommon.Timestamp(maxAhead):
		lr.SetTimestamp(now)
		lr.Attributes().PutStr(event.AttrClockSource, "receiver")
		addAnomaly(lr.Attributes(), anomalyFuture)
	}
}

func addAnomaly(m pcommon.Map, name string) {
	old, ok := m.Get(event.AttrAnomalies)
	if !ok || old.Type() != pcommon.ValueTypeSlice {
		m.PutEmptySlice(event.AttrAnomalies).AppendEmpty().SetStr(name)
		return
	}
	old.Slice().AppendEmpty().SetStr(name)
}
