package serveridentity

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestOlder(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		if older(a, b) != want {
			t.Errorf("%s, %s", a, b)
		}
	}
	f("1.2.3", "1.2.4", true)
	f("1.2.4", "1.2.3", false)
	f("1.10", "1.9", false)
	f("v2", "v10", true)
	f("latest", "1.0", false)
	f("", "", false)
	f("99999999999999999999", "1", false)
}

func TestPinned(t *testing.T) {
	for pkg, want := range map[string]string{"npm:@a/b@1.2": "1.2", "npm:b": "", "pypi:x==1.0": "1.0", "oci:h:5000/a:1": "1", "": "", "npm:": ""} {
		if got := pinned(pkg); got != want {
			t.Errorf("%s: %q", pkg, got)
		}
	}
}
