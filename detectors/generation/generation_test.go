package generation

import (
	"testing"

	"pgregory.net/rapid"
)

func TestUsedIsKept(t *testing.T) {
	var m Map[int]
	m.Put(1, 10, 4)
	for i := uint64(100); i < 200; i++ {
		m.Put(i, 0, 4)
		if v, ok := m.Get(1, 4); !ok || v != 10 {
			t.Fatalf("forgotten after %d others", i-99)
		}
		if m.Len() > 8 {
			t.Fatalf("%d values", m.Len())
		}
	}
	if _, ok := m.Get(100, 4); ok {
		t.Error("an unused one is still there")
	}
}

func TestHash(t *testing.T) {
	seen := map[uint64]bool{}
	for _, p := range [][]string{{}, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"ab"}, {"a", "b"}, {"b", "a"}} {
		h := Hash(p...)
		if seen[h] {
			t.Errorf("%q has the key of another", p)
		}
		seen[h] = true
	}
}

func TestNeverWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Map[uint64]
		for _, k := range rapid.SliceOf(rapid.Uint64Range(0, 20)).Draw(t, "keys") {
			if v, ok := m.Get(k, 5); ok && v != k {
				t.Fatalf("%d at %d", v, k)
			}
			m.Put(k, k, 5)
			if v, ok := m.Get(k, 5); !ok || v != k {
				t.Fatalf("%d at %d right after it was put", v, k)
			}
		}
	})
}
