// Package slowdrip finds data that leaves a little at a time over hours and days.
package slowdrip

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/detectors/taint"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

// Config of the detector.
type Config struct {
	// Hours is in how many different hours something must have gone to the destination.
	Hours int `mapstructure:"hours"`
	// Values is how many different values of results.
	Values int `mapstructure:"values"`
	// Rate is how many values an hour are slow at most, on average over the hours with any.
	Rate float64 `mapstructure:"rate"`
	// Learn is how long a principal's destinations are learned before another one is new.
	Learn time.Duration `mapstructure:"learn"`
	// Young is for how long a destination is new.
	Young time.Duration `mapstructure:"young"`
	// Memory is how long a result is remembered.
	Memory time.Duration `mapstructure:"memory"`
	// Shared are domains of which one address says nothing about another: mail providers. There, one recipient must be in all sends.
	Shared []string `mapstructure:"shared"`
	// IgnoreDestinations are destinations that are inside; with a trailing * as prefixes.
	IgnoreDestinations []string `mapstructure:"ignore_destinations"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Learn <= 0 || c.Young <= 0 || c.Memory <= 0 {
		return errors.New("learn, young and memory must be above 0")
	}
	if c.Hours < 2 || c.Values < 2 || c.Values > maxValues || c.Rate <= 0 {
		return errors.New("hours and values must be at least 2, values at most " + strconv.Itoa(maxValues) + ", rate above 0")
	}
	return nil
}

// Bounds of what is remembered of a principal.
const (
	maxSources = 8
	maxDrips   = 16
	maxValues  = 48
	maxKnown   = 128
	maxShown   = 6
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "slow_drip",
	Version:    "1.0.0",
	Title:      "Data leaves a little at a time",
	Severity:   engine.Medium,
	Confidence: 0.6,
	Key:        engine.KeyPrincipal,
	MaxKeys:    16384,
	TTL:        30 * 24 * time.Hour,
	Sees:       "Keyed samples of sensitive values and identifiers in results of tools that read private data or that held sensitive values, and of the arguments of calls that lead to a destination, over days.",
	Fires: "When at least `values` different values of results of a principal went to one destination, in `hours` different hours, at no more than `rate` values an hour, and the destination is new: not older than `young` for a principal that had used others for `learn` before. " +
		"high at four times the hours. Once for each destination and severity. At domains in `shared`, one recipient must be in all of the sends, for many people have a mailbox there.",
	Tuning: "`hours` (default 12), `values` (12), `rate` (10), `learn` (7 days), `young` (30 days), `memory` (24h: how long between reading and sending), `shared`, `ignore_destinations`.",
	Gaps: "Values that are not among the samples of their result: of one with many only a part is. Of a principal 16 destinations are followed. Drips over several destinations or principals, or to one that is used for other things. " +
		"Fingerprints change their key every week, so that a value counts once more then.",
	FalsePositives: "A new partner or ticket system that gets a record an hour because that is its purpose.",
	Remediation:    "Find out who is behind the destination. If nobody knows: cut it off, list what went there from the stored events, and treat it as disclosed.",
	References: []string{
		"OWASP-MCP 2025-beta MCP10:2025 Context Injection & Over-Sharing",
		"OWASP-LLM 2025 LLM02:2025 Sensitive Information Disclosure",
		"OWASP-LLM 2026 LLM02:2026 Sensitive Information Disclosure",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"OWASP-ASI 2026 ASI10 Rogue Agents",
		"MITRE-ATLAS 5.6 AML.T0086 Exfiltration via AI Agent Tool Invocation",
		"MITRE-ATLAS 5.6 AML.T0085.001 Data from AI Services: AI Agent Tools",
		"SAFE-MCP 2026-02-01 SAFE-T1804 API Data Harvest",
		"SAFE-MCP 2026-02-01 SAFE-T1910 Covert Channel Exfil",
	},
}, Config{Hours: 12, Values: 12, Rate: 10, Learn: 7 * 24 * time.Hour, Young: 30 * 24 * time.Hour, Memory: 24 * time.Hour,
	Shared: []string{"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "proton.me", "protonmail.com", "gmx.net", "gmx.de", "web.de", "aol.com", "mail.ru", "qq.com", "163.com"},
}, func(c Config) (engine.Detector[state], error) { return &detector{c}, nil })

// state of one principal.
type state struct {
	Memory taint.Memory `json:"m,omitzero"`
	Known  flow.Known   `json:"k,omitzero"`
	Drips  []drip       `json:"d,omitempty"` // least recently fed first
}

// drip is what went to a new destination.
type drip struct {
	Name   string        `json:"n"`
	First  int64         `json:"f"`           // when the destination came up or the first value went there, ns
	Hour   int64         `json:"h"`           // the last hour with a value
	Hours  int           `json:"c"`           // with any
	Sends  int           `json:"s,omitempty"` // with any value
	Total  int           `json:"t,omitempty"` // different values
	Values taint.Samples `json:"v,omitempty"` // the first maxValues of them
	Common taint.Samples `json:"r,omitempty"` // values in all of the sends: a recipient
	Steps  []flow.Step   `json:"e,omitempty"` // first ones and the last
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if len(e.Fingerprints) == 0 {
		return false
	}
	if e.Kind == event.KindRequest {
		return len(e.Destinations) > 0 && flow.IsCall(e) && flow.Carries(e, flow.Of(e))
	}
	return flow.IsResult(e) && (len(e.DataClasses) > 0 || flow.Of(e)&flow.Private != 0)
}

func exact(k shingle.Kind) bool { return k != shingle.Run }

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if e.Kind == event.KindResponse {
		s.Memory.Note(e, flow.StepOf(c, e), flow.Of(e), c.Now-int64(d.conf.Memory), maxSources)
		return
	}
	fresh := s.Known.Learn(e.Destinations, c.Now, int64(d.conf.Learn), int64(d.conf.Young), maxKnown)
	if fresh == "" || flow.Inside(d.conf.IgnoreDestinations, e) {
		return
	}
	samples := taint.Of(e, exact)
	var gone taint.Samples
	for _, h := range samples {
		for i := range s.Memory.Sources {
			if _, ok := slices.BinarySearch(s.Memory.Sources[i].Samples, h); ok && s.Memory.Sources[i].At >= c.Now-int64(d.conf.Memory) {
				gone = append(gone, h)
				break
			}
		}
	}
	r := s.drip(fresh, c.Now)
	if len(gone) == 0 {
		return
	}
	if r.Sends++; r.Sends == 1 {
		r.Common = samples
	} else {
		r.Common = slices.DeleteFunc(r.Common, func(h uint64) bool { _, ok := slices.BinarySearch(samples, h); return !ok })
	}
	for _, h := range gone {
		if _, ok := slices.BinarySearch(r.Common, h); ok && r.Sends > 1 {
			continue // the recipient
		}
		k, have := slices.BinarySearch(r.Values, h)
		if have {
			continue
		}
		r.Total++
		if len(r.Values) < maxValues {
			r.Values = slices.Insert(r.Values, k, h)
		}
	}
	step := flow.StepOf(c, e)
	if hour := c.Now / int64(time.Hour); hour > r.Hour {
		r.Hour = hour
		r.Hours++
		if len(r.Steps) >= maxShown {
			r.Steps = r.Steps[:maxShown-1]
		}
		r.Steps = append(r.Steps, step)
	}
	severity := engine.Medium
	if r.Hours >= 4*d.conf.Hours {
		severity = engine.High
	}
	if r.Hours < d.conf.Hours || r.Total < d.conf.Values || float64(r.Total)/float64(r.Hours) > d.conf.Rate {
		return
	}
	if slices.Contains(d.conf.Shared, fresh) && len(r.Common) == 0 {
		return
	}
	var v flow.Evidence
	for i, x := range r.Steps {
		what := "takes values there"
		if i == maxShown-1 {
			what += ", the last of " + strconv.Itoa(r.Sends)
		}
		v.Add(x, time.Unix(0, x.At).UTC().Format("2006-01-02")+" "+what)
	}
	c.Emit(engine.Alert{
		Scope: []string{fresh, severity}, Severity: severity,
		Summary:  flow.Who(e) + " sends to " + engine.Name(fresh) + ", a new destination, a little of what it reads at a time: " + strconv.Itoa(r.Total) + " values in " + strconv.Itoa(r.Hours) + " hours, the last with " + step.Where() + ".",
		Evidence: v.Words, EventIDs: v.IDs, FirstSeen: v.First, Count: int64(r.Sends),
		Why: map[string]string{
			"destination": fresh, "values": strconv.Itoa(r.Total), "hours": strconv.Itoa(r.Hours), "sends": strconv.Itoa(r.Sends), "values_an_hour": strconv.FormatFloat(float64(r.Total)/float64(r.Hours), 'f', 1, 64),
			"days": strconv.FormatInt((c.Now-r.First)/int64(24*time.Hour), 10), "one_recipient": strconv.FormatBool(len(r.Common) > 0), "destinations": strings.Join(e.Destinations, " "),
		},
	})
}

// drip finds or makes the entry of a destination; the one that was fed longest ago gives way.
func (s *state) drip(name string, now int64) *drip {
	i := slices.IndexFunc(s.Drips, func(x drip) bool { return x.Name == name })
	x := drip{Name: flow.Clip(name), First: now}
	switch {
	case i >= 0:
		x = s.Drips[i]
		s.Drips = slices.Delete(s.Drips, i, i+1)
	case len(s.Drips) >= maxDrips:
		s.Drips = slices.Delete(s.Drips, 0, 1)
	}
	s.Drips = append(s.Drips, x)
	return &s.Drips[len(s.Drips)-1]
}
