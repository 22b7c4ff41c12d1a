package decode

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// Attributes of the OpenTelemetry conventions for MCP and GenAI that are not fields of an event.
const (
	attrOperation    = "gen_ai.operation.name"
	attrArguments    = "gen_ai.tool.call.arguments" // opt-in content
	attrResult       = "gen_ai.tool.call.result"    // opt-in content
	attrConversation = "gen_ai.conversation.id"
	attrVariable     = "gen_ai.prompt.variable." // opt-in content, one attribute for each variable
	executeTool      = "execute_tool"
)

// operation is what a span, or a log record without a message, tells of a request and its answer.
type operation struct {
	base        event.Event // what both events share
	arguments   pcommon.Value
	result      pcommon.Value
	hasArgs     bool
	hasResult   bool
	variables   map[string]string // of a prompt
	failed      bool              // the source says it failed
	description string            // of the failure: the peer's words, so content
	start, end  int64             // ns since 1970; end 0 if not known
	answered    bool              // whether there is anything to say of an answer
	ids         []string          // what the events' ids are made of
}

// read takes the attributes of a span or record. What is content goes to the messages, never to attributes.
func (op *operation) read(d *decoder, m pcommon.Map) {
	tmp := pcommon.NewMap()
	deep := false
	m.Range(func(k string, v pcommon.Value) bool {
		if !shallow(v, maxAttrDepth) {
			deep = true
			return true
		}
		switch {
		case k == attrArguments:
			op.arguments, op.hasArgs = v, true
		case k == attrResult:
			op.result, op.hasResult = v, true
		case strings.HasPrefix(k, attrVariable):
			if op.variables == nil {
				op.variables = map[string]string{}
			}
			if len(op.variables) < maxAttrs {
				op.variables[k[len(attrVariable):]] = v.AsString()
			}
		case d.forbidden(k) || tmp.Len() >= maxAttrs:
		default:
			v.CopyTo(tmp.PutEmpty(k))
		}
		return true
	})
	e := &op.base
	decodeAttrs(tmp, e)
	limitExtra(e)
	if e.SessionID != "" {
		e.SessionID = mcp.Hash("session", e.SessionID)
	}
	if c := e.Extra[attrConversation]; c != "" && e.ConversationID == "" {
		e.ConversationID = mcp.Hash("conversation", c)
	}
	if e.Method == "" && e.Extra[attrOperation] == executeTool {
		e.Method = mcp.ToolsCall
	}
	if deep {
		e.Anomalies = append(e.Anomalies, anomalyDeep)
	}
	disown(e)
	e.CallID, e.ExchangeID, e.ExchangeStart, e.BatchID, e.TaskID, e.Kind = "", "", 0, "", "", ""
	e.Transport = transportOf(e)
	if e.Era == "" {
		e.Era = mcp.Era(e.ProtocolVersion)
	}
	e.Direction = directionOf(e.Method)
}

// ended tells whether the attributes say how the operation ended.
func (op *operation) ended() bool {
	e := &op.base
	return op.hasResult || op.failed || e.ErrorType != "" || e.RPCCode != "" || e.DurationNanos != 0 || e.Outcome != ""
}

// notification tells whether the operation has no answer.
func (op *operation) notification() bool {
	return strings.HasPrefix(op.base.Method, "notifications/")
}

// emit adds the operation's events: a notification, or a request and, if it is known how it ended, the answer.
func (op *operation) emit(out *output) {
	req := op.base
	req.Time = op.start
	req.ID = event.SourceID(append(op.ids, "request")...)
	req.Kind = event.KindRequest
	if op.notification() {
		req.Kind = event.KindNotification
		req.RequestID = ""
	} else {
		req.ExchangeID, req.ExchangeStart = req.ID, op.start
	}
	req.Outcome, req.ErrorType, req.RPCCode, req.HTTPStatus = "", "", "", 0
	req.Name = nameOf(req.Kind)
	req.Body, req.Capture = op.requestBody(&req)
	settleTime(&req)
	req.Anomalies = append([]string(nil), req.Anomalies...)
	out.add(&req)
	if op.notification() || !op.answered {
		return
	}

	res := op.base
	res.Time = op.end
	if res.Time < op.start {
		res.Time = op.start
	}
	res.ID = event.SourceID(append(op.ids, "response")...)
	res.ExchangeID, res.ExchangeStart = req.ID, req.Time
	res.Direction = opposite(res.Direction)
	if res.DurationNanos == 0 && op.end > op.start {
		res.DurationNanos = op.end - op.start
	}
	op.outcome(&res)
	res.Name = nameOf(res.Kind)
	res.Body, res.Capture = op.responseBody(&res)
	settleTime(&res)
	out.add(&res)
}

