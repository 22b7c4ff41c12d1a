package inspect

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
	"github.com/mcpsiem/mcpsiem/internal/inspect/policy"
)

// jsonWalker checks a JSON text (RFC 8259) and rewrites the strings, numbers and names in it that hold something sensitive; all
// other bytes are copied as they are.
type jsonWalker struct {
	w           *worker
	depth       int // level of texts inside texts
	maxDepth    int
	top         bool // the message itself, not JSON inside a string
	elicitation bool
	strong      bool      // only what proves itself
	key         class.Key // of the string that holds this JSON

	src     []byte
	i       int
	out     []byte
	copied  int
	nest    int
	changed bool
	names   [7][]byte // the members that lead to the current value, outermost first
	esc     []byte
	keyBuf  []byte
	join    []byte
	pieces  []piece
	forced  map[int]forced // position of a string -> what it is a part of
	again   bool
}

// forced is a string that holds a part of a value which its neighbours in the array complete.
type forced struct {
	class  class.ID
	vf, vt int
	first  bool
}

// place is what the way to a value says about it.
type place struct {
	key     class.Key
	always  class.ID // replace every scalar below by this class; class.None otherwise
	env     bool
	schema  bool // a JSON Schema: names of properties say nothing about values
	spared  bool // in a schema below a secret name: only what looks like a value
	strong  bool
	kind    string // type of the content block that the value is in, if it is one of those with binary data
	strings bool   // in an array: strings may continue each other
}

// piece is a string in an array.
type piece struct {
	at   int // of its opening quote
	from int // of its text in join
	to   int
}

// rewrite walks src and returns it with replacements; src itself if there were none. errors name no content.
// The result is valid until the walker is used again.
func (j *jsonWalker) rewrite(src []byte) ([]byte, error) {
	j.src = src
	mark := j.w.mark()
	path := len(j.w.path)
	for range 2 {
		j.i, j.copied, j.nest, j.out = 0, 0, 0, j.out[:0]
		j.w.path = j.w.path[:path]
		j.space()
		p := place{key: class.Key{Whole: class.None, Words: j.key.Words}, always: class.None, strong: j.strong}
		if err := j.value(p); err != nil {
			j.w.path = j.w.path[:path]
			return nil, err
		}
		j.space()
		if j.i != len(j.src) {
			return nil, errNotJSON
		}
		if len(j.forced) == 0 || j.again {
			break
		}
		// Some strings complete each other: walk once more and replace them. Found values keep their storage.
		j.w.found = j.w.found[:mark.found]
		j.again, j.changed = true, false
	}
	if !j.changed {
		return src, nil
	}
	j.out = append(j.out, src[j.copied:]...)
	return j.out, nil
}

// putString replaces src[from:to] by s as a JSON string.
func (j *jsonWalker) putString(from, to int, s []byte) {
	j.out = append(j.out, j.src[j.copied:from]...)
	j.out = appendString(j.out, s)
	j.copied = to
	j.changed = true
}

func appendString(dst, s []byte) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func (j *jsonWalker) space() {
	for j.i < len(j.src) {
		switch j.src[j.i] {
		case ' ', '\n', '\t', '\r':
			j.i++
		default:
			return
		}
	}
}

func (j *jsonWalker) value(p place) error {
	if j.i >= len(j.src) {
		return errNotJSON
	}
	switch c := j.src[j.i]; {
	case c == '"':
		return j.str(p)
	case c == '{':
		return j.object(p)
	case c == '[':
		return j.array(p)
	case c == '-' || c-'0' < 10:
		return j.number(p)
	case c == 't':
		return j.literal("true")
	case c == 'f':
		return j.literal("false")
	case c == 'n':
		return j.literal("null")
	}
	return errNotJSON
}

func (j *jsonWalker) literal(s string) error {
	if len(j.src)-j.i < len(s) || string(j.src[j.i:j.i+len(s)]) != s {
		return errNotJSON
	}
	j.i += len(s)
	return nil
}

