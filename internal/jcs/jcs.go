// Package jcs writes JSON in the canonical form of RFC 8785 (JSON Canonicalization Scheme), so that equal data has equal bytes
// and an equal hash.
//
// Time is n log n in the number of object members and otherwise linear, whatever the nesting; memory is linear; recursion is
// bounded by MaxDepth. What the RFC excludes from its domain (I-JSON, RFC 7493) is an error and never silently mended: an
// object with the same key twice, text that is not Unicode, a number beyond a double. Errors carry no content.
package jcs

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// MaxDepth is how deep arrays and objects may be nested.
const MaxDepth = 512

// Why a value has no canonical form.
var (
	ErrSyntax       = errors.New("cannot canonicalise: not one JSON value")
	ErrDepth        = errors.New("cannot canonicalise: nested too deep")
	ErrTooLarge     = errors.New("cannot canonicalise: 1 GiB or more")
	ErrDuplicateKey = errors.New("cannot canonicalise: an object has the same key twice")
	ErrUnicode      = errors.New("cannot canonicalise: text is not Unicode (ill-formed UTF-8 or a lone surrogate)")
	ErrNumber       = errors.New("cannot canonicalise: a number is out of a double's range")
)

// Append appends the canonical form of the one JSON value in raw to dst. On error it returns dst as it was.
func Append(dst, raw []byte) ([]byte, error) {
	if len(raw) >= 1<<30 {
		return dst, ErrTooLarge
	}
	p := parsers.Get().(*parser)
	defer p.release()
	p.in = raw
	root, err := p.value(0)
	if err != nil {
		return dst, err
	}
	if p.space(); p.i != len(raw) {
		return dst, ErrSyntax
	}
	return p.write(dst, root), nil
}

// parser makes a tree of raw, objects sorted; write then goes over it once.
type parser struct {
	in []byte
	i  int

	nodes    []node
	children []child // of all arrays and objects, each one's together
	open     []child // of the arrays and objects not closed yet
	keys     []byte  // decoded keys that had escapes
}

// node is a value. from and to are its place in the input; of an array or object in children.
type node struct {
	from, to int32
	kind     kind
}

type kind uint8

const (
	literal kind = iota // true, false, null: as it stands
	plain               // string that is canonical as it stands
	escaped             // string with escapes
	number
	array
	object
)

