package tokens

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naiveMerge is the reference's definition, over bytes and a map: merge the two neighbours whose joined bytes have the lowest
// rank, the leftmost of equals, until none do.
func naiveMerge(p []byte, rank map[string]int) []string {
	parts := make([]string, len(p))
	for i, c := range p {
		parts[i] = string([]byte{c})
	}
	for {
		best, at := 1<<30, -1
		for i := range len(parts) - 1 {
			if r, ok := rank[parts[i]+parts[i+1]]; ok && r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			return parts
		}
		parts[at] += parts[at+1]
		parts = append(parts[:at+1], parts[at+2:]...)
	}
}

// drawVocab makes a vocabulary over few letters in which tokens overlap in every way: made by merges as trainers make them, and,
// as files may have them, of any bytes in any order.
func drawVocab(t *rapid.T) (*vocab, map[string]int) {
	rank := make(map[string]int)
	var file strings.Builder
	add := func(tok string) {
		if _, ok := rank[tok]; ok {
			return
		}
		rank[tok] = len(rank)
		fmt.Fprintf(&file, "%s %d\n", base64.StdEncoding.EncodeToString([]byte(tok)), rank[tok])
	}
	var have []string
	for c := range 256 {
		add(string([]byte{byte(c)}))
		if c >= 'a' && c < 'd' {
			have = append(have, string([]byte{byte(c)}))
		}
	}
	for range rapid.IntRange(1, 40).Draw(t, "merges") {
		tok := rapid.SampledFrom(have).Draw(t, "left") + rapid.SampledFrom(have).Draw(t, "right")
		if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
			tok = rapid.StringOfN(rapid.SampledFrom([]rune("abc")), 2, 6, -1).Draw(t, "token")
		}
		if len(tok) > 24 {
			continue
		}
		add(tok)
		have = append(have, tok)
	}
	r, err := parseRanks([]byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	return newVocab(r), rank
}

func TestEveryWayOfMergingIsTheReferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, rank := drawVocab(t)
		p := []byte(rapid.StringOfN(rapid.SampledFrom([]rune("abcc")), 3, 200, -1).Draw(t, "piece"))
		if rapid.Bool().Draw(t, "periodic") {
			p = []byte(strings.Repeat(string(p[:3]), len(p)/3))
		}
		want := naiveMerge(p, rank)
		s := new(scratch)
		v.encode(p, &s.window)
		var got []string
		for _, id := range s.window.out {
			got = append(got, string(v.token(id)))
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("heap: %q, want %q", got, want)
		}
		if len(p) <= scanLimit {
			if n := v.mergeShort(p); n != len(want) {
				t.Fatalf("scan: %d tokens, want %d", n, len(want))
			}
		}
		for _, size := range []int{1, 2, 5, 16, 64} {
			if n := v.mergeLong(p, size, s); n != len(want) {
				t.Fatalf("windows of %d: %d tokens, want %d", size, n, len(want))
			}
		}
	})
}

// Merging a token's bytes gives the token, so that it makes no difference whether a piece is looked up whole or merged.
func TestEveryBuiltInTokenIsItsOwnEncoding(t *testing.T) {
	for _, name := range Names() {
		v := get(t, name).v
		w, odd := new(window), 0
		for id := range uint32(len(v.start) - 1) {
			if len(v.token(id)) == 0 {
				continue
			}
			if v.encode(v.token(id), w); len(w.out) != 1 || w.out[0] != id {
				odd++
			}
		}
		if odd > 0 {
			t.Errorf("%s: %d tokens are not", name, odd)
		}
	}
}

func TestLongPiecesOfRealVocabulariesAreWindowed(t *testing.T) {
	v := get(t, "o200k_base").v
	r := strings.NewReplacer("\n", "", " ", "")
	f := func(p string) {
		t.Helper()
		s := new(scratch)
		v.encode([]byte(p), &s.window)
		want := len(s.window.out)
		s = new(scratch)
		if n := v.mergeLong([]byte(p), windowBytes, s); n != want {
			t.Errorf("%d tokens in windows, %d at once", n, want)
		}
		if c := cap(s.window.ids); c > 2*windowBytes {
			t.Errorf("a window grew to %d bytes", c)
		}
	}
	f(strings.Repeat("a", 100_000))
	f(strings.Repeat(" ", 100_000))
	f(strings.Repeat("ab", 50_000))
	f(strings.Repeat("=", 99_999))
	f(strings.Repeat("漢字", 20_000))
	f(strings.Repeat("abcdefghijklmnopqrstuvwxyz", 4_000))
	f(strings.Repeat("\U0001F468", 20_000))
	f(r.Replace(strings.Repeat("Lorem ipsum dolor sit amet consectetur adipiscing elit\n", 2_000)))
}
