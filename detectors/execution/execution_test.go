package execution

import (
	"slices"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

// What is waited for is what inspection says.
func TestSignalsExist(t *testing.T) {
	names := []string{signalSecret}
	for _, j := range judged {
		names = append(names, j.signal)
	}
	for _, n := range names {
		if !slices.Contains(signal.Names[:], n) {
			t.Errorf("inspection knows no signal %s", n)
		}
	}
}

func TestHasWord(t *testing.T) {
	f := func(name string, want bool) {
		t.Helper()
		if got := hasWord(name, queriers); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	f("query", true)
	f("run-SQL", true)
	f("executeQuery", true)
	f("queryDatabase", true)
	f("pg.queries", false)
	f("postgresql_read", true)
	f("db_get", true)
	f("dbus_send", false)
	f("read_file", false)
	f("", false)
	f("__", false)
	f("SQL", true)
	f("\xff\xfesql\xff", true)
}
