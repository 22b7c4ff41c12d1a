package approval

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestRefusesConfigurations(t *testing.T) {
	f := func(key string, value any) {
		t.Helper()
		if _, err := Definition.New(map[string]any{key: value}); err == nil {
			t.Errorf("%s=%v is taken", key, value)
		}
	}
	f("mode", "on")
	f("servers", []string{"[a"})
	f("learn", "-1h")
	f("window", "0s")
}
