package flow

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

func TestCarries(t *testing.T) {
	f := func(want bool, caps []string, destinations []string, signals map[string]float64) {
		t.Helper()
		var e event.Event
		e.Capabilities, e.Destinations, e.Signals = caps, destinations, signals
		if got := Carries(&e, Of(&e)); got != want {
			t.Errorf("%v %v %v: %v", caps, destinations, signals, got)
		}
	}
	f(true, []string{"sends_outside"}, nil, nil)
	f(true, []string{"executes"}, []string{"evil.example"}, nil)
	f(true, []string{"writes"}, []string{"repo:a/b"}, nil)
	f(true, []string{"writes"}, []string{"x.example", "bucket:b"}, nil)
	f(true, []string{"reads_untrusted"}, []string{"x.example"}, map[string]float64{"payload_in_url": 0.6})
	f(false, []string{"writes"}, []string{"x.example"}, nil) // a file that names an address
	f(false, []string{"reads_untrusted"}, []string{"x.example"}, map[string]float64{"injection": 1})
	f(false, []string{"executes"}, nil, nil)
	f(false, nil, nil, nil)
}

func TestEvidence(t *testing.T) {
	var v Evidence
	v.Add(Step{}, "nothing")
	v.Add(Step{ID: "b", At: 7e9, Server: "crm", Tool: "read"}, "read")
	v.Add(Step{ID: "a", At: 5e9, Server: "web", Tool: "fetch\u202e"}, "said")
	v.Add(Step{ID: "b", At: 7e9, Server: "crm", Tool: "read"}, "again")
	if len(v.IDs) != 2 || v.First != 5e9 || len(v.Words) != 3 || v.Words[0] != "00:00:07 read of crm: read" || v.Words[1] != "00:00:05 fetch\uFFFD of web: said" {
		t.Errorf("%+v", v)
	}
}

func TestKnown(t *testing.T) {
	var k Known
	f := func(now int64, want string, names ...string) {
		t.Helper()
		if got := k.Learn(names, now, 100, 10, 4); got != want {
			t.Errorf("at %d: %q, want %q", now, got, want)
		}
	}
	f(1, "")
	f(5, "", "a")
	f(50, "", "b") // still learning
	f(200, "", "a")
	f(200, "c", "a", "c")
	f(210, "c", "c") // still new
	f(211, "", "c")
	f(300, "d", "d", "e")
}
