package siphash

import (
	"encoding/binary"
	"testing"
)

// The vectors of the paper's reference implementation: key 00 01 .. 0f, input 00 01 .. n-1.
func TestVectors(t *testing.T) {
	const k0, k1 = 0x0706050403020100, 0x0f0e0d0c0b0a0908
	var in []byte
	for n, want := range map[int]uint64{0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5} {
		in = in[:0]
		for i := range n {
			in = append(in, byte(i))
		}
		if got := Hash(k0, k1, in); got != want {
			t.Errorf("%d bytes: %x, want %x", n, got, want)
		}
	}
}

func TestWordIsHash(t *testing.T) {
	for _, m := range []uint64{0, 1, 0x0706050403020100, 1 << 63, ^uint64(0)} {
		if got, want := Word(3, 4, m), Hash(3, 4, binary.LittleEndian.AppendUint64(nil, m)); got != want {
			t.Errorf("%x: %x, want %x", m, got, want)
		}
	}
}
