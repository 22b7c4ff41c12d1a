// Package newdestination finds sends to places to which nobody of the tenant sent anything before.
package newdestination

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Learn is how long a tenant's destinations are learned before another one is new.
	Learn time.Duration `mapstructure:"learn"`
	// Sends is how many sends there must have been until then.
	Sends int `mapstructure:"sends"`
	// Values is how many sensitive values in the arguments matter.
	Values float64 `mapstructure:"values"`
	// Bytes is from what size on a message to a new destination matters.
	Bytes int64 `mapstructure:"bytes"`
	// IgnoreDestinations are destinations that are inside; with a trailing * as prefixes.
	IgnoreDestinations []string `mapstructure:"ignore_destinations"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Learn <= 0 {
		return errors.New("learn must be above 0")
	}
	if c.Sends < 1 || c.Values < 1 || c.Bytes < 1 {
		return errors.New("sends, values and bytes must be at least 1")
	}
	return nil
}

// maxKnown bounds a tenant's destinations to twice that.
const maxKnown = 16384

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "new_destination",
	Version:    "1.0.0",
	Title:      "Something sent to a new destination",
	Severity:   engine.Informational,
	Confidence: 0.5,
	Key:        engine.KeyTenant,
	MaxKeys:    1024,
	TTL:        90 * 24 * time.Hour,
	Sees:       "Where calls lead that can take content to others (`destinations`: registered domains, repositories, buckets, keyed addresses), across all principals of a tenant, and what their arguments hold.",
	Fires: "When a call leads to a destination to which nobody of the tenant sent anything, after destinations were learned for `learn` and `sends` sends: medium if its arguments hold a credential, or `values` sensitive values, or are of `bytes` or more; " +
		"low if they hold any other sensitive value than the address itself; else informational. Each destination once.",
	Tuning: "`learn` (default 7 days), `sends` (50), `values` (5), `bytes` (65536), `ignore_destinations` for what is inside: `[example.com, \"bucket:acme-*\"]`.",
	Gaps: "Places that others of the tenant use, mail providers before all: one mailbox there is as good as another. Accounts at a known service. Recipients that are no address (a channel's name). A tenant's first week. " +
		"Reading from a new host is no send unless its address carries something.",
	FalsePositives: "New partners and projects: expected, which is why it is informational unless something sensitive goes there.",
	Remediation:    "Find out who is behind the destination and who asked for it. Put it on the list of what is inside, or block it.",
	References: []string{
		"OWASP-MCP 2025-beta MCP10:2025 Context Injection & Over-Sharing",
		"OWASP-LLM 2025 LLM02:2025 Sensitive Information Disclosure",
		"OWASP-LLM 2026 LLM02:2026 Sensitive Information Disclosure",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.TA0010 Exfiltration",
		"MITRE-ATLAS 5.6 AML.T0086 Exfiltration via AI Agent Tool Invocation",
		"SAFE-MCP 2026-02-01 SAFE-T1913 HTTP POST Exfil",
	},
}, Config{Learn: 7 * 24 * time.Hour, Sends: 50, Values: 5, Bytes: 64 << 10}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one tenant.
type state struct {
	Known flow.Known `json:"k,omitzero"`
	Sends int        `json:"n,omitempty"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return len(e.Destinations) > 0 && flow.IsCall(e) && flow.Carries(e, flow.Of(e))
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	s.Sends++
	name := s.Known.Learn(e.Destinations, c.Now, int64(d.conf.Learn), 0, maxKnown)
	if name == "" || s.Sends <= d.conf.Sends || flow.Inside(d.conf.IgnoreDestinations, e) {
		return
	}
	severity, why := engine.Informational, "nothing sensitive"
	values := 0.0
	for class, n := range e.Redactions {
		if !content.IsSecret(class) {
			values += n
		}
	}
	for _, class := range e.DataClasses {
		if content.IsSecret(class) {
			severity, why = engine.Medium, "a credential"
		}
	}
	switch {
	case severity == engine.Medium:
	case values >= d.conf.Values:
		severity, why = engine.Medium, strconv.FormatFloat(values, 'f', 0, 64)+" sensitive values"
	case e.BodySize >= d.conf.Bytes:
		severity, why = engine.Medium, strconv.FormatInt(e.BodySize, 10)+" bytes"
	case values > 1:
		severity, why = engine.Low, strconv.FormatFloat(values, 'f', 0, 64)+" sensitive values"
	}
	step := flow.StepOf(c, e)
	c.Emit(engine.Alert{
		Scope: []string{name}, Severity: severity,
		Summary:  flow.Who(e) + " sends to " + engine.Name(name) + " with " + step.Where() + ", where nobody sent anything before: " + why + ".",
		Evidence: []string{step.Text("leads to " + engine.Name(strings.Join(e.Destinations, " ")))},
		Why: map[string]string{"destination": name, "holds": why, "bytes": strconv.FormatInt(e.BodySize, 10), "sends_known": strconv.Itoa(s.Sends - 1),
			"days_known": strconv.FormatInt((c.Now-s.Known.Since)/int64(24*time.Hour), 10)},
	})
}
