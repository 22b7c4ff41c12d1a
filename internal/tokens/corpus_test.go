package tokens

import (
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// atoms are the bits of text where split rules differ, overlap or look ahead. Random strings of them reach every branch.
var atoms = []string{
	"a", "b", "Z", "Q", "the", "The", "THE", "HTTPServer", "camelCase", "x", "é", "É", "ß", "ǅ", "ʰ", "ª", "漢", "字", "の", "한국", "ا", "עברית", "हिन्दी", "ไทย", "ქართული",
	"\u0301", "\u0308", "\u20DD", "\uFE0F", "\u200D", "👨‍👩‍👧‍👦", "🇩🇪", "😀", "👍🏽", "𝒜", "𐐀", "𐐨",
	"0", "7", "12", "123", "1234567", "٣", "½", "Ⅷ", "²", "१२३",
	" ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n", "\v", "\f", "\u0085", "\u00A0", "\u2003", "\u2028", "\u3000", "\u200B", "\uFEFF", "\u180E",
	"'", "'s", "'S", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'lL", "'d", "'l", "'r", "'x", "’s",
	".", ",", "!", "?", "/", "//", "-", "--", "_", "\"", "\\", "\\n", "{", "}", "[", "]", ":", ";", "=", "<", ">", "<|endoftext|>", "<|im_start|>", "$", "€", "+", "#", "@", "\x00", "\x1b", "\x7f", "\uFFFD",
	`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, `":"`, `","`, "\\u00e9", "https://example.com/a/b?c=d", "4111111111111111", "deadbeef", "0x1F", "aaaaaaaaaaaaaaaa", "ABABABAB", "================",
}

// randomText joins up to n atoms, with now and then any code point or a repetition.
func randomText(r *rand.Rand, n int) string {
	var b strings.Builder
	for range r.IntN(n) + 1 {
		switch r.IntN(20) {
		case 0:
			b.WriteRune(randomRune(r))
		case 1:
			b.WriteString(strings.Repeat(atoms[r.IntN(len(atoms))], r.IntN(20)))
		default:
			b.WriteString(atoms[r.IntN(len(atoms))])
		}
	}
	return b.String()
}

func randomRune(r *rand.Rand) rune {
	for {
		x := rune(r.IntN(utf8.MaxRune + 1))
		if r.IntN(2) == 0 {
			x = rune(r.IntN(0x3000))
		}
		if utf8.ValidRune(x) {
			return x
		}
	}
}

// Texts that tiktoken-go splits otherwise than the reference: its engine folds case by lower-casing, so that 'ſ is no
// contraction, and its Unicode tables are Go's.
func differsInGo(s string) bool {
	if strings.Contains(s, "'ſ") {
		return true
	}
	for _, x := range s {
		for _, n := range newer {
			if x >= n.lo && x <= n.hi {
				return true
			}
		}
	}
	return false
}
