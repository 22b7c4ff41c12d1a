package view

import (
	"unicode"
	"unicode/utf8"
)

// Hidden counts the characters of a text that a person does not see and a model does.
type Hidden struct {
	ZeroWidth int // joiners, spaces of no width, soft hyphens, variation selectors
	Tags      int // U+E0000 to U+E007F, which spell ASCII
	Bidi      int // directional overrides and isolates
}

// Fold writes src to dst with characters that look like ASCII made ASCII: full width and mathematical forms, digits of every
// script, Cyrillic and Greek look-alikes, all kinds of spaces and hyphens; and with invisible characters left out. It returns
// false, and leaves dst undefined, if there was nothing to fold.
func Fold(dst, src *View, h *Hidden) bool {
	b := src.B
	dst.reset()
	changed := false
	from := 0
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		c, k := fold(r, h)
		if k == same {
			i += n
			continue
		}
		changed = true
		dst.copy(src, from, i)
		if k == ascii {
			dst.put(c, src.At(i))
		}
		i += n
		from = i
	}
	if !changed {
		return false
	}
	dst.copy(src, from, len(b))
	dst.end(src)
	return true
}

type kind uint8

const (
	same kind = iota
	ascii
	gone
)

func fold(r rune, h *Hidden) (byte, kind) {
	switch {
	case r < 0xA0:
		return 0, same
	case r == 0xA0, r >= 0x2000 && r <= 0x200A, r == 0x202F, r == 0x205F, r == 0x3000, r == 0x1680:
		return ' ', ascii
	case r == 0xAD, r == 0x34F, r == 0x180E, r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0, r >= 0x200B && r <= 0x200D, r >= 0x2060 && r <= 0x2064, r == 0xFEFF, r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0100 && r <= 0xE01EF:
		h.ZeroWidth++
		return 0, gone
	case r == 0x61C, r == 0x200E, r == 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		h.Bidi++
		return 0, gone
	case r >= 0xE0020 && r <= 0xE007E:
		h.Tags++
		return byte(r - 0xE0000), ascii
	case r >= 0xE0000 && r <= 0xE007F:
		h.Tags++
		return 0, gone
	case r >= 0xFF01 && r <= 0xFF5E:
		return byte(r - 0xFEE0), ascii
	case r >= 0x2010 && r <= 0x2015, r == 0x2212, r == 0xFE58, r == 0xFE63, r == 0x2043, r == 0x2027:
		return '-', ascii
	case r >= 0x1D400 && r <= 0x1D6A3:
		if i := byte((r - 0x1D400) % 52); i < 26 {
			return 'A' + i, ascii
		} else {
			return 'a' + i - 26, ascii
		}
	case r >= 0x1D7CE && r <= 0x1D7FF:
		return '0' + byte((r-0x1D7CE)%10), ascii
	case r >= 0x2460 && r <= 0x2468:
		return '1' + byte(r-0x2460), ascii
	case r == 0x24EA:
		return '0', ascii
	case r >= 0x24B6 && r <= 0x24CF:
		return 'A' + byte(r-0x24B6), ascii
	case r >= 0x24D0 && r <= 0x24E9:
		return 'a' + byte(r-0x24D0), ascii
	case r >= 0x2080 && r <= 0x2089:
		return '0' + byte(r-0x2080), ascii
	case r == 0x2070, r >= 0x2074 && r <= 0x2079:
		return '0' + byte(r-0x2070), ascii
	}
	if c, ok := lookAlikes[r]; ok {
		return c, ascii
	}
	if r > 0x2FF && r < 0x20000 && unicode.Is(unicode.Nd, r) {
		for _, t := range unicode.Nd.R16 {
			if rune(t.Lo) <= r && r <= rune(t.Hi) {
				return '0' + byte((r-rune(t.Lo))%10), ascii
			}
		}
		for _, t := range unicode.Nd.R32 {
			if rune(t.Lo) <= r && r <= rune(t.Hi) {
				return '0' + byte((r-rune(t.Lo))%10), ascii
			}
		}
	}
	return 0, same
}

// lookAlikes are the letters and signs of other scripts that are drawn as ASCII ones.
var lookAlikes = map[rune]byte{
	'а': 'a', 'е': 'e', 'о': 'o', 'р': 'p', 'с': 'c', 'у': 'y', 'х': 'x', 'і': 'i', 'ј': 'j', 'ѕ': 's', 'һ': 'h', 'ԁ': 'd', 'ԛ': 'q', 'ԝ': 'w', 'ӏ': 'l', 'ь': 'b', 'г': 'r', 'п': 'n',
	'А': 'A', 'В': 'B', 'Е': 'E', 'К': 'K', 'М': 'M', 'Н': 'H', 'О': 'O', 'Р': 'P', 'С': 'C', 'Т': 'T', 'У': 'Y', 'Х': 'X', 'І': 'I', 'Ј': 'J', 'Ѕ': 'S', 'З': '3', 'Б': '6',
	'α': 'a', 'ο': 'o', 'ν': 'v', 'ρ': 'p', 'ι': 'i', 'κ': 'k', 'υ': 'u', 'ω': 'w', 'γ': 'y', 'τ': 't', 'χ': 'x',
	'Α': 'A', 'Β': 'B', 'Ε': 'E', 'Ζ': 'Z', 'Η': 'H', 'Ι': 'I', 'Κ': 'K', 'Μ': 'M', 'Ν': 'N', 'Ο': 'O', 'Ρ': 'P', 'Τ': 'T', 'Υ': 'Y', 'Χ': 'X',
	'ı': 'i', 'ɑ': 'a', 'ɡ': 'g', 'ⅼ': 'l', 'ⅰ': 'i', 'ℓ': 'l', '¹': '1', '²': '2', '³': '3',
	'․': '.', '。': '.', '｡': '.', '∙': '.', '·': '.', '﹒': '.', '⁄': '/', '∕': '/', '／': '/', '∶': ':', '﹕': ':', 'ː': ':', '﹫': '@', '＠': '@', '‗': '_', '﹍': '_', '＿': '_', '‚': ',', '‘': '\'', '’': '\'', '“': '"', '”': '"',
}

// LooksASCII returns what a name looks like, if that is ASCII and the name is not: "send_emаil" with a Cyrillic а. A name whose letters are all of
// another script, whatever they look like, is a word of that script.
func LooksASCII(name string) (looks string, ok bool) {
	var h Hidden
	out := make([]byte, 0, len(name))
	plain, foreign := false, false
	for _, r := range name {
		if r < utf8.RuneSelf {
			plain = plain || r|0x20 >= 'a' && r|0x20 <= 'z'
			out = append(out, byte(r))
			continue
		}
		c, k := fold(r, &h)
		switch k {
		case same:
			return "", false
		case ascii:
			out = append(out, c)
		}
		foreign = true
	}
	return string(out), plain && foreign
}
