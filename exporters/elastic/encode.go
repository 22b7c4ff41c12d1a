// A record as a document.

package elastic

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Longest keys and values of flattened objects, bytes: one that is longer than Lucene's largest term, 32,766 bytes, would have the document refused.
const (
	maxFlatKey   = 256
	maxFlatValue = 8 << 10
)

// node is an object or a field of documents of one kind.
type node struct {
	name     string
	key      []byte // `"name":`
	children []*node
	field    *placed // of a leaf
	constant []byte  // JSON of a leaf that is always the same
}

// encoder writes documents. Each worker has its own.
type encoder struct {
	trees    map[sink.Kind]*node
	message  bool
	clock    clock
	ingested func() int64 // ns since 1970
	list     []string     // scratch
}

func newEncoder(message bool, ingested func() int64) (*encoder, error) {
	m, err := loadMapping()
	if err != nil {
		return nil, err
	}
	e := &encoder{trees: map[sink.Kind]*node{}, message: message, ingested: ingested}
	for _, k := range sink.Kinds {
		e.trees[k] = m.tree(k)
	}
	return e, nil
}

func (m *mapping) tree(k sink.Kind) *node {
	root := &node{}
	fields := m.place(k)
	for i := range fields {
		at := root
		for name := range strings.SplitSeq(fields[i].Path, ".") {
			at = at.child(name)
		}
		at.field = &fields[i]
		if v := fields[i].Value; v != "" {
			at.constant = sink.AppendString(nil, v)
		}
	}
	root.child(Root).key = nil // written apart: the message follows in it
	return root
}

func (n *node) child(name string) *node {
	if i := slices.IndexFunc(n.children, func(c *node) bool { return c.name == name }); i >= 0 {
		return n.children[i]
	}
	c := &node{name: name, key: append(sink.AppendString(nil, name), ':')}
	n.children = append(n.children, c)
	return c
}

// document appends the document of a record for a data stream.
func (e *encoder) document(b []byte, rec *sink.Record, stream []byte, withMessage bool) []byte {
	b = append(b, `{"@timestamp":`...)
	t := rec.Time()
	if t <= 0 && rec.Event != nil {
		t = rec.Event.Received
	}
	b = e.clock.append(b, t)
	b = append(b, `,"data_stream":`...)
	b = append(b, stream...)
	root := e.trees[rec.Kind()]
	for _, c := range root.children {
		if c.name != Root {
			b = e.append(b, c, rec)
		}
	}
	b = append(b, `,"`+Root+`":{`...)
	mark := len(b)
	for _, c := range root.child(Root).children {
		b = e.append(b, c, rec)
	}
	if ev := rec.Event; ev != nil {
		if len(ev.Extra) > 0 {
			b = appendFlat(key(b, sink.FieldAttributes), ev.Extra, appendFlatString)
		}
		if ev.Body != "" && e.message {
			if withMessage {
				b = sink.AppendString(key(b, sink.FieldMessage), ev.Body)
			} else {
				b = sink.AppendString(key(b, fieldOmitted), omittedTooBig)
			}
		}
	}
	if len(b) == mark {
		return append(b[:mark-len(`,"`+Root+`":{`)], '}')
	}
	return append(b, '}', '}')
}

func key(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), '"', ':')
}

// append appends a field or an object with its key, or nothing if it has no value.
func (e *encoder) append(b []byte, n *node, rec *sink.Record) []byte {
	start := len(b)
	if b[start-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, n.key...)
	if n.constant != nil {
		return append(b, n.constant...)
	}
	mark := len(b)
	if n.field != nil {
		if b = e.value(b, n.field, rec); len(b) == mark {
			return b[:start]
		}
		return b
	}
	b = append(b, '{')
	if n.name == "event" {
		b = e.clock.append(append(b, `"ingested":`...), e.ingested())
	}
	for _, c := range n.children {
		b = e.append(b, c, rec)
	}
	if len(b) == mark+1 {
		return b[:start]
	}
	return append(b, '}')
}

// value appends the value of a field, or nothing.
func (e *encoder) value(b []byte, f *placed, rec *sink.Record) []byte {
	switch {
	case f.source != nil && f.Map == nil && f.As == "":
		return e.column(b, f.source, rec)
	case f.source != nil:
		s := text(f.source, rec)
		if f.Map != nil {
			s = lookup(f.Map, s)
		}
		if s == "" || f.As == "ip" && !isIP(s) {
			return b
		}
		if f.Field.Type == "long" || f.Field.Type == "float" {
			return append(b, s...) // of the mapping, checked by its test
		}
		return sink.AppendString(b, s)
	case f.sources != nil:
		for i := range f.sources {
			if s := text(&f.sources[i], rec); s != "" {
				return sink.AppendString(b, s)
			}
		}
		return b
	}
	e.list = e.list[:0]
	if f.Threat != "" {
		e.list = threatValues(rec.Finding.References, f.Threat, e.list)
		if f.Threat == "framework" && len(e.list) > 0 {
			return sink.AppendString(b, e.list[0])
		}
	}
	for i := range f.parts {
		p := &f.parts[i]
		s := p.value
		if p.column != nil {
			s = text(p.column, rec)
			if p.m != nil {
				s = lookup(p.m, s)
			}
		}
		if s != "" && !slices.Contains(e.list, s) && (f.As != "ip" || isIP(s)) {
			e.list = append(e.list, s)
		}
	}
	if len(e.list) == 0 {
		return b
	}
	return appendStrings(b, e.list)
}

