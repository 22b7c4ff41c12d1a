// Package archive finds archives and dumps that are made and then sent.
package archive

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
	"github.com/mcpsiem/mcpsiem/internal/inspect/outward"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

// Config of the detector.
type Config struct {
	// Window is how long after an archive was made a send counts.
	Window time.Duration `mapstructure:"window"`
	// Bytes is from what size on a message may hold an archive that it does not name.
	Bytes int64 `mapstructure:"bytes"`
	// Learn is how long a principal's destinations are learned before another one is new.
	Learn time.Duration `mapstructure:"learn"`
	// Repeat is after how long the same is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
	// IgnoreDestinations are destinations that are inside; with a trailing * as prefixes.
	IgnoreDestinations []string `mapstructure:"ignore_destinations"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 || c.Learn <= 0 || c.Repeat <= 0 || c.Bytes < 1 {
		return errors.New("window, learn, repeat and bytes must be above 0")
	}
	return nil
}

// Bounds of what is remembered of a principal.
const (
	maxMade  = 4
	maxKnown = 128
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "archive_send",
	Version:    "1.0.0",
	Title:      "Archive made, then sent",
	Severity:   engine.Low,
	Confidence: 0.5,
	Key:        engine.KeyPrincipal,
	MaxKeys:    16384,
	TTL:        30 * 24 * time.Hour,
	Sees:       "Calls whose arguments name an archive or dump or a command that makes one (`archive_in_arguments`: .zip, .tar.gz, .7z, pg_dump …), for tools that execute or write; the calls that follow which can take content to others; and keyed samples of both, to know the same name again.",
	Fires: "When within `window` of making an archive the same principal calls another tool, or the same with other arguments, that takes content outside and names an archive, or is of `bytes` or more, or holds text in an encoding.\n\n" +
		"| severity | what |\n|---|---|\n" +
		"| high | private data was read before, and the destination is new for the principal |\n" +
		"| medium | the destination is new; or private data was read before and the send names the archive that was made |\n" +
		"| low | anything else |\n\nOnce in `repeat` for each tool that sends.",
	Tuning:         "`window` (default 1h), `bytes` (65536), `learn` (7 days), `repeat` (24h), `ignore_destinations` for where backups go: `[\"bucket:acme-backup*\"]`.",
	Gaps:           "Archives under other names; archives made and sent by one command (argument_injection and toxic_flow may see that); ones that a server makes by itself.",
	FalsePositives: "Releases, backups and reports that are packed and uploaded: name where they go in `ignore_destinations`.",
	Remediation:    "Find out what went into the archive and who asked for it. If nobody did: cut off the destination and treat the content as disclosed.",
	References: []string{
		"OWASP-MCP 2025-beta MCP10:2025 Context Injection & Over-Sharing",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.TA0009 Collection",
		"MITRE-ATLAS 5.6 AML.TA0010 Exfiltration",
		"MITRE-ATLAS 5.6 AML.T0086 Exfiltration via AI Agent Tool Invocation",
		"SAFE-MCP 2026-02-01 SAFE-T1803 Database Dump",
		"SAFE-MCP 2026-02-01 SAFE-T1913 HTTP POST Exfil",
	},
}, Config{Window: time.Hour, Bytes: 64 << 10, Learn: 7 * 24 * time.Hour, Repeat: 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one principal.
type state struct {
	Read  flow.Step  `json:"r,omitzero"`  // the last that read private data
	Made  []made     `json:"m,omitempty"` // oldest first
	Known flow.Known `json:"k,omitzero"`
}

// made is a call that made an archive.
type made struct {
	flow.Step
	Arguments int64         `json:"g,omitempty"`
	Names     taint.Samples `json:"h,omitempty"` // identifiers in its arguments
	Read      flow.Step     `json:"r,omitzero"`  // what was read before
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if len(e.Capabilities) == 0 || e.Method != "tools/call" {
		return false
	}
	if e.Kind == event.KindResponse {
		return flow.Of(e)&flow.Private != 0
	}
	if !flow.IsCall(e) {
		return false
	}
	can := flow.Of(e)
	return e.Signals[outward.ArchiveInArguments] > 0 && can&(flow.Executes|flow.Writes) != 0 || flow.Carries(e, can)
}

func identifier(k shingle.Kind) bool { return k == shingle.Identifier }

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	step := flow.StepOf(c, e)
	if e.Kind == event.KindResponse {
		s.Read = step
		return
	}
	since := c.Now - int64(d.conf.Window)
	can := flow.Of(e)
	named := e.Signals[outward.ArchiveInArguments] > 0
	if flow.Carries(e, can) && !flow.Inside(d.conf.IgnoreDestinations, e) {
		fresh := s.Known.Learn(e.Destinations, c.Now, int64(d.conf.Learn), int64(d.conf.Repeat), maxKnown)
		if named || e.BodySize >= d.conf.Bytes || e.Signals[outward.EncodedInArguments] > 0 {
			d.send(c, e, s, step, fresh, named, since)
		}
		if can&flow.Sends != 0 {
			return
		}
	}
	if !named || can&(flow.Executes|flow.Writes) == 0 {
		return
	}
	m := made{Step: step, Arguments: e.ArgumentsFingerprint, Names: taint.Of(e, identifier)}
	if s.Read.At >= since {
		m.Read = s.Read
	}
	if len(s.Made) >= maxMade {
		s.Made = slices.Delete(s.Made, 0, 1)
	}
	s.Made = append(s.Made, m)
}

func (d *detector) send(c *engine.Context, e *event.Event, s *state, step flow.Step, fresh string, named bool, since int64) {
	s.Made = slices.DeleteFunc(s.Made, func(m made) bool { return m.At < since })
	names := taint.Of(e, identifier)
	var from *made
	same := false
	for i := len(s.Made) - 1; i >= 0 && !same; i-- {
		m := &s.Made[i]
		if m.Tool == step.Tool && m.Server == step.Server && m.Arguments == e.ArgumentsFingerprint {
			continue // the same call again
		}
		same = taint.Common(m.Names, names).Any()
		if from == nil || same {
			from = m
		}
	}
	if from == nil {
		return
	}
	read := from.Read.At != 0
	severity := engine.Low
	switch {
	case read && fresh != "":
		severity = engine.High
	case fresh != "", read && named && same:
		severity = engine.Medium
	}
	var v flow.Evidence
	v.Add(from.Read, "brought private data")
	v.Add(from.Step, "makes an archive or dump")
	what := "takes it or something of its size outside"
	if same {
		what = "takes an archive of the same name outside"
	} else if named {
		what = "takes an archive outside"
	}
	if len(e.Destinations) > 0 {
		what += ", to " + engine.Name(strings.Join(e.Destinations, " "))
	}
	v.Add(step, what)
	c.Emit(engine.Alert{
		Scope: []string{severity, step.Server, step.Tool}, Window: d.conf.Repeat, Severity: severity,
		Summary:  flow.Who(e) + " made an archive or dump with " + from.Where() + " and then sent with " + step.Where() + ".",
		EventIDs: v.IDs, Evidence: v.Words, FirstSeen: v.First, Count: int64(len(v.IDs)),
		Why: map[string]string{"names_archive": strconv.FormatBool(named), "same_name": strconv.FormatBool(same), "bytes": strconv.FormatInt(e.BodySize, 10), "private_read_before": strconv.FormatBool(read),
			"destinations": strings.Join(e.Destinations, " "), "new_destination": fresh, "seconds": strconv.FormatInt((c.Now-from.At)/int64(time.Second), 10)},
	})
}
