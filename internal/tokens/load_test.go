package tokens

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkoukk/tiktoken-go-loader/assets"
)

func bytesOnly() string {
	var b strings.Builder
	for c := range 256 {
		fmt.Fprintf(&b, "%s %d\n", base64.StdEncoding.EncodeToString([]byte{byte(c)}), c)
	}
	return b.String()
}

func TestLoadFile(t *testing.T) {
	data, err := assets.Assets.ReadFile("cl100k_base.tiktoken")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mine.tiktoken")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := LoadFile("mine", path, SplitCL100k)
	if err != nil {
		t.Fatal(err)
	}
	const text = "It's a file, loaded by name: 12345 漢字"
	if got, want := e.CountString(text), get(t, "cl100k_base").CountString(text); got != want || e.Name() != "mine" {
		t.Errorf("%s counts %d, want %d", e.Name(), got, want)
	}
}

func TestLoadOrderAndGaps(t *testing.T) {
	f := func(data string, want int) {
		t.Helper()
		e, err := Load("x", []byte(data), SplitGPT2)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.CountString("abab ab"); got != want {
			t.Errorf("%d tokens, want %d", got, want)
		}
	}
	f(bytesOnly(), 7)
	f(bytesOnly()+"YWI= 300\n", 4)         // ab
	f("YWI= 300\r\n\n"+bytesOnly(), 4)     // unsorted, CRLF, empty line
	f(bytesOnly()+"YWJhYg== 70000", 4)     // abab as a whole piece only; no newline at the end
	f(bytesOnly()+"YWI= 300\nIGFi 301", 3) // " ab"
}

func TestLoadFailures(t *testing.T) {
	f := func(data, want string) {
		t.Helper()
		_, err := Load("x", []byte(data), SplitO200k)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	f("", "no tokens")
	f("YQ== 0\n", "1 of the 256 single bytes")
	f("YQ==\n", "line 1: want")
	f(bytesOnly()+"secret! 300\n", "line 257: the token")
	f(bytesOnly()+"YWI= -1\n", "line 257: the rank")
	f(bytesOnly()+"YWI= 9999999\n", "line 257: the rank")
	f(bytesOnly()+"YWI= 7\n", "rank 7 is given twice")
	f(bytesOnly()+strings.Repeat("QUJD", 4000)+" 300\n", "line 257: want")
	if _, err := Load("x", []byte(bytesOnly()), 0); err == nil {
		t.Error("no error for split rule 0")
	}
	if _, err := LoadFile("x", filepath.Join(t.TempDir(), "none"), SplitO200k); err == nil {
		t.Error("no error for a missing file")
	}
	if _, err := Get("gpt5_base"); err == nil || !strings.Contains(err.Error(), "o200k_base") {
		t.Errorf("error %v does not name the encodings there are", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(bytesOnly() + "YWI= 300\n"))
	f.Add([]byte("YQ== 0\nYg== x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := Load("fuzz", data, SplitCL100k); err == nil {
			e.CountString("abab 123")
		}
	})
}
