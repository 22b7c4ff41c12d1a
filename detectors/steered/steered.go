// Package steered finds tools that are used right after content told the model to use them.
package steered

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/detectors/taint"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

// Config of the detector.
type Config struct {
	// Score is from where on content gives orders, 0 to 1.
	Score float64 `mapstructure:"score"`
	// Weak is from where on content may give orders; it counts if the call takes up what stood in it.
	Weak float64 `mapstructure:"weak"`
	// Calls is how many calls after the content are looked at.
	Calls int `mapstructure:"calls"`
	// Window is how long after it.
	Window time.Duration `mapstructure:"window"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Weak <= 0 || c.Score < c.Weak || c.Score > 1 {
		return errors.New("want 0 < weak <= score <= 1")
	}
	if c.Calls < 1 || c.Window <= 0 {
		return errors.New("calls and window must be above 0")
	}
	return nil
}

const (
	maxOrders = 8
	maxElse   = 64 // calls of other conversations after which content is forgotten
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "steered_call",
	Version:    "2.0.0",
	Title:      "Tool used after content told the model to",
	Severity:   engine.Medium,
	Confidence: 0.5,
	Key:        engine.KeyPrincipal,
	MaxKeys:    32768,
	TTL:        2 * time.Hour,
	Sees: "Results of tools, resources and prompts with a score of orders to the model, keyed hashes of the names in them that look like a tool's (snake_case), and the sensitive values and identifiers in them; and the calls of the same principal that follow, " +
		"with the capabilities of their tools: a client holds a conversation of its own with each of its servers.",
	Fires: "When one of the next `calls` calls of the conversation, or another call of the principal, within `window` uses a tool that sends, destroys, executes or spends.\n\n" +
		"| severity | the result | the call |\n|---|---|---|\n" +
		"| critical | orders of at least `score` | uses a tool that the result named, with values that stood in it |\n" +
		"| high | orders of at least `score` | uses a tool that it named, or values that stood in it |\n" +
		"| medium | orders of at least `score` | only follows |\n" +
		"| medium | orders of at least `weak` | uses a tool that it named, with values that stood in it |\n" +
		"| low | orders of at least `weak` | one of the two |\n\nA tool that only writes, or of which nobody knows what it can do, and a call in another conversation count where the tool was named or values were taken over; each makes it one grade lower.",
	Tuning:         "`score` (default 0.5), `weak` (0.25), `calls` (8), `window` (15m). More calls see agents that finish their task first, and more coincidence.",
	Gaps:           "Orders that inspection does not recognise; names of tools without an underscore; values that are names of people or accounts without digits; orders that are carried out much later, or by another principal.",
	FalsePositives: "The user asked for the same thing after reading the content; documents about prompt injection followed by ordinary work.",
	Remediation:    "Compare the call with what the user asked for. If it was steered, undo it, and treat the source of the content as hostile; if it sent data, treat that as disclosed.",
	References: []string{
		"OWASP-MCP 2025-beta MCP06:2025 Intent Flow Subversion",
		"OWASP-LLM 2025 LLM01:2025 Prompt Injection",
		"OWASP-LLM 2026 LLM01:2026 Prompt Injection",
		"OWASP-ASI 2026 ASI01 Agent Goal Hijack",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.T0051.001 LLM Prompt Injection: Indirect",
		"MITRE-ATLAS 5.6 AML.T0053 AI Agent Tool Invocation",
		"SAFE-MCP 2026-02-01 SAFE-T1309 Privileged Tool Invocation via Prompt Manipulation",
		"SAFE-MCP 2026-02-01 SAFE-T1102 Prompt Injection",
	},
}, Config{Score: 0.5, Weak: 0.25, Calls: 8, Window: 15 * time.Minute}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one conversation.
type state struct {
	Orders []orders `json:"o,omitempty"` // oldest first
}

// orders are a result that tells the model what to do.
type orders struct {
	flow.Step
	Score   float64       `json:"sc"`
	Names   taint.Samples `json:"n,omitempty"`
	Samples taint.Samples `json:"h,omitempty"` // values and identifiers only
	Conv    string        `json:"v,omitempty"` // the conversation
	Calls   int           `json:"c,omitempty"` // in it since then
	Else    int           `json:"e,omitempty"` // in others
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if e.Kind == event.KindRequest {
		return flow.IsCall(e)
	}
	if len(e.Signals) == 0 || e.Direction != event.ServerToClient || e.Kind != event.KindResponse {
		return false
	}
	if e.Method != "tools/call" && e.Method != "resources/read" && e.Method != "prompts/get" {
		return false
	}
	_, score := content.Poison(e.Signals, d.conf.Weak)
	return score > 0
}

// most is all the capabilities that make a call matter; writes is the least of them.
const most = flow.Sends | flow.Destroys | flow.Executes | flow.Spends

func exact(k shingle.Kind) bool { return k != shingle.Run }

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if e.Kind == event.KindResponse {
		_, score := content.Poison(e.Signals, d.conf.Weak)
		o := orders{Step: flow.StepOf(c, e), Score: score, Conv: conversation(e), Samples: taint.Of(e, exact)}
		o.Names = append(o.Names, e.Names[:min(len(e.Names), taint.MaxSamples)]...)
		slices.Sort(o.Names)
		if len(s.Orders) >= maxOrders {
			s.Orders = slices.Delete(s.Orders, 0, 1)
		}
		s.Orders = append(s.Orders, o)
		return
	}
	if len(s.Orders) == 0 {
		return
	}
	s.Orders = slices.DeleteFunc(s.Orders, func(o orders) bool {
		return o.Calls >= d.conf.Calls || o.Else >= maxElse || o.At < c.Now-int64(d.conf.Window)
	})
	can := flow.Of(e)
	samples := taint.Of(e, exact)
	var worst *orders
	severity, named, dictated := "", false, 0
	conv := conversation(e)
	for i := range s.Orders {
		o := &s.Orders[i]
		same := o.Conv == conv
		if same {
			o.Calls++
		} else {
			o.Else++
		}
		if can != 0 && can&(most|flow.Writes) == 0 { // what it can do is known, and harmless
			continue
		}
		n := slices.ContainsFunc(e.Names, func(h uint64) bool { return slices.Contains(o.Names, h) })
		common := taint.Common(o.Samples, samples)
		v := common.Values + common.Identifiers
		g := d.grade(o.Score, n, v > 0, same, can)
		if g != "" && (worst == nil || engine.WorseSeverity(severity, g) != severity) {
			worst, severity, named, dictated = o, g, n, v
		}
	}
	if worst == nil {
		return
	}
	call := flow.StepOf(c, e)
	var v flow.Evidence
	v.Add(worst.Step, "brought content that gives orders to the model, score "+strconv.FormatFloat(worst.Score, 'g', 3, 64))
	what := "is called"
	if worst.Conv == conv {
		what += ", " + strconv.Itoa(worst.Calls) + " calls later"
	} else {
		what += " in another conversation"
	}
	if named {
		what += ", as the content names it"
	}
	if dictated > 0 {
		what += ", with " + strconv.Itoa(dictated) + " of its values"
	}
	v.Add(call, what)
	c.Emit(engine.Alert{
		Scope:      []string{worst.ID, e.Tool, severity},
		Severity:   severity,
		Confidence: confidence(severity),
		Summary:    flow.Who(e) + " called " + call.Where() + ", " + which(can) + ", after " + worst.Where() + " brought content that gives orders to the model.",
		EventIDs:   v.IDs, Evidence: v.Words, FirstSeen: v.First, Count: int64(len(v.IDs)),
		Why: map[string]string{
			"score": strconv.FormatFloat(worst.Score, 'g', 3, 64), "calls_later": strconv.Itoa(worst.Calls + worst.Else), "other_conversation": strconv.FormatBool(worst.Conv != conv), "named": strconv.FormatBool(named), "values_taken_over": strconv.Itoa(dictated),
			"capabilities": can.String(),
		},
	})
}

func which(can flow.Caps) string {
	if can == 0 {
		return "which nobody knows to be harmless"
	}
	return "which " + can.String()
}

func confidence(severity string) float64 {
	switch severity {
	case engine.Critical:
		return 0.9
	case engine.High:
		return 0.75
	}
	return 0.5
}

var grades = []string{"", engine.Low, engine.Medium, engine.High, engine.Critical}

// conversation is that of an event, at a bounded length; where none is known, its client and server.
func conversation(e *event.Event) string {
	if e.ConversationID == "" {
		return event.SourceID(e.ClientName, generation.Server(e))[:16]
	}
	return event.SourceID(e.ConversationID)[:16]
}

func (d *detector) grade(score float64, named, dictated, same bool, can flow.Caps) string {
	g := 0
	if named {
		g++
	}
	if dictated {
		g++
	}
	if score >= d.conf.Score {
		g += 2
	}
	if !same || can&most == 0 {
		if !named && !dictated {
			return ""
		}
		g--
	}
	if !same && can&most == 0 {
		g--
	}
	return grades[max(g, 0)]
}
