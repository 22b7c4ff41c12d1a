package recent

import "testing"

func TestNetwork(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		if got := Network(address); got != want {
			t.Errorf("%s: %q", address, got)
		}
	}
	f("203.0.113.7", "203.0.113.0/24")
	f("203.0.113.7:443", "203.0.113.0/24")
	f("::ffff:203.0.113.7", "203.0.113.0/24")
	f("[2001:db8:1:2::3]:443", "2001:db8:1::/48")
	f("fe80::1%eth0", "fe80::/48")
	f("127.0.0.1", "")
	f("::1", "")
	f("somewhere", "")
	f("", "")
}
