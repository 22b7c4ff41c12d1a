// Package bypass finds calls that one vantage point saw and another, which should have, did not.
package bypass

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Wait is how long after a call its other record may come.
	Wait time.Duration `mapstructure:"wait"`
	// Support is how many calls both must have seen before one that is missing says anything.
	Support int64 `mapstructure:"support"`
	// Rate is the share of calls that both must see as a rule.
	Rate float64 `mapstructure:"rate"`
	// Servers, as globs, are known to be seen by taps and logs both: no support is needed.
	Servers []string `mapstructure:"servers"`
	// Missing is how many in an hour make a finding high.
	Missing int64 `mapstructure:"missing"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Wait < time.Second || c.Wait > time.Hour:
		return errors.New("wait must be from 1s to 1h")
	case c.Support < 1 || c.Missing < 1:
		return errors.New("support and missing must be at least 1")
	case c.Rate <= 0.5 || c.Rate > 1:
		return errors.New("rate must be above 0.5 and at most 1")
	}
	for _, g := range c.Servers {
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("servers: %q is no pattern", g)
		}
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "capture_bypass",
	Version:    "1.0.0",
	Title:      "Calls that did not pass the tap",
	Severity:   engine.Medium,
	Confidence: 0.7,
	Key:        engine.KeyServer,
	MaxKeys:    8192,
	TTL:        7 * 24 * time.Hour,
	Sees: "Calls of tools, resources and prompts of one server, from taps on the one hand and from gateways' and servers' own logs and spans on the other. Two records are of one call if they have the same trace, request and tool, " +
		"the same session and request, or the same content.",
	Fires: "Once both have seen `support` calls of a server, and `rate` of all: when a record of one has no counterpart `wait` later. medium; high from `missing` in an hour on. `where` says who did not see them: `tap` is a way around the tap, `log` a log that was " +
		"left out or removed. Once an hour for each side.",
	Tuning:         "`wait` (5m): longer than a log takes to arrive. `support` (20), `rate` (0.9), `missing` (10). `servers`: globs of servers that are known to be seen by both.",
	Gaps:           "Servers that only one side ever saw. Records that have neither trace, session nor content in common. More than 4096 calls waiting. It is raised with the tenant's next events after the wait.",
	FalsePositives: "A tap that was just put in or taken out; sampling of spans; a log that is late; loss that capture_loss or capture_gap tell of for the same time.",
	Remediation:    "Find the client of the calls and how it reaches the server. Let the server take connections from the tap or gateway only.",
	References: []string{
		"OWASP-MCP 2025-beta MCP08:2025 Lack of Audit and Telemetry",
		"OWASP-MCP 2025-beta MCP09:2025 Shadow MCP Servers",
		"MITRE-ATLAS 5.6 AML.T0107 Exploitation for Defense Evasion",
		"MITRE-ATLAS 5.6 AML.M0024 AI Telemetry Logging",
	},
}, Config{Wait: 5 * time.Minute, Support: 20, Rate: 0.9, Missing: 10}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// Bounds of what is remembered of a server.
const (
	maxWaiting = 4096
	maxShown   = 20
	decay      = 2000
)

// The vantage points.
const (
	tap = iota
	log
)

var sides = [2]string{"tap", "log"}

// state of a server.
type state struct {
	Server  string            `json:"v,omitempty"`
	Waiting []call            `json:"w,omitempty"` // in the order in which they came
	Index   map[uint64]uint64 `json:"i,omitempty"` // from a name of a call to its number
	Next    uint64            `json:"n,omitempty"` // number of the next
	Both    float64           `json:"b,omitempty"`
	One     float64           `json:"o,omitempty"` // seen by one side only
	Seen    [2]bool           `json:"s"`
	Since   int64             `json:"t,omitempty"` // when both had been seen
	Known   bool              `json:"k,omitempty"` // both see its calls as a rule
	Missing [2]tally          `json:"m"`
}

// call waits for its counterpart.
type call struct {
	Number uint64   `json:"n"`
	Side   int      `json:"s"`
	At     int64    `json:"a"`
	Names  []uint64 `json:"h"`
	Event  string   `json:"e,omitempty"`
	Done   bool     `json:"d,omitempty"`
}

// tally is what one side did not see in an hour.
type tally struct {
	Hour   int64    `json:"h,omitempty"`
	N      int64    `json:"n,omitempty"`
	Events []string `json:"e,omitempty"`
	First  int64    `json:"f,omitempty"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if e.Kind != event.KindRequest || e.Direction == event.ServerToClient || e.SourceKind == "" || e.SourceKind == "mcpsiem" {
		return false
	}
	switch e.Method {
	case "tools/call", "resources/read", "prompts/get":
		return true
	}
	return false
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	side := log
	if e.SourceKind == "tap" {
		side = tap
	}
	s.Seen[side] = true
	if s.Since == 0 && s.Seen[tap] && s.Seen[log] {
		s.Since = max(c.Now, 1)
	}
	s.Server = generation.Server(e)
	names := names(e)
	if len(names) == 0 {
		return
	}
	for _, n := range names {
		if num, ok := s.Index[n]; ok {
			if w := s.waiting(num); w != nil && w.Side != side && !w.Done {
				w.Done = true
				for _, n := range w.Names {
					delete(s.Index, n)
				}
				s.count(&s.Both)
				return
			}
		}
	}
	if !(s.Seen[tap] && s.Seen[log]) && !d.declared(s.Server) { // nothing to compare with, yet
		return
	}
	s.drop()
	if len(s.Waiting) >= maxWaiting {
		return
	}
	if s.Index == nil {
		s.Index = map[uint64]uint64{}
	}
	w := call{Number: s.Next, Side: side, At: c.Now, Names: names, Event: e.ID}
	s.Next++
	for _, n := range names {
		if _, ok := s.Index[n]; !ok {
			s.Index[n] = w.Number
		}
	}
	s.Waiting = append(s.Waiting, w)
	c.SetTimer(max(c.Now, c.Watermark) + int64(d.conf.Wait))
}

