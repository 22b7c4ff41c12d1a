// Package channel finds addresses that carry more than an address: payloads in URLs and in host names.
package channel

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/outward"
)

// Config of the detector.
type Config struct {
	// URL is the score from which a payload in a URL counts.
	URL float64 `mapstructure:"url"`
	// Name is the score from which one in a host name does.
	Name float64 `mapstructure:"name"`
	// Image is the score from which a link or image in a result does.
	Image float64 `mapstructure:"image"`
	// Window is how long repeats for the same principal, tool and destination are part of one finding.
	Window time.Duration `mapstructure:"window"`
	// IgnoreDestinations are destinations that are inside; with a trailing * as prefixes.
	IgnoreDestinations []string `mapstructure:"ignore_destinations"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	for _, x := range []float64{c.URL, c.Name, c.Image} {
		if x <= 0 || x > 1 {
			return errors.New("url, name and image must be above 0 and at most 1")
		}
	}
	if c.Window <= 0 {
		return errors.New("window must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "covert_channel",
	Version:    "1.0.0",
	Title:      "Address that carries data",
	Severity:   engine.Low,
	Confidence: 0.5,
	Key:        engine.KeyMessage,
	Sees: "Signals of the arguments of calls, and of URIs of resources that are read: a long random-looking part of a URL (`payload_in_url`), long random-looking labels of a host name (`payload_in_name`), as DNS carries data; known collecting hosts, and links and images with " +
		"placeholders or long queries (`exfil_link`); whether a credential or personal data is in the arguments.",
	Fires: "| kind | when | severity |\n|---|---|---|\n" +
		"| url | payload_in_url reaches `url` | low; medium if the same arguments hold a credential, personal data or text in an encoding |\n" +
		"| name | payload_in_name reaches `name` | medium; high if the arguments hold such |\n" +
		"| image | exfil_link reaches `image` in arguments of a tool that others read: what it writes is shown to people, whose clients load it | low; medium with such data |\n\n" +
		"Once in `window` for each principal, tool, kind and destination. Whether the payload is content that was read before, content_taint says.",
	Tuning:         "`url` (default 0.6), `name` (0.7), `image` (0.5), `window` (1h), `ignore_destinations`.",
	Gaps:           "Short payloads, or those in words; data in the choice of addresses or in their times; parameters named like signatures, cursors and tokens. What the model shows its user does not pass MCP: an image there is seen only as the result that asked for it (injection_signal).",
	FalsePositives: "Links to shared documents and meetings, whose ids are long and random; names that a cloud gives to machines.",
	Remediation:    "Look at the redacted arguments and at what was read before in the conversation. Find out whose the host is. Let servers that fetch resolve only names on a list.",
	References: []string{
		"OWASP-MCP 2025-beta MCP10:2025 Context Injection & Over-Sharing",
		"OWASP-LLM 2025 LLM05:2025 Improper Output Handling",
		"OWASP-LLM 2026 LLM10:2026 Improper Output Handling",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.T0025 Exfiltration via Cyber Means",
		"MITRE-ATLAS 5.6 AML.T0077 LLM Response Rendering",
		"MITRE-ATLAS 5.6 AML.T0086 Exfiltration via AI Agent Tool Invocation",
		"SAFE-MCP 2026-02-01 SAFE-T1910 Covert Channel Exfil",
		"SAFE-MCP 2026-02-01 SAFE-T1911 Parameter Exfiltration",
		"SAFE-MCP 2026-02-01 SAFE-T1912 Stego Response",
	},
}, Config{URL: 0.6, Name: 0.7, Image: 0.5, Window: time.Hour}, func(c Config) (engine.Detector[struct{}], error) {
	return &detector{c}, nil
})

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if len(e.Signals) == 0 || e.Kind != event.KindRequest || e.Direction == event.ServerToClient {
		return false
	}
	return e.Signals[outward.PayloadInURL] >= d.conf.URL || e.Signals[outward.PayloadInName] >= d.conf.Name || e.Signals[content.SignalExfilLink] >= d.conf.Image
}

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	if flow.Inside(d.conf.IgnoreDestinations, e) {
		return
	}
	held := ""
	switch {
	case e.Signals["secret_in_arguments"] > 0:
		held = "a credential"
	case e.Signals["pii_in_arguments"] > 0:
		held = "personal data"
	case e.Signals[outward.EncodedInArguments] > 0:
		held = "text in an encoding"
	}
	kind, title, severity, worse, score := "", "", "", "", 0.0
	switch {
	case e.Signals[outward.PayloadInName] >= d.conf.Name:
		kind, title, severity, worse, score = "name", "Host name that carries data", engine.Medium, engine.High, e.Signals[outward.PayloadInName]
	case e.Signals[outward.PayloadInURL] >= d.conf.URL:
		kind, title, severity, worse, score = "url", "URL that carries data", engine.Low, engine.Medium, e.Signals[outward.PayloadInURL]
	default:
		if can := flow.Of(e); can&(flow.Writes|flow.Sends) == 0 {
			return
		}
		kind, title, severity, worse, score = "image", "Link or image that carries data", engine.Low, engine.Medium, e.Signals[content.SignalExfilLink]
	}
	if held != "" {
		severity = worse
	}
	step := flow.StepOf(c, e)
	c.Emit(engine.Alert{
		Scope: []string{e.PrincipalID, step.Server, step.Tool, kind, severity, strings.Join(e.Destinations, " ")}, Window: d.conf.Window,
		Title: title, Severity: severity,
		Summary:  flow.Who(e) + " called " + step.Where() + " with an address that looks like it carries data" + to(e) + ".",
		Evidence: []string{step.Text(title + to(e))},
		Why:      map[string]string{"kind": kind, "score": strconv.FormatFloat(score, 'g', 3, 64), "arguments_hold": held, "destinations": strings.Join(e.Destinations, " ")},
	})
}

func to(e *event.Event) string {
	if len(e.Destinations) == 0 {
		return ""
	}
	return ", to " + engine.Name(strings.Join(e.Destinations, " "))
}
