// Package shadowing finds tools that stand in for another server's: one name on two servers that one agent uses, and definitions that speak
// of another server's tools.
package shadowing

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/tooldef"
)

// Config of the detector.
type Config struct {
	// Together is how long apart two servers may list their tools to count as used together.
	Together time.Duration `mapstructure:"together"`
	// IgnoreTools are names that several servers may offer without being raised.
	IgnoreTools []string `mapstructure:"ignore_tools"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Together <= 0 {
		return errors.New("together must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "tool_shadowing",
	Version:    "1.0.0",
	Title:      "Tool that stands in for another server's",
	Severity:   engine.Low,
	Confidence: 0.75,
	Key:        engine.KeyPrincipal,
	MaxKeys:    16384,
	TTL:        7 * 24 * time.Hour,
	Sees:       "The `tools/list` results that one principal's clients get from different servers: names and hashes of the definitions, their content signals, and the names of tools that their texts mention, redacted.",
	Fires: "When a principal's servers, listed within `together` of each other, get in each other's way; once for each pair of servers and name.\n\n" +
		"| severity | when |\n|---|---|\n" +
		"| high | a definition mentions another server's tool by name and itself has content signals of steering (instructions, sequencing, hiding, preference) |\n" +
		"| medium | a tool's name differs from another server's only by characters that look alike (`send_email`, `send_emaiI`); two servers offer one name, and one of the definitions has content signals of steering |\n" +
		"| low | two servers offer a tool of the same name, however its words are joined (`send_email`, `sendEmail`); a definition mentions another server's tool by its name |\n\n" +
		"A definition that is the same on both servers is one server under two names, and is not raised.",
	Tuning: "`together` (default 24h), `ignore_tools` for names that are everywhere; `search`, `fetch`, `query` and a few others are ignored as they are.",
	Gaps: "Clients that put the server's name before a tool's (`github__create_issue`) are not confused by equal names; the finding does not know the client's habits. Names of fewer than four letters, and mentions that are ordinary words. " +
		"At most 16 servers and 2048 tools a principal are remembered.",
	FalsePositives: "Two servers of one product, two versions side by side, and documentation that compares tools. Low findings are an inventory of what could go wrong.",
	Remediation:    "Find out which of the two servers the agent meant. Remove the one that is not needed, or let the client put server names before tools' names.",
	References: []string{
		"OWASP-MCP 2025-beta MCP03:2025 Tool Poisoning",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"OWASP-ASI 2026 ASI04 Agentic Supply Chain Vulnerabilities",
		"MITRE-ATLAS 5.6 AML.T0110 AI Agent Tool Poisoning",
		"SAFE-MCP 2026-02-01 SAFE-T1004 Server Impersonation/Name-Collision",
	},
}, Config{Together: 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// Bounds of what is remembered of a principal.
const (
	maxServers  = 16
	maxTools    = 256 // a server
	maxMentions = 512 // a server
	maxName     = 64
	maxRaised   = 8 // findings of one list
)

// common are names that say nothing about whose tool it is.
var common = []string{"search", "fetch", "query", "list", "read", "write", "get", "help", "ping", "echo", "health", "status", "version", "info", "execute", "run", "add", "open", "close", "delete", "update", "create", "time"}

// steering are signals of a definition that wants to decide which tool is called, or what else happens.
var steering = []struct {
	signal string
	from   float64
}{{"injection", 0.4}, {"sequencing", 0.4}, {"preference", 0.5}, {"conceal", 0.3}, {"override", 0.4}, {"hidden_text", 0.4}}

type state struct {
	Servers map[string]*server `json:"servers,omitempty"`
}

type server struct {
	Seen     int64             `json:"s"`           // the latest list, ns
	Tools    map[string]*tool  `json:"t,omitempty"` // by name
	Mentions map[string]string `json:"m,omitempty"` // names that definitions mention, by the first tool that does
}

type tool struct {
	Hash   string `json:"h"`
	Plain  string `json:"p"` // the name as letters only
	Steers string `json:"w,omitempty"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return len(e.ToolDefs) > 0 && e.Kind == event.KindResponse && e.Server != "" && len(e.Server) <= 256
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	own := s.server(e.Server, c.Now, int64(d.conf.Together))
	facts := tooldef.Parse(e.Body)
	raised := 0
	for i := range e.ToolDefs {
		def := &e.ToolDefs[i]
		if def.Name == "" || len(def.Name) > maxName {
			continue
		}
		t := own.Tools[def.Name]
		if t == nil {
			if len(own.Tools) >= maxTools {
				continue
			}
			t = &tool{Plain: plain(def.Name)}
			own.Tools[def.Name] = t
		}
		t.Hash, t.Steers = def.Hash[:min(len(def.Hash), 32)], steers(def)
		for _, n := range facts[def.Name].Names {
			if _, ok := own.Mentions[n]; !ok && len(own.Mentions) < maxMentions {
				own.Mentions[n] = def.Name
			}
		}
	}
	for _, name := range sortedKeys(s.Servers) {
		other := s.Servers[name]
		if other == own || c.Now-other.Seen > int64(d.conf.Together) {
			continue
		}
		raised += d.collide(c, e, own, name, other, maxRaised-raised)
		raised += d.mentions(c, e, own, e.Server, name, other, maxRaised-raised)
		raised += d.mentions(c, e, other, name, e.Server, own, maxRaised-raised)
	}
}

