// Package silence finds taps and servers that were active and are heard of no more, without having said that they stop.
package silence

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Tap and Server are how long one must be silent at least.
	Tap    time.Duration `mapstructure:"tap"`
	Server time.Duration `mapstructure:"server"`
	// Gaps is how many times its longest pause so far it must be silent.
	Gaps float64 `mapstructure:"gaps"`
	// Events is how many of one must have been seen before its silence says anything.
	Events int64 `mapstructure:"events"`
	// Known is how long a server must be known: a week has a weekend.
	Known time.Duration `mapstructure:"known"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Tap < time.Minute || c.Server < time.Minute || c.Known < 0:
		return errors.New("tap and server must be at least 1m, known not negative")
	case c.Gaps < 1:
		return errors.New("gaps must be at least 1")
	case c.Events < 2:
		return errors.New("events must be at least 2")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "telemetry_silence",
	Version:    "1.0.0",
	Title:      "A tap has gone silent",
	Severity:   engine.Low,
	Confidence: 0.6,
	Key:        engine.KeyTenant,
	MaxKeys:    4096,
	TTL:        30 * 24 * time.Hour,
	Sees:       "When events came from each tap and about each server, and the tap's own records of its stop and its server's exit.",
	Fires: "A tap with `events` events that is silent for `tap`, and for `gaps` times its longest pause so far, without having said that it stops: medium if others on the same host are heard in the meantime, low if only others elsewhere are. " +
		"A server known for `known` about which nothing comes for `server` and `gaps` times its longest pause: medium. Once for each silence. If nothing at all comes from the tenant, time stands still and nothing is raised.",
	Tuning:         "`tap` (30m), `server` (12h), `gaps` (3), `events` (20), `known` (8 days).",
	Gaps:           "A tap or server that was hardly used. The silence of everything at once: `mcpsiem status` and the pipeline's metrics show it. More than 4096 taps and servers of a tenant. A tap that says it stops because somebody stopped it.",
	FalsePositives: "A laptop that sleeps; a server that was removed; holidays.",
	Remediation:    "See whether the tap runs, and whether its server is used without it. If somebody removed it, find out who. Treat the time as unobserved.",
	References: []string{
		"OWASP-MCP 2025-beta MCP08:2025 Lack of Audit and Telemetry",
		"MITRE-ATLAS 5.6 AML.T0107 Exploitation for Defense Evasion",
		"MITRE-ATLAS 5.6 AML.M0024 AI Telemetry Logging",
	},
}, Config{Tap: 30 * time.Minute, Server: 12 * time.Hour, Gaps: 3, Events: 20, Known: 8 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// Bounds of what is remembered of a tenant.
const (
	maxSources = 4096
	maxHosts   = 4096
	every      = 5 * time.Minute // looked at
	keep       = 30 * 24 * time.Hour
)

// state is the sources of a tenant.
type state struct {
	Sources map[string]*source      `json:"s,omitempty"` // by kind, NUL and name
	Hosts   generation.Map[[2]host] `json:"h"`           // the two taps of a host heard last
	Timer   bool                    `json:"t,omitempty"`
	Latest  int64                   `json:"l,omitempty"` // when anything was heard last
}

// source is a tap or a server.
type source struct {
	First   int64  `json:"f"`
	Last    int64  `json:"l"`
	Pause   int64  `json:"p"` // the longest
	N       int64  `json:"n"`
	Host    string `json:"h,omitempty"`
	Event   string `json:"e,omitempty"` // the latest
	Stopped bool   `json:"x,omitempty"` // it said so
	Raised  bool   `json:"r,omitempty"`
}

type host struct {
	Tap string `json:"t,omitempty"`
	At  int64  `json:"a,omitempty"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return (e.TapID != "" || e.Server != "") && e.Name != event.NameAudit
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if !s.Timer {
		s.Timer = true
		c.SetTimer(c.Now + int64(every))
	}
	s.Latest = max(s.Latest, c.Now)
	if e.TapID != "" {
		s.heard(c, e, "tap\x00"+e.TapID, e.Name == event.NameTapStop || e.Name == event.NameServerExit)
		if e.HostName != "" {
			key := generation.Hash(e.HostName)
			h, _ := s.Hosts.Get(key, maxHosts)
			if h[0].Tap != e.TapID {
				h[1] = h[0]
			}
			h[0] = host{e.TapID, max(c.Now, 0)}
			s.Hosts.Put(key, h, maxHosts)
		}
	}
	if e.Server != "" && e.Kind != event.KindRecord {
		s.heard(c, e, "server\x00"+e.Server, false)
	}
}