// child is an element or a member of a value.
type child struct {
	key  []byte // decoded
	from int32  // the key's quoted form in the input
	to   int32
	kind kind // plain or escaped
	node int32
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

func (p *parser) release() {
	if cap(p.nodes) > 1<<14 || cap(p.keys) > 1<<16 {
		return // one large value must not keep its memory
	}
	clear(p.children) // they point into the input
	clear(p.open[:cap(p.open)])
	*p = parser{nodes: p.nodes[:0], children: p.children[:0], open: p.open[:0], keys: p.keys[:0]}
	parsers.Put(p)
}

func (p *parser) space() {
	for p.i < len(p.in) {
		switch p.in[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// next skips white space and takes c if it is next.
func (p *parser) next(c byte) bool {
	p.space()
	if p.i < len(p.in) && p.in[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) add(k kind, from, to int) int32 {
	p.nodes = append(p.nodes, node{int32(from), int32(to), k})
	return int32(len(p.nodes) - 1)
}

func (p *parser) value(depth int) (int32, error) {
	p.space()
	if p.i >= len(p.in) {
		return 0, ErrSyntax
	}
	from := p.i
	switch c := p.in[p.i]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		k, err := p.string()
		return p.add(k, from, p.i), err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for _, l := range [...]string{"true", "false", "null"} {
		if end := p.i + len(l); end <= len(p.in) && string(p.in[p.i:end]) == l {
			p.i = end
			return p.add(literal, from, end), nil
		}
	}
	return 0, ErrSyntax
}

func (p *parser) array(depth int) (int32, error) {
	if depth == MaxDepth {
		return 0, ErrDepth
	}
	p.i++
	mark := len(p.open)
	if !p.next(']') {
		for {
			n, err := p.value(depth + 1)
			if err != nil {
				return 0, err
			}
			p.open = append(p.open, child{node: n})
			if p.next(']') {
				break
			}
			if !p.next(',') {
				return 0, ErrSyntax
			}
		}
	}
	return p.close(array, mark), nil
}

func (p *parser) object(depth int) (int32, error) {
	if depth == MaxDepth {
		return 0, ErrDepth
	}
	p.i++
	mark := len(p.open)
	if !p.next('}') {
		for {
			c, err := p.key()
			if err != nil {
				return 0, err
			}
			if !p.next(':') {
				return 0, ErrSyntax
			}
			if c.node, err = p.value(depth + 1); err != nil {
				return 0, err
			}
			p.open = append(p.open, c)
			if p.next('}') {
				break
			}
			if !p.next(',') {
				return 0, ErrSyntax
			}
		}
		members := p.open[mark:]
		slices.SortFunc(members, func(a, b child) int { return compareUTF16(a.key, b.key) })
		for i := 1; i < len(members); i++ {
			if string(members[i-1].key) == string(members[i].key) {
				return 0, ErrDuplicateKey
			}
		}
	}
	return p.close(object, mark), nil
}

// close moves the children from mark on to where they stay together.
func (p *parser) close(k kind, mark int) int32 {
	from := len(p.children)
	p.children = append(p.children, p.open[mark:]...)
	p.open = p.open[:mark]
	return p.add(k, from, len(p.children))
}

func (p *parser) key() (child, error) {
	p.space()
	if p.i >= len(p.in) || p.in[p.i] != '"' {
		return child{}, ErrSyntax
	}
	from := p.i
	k, err := p.string()
	if err != nil {
		return child{}, err
	}
	c := child{from: int32(from), to: int32(p.i), kind: k, key: p.in[from+1 : p.i-1]}
	if k == escaped {
		at := len(p.keys)
		p.keys = appendDecoded(p.keys, c.key)
		c.key = p.keys[at:len(p.keys):len(p.keys)]
	}
	return c, nil
}

// string checks the string at p.i and goes behind it.
func (p *parser) string() (kind, error) {
	k := plain
	b := p.in
	for i := p.i + 1; i < len(b); {
		switch c := b[i]; {
		case c == '"':
			p.i = i + 1
			return k, nil
		case c == '\\':
			k = escaped
			if i+1 >= len(b) {
				return k, ErrSyntax
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				r, ok := hex4(b, i+2)
				if !ok {
					return k, ErrSyntax
				}
				i += 6
				if utf16.IsSurrogate(r) {
					if i+1 >= len(b) || b[i] != '\\' || b[i+1] != 'u' {
						return k, ErrUnicode
					}
					r2, ok := hex4(b, i+2)
					if !ok {
						return k, ErrSyntax
					}
					if utf16.DecodeRune(r, r2) == utf8.RuneError {
						return k, ErrUnicode
					}
					i += 6
				}
			default:
				return k, ErrSyntax
			}
		case c < ' ':
			return k, ErrSyntax
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return k, ErrUnicode
			}
			i += n
		}
	}
	return k, ErrSyntax
}

func (p *parser) number() (int32, error) {
	b, from := p.in, p.i
	digits := func() bool {
		at := p.i
		for p.i < len(b) && b[p.i] >= '0' && b[p.i] <= '9' {
			p.i++
		}
		return p.i > at
	}
	if b[p.i] == '-' {
		p.i++
	}
	if p.i < len(b) && b[p.i] == '0' {
		p.i++
	} else if !digits() {
		return 0, ErrSyntax
	}
	if p.i < len(b) && b[p.i] == '.' {
		p.i++
		if !digits() {
			return 0, ErrSyntax
		}
	}
	if p.i < len(b) && (b[p.i] == 'e' || b[p.i] == 'E') {
		p.i++
		if p.i < len(b) && (b[p.i] == '+' || b[p.i] == '-') {
			p.i++
		}
		if !digits() {
			return 0, ErrSyntax
		}
	}
	if _, err := parseFloat(b[from:p.i]); err != nil {
		return 0, ErrNumber
	}
	return p.add(number, from, p.i), nil
}

func parseFloat(b []byte) (float64, error) {
	return strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
}

func (p *parser) write(dst []byte, id int32) []byte {
	n := p.nodes[id]
	switch n.kind {
	case number:
		f, _ := parseFloat(p.in[n.from:n.to])
		return AppendNumber(dst, f)
	case array:
		dst = append(dst, '[')
		for i, c := range p.children[n.from:n.to] {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = p.write(dst, c.node)
		}
		return append(dst, ']')
	case object:
		dst = append(dst, '{')
		for i, c := range p.children[n.from:n.to] {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = p.writeString(dst, c.kind, c.from, c.to)
			dst = append(dst, ':')
			dst = p.write(dst, c.node)
		}
		return append(dst, '}')
	case literal:
		return append(dst, p.in[n.from:n.to]...)
	}
	return p.writeString(dst, n.kind, n.from, n.to)
}

func (p *parser) writeString(dst []byte, k kind, from, to int32) []byte {
	if k == plain {
		return append(dst, p.in[from:to]...)
	}
	dst = append(dst, '"')
	at := len(dst)
	dst = appendDecoded(dst, p.in[from+1:to-1])
	quote := 0
	for _, c := range dst[at:] {
		quote += len(escapes[c])
	}
	if quote > 0 {
		text := slices.Clone(dst[at:])
		dst = dst[:at]
		for _, c := range text {
			if e := escapes[c]; e != "" {
				dst = append(dst, e...)
			} else {
				dst = append(dst, c)
			}
		}
	}
	return append(dst, '"')
}

// escapes are the only ones that the canonical form has (RFC 8785, 3.2.2.2).
var escapes = func() (t [256]string) {
	const hex = "0123456789abcdef"
	for c := range 0x20 {
		t[c] = `\u00` + string([]byte{hex[c>>4], hex[c&15]})
	}
	t['\b'], t['\t'], t['\n'], t['\f'], t['\r'], t['"'], t['\\'] = `\b`, `\t`, `\n`, `\f`, `\r`, `\"`, `\\`
	return t
}()

// appendDecoded appends the text of a checked string without its quotes.
func appendDecoded(dst, in []byte) []byte {
	for i := 0; i < len(in); {
		c := in[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch e := in[i+1]; e {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(in, i+2)
			i += 4
			if utf16.IsSurrogate(r) {
				r2, _ := hex4(in, i+4)
				r = utf16.DecodeRune(r, r2)
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, e)
		}
		i += 2
	}
	return dst
}

func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// compareUTF16 orders UTF-8 texts by their UTF-16 code units (RFC 8785, 3.2.3). That is the order of their bytes, except that
// code points above U+FFFF, which are surrogates in UTF-16, come before U+E000 to U+FFFF.
func compareUTF16(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
			return int(y) - int(x)
		}
		return int(x) - int(y)
	}
	return len(a) - len(b)
}

// AppendNumber appends f as ECMAScript's Number::toString writes it (RFC 8785, 3.2.2.3). f is finite.
func AppendNumber(dst []byte, f float64) []byte {
	if f == 0 { // and -0
		return append(dst, '0')
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// strconv pads the exponent to two digits, ECMAScript does not.
	if n := len(dst); n-at >= 4 && dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}
