package mcp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strings"
)

// Kind is what a JSON-RPC message is.
type Kind uint8

const (
	KindInvalid Kind = iota
	KindRequest
	KindNotification
	KindResponse // with a result
	KindError    // a response with an error; its id may be absent
)

// String is the kind as in the event's message kind.
func (k Kind) String() string {
	return [...]string{"invalid", "request", "notification", "response", "error"}[k]
}

// IDType is the JSON type of an id.
type IDType uint8

const (
	IDAbsent IDType = iota
	IDString
	IDNumber
	IDNull
	IDOther // true, an object, ...: no id at all
)

// String is the type as in the event's id type.
func (t IDType) String() string {
	return [...]string{"", "string", "number", "null", "other"}[t]
}

// ID is a JSON-RPC id as it stood on the wire: 1, 1.0 and "1" are three ids. Text is the decoded string or the number's digits as
// written. IDs are comparable.
type ID struct {
	Type IDType
	Text string
}

// Present reports whether the id can name a request.
func (id ID) Present() bool { return id.Type == IDString || id.Type == IDNumber }

// ParseID reads an id from its JSON value.
func ParseID(raw []byte) ID {
	raw = trimSpace(raw)
	if len(raw) == 0 {
		return ID{}
	}
	switch c := raw[0]; {
	case c == '"':
		s, _ := Text(raw)
		return ID{IDString, s}
	case c == '-' || '0' <= c && c <= '9':
		return ID{IDNumber, string(raw)}
	case c == 'n':
		return ID{Type: IDNull}
	}
	return ID{Type: IDOther}
}

// Message is one JSON-RPC message. It aliases the bytes it was read from; the strings are copies.
type Message struct {
	Kind      Kind
	ID        ID
	Method    string
	Anomalies Anomaly

	Raw    []byte // the message itself, without what surrounds it
	Params []byte // raw value; nil if absent. Of a cut message what there is of it
	Result []byte
	Error  []byte

	Batched bool // a member of a batch
	Index   int  // its position there, or among concatenated values; from 0

	spans [numSlots]span
}

// span is a value within Message.Raw. end == off: it begins there and was cut; both 0: absent.
type span struct{ off, end int32 }

type slot uint8

const (
	slotJSONRPC slot = iota
	slotID
	slotMethod
	slotParams
	slotResult
	slotError

	pName
	pArguments
	pURI
	pMeta
	pRequestState
	pInputResponses
	pProtocolVersion
	pClientInfo
	pTaskID
	pTask
	pStatus
	pCursor
	pRequestID
	pProgressToken
	pResult
	pError
	pRef

	rIsError
	rResultType
	rProtocolVersion
	rServerInfo
	rMeta
	rTask
	rTaskID
	rStatus
	rModel
	rRequestState
	rInputRequests
	rNextCursor
	rResult
	rError
	rTools
	rContent
	rStructured

	eCode
	eMessage
	eData

	numSlots
	slotNone slot = 255
)

var (
	envelopeKeys = []string{"jsonrpc", "id", "method", "params", "result", "error"}
	paramsKeys   = []string{"name", "arguments", "uri", "_meta", "requestState", "inputResponses", "protocolVersion", "clientInfo",
		"taskId", "task", "status", "cursor", "requestId", "progressToken", "result", "error", "ref"}
	resultKeys = []string{"isError", "resultType", "protocolVersion", "serverInfo", "_meta", "task", "taskId", "status", "model",
		"requestState", "inputRequests", "nextCursor", "result", "error", "tools", "content", "structuredContent"}
	errorKeys = []string{"code", "message", "data"}
)

func sectionOf(s slot) section {
	switch s {
	case slotParams:
		return secParams
	case slotResult:
		return secResult
	case slotError:
		return secError
	}
	return secNone
}

func (m *Message) clearSection(sec section) {
	switch sec {
	case secParams:
		clear(m.spans[pName : pRef+1])
	case secResult:
		clear(m.spans[rIsError : rStructured+1])
	case secError:
		clear(m.spans[eCode : eData+1])
	}
}