// collide raises tools of own that other has too, by the same name or one that looks like it.
func (d *detector) collide(c *engine.Context, e *event.Event, own *server, name string, other *server, limit int) (raised int) {
	if limit <= 0 {
		return 0
	}
	same, near, different := sharing(own, other)
	if same > 0 && same >= different { // one server under two names
		return 0
	}
	for _, n := range near {
		x, y := own.Tools[n[0]], other.Tools[n[1]]
		if d.ignored(n[0]) || x.Hash == y.Hash {
			continue
		}
		severity, what := engine.Low, "is offered by"
		steers := x.Steers
		if steers == "" {
			steers = y.Steers
		}
		if n[0] != n[1] {
			what = "is nearly " + engine.Name(n[1]) + " of"
			if styled(n[0]) != styled(n[1]) { // not only in how words are joined
				severity = engine.Medium
			}
		}
		if steers != "" {
			severity = engine.Medium
		}
		pair := []string{e.Server, name}
		slices.Sort(pair)
		c.Emit(engine.Alert{
			Scope: []string{"name", pair[0], pair[1], plain(n[0])}, Title: "One tool name on two servers", Severity: severity, Tool: n[0],
			Summary: "Tool " + engine.Name(n[0]) + " of server " + engine.Name(e.Server) + " " + what + " server " + engine.Name(name) + " too; " + engine.Name(e.PrincipalID) + " uses both.",
			Why:     map[string]string{"other_server": engine.Name(name), "other_tool": engine.Name(n[1]), "signal": steers, "shared_names": strconv.Itoa(different)},
		})
		if raised++; raised >= limit {
			break
		}
	}
	return raised
}

// mentions raises definitions of from that name tools of to.
func (d *detector) mentions(c *engine.Context, e *event.Event, from *server, fromName, toName string, to *server, limit int) (raised int) {
	for _, n := range sortedKeys(from.Mentions) {
		by := from.Mentions[n]
		if raised >= limit {
			break
		}
		if to.Tools[n] == nil || from.Tools[n] != nil || d.ignored(n) || from.Tools[by] == nil {
			continue
		}
		severity := engine.Low
		steers := from.Tools[by].Steers
		if steers != "" {
			severity = engine.High
		}
		c.Emit(engine.Alert{
			Scope: []string{"mention", fromName, by, toName, n}, Title: "Definition that speaks of another server's tool", Severity: severity, Tool: by,
			Summary: "The definition of " + engine.Name(by) + " of server " + engine.Name(fromName) + " mentions " + engine.Name(n) + ", a tool of server " + engine.Name(toName) + "; " + engine.Name(e.PrincipalID) + " uses both.",
			Why:     map[string]string{"server": engine.Name(fromName), "other_server": engine.Name(toName), "mentions": engine.Name(n), "signal": steers},
		})
		raised++
	}
	return raised
}

// sharing counts the names that both servers have, under the same and under different definitions, and lists pairs of names that are equal
// or look alike.
func sharing(a, b *server) (same int, near [][2]string, different int) {
	byPlain := map[string]string{}
	for _, n := range sortedKeys(b.Tools) {
		if p := b.Tools[n].Plain; len(p) >= 4 {
			byPlain[p] = n
		}
	}
	for _, n := range sortedKeys(a.Tools) {
		m := n
		if b.Tools[n] == nil {
			m = byPlain[a.Tools[n].Plain]
		}
		if m == "" || len(a.Tools[n].Plain) < 4 {
			continue
		}
		if a.Tools[n].Hash == b.Tools[m].Hash {
			same++
		} else {
			different++
		}
		near = append(near, [2]string{n, m})
	}
	return same, near, different
}

func (d *detector) ignored(name string) bool {
	return slices.Contains(common, strings.ToLower(name)) || slices.Contains(d.conf.IgnoreTools, name)
}

// server is the state of one, the least recently listed giving way.
func (s *state) server(name string, now, together int64) *server {
	if s.Servers == nil {
		s.Servers = map[string]*server{}
	}
	x := s.Servers[name]
	if x == nil || now-x.Seen > together { // what it listed long ago it may no longer have
		if x == nil && len(s.Servers) >= maxServers {
			oldest := ""
			for _, n := range sortedKeys(s.Servers) {
				if oldest == "" || s.Servers[n].Seen < s.Servers[oldest].Seen {
					oldest = n
				}
			}
			delete(s.Servers, oldest)
		}
		x = &server{}
		s.Servers[name] = x
	}
	if x.Tools == nil {
		x.Tools = map[string]*tool{}
	}
	if x.Mentions == nil {
		x.Mentions = map[string]string{}
	}
	x.Seen = max(x.Seen, now)
	return x
}

func steers(def *event.ToolDef) string {
	for _, s := range steering {
		if def.Signals[s.signal] >= s.from {
			return s.signal
		}
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