func (s *state) heard(c *engine.Context, e *event.Event, key string, stopped bool) {
	if len(key) > 300 {
		return
	}
	x := s.Sources[key]
	if x == nil {
		if len(s.Sources) >= maxSources {
			return
		}
		if s.Sources == nil {
			s.Sources = map[string]*source{}
		}
		x = &source{First: c.Now, Last: c.Now}
		s.Sources[key] = x
	}
	if pause := c.Now - x.Last; pause > x.Pause && !x.Stopped {
		x.Pause = pause
	}
	if c.Now >= x.Last {
		x.Last, x.Event, x.Stopped, x.Raised = c.Now, e.ID, stopped, false
	}
	x.N++
	if e.HostName != "" {
		x.Host = e.HostName
	}
}

// Timer looks at all sources; it keeps coming as long as there are any.
func (d *detector) Timer(c *engine.Context, s *state) {
	keys := make([]string, 0, len(s.Sources))
	for k, x := range s.Sources {
		if x.Last < c.Now-int64(keep) {
			delete(s.Sources, k)
			continue
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		kind, name, _ := strings.Cut(k, "\x00")
		d.judge(c, s, s.Sources[k], kind, name)
	}
	if s.Timer = len(keys) > 0; s.Timer {
		c.SetTimer(max(c.Now, c.Watermark) + int64(every))
	}
}

func (d *detector) judge(c *engine.Context, s *state, x *source, kind, name string) {
	silent := s.Latest - x.Last // as far as others were heard: time alone says nothing
	least, title, severity := d.conf.Tap, "A tap has gone silent", engine.Low
	if kind == "server" {
		least, title, severity = d.conf.Server, "A server has gone silent", engine.Medium
		if x.Last-x.First < int64(d.conf.Known) {
			return
		}
	}
	if x.Raised || x.Stopped || x.N < d.conf.Events || silent < int64(least) || float64(silent) < d.conf.Gaps*float64(x.Pause) {
		return
	}
	x.Raised = true
	why := map[string]string{
		"kind": kind, "name": engine.Name(name), "silent_for": round(silent), "longest_pause_before": round(x.Pause), "events": strconv.FormatInt(x.N, 10), "last": time.Unix(0, x.Last).UTC().Format(time.RFC3339),
	}
	if kind == "tap" && x.Host != "" {
		why["host"] = engine.Name(x.Host)
		h, _ := s.Hosts.Get(generation.Hash(x.Host), maxHosts)
		for _, o := range h {
			if o.Tap != "" && o.Tap != name && o.At > x.Last+int64(least)/2 {
				severity, why["heard_on_the_host"] = engine.Medium, engine.Name(o.Tap)
			}
		}
	}
	a := engine.Alert{
		Scope: []string{kind, name, strconv.FormatInt(x.Last, 10)}, Title: title, Severity: severity,
		Summary: "Nothing has come from " + kind + " " + engine.Name(name) + " for " + why["silent_for"] + ", and it did not say that it stops.", Why: why, FirstSeen: x.Last, LastSeen: x.Last + silent,
	}
	if x.Event != "" {
		a.EventIDs = []string{x.Event}
	}
	c.Emit(a)
}

func round(ns int64) string { return time.Duration(ns).Round(time.Second).String() }
