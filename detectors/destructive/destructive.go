// Package destructive finds bursts of deletions and changes.
package destructive

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/decay"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/detectors/recent"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Window is how long calls count together.
	Window time.Duration `mapstructure:"window"`
	// Destroys is how many calls of tools that delete make a burst, whatever is usual.
	Destroys int `mapstructure:"destroys"`
	// Writes is how many calls of tools that change do.
	Writes int `mapstructure:"writes"`
	// Usual is how many times the principal's usual bursts there must be.
	Usual float64 `mapstructure:"usual"`
	// Repeat is after how long the same principal is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 || c.Repeat <= 0 {
		return errors.New("window and repeat must be above 0")
	}
	if c.Destroys < 2 || c.Writes < 2 || c.Usual < 1 {
		return errors.New("destroys and writes must be at least 2, usual at least 1")
	}
	return nil
}

const (
	maxShown = 10
	halfLife = 14 * 24 * time.Hour
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "destructive_burst",
	Version:    "1.0.0",
	Title:      "Burst of deletions or changes",
	Severity:   engine.High,
	Confidence: 0.6,
	Key:        engine.KeyPrincipal,
	MaxKeys:    32768,
	TTL:        30 * 24 * time.Hour,
	Sees:       "Calls of tools that delete or change, by their capabilities, of one principal across servers and conversations.",
	Fires: "medium when one principal calls tools that delete `destroys` times within `window`, high at three times that; medium at `writes` calls of tools that change. Where the principal's bursts are usually larger, it takes `usual` times the usual size, " +
		"which is learned from its own past and forgotten with a half-life of 14 days. At most once in `repeat` for each.",
	Tuning:         "`window` (default 5m; a burst of half that length is always seen whole), `destroys` (12), `writes` (300), `usual` (2), `repeat` (6h). What deletes is told to inspection in its file of capabilities.",
	Gaps:           "One call that deletes much (`DROP TABLE`, a folder); commands given to a shell; deletions slower than the window or by many principals. The first large job of a principal has no past to compare with.",
	FalsePositives: "Cleaning up, closing of tickets, migrations, tests with a database of their own.",
	Remediation:    "Ask who started it; if nobody did, stop the agent and suspend its credential, then restore from the list of calls. Let a person confirm deletions.",
	References: []string{
		"OWASP-MCP 2025-beta MCP02:2025 Privilege Escalation via Scope Creep",
		"OWASP-LLM 2025 LLM06:2025 Excessive Agency",
		"OWASP-LLM 2026 LLM03:2026 Excessive Agency",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"OWASP-ASI 2026 ASI10 Rogue Agents",
		"MITRE-ATLAS 5.6 AML.T0101 Data Destruction via AI Agent Tool Invocation",
		"SAFE-MCP 2026-02-01 SAFE-T2101 Data Destruction",
	},
}, Config{Window: 5 * time.Minute, Destroys: 12, Writes: 300, Usual: 2, Repeat: 6 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one principal.
type state struct {
	Destroys burst      `json:"d,omitzero"`
	Writes   burst      `json:"w,omitzero"`
	Tools    recent.Set `json:"t,omitzero"` // that delete
	Steps    []string   `json:"e,omitempty"`
	From     int64      `json:"f,omitempty"` // when the first of Steps was, ns
}

// burst is a count and what is usual of it.
type burst struct {
	Window decay.Window `json:"w,omitzero"`
	Usual  decay.Count  `json:"u,omitzero"` // size of the largest that ended
}

// add counts and learns the size of what has ended.
func (b *burst) add(now int64, length time.Duration) int {
	before := b.Window
	n := b.Window.Add(now, length)
	if b.Window.Bucket > before.Bucket+1 { // a pause: what was before has ended
		if size := float64(before.Now + before.Before); size > b.Usual.Value(now, halfLife) {
			b.Usual = decay.Count{V: size, At: now}
		}
	}
	return n
}

// limit is how many make a burst.
func (b *burst) limit(least int, times float64, now int64) int {
	return max(least, int(times*b.Usual.Value(now, halfLife)))
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return len(e.Capabilities) > 0 && flow.IsCall(e) && flow.Of(e)&(flow.Destroys|flow.Writes) != 0
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	can := flow.Of(e)
	if can&flow.Destroys == 0 {
		n := s.Writes.add(c.Now, d.conf.Window)
		if limit := s.Writes.limit(d.conf.Writes, d.conf.Usual, c.Now); n == limit {
			d.raise(c, e, s, "writes", engine.Medium, n, limit, &s.Writes)
		}
		return
	}
	window := int64(d.conf.Window)
	step := flow.StepOf(c, e)
	s.Tools.Add(step.Where(), c.Now, window, maxShown)
	if c.Now-s.From > window {
		s.From, s.Steps = c.Now, s.Steps[:0]
	}
	if len(s.Steps) < maxShown && e.ID != "" {
		s.Steps = append(s.Steps, e.ID)
	}
	n := s.Destroys.add(c.Now, d.conf.Window)
	limit := s.Destroys.limit(d.conf.Destroys, d.conf.Usual, c.Now)
	switch n {
	case limit:
		d.raise(c, e, s, "destroys", engine.Medium, n, limit, &s.Destroys)
	case 3 * limit:
		d.raise(c, e, s, "destroys", engine.High, n, limit, &s.Destroys)
	}
}

func (d *detector) raise(c *engine.Context, e *event.Event, s *state, kind, severity string, n, limit int, b *burst) {
	ids := []string{e.ID}
	var evidence []string
	what := "change"
	if kind == "destroys" {
		what = "delete"
		if ids = slices.Clone(s.Steps); !slices.Contains(ids, e.ID) {
			ids = append(ids, e.ID)
		}
		evidence = s.Tools.Texts(maxShown)
	}
	c.Emit(engine.Alert{
		Scope: []string{kind, severity}, Window: d.conf.Repeat, Severity: severity,
		Summary:  flow.Who(e) + " called tools that " + what + " " + strconv.Itoa(n) + " times within " + strings.TrimSuffix(d.conf.Window.String(), "0s") + ", the last " + flow.StepOf(c, e).Where() + ".",
		Evidence: evidence, EventIDs: ids, FirstSeen: min(max(s.From, c.Now-int64(d.conf.Window)), c.Now), Count: int64(n),
		Why: map[string]string{"kind": kind, "count": strconv.Itoa(n), "limit": strconv.Itoa(limit), "usual": strconv.FormatFloat(b.Usual.Value(c.Now, halfLife), 'f', 1, 64)},
	})
}
