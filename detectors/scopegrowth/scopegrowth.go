// Package scopegrowth finds principals whose tokens come to allow more than they did.
package scopegrowth

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
	// Learn is how long after a principal's first token further scopes are taken to belong to it.
	Learn time.Duration `mapstructure:"learn"`
	// Asked is how long after a server asked for a larger scope a larger token is expected.
	Asked time.Duration `mapstructure:"asked"`
	// Powerful are words that make a scope powerful.
	Powerful []string `mapstructure:"powerful"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Learn < 0 || c.Asked < 0 {
		return errors.New("learn and asked must not be negative")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "scope_growth",
	Version:    "1.0.0",
	Title:      "Token with more scopes than before",
	Severity:   engine.Low,
	Confidence: 0.7,
	Key:        engine.KeyPrincipal,
	TTL:        90 * 24 * time.Hour,
	Sees:       "The scopes that a principal's tokens claim (`mcpsiem.auth.scopes`), in requests, and refusals for want of a scope.",
	Fires: "When, after `learn`, a token shows scopes that none of the principal's tokens had. medium if one of them is powerful by its words; low otherwise; one step less within `asked` of a server's refusal for want of a " +
		"scope, which is how a client is told to ask for more. Each scope once for a principal.",
	Tuning: "`learn` (default 24h), `asked` (15m), `powerful` (the words that scopes are split into at anything but letters and digits; `*` is a scope by itself).",
	Gaps: "The first token seen: if it allows everything, nothing can grow. Opaque tokens, whose scopes nobody sees. Scopes that an issuer gives out under one name and widens. More than 512 scopes of a principal. " +
		"Tokens that nobody verified are believed; `why` says so.",
	FalsePositives: "A new tool that a user consented to; a role that was granted.",
	Remediation:    "Ask who consented to the scopes and for what. Give each server a token of its own with what it needs; let scopes that are not used lapse.",
	References: []string{
		"OWASP-MCP 2025-beta MCP02:2025 Privilege Escalation via Scope Creep",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"MITRE-ATLAS 5.6 AML.TA0012 Privilege Escalation",
		"SAFE-MCP 2026-02-01 SAFE-T1308 Token Scope Substitution",
	},
}, Config{Learn: 24 * time.Hour, Asked: 15 * time.Minute,
	Powerful: []string{"admin", "administrator", "all", "full", "owner", "root", "sudo", "superuser", "impersonate", "impersonation", "manage", "write", "delete", "*"}},
	func(c Config) (engine.Detector[state], error) { return &detector{c}, nil })

// Bounds of what is remembered of a principal.
const (
	maxScopes = 512
	maxScope  = 128 // bytes of a scope that are told apart
	maxShown  = 20
)

// state of one principal.
type state struct {
	First  int64    `json:"f"`           // event time of the first token, ns
	Asked  int64    `json:"a,omitempty"` // when a server last refused for want of a scope, ns
	Scopes []string `json:"s,omitempty"` // sorted
}

type detector struct{ conf Config }

const insufficientScope = "insufficient_scope"

func (d *detector) Wants(e *event.Event) bool {
	return len(e.AuthScopes) > 0 && e.Direction == event.ClientToServer && e.PrincipalID != "" || e.AuthDecision == insufficientScope
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if e.AuthDecision == insufficientScope {
		s.Asked = max(s.Asked, c.Now)
	}
	if len(e.AuthScopes) == 0 || e.Direction != event.ClientToServer {
		return
	}
	if s.First == 0 {
		s.First = max(c.Now, 1)
	}
	var fresh []string
	for _, scope := range e.AuthScopes {
		scope = scope[:min(len(scope), maxScope)]
		if i, ok := slices.BinarySearch(s.Scopes, scope); !ok && len(s.Scopes) < maxScopes {
			s.Scopes = slices.Insert(s.Scopes, i, strings.Clone(scope))
			fresh = append(fresh, scope)
		}
	}
	if len(fresh) == 0 || c.Now-s.First <= int64(d.conf.Learn) {
		return
	}
	slices.Sort(fresh)
	var evidence, powerful []string
	for i, scope := range fresh {
		if i < maxShown {
			evidence = append(evidence, engine.Name(scope))
		}
		if len(powerful) < maxShown && d.powerful(scope) {
			powerful = append(powerful, engine.Name(scope))
		}
	}
	asked := s.Asked > 0 && c.Now-s.Asked <= int64(d.conf.Asked)
	severity := engine.Low
	switch {
	case len(powerful) > 0 && !asked:
		severity = engine.Medium
	case len(powerful) == 0 && asked:
		severity = engine.Informational
	}
	why := map[string]string{
		"scopes": strings.Join(evidence, ", "), "before": strconv.Itoa(len(s.Scopes) - len(fresh)), "asked_by_server": strconv.FormatBool(asked), "verified": strconv.FormatBool(e.PrincipalVerified),
	}
	if len(powerful) > 0 {
		why["powerful"] = strings.Join(powerful, ", ")
	}
	if e.TokenFingerprint != "" {
		why["credential"] = engine.Name(e.TokenFingerprint)
	}
	c.Emit(engine.Alert{
		Scope:    []string{event.SourceID(fresh...)},
		Severity: severity,
		Summary:  engine.Name(e.PrincipalID) + " has a token with more scopes than before: " + strings.Join(evidence[:min(3, len(evidence))], ", ") + ".",
		Evidence: evidence,
		Why:      why,
		Count:    int64(len(fresh)),
	})
}

// powerful says whether one of the scope's words is.
func (d *detector) powerful(scope string) bool {
	if slices.Contains(d.conf.Powerful, scope) {
		return true
	}
	for _, w := range strings.FieldsFunc(scope, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '*')
	}) {
		if slices.Contains(d.conf.Powerful, strings.ToLower(w)) {
			return true
		}
	}
	return false
}
