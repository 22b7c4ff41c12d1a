package pseudonym

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strconv"

	"github.com/mcpsiem/mcpsiem/internal/inspect/siphash"
)

// Placeholder grammar, ASCII only and free of JSON's special characters:
//
//	<class>                       dropped
//	<class:MAC>                   pseudonymised: 12 hex digits of HMAC and 4 that authenticate them
//	<class:MAC:1234>              the same with the last four characters kept, or for binary content its size
//	<class:HASH>                  hashed: 64 hex digits of HMAC and 4 that authenticate them
//
// The four authenticating digits let a second pass tell its own placeholders from look-alikes, so that nobody can carry
// digits of his own past inspection in the shape of a placeholder.
const (
	shortHex = 12
	longHex  = 64
	checkHex = 4
	maxTail  = 12
)

// Writer makes and recognises the placeholders of one tenant. It is not safe for concurrent use; it keeps its hash state.
type Writer struct {
	mac    hash.Hash
	k0, k1 uint64 // of the check
	known  func(class string) bool
	sum    [sha256.Size]byte
	buf    []byte
}

// NewKeyless returns a writer for a tenant whose key cannot be had. It makes placeholders that say nothing but the class, and
// recognises no others.
func NewKeyless(known func(class string) bool) *Writer { return &Writer{known: known} }

// Keyless says that w has no key.
func (w *Writer) Keyless() bool { return w.mac == nil }

// NewWriter returns a writer for a tenant's key. known tells class names from other text.
func NewWriter(key [KeySize]byte, known func(class string) bool) *Writer {
	w := &Writer{mac: hmac.New(sha256.New, key[:]), known: known}
	s := w.Sum("check", nil)
	w.k0, w.k1 = binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[8:])
	return w
}

// Drop appends the placeholder that says nothing but the class.
func Drop(dst []byte, class string) []byte {
	dst = append(dst, '<')
	dst = append(dst, class...)
	return append(dst, '>')
}

// Append appends the pseudonym of value, with tail kept in clear.
func (w *Writer) Append(dst []byte, class string, value []byte, tail string) []byte {
	return w.append(dst, class, value, tail, shortHex)
}

// AppendSized appends the pseudonym of binary content with its size in bytes.
func (w *Writer) AppendSized(dst []byte, class string, value []byte, size int) []byte {
	return w.append(dst, class, value, strconv.Itoa(size), shortHex)
}

// AppendHash appends the full keyed hash of value.
func (w *Writer) AppendHash(dst []byte, class string, value []byte) []byte {
	return w.append(dst, class, value, "", longHex)
}

func (w *Writer) append(dst []byte, class string, value []byte, tail string, digits int) []byte {
	if w.mac == nil {
		return Drop(dst, class)
	}
	sum := w.Sum(class, value)
	dst = append(dst, '<')
	from := len(dst)
	dst = append(dst, class...)
	dst = append(dst, ':')
	dst = hex.AppendEncode(dst, sum[:digits/2])
	body := len(dst)
	// The check covers class, digits and tail.
	c := w.check(dst[from:body], tail)
	dst = append(dst, c[:]...)
	if tail != "" {
		dst = append(dst, ':')
		dst = append(dst, tail...)
	}
	return append(dst, '>')
}

func (w *Writer) check(body []byte, tail string) (out [checkHex]byte) {
	w.buf = append(w.buf[:0], body...)
	w.buf = append(w.buf, 0)
	w.buf = append(w.buf, tail...)
	h := siphash.Hash(w.k0, w.k1, w.buf)
	hex.Encode(out[:], []byte{byte(h >> 8), byte(h)})
	return out
}

// Sum is the HMAC of value under the tenant's key, for fingerprints of whole bodies. The result is valid until the next call. A
// keyless writer has none: it must not be called.
func (w *Writer) Sum(label string, value []byte) []byte {
	w.mac.Reset()
	w.buf = append(append(w.buf[:0], label...), 0)
	w.buf = append(w.buf, value...)
	w.mac.Write(w.buf)
	return w.mac.Sum(w.sum[:0])
}

// MaxLen bounds the length of a placeholder.
const MaxLen = 160

// Len returns the length of the placeholder that text begins with, or 0. text[0] must be '<'.
func (w *Writer) Len(text []byte) int {
	if len(text) > MaxLen {
		text = text[:MaxLen]
	}
	i := 1
	for i < len(text) && (text[i] >= 'a' && text[i] <= 'z' || text[i] >= '0' && text[i] <= '9' || text[i] == '_') {
		i++
	}
	if i == 1 || i == len(text) || !w.known(string(text[1:i])) {
		return 0
	}
	if text[i] == '>' {
		return i + 1
	}
	if text[i] != ':' || w.mac == nil {
		return 0
	}
	h := i + 1
	i = h
	for i < len(text) && (text[i] >= 'a' && text[i] <= 'f' || text[i] >= '0' && text[i] <= '9') {
		i++
	}
	if i == len(text) || i-h != shortHex+checkHex && i-h != longHex+checkHex {
		return 0
	}
	end, tail := i, ""
	if text[i] == ':' {
		t := i + 1
		i = t
		for i < len(text) && i-t < maxTail && text[i] != '>' && text[i] > ' ' && text[i] < 0x7f {
			i++
		}
		tail = string(text[t:i])
	}
	if i == len(text) || text[i] != '>' {
		return 0
	}
	if want := w.check(text[1:end-checkHex], tail); string(want[:]) != string(text[end-checkHex:end]) {
		return 0
	}
	return i + 1
}
