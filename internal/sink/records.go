// The records of a batch, typed.

package sink

import (
	"context"
	"iter"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// Record is one record of a batch. It and what it points to are valid until the next one is read: strings may be kept as long as the batch.
type Record struct {
	Index    int              // its place in the batch, filtered ones counted
	Event    *event.Event     // of an event or audit record, else nil
	Finding  *finding.Finding // of a finding, else nil
	Resource pcommon.Resource
	Log      plog.LogRecord
}

// Kind of the record.
func (r *Record) Kind() Kind {
	switch {
	case r.Finding != nil:
		return KindFinding
	case r.Event.Name == event.NameAudit:
		return KindAudit
	}
	return KindEvent
}

// Key identifies the record everywhere and for all time: an event's id, a finding's id and, from the first change of its state on, its
// revision. Sinks that can recognise a repetition do so by it.
func (r *Record) Key() string {
	if r.Finding == nil {
		return r.Event.ID
	}
	return FindingKey(r.Finding)
}

// FindingKey is the Key of a finding.
func FindingKey(f *finding.Finding) string {
	if f.Revision == 0 {
		return f.ID
	}
	return f.ID + "-" + strconv.FormatInt(f.Revision, 10)
}

// Time of the record, ns since 1970.
func (r *Record) Time() int64 {
	if r.Finding != nil {
		return r.Finding.Time
	}
	return r.Event.Time
}

// Tenant of the record.
func (r *Record) Tenant() string {
	t := event.DefaultTenant
	switch {
	case r.Finding != nil && r.Finding.Tenant != "":
		t = r.Finding.Tenant
	case r.Event != nil && r.Event.Tenant != "":
		t = r.Event.Tenant
	}
	return t
}

// Reader reads batches, one at a time: each worker has its own and reuses it.
type Reader struct {
	filter *Filter
	tel    *Telemetry
	base   event.Event // of the resource
	event  event.Event
	find   finding.Finding
	rec    Record
}

// NewReader makes a reader. tel may be nil.
func NewReader(f *Filter, tel *Telemetry) *Reader { return &Reader{filter: f, tel: tel} }

// Read yields the records of a batch that go to the sink, without the fields that do not, and counts the others. Content that must not have
// left the redact stage (mcpsiem.raw.*) is never among them.
func (r *Reader) Read(ctx context.Context, ld plog.Logs) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		var filtered map[Reason]int
		index := -1
		defer func() {
			if r.tel != nil {
				r.tel.received(ctx, index+1)
				for reason, n := range filtered {
					r.tel.filtered(ctx, reason, n)
				}
			}
		}()
		for _, rl := range ld.ResourceLogs().All() {
			res := rl.Resource()
			event.Decode(res, noRecord, &r.base)
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					index++
					reason := r.decode(res, lr)
					if reason != "" {
						if filtered == nil {
							filtered = make(map[Reason]int)
						}
						filtered[reason]++
						continue
					}
					r.rec.Index, r.rec.Resource, r.rec.Log = index, res, lr
					if !yield(&r.rec) {
						return
					}
				}
			}
		}
	}
}

var noRecord = plog.NewLogRecord()

func (r *Reader) decode(res pcommon.Resource, lr plog.LogRecord) Reason {
	if lr.EventName() == finding.EventName {
		finding.Decode(res, lr, &r.find)
		r.rec.Event, r.rec.Finding = nil, &r.find
		reason := r.filter.Finding(&r.find)
		if m := r.filter.mask; m != nil && reason == "" {
			m.applyFinding(&r.find)
		}
		return reason
	}
	event.DecodeOver(&r.base, lr, &r.event)
	r.rec.Event, r.rec.Finding = &r.event, nil
	reason := r.filter.Event(&r.event)
	if reason == "" {
		dropRaw(&r.event)
		if m := r.filter.mask; m != nil {
			m.applyEvent(&r.event)
		}
	}
	return reason
}

// dropRaw is a last line: a configuration that sends RAW to a sink must not send what is raw by its name.
func dropRaw(e *event.Event) {
	e.RawAuthorization, e.RawURL, e.RawHeaders, e.BodySHA256 = "", "", nil, ""
	for k := range e.Extra { // shared with the resource's other records, of which it must go as well
		if strings.HasPrefix(k, event.RawPrefix) {
			delete(e.Extra, k)
		}
	}
}
