// Package blastradius finds credentials that reach far: what one who steals them could do.
package blastradius

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/detectors/recent"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Window is how long what a credential reached counts.
	Window time.Duration `mapstructure:"window"`
	// Servers, Tools and Scopes are how many of each are far.
	Servers int `mapstructure:"servers"`
	Tools   int `mapstructure:"tools"`
	Scopes  int `mapstructure:"scopes"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window < time.Hour {
		return errors.New("window must be at least 1h")
	}
	for _, n := range []int{c.Servers, c.Tools, c.Scopes} {
		if n < 2 || n > maxValues/4 {
			return errors.New("servers, tools and scopes must be from 2 to " + strconv.Itoa(maxValues/4))
		}
	}
	return nil
}

// maxValues is how many servers, tools and scopes of a credential are remembered.
const maxValues = 512

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "blast_radius",
	Version:    "1.0.0",
	Title:      "Credential that reaches far",
	Severity:   engine.Low,
	Confidence: 0.8,
	Key:        engine.KeyCredential,
	MaxKeys:    16384,
	TTL:        30 * 24 * time.Hour,
	Sees:       "What was reached with a token or API key: servers, tools called, scopes that it claims, what the tools can do, how long it lives.",
	Fires: "When a credential has reached `servers` servers, `tools` tools or `scopes` scopes within `window`, and again at each doubling. low; medium where the tools reached can execute, destroy or send outside and the credential never expires, or " +
		"from twice a limit on.",
	Tuning:         "`window` (7 days), `servers` (10), `tools` (50), `scopes` (20).",
	Gaps:           "What a credential could reach and did not. A credential that is renewed often begins anew with each renewal. Stdio servers, whose credentials are not seen.",
	FalsePositives: "A gateway's or agent platform's own credential: that it reaches far is its purpose, and still what a thief would have.",
	Remediation:    "Give each server a credential of its own, with the scopes that its calls need and a short life. The evidence lists what was reached.",
	References: []string{
		"OWASP-MCP 2025-beta MCP02:2025 Privilege Escalation via Scope Creep",
		"OWASP-MCP 2025-beta MCP01:2025 Token Mismanagement & Secret Exposure",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"MITRE-ATLAS 5.6 AML.M0026 Privileged AI Agent Permissions Configuration",
	},
}, Config{Window: 7 * 24 * time.Hour, Servers: 10, Tools: 50, Scopes: 20}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of a credential.
type state struct {
	Servers recent.Set `json:"s,omitzero"`
	Tools   recent.Set `json:"t,omitzero"`
	Scopes  recent.Set `json:"c,omitzero"`
	Can     recent.Set `json:"p,omitzero"` // powerful capabilities of the tools
	Last    uint64     `json:"l,omitempty"`
	At      int64      `json:"a,omitempty"` // when Last was added
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return e.TokenFingerprint != "" && e.Direction == event.ClientToServer && e.Kind == event.KindRequest
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	server := generation.Server(e)
	// The same call again within an hour tells nothing new.
	h := generation.Hash(server, e.Method, e.Tool, strings.Join(e.AuthScopes, " "))
	if h == s.Last && c.Now-s.At < int64(time.Hour) && c.Now >= s.At {
		return
	}
	s.Last, s.At = h, c.Now
	window := int64(d.conf.Window)
	for _, p := range e.Capabilities {
		switch p {
		case "executes", "destroys", "sends_outside", "writes":
			s.Can.Add(p, c.Now, window, 8)
		}
	}
	if server != "" && s.Servers.Add(server, c.Now, window, maxValues) {
		d.judge(c, e, s, &s.Servers, "servers", d.conf.Servers)
	}
	if e.Tool != "" && e.Method == "tools/call" && s.Tools.Add(server+"/"+e.Tool, c.Now, window, maxValues) {
		d.judge(c, e, s, &s.Tools, "tools", d.conf.Tools)
	}
	fresh := false
	for i, scope := range e.AuthScopes {
		if i < maxValues {
			fresh = s.Scopes.Add(scope, c.Now, window, maxValues) || fresh
		}
	}
	if fresh {
		d.judge(c, e, s, &s.Scopes, "scopes", d.conf.Scopes)
	}
}

func (d *detector) judge(c *engine.Context, e *event.Event, s *state, set *recent.Set, what string, limit int) {
	n := set.Len()
	if n < limit {
		return
	}
	step := limit
	for step*2 <= n {
		step *= 2
	}
	severity := engine.Low
	powerful := s.Can.Texts(8)
	if step > limit || e.TokenLifetime < 0 && len(powerful) > 0 {
		severity = engine.Medium
	}
	why := map[string]string{
		"by": what, "servers": strconv.Itoa(s.Servers.Len()), "tools": strconv.Itoa(s.Tools.Len()), "scopes": strconv.Itoa(s.Scopes.Len()), "limit": strconv.Itoa(limit),
		"credential": engine.Name(e.TokenFingerprint), "never_expires": strconv.FormatBool(e.TokenLifetime < 0), "tools_can": strings.Join(powerful, ", "),
	}
	var evidence []string
	for _, v := range set.Texts(32) {
		evidence = append(evidence, what[:len(what)-1]+" "+engine.Name(v))
	}
	c.Emit(engine.Alert{
		Scope: []string{what, strconv.Itoa(step)}, Window: 30 * 24 * time.Hour, Severity: severity,
		Summary:  "Credential " + engine.Name(e.TokenFingerprint) + " of " + engine.Name(e.PrincipalID) + " has reached " + strconv.Itoa(n) + " " + what + " within " + d.conf.Window.String() + ".",
		Evidence: evidence, Why: why, Count: int64(n),
	})
}
