package detecttest

import (
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// third raises every third call of a tool. Its faults can be switched on, to see that Check finds them.
type third struct {
	forget bool // its state does not survive a snapshot
	batch  *int // raises by what it has seen since it was made, not by its state
}

type calls struct {
	N       int `json:"n"`
	private int
}

func (d third) Wants(e *event.Event) bool { return e.Kind == event.KindRequest && e.Tool != "" }

func (d third) Observe(c *engine.Context, e *event.Event, s *calls) {
	n := &s.N
	if d.forget {
		n = &s.private
	}
	if d.batch != nil {
		n = d.batch
	}
	*n++
	if *n%3 == 0 {
		c.Emit(engine.Alert{Scope: []string{e.ID}, Summary: engine.Name(e.Tool) + " was called again.", Why: map[string]string{"calls": "3"}})
	}
}

func definition(d third) engine.Definition {
	return engine.Define(engine.Spec{ID: "third", Title: "Third call", Severity: engine.Low, Confidence: 1, Key: engine.KeyTool}, struct{}{},
		func(struct{}) (engine.Detector[calls], error) { return d, nil })
}

// check runs the text's first case and returns what Check complains of.
func check(t *testing.T, d third, text string) []string {
	t.Helper()
	s, err := Parse("x.detect", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	_, problems := s.Check(0, []engine.Definition{definition(d)})
	return problems
}

func TestCheckAccepts(t *testing.T) {
	f := func(text string) {
		t.Helper()
		if p := check(t, third{}, text); len(p) > 0 {
			t.Error(p)
		}
	}
	f("case a\n0s call x\n+1s call x\nexpect none\n+1s call x\nexpect third low tool=x summary~again time=2s")
	f("given server=s\ncase a\ngiven tenant=t\n0s call x\n0s call x\n0s call y\n0s call x\nexpect third server=s tenant=t why.calls=3")
	f("case a # not a comment for the name\n0s tick # nothing\nexpect none")
	f("case a\n0s call x\n1s call x\n2s call x\n3s call x\n4s call x\n5s call x\nexpect third time=5s\nexpect third time=2s")
}

func TestCheckComplains(t *testing.T) {
	f := func(d third, text, want string) {
		t.Helper()
		p := check(t, d, text)
		if len(p) == 0 || !strings.Contains(strings.Join(p, "\n"), want) {
			t.Errorf("want a complaint with %q, have %q", want, p)
		}
	}
	three := "case a\n0s call x\n1s call x\n2s call x\n"
	f(third{}, three+"expect none", "x.detect:5: not expected: third low")
	f(third{}, "case a\n0s call x\nexpect none\n1s call x\n2s call x\n", "not expected at the end of the case")
	f(third{}, "case a\n0s call x\n1s call x\nexpect third", "x.detect:4: third did not fire")
	f(third{}, three+"expect third high", "severity is low")
	f(third{}, three+"expect third tool=y", `tool is "x"`)
	f(third{}, three+"expect third\nexpect third", "third did not fire")
	f(third{}, "config fourth x=1\n"+three+"expect third", "not among the detectors")
	f(third{}, "config third x=1\n"+three+"expect third", "cannot read the configuration")
	f(third{forget: true}, three+"expect third", "with a restart after every event other findings")
	n := 0
	f(third{batch: &n}, "case a\n0s call x\n1s call x\nexpect none\n2s call x\nexpect third\n3s call x\n4s tick", "other findings are raised")
}

func TestParseRefuses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := Parse("x.detect", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want an error with %q, have %v", text, want, err)
		}
	}
	f("", "no case")
	f("case", "needs a name")
	f("0s tick", "belong into a case")
	f("expect none", "belongs into a case")
	f("case a\n0s tick", "expects nothing")
	f("case a\nnonsense", "is no statement")
	f("case a\n0x tick\nexpect none", "is no time")
	f("case a\n0s", "say what happens")
	f("case a\n0s dance", "nothing that can happen")
	f("case a\n0s call\nexpect none", "a tool is needed")
	f("case a\n0s call a b\nexpect none", "a tool is needed")
	f("case a\n0s tick colour=red", "no field of an event")
	f("case a\n0s tick tap_seq=x", "of type int")
	f("case a\n0s tick signals=1", "write signals.NAME")
	f("case a\n0s tick signals.x=much", "of type scores")
	f("case a\n0s tools read", "is no tool")
	f("case a\n0s tools read:v1:x", "no number of tokens")
	f("case a\n0s tick tool_defs=x", "cannot be set")
	f("case a\n0s tick server~x", "no field=value")
	f("case a\n0s tick\nexpect third high colour=red", "no field of a finding")
	f("case a\n0s tick\nexpect none really", "stands alone")
	f("case a\n0s tick\nexpect none\nexpect third", "cannot follow")
	f("case a\n0s tick\nexpect third\nexpect none", "cannot follow")
	f("case a\nconfig third x=1", "before the first case")
	f("case a\n0s tick server=\"x", "quote")
	f("given ~x", "name is missing")
}

func FuzzParse(f *testing.F) {
	f.Add("given server=s\ncase a\n0s call x signals.y=0.5\n+1s result x\ntools a:b:3\nexpect third low tool=x why.calls~\"3 x\"")
	f.Add("config third a=1,2\ncase a\n1h tap-loss tap_seq=9 received=2h\nexpect none")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("x", []byte(text))
		if err != nil {
			return
		}
		for i := range s.Cases {
			s.Config = nil
			s.Check(i, []engine.Definition{definition(third{})})
		}
	})
}
