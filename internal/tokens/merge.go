package tokens

import (
	"bytes"
	"sync"
)

// Sizes at which countPiece changes its way. The result never depends on them.
const (
	scanLimit   = 24      // bytes of a piece up to which the lowest rank is found by looking at all
	windowBytes = 2048    // bytes of a long piece merged at once
	keepScratch = 1 << 16 // scratch above this many elements (of text: four times as many) is not kept between calls
)

// scratch is the working memory of one Count.
type scratch struct {
	text   []byte // input made valid UTF-8
	window window
	check  window // for the two tokens at a seam
	pair   []byte
	cuts   [8]cut
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// release gives s back. Memory that a hostile input made grow is let go.
func (s *scratch) release() {
	if cap(s.text) > 4*keepScratch {
		s.text = nil
	}
	if cap(s.window.ids) > keepScratch {
		s.window = window{}
	}
	scratches.Put(s)
}

// countPiece returns the number of tokens of the piece text[i:j].
func (v *vocab) countPiece(text []byte, i, j int, s *scratch) int {
	if v.lookup(text, i, j) != none {
		return 1
	}
	p := text[i:j]
	switch {
	case len(p) == 2:
		return 2
	case len(p) <= scanLimit:
		return v.mergeShort(p)
	}
	return v.mergeLong(p, windowBytes, s)
}

// mergeShort merges a piece of 3 to scanLimit bytes. It is the reference's loop: quadratic, and the fastest for a word.
func (v *vocab) mergeShort(p []byte) int {
	var ids, ranks [scanLimit + 1]uint32 // ranks[i] is of the pair ids[i], ids[i+1]
	n := len(p)
	best, at := none, 0
	for i := range n {
		ids[i] = v.single[p[i]]
	}
	for i := range n - 1 {
		r := v.double[uint(p[i])<<8|uint(p[i+1])]
		ranks[i] = r
		if r < best {
			best, at = r, i
		}
	}
	for best != none {
		n--
		ids[at] = best
		copy(ids[at+1:n], ids[at+2:n+1])
		copy(ranks[at:n-1], ranks[at+1:n])
		if at > 0 {
			ranks[at-1] = v.merged(ids[at-1], best)
		}
		if at+1 < n {
			ranks[at] = v.merged(best, ids[at+1])
		}
		best, at = none, 0
		for i, r := range ranks[:n-1] {
			if r < best {
				best, at = r, i
			}
		}
	}
	return n
}

// window is the working memory for merging many bytes: a doubly linked list of parts in arrays, a heap of candidate merges,
// and the outcome.
type window struct {
	ids        []uint32 // token of the part that starts at this byte
	ranks      []uint32 // rank of the pair that starts at this byte, none if it cannot merge or the part is gone
	next, prev []int32
	heap       []uint64 // rank<<32 | position; stale where ranks[position] differs

	out  []uint32 // tokens
	ends []int32  // end of each token in the bytes given
}

// mergeLong merges a piece of any length, in memory for about one window of size bytes.
//
// A sequence of tokens is the encoding of its bytes if and only if every two neighbours are the encoding of theirs: the first
// merge across a boundary would happen to the two neighbours alone as well. So the piece is encoded window by window, each
// beginning at a token boundary of the one before, and the result is exact where the tokens on both sides of every such seam
// pass that test. Where they do not, another boundary is tried, then a longer window, at worst the whole piece at once.
func (v *vocab) mergeLong(p []byte, size int, s *scratch) int {
	w := &s.window
	total, pos, grown := 0, 0, size
	left := none // the token before pos
	v.encode(p[:min(size, len(p))], w)
next:
	for pos+grown < len(p) {
		for _, c := range w.cuts(&s.cuts) {
			q := pos + int(c.end)
			if grown != size || q+size > len(p) || !bytes.Equal(p[pos:pos+size], p[q:q+size]) {
				v.encode(p[q:min(q+size, len(p))], w)
			} // else w has it: a run of one character, or another period
			if v.neighbours(c.token, w.out[0], s) {
				total, pos, grown, left = total+c.count, q, size, c.token
				continue next
			}
		}
		grown *= 2
		v.encode(p[pos:min(pos+grown, len(p))], w)
		if left != none && !v.neighbours(left, w.out[0], s) {
			v.encode(p, w)
			return len(w.out)
		}
	}
	return total + len(w.out)
}

// cut is a token boundary at which a next window may begin.
type cut struct {
	count int    // tokens before it
	token uint32 // the last of these
	end   int32  // where it is, from the window's beginning
}

// cuts chooses boundaries away from the window's end, whose last tokens lack what follows.
func (w *window) cuts(buf *[8]cut) []cut {
	out := buf[:0]
	for back := 4; len(out) < len(buf) && back < len(w.out); back *= 2 {
		k := len(w.out) - back
		out = append(out, cut{k, w.out[k-1], w.ends[k-1]})
	}
	return out
}

// neighbours reports whether a followed by b is the encoding of their bytes.
func (v *vocab) neighbours(a, b uint32, s *scratch) bool {
	s.pair = append(append(s.pair[:0], v.token(a)...), v.token(b)...)
	v.encode(s.pair, &s.check)
	return len(s.check.out) == 2 && s.check.out[0] == a && s.check.out[1] == b
}

// encode merges p, in n log n, into w.out and w.ends.
func (v *vocab) encode(p []byte, w *window) {
	w.reset(len(p))
	n := len(p)
	for i, c := range p {
		w.ids[i] = v.single[c]
		w.next[i], w.prev[i] = int32(i+1), int32(i-1)
		w.ranks[i] = none
		if i+1 < n {
			if r := v.double[uint(c)<<8|uint(p[i+1])]; r != none {
				w.ranks[i] = r
				w.heap = append(w.heap, uint64(r)<<32|uint64(i))
			}
		}
	}
	w.heapify()
	for len(w.heap) > 0 {
		top := w.heap[0]
		i, r := int32(uint32(top)), uint32(top>>32)
		if w.ranks[i] != r { // another merge changed or took this pair
			w.pop()
			continue
		}
		j := w.next[i]
		k := w.next[j]
		w.ids[i], w.next[i] = r, k
		w.ranks[j] = none
		rank := none
		if int(k) < n {
			w.prev[k] = i
			rank = v.merged(r, w.ids[k])
		}
		w.ranks[i] = rank
		if rank != none {
			w.replace(uint64(rank)<<32 | uint64(i))
		} else {
			w.pop()
		}
		if h := w.prev[i]; h >= 0 {
			rank := v.merged(w.ids[h], r)
			if w.ranks[h] != rank {
				w.ranks[h] = rank
				if rank != none {
					w.push(uint64(rank)<<32 | uint64(h))
				}
			}
		}
	}
	for i := int32(0); int(i) < n; i = w.next[i] {
		w.out = append(w.out, w.ids[i])
		w.ends = append(w.ends, w.next[i])
	}
}

func (w *window) reset(n int) {
	if cap(w.ids) < n {
		w.ids, w.ranks = make([]uint32, n), make([]uint32, n)
		w.next, w.prev = make([]int32, n), make([]int32, n)
		w.heap = make([]uint64, 0, n)
		w.out, w.ends = make([]uint32, 0, n), make([]int32, 0, n)
	}
	w.ids, w.ranks, w.next, w.prev = w.ids[:n], w.ranks[:n], w.next[:n], w.prev[:n]
	w.heap, w.out, w.ends = w.heap[:0], w.out[:0], w.ends[:0]
}

// The heap is a binary min-heap; equal ranks come out leftmost first, since the position is the low half of the key.

func (w *window) heapify() {
	for i := len(w.heap)/2 - 1; i >= 0; i-- {
		w.down(i)
	}
}

func (w *window) down(i int) {
	h := w.heap
	x := h[i]
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1] < h[c] {
			c++
		}
		if h[c] >= x {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = x
}

func (w *window) push(x uint64) {
	w.heap = append(w.heap, x)
	h, i := w.heap, len(w.heap)-1
	for i > 0 {
		p := (i - 1) / 2
		if h[p] <= x {
			break
		}
		h[i] = h[p]
		i = p
	}
	h[i] = x
}

func (w *window) pop() {
	last := len(w.heap) - 1
	w.heap[0] = w.heap[last]
	w.heap = w.heap[:last]
	if last > 0 {
		w.down(0)
	}
}

func (w *window) replace(x uint64) {
	w.heap[0] = x
	w.down(0)
}
