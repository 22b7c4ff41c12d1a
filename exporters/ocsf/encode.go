// A record as an OCSF event.

package ocsf

import (
	"bytes"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mcpsiem/mcpsiem/internal/mcp"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// work is one record being written.
type work struct {
	class    *class
	rec      *sink.Record
	fields   reflect.Value
	message  bool // whether the JSON-RPC message goes
	activity int64
}

// classOf is the record's class; nil if the mapping has none.
func (m *mapping) classOf(rec *sink.Record) *class {
	kind, fields := rec.Kind(), fieldsOf(rec)
	for _, c := range m.classes {
		w := work{class: c, rec: rec, fields: fields}
		if slices.Contains(c.records, kind) && w.meets(c.when) {
			return c
		}
	}
	return nil
}

// encode appends the record as one JSON object without line breaks.
func (c *class) encode(b []byte, rec *sink.Record, message bool) []byte {
	w := work{class: c, rec: rec, fields: fieldsOf(rec), message: message}
	if n := c.tree.find("activity_id"); n != nil { // type_uid is made of it
		var x [32]byte
		if v, _, _ := w.value(x[:0], n.sources); v != nil {
			w.activity, _ = strconv.ParseInt(string(v), 10, 64)
		}
	}
	b, _ = w.object(b, c.tree)
	return b
}

func (n *node) find(name string) *node {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

// object appends the fields that have a value; false and nothing if none has.
func (w *work) object(b []byte, n *node) ([]byte, bool) {
	start := len(b)
	b = append(b, '{')
	for _, k := range n.kids {
		before := len(b)
		b = appendKey(b, k.name)
		if len(k.kids) > 0 {
			var ok bool
			if k.list {
				b, ok = w.array(b, k)
			} else {
				b, ok = w.object(b, k)
			}
			if !ok {
				b = b[:before]
			}
			continue
		}
		at := len(b)
		out, s, caption := w.value(b, k.sources)
		if out == nil {
			b = b[:before]
			continue
		}
		b = out
		if s.sibling != "" && caption != nil && len(b) > at {
			b = append(appendKey(b, s.sibling), caption...)
		}
	}
	if len(b) == start+1 {
		return b[:start], false
	}
	return append(b, '}'), true
}

func (w *work) array(b []byte, n *node) ([]byte, bool) {
	start := len(b)
	b = append(b, '[')
	for _, k := range n.kids {
		before := len(b)
		if before > start+1 {
			b = append(b, ',')
		}
		var ok bool
		if b, ok = w.object(b, k); !ok {
			b = b[:before]
		}
	}
	if len(b) == start+1 {
		return b[:start], false
	}
	return append(b, ']'), true
}

// value appends what the first source that has something gives; nil if none has.
func (w *work) value(b []byte, sources []source) ([]byte, *source, []byte) {
	for i := range sources {
		s := &sources[i]
		if !w.meets(s.when) {
			continue
		}
		if out, caption := w.from(b, s); out != nil {
			return out, s, caption
		}
	}
	return nil, nil, nil
}

func (w *work) from(b []byte, s *source) (out, caption []byte) {
	switch {
	case s.typeUID:
		return strconv.AppendInt(b, w.class.uid*100+w.activity, 10), nil
	case s.constant != nil:
		return append(b, s.constant...), nil
	case s.unmapped:
		return w.unmapped(b), nil
	}
	var v value
	for i := range s.columns {
		if s.columns[i].name == sink.FieldMessage && !w.message {
			continue
		}
		if v = s.columns[i].read(w.rec, w.fields); v.kind != isNothing {
			break
		}
	}
	if len(s.lines) > 0 && v.kind != isNothing {
		for i := range s.lines {
			if l := &s.lines[i]; l.fits(&v) {
				return append(b, l.out...), l.caption
			}
		}
		v = value{}
	}
	if v.kind != isNothing {
		if out = s.append(b, &v); out != nil {
			return out, nil
		}
	}
	if s.fallback != nil {
		return append(b, s.fallback...), s.caption
	}
	return nil, nil
}

func (l *line) fits(v *value) bool {
	if v.kind == isList {
		return slices.ContainsFunc(v.list, func(x string) bool { return sink.Match(l.pattern, x) })
	}
	return sink.Match(l.pattern, v.text())
}

func (w *work) meets(cs []condition) bool {
	for i := range cs {
		v := cs[i].column.read(w.rec, w.fields)
		if v.kind == isNothing || len(cs[i].values) > 0 && !slices.Contains(cs[i].values, v.text()) {
			return false
		}
	}
	return true
}

// append writes a value in the source's format; nil if it cannot be written so.
func (s *source) append(b []byte, v *value) []byte {
	switch {
	case s.refs:
		return appendAttacks(b, v.list)
	case s.each != "":
		if v.kind != isList {
			return nil
		}
		b = append(b, '[')
		for i, x := range v.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(appendKey(append(b, '{'), s.each), x), '}')
		}
		return append(b, ']')
	}
	switch s.as {
	case "ms", "ns_to_ms":
		if v.kind != isInt || s.as == "ms" && v.i < 0 {
			return nil
		}
		return strconv.AppendInt(b, v.i/1e6, 10)
	case "int":
		if v.kind == isInt {
			return strconv.AppendInt(b, v.i, 10)
		}
		if n, err := strconv.ParseInt(v.text(), 10, 64); err == nil {
			return strconv.AppendInt(b, n, 10)
		}
		return nil
	case "percent":
		if v.kind != isFloat || !(v.f >= 0 && v.f <= 1) {
			return nil
		}
		return strconv.AppendInt(b, int64(math.Round(v.f*100)), 10)
	case "bool":
		return strconv.AppendBool(b, v.i != 0)
	case "ip":
		if a, err := netip.ParseAddr(v.text()); err == nil {
			return appendString(b, a.WithZone("").String())
		}
		if a, err := netip.ParseAddrPort(v.text()); err == nil {
			return appendString(b, a.Addr().WithZone("").String())
		}
		return nil
	case "strings":
		if v.kind != isList {
			return nil
		}
		return appendList(b, v.list)
	case "json":
		return appendJSON(b, v.text())
	}
	switch v.kind {
	case isList, isLabels, isScores:
		return nil
	}
	return appendString(b, v.text())
}

