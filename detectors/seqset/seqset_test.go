package seqset

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The set must behave as a map of numbers does.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const top = 60
		var s Set
		model := map[uint64]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			lo := rapid.Uint64Range(1, top).Draw(t, "lo")
			hi := lo
			if rapid.Bool().Draw(t, "range") {
				hi = rapid.Uint64Range(lo, min(top, lo+6)).Draw(t, "hi")
			}
			fresh := uint64(0)
			for n := lo; n <= hi; n++ {
				if !model[n] {
					fresh++
				}
				model[n] = true
			}
			if lo == hi {
				if got := s.Add(lo); got != (fresh == 1) {
					t.Fatalf("Add(%d) = %v", lo, got)
				}
			} else if got := s.AddRange(Range{lo, hi}); got != fresh {
				t.Fatalf("AddRange(%d, %d) = %d, want %d", lo, hi, got, fresh)
			}
			var missing int
			for n := uint64(1); n <= top; n++ {
				if s.Contains(n) != model[n] {
					t.Fatalf("Contains(%d) = %v; %v", n, s.Contains(n), s.Ranges())
				}
				if !model[n] {
					missing++
				}
			}
			for _, g := range s.Gaps(nil, Range{1, top}) {
				missing -= int(g.Len())
				for n := g.Lo; n <= g.Hi; n++ {
					if model[n] {
						t.Fatalf("gap %v holds %d", g, n)
					}
				}
				if s.ContainsRange(g) {
					t.Fatalf("ContainsRange(%v)", g)
				}
			}
			if missing != 0 {
				t.Fatalf("gaps of %v leave %d out", s.Ranges(), missing)
			}
			back, err := FromRanges(s.Ranges())
			if err != nil || back.Max() != s.Max() || back.Min() != s.Min() {
				t.Fatalf("FromRanges: %v", err)
			}
		}
	})
}

func TestEnds(t *testing.T) {
	var s Set
	s.Add(math.MaxUint64)
	if s.Add(math.MaxUint64) || !s.Contains(math.MaxUint64) || s.Contains(0) {
		t.Error("highest number")
	}
	s.AddRange(Range{0, math.MaxUint64 - 1})
	if len(s.Ranges()) != 1 || s.Add(0) || s.Add(5) {
		t.Errorf("whole range: %v", s.Ranges())
	}
	if s.AddRange(Range{5, 4}) != 0 {
		t.Error("an empty range adds something")
	}
}

func TestTrimForgetsTheLowest(t *testing.T) {
	var s Set
	for n := uint64(1); n < 20; n += 2 {
		s.Add(n)
	}
	if n := s.Trim(3); n != 7 || s.Min() != 15 || s.Max() != 19 {
		t.Errorf("forgot %d, left %v", n, s.Ranges())
	}
}

func TestFromRangesRefusesDisorder(t *testing.T) {
	f := func(r ...Range) {
		t.Helper()
		if _, err := FromRanges(r); err == nil {
			t.Errorf("%v accepted", r)
		}
	}
	f(Range{2, 1})
	f(Range{1, 2}, Range{2, 3})
	f(Range{1, 2}, Range{3, 4})
	f(Range{5, 6}, Range{1, 2})
}
