package endpoint

import (
	"slices"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/internal/exposure"
	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

// What is waited for is what inspection and identity say.
func TestSignalsExist(t *testing.T) {
	for _, k := range kinds {
		if !slices.Contains(signal.Names[:], k.signal) && !slices.Contains(exposure.Signals, k.signal) {
			t.Errorf("nobody says %s", k.signal)
		}
	}
}

func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": false, "10.0.0.1": false, "[::1]": false, "192.0.2.1": true, "mcp.example.com": true, "mcp": false, "mcp.svc": false, "Printer.Local": false, "": false} {
		if public(address) != want {
			t.Errorf("%s", address)
		}
	}
}
