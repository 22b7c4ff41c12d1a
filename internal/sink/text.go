// Names in text that people read.

package sink

import (
	"unicode"
	"unicode/utf8"
)

// Plain makes a name that came over the wire fit for a line of text: what is not visible (control characters, line breaks, changes of
// direction, zero widths, broken UTF-8) becomes U+FFFD, and no more than limit characters are left, the last of them `…` if there were more.
func Plain(s string, limit int) string {
	n, fine := 0, true
	for _, r := range s {
		if n++; n > limit || r == utf8.RuneError || !unicode.IsGraphic(r) {
			fine = false
			break
		}
	}
	if fine {
		return s
	}
	out := make([]rune, 0, min(limit, len(s)))
	for _, r := range s {
		if len(out) == limit {
			out[limit-1] = '…'
			break
		}
		if !unicode.IsGraphic(r) {
			r = utf8.RuneError
		}
		out = append(out, r)
	}
	return string(out)
}
