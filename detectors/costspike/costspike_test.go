package costspike

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
	f("days", 0)
	f("days", 20)
	f("active_hours", 0)
	f("ratio", 1)
	f("deviations", 0)
	f("min_tokens", -1)
	f("repeat", "1m")
}
