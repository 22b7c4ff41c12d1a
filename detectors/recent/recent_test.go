package recent

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSet(t *testing.T) {
	var s Set
	f := func(value string, now int64, fresh bool, n int) {
		t.Helper()
		if got := s.Add(value, now, 10, 3); got != fresh || s.Len() != n {
			t.Errorf("%s at %d: %v, %d values", value, now, got, s.Len())
		}
	}
	f("a", 1, true, 1)
	f("a", 2, false, 1)
	f("b", 5, true, 2)
	f("a", 11, false, 2)
	f("c", 15, true, 2) // b is gone
	f("b", 16, true, 3)
	f("d", 17, true, 3) // a was seen longest ago
	f("a", 18, true, 3)
	f("x", 100, true, 1)
	f("x", 90, false, 1) // late
	f(strings.Repeat("y", 1000), 101, true, 2)
	f(strings.Repeat("y", 1000), 102, false, 2)
	if got := s.Texts(5); len(got) != 2 || got[0] != "x" || len(got[1]) > longest {
		t.Errorf("%q", got)
	}
}

// In order, within its limit, a Set counts what a list of all would.
func TestCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const window, limit = 20, 8
		var s Set
		last := map[string]int64{}
		now := int64(100)
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			now += rapid.Int64Range(0, 9).Draw(t, "step")
			v := strconv.Itoa(rapid.IntRange(0, 7).Draw(t, "value"))
			at, ok := last[v]
			if got, want := s.Add(v, now, window, limit), !ok || at <= now-window; got != want {
				t.Fatalf("fresh is %v", got)
			}
			last[v] = now
			n := 0
			for _, at := range last {
				if at > now-window {
					n++
				}
			}
			if s.Len() != n {
				t.Fatalf("%d values, want %d", s.Len(), n)
			}
		}
	})
}
