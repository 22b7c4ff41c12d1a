package lookalike

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestRefusesConfigurations(t *testing.T) {
	for key, value := range map[string]any{"file": "/does/not/exist", "ignore": []string{"[a"}} {
		if _, err := Definition.New(map[string]any{key: value}); err == nil {
			t.Errorf("%s=%v is taken", key, value)
		}
	}
}
