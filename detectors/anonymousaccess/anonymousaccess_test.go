package anonymousaccess

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestLoopback(t *testing.T) {
	f := func(address string, want bool) {
		t.Helper()
		if loopback(address) != want {
			t.Error(address)
		}
	}
	f("localhost", true)
	f("127.3.2.1", true)
	f("::1", true)
	f("::ffff:127.0.0.1", true)
	f("10.0.0.1", false)
	f("crm.example", false)
	f("", false)
}
