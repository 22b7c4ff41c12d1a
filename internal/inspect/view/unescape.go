package view

import (
	"bytes"
	"unicode/utf8"
)

// Unescape writes src to dst with percent encoding (RFC 3986), HTML character references and backslash escapes (\uXXXX, \xXX, \", \\, \/, \n)
// undone once. It returns false, and leaves dst undefined, if there was nothing to undo.
func Unescape(dst, src *View) bool {
	b := src.B
	dst.reset()
	changed := false
	from := 0
	for i := 0; i < len(b); {
		c := b[i]
		if c != '%' && c != '&' && c != '\\' {
			i++
			continue
		}
		r, n := escape(b[i:])
		if n == 0 {
			i++
			continue
		}
		changed = true
		dst.copy(src, from, i)
		at := src.At(i)
		if r < utf8.RuneSelf || c == '%' {
			dst.put(byte(r), at)
		} else {
			var u [4]byte
			for _, x := range u[:utf8.EncodeRune(u[:], r)] {
				dst.put(x, at)
			}
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

// escape decodes the escape that b begins with; n is its length, 0 if there is none.
func escape(b []byte) (r rune, n int) {
	switch b[0] {
	case '%':
		if len(b) >= 3 {
			if h, l := hexVal(b[1]), hexVal(b[2]); h >= 0 && l >= 0 {
				return rune(h<<4 | l), 3
			}
		}
	case '\\':
		if len(b) < 2 {
			return 0, 0
		}
		switch b[1] {
		case '"', '\\', '/', '\'':
			return rune(b[1]), 2
		case 'n':
			return '\n', 2
		case 't':
			return '\t', 2
		case 'r':
			return '\r', 2
		case 'x':
			if len(b) >= 4 {
				if h, l := hexVal(b[2]), hexVal(b[3]); h >= 0 && l >= 0 {
					return rune(h<<4 | l), 4
				}
			}
		case 'u', 'U':
			v, k := 0, 2
			limit := 6
			if k < len(b) && b[k] == '{' {
				k, limit = 3, 9
			}
			start := k
			for k < len(b) && k < limit && hexVal(b[k]) >= 0 {
				v = v<<4 | hexVal(b[k])
				k++
			}
			if start == 3 {
				if k == start || k == len(b) || b[k] != '}' {
					return 0, 0
				}
				k++
			} else if k != 6 {
				return 0, 0
			}
			if v >= 0xD800 && v < 0xDC00 && k+6 <= len(b) && b[k] == '\\' && b[k+1] == 'u' { // a surrogate pair
				lo := 0
				for _, c := range b[k+2 : k+6] {
					h := hexVal(c)
					if h < 0 {
						return 0xFFFD, k
					}
					lo = lo<<4 | h
				}
				if lo >= 0xDC00 && lo < 0xE000 {
					return rune((v-0xD800)<<10+(lo-0xDC00)) + 0x10000, k + 6
				}
			}
			if v > utf8.MaxRune {
				return 0, 0
			}
			return rune(v), k
		}
	case '&':
		end := bytes.IndexByte(b[:min(len(b), 12)], ';')
		if end < 2 {
			return 0, 0
		}
		name := b[1:end]
		if name[0] == '#' {
			v := 0
			d := name[1:]
			if len(d) > 1 && (d[0] == 'x' || d[0] == 'X') {
				for _, c := range d[1:] {
					h := hexVal(c)
					if h < 0 {
						return 0, 0
					}
					v = v<<4 | h
				}
			} else {
				if len(d) == 0 {
					return 0, 0
				}
				for _, c := range d {
					if c < '0' || c > '9' {
						return 0, 0
					}
					v = v*10 + int(c-'0')
				}
			}
			if v == 0 || v > utf8.MaxRune {
				return 0, 0
			}
			return rune(v), end + 1
		}
		if v, ok := references[string(name)]; ok {
			return rune(v), end + 1
		}
	}
	return 0, 0
}

var references = map[string]byte{"amp": '&', "lt": '<', "gt": '>', "quot": '"', "apos": '\'', "commat": '@', "period": '.', "colon": ':', "sol": '/', "lowbar": '_', "hyphen": '-', "dash": '-', "nbsp": ' ', "num": '#',
	"equals": '=', "plus": '+', "Tab": '\t', "NewLine": '\n', "comma": ',', "semi": ';', "excl": '!', "dollar": '$', "percnt": '%', "lpar": '(', "rpar": ')', "ast": '*', "shy": 0xAD & 0x7f}

func hexVal(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// QuotedPrintable writes src to dst with =XX and soft line breaks (RFC 2045) undone. It returns false if there were none.
func QuotedPrintable(dst, src *View) bool {
	b := src.B
	dst.reset()
	changed := false
	from := 0
	for i := 0; i < len(b); {
		if b[i] != '=' {
			i++
			continue
		}
		n := 0
		var c byte
		switch {
		case i+2 < len(b) && hexVal(b[i+1]) >= 0 && hexVal(b[i+2]) >= 0:
			n, c = 3, byte(hexVal(b[i+1])<<4|hexVal(b[i+2]))
		case i+1 < len(b) && b[i+1] == '\n':
			n = 2
		case i+2 < len(b) && b[i+1] == '\r' && b[i+2] == '\n':
			n = 3
		default:
			i++
			continue
		}
		changed = true
		dst.copy(src, from, i)
		if c != 0 {
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
