package textscore

import (
	"unicode"
	"unicode/utf8"
)

// word is a run of letters of a text, normalised.
type word struct {
	hash  uint32
	class Class
	at    uint32 // where it stands
	n     uint8  // its bytes
	side  bool   // it stands in the scanner's own buffer and not in the text
}

// hashWord is FNV-1a over the normalised bytes of a word.
func hashWord(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

type entry struct {
	hash  uint32
	class Class
}

// table is classOf as an open-addressed table: a word is looked up for every few bytes of every text.
var table, tableMask = func() ([]entry, uint32) {
	n := 4
	for n < 4*len(classOf) {
		n *= 2
	}
	t := make([]entry, n)
	mask := uint32(n - 1)
	for h, c := range classOf {
		i := h & mask
		for t[i].class != Other {
			i = (i + 1) & mask
		}
		t[i] = entry{h, c}
	}
	return t, mask
}()

func classify(h uint32) Class {
	for i := h & tableMask; ; i = (i + 1) & tableMask {
		if t := table[i]; t.hash == h || t.class == Other {
			if t.hash != h {
				return Other
			}
			return t.class
		}
	}
}

// What a byte is to the reader of words.
const (
	isLetter = iota // lower case
	isUpper
	isGap // ends a word
	isDigit
	isQuote // within a word: nothing
	isHigh  // begins a rune beyond ASCII
	isStop  // ends a word and perhaps a sentence
)

var kinds = func() (t [256]uint8) {
	for c := range t {
		t[c] = isGap
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-32] = isLetter, isUpper
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = isDigit
	}
	for c := 0x80; c < 256; c++ {
		t[c] = isHigh
	}
	t['\''], t['`'] = isQuote, isQuote
	for _, c := range ".!?;\n" {
		t[c] = isStop
	}
	return t
}()

// leet are the letters that digits and signs stand for inside words.
func leet(c byte) byte {
	switch c {
	case '0':
		return 'o'
	case '1', '!', '|':
		return 'i'
	case '3':
		return 'e'
	case '4', '@':
		return 'a'
	case '5', '$':
		return 's'
	case '7':
		return 't'
	}
	return 0
}

func asciiLetter(c byte) bool { return (c|0x20)-'a' < 26 }

// leetAt says that the sign at i stands for a letter: words go on behind it, and it is no number.
func leetAt(b []byte, i int) bool {
	if leet(b[i]) == 0 || i+1 >= len(b) {
		return false
	}
	n := b[i+1]
	return asciiLetter(n) || leet(n) != 0 && i+2 < len(b) && asciiLetter(b[i+2])
}

// ideograph says that r is of a script that sets no spaces between words.
func ideograph(r rune) bool {
	return r >= 0x3040 && r <= 0x30FF || r >= 0x3400 && r <= 0x9FFF || r >= 0xAC00 && r <= 0xD7A3 || r >= 0xF900 && r <= 0xFAFF || r >= 0x20000 && r <= 0x3FFFF
}

// lower appends r in lower case.
func lower(dst []byte, r rune) []byte { return utf8.AppendRune(dst, unicode.ToLower(r)) }