// lookup is what a value becomes.
func lookup(m map[string]string, s string) string {
	if s == "" {
		return ""
	}
	if v, ok := m[s]; ok {
		return v
	}
	return m["*"]
}

func isIP(s string) bool {
	if c := s[0]; c != ':' && (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
		return false
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

func base(rec *sink.Record) unsafe.Pointer {
	if rec.Finding != nil {
		return unsafe.Pointer(&rec.Finding.Fields)
	}
	return unsafe.Pointer(&rec.Event.Fields)
}

// text is the value of a field that is a string, else empty.
func text(c *column, rec *sink.Record) string {
	switch c.typ {
	case typeString:
		return *(*string)(unsafe.Add(base(rec), c.offset))
	case typeEventName:
		return rec.Event.Name
	}
	return ""
}

// column appends the value of a column, or nothing if it is its zero value.
func (e *encoder) column(b []byte, c *column, rec *sink.Record) []byte {
	at := unsafe.Add(base(rec), c.offset)
	switch c.typ {
	case typeString:
		if s := *(*string)(at); s != "" {
			b = sink.AppendString(b, s)
		}
	case typeInt:
		if n := *(*int64)(at); n > 0 && c.time {
			b = e.clock.append(b, n)
		} else if n != 0 && !c.time {
			b = strconv.AppendInt(b, n, 10)
		}
	case typeBool:
		if *(*bool)(at) {
			b = append(b, "true"...)
		}
	case typeFloat:
		if f := *(*float64)(at); f != 0 {
			b = sink.AppendFloat(b, f)
		}
	case typeStrings:
		if l := *(*[]string)(at); len(l) > 0 {
			b = appendStrings(b, l)
		}
	case typeLabels:
		if m := *(*map[string]string)(at); len(m) > 0 {
			b = appendFlat(b, m, appendFlatString)
		}
	case typeScores:
		if m := *(*map[string]float64)(at); len(m) > 0 {
			b = appendFlat(b, m, sink.AppendFloat)
		}
	case typeEventName:
		b = sink.AppendString(b, rec.Event.Name)
	case typeTraceID:
		if id := &rec.Event.TraceID; !id.IsEmpty() {
			b = appendHex(b, id[:])
		}
	case typeSpanID:
		if id := &rec.Event.SpanID; !id.IsEmpty() {
			b = appendHex(b, id[:])
		}
	case typeReceived:
		if rec.Event.Received > 0 {
			b = e.clock.append(b, rec.Event.Received)
		}
	}
	return b
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = sink.AppendString(b, s)
	}
	return append(b, ']')
}

func appendHex(b, id []byte) []byte {
	b = append(b, '"')
	b = hex.AppendEncode(b, id)
	return append(b, '"')
}

// appendFlat appends a map as a flattened object, in key order, so that equal records have equal bytes. Keys are made such that no other side
// refuses the document for them: not empty, without dots at their ends or beside each other and without NUL, and different from each other.
func appendFlat[V any](b []byte, m map[string]V, value func([]byte, V) []byte) []byte {
	b = append(b, '{')
	var few [16]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var seen []string // of changed keys
	for _, k := range keys {
		name := flatKey(k)
		if name != k {
			if _, taken := m[name]; taken || slices.Contains(seen, name) {
				continue
			}
			seen = append(seen, name)
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(sink.AppendString(b, name), ':')
		b = value(b, m[k])
	}
	return append(b, '}')
}

func flatKey(k string) string {
	if len(k) <= maxFlatKey && k != "" && k[0] != '.' && k[len(k)-1] != '.' && !strings.Contains(k, "..") && !strings.ContainsFunc(k, blankOrNUL) && utf8.ValidString(k) {
		return k
	}
	k = strings.ToValidUTF8(cut(k, maxFlatKey), "\ufffd")
	parts := strings.Split(k, ".")
	for i, p := range parts {
		p = strings.Map(func(r rune) rune {
			if blankOrNUL(r) {
				return '_'
			}
			return r
		}, p)
		if p == "" {
			p = "_"
		}
		parts[i] = p
	}
	return strings.Join(parts, ".")
}

func blankOrNUL(r rune) bool { return r <= ' ' || r == 0x7f }

func appendFlatString(b []byte, s string) []byte { return sink.AppendString(b, cut(s, maxFlatValue)) }

// cut is the beginning of s, at most n bytes, without half a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// docID is the _id of a record. An id that Elasticsearch would refuse, together with everything sent with it, becomes a hash of itself; a record
// without one gets that of its document.
func docID(rec *sink.Record, doc []byte) string {
	id := rec.Key()
	switch {
	case id == "":
		return event.SourceID("elastic", string(doc))
	case len(id) > 512 || !utf8.ValidString(id):
		return event.SourceID("elastic", id)
	}
	return id
}
