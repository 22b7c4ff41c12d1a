// RFC 5424: <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG.

package syslog

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// encoder writes records. It is read-only and shared.
type encoder struct {
	cfg      *Config
	facility int
	host     string
	cef      *cefMapping
}

func newEncoder(c *Config) *encoder {
	e := &encoder{cfg: c, facility: slices.Index(facilities, c.Facility), host: c.Hostname, cef: defaultCEF}
	if e.host == "" {
		h, _ := os.Hostname()
		e.host = header(h, 128)
	}
	return e
}

// header makes a field of the header: printable ASCII without spaces, `-` for nothing (RFC 5424, 6.2).
func header(s string, limit int) string {
	if s == "" {
		return "-"
	}
	b := []byte(cutBytes(s, limit))
	for i, c := range b {
		if c <= ' ' || c > '~' {
			b[i] = '_'
		}
	}
	return string(b)
}

// Severities of RFC 5424, 6.2.1.
var findingSeverities = map[string]int{"informational": 6, "low": 5, "medium": 4, "high": 3, "critical": 2}

func severity(rec *sink.Record) int {
	if rec.Finding != nil {
		if s, ok := findingSeverities[rec.Finding.Severity]; ok {
			return s
		}
		return 2
	}
	switch {
	case rec.Event.Name == event.NameAudit:
		return 5
	case rec.Event.Outcome != "" && rec.Event.Outcome != event.OutcomeOK:
		return 4
	}
	return 6
}

// What of a record is structured data, and in which order; what comes last is left out first where a message would be too long.
var (
	eventParams = []string{
		"event_id", "tenant", "kind", "method", "server", "tool", "principal_id", "principal_verified", "outcome", "client_name", "exchange_id", "conversation_id", "direction",
		"audit_action", "audit_target", "error_type", "rpc_code", "auth_decision", "data_classes", "signals", "anomalies", "capabilities", "resource_uri", "prompt", "duration_ns",
		"body_size", "tokens_arguments", "tokens_result", "transport", "client_address", "server_address", "host_name", "capture",
	}
	findingParams = []string{
		"finding_id", "revision", "rule_id", "severity", "status", "tenant", "principal_id", "principal_verified", "server", "tool", "client_name", "group_id", "count",
		"conversation_id", "confidence", "triaged_by", "references", "rule_version",
	}
)

// message appends a record as one syslog message without framing, at most max_message_bytes.
func (e *encoder) message(b []byte, rec *sink.Record) []byte {
	start := len(b)
	left := func() int { return e.cfg.MaxMessageBytes - (len(b) - start) }
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(e.facility*8+severity(rec)), 10)
	b = append(b, ">1 "...)
	if t := rec.Time(); t > 0 {
		b = time.Unix(0, t).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z") // RFC 5424: at most six digits
	} else {
		b = append(b, '-')
	}
	host := e.host
	if rec.Event != nil && rec.Event.HostName != "" {
		host = header(rec.Event.HostName, 128)
	}
	id := ""
	switch rec.Kind() {
	case sink.KindFinding:
		id = rec.Finding.RuleID
	case sink.KindAudit:
		id = rec.Event.AuditAction
	default:
		id = rec.Event.Name
	}
	b = append(append(append(append(b, ' '), host...), ' '), e.cfg.AppName...)
	b = append(append(append(b, " - "...), header(id, 32)...), ' ')
	if e.cfg.Format == formatStructured {
		b = e.structured(b, rec, left()-64)
	} else {
		b = append(b, '-')
	}
	b = append(b, ' ')
	if e.cfg.BOM && e.cfg.Format != formatCEF {
		b = append(b, "\ufeff"...)
	}
	switch e.cfg.Format {
	case formatCEF:
		return e.cef.append(b, rec, left())
	case formatJSON:
		return e.json(b, rec, left())
	}
	return append(b, cutBytes(control(sentence(rec)), left())...)
}

// sentence is what a person reads.
func sentence(rec *sink.Record) string {
	if f := rec.Finding; f != nil {
		s := f.Summary
		if s == "" {
			s = f.Title
		}
		if f.Revision > 0 {
			s = f.Status + ": " + s
		}
		return s
	}
	e := rec.Event
	parts := make([]string, 0, 6)
	for _, p := range []string{e.AuditAction, e.AuditTarget, e.Method, e.Tool, e.Kind, e.Outcome} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, " ")
}

// maxParam bounds a value, bytes.
const maxParam = 1024

// structured appends one element with what fits into limit bytes; `truncated` says that something did not.
func (e *encoder) structured(b []byte, rec *sink.Record, limit int) []byte {
	const more = ` truncated="true"]`
	start := len(b)
	b = append(append(b, '['), e.cfg.SDID...)
	names := eventParams
	if rec.Finding != nil {
		names = findingParams
	}
	cut := false
	var one []byte
	for _, n := range names {
		v := value(rec, n)
		if v == "" {
			continue
		}
		if len(v) > maxParam {
			v, cut = cutBytes(v, maxParam), true
		}
		one = append(append(append(one[:0], ' '), n...), `="`...)
		one = append(appendParam(one, v), '"')
		if len(b)-start+len(one)+len(more) > limit {
			cut = true
			continue
		}
		b = append(b, one...)
	}
	if cut {
		return append(b, more...)
	}
	return append(b, ']')
}

// appendParam escapes a value (RFC 5424, 6.3.3).
func appendParam(b []byte, v string) []byte {
	for _, r := range control(v) {
		if r == '"' || r == '\\' || r == ']' {
			b = append(b, '\\')
		}
		b = append(b, string(r)...)
	}
	return b
}

// json appends the record's documented JSON form, without its message where it is too long, and then only what identifies it.
func (e *encoder) json(b []byte, rec *sink.Record, limit int) []byte {
	var text []byte
	var err error
	if f := rec.Finding; f != nil {
		text, err = json.Marshal(struct {
			Time string `json:"time"`
			Name string `json:"event_name"`
			finding.Fields
		}{time.Unix(0, f.Time).UTC().Format(time.RFC3339Nano), finding.EventName, f.Fields})
	} else {
		text, err = rec.Event.MarshalJSON()
		if len(text) > limit && rec.Event.Body != "" {
			short := *rec.Event
			short.Body = ""
			text, err = short.MarshalJSON()
		}
	}
	if err != nil || len(text) > limit {
		text, _ = json.Marshal(map[string]any{"event_name": cutBytes(value(rec, fieldName), 64), "id": cutBytes(rec.Key(), 64), "truncated": true})
	}
	return append(b, bytes.ReplaceAll(text, []byte{0x7f}, []byte{' '})...) // the one control character that JSON lets through
}
