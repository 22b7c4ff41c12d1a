package decode

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// kindSpan is the source kind of events made of spans.
const kindSpan = "otlp_span"

// Reasons for which spans and records are dropped.
const (
	dropNotMCP    = "not_mcp"
	dropInference = "inference_details"
)

// span makes events of a span of MCP instrumentation (OpenTelemetry semantic conventions, docs/gen-ai/mcp.md): a request and
// its response, or a notification. Other spans are counted and dropped: a trace is not the place to look for calls in, and the
// rest of it has its own backend.
func (d *decoder) span(in *input, sp ptrace.Span, out *output) {
	a := sp.Attributes()
	_, isMCP := a.Get(event.AttrMethod)
	if !isMCP {
		op, ok := a.Get(attrOperation)
		if !ok || !d.cfg.ExecuteToolSpans || op.AsString() != executeTool {
			d.tel.drop(dropNotMCP, 1)
			return
		}
	}
	op := operation{start: int64(sp.StartTimestamp()), end: int64(sp.EndTimestamp()), answered: true}
	op.read(d, a)
	e := &op.base
	e.SourceKind, e.ClockSource, e.Received = kindSpan, "source", in.received
	e.TraceID, e.SpanID = sp.TraceID(), sp.SpanID()
	if e.Extra == nil {
		e.Extra = map[string]string{}
	}
	if !sp.ParentSpanID().IsEmpty() {
		e.Extra["parent_span_id"] = sp.ParentSpanID().String()
	}
	e.Extra["span.kind"] = sp.Kind().String()
	sides(e, serviceOf(in.res), sp.Kind() == ptrace.SpanKindServer)
	op.failed = sp.Status().Code() == ptrace.StatusCodeError
	op.description = sp.Status().Message()
	op.ids = []string{kindSpan, sp.TraceID().String(), sp.SpanID().String()}
	if sp.SpanID().IsEmpty() { // against the protocol; keep such spans apart all the same
		op.ids = append(op.ids, strconv.FormatUint(uint64(sp.StartTimestamp()), 10), sp.Name(), e.RequestID)
	}
	op.emit(out)
}

// sides names client and server: the instrumented service is one of them, the span's kind says which.
func sides(e *event.Event, name string, isServer bool) {
	if isServer {
		fill(&e.Server, name)
		return
	}
	fill(&e.ClientName, name)
	if e.Server == "" && e.ServerAddress != "" {
		e.Server = e.ServerAddress
		if e.ServerPort != 0 {
			e.Server += ":" + strconv.FormatInt(e.ServerPort, 10)
		}
	}
}

// decodeAttrs reads attributes into the fields of an event.
func decodeAttrs(m pcommon.Map, e *event.Event) {
	tmp := plog.NewLogRecord()
	m.MoveTo(tmp.Attributes())
	event.Decode(pcommon.NewResource(), tmp, e)
}

func serviceOf(res pcommon.Resource) string {
	if v, ok := res.Attributes().Get("service.name"); ok {
		return v.AsString()
	}
	return ""
}
