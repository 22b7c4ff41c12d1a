package view

import (
	"bytes"
	"io"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// Run is a stretch of a text that may be the encoding of something.
type Run struct {
	From, To int
	Hex      bool // only hexadecimal digits
}

// MinRun is the length of the shortest encoded stretch looked at: 8 bytes in base64.
const MinRun = 11

var runByte = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			t[c] = 3
		case c >= 'g' && c <= 'z', c >= 'G' && c <= 'Z', c == '+', c == '/', c == '-', c == '_':
			t[c] = 1
		}
	}
	return t
}()

// Runs appends to runs the stretches of base64 alphabet (both kinds) of at least MinRun bytes. Lines that are broken as MIME
// does count as one.
func Runs(b []byte, runs []Run) []Run {
	for i := MinRun - 1; i < len(b); {
		if runByte[b[i]] == 0 {
			i += MinRun
			continue
		}
		from := i
		for from > i-(MinRun-1) && runByte[b[from-1]] != 0 {
			from--
		}
		if from > i-(MinRun-1) { // the run began here: it needs to go on
			k := i
			for k < len(b) && k-from < MinRun && runByte[b[k]] != 0 {
				k++
			}
			if k-from < MinRun {
				i = k + MinRun
				continue
			}
		} else {
			for from > 0 && runByte[b[from-1]] != 0 {
				from--
			}
		}
		to := i
		and := uint8(3)
		for {
			line := to
			for to < len(b) && runByte[b[to]] != 0 {
				and &= runByte[b[to]]
				to++
			}
			// a line break inside a block of full lines
			if to-line < 40 && line != i || to-from < 40 || to+1 >= len(b) {
				break
			}
			n := to
			if b[n] == '\r' {
				n++
			}
			if n+1 < len(b) && b[n] == '\n' && runByte[b[n+1]] != 0 {
				to = n + 1
				continue
			}
			break
		}
		for k := from; k < i; k++ {
			and &= runByte[b[k]]
		}
		end := to
		for end < len(b) && b[end] == '=' && end-to < 2 {
			end++
		}
		runs = append(runs, Run{from, end, and == 3})
		i = end + MinRun
	}
	return runs
}

var six = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = byte(i)
	}
	t['-'], t['_'] = 62, 63
	return t
}()

// Base64 appends the decoding of b, in either alphabet and without regard to padding and line breaks, beginning at digit skip.
func Base64(dst, b []byte, skip int) []byte {
	var acc uint32
	n := 0
	for _, c := range b {
		v := six[c]
		if v == 0xff {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		acc = acc<<6 | uint32(v)
		if n++; n == 4 {
			dst = append(dst, byte(acc>>16), byte(acc>>8), byte(acc))
			n = 0
		}
	}
	switch n {
	case 2:
		dst = append(dst, byte(acc>>4))
	case 3:
		dst = append(dst, byte(acc>>10), byte(acc>>2))
	}
	return dst
}

// Alignments says at which of the four alignments b may be base64 of ASCII text: bit k is set if three groups in a row (all,
// of a shorter b) that begin at a multiple of four plus k have a first digit below 32, as every byte below 0x80 has.
func Alignments(b []byte) (mask uint8) {
	need := min(3, len(b)/4)
	var row [4]int
	for i, c := range b {
		k := i & 3
		if six[c] >= 32 {
			row[k] = 0
			continue
		}
		if row[k]++; row[k] >= need {
			mask |= 1 << k
		}
	}
	return mask
}

// Hex appends the decoding of hexadecimal b; an odd digit at the end is dropped.
func Hex(dst, b []byte) []byte {
	for i := 0; i+1 < len(b); i += 2 {
		dst = append(dst, byte(hexVal(b[i])<<4|hexVal(b[i+1])))
	}
	return dst
}

// Text says whether b is text: valid UTF-8 but for a rune cut at the end, hardly a control character.
func Text(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	bad := 0
	for i := 0; i < len(b); {
		c := b[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\n' && c != '\t' && c != '\r' || c == 0x7f {
				bad++
				if bad*32 > len(b) {
					return false
				}
			}
			i++
			continue
		}
		_, n := utf8.DecodeRune(b[i:])
		if n == 1 && len(b)-i >= utf8.UTFMax {
			bad++
			if bad*32 > len(b) {
				return false
			}
		}
		i += n
	}
	return true
}

// Printable appends to runs the stretches of at least n printable ASCII bytes in b.
func Printable(b []byte, n int, runs []Run) []Run {
	from := 0
	for i := 0; i <= len(b); i++ {
		if i < len(b) && (b[i] >= ' ' && b[i] < 0x7f || b[i] == '\n' || b[i] == '\t') {
			continue
		}
		if i-from >= n {
			runs = append(runs, Run{From: from, To: i})
		}
		from = i + 1
	}
	return runs
}

// Compressed says whether b begins as gzip (RFC 1952) or zlib (RFC 1950) does.
func Compressed(b []byte) bool {
	return len(b) > 10 && (b[0] == 0x1f && b[1] == 0x8b && b[2] == 8 || b[0] == 0x78 && (b[1] == 0x01 || b[1] == 0x5e || b[1] == 0x9c || b[1] == 0xda))
}

// Expand decompresses gzip or zlib data up to limit bytes. ok is false if the data is damaged or holds more.
func Expand(b []byte, limit int) (out []byte, ok bool) {
	var r io.ReadCloser
	var err error
	if b[0] == 0x1f {
		r, err = gzip.NewReader(bytes.NewReader(b))
	} else {
		r, err = zlib.NewReader(bytes.NewReader(b))
	}
	if err != nil {
		return nil, false
	}
	defer r.Close()
	out, err = io.ReadAll(io.LimitReader(r, int64(limit)+1))
	return out, err == nil && len(out) <= limit
}
