// Package finding is what a detector raises: the record that analysts, pagers and auditors see.
//
// schemas/finding.yaml fixes the fields; finding_gen.go is made from it. On the wire a finding is an OTLP LogRecord.
package finding

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// EventName is the EventName of a finding's LogRecord.
const EventName = "mcpsiem.finding"

// Finding is a LogRecord of the FINDINGS stream decoded once. Time is that of the newest evidence, ns since 1970: event
// time, so that replaying the same events makes the same record.
type Finding struct {
	Time int64
	Fields
}

// Field describes one attribute of the schema.
type Field struct {
	Go, Attr, Type, Column, ClickHouse string
	Raw                                bool
}

// Severities, least first, with the OTLP severity each is sent as.
var severityNumbers = map[string]plog.SeverityNumber{
	"informational": plog.SeverityNumberInfo,
	"low":           plog.SeverityNumberWarn,
	"medium":        plog.SeverityNumberError,
	"high":          plog.SeverityNumberError3,
	"critical":      plog.SeverityNumberFatal,
}

// Decode fills f from a log record.
func Decode(res pcommon.Resource, lr plog.LogRecord, f *Finding) {
	*f = Finding{Time: int64(lr.Timestamp())}
	set := func(k string, v pcommon.Value) bool { f.setAttr(k, v); return true }
	res.Attributes().Range(set)
	lr.Attributes().Range(set)
}

// Encode writes f to an empty log record.
func (f *Finding) Encode(lr plog.LogRecord) {
	lr.SetEventName(EventName)
	lr.SetTimestamp(pcommon.Timestamp(f.Time))
	lr.SetObservedTimestamp(pcommon.Timestamp(f.Time))
	lr.SetSeverityNumber(severityNumbers[f.Severity])
	lr.SetSeverityText(f.Severity)
	f.putAttrs(lr.Attributes())
}
