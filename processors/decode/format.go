package decode

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// format turns log records of one kind into events. To add one, copy format_otellog.go and add a line to formats.
type format interface {
	// Name is the format's name in metrics and, unless the format says otherwise, the events' source kind.
	Name() string
	// Claims tells whether a record is in the format. It must be cheap and look at the record only so far as it needs to.
	Claims(res pcommon.Resource, scope pcommon.InstrumentationScope, lr plog.LogRecord) bool
	// Decode adds the record's events to out, or keeps the record as the event that it is. What it cannot read becomes an
	// event of kind invalid: nothing is lost silently.
	Decode(d *decoder, in *input, out *output)
}

// formats lists the formats; the first that claims a record decodes it. The last claims all.
var formats = []format{
	tapFormat{},
	inferenceFormat{},
	otelLogFormat{},
	jsonFormat{},
	unknownFormat{},
}

// input is one log record with what surrounds it.
type input struct {
	res      pcommon.Resource
	lr       plog.LogRecord
	received int64 // ns since 1970: when the collector received it
	from     sender
	sender   string       // its fingerprint
	prefix   *prefixCache // of the batch
}

// output takes the events of one record.
type output struct {
	d       *decoder
	res     pcommon.Resource // of the input, for the events' own
	logs    plog.Logs        // new events, a ResourceLogs for each of the input's
	records plog.LogRecordSlice
	open    bool // records is valid
	kept    bool // the record itself is the event
	events  int
	skipped int // records in no known format beyond the limit, in this batch
	first   string
}

// keep makes the record itself the event.
func (o *output) keep() { o.kept = true; o.events++ }

// add appends an event. e may be reused afterwards.
func (o *output) add(e *event.Event) {
	if !o.open {
		rl := o.logs.ResourceLogs().AppendEmpty()
		o.res.CopyTo(rl.Resource())
		o.records = rl.ScopeLogs().AppendEmpty().LogRecords()
		o.open = true
	}
	o.d.finish(e)
	e.Encode(o.records.AppendEmpty())
	o.events++
}
