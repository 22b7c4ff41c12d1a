// Package captureloss raises what taps say they could not keep.
package captureloss

import (
	"errors"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Window is how long the losses of one run of a tap are part of one finding.
	Window time.Duration `mapstructure:"window"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 {
		return errors.New("window must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:             "capture_loss",
	Version:        "1.0.0",
	Title:          "A tap could not keep all traffic",
	Severity:       engine.Medium,
	Confidence:     1,
	Key:            engine.KeyMessage,
	Sees:           "The loss records that taps write when their queue or spool is full.",
	Fires:          "Once an hour for each run of a tap that lost events. What passed meanwhile is not in the record, which an attacker can bring about by flooding.",
	Tuning:         "`window` (default 1h) is how long losses are folded together. Give the tap a larger spool if it happens while the collector is down.",
	Gaps:           "A tap that dies before it can write the record; `capture_gap` sees that once the tap's numbers show it. Further losses within the window are visible as events only.",
	FalsePositives: "None: the tap counts exactly. A planned outage longer than the spool lasts is harmless in itself.",
	Remediation:    "Find out why the collector did not take the tap's data, or enlarge the spool. Treat the period as unobserved in any investigation.",
	References: []string{
		"OWASP-MCP 2025-beta MCP08:2025 Lack of Audit and Telemetry",
		"MITRE-ATLAS 5.6 AML.M0024 AI Telemetry Logging",
	},
}, Config{Window: time.Hour}, func(c Config) (engine.Detector[struct{}], error) { return &detector{c}, nil })

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool { return e.Name == event.NameTapLoss }

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	lost := max(e.LostEvents, 0)
	why := map[string]string{"lost_events": strconv.FormatInt(lost, 10)}
	if e.LostTo >= e.LostFrom && e.LostFrom > 0 {
		why["lost_from"], why["lost_to"] = strconv.FormatInt(e.LostFrom, 10), strconv.FormatInt(e.LostTo, 10)
	}
	c.Emit(engine.Alert{
		Scope:   []string{e.TapID, strconv.FormatInt(e.TapEpoch, 10)},
		Window:  d.conf.Window,
		Summary: "Tap " + engine.Name(e.TapID) + " of server " + engine.Name(e.Server) + " could not keep " + strconv.FormatInt(lost, 10) + " events or more.",
		Why:     why,
		Count:   lost,
	})
}
