package class

import "bytes"

// Email addresses: RFC 5321 as people write it. A local part of up to 64 bytes, a domain of at least two labels, a last label of letters.
var Email = Class{Name: "email", Tags: PII, Identity: true}

// notDomains are endings that make name@2x.png and the like.
var notDomains = [][]byte{[]byte("png"), []byte("jpg"), []byte("jpeg"), []byte("gif"), []byte("svg"), []byte("webp"), []byte("css"), []byte("js")}

func (t *Text) email(at int) (from, to int, ok bool) {
	b := t.B
	from = at
	for from > 0 && at-from < 64 && localByte(b[from-1]) {
		from--
	}
	for from < at && (b[from] == '.' || b[from] == '-' || b[from] == '\'' || b[from] == '/') {
		from++
	}
	to = at + 1
	dots, label := 0, 0
	last := to
	for to < len(b) && to-at < 255 {
		c := b[to]
		if c == '.' {
			if label == 0 {
				break
			}
			dots++
			label = 0
			to++
			last = to
			continue
		}
		if chars[c]&(Base62|cDash|cHigh) == 0 {
			break
		}
		label++
		to++
	}
	if label == 0 && dots > 0 { // a full stop after the address
		dots--
		to = last - 1
		last = bytes.LastIndexByte(b[at:to], '.') + at + 1
	}
	if from == at || dots == 0 {
		return 0, 0, false
	}
	tld := b[last:to]
	// trailing digits or hyphens belong to what follows
	if len(tld) < 2 || len(tld) > 24 || !all(tld, cLetter|cHigh|cDash|cDigit) || !isLetter(tld[0]) && tld[0] < 0x80 {
		return 0, 0, false
	}
	for _, n := range notDomains {
		if bytes.EqualFold(tld, n) {
			return 0, 0, false
		}
	}
	if string(b[from:at]) == "git" && to < len(b) && (b[to] == ':' || b[to] == '/') { // the ssh form of a repository
		return 0, 0, false
	}
	return from, to, true
}

func localByte(c byte) bool {
	if chars[c]&(Base62|cHigh|cDot|cUnder|cDash|cPlus|cPercent) != 0 {
		return true
	}
	switch c {
	case '!', '#', '$', '&', '\'', '*', '/', '?', '^', '`', '{', '|', '}', '~':
		return c == '\'' || c == '&' || c == '#' || c == '!' || c == '~'
	}
	return false
}