// lookup finds the slot of key k, and whether k is a known key in another case.
func lookup(k []byte, depth int, sec section) (s slot, variant bool) {
	var known []string
	var base slot
	switch {
	case depth == 1:
		known, base = envelopeKeys, slotJSONRPC
	case sec == secParams:
		known, base = paramsKeys, pName
	case sec == secResult:
		known, base = resultKeys, rIsError
	case sec == secError:
		known, base = errorKeys, eCode
	default:
		return slotNone, false
	}
	for i, n := range known {
		if string(k) == n {
			return base + slot(i), false
		}
	}
	if len(k) > 64 { // the longest known key with each letter in its longest folding is shorter
		return slotNone, false
	}
	for _, n := range known {
		if len(k) >= len(n) && bytes.EqualFold(k, []byte(n)) {
			return slotNone, true
		}
	}
	return slotNone, false
}

// Parse reads one message. It never fails: what it cannot read is of KindInvalid, with the reason among the anomalies. A batch
// is invalid here; Split takes it apart.
func Parse(b []byte, lim Limits) Message {
	m, rest := parseOne(b, lim.withDefaults())
	if len(rest) > 0 {
		m.Anomalies |= TrailingGarbage
	}
	return m
}

// parseOne reads the first value of b as a message and returns the bytes after it, without leading white space.
func parseOne(b []byte, lim Limits) (m Message, rest []byte) {
	if len(b) > math.MaxInt32 {
		return Message{Anomalies: TooLarge, Raw: b}, nil
	}
	b, had := trimBOM(b)
	if had {
		m.Anomalies |= BOM
	}
	b = b[skipSpace(b, 0):]
	m.Raw = b
	s := getScanner()
	s.b, s.m, s.max = b, &m, lim.MaxDepth
	end, e := s.value(0, true)
	putScanner(s)
	switch {
	case e == scanOK:
		m.Raw = b[:end:end]
		rest = b[skipSpace(b, end):]
	case e == scanEOF && lim.Partial && len(b) > 0:
		m.Anomalies |= TruncatedMessage
		for _, sl := range [...]slot{slotParams, slotResult, slotError, pArguments} {
			if sp := &m.spans[sl]; sp.off > 0 && sp.end == sp.off {
				sp.end = int32(len(b))
			}
		}
		if c := b[len(b)-1]; '0' <= c && c <= '9' { // a number that the cut may have shortened
			for i := range m.spans {
				if sp := &m.spans[i]; int(sp.end) == len(b) && sp.off < sp.end && (b[sp.off] == '-' || '0' <= b[sp.off] && b[sp.off] <= '9') {
					*sp = span{}
				}
			}
		}
	default:
		m.Anomalies |= ParseError
		clear(m.spans[:])
		return m, nil
	}
	if m.Raw[0] != '{' {
		m.Anomalies |= NotObject
		return m, rest
	}
	m.envelope()
	return m, rest
}

// envelope decides what kind of message the members noted make.
func (m *Message) envelope() {
	m.Params, m.Result, m.Error = m.at(slotParams), m.at(slotResult), m.at(slotError)
	if v, ok := Text(m.at(slotJSONRPC)); (!ok || v != "2.0") && !m.Anomalies.Has(TruncatedMessage) {
		m.Anomalies |= JSONRPCVersion
	}
	m.ID = ParseID(m.at(slotID))
	switch m.ID.Type {
	case IDNull:
		m.Anomalies |= NullID
	case IDOther:
		m.Anomalies |= InvalidID
	case IDNumber:
		if strings.ContainsAny(m.ID.Text, ".eE") {
			m.Anomalies |= NonIntegerID
		}
	}
	hasMethod := false
	if raw := m.at(slotMethod); raw != nil {
		if raw[0] != '"' {
			m.Anomalies |= InvalidEnvelope
			return
		}
		hasMethod = true
		m.Method = methodName(raw)
	}
	if len(m.Params) > 0 && m.Params[0] != '{' {
		m.Anomalies |= ParamsNotObject
	}
	if m.Result != nil && m.Error != nil {
		m.Anomalies |= ResultAndError
	}
	if hasMethod && (m.Result != nil || m.Error != nil) {
		m.Anomalies |= MixedEnvelope
	}
	switch {
	case hasMethod && m.ID.Present():
		m.Kind = KindRequest
	case hasMethod && m.Anomalies.Has(TruncatedMessage) && !strings.HasPrefix(m.Method, "notifications/"):
		m.Kind = KindRequest // its id stood among the bytes missing
	case hasMethod:
		m.Kind = KindNotification
	case m.Error != nil:
		m.Kind = KindError
	case m.Result != nil:
		m.Kind = KindResponse
	default:
		m.Anomalies |= InvalidEnvelope
	}
}

