// Package flow is what detectors of chains of calls share: what an event's tool can do, and the steps that make up a finding's evidence.
package flow

import (
	"slices"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/outward"
)

// Caps is what a tool can do.
type Caps uint8

// Capabilities, as on events.
const (
	Private Caps = 1 << iota
	Untrusted
	Sends
	Executes
	Writes
	Destroys
	Spends
)

// Of are the capabilities of an event's tool.
func Of(e *event.Event) (c Caps) {
	for _, n := range e.Capabilities {
		switch n {
		case "reads_private":
			c |= Private
		case "reads_untrusted":
			c |= Untrusted
		case "sends_outside":
			c |= Sends
		case "executes":
			c |= Executes
		case "writes":
			c |= Writes
		case "destroys":
			c |= Destroys
		case "spends":
			c |= Spends
		}
	}
	return c
}

var capNames = []string{"reads private data", "reads untrusted content", "sends outside", "executes", "writes", "destroys", "spends"}

// String names the capabilities for people.
func (c Caps) String() string {
	var out []string
	for i, n := range capNames {
		if c&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return strings.Join(out, ", ")
}

// IsCall says that the event is a call of a tool.
func IsCall(e *event.Event) bool {
	return e.Kind == event.KindRequest && e.Method == "tools/call" && e.Direction != event.ServerToClient
}

// IsResult says that the event brings content to the model: the result of a tool or a resource.
func IsResult(e *event.Event) bool {
	return e.Kind == event.KindResponse && (e.Method == "tools/call" || e.Method == "resources/read")
}

// Carries says that a call can take content to others: by what its tool does, or, for tools that write or run commands, by where its
// arguments lead, or because an address in them carries something.
func Carries(e *event.Event, c Caps) bool {
	if c&Sends != 0 {
		return true
	}
	if len(e.Destinations) > 0 {
		if c&Executes != 0 {
			return true
		}
		if c&Writes != 0 {
			for _, d := range e.Destinations {
				if strings.HasPrefix(d, "repo:") || strings.HasPrefix(d, "bucket:") {
					return true
				}
			}
		}
	}
	return len(e.Signals) > 0 && (e.Signals[outward.PayloadInURL] > 0 || e.Signals[outward.PayloadInName] > 0)
}

// longest is how many bytes of a name are kept.
const longest = 128

// Step is one event of a chain.
type Step struct {
	ID     string `json:"i,omitempty"`
	At     int64  `json:"a,omitempty"` // ns
	Server string `json:"s,omitempty"`
	Tool   string `json:"t,omitempty"`
}

// StepOf notes an event.
func StepOf(c *engine.Context, e *event.Event) Step {
	s := Step{ID: e.ID, At: c.Now, Server: clip(generation.Server(e)), Tool: clip(e.Tool)}
	if e.Tool == "" {
		s.Tool = clip(e.Method)
	}
	return s
}

// Clip is a name as states keep it.
func Clip(s string) string { return clip(s) }

func clip(s string) string { return strings.Clone(s[:min(len(s), longest)]) }

// Where names tool and server for people.
func (s Step) Where() string { return engine.Name(s.Tool) + " of " + engine.Name(s.Server) }

// Text is the step in words.
func (s Step) Text(what string) string {
	return time.Unix(0, s.At).UTC().Format("15:04:05") + " " + s.Where() + ": " + what
}

// Evidence are the events and words of a chain, oldest first.
type Evidence struct {
	IDs   []string
	Words []string
	First int64
}

// Add appends a step; the same event is named once.
func (v *Evidence) Add(s Step, what string) {
	if s.ID == "" && s.At == 0 {
		return
	}
	v.Words = append(v.Words, s.Text(what))
	if v.First == 0 || s.At < v.First {
		v.First = s.At
	}
	if s.ID == "" {
		return
	}
	for _, id := range v.IDs {
		if id == s.ID {
			return
		}
	}
	v.IDs = append(v.IDs, s.ID)
}

// Who names an event's principal for people.
func Who(e *event.Event) string {
	for _, s := range []string{e.PrincipalID, e.OSUser, e.ClientName, e.ClientAddress} {
		if s != "" {
			return engine.Name(s)
		}
	}
	return "unknown"
}

// Inside says that an event leads somewhere, and only to places among own; one with a trailing * stands for all that begin so.
func Inside(own []string, e *event.Event) bool {
	if len(own) == 0 || len(e.Destinations) == 0 {
		return false
	}
	for _, n := range e.Destinations {
		if !slices.ContainsFunc(own, func(p string) bool {
			rest, ok := strings.CutSuffix(p, "*")
			return p == n || ok && strings.HasPrefix(n, rest)
		}) {
			return false
		}
	}
	return true
}
