// Package tokens counts BPE tokens exactly as the reference encoders do (OpenAI's tiktoken: o200k_base, cl100k_base and kin),
// offline, without regular expressions and without allocating.
//
// README.md states what "exactly" covers, the cost on hostile input, and how the tables are laid out.
package tokens

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// Encoding counts tokens of one vocabulary. It is immutable and safe for concurrent use.
type Encoding struct {
	name  string
	split Split
	v     *vocab
}

// builtin is an encoding whose ranks are part of the binary; its tables are built at first use.
type builtin struct {
	file  string
	split Split
	once  sync.Once
	enc   *Encoding
	err   error
}

// builtins lists every encoding that Get knows.
var builtins = map[string]*builtin{
	"o200k_base":  {file: "o200k_base.tiktoken", split: SplitO200k},
	"cl100k_base": {file: "cl100k_base.tiktoken", split: SplitCL100k},
	"p50k_base":   {file: "p50k_base.tiktoken", split: SplitGPT2},
	"r50k_base":   {file: "r50k_base.tiktoken", split: SplitGPT2},
}

// Names lists the built-in encodings, sorted.
func Names() []string {
	out := make([]string, 0, len(builtins))
	for n := range builtins {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Get returns a built-in encoding. The first call for a name builds its tables (see README.md for the time and memory);
// later calls return the same Encoding.
func Get(name string) (*Encoding, error) {
	b, ok := builtins[name]
	if !ok {
		return nil, fmt.Errorf("cannot find encoding %q: built in are %s; others can be loaded from a .tiktoken file", name, strings.Join(Names(), ", "))
	}
	b.once.Do(func() {
		data, err := assets.Assets.ReadFile(b.file)
		if err != nil {
			b.err = fmt.Errorf("cannot read ranks of encoding %q: %w", name, err)
			return
		}
		b.enc, b.err = newEncoding(name, data, b.split)
	})
	return b.enc, b.err
}

func newEncoding(name string, data []byte, split Split) (*Encoding, error) {
	if !split.valid() {
		return nil, fmt.Errorf("cannot make encoding %q: unknown split rule %d", name, split)
	}
	r, err := parseRanks(data)
	if err != nil {
		return nil, fmt.Errorf("cannot load ranks of encoding %q: %w", name, err)
	}
	return &Encoding{name: name, split: split, v: newVocab(r)}, nil
}

// Name is the name that the encoding was got or loaded by.
func (e *Encoding) Name() string { return e.name }

// MemoryBytes is the size of the encoding's tables.
func (e *Encoding) MemoryBytes() int { return e.v.memoryBytes() }

// CountString is Count for a string.
func (e *Encoding) CountString(s string) int {
	return e.Count(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// Count returns the number of tokens of text. Special tokens such as <|endoftext|> count as the ordinary text that they are.
// The encodings are defined on Unicode text: bytes that are not UTF-8 count as U+FFFD, one for each maximal ill-formed
// subsequence, which is what Python's errors="replace" and WHATWG's TextDecoder make of them. text is not retained.
func (e *Encoding) Count(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	s := scratches.Get().(*scratch)
	n := e.count(text, s)
	s.release()
	return n
}

func (e *Encoding) count(text []byte, s *scratch) int {
	if !utf8.Valid(text) {
		s.text = appendValid(s.text[:0], text)
		text = s.text
	}
	var n int
	switch e.split {
	case SplitO200k:
		for i := 0; i < len(text); {
			j := nextO200k(text, i)
			n += e.v.countPiece(text, i, j, s)
			i = j
		}
	case SplitCL100k:
		for i := 0; i < len(text); {
			j := nextCL100k(text, i)
			n += e.v.countPiece(text, i, j, s)
			i = j
		}
	default:
		for i := 0; i < len(text); {
			j := nextGPT2(text, i)
			n += e.v.countPiece(text, i, j, s)
			i = j
		}
	}
	return n
}

// appendValid appends src with every maximal ill-formed subsequence replaced by U+FFFD (Unicode 3.9, "substitution of
// maximal subparts").
func appendValid(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		if src[i] < utf8.RuneSelf {
			dst = append(dst, src[i])
			i++
			continue
		}
		r, n := utf8.DecodeRune(src[i:])
		if r != utf8.RuneError || n > 1 {
			dst = append(dst, src[i:i+n]...)
			i += n
			continue
		}
		dst = append(dst, "\uFFFD"...)
		i += illFormedLen(src[i:])
	}
	return dst
}

// illFormedLen is the length of the maximal subpart at the start of b, which does not start with a well-formed sequence.
func illFormedLen(b []byte) int {
	lo, hi, need := byte(0x80), byte(0xBF), 0 // range of the second byte (Unicode table 3-7), number of bytes after the first
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
		if c == 0xE0 {
			lo = 0xA0
		} else if c == 0xED {
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 3
		if c == 0xF0 {
			lo = 0x90
		} else if c == 0xF4 {
			hi = 0x8F
		}
	}
	n := 1
	for ; n <= need && n < len(b) && b[n] >= lo && b[n] <= hi; n++ {
		lo, hi = 0x80, 0xBF
	}
	return n
}