// at returns the raw value in a slot, nil if it is absent or was cut.
func (m *Message) at(s slot) []byte {
	sp := m.spans[s]
	if sp.end <= sp.off {
		return nil
	}
	return m.Raw[sp.off:sp.end:sp.end]
}

func (m *Message) text(s slot) string {
	t, _ := Text(m.at(s))
	return t
}

// Tool is the tool of a tools/call.
func (m *Message) Tool() string {
	if m.Method != ToolsCall {
		return ""
	}
	return m.text(pName)
}

// Prompt is the prompt of a prompts/get, or the one that a completion/complete refers to.
func (m *Message) Prompt() string {
	switch m.Method {
	case PromptsGet:
		return m.text(pName)
	case CompletionComplete:
		return GetText(m.at(pRef), "name")
	}
	return ""
}

// ResourceURI is the URI that a resources/* request or notification names, or the one that a completion/complete refers to.
func (m *Message) ResourceURI() string {
	switch {
	case strings.HasPrefix(m.Method, "resources/"), m.Method == NotificationResourcesUpdated:
		return m.text(pURI)
	case m.Method == CompletionComplete:
		return GetText(m.at(pRef), "uri")
	}
	return ""
}

// Name is params.name, raw: what a Mcp-Name header mirrors for tools/call and prompts/get.
func (m *Message) Name() string { return m.text(pName) }

// URI is params.uri.
func (m *Message) URI() string { return m.text(pURI) }

// Arguments is params.arguments, raw; nil if absent.
func (m *Message) Arguments() []byte { return m.at(pArguments) }

// Meta is params._meta or result._meta, raw; nil if absent.
func (m *Message) Meta() []byte {
	if v := m.at(pMeta); v != nil {
		return v
	}
	return m.at(rMeta)
}

// MetaText is a string member of Meta.
func (m *Message) MetaText(key string) string {
	meta := m.Meta()
	if meta == nil {
		return ""
	}
	return GetText(meta, key)
}

// ErrorCode is error.code as written; empty if there is none.
func (m *Message) ErrorCode() string {
	c := m.at(eCode)
	if len(c) == 0 || len(c) > 32 || c[0] != '-' && (c[0] < '0' || c[0] > '9') {
		return ""
	}
	return string(c)
}

// IsError is result.isError: the tool failed, the protocol did not.
func (m *Message) IsError() bool { return string(m.at(rIsError)) == "true" }

// ResultType is result.resultType (2026-07-28), e.g. complete, input_required, task; empty if absent, which stands for complete.
func (m *Message) ResultType() string { return m.text(rResultType) }

// MetaProtocolVersion is the version in params._meta, which makes a message modern.
func (m *Message) MetaProtocolVersion() string {
	if v := m.at(pMeta); v != nil {
		return GetText(v, MetaProtocolVersion)
	}
	return ""
}

// ProtocolVersion is protocolVersion of an initialize request (proposed) or of its result (negotiated).
func (m *Message) ProtocolVersion() string {
	if m.Kind == KindResponse {
		return m.text(rProtocolVersion)
	}
	return m.text(pProtocolVersion)
}

// Implementation is a self-reported clientInfo or serverInfo: a claim, not an identity.
type Implementation struct{ Name, Version string }

func implementation(raw []byte) (i Implementation, ok bool) {
	if raw == nil {
		return i, false
	}
	ok = EachMember(raw, func(k, v []byte) bool {
		switch string(k) {
		case "name":
			i.Name, _ = Text(v)
		case "version":
			i.Version, _ = Text(v)
		}
		return true
	})
	return i, ok && i != (Implementation{})
}

// ClientInfo is the client's claim in an initialize request or a modern request's _meta.
func (m *Message) ClientInfo() (Implementation, bool) {
	if v := m.at(pMeta); v != nil {
		if v, ok := Get(v, MetaClientInfo); ok {
			return implementation(v)
		}
	}
	return implementation(m.at(pClientInfo))
}

// ServerInfo is the server's claim in an initialize result or a modern result's _meta.
func (m *Message) ServerInfo() (Implementation, bool) {
	if v := m.at(rMeta); v != nil {
		if v, ok := Get(v, MetaServerInfo); ok {
			return implementation(v)
		}
	}
	return implementation(m.at(rServerInfo))
}

