package blastradius

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestConfig(t *testing.T) {
	f := func(key string, v any) {
		t.Helper()
		if _, err := Definition.New(map[string]any{key: v}); err == nil {
			t.Errorf("%s: %v is taken", key, v)
		}
	}
	f("window", "1m")
	f("servers", 1)
	f("tools", 1000)
}