// outcome reads the conventions' error attributes: a JSON-RPC code, tool_error, or the class of another failure.
func (op *operation) outcome(e *event.Event) {
	if e.RPCCode == "" && isCode(e.ErrorType) {
		e.RPCCode = e.ErrorType
	}
	switch {
	case e.ErrorType == event.OutcomeToolError:
		e.Kind, e.Outcome = event.KindResponse, event.OutcomeToolError
	case e.RPCCode != "" && e.RPCCode != "0":
		e.Kind, e.Outcome = event.KindError, event.OutcomeRPCError
		if e.ErrorType == "" {
			e.ErrorType = e.RPCCode
		}
	case e.ErrorType != "" || op.failed:
		e.Kind, e.Outcome = event.KindError, event.OutcomeTransportError
		switch t := strings.ToLower(e.ErrorType); {
		case strings.Contains(t, "timeout") || strings.Contains(t, "deadline"):
			e.Outcome = event.OutcomeTimeout
		case strings.Contains(t, "cancel"):
			e.Outcome = event.OutcomeCancelled
		}
		if e.ErrorType == "" {
			e.ErrorType = "_OTHER" // the conventions' word for it
		}
	default:
		e.Kind = event.KindResponse
		if e.Outcome == "" {
			e.Outcome = event.OutcomeOK
		}
	}
}

func isCode(s string) bool {
	n, err := strconv.ParseInt(s, 10, 32)
	return err == nil && n < 0
}

// requestBody makes the JSON-RPC request that the attributes tell of. Capture is absent where they leave out its content.
func (op *operation) requestBody(e *event.Event) (body, capture string) {
	params := map[string]any{}
	capture = event.CaptureAbsent
	switch {
	case e.Tool != "":
		params["name"] = e.Tool
		if op.hasArgs {
			params["arguments"], capture = jsonOf(op.arguments), event.CaptureComplete
		}
	case e.Prompt != "":
		params["name"] = e.Prompt
		if op.variables != nil {
			params["arguments"], capture = op.variables, event.CaptureComplete
		}
	case e.ResourceURI != "":
		params["uri"], capture = e.ResourceURI, event.CaptureComplete
	}
	msg := rpc{JSONRPC: "2.0", ID: requestID(e), Method: e.Method}
	if len(params) > 0 {
		msg.Params = params
	}
	return msg.text(), capture
}

func (op *operation) responseBody(e *event.Event) (body, capture string) {
	msg := rpc{JSONRPC: "2.0", ID: requestID(e)}
	capture = event.CaptureAbsent
	if e.Kind == event.KindError {
		er := map[string]any{"message": op.description}
		if n, err := strconv.ParseInt(e.RPCCode, 10, 64); err == nil {
			er["code"] = n
		}
		if op.description != "" {
			capture = event.CaptureComplete
		}
		msg.Error = er
		return msg.text(), capture
	}
	result := map[string]any{}
	var raw any
	switch {
	case op.hasResult:
		capture = event.CaptureComplete
		raw = jsonOf(op.result)
	case e.Outcome == event.OutcomeToolError && op.description != "":
		capture = event.CaptureComplete
		raw = op.description
	}
	if o, ok := asResult(raw); ok {
		msg.Result = o
		return msg.text(), capture
	}
	if raw != nil {
		t, ok := raw.(string)
		if !ok {
			t = compact(raw)
			result["structuredContent"] = raw
		}
		result["content"] = []any{map[string]any{"type": "text", "text": t}}
	}
	if e.Outcome == event.OutcomeToolError {
		result["isError"] = true
	}
	msg.Result = result
	return msg.text(), capture
}

// asResult tells whether a value is the whole result of a tools/call already.
func asResult(v any) (any, bool) {
	switch v := v.(type) {
	case json.RawMessage:
		for _, k := range []string{"content", "structuredContent", "resultType"} {
			if _, ok := mcp.Get(v, k); ok {
				return v, true
			}
		}
	case map[string]any:
		for _, k := range []string{"content", "structuredContent", "resultType"} {
			if _, ok := v[k]; ok {
				return v, true
			}
		}
	}
	return nil, false
}

// rpc is a JSON-RPC message made of attributes.
type rpc struct {
	JSONRPC string `json:"jsonrpc"`
	ID      any    `json:"id,omitempty"`
	Method  string `json:"method,omitempty"`
	Params  any    `json:"params,omitempty"`
	Result  any    `json:"result,omitempty"`
	Error   any    `json:"error,omitempty"`
}

func (r rpc) text() string { return compact(r) }

// compact is v as JSON, without the escapes that are for HTML. v comes from jsonOf, so that it always has a JSON form.
func compact(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// requestID is the id for a message's body. The conventions give ids as text only, so that 1 and "1" cannot be told apart.
func requestID(e *event.Event) any {
	if e.RequestID == "" {
		return nil
	}
	if n, err := strconv.ParseInt(e.RequestID, 10, 64); err == nil && strconv.FormatInt(n, 10) == e.RequestID {
		return n
	}
	return e.RequestID
}

// jsonOf is an attribute as something that has a JSON form. Content often comes as JSON text, which is taken as what it says.
func jsonOf(v pcommon.Value) any {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		s := v.Str()
		if t := strings.TrimSpace(s); (strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[")) && mcp.Valid([]byte(t)) && json.Valid([]byte(t)) {
			return json.RawMessage(t)
		}
		return s
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		raw := v.AsRaw()
		if _, err := json.Marshal(raw); err != nil { // NaN or infinity somewhere
			return v.AsString()
		}
		return raw
	case pcommon.ValueTypeInt:
		return v.Int()
	case pcommon.ValueTypeBool:
		return v.Bool()
	}
	return v.AsString()
}
