package passthrough

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestConfig(t *testing.T) {
	if _, err := Definition.New(map[string]any{"repeat": "1s"}); err == nil {
		t.Error("a second is taken")
	}
}
