//go:build oracle

package tokens

import (
	"bufio"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// These tests need the network, Python and Node: they install the reference and its peers into a temporary folder.
//
//	go test -tags oracle -run Oracle ./internal/tokens [-update] [-texts 20000]

var (
	update = flag.Bool("update", false, "write testdata/reference.json")
	texts  = flag.Int("texts", 5000, "random texts to compare")
)

const (
	pyTiktoken   = "tiktoken==0.14.0"
	npmTiktoken  = "tiktoken@1.0.22"
	gptTokenizer = "gpt-tokenizer@4.0.0"
)

func command(t *testing.T, dir, name string, arg ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(name, arg...)
	c.Dir, c.Stderr = dir, os.Stderr
	return c
}

// counter starts a program that reads [encoding, base64] lines and answers each with a line of numbers.
func counter(t *testing.T, c *exec.Cmd) func(name string, text []byte) []int {
	t.Helper()
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = c.Wait() })
	lines := bufio.NewReader(out)
	return func(name string, text []byte) []int {
		t.Helper()
		if text == nil {
			text = []byte{}
		}
		if err := json.NewEncoder(in).Encode([]any{name, text}); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		var counts []int
		for _, f := range strings.Fields(line) {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			counts = append(counts, n)
		}
		return counts
	}
}

func python(t *testing.T) func(string, []byte) []int {
	dir := t.TempDir()
	if err := command(t, dir, "python3", "-m", "venv", "venv").Run(); err != nil {
		t.Fatal(err)
	}
	if err := command(t, dir, "venv/bin/pip", "install", "-q", "--disable-pip-version-check", pyTiktoken).Run(); err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		data, err := assets.Assets.ReadFile(name + ".tiktoken")
		if err != nil {
			t.Fatal(err)
		}
		sum := sha1.Sum([]byte("https://openaipublic.blob.core.windows.net/encodings/" + name + ".tiktoken"))
		if err := os.WriteFile(filepath.Join(dir, hex.EncodeToString(sum[:])), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("testdata/reference.py")
	if err != nil {
		t.Fatal(err)
	}
	c := command(t, dir, "venv/bin/python", script)
	c.Env = append(os.Environ(), "TIKTOKEN_CACHE_DIR="+dir)
	return counter(t, c)
}

func node(t *testing.T) func(string, []byte) []int {
	dir := t.TempDir()
	if err := command(t, dir, "npm", "install", "--silent", "--no-audit", "--no-fund", npmTiktoken, gptTokenizer).Run(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/reference.js")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "reference.js"), data, 0o600); err != nil { // beside node_modules
		t.Fatal(err)
	}
	return counter(t, command(t, dir, "node", "reference.js"))
}

// damage breaks some text into bytes that are not UTF-8.
func damage(r *rand.Rand, s string) []byte {
	b := []byte(s)
	for range r.IntN(4) {
		if len(b) > 0 {
			i := r.IntN(len(b))
			if r.IntN(2) == 0 {
				b[i] = byte(r.IntN(256))
			} else {
				b = append(b[:i], b[i+1:]...)
			}
		}
	}
	return b
}

func TestOraclePython(t *testing.T) {
	ask := python(t)
	r := rand.New(rand.NewPCG(rand.Uint64(), 7))
	bad := 0
	for i := range *texts {
		text := []byte(randomText(r, 40))
		if i%4 == 0 {
			text = damage(r, string(text))
		}
		for _, name := range Names() {
			if got, want := get(t, name).Count(text), ask(name, text)[0]; got != want {
				if bad++; bad > 10 {
					t.FailNow()
				}
				t.Errorf("%s: %d tokens, the reference has %d: %q", name, got, want, text)
			}
		}
	}
	if *update {
		updateReference(t, ask)
	}
}

// updateReference writes the cases that the default tests run.
func updateReference(t *testing.T, ask func(string, []byte) []int) {
	r := rand.New(rand.NewPCG(11, 12))
	var cases []referenceCase
	add := func(text string, repeat int) {
		c := referenceCase{Text: []byte(text), Repeat: repeat, Counts: map[string]int{}}
		for _, name := range Names() {
			if repeat > 5000 && name[0] != 'o' && name[0] != 'c' {
				continue
			}
			c.Counts[name] = ask(name, c.bytes())[0]
		}
		cases = append(cases, c)
	}
	for _, a := range atoms {
		add(a, 0)
		add("x"+a+a+"Y", 0)
	}
	for range 400 {
		add(randomText(r, 60), 0)
	}
	for range 100 {
		add(string(damage(r, randomText(r, 30))), 0)
	}
	for _, n := range newer { // Unicode 16
		add(fmt.Sprintf("a%cB%c1%c'%cs", n.lo, n.hi, n.lo, n.hi), 0)
	}
	add("don'ſt 'ſ IT'ſx", 0)
	for _, s := range []string{"a", "ab", " ", "\n", " \n", "=", "\"", "漢字", "e\u0301", "\u0301", "👨‍👩‍👧", "1", "'s", "aB", "\\u0041", "{\"a\":", "\x80"} {
		add(s, 1000)
		add(s, 20_000)
	}
	// Longer runs of white space than these end the reference's regex engine with a stack overflow.
	data, err := json.MarshalIndent(cases, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/reference.json", append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// npm's tiktoken is the reference compiled to WASM, of an older version: it must agree. gpt-tokenizer is JavaScript with a \s
// of its own (U+FEFF is in it, U+0085 is not) and is seen to err on a text in a thousand; it is a second witness only.
func TestOracleNode(t *testing.T) {
	ask := node(t)
	r := rand.New(rand.NewPCG(rand.Uint64(), 8))
	bad, gptOther := 0, 0
	for range *texts {
		text := randomText(r, 40)
		if differsInGo(text) {
			continue
		}
		for _, name := range []string{"o200k_base", "cl100k_base"} {
			got, want := get(t, name).CountString(text), ask(name, []byte(text))
			if got != want[1] && !strings.ContainsAny(text, "\u0085\uFEFF") {
				if gptOther++; gptOther < 5 {
					t.Logf("%s: %d tokens, gpt-tokenizer has %d: %q", name, got, want[1], text)
				}
			}
			if got != want[0] {
				if bad++; bad > 10 {
					t.FailNow()
				}
				t.Errorf("%s: %d tokens, tiktoken has %d, gpt-tokenizer %d: %q", name, got, want[0], want[1], text)
			}
		}
	}
	t.Logf("gpt-tokenizer differs on %d of %d texts", gptOther, 2**texts)
	if gptOther > 1+*texts/100 {
		t.Error("gpt-tokenizer differs too often")
	}
}
