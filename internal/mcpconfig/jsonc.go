// Package mcpconfig puts the MCP servers of a client's configuration file under a tap, and takes them out again, without
// touching any other byte of the file.
package mcpconfig

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// This file reads JSON with comments and trailing commas (JSONC, as editors write it) into a tree of byte ranges.

// nodeKind is what a value is.
type nodeKind uint8

const (
	object nodeKind = iota
	array
	text
	other // number, true, false, null
)

// node is a value at src[start:end].
type node struct {
	kind       nodeKind
	start, end int
	members    []member // of an object
	items      []*node  // of an array
}

// member is a key and its value.
type member struct {
	name             string // decoded
	keyStart, keyEnd int
	value            *node
}

// SyntaxError says where a file is not JSON. It quotes nothing of it.
type SyntaxError struct {
	Line, Column int // from 1; columns count bytes
	Reason       string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// maxDepth bounds nesting.
const maxDepth = 200

type parser struct {
	src      []byte
	at       int
	comments [][2]int
}

// parse reads one value, which is the whole file but for comments, white space and a byte order mark.
func parse(src []byte) (root *node, comments [][2]int, err error) {
	p := &parser{src: src}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*SyntaxError)
			if !ok {
				panic(r)
			}
			root, comments, err = nil, nil, e
		}
	}()
	if len(src) >= 3 && string(src[:3]) == "\xEF\xBB\xBF" {
		p.at = 3
	}
	p.space()
	root = p.value(0)
	p.space()
	if p.at < len(src) {
		p.fail("something follows the value")
	}
	return root, p.comments, nil
}

func (p *parser) fail(reason string) {
	e := &SyntaxError{Line: 1, Column: 1, Reason: reason}
	for _, c := range p.src[:min(p.at, len(p.src))] {
		e.Column++
		if c == '\n' {
			e.Line++
			e.Column = 1
		}
	}
	panic(e)
}

func (p *parser) peek() byte {
	if p.at >= len(p.src) {
		p.fail("the file ends too early")
	}
	return p.src[p.at]
}

// space skips white space and comments.
func (p *parser) space() {
	for p.at < len(p.src) {
		switch p.src[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		case '/':
			p.comment()
		default:
			return
		}
	}
}

func (p *parser) comment() {
	start := p.at
	p.at++
	switch p.peek() {
	case '/':
		for p.at < len(p.src) && p.src[p.at] != '\n' && p.src[p.at] != '\r' {
			p.at++
		}
	case '*':
		p.at++
		for p.peek() != '*' || p.at+1 >= len(p.src) || p.src[p.at+1] != '/' {
			p.at++
		}
		p.at += 2
	default:
		p.fail("a comment begins with // or /*")
	}
	p.comments = append(p.comments, [2]int{start, p.at})
}

func (p *parser) value(depth int) *node {
	if depth > maxDepth {
		p.fail("nested too deeply")
	}
	n := &node{start: p.at}
	switch c := p.peek(); {
	case c == '{':
		n.kind = object
		p.list('}', func() {
			m := member{keyStart: p.at}
			if p.peek() != '"' {
				p.fail("a key in double quotes is expected")
			}
			m.name = p.text()
			m.keyEnd = p.at
			p.space()
			if p.peek() != ':' {
				p.fail("a colon is expected")
			}
			p.at++
			p.space()
			m.value = p.value(depth + 1)
			n.members = append(n.members, m)
		})
	case c == '[':
		n.kind = array
		p.list(']', func() { n.items = append(n.items, p.value(depth+1)) })
	case c == '"':
		n.kind = text
		p.text()
	default:
		n.kind = other
		p.word()
	}
	n.end = p.at
	return n
}

// list reads elements up to the closing bracket.
func (p *parser) list(closing byte, element func()) {
	p.at++
	p.space()
	for p.peek() != closing {
		element()
		p.space()
		if p.peek() == ',' {
			p.at++
			p.space()
		} else if p.peek() != closing {
			p.fail("a comma or closing bracket is expected")
		}
	}
	p.at++
}

func (p *parser) word() {
	start := p.at
	for p.at < len(p.src) {
		switch c := p.src[p.at]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '+', c == '-', c == '.':
			p.at++
			continue
		}
		break
	}
	switch w := string(p.src[start:p.at]); w {
	case "true", "false", "null":
	default:
		if !isNumber(w) {
			p.at = start
			p.fail("a value is expected")
		}
	}
}

// isNumber follows RFC 8259.
func isNumber(s string) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	if s != "" && s[0] == '-' {
		s = s[1:]
	}
	if s != "" && s[0] == '0' {
		s = s[1:]
	} else if !digits() {
		return false
	}
	if s != "" && s[0] == '.' {
		s = s[1:]
		if !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

// text reads a string and decodes it.
func (p *parser) text() string {
	p.at++
	var b []byte
	for {
		c := p.peek()
		switch {
		case c == '"':
			p.at++
			return string(b)
		case c < ' ':
			p.fail("a control character in a string")
		case c == '\\':
			p.at++
			b = p.escape(b)
		default:
			b = append(b, c)
			p.at++
		}
	}
}

func (p *parser) escape(b []byte) []byte {
	c := p.peek()
	p.at++
	switch c {
	case '"', '\\', '/':
		return append(b, c)
	case 'b':
		return append(b, '\b')
	case 'f':
		return append(b, '\f')
	case 'n':
		return append(b, '\n')
	case 'r':
		return append(b, '\r')
	case 't':
		return append(b, '\t')
	case 'u':
		r := p.hex()
		if utf16.IsSurrogate(r) && p.at+1 < len(p.src) && p.src[p.at] == '\\' && p.src[p.at+1] == 'u' {
			back := p.at
			p.at += 2
			if both := utf16.DecodeRune(r, p.hex()); both != utf8.RuneError {
				return utf8.AppendRune(b, both)
			}
			p.at = back
		}
		return utf8.AppendRune(b, r)
	}
	p.at--
	p.fail("an unknown escape in a string")
	return nil
}

func (p *parser) hex() rune {
	if p.at+4 > len(p.src) {
		p.fail("the file ends too early")
	}
	n, err := strconv.ParseUint(string(p.src[p.at:p.at+4]), 16, 16)
	if err != nil {
		p.fail("an unknown escape in a string")
	}
	p.at += 4
	return rune(n)
}

// get is the last member of that name, as readers take it; nil if there is none.
func (n *node) get(name string) *node {
	if n == nil || n.kind != object {
		return nil
	}
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].name == name {
			return n.members[i].value
		}
	}
	return nil
}

// count is how many members have that name.
func (n *node) count(name string) int {
	c := 0
	for _, m := range n.members {
		if m.name == name {
			c++
		}
	}
	return c
}

// stringAt decodes a text node.
func stringAt(src []byte, n *node) string {
	p := &parser{src: src, at: n.start}
	return p.text()
}
