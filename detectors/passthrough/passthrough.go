// Package passthrough finds tokens that a server passes on to another server instead of getting one of its own.
package passthrough

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Repeat is after how long the same is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Repeat < time.Minute {
		return errors.New("repeat must be at least 1m")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "token_passthrough",
	Version:    "1.0.0",
	Title:      "Token passed on to another server",
	Severity:   engine.Medium,
	Confidence: 0.75,
	Key:        engine.KeyCredential,
	TTL:        7 * 24 * time.Hour,
	Sees:       "At which servers a token is used, who its client says to be and where it comes from, and the audiences that the token names.",
	Fires: "medium: a token comes to a server from another server that it was used at before: the client has that server's name, its claimed name, or its address. low: a token that names one audience is used at two servers with different addresses, none of which is a local one. " +
		"Where a server's audience is configured, token_hygiene says that a token is meant for somebody else.",
	Tuning:         "`repeat` (7 days).",
	Gaps:           "Servers whose calls to others are not seen. A server that calls under another name from another address. Tokens without audiences, for the low grade.",
	FalsePositives: "A gateway in front of several servers that is the audience itself.",
	Remediation:    "A server must not pass on the token of its client (MCP authorization): let it exchange the token (RFC 8693) or use one of its own. Let servers refuse tokens that do not name them.",
	References: []string{
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"MITRE-ATLAS 5.6 AML.T0091.000 Use Alternate Authentication Material: Application Access Token",
		"SAFE-MCP 2026-02-01 SAFE-T1304 Credential Relay Chain",
		"SAFE-MCP 2026-02-01 SAFE-T1307 Confused Deputy",
	},
}, Config{Repeat: 7 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// maxServers is how many servers of a token are remembered.
const maxServers = 16

// state of a token: the servers that it was used at, in the order of their first use.
type state struct {
	Servers []server `json:"s,omitempty"`
}

type server struct {
	Name    string `json:"n"`
	Claimed string `json:"c,omitempty"`
	Address string `json:"a,omitempty"`
	Event   string `json:"e,omitempty"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return e.TokenFingerprint != "" && e.Direction == event.ClientToServer && e.Kind == event.KindRequest
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	here := generation.Server(e)
	if here == "" {
		return
	}
	at := -1
	for i := range s.Servers {
		o := &s.Servers[i]
		if o.Name == here {
			at = i
			continue
		}
		by := ""
		switch {
		case e.ClientName != "" && (strings.EqualFold(e.ClientName, o.Name) || strings.EqualFold(e.ClientName, o.Claimed)):
			by = "name"
		case o.Address != "" && address(e.ClientAddress) == o.Address:
			by = "address"
		}
		if by != "" {
			c.Emit(engine.Alert{
				Scope: []string{"passed", o.Name, here}, Window: d.conf.Repeat,
				Summary:  "Server " + engine.Name(o.Name) + " passes on token " + engine.Name(e.TokenFingerprint) + " of " + engine.Name(e.PrincipalID) + " to server " + engine.Name(here) + ".",
				Why:      map[string]string{"found": "passed", "from": engine.Name(o.Name), "to": engine.Name(here), "by": by, "credential": engine.Name(e.TokenFingerprint), "audiences": engine.Name(strings.Join(e.AuthAudience, ", "))},
				EventIDs: []string{o.Event, e.ID},
			})
		}
	}
	if at >= 0 {
		if e.ServerClaimedName != "" {
			s.Servers[at].Claimed = engine.Name(e.ServerClaimedName)
		}
		return
	}
	mine := server{Name: here, Claimed: e.ServerClaimedName, Address: address(e.ServerAddress), Event: e.ID}
	if len(e.AuthAudience) == 1 && mine.Address != "" {
		for i := range s.Servers {
			if o := &s.Servers[i]; o.Address != "" && o.Address != mine.Address {
				c.Emit(engine.Alert{
					Scope: []string{"audience"}, Window: d.conf.Repeat, Title: "Token for one audience at two servers", Severity: engine.Low, Confidence: 0.5,
					Summary:  "Token " + engine.Name(e.TokenFingerprint) + " of " + engine.Name(e.PrincipalID) + " names one audience and is used at servers " + engine.Name(o.Name) + " and " + engine.Name(here) + ".",
					Why:      map[string]string{"found": "audience", "from": engine.Name(o.Name), "to": engine.Name(here), "credential": engine.Name(e.TokenFingerprint), "audiences": engine.Name(e.AuthAudience[0])},
					EventIDs: []string{o.Event, e.ID},
				})
				break
			}
		}
	}
	if len(s.Servers) < maxServers {
		s.Servers = append(s.Servers, mine)
	}
}

// address is an address or name of a machine without its port; empty for the machine itself, which everybody there has.
func address(s string) string {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		s = ap.Addr().String()
	}
	if a, err := netip.ParseAddr(s); err == nil && (a.Unmap().IsLoopback() || a.IsUnspecified()) || s == "localhost" {
		return ""
	}
	return s
}
