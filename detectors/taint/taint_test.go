package taint

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

func message(samples ...uint64) *event.Event {
	e := &event.Event{}
	e.Fingerprints = samples
	return e
}

func TestCommon(t *testing.T) {
	f := func(a, b Samples, want Overlap, substantial bool) {
		t.Helper()
		if got := Common(a, b); got != want || got.Substantial() != substantial {
			t.Errorf("%v %v: %+v", a, b, got)
		}
	}
	f(nil, Samples{8}, Overlap{}, false)
	f(Samples{8, 9, 10}, Samples{8, 9, 10}, Overlap{1, 1, 1}, true)
	f(Samples{8, 16}, Samples{8}, Overlap{Values: 1}, false)
	f(Samples{8, 11}, Samples{8, 11}, Overlap{Values: 2}, true)
	f(Samples{10, 18}, Samples{10, 18, 26}, Overlap{Runs: 2}, false)
	f(Samples{10, 18, 26}, Samples{10, 18, 26}, Overlap{Runs: 3}, true)
}

func TestMemory(t *testing.T) {
	var m Memory
	m.Note(message(), flow.Step{At: 1}, 0, 0, 3)
	if len(m.Sources) != 0 {
		t.Error("remembers nothing at all")
	}
	m.Note(message(16, 8, 8), flow.Step{ID: "a", At: 1}, flow.Untrusted, 0, 3)
	m.Note(message(8, 10, 18, 26), flow.Step{ID: "b", At: 2}, 0, 0, 3)
	src, o := m.Match(Of(message(26, 18, 10), nil), 0, nil)
	if src == nil || src.ID != "b" || o.Runs != 3 {
		t.Errorf("%+v %+v", src, o)
	}
	if src, _ := m.Match(Samples{16}, 0, func(s *Source) bool { return !s.Untold }); src != nil {
		t.Errorf("%+v was left out", src)
	}
	if src, _ := m.Match(Samples{16}, 2, nil); src != nil {
		t.Errorf("%+v is too old", src)
	}
	for i := range 10 {
		m.Note(message(uint64(i)*8+800), flow.Step{At: int64(i + 3)}, 0, 0, 3)
	}
	if len(m.Sources) != 3 || m.Sources[2].At != 12 {
		t.Errorf("%+v", m.Sources)
	}
	m.Note(message(8), flow.Step{At: 100}, 0, 50, 3)
	if len(m.Sources) != 1 {
		t.Errorf("%+v", m.Sources)
	}
}

func TestSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m, back Memory
		m.Note(message(rapid.SliceOfN(rapid.Uint64(), 1, 100).Draw(t, "samples")...), flow.Step{ID: "x", At: 5, Server: "s", Tool: "t"}, flow.Untrusted, 0, 4)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if len(back.Sources) != 1 || !slices.Equal(back.Sources[0].Samples, m.Sources[0].Samples) || back.Sources[0].Step != m.Sources[0].Step || !slices.IsSorted(back.Sources[0].Samples) {
			t.Fatalf("%+v\n%+v", m, back)
		}
	})
	var s Samples
	for _, bad := range []string{`1`, `"x"`, `"AAAA"`, `"%"`} {
		if json.Unmarshal([]byte(bad), &s) == nil {
			t.Errorf("%s is read", bad)
		}
	}
}
