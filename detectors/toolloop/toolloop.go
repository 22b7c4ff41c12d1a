// Package toolloop finds agents that do the same over and over, fail without end, or call without measure.
package toolloop

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector. All numbers are of one conversation within Window.
type Config struct {
	Window time.Duration `mapstructure:"window"`
	// Same is how often a tool that acts may be called with the same arguments.
	Same int `mapstructure:"same"`
	// SameReads is how often one that only reads or runs something may be.
	SameReads int `mapstructure:"same_reads"`
	// Failures is how many calls of a tool may fail one after the other.
	Failures int `mapstructure:"failures"`
	// FanOut is how many different arguments a tool that sends, destroys or spends may get.
	FanOut int `mapstructure:"fan_out"`
	// Calls is how many calls there may be.
	Calls int `mapstructure:"calls"`
	// Repeat is after how long the same is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 || c.Repeat <= 0 {
		return errors.New("window and repeat must be above 0")
	}
	for _, n := range []int{c.Same, c.SameReads, c.Failures, c.FanOut, c.Calls} {
		if n < 2 {
			return errors.New("same, same_reads, failures, fan_out and calls must be at least 2")
		}
	}
	return nil
}

// Bounds of what is remembered of a conversation.
const (
	maxCalls = 24
	maxTools = 12
)

// much is how many times its limit makes a loop worse.
const much = 5

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "tool_loop",
	Version:    "1.0.0",
	Title:      "Calls in a loop",
	Severity:   engine.Medium,
	Confidence: 0.6,
	Key:        engine.KeyConversation,
	MaxKeys:    32768,
	TTL:        2 * time.Hour,
	Sees:       "Calls of tools, a keyed hash of their arguments, and whether they failed, within one conversation.",
	Fires: "Within `window` of one conversation:\n\n| kind | what | severity |\n|---|---|---|\n" +
		"| same | a tool that writes, sends, destroys or spends gets the same arguments `same` times | medium, high at five times that |\n" +
		"| same_reads | any other tool gets the same arguments `same_reads` times | low, medium at five times that |\n" +
		"| failures | `failures` calls of a tool fail one after the other | low, medium at five times that |\n" +
		"| fan_out | a tool that sends, destroys or spends gets `fan_out` different arguments | medium, high at five times that |\n" +
		"| runaway | there are `calls` calls | medium |\n\nEach at most once in `repeat`.",
	Tuning:         "`window` (default 10m), `same` (10), `same_reads` (60), `failures` (25), `fan_out` (100), `calls` (1200), `repeat` (1h). Sending campaigns and migrations need a higher `fan_out`.",
	Gaps:           "Loops over several tools whose arguments differ each time, or that are slower than the window; what a loop costs is for runaway_loop. Of a conversation the last 24 different calls and 12 tools are counted; sources that carry no arguments show no repetition.",
	FalsePositives: "Polling for a result, tests that are run again and again, batch jobs that somebody started.",
	Remediation:    "Stop the agent if nobody waits for it. Give the client a limit of calls, and tools answers that tell the model that trying again is no use.",
	References: []string{
		"OWASP-LLM 2025 LLM10:2025 Unbounded Consumption",
		"OWASP-LLM 2026 LLM06:2026 Unbounded Consumption",
		"OWASP-ASI 2026 ASI08 Cascading Failures",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.T0034.002 Cost Harvesting: Agentic Resource Consumption",
		"MITRE-ATLAS 5.6 AML.T0029 Denial of AI Service",
		"SAFE-MCP 2026-02-01 SAFE-T1106 Autonomous Loop Exploit",
	},
}, Config{Window: 10 * time.Minute, Same: 10, SameReads: 60, Failures: 25, FanOut: 100, Calls: 1200, Repeat: time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one conversation; everything but failures is since First.
type state struct {
	First flow.Step `json:"w,omitzero"` // the first call
	Calls int       `json:"n,omitempty"`
	Seen  []same    `json:"c,omitempty"` // least recently called first
	Tools []tool    `json:"t,omitempty"` // least recently used first
}

// same is calls of a tool with the same arguments.
type same struct {
	Hash  uint64 `json:"h"`
	N     int    `json:"n"`
	First string `json:"f,omitempty"`
	At    int64  `json:"a,omitempty"`
}

// tool is what is counted of a tool.
type tool struct {
	Hash      uint64 `json:"h"`
	Different int    `json:"d,omitempty"`
	Begun     first  `json:"b,omitzero"`  // of those that differ
	Failed    int    `json:"f,omitempty"` // one after the other
	Broke     first  `json:"k,omitzero"`  // of those that failed
}

// first is where a count of one tool began.
type first struct {
	ID string `json:"i,omitempty"`
	At int64  `json:"a,omitempty"` // ns
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return e.Method == "tools/call" && (flow.IsCall(e) || e.Kind == event.KindResponse || e.Kind == event.KindError)
}

const acts = flow.Writes | flow.Sends | flow.Destroys | flow.Spends

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	hash := generation.Hash(generation.Server(e), e.Tool)
	if !flow.IsCall(e) {
		t := s.tool(hash)
		if e.Kind != event.KindError && e.Outcome != event.OutcomeToolError && e.Outcome != event.OutcomeRPCError {
			t.Failed = 0
			return
		}
		if t.Failed++; t.Failed == 1 {
			t.Broke = first{e.ID, c.Now}
		}
		d.judge(c, e, "failures", t.Failed, d.conf.Failures, engine.Low, t.Broke.step(e))
		return
	}
	if s.First.At == 0 || c.Now-s.First.At > int64(d.conf.Window) {
		s.First, s.Calls, s.Seen = flow.StepOf(c, e), 0, s.Seen[:0]
		for i := range s.Tools {
			s.Tools[i].Different = 0
		}
	}
	s.Calls++
	d.judge(c, e, "runaway", s.Calls, d.conf.Calls, engine.Medium, s.First)
	if e.ArgumentsFingerprint == 0 {
		return
	}
	can := flow.Of(e)
	seen := s.seen(hash^uint64(e.ArgumentsFingerprint)*0x9e3779b97f4a7c15, c.Now, e.ID)
	if can&acts != 0 {
		d.judge(c, e, "same", seen.N, d.conf.Same, engine.Medium, first{seen.First, seen.At}.step(e))
	} else {
		d.judge(c, e, "same_reads", seen.N, d.conf.SameReads, engine.Low, first{seen.First, seen.At}.step(e))
	}
	if t := s.tool(hash); seen.N == 1 {
		if t.Different++; t.Different == 1 {
			t.Begun = first{e.ID, c.Now}
		}
		if can&(acts&^flow.Writes) != 0 {
			d.judge(c, e, "fan_out", t.Different, d.conf.FanOut, engine.Medium, t.Begun.step(e))
		}
	}
}

