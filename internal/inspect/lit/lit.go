// Package lit finds many literals in one pass: an Aho-Corasick automaton turned into a dense table, ASCII letters compared
// without regard to case. The cost of a scan is one table load a byte plus one append a hit, whatever the literals.
package lit

import (
	"fmt"
	"math/bits"
	"strings"
)

// Hit says that literal Lit ends just before byte End.
type Hit struct {
	End int32
	Lit uint16
}

// Automaton is immutable and safe for concurrent use.
type Automaton struct {
	class [256]uint8 // byte -> column; 0 for bytes that occur in no literal
	shift uint
	next  []uint16 // state<<shift | column -> state
	first []uint16 // state -> index into outs of its first hit; first[state+1] ends them
	outs  []uint16
	final uint // states from here on have at least one hit
	lens  []int32
	long  int      // length of the longest literal
	exact []string // of literals with shared columns: what must stand there
}

// Compile builds the automaton. Empty literals are ignored. It fails only if the literals need more than 65,535 states.
func Compile(literals []string) (*Automaton, error) {
	a := &Automaton{}
	// A small table is a fast one: letters, digits and common signs have columns of their own, all other bytes share eight, and
	// literals that hold such a byte are compared once more when they hit.
	columns := 1
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789-_.:/= '\"<@&$!") {
		a.class[c] = uint8(columns)
		columns++
	}
	own := a.class
	shared := columns
	for _, l := range literals {
		exact := ""
		for i := range len(l) {
			c := lower(l[i])
			if own[c] != 0 {
				continue
			}
			exact = strings.ToLower(l)
			a.class[c] = uint8(shared + int(c&7))
			columns = shared + 8
		}
		a.exact = append(a.exact, exact)
	}
	for c := 'a'; c <= 'z'; c++ {
		a.class[c-32] = a.class[c]
	}
	a.shift = uint(bits.Len(uint(columns - 1)))
	width := 1 << a.shift
	trie := make([]int32, width) // 0 = no edge
	outs := [][]uint16{nil}
	for id, l := range literals {
		a.lens = append(a.lens, int32(len(l)))
		a.long = max(a.long, len(l))
		if l == "" {
			continue
		}
		s := 0
		for i := range len(l) {
			c := int(a.class[lower(l[i])])
			n := int(trie[s*width+c])
			if n == 0 {
				n = len(outs)
				if n > 65535 {
					return nil, fmt.Errorf("cannot compile %d literals: more than 65535 states", len(literals))
				}
				outs = append(outs, nil)
				trie = append(trie, make([]int32, width)...)
				trie[s*width+c] = int32(n)
			}
			s = n
		}
		outs[s] = append(outs[s], uint16(id))
	}
	fail := make([]int32, len(outs))
	queue := make([]int32, 0, len(outs))
	for c := range width {
		if n := trie[c]; n != 0 {
			queue = append(queue, n)
		}
	}
	for at := 0; at < len(queue); at++ {
		s := queue[at]
		f := fail[s]
		outs[s] = append(outs[s], outs[f]...)
		for c := range width {
			n := trie[int(s)*width+c]
			if n == 0 {
				trie[int(s)*width+c] = trie[int(f)*width+c]
				continue
			}
			fail[n] = trie[int(f)*width+c]
			queue = append(queue, n)
		}
	}
	// States are numbered by depth, for the shallow ones are visited most and should share cache lines; those with hits get the
	// highest numbers, so that one comparison tells them. The root stays 0.
	order := append([]int32{0}, queue...)
	number := make([]uint16, len(outs))
	k := 0
	for pass := range 2 {
		for _, st := range order {
			if (len(outs[st]) > 0) == (pass == 1) {
				number[st] = uint16(k)
				k++
			}
		}
		if pass == 0 {
			a.final = uint(k)
		}
	}
	a.next = make([]uint16, len(trie))
	sorted := make([][]uint16, len(outs))
	for st, o := range outs {
		sorted[number[st]] = o
		for c := range width {
			a.next[int(number[st])*width+c] = number[trie[st*width+c]]
		}
	}
	a.first = make([]uint16, len(outs)+1)
	for st, o := range sorted {
		if len(a.outs)+len(o) > 65535 {
			return nil, fmt.Errorf("cannot compile %d literals: too many shared suffixes", len(literals))
		}
		a.outs = append(a.outs, o...)
		a.first[st+1] = uint16(len(a.outs))
	}
	return a, nil
}

// Size is the number of states and the bytes of the table.
func (a *Automaton) Size() (states, bytes int) { return len(a.first) - 1, 2 * len(a.next) }

// Len is the length in bytes of literal id.
func (a *Automaton) Len(id uint16) int { return int(a.lens[id]) }

// Scan appends every occurrence of every literal in text to hits, in order of End.
func (a *Automaton) Scan(text []byte, hits []Hit) []Hit {
	if a.long > 0 && len(text) >= 6*a.long {
		return a.scanHalves(text, hits)
	}
	return a.scan(text, 0, 0, 0, hits)
}

// scan goes on in state s from byte from on, and passes over hits that end up to byte after.
func (a *Automaton) scan(text []byte, s uint, from, after int, hits []Hit) []Hit {
	next, final, shift := a.next, a.final, a.shift&31
	for i := from; i < len(text); i++ {
		s = uint(next[s<<shift|uint(a.class[text[i]])])
		if s >= final && i >= after {
			hits = a.hit(text, s, i+1, hits)
		}
	}
	return hits
}

// scanHalves reads both halves of a text at once, since each step of one waits for memory. The second half begins as far before the
// middle as a literal that ends behind it may begin.
func (a *Automaton) scanHalves(text []byte, hits []Hit) []Hit {
	next, final, shift := a.next, a.final, a.shift&31
	mid := len(text) / 2
	off := mid - (a.long - 1)
	var few [64]Hit
	late := few[:0] // of the second half
	at := 0
	x, y := uint(0), uint(0)
	first, second := text[:mid], text[off:off+mid]
	for i, c := range first {
		x = uint(next[x<<shift|uint(a.class[c])])
		y = uint(next[y<<shift|uint(a.class[second[i]])])
		if x >= final {
			hits = a.hit(text, x, i+1, hits)
		}
		at = i + 1
		if y >= final && off+i >= mid {
			if late = a.hit(text, y, off+at, late); len(late) > len(few)/2 { // many hits: what waits for its turn would fill memory
				break
			}
		}
	}
	hits = a.scan(first, x, at, 0, hits)
	return a.scan(text, y, off+at, mid, append(hits, late...))
}

// hit appends the literals that end in state s just before byte end.
func (a *Automaton) hit(text []byte, s uint, end int, hits []Hit) []Hit {
	for _, id := range a.outs[a.first[s]:a.first[s+1]] {
		if x := a.exact[id]; x != "" && !equal(text[end-len(x):end], x) {
			continue
		}
		hits = append(hits, Hit{int32(end), id})
	}
	return hits
}

// equal compares b, in lower case, with s.
func equal(b []byte, s string) bool {
	for i, c := range b {
		if lower(c) != s[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 32
	}
	return c
}
