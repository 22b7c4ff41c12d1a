package tokenstuffing

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
	f("ratio", 1)
	f("min_tokens", 0)
	f("large", 1)
	f("density", 0)
	f("repeat", "1m")
}
