// Addresses that hide where they lead.
package signal

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// maxURL is how much of a value is looked at.
const maxURL = 4096

// InternalAddress scores how much the addresses in b lead to where a server should not be sent: the metadata service of a cloud under any spelling of
// its address, this machine in an unusual one, schemes that reach files and raw sockets. An ordinary address of a private network or of this
// machine scores little: local development is full of them.
func InternalAddress(b []byte) (score float64) {
	b = b[:min(len(b), maxURL)]
	for {
		i := bytes.Index(b, []byte("://"))
		if i < 0 {
			return score
		}
		k := i
		for k > 0 && i-k < 16 && (letter(b[k-1]) && b[k-1] < 0x80 || b[k-1] >= '0' && b[k-1] <= '9' || b[k-1] == '+' || b[k-1] == '-' || b[k-1] == '.') {
			k--
		}
		scheme := strings.ToLower(string(b[k:i]))
		b = b[i+3:]
		end := bytes.IndexAny(b, "/?# \t\n\"'<>\\")
		if end < 0 {
			end = len(b)
		}
		score = max(score, reaches(scheme, string(b[:end]), b[end:]))
	}
}

// reaches scores one address: its scheme, its authority, and what follows.
func reaches(scheme, authority string, rest []byte) float64 {
	switch scheme {
	case "gopher", "dict", "netdoc", "jar", "phar", "expect", "ldap", "ldaps", "rmi", "tftp":
		return 0.85
	case "php":
		return 0.9
	case "file":
		for _, p := range []string{"/etc/", "/proc/", "/root/", "/var/run/", "/home/", "/c:/windows"} {
			if len(rest) >= len(p) && strings.EqualFold(string(rest[:len(p)]), p) && p != "/home/" {
				return 0.8
			}
		}
		return 0.3
	case "http", "https", "ws", "wss", "ftp":
	default:
		return 0
	}
	h := authority
	if at := strings.LastIndexByte(h, '@'); at >= 0 {
		h = h[at+1:]
	}
	if strings.HasPrefix(h, "[") {
		if e := strings.IndexByte(h, ']'); e > 0 {
			h = h[1:e]
		}
	} else if c := strings.IndexByte(h, ':'); c >= 0 {
		h = h[:c]
	}
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if a, err := netip.ParseAddr(h); err == nil {
		return numeric(a, a.Is4In6())
	}
	if a, ok := odd(h); ok {
		return numeric(a, true)
	}
	switch h {
	case "metadata.google.internal", "metadata.azure.com", "metadata.packet.net", "metadata", "instance-data", "kubernetes.default.svc", "kubernetes.default":
		return 0.85
	case "localhost":
		return 0.35
	}
	// Names that resolve to the address written in them.
	for _, z := range []string{".nip.io", ".sslip.io", ".xip.io", ".localtest.me", ".lvh.me"} {
		if in, ok := strings.CutSuffix(h, z); ok {
			if z == ".localtest.me" || z == ".lvh.me" {
				return 0.4
			}
			in = strings.ReplaceAll(in, "-", ".")
			if parts := strings.Split(in, "."); len(parts) >= 4 {
				in = strings.Join(parts[len(parts)-4:], ".")
			}
			if a, err := netip.ParseAddr(in); err == nil {
				return max(numeric(a, true), 0)
			}
		}
	}
	return 0
}

// numeric scores an address; disguised says that it was not written as people do.
func numeric(a netip.Addr, disguised bool) float64 {
	a = a.Unmap()
	switch {
	case a.Is4() && (a.As4() == [4]byte{169, 254, 169, 254} || a.As4() == [4]byte{169, 254, 170, 2} || a.As4() == [4]byte{100, 100, 100, 200} || a.As4() == [4]byte{192, 0, 0, 192}), a == netip.MustParseAddr("fd00:ec2::254"):
		return 0.9
	case a.IsLinkLocalUnicast():
		return 0.75
	case disguised && (a.IsLoopback() || a.IsPrivate() || a.IsUnspecified()):
		return 0.85
	case disguised:
		return 0.5
	case a.IsUnspecified():
		return 0.7
	case a.IsLoopback():
		return 0.35
	case a.IsPrivate():
		return 0.3
	}
	return 0
}

// odd reads an IPv4 address as inet_aton does: decimal, octal and hexadecimal, in one to four parts. It refuses the ordinary form.
func odd(h string) (netip.Addr, bool) {
	parts := strings.Split(h, ".")
	if h == "" || len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v [4]uint64
	for i, p := range parts {
		if p == "" || p[0] < '0' || p[0] > '9' {
			return netip.Addr{}, false
		}
		base := 10
		switch {
		case strings.HasPrefix(p, "0x"):
			p, base = p[2:], 16
		case len(p) > 1 && p[0] == '0':
			base = 8
		}
		n, err := strconv.ParseUint(p, base, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		v[i] = n
	}
	var n uint64
	for i := range len(parts) - 1 {
		if v[i] > 255 {
			return netip.Addr{}, false
		}
		n |= v[i] << (24 - 8*i)
	}
	last := v[len(parts)-1]
	if last >= 1<<(8*(5-len(parts))) {
		return netip.Addr{}, false
	}
	n |= last
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), true
}
