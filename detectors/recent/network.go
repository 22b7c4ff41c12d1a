package recent

import "net/netip"

// Network is the network of an address, with or without a port; empty if it is none or of the machine itself: /24, /48 for IPv6.
func Network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return ""
		}
		a = ap.Addr()
	}
	a = a.Unmap().WithZone("")
	if a.IsLoopback() || a.IsUnspecified() {
		return ""
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}
