package tokens

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// Classes of a code point, as the split rules use them. Letters have exactly one of upper, lower, caseless.
const (
	upper    = 1 << iota // Lu, Lt
	lower                // Ll
	caseless             // Lm, Lo
	mark                 // M
	number               // N
	space                // White_Space
	newline              // CR, LF; together with space

	letter  = upper | lower | caseless
	capital = upper | caseless | mark // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
	small   = lower | caseless | mark // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
)

var ascii = func() (t [utf8.RuneSelf]uint8) {
	for c := range t {
		switch {
		case c >= 'a' && c <= 'z':
			t[c] = lower
		case c >= 'A' && c <= 'Z':
			t[c] = upper
		case c >= '0' && c <= '9':
			t[c] = number
		case c == '\r' || c == '\n':
			t[c] = space | newline
		case c == ' ' || c >= '\t' && c <= '\f':
			t[c] = space
		}
	}
	return t
}()

// classTable holds the classes of all code points: index[r>>8] picks a block of 256. Most blocks are equal, so it is small.
type classTable struct {
	index  [(unicode.MaxRune + 1) >> 8]uint16
	blocks [][256]uint8
}

func (t *classTable) of(r rune) uint8 { return t.blocks[t.index[r>>8]][r&0xFF] }

var classes = sync.OnceValue(func() *classTable {
	flat := make([]uint8, unicode.MaxRune+1)
	set := func(tab *unicode.RangeTable, c uint8) {
		for _, r := range tab.R16 {
			for x := uint32(r.Lo); x <= uint32(r.Hi); x += uint32(r.Stride) {
				flat[x] |= c
			}
		}
		for _, r := range tab.R32 {
			for x := r.Lo; x <= r.Hi; x += r.Stride {
				flat[x] |= c
			}
		}
	}
	set(unicode.Lu, upper)
	set(unicode.Lt, upper)
	set(unicode.Ll, lower)
	set(unicode.Lm, caseless)
	set(unicode.Lo, caseless)
	set(unicode.M, mark)
	set(unicode.N, number)
	set(unicode.White_Space, space)
	flat['\r'] |= newline
	flat['\n'] |= newline
	for _, r := range newer {
		for x := r.lo; x <= r.hi; x++ {
			flat[x] = r.class
		}
	}
	t := &classTable{}
	seen := make(map[[256]uint8]uint16)
	for i := range t.index {
		b := [256]uint8(flat[i<<8 : i<<8+256])
		k, ok := seen[b]
		if !ok {
			k = uint16(len(t.blocks))
			seen[b] = k
			t.blocks = append(t.blocks, b)
		}
		t.index[i] = k
	}
	wide = t
	return t
})

// classAt returns the class of the code point at b[i] and its length. b is valid UTF-8 from i on.
func classAt(b []byte, i int) (uint8, int) {
	if c := b[i]; c < utf8.RuneSelf {
		return ascii[c], 1
	}
	return classWide(b, i)
}

func classWide(b []byte, i int) (uint8, int) {
	r, n := utf8.DecodeRune(b[i:])
	return wide.of(r), n
}

// wide is what classes made; newVocab makes it before there is an Encoding to use it.
var wide *classTable
