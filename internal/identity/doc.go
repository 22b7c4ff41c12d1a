// Package identity knows credentials and people: it fingerprints credentials with a key, reads and verifies JWTs (RFC 7519)
// against the keys of their issuers, and looks up who a credential, subject or operating system user belongs to.
//
// What it is given comes from the wire: every function takes hostile input, in bounded memory and linear time, and no error
// holds any of it.
package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the length of the longest name kept, bytes.
const maxName = 256

// Clean makes a name from the wire fit to be shown and compared: valid UTF-8, no control characters, at most 256 bytes. A
// longer name keeps its start and gets a hash for the rest, so that two long names stay apart.
func Clean(s string) string {
	ok := len(s) <= maxName
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] >= 0x20 && s[i] < 0x7f
	}
	if ok { // fast path: short printable ASCII
		return s
	}
	sum := sha256.Sum256([]byte(s))
	long := len(s) > maxName
	if long {
		s = s[:maxName]
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, s)
	if !long {
		return s
	}
	const tail = 17 // "~" and 16 hex digits
	for len(s) > maxName-tail {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s + "~" + hex.EncodeToString(sum[:8])
}