func (j *jsonWalker) number(p place) error {
	start := j.i
	b := j.src
	i := j.i
	if b[i] == '-' {
		i++
	}
	d := i
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	if i == d || i-d > 1 && b[d] == '0' {
		return errNotJSON
	}
	plain := true
	if i < len(b) && b[i] == '.' {
		plain = false
		f := i + 1
		for i = f; i < len(b) && b[i]-'0' < 10; i++ {
		}
		if i == f {
			return errNotJSON
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		plain = false
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		f := i
		for ; i < len(b) && b[i]-'0' < 10; i++ {
		}
		if i == f {
			return errNotJSON
		}
	}
	j.i = i
	return j.digits(p, start, i, b[d:i], plain)
}

// digits examines a number as the text that it would be.
func (j *jsonWalker) digits(p place, from, to int, b []byte, plain bool) error {
	if plain {
		j.w.subject(b)
	}
	if c := p.replaceAll(); c != class.None {
		if out, changed := j.w.whole(j.src[from:to], c, j.depth); changed {
			j.putString(from, to, out)
		}
		return nil
	}
	if !plain {
		b = integral(j.esc[:0], b)
	}
	if len(b) < 7 && p.key.Whole == class.None {
		return nil
	}
	if out, changed := j.w.scalar(b, p.key, p.strong, j.depth); changed {
		j.putString(from, to, out)
	}
	return nil
}

// integral writes a number like 4.111e15 or 4111.0 as digits; nil if it is no integer of a length that matters.
func integral(dst, b []byte) []byte {
	exp := 0
	if e := bytes.IndexAny(b, "eE"); e >= 0 {
		neg := false
		for _, c := range b[e+1:] {
			switch {
			case c == '-':
				neg = true
			case c != '+' && exp < 100:
				exp = exp*10 + int(c-'0')
			}
		}
		if neg {
			exp = -exp
		}
		b = b[:e]
	}
	whole, frac := b, []byte(nil)
	if d := bytes.IndexByte(b, '.'); d >= 0 {
		whole, frac = b[:d], bytes.TrimRight(b[d+1:], "0")
	}
	if exp < 0 || len(frac) > exp || len(whole)+exp > 40 {
		if exp < 0 && exp > -40 && len(frac) == 0 { // 41110e-1
			if t := bytes.TrimRight(whole, "0"); len(whole)-len(t) >= -exp {
				return append(dst, whole[:len(whole)+exp]...)
			}
		}
		return nil
	}
	dst = append(dst, whole...)
	dst = append(dst, frac...)
	for range exp - len(frac) {
		dst = append(dst, '0')
	}
	return bytes.TrimLeft(dst, "0")
}

// replaceAll is the class by which any scalar at the place is replaced, or None.
func (p *place) replaceAll() class.ID {
	if p.spared {
		return class.None
	}
	return p.always
}

func (j *jsonWalker) object(p place) error {
	if j.nest++; j.nest > j.maxDepth {
		return errDeep
	}
	defer func() { j.nest-- }()
	j.i++
	j.space()
	if j.i < len(j.src) && j.src[j.i] == '}' {
		j.i++
		return nil
	}
	var label class.Key
	hasLabel := false
	kind := ""
	for {
		if j.i >= len(j.src) || j.src[j.i] != '"' {
			return errNotJSON
		}
		keyAt := j.i
		raw, escaped, err := j.scanString()
		if err != nil {
			return err
		}
		keyEnd := j.i
		name := raw
		if escaped {
			j.keyBuf = unescapeJSON(j.keyBuf[:0], raw)
			name = bytes.Clone(j.keyBuf)
		}
		j.space()
		if j.i >= len(j.src) || j.src[j.i] != ':' {
			return errNotJSON
		}
		j.i++
		j.space()
		if j.nest < len(j.names) {
			j.names[j.nest] = name
		}
		j.w.path = append(j.w.path, name)
		j.w.operator(name)
		info := j.w.keyOf(name)
		k := info.Key
		says := sentence(name)
		if !info.clean || says {
			n, hidden := len(j.w.found), j.w.hidden
			j.w.quiet = !says // what is remembered of a name must not depend on the message
			out, changed := j.w.text(name, class.Key{Whole: class.None}, false, j.depth)
			j.w.quiet = false
			if changed {
				j.putString(keyAt, keyEnd, out)
			}
			if n == len(j.w.found) && hidden == j.w.hidden {
				j.w.cleanKey(name, info)
			}
		}
		if j.i >= len(j.src) {
			return errNotJSON
		}
		if j.inTools() {
			j.definition(name)
		}
		q := j.below(p, name, k, j.src[j.i])
		from := j.i
		if string(name) == "value" && hasLabel {
			if label.Always {
				q.always = j.secretClass(label)
			}
			if label.Whole != class.None {
				q.key.Whole = label.Whole
			}
			q.key.Words |= label.Words
		}
		q.kind = kind
		// what this member says about its siblings
		if j.src[j.i] == '"' && (k.Label || string(name) == "mimeType") {
			save := j.i
			if v, esc, err := j.scanString(); err == nil && !esc && len(v) <= 64 {
				if k.Label && string(v) != "string" && string(v) != "text" {
					if l := j.w.keyOf(v).Key; l.Always || l.Whole != class.None || l.Words != 0 {
						label, hasLabel = l, true
					}
				}
				if string(name) == "type" && (string(v) == "image" || string(v) == "audio") || string(name) == "mimeType" && !bytes.HasPrefix(v, []byte("text/")) {
					kind = "binary"
				}
			}
			j.i = save
		}
		if err := j.value(q); err != nil {
			return err
		}
		if j.top && j.nest == 2 && string(name) == "arguments" && string(j.names[1]) == "params" {
			j.w.outward.Arguments(j.src[from:j.i])
		}
		j.w.path = j.w.path[:len(j.w.path)-1]
		j.space()
		if j.i >= len(j.src) {
			return errNotJSON
		}
		switch j.src[j.i] {
		case ',':
			j.i++
			j.space()
		case '}':
			j.i++
			return nil
		default:
			return errNotJSON
		}
	}
}

// sentence says that a name is long enough and has blanks enough to say something to a model; then it is read as a text.
func sentence(name []byte) bool {
	return len(name) >= minScored && bytes.Count(name, []byte(" ")) >= 2
}

func (j *jsonWalker) secretClass(k class.Key) class.ID {
	if k.Whole != class.None {
		return k.Whole
	}
	return j.w.e.ids.secret
}

// below derives the place of a member from that of its object. first is the first byte of its value.
func (j *jsonWalker) below(p place, name []byte, k class.Key, first byte) place {
	q := place{key: k, always: p.always, env: false, schema: p.schema, strong: p.strong, spared: p.spared}
	q.key.Words |= j.key.Words & p.key.Words
	q.strings = p.strings && string(name) == "text"
	switch string(name) {
	case "inputSchema", "outputSchema", "requestedSchema", "input_schema", "parameters":
		q.schema = q.schema || first == '{'
	case "type", "mimeType", "role", "jsonrpc", "method", "protocolVersion", "isError", "id", "progressToken", "resultType", "version":
		q.strong = q.strong || string(name) != "id" || j.top && j.nest == 1
		q.key = class.Key{Whole: class.None}
	case "name":
		if j.top && j.nest == 2 && string(j.names[1]) == "params" {
			q.strong = true
		}
	case "content":
		if j.top && j.elicitation && j.nest == 2 || j.nest >= 2 && j.inputResponse() {
			q.always = j.w.e.ids.elicited
		}
	}
	if p.schema {
		if p.spared {
			switch string(name) {
			case "default", "const", "example", "examples", "enum", "value":
				q.spared = false
			}
		}
		if k.Always && first == '{' { // the schema of a secret
			q.always, q.spared = j.secretClass(k), true
			return q
		}
		if k.Whole != class.None && first == '{' {
			q.key.Whole = class.None
		}
	}
	if k.Always && q.always == class.None && (!p.schema || first == '"') {
		q.always = j.secretClass(k)
	}
	if p.env {
		q.always = j.w.e.ids.env
	}
	if k.Env && first != '"' {
		q.env = true
	}
	if first == '{' || first == '[' {
		q.key.Whole, q.key.Always = k.Whole, false
		if first == '{' {
			q.key.Whole = class.None
		}
	}
	return q
}

// inputResponse says that the current object is an answer to an input request: inputResponses.<key>.
func (j *jsonWalker) inputResponse() bool {
	n := len(j.w.path)
	return n >= 3 && string(j.w.path[n-3]) == "inputResponses"
}

func (j *jsonWalker) array(p place) error {
	if j.nest++; j.nest > j.maxDepth {
		return errDeep
	}
	defer func() { j.nest-- }()
	j.i++
	j.space()
	if j.i < len(j.src) && j.src[j.i] == ']' {
		j.i++
		return nil
	}
	first := len(j.pieces)
	joinFrom := len(j.join)
	q := p
	q.strings = true
	if p.schema {
		q.key.Whole = class.None
	}
	tools := j.nest == 3 && j.ofTools()
	for {
		if tools {
			j.w.beginTool()
		}
		if err := j.value(q); err != nil {
			return err
		}
		if tools {
			j.w.endTool()
		}
		j.space()
		if j.i >= len(j.src) {
			return errNotJSON
		}
		if j.src[j.i] == ']' {
			j.i++
			break
		}
		if j.src[j.i] != ',' {
			return errNotJSON
		}
		j.i++
		j.space()
	}
	if len(j.pieces)-first > 1 && !j.again {
		j.joined(j.pieces[first:], j.join[joinFrom:], joinFrom)
	}
	j.pieces = j.pieces[:first]
	j.join = j.join[:joinFrom]
	return nil
}

// noteString adds a string of an array to those that are read together: long ones only with their ends.
func (j *jsonWalker) noteString(p place, at int, s []byte) {
	if !p.strings || len(s) == 0 || j.again {
		return
	}
	const edge = 160
	from := len(j.join)
	if len(s) > 2*edge {
		j.join = append(j.join, s[:edge]...)
		j.join = append(j.join, 0)
		s = s[len(s)-edge:]
	}
	j.join = append(j.join, s...)
	j.pieces = append(j.pieces, piece{at, from, len(j.join)})
}

// joined looks for values that several strings of an array make up together.
func (j *jsonWalker) joined(pieces []piece, text []byte, base int) {
	if len(text) < 9 {
		return
	}
	w := j.w
	L := w.level(j.depth)
	t := &L.text
	t.B, t.Key, t.Strong = text, class.Key{Whole: class.None}, true
	w.e.scanner.Scan(t)
	p := 0
	spans := t.Spans
	for _, s := range sortSpans(spans) {
		for p < len(pieces) && pieces[p].to-base <= s.Start {
			p++
		}
		if p == len(pieces) || pieces[p].to-base >= s.End {
			continue // inside one string: found there
		}
		last := p
		for last+1 < len(pieces) && pieces[last+1].from-base < s.End {
			last++
		}
		whole := false // one of the parts holds it already
		for k := p; k <= last; k++ {
			a, b := max(pieces[k].from-base, s.Start), min(pieces[k].to-base, s.End)
			if b-a == s.End-s.Start {
				whole = true
			}
		}
		if whole || s.Class == class.EmailID() {
			continue
		}
		vf, vt := w.value(s.Class, text[s.Start:s.End])
		if j.forced == nil {
			j.forced = map[int]forced{}
		}
		for k := p; k <= last; k++ {
			if _, ok := j.forced[pieces[k].at]; !ok {
				j.forced[pieces[k].at] = forced{s.Class, vf, vt, k == p}
			}
		}
	}
}

func (j *jsonWalker) str(p place) error {
	at := j.i
	raw, escaped, err := j.scanString()
	if err != nil {
		return err
	}
	s := raw
	if escaped {
		j.esc = unescapeJSON(j.esc[:0], raw)
		s = j.esc
	}
	end := j.i
	if f, ok := j.forced[at]; ok && j.again {
		a := j.w.policy.Action(int(f.class), j.w.path)
		if f.first {
			a = j.w.record(f.class, f.vf, f.vt)
		}
		if a != policy.Keep {
			L := j.w.level(j.depth)
			L.out = j.w.replace(L.out[:0], f.class, j.w.values[f.vf:f.vt], a)
			j.putString(at, end, L.out)
			return nil
		}
	}
	if len(s) == 0 {
		return nil
	}
	j.noteString(p, at, s)
	j.w.subject(s)
	j.w.lead(s)
	if p.kind == "binary" || len(j.w.path) > 0 && string(j.w.path[len(j.w.path)-1]) == "blob" {
		if n := len(j.w.path); n > 0 && (string(j.w.path[n-1]) == "data" || string(j.w.path[n-1]) == "blob") && binaryText(s) {
			return j.blob(at, end, s)
		}
	}
	if c := p.replaceAll(); c != class.None && !bareWord(s) {
		if out, changed := j.w.whole(s, c, j.depth); changed {
			j.putString(at, end, out)
		}
		return nil
	}
	if p.env { // NAME=value in an array
		if k := bytes.IndexByte(s, '='); k > 0 && k+1 < len(s) {
			if out, changed := j.w.whole(s[k+1:], j.w.e.ids.env, j.depth); changed {
				j.esc = append(append([]byte(nil), s[:k+1]...), out...)
				j.putString(at, end, j.esc)
			}
			return nil
		}
	}
	// a nested text may use j.esc's storage through another walker, never this one's
	if out, changed := j.w.scalar(s, p.key, p.strong, j.depth); changed {
		j.putString(at, end, out)
	}
	return nil
}

// bareWord says that s cannot be a value of anything: empty or a boolean as text.
func bareWord(s []byte) bool {
	return string(s) == "true" || string(s) == "false" || string(s) == "null"
}

func binaryText(s []byte) bool {
	if len(s) < 4 {
		return false
	}
	for _, c := range s {
		if c-'0' > 9 && (c|0x20)-'a' > 25 && c != '+' && c != '/' && c != '=' && c != '-' && c != '_' && c != '\n' && c != '\r' {
			return false
		}
	}
	return true
}

// blob replaces binary content by its keyed hash and length.
func (j *jsonWalker) blob(at, end int, s []byte) error {
	w := j.w
	vf, vt := w.value(w.e.ids.blob, s)
	a := w.record(w.e.ids.blob, vf, vt)
	if a == policy.Keep {
		return nil
	}
	L := w.level(j.depth)
	L.out = w.writer.AppendSized(L.out[:0], "blob", s, len(s)/4*3)
	j.putString(at, end, L.out)
	return nil
}

// scanString passes over a string and returns what is between its quotes.
func (j *jsonWalker) scanString() (raw []byte, escaped bool, err error) {
	b := j.src
	i := j.i + 1
	for {
		for len(b)-i >= 8 {
			if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			return nil, false, errNotJSON
		}
		c := b[i]
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		switch {
		case c == '"':
			raw = b[j.i+1 : i]
			j.i = i + 1
			return raw, escaped, nil
		case c == '\\':
			escaped = true
			if i+1 >= len(b) {
				return nil, false, errNotJSON
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if i+6 > len(b) || !isHex(b[i+2]) || !isHex(b[i+3]) || !isHex(b[i+4]) || !isHex(b[i+5]) {
					return nil, false, errNotJSON
				}
				i += 6
			default:
				return nil, false, errNotJSON
			}
		default:
			return nil, false, errNotJSON // a control character
		}
	}
}

// special marks, by its highest bit, the first of eight bytes that is a quote, a backslash or a control character; bytes behind it may be
// marked wrongly.
func special(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, back := x^'"'*ones, x^'\\'*ones
	return ((quote-ones)&^quote | (back-ones)&^back | (x-' '*ones)&^x) & tops
}

// unescapeJSON appends the text of a string whose escapes have been checked. Lone surrogates become U+FFFD.
func unescapeJSON(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		// In JSON within a string the next escape is a few bytes away.
		from, near := i, min(i+24, len(raw))
		for i < near && raw[i] != '\\' {
			i++
		}
		if i == near && i < len(raw) {
			k := bytes.IndexByte(raw[i:], '\\')
			if k < 0 {
				return append(dst, raw[from:]...)
			}
			i += k
		}
		dst = append(dst, raw[from:i]...)
		if i == len(raw) {
			return dst
		}
		switch c := raw[i+1]; c {
		case 'u':
			r := hex4(raw[i+2:])
			i += 6
			if r >= 0xD800 && r < 0xDC00 && i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
				if lo := hex4(raw[i+2:]); lo >= 0xDC00 && lo < 0xE000 {
					r = (r-0xD800)<<10 + (lo - 0xDC00) + 0x10000
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			switch c {
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			}
			dst = append(dst, c)
			i += 2
		}
	}
	return dst
}

func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		r <<= 4
		switch {
		case c <= '9':
			r |= rune(c - '0')
		case c <= 'F':
			r |= rune(c-'A') + 10
		default:
			r |= rune(c-'a') + 10
		}
	}
	return r
}

func sortSpans(s []class.Span) []class.Span {
	for i := 1; i < len(s); i++ { // nearly sorted already
		if s[i].Start < s[i-1].Start {
			sortByStart(s)
			break
		}
	}
	return s
}
