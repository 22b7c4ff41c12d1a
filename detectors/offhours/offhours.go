// Package offhours finds calls that act at hours at which their principal never worked.
package offhours

import (
	"errors"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Days is on how many days a principal must have worked before it has hours.
	Days int `mapstructure:"days"`
	// Calls is how many calls it must have made.
	Calls float64 `mapstructure:"calls"`
	// Share is the share of its calls below which an hour, with the one before and after it, is not among them.
	Share float64 `mapstructure:"share"`
	// HalfLife is how fast habits are forgotten.
	HalfLife time.Duration `mapstructure:"half_life"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Days < 2 || c.Calls < 10 {
		return errors.New("days must be at least 2, calls at least 10")
	}
	if c.Share <= 0 || c.Share > 0.1 {
		return errors.New("share must be above 0 and at most 0.1")
	}
	if c.HalfLife < 24*time.Hour {
		return errors.New("half_life must be at least 24h")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "off_hours",
	Version:    "1.0.0",
	Title:      "Acting at unusual hours",
	Severity:   engine.Low,
	Confidence: 0.4,
	Key:        engine.KeyPrincipal,
	MaxKeys:    32768,
	TTL:        60 * 24 * time.Hour,
	Sees:       "All calls of a principal, to learn the hours of weekdays and of weekends (UTC) in which it works; and what those that act can do.",
	Fires: "When a principal that worked on `days` days or more, in at least `calls` calls, calls a tool that sends, deletes, executes or spends in an hour that, with the hours before and after it, had less than `share` of its calls. low; medium if the tool deletes or spends, " +
		"or if sensitive data is in the arguments of one that sends. Once a day. Habits are forgotten with `half_life`; services that work around the clock have no hours.",
	Tuning:         "`days` (default 10), `calls` (200), `share` (0.005), `half_life` (14 days).",
	Gaps:           "A principal without a past. An attacker who keeps to the hours. Hours of weekends are learned apart and need as long.",
	FalsePositives: "Travel, deadlines, a service that changed its schedule. Daylight saving moves hours by one, which the hours beside allow for.",
	Remediation:    "Ask the person. If it was not them, suspend the credential and look at everything that it did since.",
	References: []string{
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"OWASP-ASI 2026 ASI10 Rogue Agents",
		"MITRE-ATLAS 5.6 AML.T0012 Valid Accounts",
		"MITRE-ATLAS 5.6 AML.T0053 AI Agent Tool Invocation",
	},
}, Config{Days: 10, Calls: 200, Share: 0.005, HalfLife: 14 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

const day = int64(24 * time.Hour)

// state of one principal.
type state struct {
	Hours [48]float32 `json:"h"`           // calls in each hour of a weekday, then of a day of the weekend, decayed to Day
	Total [2]float32  `json:"t"`           // of weekdays and of weekends
	Days  [2]int      `json:"n"`           // on which there were any
	Last  [2]int64    `json:"l"`           // the last such day
	Day   int64       `json:"d,omitempty"` // days since 1970
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool { return flow.IsCall(e) }

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	today := c.Now / day
	hour := int(c.Now % day / int64(time.Hour))
	part := 0
	if w := (today + 4) % 7; w == 0 || w == 6 { // 1970-01-01 was a Thursday
		part = 1
	}
	if today > s.Day {
		if s.Day != 0 {
			s.forget(today-s.Day, d.conf.HalfLife)
		}
		s.Day = today
	}
	d.judge(c, e, s, part, hour)
	s.Hours[24*part+hour]++
	s.Total[part]++
	if today > s.Last[part] {
		s.Last[part] = today
		s.Days[part]++
	}
}

// forget lets what is known weigh less by so many days.
func (s *state) forget(days int64, halfLife time.Duration) {
	f := exp2(-float64(days) * float64(day) / float64(halfLife))
	for i := range s.Hours {
		s.Hours[i] *= f
	}
	s.Total[0] *= f
	s.Total[1] *= f
}

func (d *detector) judge(c *engine.Context, e *event.Event, s *state, part, hour int) {
	if s.Days[part] < d.conf.Days || float64(s.Total[part]) < d.conf.Calls {
		return
	}
	can := flow.Of(e)
	if can&(flow.Sends|flow.Destroys|flow.Executes|flow.Spends) == 0 {
		return
	}
	h := s.Hours[24*part : 24*part+24]
	around := h[(hour+23)%24] + h[hour] + h[(hour+1)%24]
	share := float64(around / s.Total[part])
	if share >= d.conf.Share {
		return
	}
	severity := engine.Low
	if can&(flow.Destroys|flow.Spends) != 0 || can&flow.Sends != 0 && len(e.DataClasses) > 0 {
		severity = engine.Medium
	}
	days := "weekdays"
	if part == 1 {
		days = "weekends"
	}
	step := flow.StepOf(c, e)
	c.Emit(engine.Alert{
		Scope: []string{severity}, Window: 24 * time.Hour, Severity: severity,
		Summary:  flow.Who(e) + " called " + step.Where() + ", which " + can.String() + ", at " + strconv.Itoa(hour) + " h UTC, when it hardly ever works on " + days + ".",
		Evidence: []string{step.Text("called; " + can.String())},
		Why: map[string]string{"hour_utc": strconv.Itoa(hour), "share": strconv.FormatFloat(share, 'g', 3, 64), "threshold": strconv.FormatFloat(d.conf.Share, 'g', 3, 64),
			"days_known": strconv.Itoa(s.Days[part]), "calls_known": strconv.FormatFloat(float64(s.Total[part]), 'f', 0, 64), "days": days},
	})
}
