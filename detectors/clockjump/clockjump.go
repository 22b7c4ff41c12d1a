// Package clockjump finds taps whose clock jumps or is wrong: times of such events cannot be trusted.
package clockjump

import (
	"errors"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Back is how far a tap's time may go back from one of its events to the next.
	Back time.Duration `mapstructure:"back"`
	// Ahead is how far it may be ahead of the collector's clock.
	Ahead time.Duration `mapstructure:"ahead"`
	// High is from how much on it matters more.
	High time.Duration `mapstructure:"high"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Back <= 0 || c.Ahead <= 0 || c.High < c.Back || c.High < c.Ahead {
		return errors.New("back and ahead must be above 0, and high no less than either")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:             "clock_jump",
	Version:        "1.0.0",
	Title:          "A tap's clock jumped",
	Severity:       engine.Low,
	Confidence:     0.85,
	Key:            engine.KeyTap,
	TTL:            7 * 24 * time.Hour,
	Sees:           "The times of each run of a tap's events, beside their numbers, and when the collector received them.",
	Fires:          "low, medium from `high` on: an event has a higher number than the one before and a time that is more than `back` earlier; a time is more than `ahead` later than its receipt. Once an hour for each of the two and a run.",
	Tuning:         "`back` (5s), `ahead` (1m), `high` (10m).",
	Gaps:           "A clock that is slow, or that jumped forward and is still in the past: an event that was spooled looks the same. Times of other sources. Two clocks that are wrong together.",
	FalsePositives: "Machines that wake up; virtual machines that were paused; a clock that is set at last.",
	Remediation:    "Let the host synchronise its clock. If it does, find out who set it: times that were set back hide when something happened. Order events of the run by their numbers.",
	References: []string{
		"OWASP-MCP 2025-beta MCP08:2025 Lack of Audit and Telemetry",
		"MITRE-ATLAS 5.6 AML.T0107 Exploitation for Defense Evasion",
		"MITRE-ATLAS 5.6 AML.M0024 AI Telemetry Logging",
	},
}, Config{Back: 5 * time.Second, Ahead: time.Minute, High: 10 * time.Minute}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of a run.
type state struct {
	Seq   int64  `json:"s"`
	At    int64  `json:"a"`
	Event string `json:"e,omitempty"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return e.TapID != "" && e.TapSeq > 0 && e.Time > 0 && e.Time < 1<<62
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if e.Received > 0 && e.Time-e.Received > int64(d.conf.Ahead) {
		d.raise(c, e, "ahead", e.Time-e.Received, "is ahead of the collector's", nil)
	}
	if e.TapSeq <= s.Seq {
		return
	}
	if s.Seq > 0 && s.At-e.Time > int64(d.conf.Back) {
		d.raise(c, e, "back", s.At-e.Time, "went back", []string{s.Event, e.ID})
	}
	s.Seq, s.At, s.Event = e.TapSeq, e.Time, e.ID
}

func (d *detector) raise(c *engine.Context, e *event.Event, what string, by int64, text string, ids []string) {
	severity := engine.Low
	if by >= int64(d.conf.High) {
		severity = engine.Medium
	}
	far := time.Duration(by).Round(time.Second).String()
	c.Emit(engine.Alert{
		Scope: []string{what, severity}, Window: time.Hour, Severity: severity,
		Summary: "The clock of tap " + engine.Name(e.TapID) + " on host " + engine.Name(e.HostName) + " " + text + ", by " + far + ".",
		Why:     map[string]string{"what": what, "by": far, "sequence": strconv.FormatInt(e.TapSeq, 10), "host": engine.Name(e.HostName)}, EventIDs: ids,
	})
}
