// Package volume finds principals that send much more, or much denser content, than they use to.
package volume

import (
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/decay"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/outward"
)

// Config of the detector.
type Config struct {
	// Hours is how many hours with sends make a past to compare with.
	Hours float64 `mapstructure:"hours"`
	// Deviations is how far above its mean an hour must be, in standard deviations of the logarithm.
	Deviations float64 `mapstructure:"deviations"`
	// Bytes is how much an hour must take outside at least.
	Bytes int64 `mapstructure:"bytes"`
	// Messages is how many long messages make a past of density.
	Messages float64 `mapstructure:"messages"`
	// HalfLife is how fast the past is forgotten.
	HalfLife time.Duration `mapstructure:"half_life"`
	// IgnoreDestinations are destinations that are inside; with a trailing * as prefixes.
	IgnoreDestinations []string `mapstructure:"ignore_destinations"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Hours < 3 || c.Messages < 5 {
		return errors.New("hours must be at least 3, messages at least 5")
	}
	if c.Deviations < 2 || c.Bytes < 1 || c.HalfLife < time.Hour {
		return errors.New("deviations must be at least 2, bytes at least 1, half_life at least 1h")
	}
	return nil
}

// Least deviations: a past that is all the same does not make the next hour an outlier.
const (
	leastSpread  = 0.5  // of the logarithm of bytes
	leastDensity = 0.03 // of density, which is 0 to 1
	long         = 1024 // bytes of a message whose density is judged
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "outbound_volume",
	Version:    "1.0.0",
	Title:      "Much more sent than usual",
	Severity:   engine.Medium,
	Confidence: 0.5,
	Key:        engine.KeyPrincipal,
	MaxKeys:    32768,
	TTL:        60 * 24 * time.Hour,
	Sees:       "The size of calls that can take content to others, and how dense their arguments are (`argument_entropy`: text is about 0.6, base64 0.75), of one principal, by the hour of event time.",
	Fires: "| kind | what | severity |\n|---|---|---|\n" +
		"| volume | in one hour the principal sends at least `bytes`, and more than `deviations` standard deviations above the mean of its hours with sends, on a logarithmic scale | medium; high from ten times that on |\n" +
		"| density | a message of 1 KB or more is denser than its others by as many deviations, as encoded or encrypted content is | low; medium if the hour's volume stands out too |\n\n" +
		"Volume needs `hours` hours of past, density `messages` messages. The past is forgotten with `half_life`; the deviation is taken to be 0.5 (a factor of 1.6) or 0.03 at least. Once an hour.",
	Tuning:         "`hours` (default 12), `deviations` (4), `bytes` (262144), `messages` (30), `half_life` (7 days), `ignore_destinations` for what is inside.",
	Gaps:           "A principal that always sends much. Growth slow enough to become its past (slow_drip looks at what, not how much). Sources that do not tell sizes.",
	FalsePositives: "A report with attachments, the first backup, a new duty. Images and archives are dense.",
	Remediation:    "Look at the hour's calls: where they lead and what was read before. If it is wanted, nothing more is needed: it becomes the past.",
	References: []string{
		"OWASP-MCP 2025-beta MCP10:2025 Context Injection & Over-Sharing",
		"OWASP-LLM 2025 LLM02:2025 Sensitive Information Disclosure",
		"OWASP-LLM 2026 LLM02:2026 Sensitive Information Disclosure",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.T0086 Exfiltration via AI Agent Tool Invocation",
		"MITRE-ATLAS 5.6 AML.TA0010 Exfiltration",
		"SAFE-MCP 2026-02-01 SAFE-T1913 HTTP POST Exfil",
	},
}, Config{Hours: 12, Deviations: 4, Bytes: 256 << 10, Messages: 30, HalfLife: 7 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one principal.
type state struct {
	Hour    int64        `json:"h,omitempty"` // hours since 1970
	Bytes   int64        `json:"b,omitempty"` // sent in it
	Sends   int64        `json:"n,omitempty"`
	First   string       `json:"f,omitempty"` // its first send
	Past    decay.Spread `json:"p,omitzero"`  // of the logarithm of bytes of hours that are over
	Density decay.Spread `json:"d,omitzero"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return e.BodySize > 0 && flow.IsCall(e) && (len(e.Capabilities) > 0 || len(e.Signals) > 0) && flow.Carries(e, flow.Of(e))
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if flow.Inside(d.conf.IgnoreDestinations, e) {
		return
	}
	hour := c.Now / int64(time.Hour)
	if hour > s.Hour {
		if s.Bytes > 0 {
			s.Past.Add(math.Log(float64(s.Bytes)), s.Hour*int64(time.Hour), d.conf.HalfLife)
		}
		s.Hour, s.Bytes, s.Sends, s.First = hour, 0, 0, e.ID
	}
	before := s.Bytes
	s.Bytes += min(e.BodySize, math.MaxInt64/2-s.Bytes)
	s.Sends++
	limit := d.limit(s)
	step := flow.StepOf(c, e)
	for i, l := range []float64{10 * limit, limit} {
		if limit == 0 || float64(before) > l || float64(s.Bytes) <= l {
			continue
		}
		severity := []string{engine.High, engine.Medium}[i]
		ids := []string{e.ID}
		if s.First != e.ID {
			ids = []string{s.First, e.ID}
		}
		c.Emit(engine.Alert{
			Scope: []string{"volume", severity}, Window: time.Hour, Severity: severity, EventIDs: ids, Count: s.Sends, FirstSeen: hour * int64(time.Hour),
			Summary:  flow.Who(e) + " sent " + strconv.FormatInt(s.Bytes, 10) + " bytes in " + strconv.FormatInt(s.Sends, 10) + " calls within the hour, the last with " + step.Where() + "; usual are about " + strconv.FormatFloat(math.Exp(s.Past.Mean), 'f', 0, 64) + ".",
			Evidence: []string{step.Text("takes the hour over " + strconv.FormatFloat(l, 'f', 0, 64) + " bytes")},
			Why: map[string]string{"kind": "volume", "bytes": strconv.FormatInt(s.Bytes, 10), "limit": strconv.FormatFloat(limit, 'f', 0, 64), "usual": strconv.FormatFloat(math.Exp(s.Past.Mean), 'f', 0, 64),
				"deviation": strconv.FormatFloat(s.Past.Deviation(), 'f', 2, 64), "hours_known": strconv.FormatFloat(s.Past.N, 'f', 0, 64)},
		})
		break
	}
	d.density(c, e, s, step, limit)
}