// seen counts a call; of too many the one that was least recently called gives way.
func (s *state) seen(hash uint64, now int64, id string) *same {
	i := slices.IndexFunc(s.Seen, func(x same) bool { return x.Hash == hash })
	v := same{Hash: hash, First: id, At: now}
	switch {
	case i >= 0:
		v = s.Seen[i]
		s.Seen = slices.Delete(s.Seen, i, i+1)
	case len(s.Seen) >= maxCalls:
		s.Seen = slices.Delete(s.Seen, 0, 1)
	}
	v.N++
	s.Seen = append(s.Seen, v)
	return &s.Seen[len(s.Seen)-1]
}

func (s *state) tool(hash uint64) *tool {
	i := slices.IndexFunc(s.Tools, func(x tool) bool { return x.Hash == hash })
	v := tool{Hash: hash}
	switch {
	case i >= 0 && i == len(s.Tools)-1:
		return &s.Tools[i]
	case i >= 0:
		v = s.Tools[i]
		s.Tools = slices.Delete(s.Tools, i, i+1)
	case len(s.Tools) >= maxTools:
		s.Tools = slices.Delete(s.Tools, 0, 1)
	}
	s.Tools = append(s.Tools, v)
	return &s.Tools[len(s.Tools)-1]
}

// step is a call of the tool that e is about.
func (f first) step(e *event.Event) flow.Step {
	return flow.Step{ID: f.ID, At: f.At, Server: flow.Clip(generation.Server(e)), Tool: flow.Clip(e.Tool)}
}

var what = map[string]string{
	"same": "with the same arguments", "same_reads": "with the same arguments", "failures": "and it failed each time", "fan_out": "with different arguments",
}

var titles = map[string]string{
	"same": "The same call over and over", "same_reads": "The same question over and over", "failures": "A call that fails without end", "fan_out": "One tool, many targets", "runaway": "Calls without measure",
}

// judge raises at the limit, and again at much times the limit where that is worse.
func (d *detector) judge(c *engine.Context, e *event.Event, kind string, n, limit int, severity string, begun flow.Step) {
	switch {
	case n == limit:
	case n == much*limit && kind != "runaway":
		if severity == engine.Low {
			severity = engine.Medium
		} else {
			severity = engine.High
		}
	default:
		return
	}
	var v flow.Evidence
	step := flow.StepOf(c, e)
	v.Add(begun, "the first")
	v.Add(step, "number "+strconv.Itoa(n))
	summary := flow.Who(e) + " called " + step.Where() + " " + strconv.Itoa(n) + " times " + what[kind] + " in one conversation."
	if kind == "runaway" {
		summary = flow.Who(e) + " made " + strconv.Itoa(n) + " calls in one conversation, the last of them " + step.Where() + "."
	}
	c.Emit(engine.Alert{
		Scope: []string{kind, severity, step.Server, step.Tool}, Window: d.conf.Repeat,
		Title: titles[kind], Severity: severity,
		Summary:  summary,
		EventIDs: v.IDs, Evidence: v.Words, FirstSeen: v.First, Count: int64(n),
		Why: map[string]string{"kind": kind, "count": strconv.Itoa(n), "limit": strconv.Itoa(limit), "seconds": strconv.FormatInt((c.Now-begun.At)/int64(time.Second), 10)},
	})
}
