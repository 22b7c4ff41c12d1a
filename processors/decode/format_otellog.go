package decode

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// otelLogFormat takes log records that follow the OpenTelemetry conventions for MCP: they have mcp.method.name. One whose body is a
// JSON-RPC message is that message; any other tells of an operation, as a span does.
type otelLogFormat struct{}

func (otelLogFormat) Name() string { return kindLog }

func (otelLogFormat) Claims(_ pcommon.Resource, _ pcommon.InstrumentationScope, lr plog.LogRecord) bool {
	v, ok := lr.Attributes().Get(event.AttrMethod)
	return ok && v.Type() == pcommon.ValueTypeStr && v.Str() != ""
}

func (otelLogFormat) Decode(d *decoder, in *input, out *output) {
	lr := in.lr
	op := operation{start: int64(lr.Timestamp())}
	if op.start == 0 {
		op.start = int64(lr.ObservedTimestamp())
	}
	op.read(d, lr.Attributes())
	e := &op.base
	e.ID, e.Time, e.Received = "", op.start, in.received
	e.SourceKind, e.ClockSource = kindLog, "source"
	e.TraceID, e.SpanID = lr.TraceID(), lr.SpanID()
	sides(e, serviceOf(in.res), false)
	settleTime(e)
	op.start = e.Time

	body := ""
	if shallow(lr.Body(), maxAttrDepth) && lr.Body().Type() != pcommon.ValueTypeEmpty {
		body = text(lr.Body())
	}
	source := e.Server + "\x00" + e.HostName + "\x00" + serviceOf(in.res)
	kind := messageKind(body)
	if kind != mcp.KindInvalid || strings.Contains(body, `"jsonrpc"`) {
		e.ID = recordID("log", in, body)
		for attr, id := range map[string]*string{event.AttrID: &e.ID, event.AttrExchangeID: &e.ExchangeID, event.AttrCallID: &e.CallID, event.AttrBatchID: &e.BatchID} {
			if v, ok := lr.Attributes().Get(attr); ok && v.AsString() != "" {
				*id, _ = ownID(v.AsString())
			}
		}
		e.Direction = ""
		if kind == mcp.KindResponse || kind == mcp.KindError {
			e.Direction = opposite(directionOf(e.Method)) // an answer's method is its request's
		}
		addMessages(d, out, e, body, in.sender, source)
		return
	}
	if body != "" {
		if e.Extra == nil {
			e.Extra = map[string]string{}
		}
		e.Extra["log.body"] = cut(strings.ToValidUTF8(body, "\ufffd"), maxValue)
	}
	op.failed = lr.SeverityNumber() >= plog.SeverityNumberError
	op.answered = op.ended()
	op.end = op.start
	if e.DurationNanos > 0 && e.DurationNanos < op.start { // such records are written when the operation ends
		op.start -= e.DurationNanos
	}
	op.ids = []string{kindLog, recordID("log", in, body)}
	op.emit(out)
}

// messageKind is the kind of JSON-RPC message that a body is.
func messageKind(body string) mcp.Kind {
	if t := strings.TrimSpace(body); !strings.HasPrefix(t, "{") {
		return mcp.KindInvalid
	}
	m := mcp.Parse([]byte(body), mcp.Limits{})
	return m.Kind
}

// inferenceFormat passes over the conventions' record of a model call: no MCP message, and full of prompts.
type inferenceFormat struct{}

func (inferenceFormat) Name() string { return dropInference }

func (inferenceFormat) Claims(_ pcommon.Resource, _ pcommon.InstrumentationScope, lr plog.LogRecord) bool {
	const name = "gen_ai.client.inference.operation.details"
	if lr.EventName() != "" {
		return lr.EventName() == name
	}
	v, ok := lr.Attributes().Get("event.name")
	return ok && v.AsString() == name
}

func (inferenceFormat) Decode(d *decoder, _ *input, _ *output) { d.tel.drop(dropInference, 1) }
