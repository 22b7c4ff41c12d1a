// Package credentialsharing finds one credential in the hands of several: copied, shared or stolen.
package credentialsharing

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/recent"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Window is how long uses count together.
	Window time.Duration `mapstructure:"window"`
	// Repeat is after how long the same credential is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
	// Principals, Hosts and Networks are from how many different ones on a credential is raised.
	Principals int `mapstructure:"principals"`
	Hosts      int `mapstructure:"hosts"`
	Networks   int `mapstructure:"networks"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 || c.Repeat <= 0 {
		return errors.New("window and repeat must be above 0")
	}
	for _, n := range []int{c.Principals, c.Hosts, c.Networks} {
		if n < 2 || n > maxValues {
			return errors.New("principals, hosts and networks must be from 2 to " + strconv.Itoa(maxValues))
		}
	}
	return nil
}

// maxValues is how many different principals, hosts and networks of a credential are remembered.
const maxValues = 32

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "credential_sharing",
	Version:    "1.0.0",
	Title:      "One credential in several hands",
	Severity:   engine.Medium,
	Confidence: 0.6,
	Key:        engine.KeyCredential,
	TTL:        7 * 24 * time.Hour,
	Sees:       "What clients send with a token or API key: its fingerprint, the principal, the host of the tap and the network of the client's address (/24, /48 for IPv6).",
	Fires: "When within `window` one credential comes under `principals` different principals (medium), from `hosts` different hosts (medium), or from `networks` different networks (medium; low for a service or agent, which may run " +
		"anywhere). Each of the three once in `repeat` for a credential.",
	Tuning: "`window` (default 24h), `principals` (2), `hosts` (3), `networks` (5), `repeat` (7 days). Raise `networks` where people roam.",
	Gaps: "A thief behind the same gateway or proxy: taps there see one host and, unless the proxy tells, one address. Slow use beyond the window. Addresses are compared, not located. A credential that is renewed often " +
		"has a new fingerprint each time.",
	FalsePositives: "A gateway that uses one key for all its users; shared accounts; a laptop, a desktop and a remote machine of one person; mobile networks.",
	Remediation:    "Ask the owner which of the hosts and addresses are theirs. If one is not, revoke the credential and look at what was called from there. Give each user and machine a credential of its own.",
	References: []string{
		"OWASP-MCP 2025-beta MCP01:2025 Token Mismanagement & Secret Exposure",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"MITRE-ATLAS 5.6 AML.T0012 Valid Accounts",
		"MITRE-ATLAS 5.6 AML.T0091.000 Use Alternate Authentication Material: Application Access Token",
		"SAFE-MCP 2026-02-01 SAFE-T1706 OAuth Token Pivot Replay",
		"SAFE-MCP 2026-02-01 SAFE-T1304 Credential Relay Chain",
	},
}, Config{Window: 24 * time.Hour, Repeat: 7 * 24 * time.Hour, Principals: 2, Hosts: 3, Networks: 5}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one credential.
type state struct {
	Principals recent.Set `json:"p,omitzero"`
	Hosts      recent.Set `json:"h,omitzero"`
	Networks   recent.Set `json:"n,omitzero"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return e.TokenFingerprint != "" && e.Direction == event.ClientToServer
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	see := func(set *recent.Set, value, what string, limit int, severity string) {
		if value == "" || !set.Add(value, c.Now, int64(d.conf.Window), maxValues) || set.Len() < limit {
			return
		}
		n := strconv.Itoa(set.Len())
		var evidence []string
		for _, v := range set.Texts(maxValues) {
			evidence = append(evidence, what+" "+engine.Name(v))
		}
		c.Emit(engine.Alert{
			Scope:    []string{what},
			Window:   d.conf.Repeat,
			Title:    "One credential of several " + what + "s",
			Severity: severity,
			Summary:  "Credential " + engine.Name(e.TokenFingerprint) + " of " + engine.Name(e.PrincipalID) + " was used with " + n + " different " + what + "s.",
			Evidence: evidence,
			Why:      map[string]string{"credential": engine.Name(e.TokenFingerprint), "by": what, "different": n},
			Count:    int64(set.Len()),
		})
	}
	if !strings.HasPrefix(e.PrincipalID, "fp-") { // named after the credential: no principal
		see(&s.Principals, e.PrincipalID, "principal", d.conf.Principals, engine.Medium)
	}
	see(&s.Hosts, e.HostName, "host", d.conf.Hosts, engine.Medium)
	severity := engine.Medium
	if e.PrincipalKind == "service" || e.PrincipalKind == "agent" {
		severity = engine.Low
	}
	see(&s.Networks, recent.Network(e.ClientAddress), "network", d.conf.Networks, severity)
}
