// Package injection finds text that tries to steer a model: in tool definitions, and in what tools return.
package injection

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Definitions and Results are the scores from which content of that kind is raised, 0 to 1.
	Definitions float64 `mapstructure:"definitions"`
	Results     float64 `mapstructure:"results"`
	// Lures is the score from which a definition is raised that is out of place without ordering anything: it praises itself, asks for the
	// conversation, has the name of another.
	Lures float64 `mapstructure:"lures"`
	// Strong is the score from which the severity is one step higher.
	Strong float64 `mapstructure:"strong"`
	// Window is how long repeats for the same tool are part of one finding.
	Window time.Duration `mapstructure:"window"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	for _, t := range []float64{c.Definitions, c.Results, c.Lures, c.Strong} {
		if t <= 0 || t > 1 {
			return errors.New("definitions, results, lures and strong must be above 0 and at most 1")
		}
	}
	if c.Window <= 0 {
		return errors.New("window must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "injection_signal",
	Version:    "2.1.0",
	Title:      "Instructions to the model in tool content",
	Severity:   engine.Medium,
	Confidence: 0.6,
	Key:        engine.KeyMessage,
	Sees: "The content signals `injection`, `hidden_text`, `exfil_link`, and the opinions of the trained text scorer `planted_instruction` and `poisoned_definition`, of tool definitions (`tools/list`, each by itself), of what servers say of themselves (instructions, lists of prompts and resources), and of what servers send to the model: results of tools, resources and prompts, and server-initiated requests (elicitation, sampling), error texts. Scores are computed before redaction; " +
		"the text itself is never seen here.",
	Fires: "When a signal reaches its threshold: once for each server, tool and signal in an hour. Definitions are one step more severe than results, since they speak to the model in every " +
		"conversation; a score from `strong` on is one step more severe again. What only the text scorer says is medium, however sure it is; where a phrase bears it out it counts as 0.6 at least. " +
		"Each definition is judged by itself and named, however long the list; of one list the eight worst are raised. " +
		"A definition that orders nothing is raised at medium when `preference`, `context_request` or `shadowed_name` reaches `lures`: it praises itself or forbids other tools, asks for the conversation or the model's name, has another tool's name.",
	Tuning: "`definitions` (default 0.6), `results` (0.5), `lures` (0.7), `strong` (0.9), `window` (1h). Raise `results` for servers that return documents about prompts or security.",
	Gaps: "Plain requests without any mark of being meant for a model, which people write to each other in the same words; definitions whose harm shows from what the tool does only; instructions spread over several results, images. It judges the text, not whether the model obeyed; " +
		"look at the conversation's later calls for that.",
	FalsePositives: "Documents about prompt injection, system prompts under review, and tools whose descriptions address the model legitimately.",
	Remediation:    "For a definition: stop using the server until the definition is reviewed. For a result: check what the agent did next in the conversation, and treat the source as hostile.",
	References: []string{
		"OWASP-MCP 2025-beta MCP03:2025 Tool Poisoning",
		"OWASP-MCP 2025-beta MCP06:2025 Intent Flow Subversion",
		"OWASP-LLM 2025 LLM01:2025 Prompt Injection",
		"OWASP-LLM 2026 LLM01:2026 Prompt Injection",
		"OWASP-ASI 2026 ASI01 Agent Goal Hijack",
		"MITRE-ATLAS 5.6 AML.T0051.001 LLM Prompt Injection: Indirect",
		"MITRE-ATLAS 5.6 AML.T0110 AI Agent Tool Poisoning",
		"MITRE-ATLAS 5.6 AML.T0068 LLM Prompt Obfuscation",
		"SAFE-MCP 2026-02-01 SAFE-T1001 Tool Poisoning Attack",
		"SAFE-MCP 2026-02-01 SAFE-T1102 Prompt Injection",
	},
}, Config{Definitions: 0.6, Results: 0.5, Lures: 0.7, Strong: 0.9, Window: time.Hour}, func(c Config) (engine.Detector[struct{}], error) {
	return &detector{c}, nil
})

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return (len(e.Signals) > 0 || len(e.ToolDefs) > 0) && e.Direction == event.ServerToClient
}

// maxNamed is how many definitions of one list are raised each by itself, the worst first; those behind them are counted.
const maxNamed = 8

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	switch {
	case content.IsToolList(e):
		d.list(c, e)
	case content.Instructs(e):
		if signal, score := content.Poison(e.Signals, d.conf.Definitions); signal != "" {
			d.raise(c, e, poison{content.InInstructions, e.Method, signal, score, d.conf.Definitions, engine.High, "Instructions to the model in what a server says of itself"}, nil)
		}
	default:
		if signal, score := content.Poison(e.Signals, d.conf.Results); signal != "" {
			what := e.Tool
			if what == "" {
				what = e.Method
			}
			d.raise(c, e, poison{content.InResult, what, signal, score, d.conf.Results, engine.Medium, "Instructions to the model in a result"}, nil)
		}
	}
}

// poison is one text that steers a model.
type poison struct {
	place, what, signal string
	score, threshold    float64
	severity, title     string
}

// list judges each definition of a list by itself, and the list for what is in none of those that the event names.
func (d *detector) list(c *engine.Context, e *event.Event) {
	p := poison{place: content.InDefinitions, threshold: d.conf.Definitions, severity: engine.High, title: "Instructions to the model in a tool definition"}
	var bad []poison
	for i := range e.ToolDefs {
		t := &e.ToolDefs[i]
		if p.signal, p.score = content.Poison(t.Signals, d.conf.Definitions); p.signal != "" {
			p.what = t.Name
			bad = append(bad, p)
			continue
		}
		for _, n := range content.LureSignals {
			if s := t.Signals[n]; s >= d.conf.Lures {
				bad = append(bad, poison{content.InDefinitions, t.Name, n, s, d.conf.Lures, engine.Medium, "A tool's definition is out of place"})
				break
			}
		}
	}
	if len(bad) == 0 {
		if p.signal, p.score = content.Poison(e.Signals, d.conf.Definitions); p.signal != "" {
			p.what = e.Method
			d.raise(c, e, p, nil)
		}
		return
	}
	slices.SortStableFunc(bad, func(a, b poison) int { return cmp.Compare(b.score, a.score) })
	more := map[string]string{"definitions": strconv.Itoa(len(e.ToolDefs)), "suspicious": strconv.Itoa(len(bad))}
	for _, p := range bad[:min(len(bad), maxNamed)] {
		d.raise(c, e, p, more)
	}
}

func (d *detector) raise(c *engine.Context, e *event.Event, p poison, more map[string]string) {
	switch {
	case p.signal == content.SignalPoisoned || p.signal == content.SignalPlanted: // an opinion, not a phrase that can be pointed at
		p.severity = engine.Medium
	case slices.Contains(content.LureSignals, p.signal):
	case p.score >= d.conf.Strong:
		switch p.severity {
		case engine.High:
			p.severity = engine.Critical
		case engine.Medium:
			p.severity = engine.High
		}
	}
	said := "sent instructions to the model in the "
	if slices.Contains(content.LureSignals, p.signal) {
		said = "lures the model with the "
	}
	why := map[string]string{
		"signal": p.signal, "score": strconv.FormatFloat(p.score, 'g', 3, 64), "threshold": strconv.FormatFloat(p.threshold, 'g', 3, 64), "place": p.place,
	}
	maps.Copy(why, more)
	a := engine.Alert{
		Scope:      []string{e.Server, p.what, p.place, p.signal},
		Window:     d.conf.Window,
		Title:      p.title,
		Severity:   p.severity,
		Confidence: p.score,
		Summary: "Server " + engine.Name(e.Server) + " " + said + p.place + " of " + engine.Name(p.what) + ", seen by " +
			engine.Name(e.PrincipalID) + ".",
		Why: why,
	}
	if p.place == content.InDefinitions && p.what != e.Method {
		a.Tool = p.what
	}
	c.Emit(a)
}
