package decode

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// kindLog is the source kind of events made of OpenTelemetry log records.
const kindLog = "otlp_log"

// unknownFormat keeps records in no known format as events of kind invalid, so that nothing is lost silently. A limit keeps a
// program that sends all its logs here from filling the store: beyond it, records are counted, on an event of their own.
type unknownFormat struct{}

func (unknownFormat) Name() string { return "unknown" }

func (unknownFormat) Claims(pcommon.Resource, pcommon.InstrumentationScope, plog.LogRecord) bool {
	return true
}

func (unknownFormat) Decode(d *decoder, in *input, out *output) {
	unknownEvent(d, in, out, anomalyUnknown)
}

func unknownEvent(d *decoder, in *input, out *output, reason string) {
	d.tel.drop(reason, 1)
	if !d.unknown.Allow() {
		if out.skipped == 0 {
			out.first = contentOf(in.lr)
		}
		out.skipped++
		return
	}
	body := in.lr.Body()
	b := ""
	if shallow(body, maxAttrDepth) {
		b = text(body)
	}
	tmp := plog.NewLogRecord()
	in.lr.Attributes().Range(func(k string, v pcommon.Value) bool {
		if tmp.Attributes().Len() < maxAttrs && !d.forbidden(k) && shallow(v, maxAttrDepth) {
			v.CopyTo(tmp.Attributes().PutEmpty(k))
		}
		return true
	})
	var e event.Event
	event.Decode(pcommon.NewResource(), tmp, &e)
	limitExtra(&e)
	disown(&e)
	e.ID = recordID("unknown", in, b)
	e.Name, e.Kind, e.SourceKind = event.NameInvalid, event.KindInvalid, kindLog
	e.Time, e.Received, e.ClockSource = int64(in.lr.Timestamp()), in.received, "source"
	if e.Time <= 0 {
		e.Time = int64(in.lr.ObservedTimestamp())
	}
	settleTime(&e)
	e.TraceID, e.SpanID = in.lr.TraceID(), in.lr.SpanID()
	e.Anomalies = append(e.Anomalies, reason)
	e.BodySize, e.BodySHA256 = int64(len(b)), ""
	e.Capture = event.CaptureComplete
	if len(b) > d.cfg.Unknown.MaxBytes {
		b, e.Capture = cut(b, d.cfg.Unknown.MaxBytes), event.CaptureTruncated
	}
	e.Body = b
	out.add(&e)
}

// skippedEvent says how many records of the batch were beyond the limit.
func skippedEvent(out *output, in *input) *event.Event {
	out.d.tel.drop(anomalyLimit, int64(out.skipped))
	e := &event.Event{Name: event.NameInvalid, Time: in.received, Received: in.received}
	e.ID = event.SourceID("skipped", in.sender, strconv.Itoa(out.skipped), out.first)
	e.Kind, e.SourceKind, e.ClockSource = event.KindInvalid, kindLog, "receiver"
	e.Anomalies = []string{anomalyLimit}
	e.LostEvents = int64(out.skipped)
	e.Capture = event.CaptureAbsent
	return e
}
