package tokens

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

const none = ^uint32(0) // no token

// vocab is the lookup side of an encoding: whole pieces to tokens, and pairs of tokens to the token that they merge to.
//
// Merging works on pairs of token ids instead of on bytes. That is exact although the reference merges any two neighbours whose
// joined bytes are a token, however that token came to be: while two neighbours A and B stand, no merge has crossed their outer
// edges, so what happened between these is what happens to the token's bytes alone. Hence only the last step of encoding a
// token's bytes alone can ever produce it, and that one pair is what the table keeps.
type vocab struct {
	*ranks
	single [256]uint32 // byte to token
	double []uint32    // two bytes, big-endian, to token or none
	maxLen int         // bytes of the longest token

	pieces    []pieceSlot // open addressing, linear probing, at most half full
	pieceMask uint64
	pairs     []uint64 // left 21 bits, right 21 bits, merged+1 21 bits; 0 is empty; at most half full
	pairMask  uint64
}

// pieceSlot maps a piece to a token. Up to 7 bytes the key is the piece itself, so equal keys are equal pieces; above, it is a
// hash and the token's bytes decide.
type pieceSlot struct {
	keyLo, keyHi uint32
	id           uint32 // token+1; 0 is empty
}

func newVocab(r *ranks) *vocab {
	classes()
	v := &vocab{ranks: r, double: make([]uint32, 1<<16)}
	for i := range v.double {
		v.double[i] = none
	}
	n := 0
	for id := range len(r.start) - 1 {
		if size := int(r.start[id+1] - r.start[id]); size > 0 {
			n++
			v.maxLen = max(v.maxLen, size)
		}
	}
	size := 1 << bits.Len(uint(2*n-1))
	v.pieces, v.pieceMask = make([]pieceSlot, size), uint64(size-1)
	v.pairs, v.pairMask = make([]uint64, size), uint64(size-1)
	for id := range uint32(len(r.start) - 1) {
		switch t := r.token(id); len(t) {
		case 0:
			continue
		case 1:
			v.single[t[0]] = id
		case 2:
			v.double[uint(t[0])<<8|uint(t[1])] = id
		}
		v.addPiece(r.token(id), id)
	}
	s := &splitter{v: v}
	for id := range uint32(len(r.start) - 1) {
		if t := r.token(id); len(t) > 1 {
			if left, right, ok := s.lastPair(t); ok {
				v.addPair(left, right, id)
			}
		}
	}
	return v
}

func (v *vocab) memoryBytes() int {
	return len(v.bytes) + 4*len(v.start) + 4*len(v.double) + 12*len(v.pieces) + 8*len(v.pairs)
}

// mix spreads the bits of x over the low bits.
func mix(x uint64) uint64 {
	hi, lo := bits.Mul64(x^0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
	return hi ^ lo
}

// shortKey is the key of the piece text[i:j] of 1 to 7 bytes.
func shortKey(text []byte, i, j int) uint64 {
	n := uint(j - i)
	if i+8 <= len(text) {
		return binary.LittleEndian.Uint64(text[i:])&(1<<(8*n)-1) | uint64(n)<<56
	}
	var k uint64
	for s := uint(0); s < n; s++ {
		k |= uint64(text[i+int(s)]) << (8 * s)
	}
	return k | uint64(n)<<56
}

// longKey is the key of a piece of 8 bytes and more: a hash that no short key equals.
func longKey(p []byte) uint64 {
	h := uint64(len(p))
	tail := binary.LittleEndian.Uint64(p[len(p)-8:])
	for len(p) > 8 {
		h = mix(h ^ binary.LittleEndian.Uint64(p))
		p = p[8:]
	}
	return mix(h^bits.RotateLeft64(tail, 32)) | 0xFF<<56
}

func (v *vocab) addPiece(p []byte, id uint32) {
	var key uint64
	if len(p) < 8 {
		key = shortKey(p, 0, len(p))
	} else {
		key = longKey(p)
	}
	i := mix(key) & v.pieceMask
	for ; v.pieces[i].id != 0; i = (i + 1) & v.pieceMask {
		if v.is(&v.pieces[i], key, p) { // a file may give the same bytes two ranks: the last one counts, as in a map
			break
		}
	}
	v.pieces[i] = pieceSlot{uint32(key), uint32(key >> 32), id + 1}
}

func (v *vocab) is(s *pieceSlot, key uint64, p []byte) bool {
	return uint64(s.keyHi)<<32|uint64(s.keyLo) == key && (len(p) < 8 || bytes.Equal(v.token(s.id-1), p))
}

// lookup returns the token that text[i:j] is, or none.
func (v *vocab) lookup(text []byte, i, j int) uint32 {
	if j-i < 8 {
		key := shortKey(text, i, j)
		for k := mix(key) & v.pieceMask; ; k = (k + 1) & v.pieceMask {
			s := &v.pieces[k]
			if s.id == 0 {
				return none
			}
			if uint64(s.keyHi)<<32|uint64(s.keyLo) == key {
				return s.id - 1
			}
		}
	}
	if j-i > v.maxLen {
		return none
	}
	p := text[i:j]
	key := longKey(p)
	for k := mix(key) & v.pieceMask; ; k = (k + 1) & v.pieceMask {
		s := &v.pieces[k]
		if s.id == 0 {
			return none
		}
		if v.is(s, key, p) {
			return s.id - 1
		}
	}
}

const idMask = 1<<21 - 1

func (v *vocab) addPair(left, right, merged uint32) {
	key := uint64(left)<<21 | uint64(right)
	i := mix(key) & v.pairMask
	for v.pairs[i] != 0 {
		i = (i + 1) & v.pairMask
	}
	v.pairs[i] = key<<21 | uint64(merged+1)
}

// merged returns the token that left and right merge to, which is also the merge's rank, or none.
func (v *vocab) merged(left, right uint32) uint32 {
	key := uint64(left)<<21 | uint64(right)
	for i := mix(key) & v.pairMask; ; i = (i + 1) & v.pairMask {
		s := v.pairs[i]
		if s == 0 {
			return none
		}
		if s>>21 == key {
			return uint32(s&idMask) - 1
		}
	}
}

// splitter finds the last pair that a token is merged from, by the reference's definition: repeatedly merge the two neighbours
// whose joined bytes have the lowest rank, the leftmost of equals.
type splitter struct {
	v     *vocab
	start []int
	rank  []uint32 // rank[i] of joining part i with part i+1
}

func (s *splitter) lastPair(t []byte) (left, right uint32, ok bool) {
	s.start, s.rank = s.start[:0], s.rank[:0]
	for i := range t {
		s.start = append(s.start, i)
		if i+1 < len(t) {
			s.rank = append(s.rank, s.v.double[uint(t[i])<<8|uint(t[i+1])])
		}
	}
	s.start = append(s.start, len(t))
	for len(s.rank) > 1 {
		best := 0
		for i, r := range s.rank {
			if r < s.rank[best] {
				best = i
			}
		}
		if s.rank[best] == none {
			return 0, 0, false // merging never arrives at this token; only a whole piece can be it
		}
		s.start = append(s.start[:best+1], s.start[best+2:]...)
		s.rank = append(s.rank[:best], s.rank[best+1:]...)
		if best < len(s.rank) {
			s.rank[best] = s.v.lookup(t, s.start[best], s.start[best+2])
		}
		if best > 0 {
			s.rank[best-1] = s.v.lookup(t, s.start[best-1], s.start[best+1])
		}
	}
	return s.v.lookup(t, 0, s.start[1]), s.v.lookup(t, s.start[1], len(t)), true
}