func (d *detector) declared(server string) bool {
	for _, g := range d.conf.Servers {
		if ok, _ := path.Match(g, server); ok {
			return true
		}
	}
	return false
}

// names are what the same call is called by every vantage point, as far as it knows.
func names(e *event.Event) (out []uint64) {
	if !e.TraceID.IsEmpty() {
		t := e.TraceID
		out = append(out, generation.Hash("trace", string(t[:]), e.Method, e.Tool, e.ResourceURI, e.RequestID))
	}
	if e.SessionID != "" && e.RequestID != "" {
		out = append(out, generation.Hash("session", e.SessionID, e.Method, e.RequestID))
	}
	if e.BodyFingerprint != "" {
		out = append(out, generation.Hash("body", e.BodyFingerprint))
	}
	return out
}

func (s *state) waiting(number uint64) *call {
	if len(s.Waiting) == 0 || number < s.Waiting[0].Number {
		return nil
	}
	if i := number - s.Waiting[0].Number; i < uint64(len(s.Waiting)) {
		return &s.Waiting[i]
	}
	return nil
}

// drop takes the calls that are done from the front.
func (s *state) drop() {
	n := 0
	for n < len(s.Waiting) && s.Waiting[n].Done {
		n++
	}
	s.Waiting = s.Waiting[n:]
}

func (s *state) count(n *float64) {
	*n++
	if s.Both+s.One > decay {
		s.Both, s.One = s.Both/2, s.One/2
	}
}

// Timer judges the calls that have waited long enough.
func (d *detector) Timer(c *engine.Context, s *state) {
	due := max(c.Now, c.Watermark) - int64(d.conf.Wait)
	for len(s.Waiting) > 0 && (s.Waiting[0].Done || s.Waiting[0].At <= due) {
		w := s.Waiting[0]
		s.Waiting = s.Waiting[1:]
		if w.Done {
			continue
		}
		for _, n := range w.Names {
			if s.Index[n] == w.Number {
				delete(s.Index, n)
			}
		}
		if s.Both >= float64(d.conf.Support) && s.Both >= d.conf.Rate*(s.Both+s.One) {
			s.Known = true
		} else if s.One > s.Both { // a wave of missing ones does not make itself the rule before it is half of all
			s.Known = false
		}
		known := s.Known || d.declared(s.Server)
		if w.At < s.Since+int64(d.conf.Wait) && !d.declared(s.Server) { // how they overlap is not known yet
			continue
		}
		s.count(&s.One)
		if known {
			d.miss(c, s, &w)
		}
	}
	if len(s.Waiting) > 0 {
		c.SetTimer(s.Waiting[0].At + int64(d.conf.Wait))
	}
}

func (d *detector) miss(c *engine.Context, s *state, w *call) {
	other := 1 - w.Side
	m := &s.Missing[other]
	if hour := w.At / int64(time.Hour); hour != m.Hour {
		*m = tally{Hour: hour, First: w.At}
	}
	m.N++
	if w.Event != "" && len(m.Events) < maxShown {
		m.Events = append(m.Events, w.Event)
	}
	severity, title := engine.Medium, "Calls that did not pass the tap"
	if other == log {
		title = "Calls that are missing in a log"
	}
	if m.N >= d.conf.Missing {
		severity = engine.High
	} else if m.N > 1 {
		return
	}
	c.Emit(engine.Alert{
		Scope: []string{sides[other], severity, strconv.FormatInt(m.Hour, 10)}, Title: title, Severity: severity,
		Summary: strconv.FormatInt(m.N, 10) + " calls of server " + engine.Name(s.Server) + " were seen by a " + sides[w.Side] + " and not by a " + sides[other] + ".",
		Why: map[string]string{
			"missing_in": sides[other], "seen_by": sides[w.Side], "missing": strconv.FormatInt(m.N, 10), "seen_by_both": strconv.FormatFloat(s.Both, 'f', 0, 64), "seen_by_one": strconv.FormatFloat(s.One, 'f', 0, 64),
			"wait": d.conf.Wait.String(),
		},
		EventIDs: m.Events, FirstSeen: m.First, LastSeen: w.At, Count: m.N,
	})
}
