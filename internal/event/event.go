// Package event is the one record that every stage of mcpsiem works on: a JSON-RPC message between an MCP client and
// server, with who, where, when, how it ended and what was found in it.
//
// schemas/event.yaml fixes the fields; event_gen.go is made from it. On the wire an event is an OTLP LogRecord.
package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Event is a LogRecord decoded once. Decode overwrites every field, so an Event can be reused; Body aliases the record's
// storage and is valid only as long as the record is.
type Event struct {
	Name     string // EventName: mcp.request, mcp.response, mcp.notification, mcp.invalid, or a Record* name
	Time     int64  // ns since 1970: when the message was seen
	Received int64  // ns since 1970: when the collector received the record
	TraceID  pcommon.TraceID
	SpanID   pcommon.SpanID
	Body     string // the JSON-RPC message: raw up to the redact stage, redacted after it
	Fields
	Extra map[string]string // attributes that the schema does not know; nil if none
}

// Field describes one attribute of the schema.
type Field struct {
	Go, Attr, Type, Column, ClickHouse string
	Raw                                bool
}

// ToolDef is one tool of a tools/list result, as the tool catalogue keeps it.
type ToolDef struct {
	Name   string `json:"name" expr:"name"`
	Hash   string `json:"hash" expr:"hash"`     // SHA-256 of the definition's canonical JSON (RFC 8785), hex
	Tokens int64  `json:"tokens" expr:"tokens"` // tokens of the definition's canonical JSON

	// Of this definition alone, as Fields.Signals and Fields.Capabilities are of a whole message.
	Signals      map[string]float64 `json:"signals,omitempty" expr:"signals"`
	Capabilities []string           `json:"capabilities,omitempty" expr:"capabilities"`
}

// Event names.
const (
	NameRequest      = "mcp.request"
	NameResponse     = "mcp.response" // results and errors
	NameNotification = "mcp.notification"
	NameInvalid      = "mcp.invalid"
	NameTapStart     = "mcpsiem.tap.start"
	NameTapStop      = "mcpsiem.tap.stop"
	NameTapLoss      = "mcpsiem.tap.loss"
	NameMetadata     = "mcpsiem.http.metadata"   // a document about authorization that a client fetched (RFC 8414, RFC 9728, OpenID discovery), as the body
	NameHTTPRequest  = "mcpsiem.http.request"    // an HTTP request without a message that shows how a server is reached; no body
	NameTransport    = "mcpsiem.transport.error" // an HTTP exchange that failed without a JSON-RPC answer
	NameServerExit   = "mcpsiem.server.exit"
	NameAudit        = "mcpsiem.audit" // what people and the pipeline itself did; see internal/audit
)

// Values of Kind.
const (
	KindRequest      = "request"
	KindResponse     = "response"
	KindError        = "error"
	KindNotification = "notification"
	KindInvalid      = "invalid"
	KindRecord       = "record"
)

// Values of Direction.
const (
	ClientToServer = "client_to_server"
	ServerToClient = "server_to_client"
)

// Values of Transport.
const (
	TransportStdio = "stdio"
	TransportHTTP  = "streamable_http"
	TransportSSE   = "http_sse"
)

// Values of Outcome.
const (
	OutcomeOK             = "ok"
	OutcomeToolError      = "tool_error"
	OutcomeRPCError       = "rpc_error"
	OutcomeTransportError = "transport_error"
	OutcomeCancelled      = "cancelled"
	OutcomeTimeout        = "timeout"
	OutcomeOrphan         = "orphan"
	OutcomeLate           = "late"
	OutcomeInputRequired  = "input_required"
)

// Values of Capture.
const (
	CaptureComplete  = "complete"
	CaptureTruncated = "truncated"
	CaptureWithheld  = "withheld"
	CaptureAbsent    = "absent"
)

// LabelCredentials is the label by which a tap says where a stdio server gets credentials from: "env:NAME" for each variable
// whose name is that of a credential, "config:NAME" where mcptap wrap saw it in the client's configuration file, "argument" for one on the command line, separated by spaces. Never the credential.
const LabelCredentials = "mcpsiem.credentials"

// RawPrefix marks attributes that must not survive the redact stage, known to the schema or not.
const RawPrefix = "mcpsiem.raw."

// DefaultTenant owns records for which no tenant is configured.
const DefaultTenant = "default"

// TapID is the id of event seq of a tap's epoch: 64 bits of SHA-256(tap NUL epoch), then seq, as 32 hex digits.
// Ids of one tap differ only in their tail, which is what keeps them small in a column store.
func TapID(tap string, epoch, seq int64) string {
	return TapPrefix(tap, epoch).ID(seq)
}

