// Package seqset remembers which numbers of a sequence have been seen, as few ranges: a sequence that arrives in order is one
// range however long it is.
package seqset

import (
	"encoding/json"
	"errors"
	"math"
	"sort"
)

// Range is the numbers Lo to Hi, both included.
type Range struct{ Lo, Hi uint64 }

// Len is how many numbers the range holds.
func (r Range) Len() uint64 { return r.Hi - r.Lo + 1 }

// Set is a set of numbers from 1 up. The zero value is empty. Ranges are disjoint, not adjacent, ascending.
type Set struct{ ranges []Range }

// Add puts n into the set and reports whether it was new.
func (s *Set) Add(n uint64) bool {
	if k := len(s.ranges); k > 0 {
		if last := &s.ranges[k-1]; n == last.Hi+1 && last.Hi != math.MaxUint64 { // in order: the usual case
			last.Hi = n
			return true
		}
	}
	return s.AddRange(Range{n, n}) > 0
}

// AddRange puts lo to hi into the set and returns how many of them were new. An empty range (Hi < Lo) adds nothing.
func (s *Set) AddRange(r Range) uint64 {
	if r.Hi < r.Lo {
		return 0
	}
	// i is the first range that touches r or lies after it, j the first that lies after it without touching.
	i := sort.Search(len(s.ranges), func(k int) bool { return s.ranges[k].Hi >= r.Lo || s.ranges[k].Hi+1 == r.Lo })
	j := i
	known := uint64(0)
	merged := r
	for j < len(s.ranges) && (s.ranges[j].Lo <= r.Hi || s.ranges[j].Lo-1 == r.Hi) {
		x := s.ranges[j]
		if lo, hi := max(x.Lo, r.Lo), min(x.Hi, r.Hi); hi >= lo {
			known += hi - lo + 1
		}
		merged.Lo, merged.Hi = min(merged.Lo, x.Lo), max(merged.Hi, x.Hi)
		j++
	}
	if i == j {
		s.ranges = append(s.ranges, Range{})
		copy(s.ranges[i+1:], s.ranges[i:])
	} else {
		s.ranges = append(s.ranges[:i+1], s.ranges[j:]...)
	}
	s.ranges[i] = merged
	return r.Len() - known
}

// Contains reports whether n is in the set.
func (s *Set) Contains(n uint64) bool {
	i := sort.Search(len(s.ranges), func(k int) bool { return s.ranges[k].Hi >= n })
	return i < len(s.ranges) && s.ranges[i].Lo <= n
}

// ContainsRange reports whether all of r is in the set.
func (s *Set) ContainsRange(r Range) bool {
	i := sort.Search(len(s.ranges), func(k int) bool { return s.ranges[k].Hi >= r.Lo })
	return i < len(s.ranges) && s.ranges[i].Lo <= r.Lo && s.ranges[i].Hi >= r.Hi
}

// Min is the lowest number, 0 for an empty set.
func (s *Set) Min() uint64 {
	if len(s.ranges) == 0 {
		return 0
	}
	return s.ranges[0].Lo
}

// Max is the highest number, 0 for an empty set.
func (s *Set) Max() uint64 {
	if len(s.ranges) == 0 {
		return 0
	}
	return s.ranges[len(s.ranges)-1].Hi
}

// Gaps appends to dst the ranges within r that are not in the set.
func (s *Set) Gaps(dst []Range, r Range) []Range {
	lo := r.Lo
	i := sort.Search(len(s.ranges), func(k int) bool { return s.ranges[k].Hi >= r.Lo })
	for ; i < len(s.ranges) && s.ranges[i].Lo <= r.Hi; i++ {
		if x := s.ranges[i]; x.Lo > lo {
			dst = append(dst, Range{lo, x.Lo - 1})
		}
		if s.ranges[i].Hi >= r.Hi {
			return dst
		}
		lo = s.ranges[i].Hi + 1
	}
	if lo <= r.Hi {
		dst = append(dst, Range{lo, r.Hi})
	}
	return dst
}

// Trim forgets the lowest ranges until at most n are left and returns how many it forgot.
func (s *Set) Trim(n int) int {
	k := len(s.ranges) - n
	if k <= 0 {
		return 0
	}
	s.ranges = append(s.ranges[:0], s.ranges[k:]...)
	return k
}

// Ranges is the set's content; it is valid until the next change.
func (s *Set) Ranges() []Range { return s.ranges }

// FromRanges makes a set of ranges as Ranges gives them.
func FromRanges(r []Range) (Set, error) {
	for i, x := range r {
		if x.Hi < x.Lo || i > 0 && (x.Lo <= r[i-1].Hi || x.Lo-1 == r[i-1].Hi) {
			return Set{}, errors.New("cannot restore a set of sequences: ranges overlap or are out of order")
		}
	}
	return Set{ranges: append([]Range(nil), r...)}, nil
}

// MarshalJSON writes the ranges as pairs.
func (s Set) MarshalJSON() ([]byte, error) {
	pairs := make([][2]uint64, len(s.ranges))
	for i, r := range s.ranges {
		pairs[i] = [2]uint64{r.Lo, r.Hi}
	}
	return json.Marshal(pairs)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Set) UnmarshalJSON(b []byte) error {
	var pairs [][2]uint64
	if err := json.Unmarshal(b, &pairs); err != nil {
		return errors.New("cannot read a set of sequences")
	}
	ranges := make([]Range, len(pairs))
	for i, p := range pairs {
		ranges[i] = Range{p[0], p[1]}
	}
	set, err := FromRanges(ranges)
	*s = set
	return err
}
