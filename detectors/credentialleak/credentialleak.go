// Package credentialleak finds credentials that travel in MCP messages.
package credentialleak

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/processors/identity"
)

// Config of the detector.
type Config struct {
	// Threshold is the score that a signal must reach, 0 to 1.
	Threshold float64 `mapstructure:"threshold"`
	// Window is how long repeats of the same leak are part of one finding.
	Window time.Duration `mapstructure:"window"`
	// IgnoreClasses are data classes that are not raised, such as those of test credentials.
	IgnoreClasses []string `mapstructure:"ignore_classes"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Threshold <= 0 || c.Threshold > 1 {
		return errors.New("threshold must be above 0 and at most 1")
	}
	if c.Window <= 0 {
		return errors.New("window must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "credential_leak",
	Version:    "1.0.0",
	Title:      "Credential in MCP traffic",
	Severity:   engine.High,
	Confidence: 0.9,
	Key:        engine.KeyMessage,
	Sees: "Every message in which inspection found a credential: a class tagged secret in a result, in arguments, in a URL or in a header that is not meant for one. " +
		"It works on the signals `secret_in_*` and `token.in_url` and on the data classes; the value itself is never seen here.",
	Fires: "Once for each server, tool, class of credential and place in a window of an hour. A result that carries a key hands it to the model and to everything the model calls next; " +
		"arguments hand it to the server; URLs end up in logs.",
	Tuning: "`threshold` (default 0.5) trades misses for noise. `window` (1h) is how long repeats are folded together. `ignore_classes` silences a class, " +
		"which also silences real leaks of that class.",
	Gaps: "Credentials that look like ordinary text (passwords without a name beside them), encrypted or split values, and messages whose content was withheld or never captured. " +
		"Repeats within the window are visible as events, not as further findings.",
	FalsePositives: "Documentation, test fixtures and revoked credentials look like live ones.",
	Remediation: "Revoke the credential now, then find out who received it: the conversation's later calls show where it could have gone. Keep secrets out of what the tool may read, " +
		"or give the tool a handle in place of the value.",
	References: []string{
		"OWASP-MCP 2025-beta MCP01:2025 Token Mismanagement & Secret Exposure",
		"OWASP-LLM 2025 LLM02:2025 Sensitive Information Disclosure",
		"OWASP-LLM 2026 LLM02:2026 Sensitive Information Disclosure",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"MITRE-ATLAS 5.6 AML.T0055 Unsecured Credentials",
		"MITRE-ATLAS 5.6 AML.T0098 AI Agent Tool Credential Harvesting",
		"MITRE-ATLAS 5.6 AML.T0057 LLM Data Leakage",
		"SAFE-MCP 2026-02-01 SAFE-T1504 Token Theft via API Response",
	},
}, Config{Threshold: 0.5, Window: time.Hour}, func(c Config) (engine.Detector[struct{}], error) {
	return &detector{c}, nil
})

type detector struct{ conf Config }

// signalPrefix is that of the signals that say where a credential was found.
const signalPrefix = "secret_in_"

// signalInURL is what the identity processor says of a credential in the query of a URL, which inspection does not get to see.
const signalInURL = identity.SignalInURL

func (d *detector) Wants(e *event.Event) bool { return len(e.Signals) > 0 || len(e.DataClasses) > 0 }

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	var places []string
	for name, score := range e.Signals {
		if place, ok := strings.CutPrefix(name, signalPrefix); ok && score >= d.conf.Threshold {
			places = append(places, place)
		}
	}
	if score := e.Signals[signalInURL]; score >= d.conf.Threshold && !slices.Contains(places, content.InURL) {
		d.raise(c, e, content.InURL, "credential", score)
	}
	classes, other := d.classes(e)
	switch {
	case len(places) == 0 && len(classes) == 0:
		return
	case len(classes) == 0 && other:
		return // the signal comes from a class that is ignored
	case len(classes) == 0:
		classes = []string{"credential"}
	}
	if len(places) == 0 {
		places = []string{placeOf(e)}
	}
	slices.Sort(places)
	for _, place := range places {
		score := e.Signals[signalPrefix+place]
		for _, class := range classes {
			d.raise(c, e, place, class, score)
		}
	}
}

// classes are the classes of credential on the event that are not ignored, and whether some are.
func (d *detector) classes(e *event.Event) (out []string, ignored bool) {
	for _, class := range e.DataClasses {
		switch {
		case !content.IsSecret(class):
		case slices.Contains(d.conf.IgnoreClasses, class):
			ignored = true
		case !slices.Contains(out, class):
			out = append(out, class)
		}
	}
	slices.Sort(out)
	return out, ignored
}

func placeOf(e *event.Event) string {
	if e.Kind == event.KindRequest || e.Kind == event.KindNotification {
		return content.InArguments
	}
	return content.InResult
}

func (d *detector) raise(c *engine.Context, e *event.Event, place, class string, score float64) {
	subject := e.Tool
	if subject == "" {
		subject = e.Method
	}
	why := map[string]string{"class": class, "place": place}
	if score > 0 {
		why["score"] = strconv.FormatFloat(score, 'g', 3, 64)
		why["threshold"] = strconv.FormatFloat(d.conf.Threshold, 'g', 3, 64)
	}
	c.Emit(engine.Alert{
		Scope:      []string{e.Server, subject, class, place},
		Window:     d.conf.Window,
		Confidence: score,
		Summary: "A credential (" + engine.Name(class) + ") passed in the " + place + " of " + engine.Name(subject) + " on server " + engine.Name(e.Server) +
			", used by " + engine.Name(e.PrincipalID) + ".",
		Why: why,
	})
}
