package class

import (
	"net/netip"
)

// IP addresses of version 4 and 6, but for those that name no one: loopback, unspecified, broadcast, netmasks.
var IP = Class{Name: "ip", Tags: PII, Identity: true, Words: []string{"ip", "address", "host", "addr", "ipv4", "client"}}

// MAC addresses in their colon and hyphen forms.
var MAC = Class{Name: "mac_address", Tags: PII, Identity: true}

func (t *Text) ipv4(i int) (int, ID) {
	g := t.groups
	if t.Strong || i+3 >= len(g) || i > 0 && g[i].sep == '.' || i+4 < len(g) && g[i+4].sep == '.' {
		return i, None
	}
	var o [4]byte
	for k := range 4 {
		n := g[i+k].end - g[i+k].start
		if n > 3 || k > 0 && g[i+k].sep != '.' || n > 1 && t.B[g[i+k].start] == '0' {
			return i, None
		}
		v := 0
		for _, c := range t.B[g[i+k].start:g[i+k].end] {
			v = v*10 + int(c-'0')
		}
		if v > 255 {
			return i, None
		}
		o[k] = byte(v)
	}
	if o[0] == 127 || o[0] == 0 || o[0] == 255 {
		return i + 4, None
	}
	start := g[i].start
	if start > 0 && (t.B[start-1] == 'v' || t.B[start-1] == '-' || t.B[start-1] == '^' || t.B[start-1] == '~') { // a version
		return i + 4, None
	}
	return i + 4, idIP
}

// colons looks at the stretch of hexadecimal digits and colons around a colon and returns where to go on.
func (t *Text) colons(at int) int {
	b := t.B
	const set = AnyHex | cColon
	// the word before the colon is hexadecimal or empty
	from := at
	for from > 0 && at-from < 5 && chars[b[from-1]]&AnyHex != 0 {
		from--
	}
	if at-from > 4 || from > 0 && isWord(b[from-1]) {
		return at + 1
	}
	to := t.run(at, set|cDot)
	if to-at > 45 { // no address is as long
		return to
	}
	for to > at && b[to-1] == '.' {
		to--
	}
	if to-from < 7 || to < len(b) && isWord(b[to]) {
		return at + 1
	}
	s := b[from:to]
	if isMAC(s) {
		t.add(from, to, idMAC)
		return to
	}
	n, double := 0, false
	for i, c := range s {
		if c == ':' {
			n++
			double = double || i > 0 && s[i-1] == ':'
		}
	}
	if n < 2 || n > 7 || n < 6 && !double {
		return to
	}
	a, err := netip.ParseAddr(string(s))
	if err != nil {
		return to
	}
	if !a.IsLoopback() && !a.IsUnspecified() && (n >= 3 || has(s)&AnyHex&^cDigit != 0) {
		t.add(from, to, idIP)
	}
	return to
}

func isMAC(s []byte) bool {
	if len(s) != 17 {
		return false
	}
	for i, c := range s {
		if i%3 == 2 {
			if c != ':' && c != '-' {
				return false
			}
		} else if chars[c]&AnyHex == 0 {
			return false
		}
	}
	return true
}
