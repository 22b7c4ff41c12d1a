package transition

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestTable(t *testing.T) {
	const hl = time.Hour
	var tab table
	now := int64(1e18)
	for range 8 {
		tab.add(1, now, hl, 100)
	}
	f := func(at int64, want float64) {
		t.Helper()
		if got := tab.get(1, tab.unit(at, hl)); got < want*0.999 || got > want*1.001 {
			t.Errorf("%g, want %g", got, want)
		}
	}
	f(now, 8)
	f(now+int64(hl), 4)
	tab.add(1, now+int64(hl), hl, 100)
	f(now+int64(hl), 5)
	tab.add(2, now+100*int64(hl), hl, 100) // scaled back: what was is gone
	f(now+100*int64(hl), 0)
	if got := tab.get(2, tab.unit(now+100*int64(hl), hl)); got != 1 {
		t.Error(got)
	}
	for k := range uint64(1000) {
		tab.add(k, now+100*int64(hl), hl, 100)
		if len(tab.counts) > 100 {
			t.Fatalf("%d counts", len(tab.counts))
		}
	}
	if tab.counts[2] != 2 {
		t.Error("the largest count went first")
	}
}

func TestSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s, back state
		for i, k := range rapid.SliceOf(rapid.Uint64()).Draw(t, "keys") {
			s.pairs.add(k, int64(i)*1e15, time.Hour, 16)
			s.rows.add(k/2, int64(i)*1e12, time.Hour, 16)
			s.last.Put(k, last{tool: k, at: int64(i), name: "n", id: "i"}, 8)
		}
		if s.pairs.counts == nil {
			s.pairs.counts, s.rows.counts = map[uint64]float32{}, map[uint64]float32{}
		}
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := back.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(s, back) {
			t.Fatalf("%+v\n%+v", s, back)
		}
	})
}

func FuzzUnmarshal(f *testing.F) {
	var s state
	s.pairs.add(1, 1, time.Hour, 4)
	s.last.Put(7, last{tool: 1, at: 5, name: "a", id: "b"}, 4)
	b, _ := s.MarshalBinary()
	f.Add(b)
	f.Add([]byte{})
	f.Add([]byte{0, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s state
		if s.UnmarshalBinary(b) == nil {
			if _, err := s.MarshalBinary(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
