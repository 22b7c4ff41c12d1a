// Package shingle samples a message so that detectors can see the same content again, in another tenant or in a later call, without keeping any of
// it: keyed 64-bit hashes of sensitive values, of identifier-like words, of runs of five words, and of what names somebody whose data it is.
//
// The samples with the smallest hashes are kept, so that two texts that share much share samples, whatever surrounds it.
package shingle

import (
	"encoding/binary"
	"slices"

	"github.com/mcpsiem/mcpsiem/internal/inspect/siphash"
)

// Bounds of one message's sample; together 64.
const (
	MaxValues          = 24
	MaxTokens          = 16
	MaxRuns            = 16
	MaxSubjects        = 8
	words              = 5
	base        uint64 = 0x9E3779B97F4A7C15
)

// Kind is what a hash is of; the lowest three bits of an exported hash say it.
type Kind uint8

// Kinds.
const (
	Value        Kind = iota // a sensitive value: an address, a number, a secret
	Identifier               // an identifier-like word, or a short text as a whole
	Run                      // five words
	Person                   // a value that names a person or an account whose data it is
	Organisation             // a value that names a tenant or an organisation whose data it is
	kindBits     = 7
)

// KindOf is the kind of an exported hash.
func KindOf(h uint64) Kind { return Kind(h & kindBits) }

func (k Kind) mark(h uint64) uint64 { return h&^kindBits | uint64(k) }

// basePow is base to the power of words, modulo 2^64.
var basePow = func() uint64 {
	p := uint64(1)
	for range words {
		p *= base
	}
	return p
}()

// Sample collects one message. Reset before use.
type Sample struct {
	values, tokens, runs []uint64
	subjects             []uint64 // marked with their kinds
	k0, k1               uint64
	buf                  []byte
	out                  []uint64
}

// Reset empties the sample and sets the key.
func (s *Sample) Reset(k0, k1 uint64) {
	s.values, s.tokens, s.runs, s.subjects = s.values[:0], s.tokens[:0], s.runs[:0], s.subjects[:0]
	s.k0, s.k1 = k0, k1
}

// Value adds a sensitive value in its normal form.
func (s *Sample) Value(b []byte) {
	if len(b) >= 4 {
		keep(&s.values, siphash.Hash(s.k0, s.k1, b), MaxValues)
	}
}

// Subject adds a value that names a person or an organisation whose data the message is about; case does not matter.
func (s *Sample) Subject(kind Kind, b []byte) {
	s.buf = append(s.buf[:0], byte(kind))
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		s.buf = append(s.buf, c)
	}
	keep(&s.subjects, kind.mark(siphash.Hash(s.k1, s.k0, s.buf)), MaxSubjects)
}

// Text adds the words of a text. A short text is also taken as a whole.
func (s *Sample) Text(b []byte) {
	var ring [words]uint64
	var roll uint64
	n, at := 0, 0
	for i := 0; i < len(b); {
		k := kinds[b[i]]
		if k == 0 {
			i++
			continue
		}
		start := i
		for i++; i < len(b); i++ {
			c := kinds[b[i]]
			if c == 0 {
				break
			}
			k |= c
		}
		h := s.word(b, start, i)
		if k&digit != 0 && i-start >= 6 && i-start <= 64 && (k&letter != 0 || i-start >= 7) {
			keep(&s.tokens, s.mix(h), MaxTokens)
		}
		// a polynomial over the last five words
		roll = roll*base + h - ring[at]*basePow
		ring[at] = h
		if at++; at == words {
			at = 0
		}
		if n++; n >= words {
			if m := s.mix(roll); len(s.runs) < MaxRuns || m < s.runs[MaxRuns-1] {
				keep(&s.runs, m, MaxRuns)
			}
		}
	}
	if n > 0 && n < words && len(b) >= 12 {
		r := roll ^ s.k1
		keep(&s.tokens, s.mix(r), MaxTokens)
	}
}

// word hashes the word text[from:to] without regard to case, eight bytes at a time.
func (s *Sample) word(text []byte, from, to int) uint64 {
	const lower = 0x2020202020202020
	h := s.k0 ^ uint64(to-from)
	for to-from >= 8 {
		h = (h ^ (binary.LittleEndian.Uint64(text[from:]) | lower)) * 0x9E3779B97F4A7C15
		h ^= h >> 29
		from += 8
	}
	var t uint64
	switch n := to - from; {
	case n == 0:
	case to >= 8: // one load that ends with the word, and what is before it shifted out
		skip := uint(8*(8-n)) & 63
		t = binary.LittleEndian.Uint64(text[to-8:])>>skip | lower>>skip
	default:
		for i, c := range text[from:to] {
			t |= uint64(c|0x20) << (8 * i)
		}
	}
	h = (h ^ t) * 0xff51afd7ed558ccd
	return h ^ h>>32
}

// mix makes a hash that shows nothing of its input without the key.
func (s *Sample) mix(h uint64) uint64 {
	h ^= s.k1
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// keep inserts h into the sorted list of the n smallest.
func keep(list *[]uint64, h uint64, n int) {
	l := *list
	if len(l) == n {
		if h >= l[n-1] {
			return
		}
	}
	i, found := slices.BinarySearch(l, h)
	if found {
		return
	}
	if len(l) < n {
		l = append(l, 0)
	}
	copy(l[i+1:], l[i:])
	l[i] = h
	*list = l
}

// Export returns the sample, keyed once more by SipHash, at most 64 hashes in ascending order; valid until the next Reset.
func (s *Sample) Export() []uint64 {
	s.out = append(s.out[:0], s.subjects...)
	for _, h := range s.values {
		s.out = append(s.out, Value.mark(h))
	}
	for _, h := range s.tokens {
		s.out = append(s.out, Identifier.mark(siphash.Word(s.k0, s.k1, h)))
	}
	for _, h := range s.runs {
		s.out = append(s.out, Run.mark(siphash.Word(s.k0, s.k1, h)))
	}
	slices.Sort(s.out)
	s.out = slices.Compact(s.out)
	return s.out
}

// The kinds of bytes that make words; 0 ends one.
const (
	letter = 1 << iota // or not ASCII
	digit
	joiner
)

var kinds = func() (t [256]byte) {
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= 0x80:
			t[c] = letter
		case c >= '0' && c <= '9':
			t[c] = digit
		case c == '_' || c == '-':
			t[c] = joiner
		}
	}
	return t
}()
