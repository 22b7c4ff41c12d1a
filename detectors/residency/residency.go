// Package residency finds data that must stay in a region and passes to or from a server or destination elsewhere.
package residency

import (
	"errors"
	"slices"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// File says where servers and destinations are and what must stay where; without one nothing is judged.
	File string `mapstructure:"file"`
	// Repeat is after how long the same crossing is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Repeat <= 0 {
		return errors.New("repeat must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "residency_violation",
	Version:    "1.0.0",
	Title:      "Data left the region where it must stay",
	Severity:   engine.High,
	Confidence: 0.8,
	Key:        engine.KeyMessage,
	Sees:       "Calls and results in which inspection found data classes, of tenants for which `file` has a policy. Where a server is, and where a destination (`destinations` of a call) is, is what `file` says.",
	Fires: "When a message of such a tenant holds a class that must stay in some regions and the server is known to be elsewhere, or the call names a destination that is known to be elsewhere: high, once in `repeat` for each server, " +
		"tool, class and region. medium where the policy has `unknown: raise` and nobody said where the server is.",
	Tuning:         "`file` (none), `repeat` (24h). In the file: `servers` and `destinations` map globs to regions, `policies` list tenants, classes (names, or the tags pii, phi, pci, secret) and the regions that are allowed.",
	Gaps:           "Data that inspection has no class for. Where a server really keeps data: the file is believed. What a server passes on by itself.",
	FalsePositives: "A server that moved and is listed under its old region; test data; classes found by context only, such as names.",
	Remediation:    "Stop the tool for this tenant, find out what was stored where, and whether the transfer has a legal basis. Give the tenant a server in its own region.",
	References: []string{
		"OWASP-MCP 2025-beta MCP10:2025 Context Injection & Over-Sharing",
		"OWASP-LLM 2025 LLM02:2025 Sensitive Information Disclosure",
		"OWASP-LLM 2026 LLM02:2026 Sensitive Information Disclosure",
		"MITRE-ATLAS 5.6 AML.T0057 LLM Data Leakage",
	},
}, Config{Repeat: 24 * time.Hour}, func(c Config) (engine.Detector[struct{}], error) {
	d := &detector{conf: c}
	if c.File != "" {
		p, err := ReadPolicy(c.File)
		if err != nil {
			return nil, err
		}
		d.policy = p
	}
	return d, nil
})

type detector struct {
	conf   Config
	policy *Policy // nil: nothing is judged
}

func (d *detector) Wants(e *event.Event) bool {
	return d.policy != nil && len(e.DataClasses) > 0 && e.Server != "" && e.Kind != event.KindRecord
}

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	for i := range d.policy.Policies {
		p := &d.policy.Policies[i]
		if !matchAny(p.Tenants, c.Tenant) {
			continue
		}
		var classes []string
		for _, class := range e.DataClasses {
			if p.covers(class) {
				classes = append(classes, class)
			}
		}
		if len(classes) == 0 {
			continue
		}
		region := d.policy.Servers.region(e.Server)
		if region == "" && p.Unknown == "raise" || region != "" && !slices.Contains(p.Regions, region) {
			d.raise(c, e, p, classes, "server "+engine.Name(e.Server), region)
		}
		for _, to := range e.Destinations {
			if region := d.policy.Destinations.region(to); region != "" && !slices.Contains(p.Regions, region) {
				d.raise(c, e, p, classes, "destination "+engine.Name(to), region)
			}
		}
	}
}

func (d *detector) raise(c *engine.Context, e *event.Event, p *Rule, classes []string, where, region string) {
	a := engine.Alert{Window: d.conf.Repeat}
	shown := region
	if region == "" {
		a.Severity, shown = engine.Medium, "an unknown region"
	}
	for _, class := range classes {
		a.Scope = []string{where, e.Tool, class, region}
		a.Summary = "Data of class " + class + " of tenant " + engine.Name(c.Tenant) + ", which must stay in " + join(p.Regions) + ", passed between " + engine.Name(e.PrincipalID) + " and " + where + " in " + shown + "."
		a.Why = map[string]string{"class": class, "allowed": join(p.Regions), "region": shown, "where": where, "direction": e.Direction}
		c.Emit(a)
	}
}
