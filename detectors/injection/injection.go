// Package injection finds text that tries to steer a model: in tool definitions, and in what tools return.
package injection

import (
	"errors"
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
	// Crowded is what Definitions rises to for a list of crowd definitions or more: scores are the list's, and add up over its definitions.
	Crowded float64 `mapstructure:"crowded"`
	// Strong is the score from which the severity is one step higher.
	Strong float64 `mapstructure:"strong"`
	// Window is how long repeats for the same tool are part of one finding.
	Window time.Duration `mapstructure:"window"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	for _, t := range []float64{c.Definitions, c.Results, c.Crowded, c.Strong} {
		if t <= 0 || t > 1 {
			return errors.New("definitions, results, crowded and strong must be above 0 and at most 1")
		}
	}
	if c.Crowded < c.Definitions {
		return errors.New("crowded must not be below definitions")
	}
	if c.Window <= 0 {
		return errors.New("window must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "injection_signal",
	Version:    "1.1.0",
	Title:      "Instructions to the model in tool content",
	Severity:   engine.Medium,
	Confidence: 0.6,
	Key:        engine.KeyMessage,
	Sees: "The content signals `injection`, `hidden_text` and `exfil_link` of tool definitions (`tools/list`) and of what servers send to the model: results of tools, resources and prompts, and server-initiated requests. Scores are computed before redaction; " +
		"the text itself is never seen here.",
	Fires: "When a signal reaches its threshold: once for each server, tool and signal in an hour. Definitions are one step more severe than results, since they speak to the model in every " +
		"conversation; a score from `strong` on is one step more severe again. " +
		"The scores are of the whole list, where weak signs add up over many definitions: the more definitions, the higher the score must be, from `definitions` for one to `crowded` for 16 or more. " +
		"A list between the two is low. Hidden characters add up fastest: in a list of 16 or more they count from 0.85 on.",
	Tuning: "`definitions` (default 0.5), `crowded` (0.7), `results` (0.5), `strong` (0.9), `window` (1h). Raise `results` for servers that return documents about prompts or security.",
	Gaps: "What the scores do not recognise: paraphrase, other languages, instructions spread over several results, images. It judges the text, not whether the model obeyed; " +
		"look at the conversation's later calls for that. In long lists, single phrases and hidden characters that would be raised in a list of one tool are low, and which tool holds them is not known.",
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
}, Config{Definitions: 0.5, Crowded: 0.7, Results: 0.5, Strong: 0.9, Window: time.Hour}, func(c Config) (engine.Detector[struct{}], error) {
	return &detector{c}, nil
})

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return len(e.Signals) > 0 && e.Direction == event.ServerToClient
}

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	place, threshold, severity, title := content.InResult, d.conf.Results, engine.Medium, "Instructions to the model in a result"
	if content.IsToolList(e) {
		place, threshold, severity, title = content.InDefinitions, d.conf.Definitions, engine.High, "Instructions to the model in a tool definition"
	}
	signal, score := content.Poison(e.Signals, threshold)
	if signal == "" {
		return
	}
	if place == content.InDefinitions && len(e.ToolDefs) > 1 {
		signal, score, severity, threshold = d.ofList(e, signal, score)
	}
	if score >= d.conf.Strong {
		if severity == engine.High {
			severity = engine.Critical
		} else if severity == engine.Medium {
			severity = engine.High
		}
	}
	what := e.Tool
	if what == "" {
		what = e.Method
	}
	scope := []string{e.Server, what, place, signal}
	if severity == engine.Low { // one that is not must still be heard
		scope = append(scope, severity)
	}
	c.Emit(engine.Alert{
		Scope:      scope,
		Window:     d.conf.Window,
		Title:      title,
		Severity:   severity,
		Confidence: score,
		Summary: "Server " + engine.Name(e.Server) + " sent instructions to the model in the " + place + " of " + engine.Name(what) + ", seen by " +
			engine.Name(e.PrincipalID) + ".",
		Why: map[string]string{
			"signal": signal, "score": strconv.FormatFloat(score, 'g', 3, 64), "threshold": strconv.FormatFloat(threshold, 'g', 3, 64), "place": place,
		},
	})
}

// crowd is how many definitions make a list in which weak signs are sure to meet.
const crowd = 16

// hiddenRise is how much more the threshold of hidden text rises in a crowd: each invisible character adds to its score.
const hiddenRise = 0.15

// ofList judges the signals of a list of several definitions by how many there are. signal and score are the strongest above the
// threshold for one definition; they stay, at a low severity, where nothing is strong enough for the list.
func (d *detector) ofList(e *event.Event, signal string, score float64) (string, float64, string, float64) {
	share := float64(min(len(e.ToolDefs), crowd)-1) / (crowd - 1)
	threshold := d.conf.Definitions + share*(d.conf.Crowded-d.conf.Definitions)
	best, top := "", 0.0
	for _, n := range content.PoisonSignals {
		need := threshold
		if n == content.SignalHiddenText {
			need = min(threshold+share*hiddenRise, 1)
		}
		if s := e.Signals[n]; s >= need && s > top {
			best, top = n, s
		}
	}
	if best == "" {
		return signal, score, engine.Low, threshold
	}
	return best, top, engine.High, threshold
}
