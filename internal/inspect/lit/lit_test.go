package lit

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The automaton finds exactly what looking for each literal alone finds.
func TestScanAgreesWithSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		literals := rapid.SliceOfN(rapid.StringMatching(`[abAB(é;-]{1,4}`), 1, 8).Draw(t, "literals")
		text := []byte(rapid.StringMatching(`[abcAB(,;éè -]{0,200}`).Draw(t, "text"))
		if n := rapid.IntRange(0, 3).Draw(t, "many"); n > 0 { // so many hits that halves are not read at once to the end
			text = append(text, bytes.Repeat([]byte(literals[0]), 60*n)...)
		}
		a, err := Compile(literals)
		if err != nil {
			t.Fatal(err)
		}
		got := map[Hit]bool{}
		last := int32(0)
		for _, h := range a.Scan(text, nil) {
			if got[h] || h.End < last {
				t.Fatalf("%v twice, or out of order", h)
			}
			got[h], last = true, h.End
		}
		low := bytes.ToLower(text)
		n := 0
		for id, l := range literals {
			for i := 0; i+len(l) <= len(low); i++ {
				if string(low[i:i+len(l)]) == strings.ToLower(l) {
					n++
					if !got[Hit{int32(i + len(l)), uint16(id)}] {
						t.Fatalf("%q at %d of %q not found", l, i, text)
					}
				}
			}
		}
		if n != len(got) {
			t.Fatalf("found %d, want %d", len(got), n)
		}
	})
}

func TestCompileRefusesTooMuch(t *testing.T) {
	if _, err := Compile([]string{strings.Repeat("x", 70000)}); err == nil {
		t.Fatal("no error for a literal of 70,000 states")
	}
}
