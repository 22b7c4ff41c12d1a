package tokens

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/pkoukk/tiktoken-go"
	tiktoken_loader "github.com/pkoukk/tiktoken-go-loader"
)

func get(t testing.TB, name string) *Encoding {
	t.Helper()
	e, err := Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// tiktokenGoEncodings keeps what is slow to make.
var tiktokenGoEncodings sync.Map

func tiktokenGo(t testing.TB, name string) *tiktoken.Tiktoken {
	t.Helper()
	if o, ok := tiktokenGoEncodings.Load(name); ok {
		return o.(*tiktoken.Tiktoken)
	}
	tiktoken.SetBpeLoader(tiktoken_loader.NewOfflineLoader())
	o, err := tiktoken.GetEncoding(name)
	if err != nil {
		t.Fatal(err)
	}
	tiktokenGoEncodings.Store(name, o)
	return o
}

// referenceCase is one text of testdata/reference.json with the counts that tiktoken 0.14.0 (Python) gave.
type referenceCase struct {
	Text   []byte         `json:"text"`
	Repeat int            `json:"repeat,omitempty"` // the text is this many copies; 0 is one
	Counts map[string]int `json:"counts"`
}

func (c *referenceCase) bytes() []byte {
	return []byte(strings.Repeat(string(c.Text), max(1, c.Repeat)))
}

func TestCountEqualsTheReference(t *testing.T) {
	data, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []referenceCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 500 {
		t.Fatalf("only %d cases", len(cases))
	}
	for i, c := range cases {
		for name, want := range c.Counts {
			if got := get(t, name).Count(c.bytes()); got != want {
				t.Errorf("case %d, %s: %d tokens, the reference has %d; text %.200q x %d", i, name, got, want, c.Text, c.Repeat)
			}
		}
	}
}

func TestCountEqualsTiktokenGo(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, name := range Names() {
		e, o := get(t, name), tiktokenGo(t, name)
		for range 600 {
			s := randomText(r, 30)
			if differsInGo(s) {
				continue
			}
			if got, want := e.CountString(s), len(o.EncodeOrdinary(s)); got != want {
				t.Fatalf("%s: %d tokens, tiktoken-go has %d; text %q", name, got, want, s)
			}
		}
	}
}

func FuzzCount(f *testing.F) {
	for _, a := range atoms {
		f.Add(a)
	}
	f.Add("\xff\xfeabc\xc3")
	f.Add(strings.Repeat("a", 300))
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 2000 { // tiktoken-go is quadratic
			s = s[:2000]
		}
		for _, name := range []string{"o200k_base", "cl100k_base"} {
			e := get(t, name)
			valid := string(appendValid(nil, []byte(s)))
			if !utf8.ValidString(valid) {
				t.Fatal("replacement left text that is not UTF-8")
			}
			got := e.CountString(s)
			if again := e.CountString(valid); again != got {
				t.Fatalf("%s: %d tokens, %d after replacement", name, got, again)
			}
			if differsInGo(valid) {
				continue
			}
			if want := len(tiktokenGo(t, name).EncodeOrdinary(valid)); got != want {
				t.Fatalf("%s: %d tokens, tiktoken-go has %d; text %q", name, got, want, s)
			}
		}
	})
}

func TestIllFormedBytes(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := string(appendValid(nil, []byte(in))); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	const r = "\uFFFD"
	f("abc", "abc")
	f("\xff", r)
	f("a\x80b", "a"+r+"b")
	f("\xc3", r)                                   // cut off
	f("\xe2\x82", r)                               // cut off: one subpart
	f("\xf0\x9f\x98x", r+"x")                      // three of four
	f("\xe0\x80\x80", r+r+r)                       // overlong: E0 takes A0..BF
	f("\xed\xa0\x80", r+r+r)                       // surrogate
	f("\xf4\x90\x80\x80", r+r+r+r)                 // above U+10FFFF
	f("\xc0\xaf", r+r)                             // never valid
	f("a\xf1\x80\x80\xe1\x80\xc2b", "a"+r+r+r+"b") // Unicode standard, table 3-8
	f("\xef\xbf\xbd", r)                           // U+FFFD itself
}

func TestSpecialTokensAreText(t *testing.T) {
	for _, name := range []string{"o200k_base", "cl100k_base"} {
		if n := get(t, name).CountString("<|endoftext|>"); n < 3 {
			t.Errorf("%s counts <|endoftext|> as %d tokens: not as text", name, n)
		}
	}
}

func TestCountDoesNotAllocate(t *testing.T) {
	e := get(t, "o200k_base")
	text := []byte(strings.Repeat(`{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/srv/Zürich/q3-report.md"}}} `+strings.Repeat("q", 200), 4))
	s := new(scratch) // what the pool gives back, except that the race detector's pool forgets on purpose
	e.count(text, s)
	if n := testing.AllocsPerRun(200, func() { e.count(text, s) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func TestCountIsSafeForConcurrentUse(t *testing.T) {
	e := get(t, "o200k_base")
	r := rand.New(rand.NewPCG(5, 6))
	texts := make([]string, 200)
	want := make([]int, len(texts))
	for i := range texts {
		texts[i] = randomText(r, 60)
		want[i] = e.CountString(texts[i])
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, s := range texts {
				if n := e.CountString(s); n != want[i] {
					t.Errorf("%d tokens, alone %d", n, want[i])
				}
			}
		})
	}
	wg.Wait()
}

func TestEmptyTextHasNoTokens(t *testing.T) {
	e := get(t, "cl100k_base")
	if e.Count(nil) != 0 || e.CountString("") != 0 {
		t.Error("empty text has tokens")
	}
}
