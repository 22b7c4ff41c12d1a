package sink

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAppendString(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, s string) {
		got := AppendString(nil, s)
		var back string
		if err := json.Unmarshal(got, &back); err != nil || !utf8.Valid(got) {
			t.Errorf("%q becomes %q: %v", s, got, err)
			return
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && back != want {
			t.Errorf("%q reads back as %q", s, back)
		}
	}
	for c := range 256 { // each byte at each place of a word and beyond
		for at := range 18 {
			b := []byte(strings.Repeat("x", 18))
			b[at] = byte(c)
			check(t, string(b))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.String().Draw(t, "text"))
		check(t, string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
	})
}

func TestAppendFloat(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := string(AppendFloat(nil, v)); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	f(1, "1")
	f(-2.5, "-2.5")
	f(1e300, "1e+300")
	f(math.NaN(), "null")
	f(math.Inf(-1), "null")
}
