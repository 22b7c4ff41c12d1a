// Package contenttaint finds content of one tool's result in what is later sent with another.
package contenttaint

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/detectors/taint"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/outward"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

// Config of the detector.
type Config struct {
	// Window is how long a result is remembered.
	Window time.Duration `mapstructure:"window"`
	// Values is how many different sensitive values of results must leave within the window, in however many calls.
	Values int `mapstructure:"values"`
	// Bulk is how many sensitive values of one result make a call that takes them along one of bulk, where its destination is not known for Learn.
	Bulk int `mapstructure:"bulk"`
	// Learn is how long a principal's destinations are learned before another one is new.
	Learn time.Duration `mapstructure:"learn"`
	// Repeat is after how long the same way is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
	// IgnoreDestinations are destinations that are inside; with a trailing * as prefixes.
	IgnoreDestinations []string `mapstructure:"ignore_destinations"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 || c.Learn <= 0 || c.Repeat <= 0 {
		return errors.New("window, learn and repeat must be above 0")
	}
	if c.Values < 2 || c.Values > maxSent {
		return errors.New("values must be 2 to " + strconv.Itoa(maxSent))
	}
	return nil
}

// Bounds of what is remembered of a principal.
const (
	maxSources = 12
	maxSent    = 64
	maxKnown   = 128
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "content_taint",
	Version:    "1.1.0",
	Title:      "Content of a result leaves with another tool",
	Severity:   engine.Low,
	Confidence: 0.5,
	Key:        engine.KeyPrincipal,
	MaxKeys:    16384,
	TTL:        30 * 24 * time.Hour,
	Sees: "Keyed samples of results of tools that read private data, or that held sensitive values, and of the arguments of calls that can take content to others. Samples are of sensitive values, identifiers, and runs of five words; they are taken " +
		"from what base64, hexadecimal, compression, percent encoding and reversal hide too, so that content in disguise, in parts, or partly reworded is the same content. The last 12 results of a principal count, across servers and conversations.",
	Fires: "When a call takes content outside that stood in an earlier result of the same principal:\n\n" +
		"| severity | what |\n|---|---|\n" +
		"| high | a credential from a result of another server; or content in disguise: encoded, or as a part of an address |\n" +
		"| medium | a credential from a result of the same server, to a destination; at least `values` different sensitive values from results within `window`, in one call or many, or a substantial part of a private result, to a destination that is new for the principal; at least `bulk` sensitive values of one result in one call, to a destination that it has not used for `learn`; a principal's own mail domain is neither |\n" +
		"| low | `values` sensitive values to a known destination or to none that is seen |\n\n" +
		"A destination is new if the principal had used others for `learn` before it came up. Each way at most once in `repeat`.",
	Tuning: "`window` (default 2h), `values` (8), `bulk` (20), `learn` (7 days), `repeat` (24h), `ignore_destinations` for what is inside. Moving content is what agents are for; that is why ordinary moves are low at most.",
	Gaps: "Of a message at most 64 samples exist: a single value out of a result with many may not be among them. Translation, summaries, images, encryption, ROT13, values cut within a word over several calls. Fingerprints of two rotation periods (a week) do not compare. " +
		"Answers of the model itself are not MCP.",
	FalsePositives: "Deployments that pass keys from a vault to a service; new partners; support that writes to customers from a new mail domain.",
	Remediation:    "Look at source and call. For a credential: revoke it. For personal data: find out who is behind the destination. Name destinations that are inside in `ignore_destinations`.",
	References: []string{
		"OWASP-MCP 2025-beta MCP10:2025 Context Injection & Over-Sharing",
		"OWASP-MCP 2025-beta MCP01:2025 Token Mismanagement & Secret Exposure",
		"OWASP-LLM 2025 LLM02:2025 Sensitive Information Disclosure",
		"OWASP-LLM 2026 LLM02:2026 Sensitive Information Disclosure",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.T0086 Exfiltration via AI Agent Tool Invocation",
		"MITRE-ATLAS 5.6 AML.T0057 LLM Data Leakage",
		"MITRE-ATLAS 5.6 AML.T0025 Exfiltration via Cyber Means",
		"SAFE-MCP 2026-02-01 SAFE-T1914 Tool-to-Tool Exfil",
		"SAFE-MCP 2026-02-01 SAFE-T1911 Parameter Exfiltration",
		"SAFE-MCP 2026-02-01 SAFE-T1913 HTTP POST Exfil",
	},
}, Config{Window: 2 * time.Hour, Values: 8, Bulk: 20, Learn: 7 * 24 * time.Hour, Repeat: 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one principal.
type state struct {
	Memory taint.Memory  `json:"m,omitzero"`
	Sent   taint.Samples `json:"s,omitempty"` // sensitive values of results that were sent, since SentAt
	SentAt int64         `json:"t,omitempty"`
	Known  flow.Known    `json:"k,omitzero"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if e.Kind == event.KindRequest {
		return flow.IsCall(e) && (len(e.Destinations) > 0 || len(e.Fingerprints) > 0) && flow.Carries(e, flow.Of(e))
	}
	return len(e.Fingerprints) > 0 && flow.IsResult(e) && (len(e.DataClasses) > 0 || e.Method == "resources/read" || flow.Of(e)&flow.Private != 0)
}