// IDPrefix is the part of an event id that all events of one tap epoch share.
type IDPrefix [8]byte

// TapPrefix makes the prefix for a tap's epoch.
func TapPrefix(tap string, epoch int64) IDPrefix {
	h := sha256.New()
	h.Write([]byte(tap))
	var b [9]byte
	binary.BigEndian.PutUint64(b[1:], uint64(epoch))
	h.Write(b[:])
	return IDPrefix(h.Sum(nil)[:8])
}

// ID is the id of event seq under the prefix.
func (p IDPrefix) ID(seq int64) string {
	var b [16]byte
	copy(b[:], p[:])
	binary.BigEndian.PutUint64(b[8:], uint64(seq))
	return hex.EncodeToString(b[:])
}

// SourceID is the id of a record that a source names itself: the first 128 bits of SHA-256 over the parts, each preceded by
// its length, as 32 hex digits.
func SourceID(parts ...string) string {
	n := 0
	for _, p := range parts {
		n += 8 + len(p)
	}
	var short [512]byte
	b := short[:0]
	if n > len(short) {
		b = make([]byte, 0, n)
	}
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	var out [32]byte
	hex.Encode(out[:], sum[:16])
	return string(out[:])
}

// Decode fills e from a log record and the attributes of its resource; the record's own attributes win.
func Decode(res pcommon.Resource, lr plog.LogRecord, e *Event) {
	*e = Event{
		Name:     lr.EventName(),
		Time:     int64(lr.Timestamp()),
		Received: int64(lr.ObservedTimestamp()),
		TraceID:  lr.TraceID(),
		SpanID:   lr.SpanID(),
	}
	switch b := lr.Body(); b.Type() {
	case pcommon.ValueTypeEmpty:
	case pcommon.ValueTypeBytes:
		e.Body = string(b.Bytes().AsRaw())
	case pcommon.ValueTypeStr:
		e.Body = b.Str()
	default:
		e.Body = b.AsString()
	}
	set := func(k string, v pcommon.Value) bool {
		if !e.setAttr(k, v) {
			if e.Extra == nil {
				e.Extra = make(map[string]string)
			}
			e.Extra[k] = v.AsString()
		}
		return true
	}
	res.Attributes().Range(set)
	lr.Attributes().Range(set)
}

// DecodeOver is Decode where base was decoded from the resource and an empty record: readers of a batch decode each resource once. e shares
// base's lists and maps, which must not be changed.
func DecodeOver(base *Event, lr plog.LogRecord, e *Event) {
	*e = *base
	e.Name, e.Time, e.Received = lr.EventName(), int64(lr.Timestamp()), int64(lr.ObservedTimestamp())
	e.TraceID, e.SpanID = lr.TraceID(), lr.SpanID()
	switch b := lr.Body(); b.Type() {
	case pcommon.ValueTypeEmpty:
	case pcommon.ValueTypeBytes:
		e.Body = string(b.Bytes().AsRaw())
	default:
		e.Body = b.AsString()
	}
	own := false
	for k, v := range lr.Attributes().All() {
		if e.setAttr(k, v) {
			continue
		}
		if !own {
			own = true
			e.Extra = maps.Clone(e.Extra)
			if e.Extra == nil {
				e.Extra = make(map[string]string)
			}
		}
		e.Extra[k] = v.AsString()
	}
}

// Encode writes e to an empty log record.
func (e *Event) Encode(lr plog.LogRecord) {
	lr.SetEventName(e.Name)
	lr.SetTimestamp(pcommon.Timestamp(e.Time))
	lr.SetObservedTimestamp(pcommon.Timestamp(e.Received))
	lr.SetTraceID(e.TraceID)
	lr.SetSpanID(e.SpanID)
	switch {
	case e.Body == "":
	case utf8.ValidString(e.Body):
		lr.Body().SetStr(e.Body)
	default: // an OTLP string must be UTF-8
		lr.Body().SetEmptyBytes().FromRaw([]byte(e.Body))
	}
	m := lr.Attributes()
	m.EnsureCapacity(40)
	e.putAttrs(m)
	for k, v := range e.Extra {
		m.PutStr(k, v)
	}
}

// DropRaw removes every attribute that carries unredacted content, whether the schema knows it or not.
func DropRaw(m pcommon.Map) {
	m.RemoveIf(func(k string, _ pcommon.Value) bool {
		return k == AttrBodySHA256 || strings.HasPrefix(k, RawPrefix)
	})
}
