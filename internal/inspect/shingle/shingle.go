// Package shingle samples a message so that detectors can see the same content again, in another tenant or in a later call, without keeping any of
// it: keyed 64-bit hashes of sensitive values, of identifier-like words, and of runs of five words.
//
// The samples with the smallest hashes are kept, so that two texts that share much share samples, whatever surrounds it.
package shingle

import (
	"slices"

	"github.com/mcpsiem/mcpsiem/internal/inspect/siphash"
)

// Bounds of one message's sample; together 64.
const (
	MaxValues = 24
	MaxTokens = 16
	MaxRuns   = 24
	words     = 5
)

// Sample collects one message. Reset before use.
type Sample struct {
	values, tokens, runs []uint64
	k0, k1               uint64
	out                  []uint64
}

// Reset empties the sample and sets the key.
func (s *Sample) Reset(k0, k1 uint64) {
	s.values, s.tokens, s.runs = s.values[:0], s.tokens[:0], s.runs[:0]
	s.k0, s.k1 = k0, k1
}

// Value adds a sensitive value in its normal form.
func (s *Sample) Value(b []byte) {
	if len(b) >= 4 {
		keep(&s.values, siphash.Hash(s.k0, s.k1, b), MaxValues)
	}
}

// Text adds the words of a text. A short text is also taken as a whole.
func (s *Sample) Text(b []byte) {
	var ring [words]uint64
	n, start := 0, -1
	var h uint64
	digit, alpha := false, false
	for i := 0; i <= len(b); i++ {
		var k byte
		if i < len(b) {
			k = kinds[b[i]]
		}
		if k != 0 {
			if start < 0 {
				start, h, digit, alpha = i, 14695981039346656037^s.k0, false, false
			}
			digit = digit || k == 2
			alpha = alpha || k == 1
			h = (h ^ uint64(b[i]|0x20)) * 1099511628211
			continue
		}
		if start < 0 {
			continue
		}
		if digit && i-start >= 6 && i-start <= 64 && (alpha || i-start >= 7) {
			keep(&s.tokens, s.mix(h), MaxTokens)
		}
		ring[n%words] = h
		n++
		start = -1
		if n >= words {
			var r uint64
			for k := range words {
				r = (r<<7 | r>>57) ^ ring[(n+k)%words]
				r *= 0x9E3779B97F4A7C15
			}
			keep(&s.runs, s.mix(r), MaxRuns)
		}
	}
	if n > 0 && n < words && len(b) >= 12 {
		r := s.k1
		for k := range n {
			r = (r<<7 | r>>57) ^ ring[k]
			r *= 0x9E3779B97F4A7C15
		}
		keep(&s.tokens, s.mix(r), MaxTokens)
	}
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
	s.out = append(s.out[:0], s.values...)
	var b [8]byte
	for _, l := range [][]uint64{s.tokens, s.runs} {
		for _, h := range l {
			for i := range b {
				b[i] = byte(h >> (8 * i))
			}
			s.out = append(s.out, siphash.Hash(s.k0, s.k1, b[:]))
		}
	}
	slices.Sort(s.out)
	s.out = slices.Compact(s.out)
	return s.out
}

// kinds: 1 letter or non-ASCII, 2 digit, 3 joiner inside words.
var kinds = func() (t [256]byte) {
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= 0x80:
			t[c] = 1
		case c >= '0' && c <= '9':
			t[c] = 2
		case c == '_' || c == '-':
			t[c] = 3
		}
	}
	return t
}()
