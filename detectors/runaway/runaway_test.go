package runaway

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
	f("calls", 1)
	f("share", 0)
	f("min_tokens", -1)
	f("file", "none.yaml")
}

// A call that is most of all is never lost among rare ones.
func TestFrequentIsKept(t *testing.T) {
	var s slot
	for i := range uint64(10_000) {
		s.add(7)
		s.add(1000 + i)
	}
	if len(s.Same) > maxCalls {
		t.Errorf("%d calls", len(s.Same))
	}
	for _, x := range s.Same {
		if x.Hash == 7 && x.N > 5000 {
			return
		}
	}
	t.Errorf("%+v", s.Same)
}
