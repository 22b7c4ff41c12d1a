package sigma

import (
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// pattern is a string with wildcards: pieces of text, and between them * or ?.
type pattern []token

type token struct {
	text string
	wild byte // '*', '?' or 0 for text
}

// parsePattern reads Sigma's escapes: a backslash matters before *, ? and itself only.
func parsePattern(s string) pattern {
	var p pattern
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			p = append(p, token{text: b.String()})
			b.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '*' || s[i+1] == '?' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == '*' || c == '?':
			flush()
			if c == '*' && len(p) > 0 && p[len(p)-1].wild == '*' {
				continue
			}
			p = append(p, token{wild: c})
		default:
			b.WriteByte(c)
		}
	}
	flush()
	return p
}

// escape writes text so that parsePattern reads it back.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] == '*' || s[i] == '?' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// literal is the text of a pattern without wildcards.
func (p pattern) literal() (string, bool) {
	switch {
	case len(p) == 0:
		return "", true
	case len(p) == 1 && p[0].wild == 0:
		return p[0].text, true
	}
	return "", false
}

// surround lets anything stand before or after what the pattern says. What says nothing becomes a single wildcard, which any text matches.
func (p pattern) surround(before, after bool) pattern {
	out := append(pattern{}, p...)
	if before && (len(out) == 0 || out[0].wild != '*') {
		out = append(pattern{{wild: '*'}}, out...)
	}
	if after && (len(out) == 0 || out[len(out)-1].wild != '*') {
		out = append(out, token{wild: '*'})
	}
	return out
}

func lower(p pattern) pattern {
	out := make(pattern, len(p))
	for i, t := range p {
		out[i] = token{strings.ToLower(t.text), t.wild}
	}
	return out
}

// match is an expression that is true where the text of the operand is the pattern. Without case, the operand is lowered.
func (p pattern) match(operand string, cased bool) string {
	if !cased {
		p = lower(p)
		operand = "lower(" + operand + ")"
	}
	q := strconv.Quote
	text := func(i int) bool { return p[i].wild == 0 }
	star := func(i int) bool { return p[i].wild == '*' }
	switch {
	case len(p) == 0:
		return operand + ` == ""`
	case len(p) == 1 && text(0):
		return operand + " == " + q(p[0].text)
	case len(p) == 1 && star(0):
		return operand + ` != ""`
	case len(p) == 2 && text(0) && star(1):
		return operand + " startsWith " + q(p[0].text)
	case len(p) == 2 && star(0) && text(1):
		return operand + " endsWith " + q(p[1].text)
	case len(p) == 3 && star(0) && text(1) && star(2):
		return operand + " contains " + q(p[1].text)
	}
	var re strings.Builder
	re.WriteString("(?s)^")
	for _, t := range p {
		switch t.wild {
		case '*':
			re.WriteString(".*")
		case '?':
			re.WriteString(".")
		default:
			re.WriteString(regexp.QuoteMeta(t.text))
		}
	}
	re.WriteString("$")
	return operand + " matches " + q(re.String())
}

// dashes that windash takes for one another.
var dashes = []string{"-", "/", "–", "—", "―"}

// windash is the pattern with every dash that begins a word as each of the dashes, all alike.
func (p pattern) windash() []pattern {
	out := make([]pattern, 0, len(dashes))
	for _, d := range dashes {
		q := make(pattern, len(p))
		start := true
		for i, t := range p {
			if t.wild != 0 {
				q[i], start = t, true
				continue
			}
			var b strings.Builder
			for _, r := range t.text {
				if isDash := r == '-' || r == '/' || r == '–' || r == '—' || r == '―'; isDash && start {
					b.WriteString(d)
				} else {
					b.WriteRune(r)
				}
				start = r == ' '
			}
			q[i].text = b.String()
		}
		out = append(out, q)
	}
	return out
}

func utf16Text(s string, order binary.AppendByteOrder, bom bool) string {
	var b []byte
	if bom {
		b = order.AppendUint16(b, 0xfeff)
	}
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// base64Offsets is the part of the base64 form of s that does not depend on what stands around it, for each of the three places where it can begin.
func base64Offsets(s string) []string {
	starts, ends := [3]int{0, 2, 3}, [3]int{0, 3, 2}
	var out []string
	for i := range 3 {
		e := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", i) + s))
		end := len(e) - ends[(len(s)+i)%3]
		if starts[i] < end {
			out = append(out, e[starts[i]:end])
		}
	}
	return out
}
