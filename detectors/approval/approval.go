// Package approval finds servers and tool definitions that nobody approved, and servers that nobody knew of.
package approval

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Mode says when what nobody approved is raised: off, auto (from a tenant's first approval on) or strict (always).
	Mode string `mapstructure:"mode"`
	// Servers are names of servers that count as approved without a record, as globs: those of a configuration that is reviewed elsewhere. Their
	// definitions are not judged.
	Servers []string `mapstructure:"servers"`
	// NewServers says whether, while no allow-list is on, a server that a tenant never used before is raised.
	NewServers bool `mapstructure:"new_servers"`
	// Learn is how long after a tenant's first event servers may appear without being raised as new.
	Learn time.Duration `mapstructure:"learn"`
	// Window is how long an unapproved server or definition is part of one finding.
	Window time.Duration `mapstructure:"window"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	switch c.Mode {
	case "off", "auto", "strict":
	default:
		return errors.New("mode must be off, auto or strict")
	}
	for _, g := range c.Servers {
		if _, err := path.Match(g, ""); err != nil {
			return errors.New("servers: a name is no pattern; see path.Match of Go")
		}
	}
	if c.Learn < 0 || c.Window <= 0 {
		return errors.New("learn must not be negative, and window must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "unapproved_server",
	Version:    "1.0.0",
	Title:      "Server that nobody approved",
	Severity:   engine.Medium,
	Confidence: 0.95,
	Key:        engine.KeyTenant,
	MaxKeys:    4096,
	TTL:        10 * 365 * 24 * time.Hour,
	Sees:       "The server of every message, the hashes of all definitions on `tools/list` results, and the records server.approve and server.revoke that `mcpsiem approve` writes into the audit trail.",
	Fires: "From a tenant's first approval on (`mode: auto`), or always (`mode: strict`); once in `window` for each:\n\n" +
		"| severity | when |\n|---|---|\n" +
		"| medium | a message of a server that is neither approved nor known; an approved server lists a tool under another definition than the approved ones; a tool is called that is not approved, on a server whose tools are |\n" +
		"| low | an approved server lists a tool that nobody approved |\n\n" +
		"While no allow-list is on: low when a server is used for the first time in the tenant, after `learn`.",
	Tuning: "`mode` (auto), `servers` (globs of names that count as approved, for those that a managed configuration holds), `new_servers` (true), `learn` (7 days), `window` (24h). " +
		"`mcpsiem approve --all --yes` starts an allow-list with what is in use.",
	Gaps: "A server is known by its configured name: another program under an approved name is found by server_identity. Servers whose traffic no tap sees. Approving a server alone, without its tools, leaves its tools unjudged. " +
		"Approvals are remembered in the detector's state: if that is lost and the trail no longer holds the records, approve again. At most 4096 servers and 65536 definitions a tenant are remembered.",
	FalsePositives: "A new server that is welcome: approve it. Servers with a name for each user or session: name them as a pattern in `servers`.",
	Remediation:    "Ask who runs the server and why. Approve it with `mcpsiem approve SERVER`, after reading its definitions (`mcpsiem inventory tools`), or take it out of the clients' configuration.",
	References: []string{
		"OWASP-MCP 2025-beta MCP09:2025 Shadow MCP Servers",
		"OWASP-MCP 2025-beta MCP04:2025 Software Supply Chain Attacks & Dependency Tampering",
		"OWASP-ASI 2026 ASI04 Agentic Supply Chain Vulnerabilities",
		"SAFE-MCP 2026-02-01 SAFE-T1003 Malicious MCP-Server Distribution",
		"SAFE-MCP 2026-02-01 SAFE-T1201 MCP Rug Pull",
	},
}, Config{Mode: "auto", NewServers: true, Learn: 7 * 24 * time.Hour, Window: 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// Bounds of what is remembered of a tenant.
const (
	maxServers     = 4096
	maxDefinitions = 65536
	maxHashes      = 16 // approved definitions of one tool
	maxShown       = 20
)

// state is a tenant's.
type state struct {
	On          bool               `json:"on,omitempty"` // somebody approved something
	Servers     map[string]*server `json:"servers,omitempty"`
	Definitions int                `json:"definitions,omitempty"` // approved, of all servers
	Seen        map[string]bool    `json:"seen,omitempty"`        // servers used so far
}

type server struct {
	Approved bool                `json:"a,omitempty"` // as a whole
	Tools    map[string][]string `json:"t,omitempty"` // approved definitions, each the first 32 hex digits, by a key of the name
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if e.AuditAction != "" {
		return approval(e)
	}
	return d.conf.Mode != "off" && nameOf(e) != "" && (e.Kind == event.KindRequest || e.Kind == event.KindResponse)
}

func approval(e *event.Event) bool {
	return e.AuditAction == string(audit.ServerApprove) || e.AuditAction == string(audit.ServerRevoke)
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if approval(e) {
		s.record(e)
		return
	}
	name := nameOf(e)
	key := short(name)
	if !s.Seen[key] {
		if s.Seen == nil {
			s.Seen = map[string]bool{}
		}
		if len(s.Seen) < maxServers {
			s.Seen[key] = true
			d.first(c, e, s, name)
		}
	}
	if !s.On && d.conf.Mode != "strict" || d.known(name) {
		return
	}
	srv := s.Servers[key]
	if srv == nil || !srv.Approved {
		c.Emit(engine.Alert{
			Scope: []string{"server", name}, Window: d.conf.Window,
			Summary: engine.Name(e.PrincipalID) + " uses server " + engine.Name(name) + ", which nobody approved.",
			Why:     map[string]string{"method": engine.Name(e.Method), "command": engine.Name(e.Command), "address": engine.Name(e.ServerAddress), "claimed_name": engine.Name(e.ServerClaimedName)},
		})
		return
	}
	if len(srv.Tools) == 0 {
		return
	}
	if e.Kind == event.KindRequest {
		if e.Method == "tools/call" && e.Tool != "" && srv.Tools[short(e.Tool)] == nil {
			c.Emit(engine.Alert{
				Scope: []string{"call", name, e.Tool}, Window: d.conf.Window, Title: "Tool that nobody approved",
				Summary: engine.Name(e.PrincipalID) + " called " + engine.Name(e.Tool) + " of server " + engine.Name(name) + ", which is not among its approved tools.",
				Why:     map[string]string{"approved_tools": strconv.Itoa(len(srv.Tools))},
			})
		}
		return
	}
	d.listed(c, e, srv, name)
}

// first raises a server that the tenant never used before, while no allow-list says more.
func (d *detector) first(c *engine.Context, e *event.Event, s *state, name string) {
	if s.On || d.conf.Mode == "strict" || !d.conf.NewServers || c.Now-c.Since <= int64(d.conf.Learn) || d.known(name) {
		return
	}
	c.Emit(engine.Alert{
		Scope: []string{"new", name}, Title: "New server", Severity: engine.Low,
		Summary: engine.Name(e.PrincipalID) + " uses server " + engine.Name(name) + ", which nobody of the tenant used before.",
		Why:     map[string]string{"servers": strconv.Itoa(len(s.Seen)), "command": engine.Name(e.Command), "address": engine.Name(e.ServerAddress), "claimed_name": engine.Name(e.ServerClaimedName)},
	})
}

// listed raises definitions that are not approved, of one list together.
func (d *detector) listed(c *engine.Context, e *event.Event, srv *server, name string) {
	changed, fresh := 0, 0
	var parts, evidence []string
	var one string
	for i := range e.ToolDefs {
		def := &e.ToolDefs[i]
		hash := def.Hash[:min(len(def.Hash), 32)]
		approved := srv.Tools[short(def.Name)]
		if hash == "" || slices.Contains(approved, hash) {
			continue
		}
		line := engine.Name(def.Name) + " is not approved"
		if approved != nil {
			changed++
			line = engine.Name(def.Name) + " is approved under another definition than " + hash[:min(12, len(hash))]
		} else {
			fresh++
		}
		parts = append(parts, def.Name, hash)
		one = def.Name
		if len(evidence) < maxShown {
			evidence = append(evidence, line)
		}
	}
	if changed+fresh == 0 {
		return
	}
	a := engine.Alert{
		Scope: []string{"definitions", name, event.SourceID(parts...)}, Window: d.conf.Window, Title: "Tool definition that nobody approved", Severity: engine.Low,
		Summary:  "Server " + engine.Name(name) + " lists definitions that are not approved: " + strconv.Itoa(changed) + " of approved tools, " + strconv.Itoa(fresh) + " of other tools.",
		Evidence: evidence,
		Why:      map[string]string{"changed": strconv.Itoa(changed), "new": strconv.Itoa(fresh)},
		Count:    int64(changed + fresh),
	}
	if changed > 0 {
		a.Severity = engine.Medium
	}
	if changed+fresh == 1 {
		a.Tool = one
	}
	c.Emit(a)
}

// record takes an approval, or its end, into the state.
func (s *state) record(e *event.Event) {
	name := e.Server
	if name == "" {
		name = e.AuditTarget
	}
	if name == "" {
		return
	}
	key, tool, hash := short(name), short(e.Tool), e.AuditDetails[audit.DetailDefinition]
	hash = hash[:min(len(hash), 32)]
	srv := s.Servers[key]
	if e.AuditAction == string(audit.ServerRevoke) {
		if srv == nil {
			return
		}
		if e.Tool == "" {
			for _, h := range srv.Tools {
				s.Definitions -= len(h)
			}
			delete(s.Servers, key)
			return
		}
		s.Definitions -= len(srv.Tools[tool])
		delete(srv.Tools, tool)
		return
	}
	s.On = true
	if srv == nil {
		if len(s.Servers) >= maxServers {
			return
		}
		if s.Servers == nil {
			s.Servers = map[string]*server{}
		}
		srv = &server{}
		s.Servers[key] = srv
	}
	srv.Approved = true
	if e.Tool == "" || hash == "" || slices.Contains(srv.Tools[tool], hash) || s.Definitions >= maxDefinitions {
		return
	}
	if srv.Tools == nil {
		srv.Tools = map[string][]string{}
	}
	srv.Tools[tool] = append(srv.Tools[tool], hash)
	s.Definitions++
	if h := srv.Tools[tool]; len(h) > maxHashes {
		srv.Tools[tool] = h[1:]
		s.Definitions--
	}
}

func (d *detector) known(name string) bool {
	return slices.ContainsFunc(d.conf.Servers, func(g string) bool { ok, _ := path.Match(g, name); return ok })
}

// nameOf is the server's name as the inventory has it.
func nameOf(e *event.Event) string { return e.Server }

// short is a name at a length that the server does not choose.
func short(name string) string {
	if len(name) <= 48 {
		return name
	}
	return "#" + event.SourceID(name)
}
