package class

import "math"

// Charset is a set of bytes, as a mask over the classes of byte in chars.
type Charset uint32

const (
	cDigit Charset = 1 << iota
	cHexLower
	cRestLower
	cHexUpper
	cRestUpper
	cDash
	cUnder
	cDot
	cSlash
	cPlus
	cEq
	cTilde
	cColon
	cPercent
	cBang
	cDollar
	cSpace
	cAt
	cHigh  // not ASCII
	cDelim // ends a value that is not quoted
	cDouble
	cSingle
	cTick
	cLine // line break
	cOther

	cLower  = cHexLower | cRestLower
	cUpper  = cHexUpper | cRestUpper
	cLetter = cLower | cUpper

	Hex     = cDigit | cHexLower
	AnyHex  = cDigit | cHexLower | cHexUpper
	Base62  = cDigit | cLetter
	Lower36 = cDigit | cLower
	Upper36 = cDigit | cUpper
	Base64  = Base62 | cPlus | cSlash | cEq
	URLSafe = Base62 | cDash | cUnder
	Word    = Base62 | cUnder
	Dotted  = URLSafe | cDot
	HexDash = AnyHex | cDash
	DotEq   = Dotted | cEq
	Opaque  = Dotted | cTilde | cPlus | cSlash | cEq // RFC 6750 token68
	value   = ^(cSpace | cLine | cDelim | cDouble | cSingle | cTick)
)

var chars = func() (t [256]Charset) {
	for c := range 256 {
		switch {
		case c >= '0' && c <= '9':
			t[c] = cDigit
		case c >= 'a' && c <= 'f':
			t[c] = cHexLower
		case c >= 'g' && c <= 'z':
			t[c] = cRestLower
		case c >= 'A' && c <= 'F':
			t[c] = cHexUpper
		case c >= 'G' && c <= 'Z':
			t[c] = cRestUpper
		case c >= 0x80:
			t[c] = cHigh
		default:
			t[c] = cOther
		}
	}
	for c, s := range map[byte]Charset{'-': cDash, '_': cUnder, '.': cDot, '/': cSlash, '+': cPlus, '=': cEq, '~': cTilde,
		':': cColon, '%': cPercent, '!': cBang, '$': cDollar, ' ': cSpace, '\t': cSpace, '\n': cLine, '\r': cLine, '@': cAt,
		'"': cDouble, '\'': cSingle, '`': cTick, ',': cDelim, ';': cDelim, '<': cDelim, '>': cDelim, ')': cDelim, ']': cDelim, '}': cDelim, '|': cDelim, '&': cDelim} {
		t[c] = s
	}
	return t
}()

func isDigit(c byte) bool  { return c-'0' < 10 }
func isLetter(c byte) bool { return (c|0x20)-'a' < 26 }
func isWord(c byte) bool   { return chars[c]&(Base62|cHigh) != 0 }
func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// all says whether every byte of b is in set.
func all(b []byte, set Charset) bool {
	for _, c := range b {
		if chars[c]&set == 0 {
			return false
		}
	}
	return true
}

// has is the union of the sets of b's bytes.
func has(b []byte) (s Charset) {
	for _, c := range b {
		s |= chars[c]
	}
	return s
}

var nlogn = func() (t [513]float64) {
	for i := 1; i < len(t); i++ {
		t[i] = float64(i) * math.Log2(float64(i))
	}
	return t
}()

// entropy is the Shannon entropy of b's bytes in bits per byte; of the first 512 if b is longer.
func entropy(b []byte) float64 {
	if len(b) > 512 {
		b = b[:512]
	}
	if len(b) == 0 {
		return 0
	}
	var n [256]uint16
	for _, c := range b {
		n[c]++
	}
	sum := 0.0
	for _, c := range b {
		if k := n[c]; k != 0 {
			sum += nlogn[k]
			n[c] = 0
		}
	}
	return (nlogn[len(b)] - sum) / float64(len(b))
}

// random says whether b looks machine-made: enough different bytes for its length and more than one kind of them.
func random(b []byte) bool {
	h := has(b)
	kinds := 0
	for _, s := range []Charset{cDigit, cLower, cUpper} {
		if h&s != 0 {
			kinds++
		}
	}
	e := entropy(b)
	switch n := len(b); {
	case n < 8:
		return false
	case n < 16:
		return kinds >= 2 && h&cDigit != 0 && e >= 2.5
	default:
		return kinds >= 2 && e >= 3 && (h&cDigit != 0 || kinds >= 3 || e >= 4)
	}
}
