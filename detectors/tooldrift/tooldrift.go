// Package tooldrift finds tool definitions that change after they were first seen: the rug pull.
package tooldrift

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Learn is how long after a server's first list further tools are taken to belong to it: lists come in pages.
	Learn time.Duration `mapstructure:"learn"`
	// NewTools says whether a tool that was not listed before is raised.
	NewTools bool `mapstructure:"new_tools"`
	// GoneAfter is how long a tool must be missing from a server's lists, while the server keeps listing, to count as removed.
	GoneAfter time.Duration `mapstructure:"gone_after"`
	// PoisonThreshold is the score of a content signal of the list from which the change counts as an attack.
	PoisonThreshold float64 `mapstructure:"poison_threshold"`
	// Rise is by how much another content signal must exceed all that the server's lists showed before.
	Rise float64 `mapstructure:"rise"`
	// Growth is how many tokens a definition must grow by, and to half as much again at least, to count as rewritten.
	Growth int64 `mapstructure:"growth"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Learn < 0 {
		return errors.New("learn must not be negative")
	}
	if c.GoneAfter < time.Hour {
		return errors.New("gone_after must be at least 1h")
	}
	if c.PoisonThreshold <= 0 || c.PoisonThreshold > 1 || c.Rise <= 0 || c.Rise > 1 {
		return errors.New("poison_threshold and rise must be above 0 and at most 1")
	}
	if c.Growth < 1 {
		return errors.New("growth must be at least 1")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "tool_definition_drift",
	Version:    "3.1.0",
	Title:      "Tool definition changed",
	Severity:   engine.Low,
	Confidence: 0.9,
	Key:        engine.KeyServer,
	MaxKeys:    4096,
	TTL:        90 * 24 * time.Hour,
	Sees: "Of every `tools/list` result: the definition hashes, which cover name, description, annotations and schemas, the token counts, and of each definition the content signals, the capabilities, the hints of its " +
		"annotations, its description's first verb and its telling arguments; the capabilities of the tools that are called; and who approved what (`mcpsiem approve`).",
	Fires: "When a server lists a tool under a definition that it has never listed before, or, after the first lists, a tool that it never listed. One finding for each list, however many tools changed. The grade says what the " +
		"new definition means, compared with all earlier ones of the same tool.\n\n" +
		"| severity | when |\n|---|---|\n" +
		"| critical | a definition changed, and inspection finds instructions to the model in the new one, more of them than before |\n" +
		"| high | a new tool has such instructions, more than any earlier list of the server; a changed definition shows a content signal that speaks of hiding, stealing or running code, or is taken for poisoned by the text scorer; it gains a capability (executes, sends outside, destroys) " +
		"and shows it by a new argument for commands, addresses or recipients, by its verb or by its hints; a new tool executes or destroys on a server none of whose tools wrote, sent, executed or destroyed anything |\n" +
		"| medium | another content signal of steering rose; a new tool brings a dangerous capability that no tool of the server had; a tool that said it only reads does so no longer, or begins to destroy; a changed definition says that it only reads while its verb " +
		"or arguments say otherwise, or that it only reads where it always destroyed |\n" +
		"| low | any other change of a definition, however long; new tools; one name for several different definitions in one list, which is no change but lets one tool stand in for another |\n" +
		"| informational | a definition that the server had listed before came back (once for each); tools that are no longer listed; the same definition twice in one list |\n\n" +
		"A definition that was approved before it was listed is not raised at all. Where definitions carry no signals and capabilities of their own, those of the whole list are compared.",
	Tuning: "`new_tools: false` leaves new tools out. `learn` (default 10m) is how long a server's first lists may add tools silently; a list that repeats tools to the conversation that got the one before it may not. `gone_after` (7 days). `poison_threshold` (0.5) is the score of the signals injection, hidden_text and " +
		"exfil_link, `rise` (0.2) by how much the other signals must exceed earlier definitions; `growth` (60 tokens) from when a longer definition is called rewritten. To see every change, alert on low; to allow only what somebody looked at, " +
		"see unapproved_server.",
	Gaps: "What the definition was before the first list seen. A change of a few words that no content signal recognises is low, whether it corrects a typo or turns the meaning round: one that inverts a default or adds a harmless-looking parameter looks like " +
		"any upgrade, and so does a capability that only the wording claims. " +
		"Whether the tools of a list differ by user: those that some users never see count as removed only when nobody is shown them. Servers that share a configured name share a baseline. " +
		"At most 1024 tools a server and 8 definitions a tool are remembered.",
	FalsePositives: "An upgrade of the server changes definitions; two versions behind one name each raise once. A release that really adds a tool that deletes or executes is medium or high because somebody should know.",
	Remediation:    "Compare the two definitions in the tool catalogue. From medium on, stop agents from using the tool until someone has approved the new one (`mcpsiem approve`); pin the server's version.",
	References: []string{
		"OWASP-MCP 2025-beta MCP03:2025 Tool Poisoning",
		"OWASP-MCP 2025-beta MCP04:2025 Software Supply Chain Attacks & Dependency Tampering",
		"OWASP-LLM 2025 LLM03:2025 Supply Chain",
		"OWASP-LLM 2026 LLM04:2026 Supply Chain",
		"OWASP-ASI 2026 ASI04 Agentic Supply Chain Vulnerabilities",
		"MITRE-ATLAS 5.6 AML.T0109 AI Supply Chain Rug Pull",
		"MITRE-ATLAS 5.6 AML.T0110 AI Agent Tool Poisoning",
		"SAFE-MCP 2026-02-01 SAFE-T1201 MCP Rug Pull",
		"SAFE-MCP 2026-02-01 SAFE-T1004 Server Impersonation/Name-Collision",
	},
}, Config{Learn: 10 * time.Minute, NewTools: true, GoneAfter: 7 * 24 * time.Hour, PoisonThreshold: 0.5, Rise: 0.2, Growth: 60}, func(c Config) (engine.Detector[state], error) {
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
	First   int64              `json:"first"`             // event time of the first list, ns
	Last    int64              `json:"last,omitempty"`    // and of the latest
	Since   int64              `json:"since,omitempty"`   // start of the time in which lists followed each other closely enough to miss a tool, ns
	Tools   map[string]*tool   `json:"tools"`             // by a hash of the name, since names are the server's to choose
	Signals map[string]float64 `json:"signals,omitempty"` // highest scores of the watched signals in any list
	Caps    []string           `json:"caps,omitempty"`    // dangerous capabilities that any list showed
	Acts    bool               `json:"acts,omitempty"`    // a tool wrote, sent, executed, destroyed or spent
	Conv    string             `json:"conv,omitempty"`    // the conversation of the latest list

	Approved map[string][]string `json:"approved,omitempty"` // definitions that somebody approved, by nameKey
}

type tool struct {
	Hashes       []string `json:"h,omitempty"` // definitions seen, oldest first, each the first 32 hex digits
	Current      string   `json:"n,omitempty"` // the one listed last; empty: the last of Hashes
	Tokens       int64    `json:"t,omitempty"` // of the last definition
	Version      string   `json:"v,omitempty"` // that the server claimed with the last definition
	Capabilities []string `json:"c,omitempty"` // as of the last call
	Seen         int64    `json:"s,omitempty"` // when it was last listed, ns
	Name         string   `json:"m,omitempty"` // for people, at a bounded length
	Gone         bool     `json:"g,omitempty"` // raised as no longer listed

	Signals map[string]float64 `json:"w,omitempty"` // highest scores of the watched signals in any definition
	Can     []string           `json:"p,omitempty"` // what any definition could do
	Facts   *facts             `json:"f,omitempty"` // of the last definition; nil where it was not to be read
}

func (t *tool) current() string {
	if t.Current != "" {
		return t.Current
	}
	return t.Hashes[len(t.Hashes)-1]
}

// add remembers a definition; the oldest is forgotten when there are too many.
func (t *tool) add(hash string) {
	t.Hashes = append(t.Hashes, hash)
	if len(t.Hashes) > maxHashes {
		t.Hashes = slices.Delete(t.Hashes, 0, 1)
	}
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return len(e.ToolDefs) > 0 && e.Kind == event.KindResponse || e.Kind == event.KindRequest && e.Tool != "" && len(e.Capabilities) > 0 || e.AuditAction != "" && approval(e)
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if s.Tools == nil {
		s.Tools = map[string]*tool{}
	}
	if e.AuditAction != "" {
		s.approve(e)
		return
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
	if s.Last == 0 || c.Now-s.Last > int64(d.conf.GoneAfter)/2 {
		s.Since = c.Now
	}
	s.Last = max(s.Last, c.Now)
	learning := c.Now-s.First <= int64(d.conf.Learn) && !s.again(e)
	known := len(s.Tools) > 0 // before this list
	list := d.learn(e, s, known)

	var changes, returns []change
	type place struct{ first, last int } // of a name in the list
	var names = make(map[string]place, min(len(e.ToolDefs), maxTools))
	double := map[string]bool{} // names listed more than once: with different definitions
	for i := range e.ToolDefs {
		def := &e.ToolDefs[i]
		hash := short(def.Hash)
		if hash == "" {
			continue
		}
		key := nameKey(def.Name)
		at, again := names[key]
		if again {
			differs := hash != short(e.ToolDefs[at.last].Hash)
			double[key] = double[key] || differs
			names[key] = place{at.first, i}
			if !differs {
				continue
			}
		} else if len(names) < maxTools {
			names[key] = place{i, i}
		}
		t := s.Tools[key]
		approved := slices.Contains(s.Approved[key], hash)
		if t == nil {
			if len(s.Tools) >= maxTools {
				continue
			}
			t = &tool{Hashes: []string{hash}, Name: engine.Name(def.Name)}
			s.Tools[key] = t
			x := change{name: def.Name, hash: hash, isNew: true, tokens: def.Tokens}
			d.meaning(&x, t, def, &list)
			if !learning && d.conf.NewTools && !approved {
				changes = append(changes, x)
			}
		} else if !slices.Contains(t.Hashes, hash) {
			x := change{name: def.Name, hash: hash, before: t.current(), tokens: def.Tokens, tokensBefore: t.Tokens, silent: t.Version == version(e), dangerous: dangerous(t.Capabilities)}
			d.meaning(&x, t, def, &list)
			// A second definition of a name that was unknown before this list is a collision, not a change.
			if fresh := again && t.Seen == 0; !fresh && !approved {
				changes = append(changes, x)
			}
			t.add(hash)
		} else if !again && hash != t.current() && !approved {
			returns = append(returns, change{name: def.Name, hash: hash, before: t.current(), tokens: def.Tokens, tokensBefore: t.Tokens})
		}
		t.Current, t.Tokens, t.Version = hash, def.Tokens, version(e)
	}
	for key := range names {
		if t := s.Tools[key]; t != nil {
			t.Seen, t.Gone = max(t.Seen, c.Now, 1), false
			if double[key] {
				returns = slices.DeleteFunc(returns, func(x change) bool { return nameKey(x.name) == key })
			}
		}
	}
	s.settle(e)
	if len(changes) > 0 {
		d.raise(c, e, changes, list.risen())
	}
	d.raiseReturns(c, e, returns)
	var twice []change
	for key, at := range names {
		if at.first != at.last {
			twice = append(twice, change{name: e.ToolDefs[at.first].Name, hash: short(e.ToolDefs[at.last].Hash), before: short(e.ToolDefs[at.first].Hash), silent: !double[key]})
		}
	}
	d.raiseCollisions(c, e, twice)
	d.raiseGone(c, e, s)
}

// again says that the conversation that got the latest list gets one that repeats tools of it: no further page, and no other user's list.
func (s *state) again(e *event.Event) bool {
	conv := ""
	if e.ConversationID != "" {
		conv = event.SourceID(e.ConversationID)[:16]
	}
	same := conv != "" && conv == s.Conv
	s.Conv = conv
	return same && slices.ContainsFunc(e.ToolDefs, func(t event.ToolDef) bool { return s.Tools[nameKey(t.Name)] != nil })
}

// short is as much of a definition's hash as is remembered.
func short(hash string) string { return hash[:min(len(hash), 32)] }

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

func dangerous(capabilities []string) bool { return slices.ContainsFunc(capabilities, isDangerous) }

func isDangerous(c string) bool {
	return c == "executes" || c == "destroys" || c == "sends_outside" || c == "spends"
}

type change struct {
	name, hash, before   string
	tokens, tokensBefore int64
	isNew                bool
	silent               bool // the claimed version is the same as before
	dangerous            bool
	risen                // what this definition shows beyond the tool's earlier ones
}

func byName(a, b change) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(a.hash, b.hash)
}

func (d *detector) raise(c *engine.Context, e *event.Event, changes []change, listed risen) {
	rose := listed
	slices.SortFunc(changes, byName)
	var parts, evidence []string
	severity := engine.Low
	changed := 0
	anySilent, anyDangerous, anyGrown := false, false, false
	for i, x := range changes {
		parts = append(parts, x.name, x.hash)
		line := engine.Name(x.name) + " is new"
		if !x.isNew {
			changed++
			grown := x.silent && x.tokens-x.tokensBefore >= d.conf.Growth && x.tokens >= x.tokensBefore+x.tokensBefore/2
			anySilent = anySilent || x.silent
			anyDangerous = anyDangerous || x.dangerous
			anyGrown = anyGrown || grown
			line = changeLine(x, "changed")
		}
		line += x.says()
		severity = engine.WorseSeverity(severity, x.grade())
		rose.merge(x.risen)
		if i < maxShown {
			evidence = append(evidence, line)
		}
	}
	list := change{isNew: changed == 0, risen: listed}
	severity = engine.WorseSeverity(severity, list.grade())
	if len(listed.caps) > 0 {
		gain := engine.High // by a definition that changed
		if changed < len(changes) {
			gain = engine.Medium // by a new tool, as any release may bring
		}
		severity = engine.WorseSeverity(severity, gain)
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
		why["rewritten"] = strconv.FormatBool(anyGrown)
	}
	if len(rose.caps) > 0 {
		why["capabilities_gained"] = strings.Join(rose.caps, ", ")
	}
	if len(rose.turned) > 0 {
		why["turned"] = strings.Join(rose.turned, ", ")
	}
	if len(rose.names) > 0 {
		why["signals_risen"] = strings.Join(rose.names, ", ")
	}
	if rose.poison != "" {
		why["signal"] = rose.poison
		why["score"] = strconv.FormatFloat(rose.score, 'g', 3, 64)
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

func changeLine(x change, verb string) string {
	line := engine.Name(x.name) + " " + verb + " from " + x.before[:min(12, len(x.before))] + " to " + x.hash[:min(12, len(x.hash))]
	if x.tokens != x.tokensBefore {
		line += ", " + strconv.FormatInt(x.tokensBefore, 10) + " to " + strconv.FormatInt(x.tokens, 10) + " tokens"
	}
	return line
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