// appendJSON appends a JSON value as it is, on one line, and other text as a string. What is not JSON must not be able to end the event.
func appendJSON(b []byte, s string) []byte {
	start := len(b)
	b = append(b, s...)
	if m := b[start:]; len(m) > 0 && mcp.Valid(m) && utf8.Valid(m) {
		for i, c := range m {
			if c == '\n' || c == '\r' {
				m[i] = ' ' // between tokens: strings hold none
			}
		}
		return b
	}
	return appendString(b[:start], s)
}

// unmapped appends the columns that the class has no field for.
func (w *work) unmapped(b []byte) []byte {
	start := len(b)
	b = append(b, '{')
	for i := range w.class.unmapped {
		c := &w.class.unmapped[i]
		if c.name == sink.FieldMessage && !w.message {
			continue
		}
		v := c.read(w.rec, w.fields)
		if v.kind == isNothing {
			continue
		}
		b = appendKey(b, c.name)
		switch v.kind {
		case isString:
			b = appendString(b, v.s)
		case isInt:
			b = strconv.AppendInt(b, v.i, 10)
		case isBool:
			b = append(b, "true"...)
		case isFloat:
			b = appendFloat(b, v.f)
		case isList:
			b = appendList(b, v.list)
		case isLabels:
			b = appendMap(b, v.labels, appendString)
		case isScores:
			b = appendMap(b, v.scores, appendFloat)
		}
	}
	if len(b) == start+1 {
		return nil
	}
	return append(b, '}')
}

// appendAttacks appends threat references, each `framework version id name`, as attack objects: MITRE's, whose names OCSF's attack object is for. nil if
// there is none; the others are in finding_info.types.
func appendAttacks(b []byte, refs []string) []byte {
	start := len(b)
	b = append(b, '[')
	for _, r := range refs {
		p := strings.SplitN(r, " ", 4)
		if len(p) < 4 || !strings.Contains(strings.ToUpper(p[0]), "ATLAS") && !strings.Contains(strings.ToUpper(p[0]), "ATT&CK") {
			continue
		}
		kind, id := "technique", strings.TrimPrefix(p[2], "AML.")
		switch {
		case strings.HasPrefix(id, "TA"):
			kind = "tactic"
		case !strings.HasPrefix(id, "T"): // a mitigation, which alone is no attack
			continue
		case strings.Contains(id, "."):
			kind = "sub_technique"
		}
		if len(b) > start+1 {
			b = append(b, ',')
		}
		b = append(b, `{"`...)
		b = append(append(b, kind...), `":{"uid":`...)
		b = appendString(b, p[2])
		b = appendString(append(b, `,"name":`...), p[3])
		b = appendString(append(b, `},"version":`...), p[1])
		b = append(b, '}')
	}
	if len(b) == start+1 {
		return nil
	}
	return append(b, ']')
}

func appendKey(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), '"', ':')
}

func appendList(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendMap appends a map in key order, so that equal records have equal bytes.
func appendMap[V any](b []byte, m map[string]V, one func([]byte, V) []byte) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(append(appendString(b, k), ':'), m[k])
	}
	return append(b, '}')
}

func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string(bytes.ToValidUTF8([]byte(s), []byte("\ufffd")))
	}
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		if c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		start = i + 1
	}
	return append(append(b, s[start:]...), '"')
}