// limit is how much in an hour is unusual; 0 if too little is known.
func (d *detector) limit(s *state) float64 {
	if s.Past.N < d.conf.Hours {
		return 0
	}
	return max(float64(d.conf.Bytes), math.Exp(s.Past.Mean+d.conf.Deviations*max(s.Past.Deviation(), leastSpread)))
}

func (d *detector) density(c *engine.Context, e *event.Event, s *state, step flow.Step, limit float64) {
	x := e.Signals[outward.ArgumentEntropy]
	if x == 0 || e.BodySize < long {
		return
	}
	bound := s.Density.Mean + d.conf.Deviations*max(s.Density.Deviation(), leastDensity)
	if s.Density.N >= d.conf.Messages && x > bound {
		severity := engine.Low
		if limit > 0 && float64(s.Bytes) > limit {
			severity = engine.Medium
		}
		c.Emit(engine.Alert{
			Scope: []string{"density", severity}, Window: time.Hour, Severity: severity, Title: "Denser content sent than usual",
			Summary:  flow.Who(e) + " sent with " + step.Where() + " what is much denser than what it uses to send, as encoded or encrypted content is.",
			Evidence: []string{step.Text("density " + strconv.FormatFloat(x, 'f', 2, 64))},
			Why: map[string]string{"kind": "density", "density": strconv.FormatFloat(x, 'f', 3, 64), "limit": strconv.FormatFloat(bound, 'f', 3, 64), "usual": strconv.FormatFloat(s.Density.Mean, 'f', 3, 64),
				"messages_known": strconv.FormatFloat(s.Density.N, 'f', 0, 64), "bytes": strconv.FormatInt(e.BodySize, 10)},
		})
		return // an outlier is not the past
	}
	s.Density.Add(x, c.Now, d.conf.HalfLife)
}
