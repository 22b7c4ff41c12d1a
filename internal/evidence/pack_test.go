package evidence

import (
	"encoding/csv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A cell is what the standard library writes of it, after everything that could be a formula was made safe: what is quickly seen to need nothing does need nothing.
func TestAppendCell(t *testing.T) {
	piece := rapid.SampledFrom([]string{"", "a", "Z9", "=1+2", "+", "-1", "-", "@x", "\uff1d", "\uff0b", "\ufeff", "\u00a0", "\"", "'", ",", ";", "|", "\t", "\r", "\n", " ", `\.`, "é", "1e5", "-2.5", "[", "\x00"})
	rapid.Check(t, func(r *rapid.T) {
		cell := strings.Join(rapid.SliceOfN(piece, 0, 5).Draw(r, "cell"), "")
		var want strings.Builder
		w := csv.NewWriter(&want)
		if err := w.Write([]string{"1", safeCell(cell)}); err != nil {
			r.Fatal(err)
		}
		w.Flush()
		if got := string(appendCell([]byte("1,"), cell)) + "\n"; got != want.String() {
			r.Fatalf("%q: got %q, want %q", cell, got, want.String())
		}
	})
}
