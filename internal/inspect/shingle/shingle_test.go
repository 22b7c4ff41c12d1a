package shingle

import (
	"fmt"
	"strings"
	"testing"
)

func sample(key uint64, texts ...string) map[uint64]bool {
	var s Sample
	s.Reset(key, key+1)
	for _, t := range texts {
		s.Text([]byte(t))
	}
	m := map[uint64]bool{}
	for _, h := range s.Export() {
		m[h] = true
	}
	return m
}

func shared(a, b map[uint64]bool) (n int) {
	for h := range a {
		if b[h] {
			n++
		}
	}
	return n
}

const prose = "The quarterly figures for the northern region show that deliveries to hospitals rose by a fifth while returns fell for the third time in a row"

func TestSharedTextSharesSamples(t *testing.T) {
	a := sample(1, prose)
	if n := shared(a, sample(1, "As it says: "+prose+", and so on, which nobody expected to see again.")); n < len(a)/2 {
		t.Errorf("%d of %d shared with a text that quotes it", n, len(a))
	}
	if n := shared(a, sample(1, strings.ToUpper(prose))); n != len(a) {
		t.Errorf("case changes the sample: %d of %d", n, len(a))
	}
	if n := shared(a, sample(1, "An unrelated note about gardens, their owners and the weather of last summer in the south")); n != 0 {
		t.Errorf("%d shared with another text", n)
	}
	if n := shared(a, sample(2, prose)); n != 0 {
		t.Errorf("%d shared under another key", n)
	}
	if n := shared(sample(1, "the order W7678072 was sent"), sample(1, "track W7678072")); n == 0 {
		t.Error("an identifier is not shared")
	}
}

func TestBounded(t *testing.T) {
	var s Sample
	s.Reset(1, 2)
	for i := range 10000 {
		s.Value([]byte(fmt.Sprintf("value-%d", i)))
		s.Text([]byte(fmt.Sprintf("word%06d and several other words behind number %d", i, i)))
	}
	if n := len(s.Export()); n > 64 {
		t.Errorf("%d samples", n)
	}
}

// A word's hash does not depend on what stands before it, nor on how it is read.
func TestWordStandsAlone(t *testing.T) {
	slow := func(s *Sample, b []byte) uint64 { // as defined: eight bytes at a time, the rest byte by byte
		h := s.k0 ^ uint64(len(b))
		var t uint64
		for len(b) > 0 {
			t = 0
			for i := range min(8, len(b)) {
				t |= uint64(b[i]|0x20) << (8 * i)
			}
			if len(b) < 8 {
				break
			}
			h = (h ^ t) * 0x9E3779B97F4A7C15
			h ^= h >> 29
			b, t = b[8:], 0
		}
		h = (h ^ t) * 0xff51afd7ed558ccd
		return h ^ h>>32
	}
	var s Sample
	s.Reset(3, 4)
	for n := 1; n < 40; n++ {
		word := []byte(strings.Repeat("aZ9_é", 8)[:n])
		for before := range 12 {
			text := append([]byte(strings.Repeat("\xff", before)), word...)
			if got, want := s.word(append(text, "\xff\xff"...), before, before+n), slow(&s, word); got != want {
				t.Fatalf("%d bytes behind %d: %x, want %x", n, before, got, want)
			}
		}
	}
}
