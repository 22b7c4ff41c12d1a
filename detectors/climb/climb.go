// Package climb finds principals that are refused and then get what they want another way, and readers that begin to administer.
package climb

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

// Config of the detector.
type Config struct {
	// Window is how long after a refusal another way counts.
	Window time.Duration `mapstructure:"window"`
	// Reads is how many calls that only read make a reader.
	Reads int `mapstructure:"reads"`
	// Learn is how long it must have only read.
	Learn time.Duration `mapstructure:"learn"`
	// Repeat is after how long the same is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 || c.Learn <= 0 || c.Repeat <= 0 {
		return errors.New("window, learn and repeat must be above 0")
	}
	if c.Reads < 1 {
		return errors.New("reads must be at least 1")
	}
	return nil
}

// Bounds of what is remembered of a principal.
const (
	maxDenials = 8
	maxTools   = 256
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "privilege_climb",
	Version:    "1.0.0",
	Title:      "Refused, then done another way",
	Severity:   engine.Medium,
	Confidence: 0.5,
	Key:        engine.KeyPrincipal,
	MaxKeys:    32768,
	TTL:        30 * 24 * time.Hour,
	Sees: "Refused calls (authorization decision denied or insufficient_scope, HTTP 403) and successful results of one principal (where nobody is known: credential, OS user or address), with the power of the tools: reads, then changes and sends, then deletes, executes and spends, then administers " +
		"(its name speaks of administrators, roles, permissions, policies, grants, tokens or keys, and it acts).",
	Fires: "| kind | what | severity |\n|---|---|---|\n" +
		"| around | within `window` of a refusal, the principal succeeds with another tool of the same server that is as powerful or more, that it had not used before, and that does more than read | medium, high if that tool executes or administers |\n" +
		"| other_credential | within `window` of a refusal that no larger scope would have changed, the same tool succeeds with another credential | medium |\n" +
		"| first_power | a principal that did nothing but read, in at least `reads` calls over `learn`, succeeds with a tool that administers; or one that deletes, executes or spends | medium; low |\n\nEach at most once in `repeat` for each tool.",
	Tuning:         "`window` (default 30m), `reads` (100), `learn` (3 days), `repeat` (24h).",
	Gaps:           "Refusals that servers give as an ordinary result or a tool's error. Power that a tool's name and definition do not show. Several principals of one person.",
	FalsePositives: "A new task, a new role, a fallback that is meant (an agent that may not merge and opens a request instead).",
	Remediation:    "Look at what was refused and what was done instead. If the second way should not be open, close it; if the agent looks for ways around, suspend its credential.",
	References: []string{
		"OWASP-MCP 2025-beta MCP02:2025 Privilege Escalation via Scope Creep",
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"OWASP-ASI 2026 ASI10 Rogue Agents",
		"MITRE-ATLAS 5.6 AML.TA0012 Privilege Escalation",
		"MITRE-ATLAS 5.6 AML.T0053 AI Agent Tool Invocation",
		"MITRE-ATLAS 5.6 AML.T0091.000 Use Alternate Authentication Material: Application Access Token",
		"SAFE-MCP 2026-02-01 SAFE-T1302 High-Privilege Tool Abuse",
		"SAFE-MCP 2026-02-01 SAFE-T1104 Over-Privileged Tool Abuse",
	},
}, Config{Window: 30 * time.Minute, Reads: 100, Learn: 72 * time.Hour, Repeat: 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// power of a tool; more is worse.
type power uint8

const (
	reads power = iota
	changes
	harms
	administers
)

var powerNames = [...]string{"reads", "changes", "deletes, executes or spends", "administers"}

// state of one principal.
type state struct {
	Since   int64                `json:"f,omitempty"` // the first success, ns
	Reads   int                  `json:"r,omitempty"`
	Most    power                `json:"m,omitempty"` // of the tools that succeeded
	Used    generation.Map[bool] `json:"u,omitzero"`  // tools that succeeded
	Denials []denial             `json:"d,omitempty"` // oldest first
}

// denial is a call that was refused.
type denial struct {
	flow.Step
	Power      power  `json:"w,omitempty"`
	Decision   string `json:"y,omitempty"`
	Credential string `json:"c,omitempty"`
}

type detector struct{ conf Config }

func refused(e *event.Event) bool {
	return e.AuthDecision == "denied" || e.AuthDecision == "insufficient_scope" || e.HTTPStatus == 403
}

func (d *detector) Wants(e *event.Event) bool {
	if e.Method != "tools/call" {
		return false
	}
	return e.Kind == event.KindResponse || e.Kind != event.KindRequest && refused(e)
}

// words of tools that administer.
var words = []string{"admin", "administrator", "sudo", "root", "role", "roles", "permission", "permissions", "acl", "iam", "policy", "policies", "grant", "privilege", "privileges", "impersonate", "token", "tokens", "apikey", "credential", "credentials", "owner"}

func powerOf(e *event.Event) power {
	can := flow.Of(e)
	switch {
	case can&(flow.Writes|flow.Sends|flow.Destroys|flow.Executes|flow.Spends) == 0:
		return reads
	case hasWord(e.Tool):
		return administers
	case can&(flow.Destroys|flow.Executes|flow.Spends) != 0:
		return harms
	}
	return changes
}

// hasWord says whether one of the name's words, in whatever style it is joined, is one of words.
func hasWord(name string) bool {
	name = name[:min(len(name), 128)]
	start := 0
	is := func(end int) bool {
		for _, w := range words {
			if len(w) == end-start && equalFold(name[start:end], w) {
				return true
			}
		}
		return false
	}
	for i := range len(name) {
		switch b := name[i]; {
		case b >= 'A' && b <= 'Z':
			if i > start && (name[i-1] < 'A' || name[i-1] > 'Z') {
				if is(i) {
					return true
				}
				start = i
			}
		case b >= 'a' && b <= 'z' || b >= '0' && b <= '9':
		default:
			if is(i) {
				return true
			}
			start = i + 1
		}
	}
	return is(len(name))
}

// equalFold compares with a word in lower case.
func equalFold(s, low string) bool {
	for i := range len(s) {
		b := s[i]
		if b >= 'A' && b <= 'Z' {
			b |= 0x20
		}
		if b != low[i] {
			return false
		}
	}
	return true
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	step := flow.StepOf(c, e)
	p := powerOf(e)
	if refused(e) {
		if len(s.Denials) >= maxDenials {
			s.Denials = slices.Delete(s.Denials, 0, 1)
		}
		decision := e.AuthDecision
		if decision == "" {
			decision = "denied"
		}
		s.Denials = append(s.Denials, denial{step, p, flow.Clip(decision), flow.Clip(e.TokenFingerprint)})
		return
	}
	if e.Outcome == event.OutcomeToolError || e.Outcome == event.OutcomeRPCError {
		return
	}
	if s.Since == 0 {
		s.Since = c.Now
	}
	hash := generation.Hash(step.Server, step.Tool)
	_, used := s.Used.Get(hash, maxTools)
	if !used {
		s.Used.Put(hash, true, maxTools)
	}
	d.around(c, e, s, step, p, used)
	if p >= harms && s.Most == reads && s.Reads >= d.conf.Reads && c.Now-s.Since >= int64(d.conf.Learn) {
		severity := engine.Low
		if p == administers {
			severity = engine.Medium
		}
		c.Emit(engine.Alert{
			Scope: []string{"first_power", step.Server, step.Tool}, Window: d.conf.Repeat, Severity: severity, Title: "A reader begins to act",
			Summary:  flow.Who(e) + ", which had only read until now, used " + step.Where() + ", which " + powerNames[p] + ".",
			Evidence: []string{step.Text("the first call that " + powerNames[p])},
			Why:      map[string]string{"kind": "first_power", "reads": strconv.Itoa(s.Reads), "days": strconv.FormatInt((c.Now-s.Since)/int64(24*time.Hour), 10), "power": powerNames[p]},
		})
	}
	s.Most = max(s.Most, p)
	if p == reads {
		s.Reads++
	}
}

// around judges a success by the refusals before it.
func (d *detector) around(c *engine.Context, e *event.Event, s *state, step flow.Step, p power, used bool) {
	if len(s.Denials) == 0 {
		return
	}
	s.Denials = slices.DeleteFunc(s.Denials, func(x denial) bool { return x.At < c.Now-int64(d.conf.Window) })
	for i := len(s.Denials) - 1; i >= 0; i-- {
		x := s.Denials[i]
		if x.Server != step.Server || x.At > c.Now {
			continue
		}
		kind, severity := "", engine.Medium
		switch {
		case x.Tool == step.Tool:
			if x.Decision == "denied" && e.TokenFingerprint != "" && x.Credential != "" && flow.Clip(e.TokenFingerprint) != x.Credential {
				kind = "other_credential"
			}
		case !used && p > reads && p >= x.Power:
			kind = "around"
			if p == administers || flow.Of(e)&flow.Executes != 0 {
				severity = engine.High
			}
		}
		if kind == "" {
			continue
		}
		var v flow.Evidence
		v.Add(x.Step, "refused: "+engine.Name(x.Decision))
		what := "succeeds; it " + powerNames[p]
		if kind == "other_credential" {
			what = "succeeds with another credential"
		}
		v.Add(step, what)
		title := "Refused, then done with another tool"
		if kind == "other_credential" {
			title = "Refused, then done with another credential"
		}
		c.Emit(engine.Alert{
			Scope: []string{kind, step.Server, x.Tool, step.Tool}, Window: d.conf.Repeat, Severity: severity, Title: title,
			Summary:  flow.Who(e) + " was refused " + x.Where() + " and then " + what + ": " + step.Where() + ".",
			EventIDs: v.IDs, Evidence: v.Words, FirstSeen: v.First, Count: 2,
			Why: map[string]string{"kind": kind, "decision": x.Decision, "refused": engine.Name(x.Tool), "power_refused": powerNames[x.Power], "power": powerNames[p],
				"seconds": strconv.FormatInt((c.Now-x.At)/int64(time.Second), 10)},
		})
		s.Denials = slices.Delete(s.Denials, i, i+1)
		return
	}
}
