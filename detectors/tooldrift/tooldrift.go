// Package tooldrift finds tool definitions that change after they were first seen: the rug pull.
package tooldrift

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Learn is how long after a server's first list further tools are taken to belong to it: lists come in pages.
	Learn time.Duration `mapstructure:"learn"`
	// NewTools says whether a tool that was not listed before is raised.
	NewTools bool `mapstructure:"new_tools"`
	// PoisonThreshold is the score of a content signal of the list from which the change counts as an attack.
	PoisonThreshold float64 `mapstructure:"poison_threshold"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Learn < 0 {
		return errors.New("learn must not be negative")
	}
	if c.PoisonThreshold <= 0 || c.PoisonThreshold > 1 {
		return errors.New("poison_threshold must be above 0 and at most 1")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "tool_definition_drift",
	Version:    "1.0.0",
	Title:      "Tool definition changed",
	Severity:   engine.Medium,
	Confidence: 0.9,
	Key:        engine.KeyServer,
	MaxKeys:    4096,
	TTL:        90 * 24 * time.Hour,
	Sees:       "The definition hashes of every `tools/list` result, which cover name, description, annotations and schemas, and the capabilities of the tools that are called.",
	Fires: "When a server lists a tool under a definition that it has never listed before, or, after the first lists, a tool that it never listed. One finding for each list, however many tools " +
		"changed. low: only new tools. medium: a definition changed together with the version that the server claims. high: it changed while the claimed version stayed the same, or the tool " +
		"executes, destroys or sends outside. critical: inspection also found injected instructions in the list.",
	Tuning: "`new_tools: false` leaves new tools out. `learn` (default 10m) is how long a server's first lists may add tools silently. `poison_threshold` (0.5) is the score of the content signals.",
	Gaps: "What the definition was before the first list seen, a server that returns to a definition it had before, removal of tools, and what changed within the definition: a hash says that, not what. " +
		"Servers that share a configured name share a baseline. At most 1024 tools a server and 8 definitions a tool are remembered.",
	FalsePositives: "An upgrade of the server changes definitions; two versions behind one name each raise once.",
	Remediation:    "Compare the two definitions in the tool catalogue. Until someone has approved the new one, stop agents from using the tool; pin the server's version.",
	References: []string{
		"OWASP-MCP 2025-beta MCP03:2025 Tool Poisoning",
		"OWASP-MCP 2025-beta MCP04:2025 Software Supply Chain Attacks & Dependency Tampering",
		"OWASP-LLM 2025 LLM03:2025 Supply Chain",
		"OWASP-LLM 2026 LLM04:2026 Supply Chain",
		"OWASP-ASI 2026 ASI04 Agentic Supply Chain Vulnerabilities",
		"MITRE-ATLAS 5.6 AML.T0109 AI Supply Chain Rug Pull",
		"MITRE-ATLAS 5.6 AML.T0110 AI Agent Tool Poisoning",
		"SAFE-MCP 2026-02-01 SAFE-T1201 MCP Rug Pull",
	},
}, Config{Learn: 10 * time.Minute, NewTools: true, PoisonThreshold: 0.5}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// Bounds of what is remembered of a server.
const (
	maxTools  = 1024
	maxHashes = 8
	maxShown  = 20 // tools named in a finding
)

// state is the baseline of one server.
type state struct {
	First int64            `json:"first"` // event time of the first list, ns
	Tools map[string]*tool `json:"tools"` // by a hash of the name, since names are the server's to choose
}

type tool struct {
	Hashes       []string `json:"h,omitempty"` // definitions seen, oldest first, each the first 32 hex digits
	Tokens       int64    `json:"t,omitempty"` // of the last definition
	Version      string   `json:"v,omitempty"` // that the server claimed with the last definition
	Capabilities []string `json:"c,omitempty"` // as of the last call
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return len(e.ToolDefs) > 0 && e.Kind == event.KindResponse || e.Kind == event.KindRequest && e.Tool != "" && len(e.Capabilities) > 0
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if s.Tools == nil {
		s.Tools = map[string]*tool{}
	}
	if e.Kind == event.KindRequest {
		if t := s.Tools[nameKey(e.Tool)]; t != nil && !slices.Equal(t.Capabilities, e.Capabilities) {
			t.Capabilities = slices.Clone(e.Capabilities)
		}
		return
	}
	if s.First == 0 {
		s.First = max(c.Now, 1)
	}
	learning := c.Now-s.First <= int64(d.conf.Learn)

	var changes []change
	for i := range e.ToolDefs {
		def := &e.ToolDefs[i]
		hash := def.Hash[:min(len(def.Hash), 32)]
		if hash == "" {
			continue
		}
		key := nameKey(def.Name)
		t := s.Tools[key]
		if t == nil {
			if len(s.Tools) >= maxTools {
				continue
			}
			t = &tool{Hashes: []string{hash}, Tokens: def.Tokens, Version: version(e)}
			s.Tools[key] = t
			if !learning && d.conf.NewTools {
				changes = append(changes, change{name: def.Name, hash: hash, isNew: true, tokens: def.Tokens})
			}
			continue
		}
		if !slices.Contains(t.Hashes, hash) {
			changes = append(changes, change{name: def.Name, hash: hash, before: t.Hashes[len(t.Hashes)-1], tokens: def.Tokens, tokensBefore: t.Tokens,
				silent: t.Version == version(e), dangerous: dangerous(t.Capabilities)})
			t.Hashes = append(t.Hashes, hash)
			if len(t.Hashes) > maxHashes {
				t.Hashes = slices.Delete(t.Hashes, 0, 1)
			}
		}
		t.Tokens, t.Version = def.Tokens, version(e)
	}
	if len(changes) > 0 {
		d.raise(c, e, changes)
	}
}

// nameKey stands for a tool's name in the state, at a length that the server does not choose.
func nameKey(name string) string {
	if len(name) <= 32 {
		return name
	}
	return "#" + event.SourceID(name)
}

// version is what the server claims to be, at a bounded length.
func version(e *event.Event) string {
	return e.ServerClaimedVersion[:min(len(e.ServerClaimedVersion), 64)]
}

func dangerous(capabilities []string) bool {
	return slices.ContainsFunc(capabilities, func(c string) bool {
		return c == "executes" || c == "destroys" || c == "sends_outside" || c == "spends"
	})
}

type change struct {
	name, hash, before   string
	tokens, tokensBefore int64
	isNew                bool
	silent               bool // the claimed version is the same as before
	dangerous            bool
}

func (d *detector) raise(c *engine.Context, e *event.Event, changes []change) {
	slices.SortFunc(changes, func(a, b change) int {
		if a.name < b.name {
			return -1
		} else if a.name > b.name {
			return 1
		}
		return 0
	})
	poison, score := content.Poison(e.Signals, d.conf.PoisonThreshold)
	var parts, evidence []string
	severity := engine.Low
	changed := 0
	anySilent, anyDangerous := false, false
	for i, x := range changes {
		parts = append(parts, x.name, x.hash)
		line := engine.Name(x.name) + " is new"
		if !x.isNew {
			changed++
			severity = engine.WorseSeverity(severity, engine.Medium)
			if x.silent || x.dangerous {
				severity = engine.WorseSeverity(severity, engine.High)
			}
			anySilent = anySilent || x.silent
			anyDangerous = anyDangerous || x.dangerous
			line = engine.Name(x.name) + " changed from " + x.before[:min(12, len(x.before))] + " to " + x.hash[:min(12, len(x.hash))]
			if x.tokens != x.tokensBefore {
				line += ", " + strconv.FormatInt(x.tokensBefore, 10) + " to " + strconv.FormatInt(x.tokens, 10) + " tokens"
			}
		}
		if i < maxShown {
			evidence = append(evidence, line)
		}
	}
	if poison != "" {
		severity = engine.High
		if changed > 0 {
			severity = engine.Critical
		}
	}
	title, what := "Tool definition changed", "changed the definition of "+count(changed, "tool")
	switch fresh := len(changes) - changed; {
	case changed == 0:
		title, what = "New tool on a known server", "listed "+count(fresh, "new tool")
	case fresh > 0:
		what += " and listed " + count(fresh, "new tool")
	}
	why := map[string]string{
		"changed":         strconv.Itoa(changed),
		"new":             strconv.Itoa(len(changes) - changed),
		"claimed_version": engine.Name(version(e)),
	}
	if changed > 0 {
		why["version_unchanged"] = strconv.FormatBool(anySilent)
		why["dangerous_tool"] = strconv.FormatBool(anyDangerous)
	}
	if poison != "" {
		why["signal"] = poison
		why["score"] = strconv.FormatFloat(score, 'g', 3, 64)
	}
	a := engine.Alert{
		Scope:    []string{event.SourceID(parts...)},
		Title:    title,
		Severity: severity,
		Summary:  "Server " + engine.Name(e.Server) + " " + what + ": " + engine.Name(changes[0].name) + more(len(changes)-1) + ".",
		Evidence: evidence,
		Why:      why,
		Count:    int64(len(changes)),
	}
	if len(changes) == 1 {
		a.Tool = changes[0].name
	}
	c.Emit(a)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return " and " + strconv.Itoa(n) + " more"
}