// TraceContext is params._meta.traceparent, if it is valid.
func (m *Message) TraceContext() (TraceContext, bool) {
	v := m.at(pMeta)
	if v == nil {
		return TraceContext{}, false
	}
	return ParseTraceparent(GetText(v, "traceparent"))
}

// ProgressToken is the token that a request asks progress under, or that a progress notification carries.
func (m *Message) ProgressToken() ID {
	if m.Method == NotificationProgress {
		return ParseID(m.at(pProgressToken))
	}
	if v := m.at(pMeta); v != nil {
		if v, ok := Get(v, "progressToken"); ok {
			return ParseID(v)
		}
	}
	return ID{}
}

// CancelledID is the request that a notifications/cancelled names.
func (m *Message) CancelledID() ID { return ParseID(m.at(pRequestID)) }

// SubscriptionID is the listen request that a modern notification belongs to.
func (m *Message) SubscriptionID() ID {
	if v := m.at(pMeta); v != nil {
		if v, ok := Get(v, MetaSubscriptionID); ok {
			return ParseID(v)
		}
	}
	return ID{}
}

// RequestStateHash identifies the requestState that a request echoes or an input_required result issues; empty if absent. The
// state itself may hold the server's secrets.
func (m *Message) RequestStateHash() string {
	v := m.at(pRequestState)
	if v == nil {
		v = m.at(rRequestState)
	}
	s, ok := Text(v)
	if !ok {
		return ""
	}
	return Hash("request_state", s)
}

// HasInputResponses reports params.inputResponses: a further round of a call.
func (m *Message) HasInputResponses() bool { return m.at(pInputResponses) != nil }

// InputRequests is result.inputRequests, raw; nil if absent.
func (m *Message) InputRequests() []byte { return m.at(rInputRequests) }

// Model is the model that a sampling result names.
func (m *Message) Model() string { return m.text(rModel) }

// Cursor is params.cursor of a list request; NextCursor is that of its result.
func (m *Message) Cursor() string     { return m.text(pCursor) }
func (m *Message) NextCursor() string { return m.text(rNextCursor) }

// Tools is result.tools of a tools/list, raw.
func (m *Message) Tools() []byte { return m.at(rTools) }

// Task is what a message says of a task, in either generation (2025-11-25 core, or the extension).
type Task struct {
	ID      string
	Status  string // working, input_required, completed, failed, cancelled; empty where the message only names the task
	Result  []byte // the outcome of the task's request, where it is inlined
	Error   []byte
	Created bool // the message answers a request with a task handle
}

// Terminal reports whether the status is final.
func (t Task) Terminal() bool {
	return t.Status == "completed" || t.Status == "failed" || t.Status == "cancelled"
}

// Task returns the task that the message creates, reports or names.
func (m *Message) Task() (t Task, ok bool) {
	switch m.Kind {
	case KindRequest, KindNotification:
		t = Task{ID: m.text(pTaskID), Status: m.text(pStatus), Result: m.at(pResult), Error: m.at(pError)}
	case KindResponse:
		t = Task{ID: m.text(rTaskID), Status: m.text(rStatus), Result: m.at(rResult), Error: m.at(rError)}
		t.Created = m.ResultType() == "task"
		if t.ID == "" { // 2025-11-25: nested
			if v := m.at(rTask); v != nil {
				t.ID, t.Status = GetText(v, "taskId"), GetText(v, "status")
				t.Created = t.ID != ""
			}
		}
	}
	if t.ID == "" {
		v := m.at(pMeta)
		if v == nil {
			v = m.at(rMeta)
		}
		if v != nil {
			t.ID = GetText(v, MetaRelatedTask, "taskId")
			t.Status = ""
		}
	}
	return t, t.ID != ""
}

// WantsTask reports params.task: a 2025-11-25 request for a task.
func (m *Message) WantsTask() bool { return m.at(pTask) != nil }

// Hash is a one-way name for a value of kind domain that must not be stored: 32 hex digits of SHA-256 over the domain and the
// value. It protects values that cannot be guessed.
func Hash(domain, value string) string {
	h := sha256.New()
	h.Write([]byte("mcpsiem " + domain + "\x00"))
	h.Write([]byte(value))
	return hex.EncodeToString(h.Sum(nil)[:16])
}
