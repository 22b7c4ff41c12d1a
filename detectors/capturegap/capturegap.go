// Package capturegap finds events that a tap numbered and that never arrived.
package capturegap

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/seqset"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Reorder is how long in event time a missing number may still arrive.
	Reorder time.Duration `mapstructure:"reorder"`
	// HighCount is how many missing events make the finding's severity high.
	HighCount int64 `mapstructure:"high_count"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Reorder < 0 {
		return errors.New("reorder must not be negative")
	}
	if c.HighCount < 1 {
		return errors.New("high_count must be at least 1")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "capture_gap",
	Version:    "1.0.0",
	Title:      "Events of a tap never arrived",
	Severity:   engine.Medium,
	Confidence: 0.95,
	Key:        engine.KeyTap,
	TTL:        7 * 24 * time.Hour,
	Sees:       "The numbers that each run of a tap gives its events, without gaps, and its loss records.",
	Fires: "When a number is still missing after later ones have arrived and the reorder time has passed. What the tap itself declared as lost is `capture_loss` instead: here something between the tap and " +
		"the event stream lost or removed events. high from `high_count` missing events on.",
	Tuning: "`reorder` (default 1m) must be longer than a retry between tap and collector takes. `high_count` (100).",
	Gaps: "The end of a run: numbers that nothing followed. The beginning of a run that started before this detector did. Sources other than taps. " +
		"The finding comes with the tenant's next events after the reorder time, not by the clock.",
	FalsePositives: "Events dead-lettered before they became part of the stream are missing here too, and are listed there.",
	Remediation:    "Look for dead letters and for a tap's spool that was deleted; otherwise treat it as tampering. Treat the period as unobserved in any investigation.",
	References: []string{
		"OWASP-MCP 2025-beta MCP08:2025 Lack of Audit and Telemetry",
		"MITRE-ATLAS 5.6 AML.T0107 Exploitation for Defense Evasion",
		"MITRE-ATLAS 5.6 AML.M0024 AI Telemetry Logging",
	},
}, Config{Reorder: time.Minute, HighCount: 100}, func(c Config) (engine.Detector[state], error) { return &detector{c}, nil })

// Bounds of what is remembered of a run.
const (
	maxOpen   = 256
	maxRanges = 512
	maxShown  = 20
)

// state of one run of a tap.
type state struct {
	Tap   string     `json:"tap"`
	Epoch int64      `json:"epoch"`
	Seen  seqset.Set `json:"seen"` // numbers that arrived or were declared lost
	Open  []gap      `json:"open,omitempty"`
	// Early are gaps that were given up before their time because there were too many.
	Early []seqset.Range `json:"early,omitempty"`
}

// gap is a range with numbers missing.
type gap struct {
	Lo  uint64 `json:"lo"`
	Hi  uint64 `json:"hi"`
	Due int64  `json:"due"` // when it is raised if it is still there, ns of event time
	At  int64  `json:"at"`  // time of the event that showed it
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool { return e.TapID != "" && e.TapSeq > 0 }

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if s.Tap == "" {
		s.Tap, s.Epoch = e.TapID, e.TapEpoch
		if e.TapEpoch < c.Since { // the run is older than what can be known: it begins here
			s.Seen.AddRange(seqset.Range{Lo: 1, Hi: uint64(e.TapSeq)})
		}
	}
	if e.Name == event.NameTapLoss && e.LostFrom > 0 && e.LostTo >= e.LostFrom {
		d.extend(c, s, seqset.Range{Lo: uint64(e.LostFrom), Hi: uint64(e.LostTo)})
	}
	n := uint64(e.TapSeq)
	if n == s.Seen.Max()+1 { // in order: the usual case
		s.Seen.Add(n)
		return
	}
	d.extend(c, s, seqset.Range{Lo: n, Hi: n})
}

// extend adds r, and opens a gap for what lies between it and the highest number so far.
func (d *detector) extend(c *engine.Context, s *state, r seqset.Range) {
	if top := s.Seen.Max(); r.Lo > top+1 {
		g := gap{Lo: top + 1, Hi: r.Lo - 1, Due: max(c.Now, c.Watermark) + int64(d.conf.Reorder), At: c.Now}
		s.Open = append(s.Open, g)
		if len(s.Open) > maxOpen { // the two oldest become one, which is raised with the later of them
			s.Open[1].Lo = s.Open[0].Lo
			s.Open[1].Due = max(s.Open[0].Due, s.Open[1].Due)
			s.Open = slices.Delete(s.Open, 0, 1)
		}
		c.SetTimer(g.Due)
	}
	s.Seen.AddRange(r)
	for len(s.Seen.Ranges()) > maxRanges {
		first := s.Seen.Ranges()[0]
		g := seqset.Range{Lo: first.Hi + 1, Hi: s.Seen.Ranges()[1].Lo - 1}
		s.Seen.AddRange(g)
		if k := len(s.Early); k > 0 && k >= maxShown {
			s.Early[k-1].Hi = g.Hi
		} else {
			s.Early = append(s.Early, g)
		}
	}
}

// Timer raises the gaps whose time has passed, all in one finding.
func (d *detector) Timer(c *engine.Context, s *state) {
	missing := s.Early
	at := c.Now
	next := int64(0)
	rest := s.Open[:0]
	for _, g := range s.Open {
		if g.Due <= c.Watermark {
			at = min(at, g.At)
			missing = s.Seen.Gaps(missing, seqset.Range{Lo: g.Lo, Hi: g.Hi})
			continue
		}
		if next == 0 || g.Due < next {
			next = g.Due
		}
		rest = append(rest, g)
	}
	s.Open, s.Early = rest, nil
	if next != 0 {
		c.SetTimer(next)
	}
	if len(missing) == 0 {
		return
	}
	slices.SortFunc(missing, func(a, b seqset.Range) int {
		if a.Lo < b.Lo {
			return -1
		}
		return 1
	})
	total := uint64(0)
	var evidence []string
	for i, r := range missing {
		total += r.Len()
		if i < maxShown {
			evidence = append(evidence, "numbers "+text(r)+" are missing")
		}
	}
	severity := engine.Medium
	if total >= uint64(d.conf.HighCount) {
		severity = engine.High
	}
	first, last := missing[0], missing[len(missing)-1]
	a := engine.Alert{
		Scope:    []string{strconv.FormatUint(first.Lo, 10)},
		Severity: severity,
		Summary:  strconv.FormatUint(total, 10) + " events of tap " + engine.Name(s.Tap) + " never arrived, the first numbered " + strconv.FormatUint(first.Lo, 10) + ".",
		Evidence: evidence,
		Why: map[string]string{
			"missing": strconv.FormatUint(total, 10), "ranges": strconv.Itoa(len(missing)),
			"from": strconv.FormatUint(first.Lo, 10), "to": strconv.FormatUint(last.Hi, 10), "reorder": d.conf.Reorder.String(),
		},
		FirstSeen: at,
		LastSeen:  c.Now,
		Count:     int64(min(total, 1<<62)),
	}
	for _, n := range []uint64{first.Lo - 1, last.Hi + 1} { // the events on either side
		if n > 0 && s.Seen.Contains(n) {
			a.EventIDs = append(a.EventIDs, event.TapID(s.Tap, s.Epoch, int64(n)))
		}
	}
	for _, r := range missing { // raised once; should they arrive after all, they are no news here
		s.Seen.AddRange(r)
	}
	c.Emit(a)
}

func text(r seqset.Range) string {
	if r.Lo == r.Hi {
		return strconv.FormatUint(r.Lo, 10)
	}
	return strconv.FormatUint(r.Lo, 10) + " to " + strconv.FormatUint(r.Hi, 10)
}
