// Package tokenhygiene raises what identity notes about single credentials: forged, misused, left over, or kept badly.
package tokenhygiene

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Window is how long an incident of the same kind with the same credential is one finding.
	Window time.Duration `mapstructure:"window"`
	// StandingWindow is the same for what is so with every use of the credential.
	StandingWindow time.Duration `mapstructure:"standing_window"`
	// Ignore are signals that are not raised.
	Ignore []string `mapstructure:"ignore"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 || c.StandingWindow <= 0 {
		return errors.New("window and standing_window must be above 0")
	}
	for _, s := range c.Ignore {
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.signal == s }) {
			return errors.New("ignore: " + s + " is no signal that is raised")
		}
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "token_hygiene",
	Version:    "1.1.0",
	Title:      "Credential that should not be used like this",
	Severity:   engine.Medium,
	Confidence: 0.9,
	Key:        engine.KeyMessage,
	Sees:       "The signals `token.*`, `identity.*` and `tenant.*` of the identity processor on what clients send.",
	Fires: "Once a day for each principal (else credential, else sender) and signal; what is so with every use of a credential once a week.\n\n" + table() +
		"\nA credential in a URL is raised by `credential_leak`; requests without any by `anonymous_access`; `token.unverified` says that no issuer is configured, and is not raised.",
	Tuning: "`window` (default 24h), `standing_window` (7 days), `ignore` silences single signals. What is known of issuers, audiences, people and proxies is configured in the identity processor; most signals need that.",
	Gaps: "What identity does not know: without issuers no signature is checked, without a directory nobody has left. Whether the server accepted the credential: the answer's `mcpsiem.auth.decision` says. " +
		"Credentials inside messages, and of stdio servers, which have none.",
	FalsePositives: "A directory that lags behind; clocks that are wrong by more than the leeway; a key that the issuer rotated minutes ago; an identity provider that nobody configured.",
	Remediation: "Forged: find the sender by its address and host, and make sure that the server refused it. Left or suspended: revoke the credential at its issuer. Otherwise replace it by one that is short-lived, " +
		"enrolled and made for that server.",
	References: []string{
		"OWASP-MCP 2025-beta MCP01:2025 Token Mismanagement & Secret Exposure",
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"MITRE-ATLAS 5.6 AML.T0012 Valid Accounts",
		"MITRE-ATLAS 5.6 AML.T0091.000 Use Alternate Authentication Material: Application Access Token",
		"MITRE-ATLAS 5.6 AML.T0073 Impersonation",
		"SAFE-MCP 2026-02-01 SAFE-T1202 OAuth Token Persistence",
		"SAFE-MCP 2026-02-01 SAFE-T1307 Confused Deputy",
		"SAFE-MCP 2026-02-01 SAFE-T1706 OAuth Token Pivot Replay",
	},
}, Config{Window: 24 * time.Hour, StandingWindow: 7 * 24 * time.Hour}, func(c Config) (engine.Detector[struct{}], error) {
	return &detector{c}, nil
})

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if len(e.Signals) == 0 {
		return false
	}
	for s := range e.Signals {
		if strings.HasPrefix(s, "token.") || strings.HasPrefix(s, "tenant.") || strings.HasPrefix(s, "identity.") {
			return true
		}
	}
	return false
}

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	for i := range rules {
		r := &rules[i]
		if e.Signals[r.signal] <= 0 || r.severity == "" || slices.Contains(d.conf.Ignore, r.signal) {
			continue
		}
		window := d.conf.Window
		if r.standing {
			window = d.conf.StandingWindow
		}
		c.Emit(engine.Alert{
			Scope:    append(who(e), r.signal),
			Window:   window,
			Title:    r.title,
			Severity: r.severity,
			Summary:  subject(e) + " " + r.says + ", at server " + engine.Name(e.Server) + ".",
			Why:      why(e, r.signal),
		})
	}
}

// who is whose finding it is: the principal, else the credential, else where the message came from.
func who(e *event.Event) []string {
	switch {
	case e.PrincipalID != "":
		return []string{"principal", e.PrincipalIssuer, e.PrincipalID}
	case e.TokenFingerprint != "":
		return []string{"token", e.TokenFingerprint}
	case e.SourceCredential != "":
		return []string{"sender", e.SourceCredential}
	case e.TapID != "":
		return []string{"tap", e.TapID, e.ClientAddress}
	}
	return []string{"address", e.ClientAddress}
}

func subject(e *event.Event) string {
	switch {
	case e.PrincipalID != "":
		return engine.Name(e.PrincipalID)
	case e.TokenFingerprint != "":
		return "Credential " + engine.Name(e.TokenFingerprint)
	}
	return "A client at " + engine.Name(e.ClientAddress)
}

func why(e *event.Event, signal string) map[string]string {
	m := map[string]string{"signal": signal}
	for k, v := range map[string]string{
		"credential": e.TokenFingerprint, "method": e.PrincipalMethod, "address": e.ClientAddress, "host": e.HostName, "sender": e.SourceCredential, "tap": e.TapID,
	} {
		if v != "" {
			m[k] = engine.Name(v)
		}
	}
	return m
}
