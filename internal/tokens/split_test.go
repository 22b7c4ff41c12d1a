package tokens

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"github.com/dlclark/regexp2"
)

// The reference's patterns as tiktoken 0.7 had them, before they were rewritten with possessive quantifiers for speed; this is
// the form that regexp2 can run.
var patterns = map[Split]string{
	SplitO200k: strings.Join([]string{
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`\p{N}{1,3}`, ` ?[^\s\p{L}\p{N}]+[\r\n/]*`, `\s*[\r\n]+`, `\s+(?!\S)`, `\s+`}, "|"),
	SplitCL100k: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	SplitGPT2:   `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
}

var nexts = map[Split]func([]byte, int) int{SplitO200k: nextO200k, SplitCL100k: nextCL100k, SplitGPT2: nextGPT2}

func pieces(split Split, s string) []string {
	classes()
	var out []string
	b := []byte(s)
	for i := 0; i < len(b); {
		j := nexts[split](b, i)
		out = append(out, s[i:j])
		i = j
	}
	return out
}

func regexpPieces(t testing.TB, re *regexp2.Regexp, s string) []string {
	var out []string
	m, err := re.FindStringMatch(s)
	for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
		out = append(out, m.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPiecesEqualTheReferencePattern(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for split, p := range patterns {
		re := regexp2.MustCompile(p, regexp2.None)
		f := func(s string) {
			t.Helper()
			if differsInGo(s) {
				return
			}
			got, want := pieces(split, s), regexpPieces(t, re, s)
			if strings.Join(got, "\x01") != strings.Join(want, "\x01") {
				t.Fatalf("rule %d, text %q\n got %q\nwant %q", split, s, got, want)
			}
		}
		for _, a := range atoms {
			f(a)
			for _, b := range atoms {
				f(a + b)
			}
		}
		for range 4_000 {
			f(randomText(r, 12))
		}
	}
}

func TestPiecesByHand(t *testing.T) {
	f := func(split Split, text string, want ...string) {
		t.Helper()
		got := pieces(split, text)
		if strings.Join(got, "\x01") != strings.Join(want, "\x01") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(SplitO200k, "HTTPServer's", "HTTPServer's")
	f(SplitO200k, "fooBarBAZ", "foo", "Bar", "BAZ")
	f(SplitO200k, "漢A", "漢", "A")
	f(SplitO200k, "漢Ab", "漢Ab")
	f(SplitO200k, "\u0301A", "\u0301", "A")
	f(SplitO200k, "\u0301Ab", "\u0301Ab")
	f(SplitO200k, "don'ſt", "don'ſ", "t")
	f(SplitO200k, "a;\n/ b", "a", ";\n/", " b")
	f(SplitO200k, "x  \n \n  y", "x", "  \n \n", " ", " y")
	f(SplitO200k, "x\t\ty", "x", "\t", "\ty")
	f(SplitO200k, "12345", "123", "45")
	f(SplitCL100k, "fooBarBAZ", "fooBarBAZ")
	f(SplitCL100k, "it's", "it", "'s")
	f(SplitCL100k, "'ſt", "'ſ", "t")
	f(SplitCL100k, "'x", "'x")
	f(SplitCL100k, "a;\n/ b", "a", ";\n", "/", " b")
	f(SplitGPT2, "a 12345\n b", "a", " 12345", "\n", " b")
	f(SplitGPT2, "IT'S", "IT", "'", "S")
}

// The reference's newer cl100k pattern takes white space at the end of a text as one piece, newlines and all. README.md
// says that this changes no count, because no token spans that seam.
func TestNoTokenGoesOnAfterItsLastNewline(t *testing.T) {
	for _, name := range []string{"cl100k_base", "o200k_base"} {
		e, err := Get(name)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for id := range uint32(len(e.v.start) - 1) {
			tok := string(e.v.token(id))
			if i := strings.LastIndexAny(tok, "\r\n"); i >= 0 && i+1 < len(tok) && strings.TrimFunc(tok, unicode.IsSpace) == "" {
				found++
			}
		}
		if found != 0 {
			t.Errorf("%s has %d such tokens", name, found)
		}
	}
}

// The sum was made by tiktoken 0.14.0: one byte for each code point, with the bits of classes.go, by encoding all code points with
// the pattern of each class and no other. If a new Go release breaks this test, its Unicode tables know more than the
// reference's: give the difference to newer.
func TestClassesAreTheReferences(t *testing.T) {
	c := classes()
	all := make([]byte, unicode.MaxRune+1)
	for i := range all {
		all[i] = c.of(rune(i))
	}
	sum := sha256.Sum256(all)
	if got, want := hex.EncodeToString(sum[:]), "919f916e4caa2c42ba74ffd5c540ca6532f3e37167b2c8b74550c72939d8ffb3"; got != want {
		t.Errorf("classes have sum %s, the reference's %s", got, want)
	}
	for i, a := range ascii {
		if c.of(rune(i)) != a {
			t.Errorf("U+%04X: ASCII table has class %d, the whole table %d", i, a, c.of(rune(i)))
		}
	}
}
