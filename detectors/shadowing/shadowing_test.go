package shadowing

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestPlain(t *testing.T) {
	f := func(a, b string, same bool) {
		t.Helper()
		if (plain(a) == plain(b)) != same {
			t.Errorf("%s, %s: %s, %s", a, b, plain(a), plain(b))
		}
	}
	f("send_email", "sendEmail", true)
	f("send_email", "send-emaiI", true)
	f("send_email", "sеnd_email", true)
	f("send_email", "send_emails", false)
	f("read_file", "read_files", false)
}