func exact(k shingle.Kind) bool { return k == shingle.Value }

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	since := c.Now - int64(d.conf.Window)
	if e.Kind == event.KindResponse {
		s.Memory.Note(e, flow.StepOf(c, e), flow.Of(e), since, maxSources)
		return
	}
	strange := len(e.Destinations) > 0 && !s.Known.All(e.Destinations, c.Now-int64(d.conf.Learn), maxKnown) && !own(e)
	fresh := s.Known.Learn(e.Destinations, c.Now, int64(d.conf.Learn), int64(d.conf.Repeat), maxKnown)
	if len(e.Fingerprints) == 0 || flow.Inside(d.conf.IgnoreDestinations, e) {
		return
	}
	samples := taint.Of(e, nil)
	src, o := s.Memory.Match(samples, since, nil)
	if src == nil {
		return
	}
	s.sent(c.Now, since, samples)
	substantial := o.Runs >= 3 || o.Values >= 2
	other := src.Server != flow.Clip(generation.Server(e))
	secret := src.Secret && o.Values > 0 && hasSecret(e)
	disguise := ""
	switch {
	case !substantial && o.Values == 0:
	case e.Signals[outward.EncodedInArguments] > 0:
		disguise = "encoded"
	case e.Signals[outward.PayloadInURL] > 0:
		disguise = "in an address"
	case e.Signals[outward.PayloadInName] > 0:
		disguise = "in a host name"
	}
	severity, how := "", ""
	switch {
	case disguise != "":
		severity, how = engine.High, disguise
	case secret && other:
		severity, how = engine.High, "a credential"
	case secret && len(e.Destinations) > 0:
		severity, how = engine.Medium, "a credential"
	case fresh != "" && !own(e) && (len(s.Sent) >= d.conf.Values || o.Runs >= 3 && src.Personal):
		severity, how = engine.Medium, "to a new destination"
	case strange && o.Values >= d.conf.Bulk:
		severity, how = engine.Medium, "in bulk"
	case len(s.Sent) >= d.conf.Values:
		severity, how = engine.Low, "many values"
	default:
		return
	}
	call := flow.StepOf(c, e)
	var v flow.Evidence
	v.Add(src.Step, "brought the content")
	what := "takes it outside"
	if len(e.Destinations) > 0 {
		what += ", to " + engine.Name(strings.Join(e.Destinations, " "))
	}
	v.Add(call, what)
	c.Emit(engine.Alert{
		Scope:    []string{how, src.Server, src.Tool, call.Server, call.Tool, fresh},
		Window:   d.conf.Repeat,
		Severity: severity,
		Title:    titles[how],
		Summary:  flow.Who(e) + " sends content that " + src.Where() + " brought with " + call.Where() + ": " + how + ".",
		EventIDs: v.IDs, Evidence: v.Words, FirstSeen: v.First, Count: int64(len(v.IDs)),
		Confidence: confidence(severity),
		Why: map[string]string{
			"how": how, "values": strconv.Itoa(o.Values), "identifiers": strconv.Itoa(o.Identifiers), "runs_of_words": strconv.Itoa(o.Runs), "values_in_window": strconv.Itoa(len(s.Sent)),
			"destinations": strings.Join(e.Destinations, " "), "new_destination": fresh, "seconds": strconv.FormatInt((c.Now-src.At)/int64(time.Second), 10),
		},
	})
}

var titles = map[string]string{
	"encoded": "Content of a result leaves encoded", "in an address": "Content of a result leaves in an address", "in a host name": "Content of a result leaves in a host name",
	"a credential": "Credential from a result leaves with another tool", "in bulk": "Records of a result leave in bulk", "to a new destination": "Content of a result goes to a new destination",
}

func confidence(severity string) float64 {
	if severity == engine.High {
		return 0.8
	}
	return 0.5
}

// hasSecret says that the arguments hold a credential.
// own says that a call leads only to the mail domain of who makes it.
func own(e *event.Event) bool {
	_, domain, ok := strings.Cut(e.PrincipalID, "@")
	return ok && domain != "" && !slices.ContainsFunc(e.Destinations, func(n string) bool { return !strings.EqualFold(n, domain) })
}

func hasSecret(e *event.Event) bool { return slices.ContainsFunc(e.DataClasses, content.IsSecret) }

// sent adds the sensitive values of remembered results among the samples.
func (s *state) sent(now, since int64, samples taint.Samples) {
	if s.SentAt < since {
		s.Sent, s.SentAt = nil, now
	}
	for _, h := range samples {
		if !exact(shingle.KindOf(h)) || len(s.Sent) >= maxSent {
			continue
		}
		for i := range s.Memory.Sources {
			if _, ok := slices.BinarySearch(s.Memory.Sources[i].Samples, h); !ok {
				continue
			}
			if k, have := slices.BinarySearch(s.Sent, h); !have {
				s.Sent = slices.Insert(s.Sent, k, h)
			}
			break
		}
	}
}
