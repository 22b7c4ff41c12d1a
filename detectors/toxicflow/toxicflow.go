// Package toxicflow finds agents that have read private data, have seen what strangers write, and send something outside.
package toxicflow

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/detectors/taint"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Window is how long what was read counts.
	Window time.Duration `mapstructure:"window"`
	// Injection is the score from which untrusted content gives orders, 0 to 1.
	Injection float64 `mapstructure:"injection"`
	// Repeat is after how long the same flow is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
	// Learn is how long a principal's destinations are learned before another one is new.
	Learn time.Duration `mapstructure:"learn"`
	// IgnoreDestinations are destinations that are inside: own domains, own repositories; with a trailing * as prefixes.
	IgnoreDestinations []string `mapstructure:"ignore_destinations"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 || c.Repeat <= 0 || c.Learn <= 0 {
		return errors.New("window, repeat and learn must be above 0")
	}
	if c.Injection <= 0 || c.Injection > 1 {
		return errors.New("injection must be above 0 and at most 1")
	}
	return nil
}

// Bounds of what is remembered of a principal.
const (
	maxSources      = 4
	maxPending      = 8
	maxDestinations = 16
	maxKnown        = 128
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "toxic_flow",
	Version:    "1.0.0",
	Title:      "Private data, untrusted content and a way out",
	Severity:   engine.Informational,
	Confidence: 0.4,
	Key:        engine.KeyPrincipal,
	MaxKeys:    16384,
	TTL:        30 * 24 * time.Hour,
	Sees: "Calls of tools and their results, and resources that are read, of one principal (where nobody is known: credential, OS user or address), across its servers and conversations: the capabilities of the tools, the score " +
		"of orders in results, where calls lead (`destinations`), and the keyed samples of results and arguments. A tool that writes or runs commands is a way out where its arguments lead to a repository, a bucket or a host.",
	Fires: "When within `window` one principal has read private data, has seen content that strangers can write, and calls a tool that takes content to others. That alone is what many useful agents do, so that it is graded by what else is known:\n\n" +
		"| severity | what |\n|---|---|\n" +
		"| critical | the untrusted content gave orders, and what was read as private is in the arguments sent afterwards |\n" +
		"| high | private content is sent to where the untrusted content came from, or with an address that stood in it to a destination that is new for the principal; or private data was read after the orders, and something is sent |\n" +
		"| medium | the untrusted content gave orders and something is sent afterwards; the private data was read before |\n" +
		"| low | private content is in the arguments sent, but nothing more ties it to the untrusted content |\n" +
		"| informational | the three met in one principal, in any order |\n\nEach at most once in `repeat` for each way out.",
	Tuning: "`window` (default 1h), `injection` (0.5), `repeat` (24h), `learn` (7 days), `ignore_destinations` for what is inside: `[example.com, \"repo:acme/*\"]`; calls that lead only there are no way out. " +
		"What a tool can do is told to inspection in its file of capabilities. Alert from medium on; low and informational are for inventory.",
	Gaps: "Orders that inspection does not recognise and that leave no address: then only content that is sent shows the flow, and content that was reworded throughout does not. Of a large result only a sample is remembered. " +
		"What an agent does beside MCP. Tools whose capabilities nobody knows.",
	FalsePositives: "A document about prompt injection was read before an ordinary mail. An answer to a ticket that quotes the customer's own record, where ticket and record come from different tools.",
	Remediation: "Read the chain in its order. If private content went out: treat it as disclosed, revoke credentials that were in it, and find who controls the untrusted content. Separate the three: no agent needs all of them at once; " +
		"have a person confirm sends after untrusted content.",
	References: []string{
		"OWASP-MCP 2025-beta MCP06:2025 Intent Flow Subversion",
		"OWASP-MCP 2025-beta MCP10:2025 Context Injection & Over-Sharing",
		"OWASP-LLM 2025 LLM06:2025 Excessive Agency",
		"OWASP-LLM 2026 LLM03:2026 Excessive Agency",
		"OWASP-ASI 2026 ASI01 Agent Goal Hijack",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.T0086 Exfiltration via AI Agent Tool Invocation",
		"MITRE-ATLAS 5.6 AML.T0051.001 LLM Prompt Injection: Indirect",
		"SAFE-MCP 2026-02-01 SAFE-T1703 Tool-Chaining Pivot",
		"SAFE-MCP 2026-02-01 SAFE-T1701 Cross-Tool Contamination",
		"SAFE-MCP 2026-02-01 SAFE-T1914 Tool-to-Tool Exfil",
	},
}, Config{Window: time.Hour, Injection: 0.5, Repeat: 24 * time.Hour, Learn: 7 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one principal.
type state struct {
	Private   taint.Memory `json:"p,omitzero"`
	Untrusted taint.Memory `json:"u,omitzero"`
	LastPriv  flow.Step    `json:"lp,omitzero"`
	LastUntr  flow.Step    `json:"lu,omitzero"`
	LastSend  flow.Step    `json:"ls,omitzero"`
	Orders    flow.Step    `json:"o,omitzero"` // the last untrusted content that gave orders
	Score     float64      `json:"sc,omitempty"`
	Pending   []asked      `json:"q,omitempty"` // calls that read, by exchange
	From      []place      `json:"f,omitempty"` // where content came from
	Known     flow.Known   `json:"k,omitzero"`  // where calls led
}

// asked is where a call that reads led.
type asked struct {
	Exchange     string   `json:"x"`
	Destinations []string `json:"d"`
}

// place is where content came from lately.
type place struct {
	Name      string `json:"n"`
	Untrusted int64  `json:"u,omitempty"` // when, ns
	Private   int64  `json:"p,omitempty"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if len(e.Capabilities) == 0 {
		return e.Kind == event.KindResponse && e.Method == "resources/read"
	}
	return flow.IsCall(e) || flow.IsResult(e)
}

// caps are those of the event; a resource is somebody's unless it comes from the web.
func caps(e *event.Event) flow.Caps {
	if e.Method != "resources/read" {
		return flow.Of(e)
	}
	if strings.HasPrefix(e.ResourceURI, "http://") || strings.HasPrefix(e.ResourceURI, "https://") {
		return flow.Untrusted
	}
	return flow.Private
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	can := caps(e)
	since := c.Now - int64(d.conf.Window)
	if flow.IsResult(e) {
		d.result(c, e, s, can, since)
	} else {
		d.call(c, e, s, can, since)
	}
}

func (d *detector) result(c *engine.Context, e *event.Event, s *state, can flow.Caps, since int64) {
	if can&(flow.Private|flow.Untrusted) == 0 {
		return
	}
	step := flow.StepOf(c, e)
	var from []string
	for i := range s.Pending {
		if s.Pending[i].Exchange == e.ExchangeID && e.ExchangeID != "" {
			from = s.Pending[i].Destinations
			s.Pending = slices.Delete(s.Pending, i, i+1)
			break
		}
	}
	for _, n := range from {
		p := s.place(n)
		if can&(flow.Untrusted|flow.Private) == flow.Untrusted { // a search in what is one's own comes from nowhere else
			p.Untrusted = max(p.Untrusted, c.Now)
		} else {
			p.Private = max(p.Private, c.Now)
		}
	}
	if can&flow.Private != 0 {
		s.LastPriv = step
		s.Private.Note(e, step, can, since, maxSources)
	}
	if can&flow.Untrusted != 0 {
		s.LastUntr = step
		s.Untrusted.Note(e, step, can, since, maxSources)
		if _, score := content.Poison(e.Signals, d.conf.Injection); score > 0 {
			s.Orders, s.Score = step, score
		}
	}
	if s.LastSend.At >= since && s.LastPriv.At >= since && s.LastUntr.At >= since {
		d.note(c, e, s, s.LastSend)
	}
}

// place finds or makes the entry of a place; the one that was seen longest ago gives way.
func (s *state) place(name string) *place {
	oldest := 0
	for i := range s.From {
		p := &s.From[i]
		if p.Name == name {
			return p
		}
		if o := &s.From[oldest]; max(p.Untrusted, p.Private) < max(o.Untrusted, o.Private) {
			oldest = i
		}
	}
	if len(s.From) >= maxDestinations {
		s.From = slices.Delete(s.From, oldest, oldest+1)
	}
	s.From = append(s.From, place{Name: flow.Clip(name)})
	return &s.From[len(s.From)-1]
}

func (d *detector) call(c *engine.Context, e *event.Event, s *state, can flow.Caps, since int64) {
	if can&(flow.Private|flow.Untrusted) != 0 && len(e.Destinations) > 0 && e.ExchangeID != "" {
		if len(s.Pending) >= maxPending {
			s.Pending = slices.Delete(s.Pending, 0, 1)
		}
		a := asked{Exchange: e.ExchangeID}
		for _, n := range e.Destinations {
			a.Destinations = append(a.Destinations, flow.Clip(n))
		}
		s.Pending = append(s.Pending, a)
	}
	if !flow.Carries(e, can) || flow.Inside(d.conf.IgnoreDestinations, e) {
		return
	}
	send := flow.StepOf(c, e)
	s.LastSend = send
	fresh := s.Known.Learn(e.Destinations, c.Now, int64(d.conf.Learn), int64(d.conf.Repeat), maxKnown)
	if s.LastPriv.At < since || s.LastUntr.At < since || s.LastPriv.At == 0 || s.LastUntr.At == 0 {
		return
	}
	samples := taint.Of(e, nil)
	src, o := s.Private.Match(samples, since, nil)
	tainted := src != nil && (o.Substantial() || src.Secret && o.Values > 0)
	ordered := s.Orders.At >= since && s.Orders.At != 0
	back, address := false, false
	if tainted {
		back = s.back(e, since)
		address = s.address(src, samples, since)
	}
	severity, confidence := "", 0.0
	switch {
	case ordered && tainted:
		severity, confidence = engine.Critical, 0.9
	case back || address && fresh != "":
		severity, confidence = engine.High, 0.7
	case ordered && s.LastPriv.At > s.Orders.At:
		severity, confidence = engine.High, 0.6
	case ordered:
		severity, confidence = engine.Medium, 0.5
	case tainted:
		severity, confidence = engine.Low, 0.5
	default:
		d.note(c, e, s, send)
		return
	}
	private := s.LastPriv
	if src != nil && tainted {
		private = src.Step
	}
	untrusted, said := s.LastUntr, "brought content that strangers can write"
	if ordered {
		untrusted, said = s.Orders, "brought content that gives orders"
	}
	a := alert(severity, confidence, untrusted, said, private, send)
	a.Scope = []string{severity, send.Server, send.Tool}
	a.Window = d.conf.Repeat
	a.Summary = flow.Who(e) + " read private data with " + private.Where() + ", saw untrusted content with " + untrusted.Where() + " and sends with " + send.Where() + "."
	a.Why["destinations"] = strings.Join(e.Destinations, " ")
	a.Why["orders"] = strconv.FormatFloat(s.Score, 'g', 3, 64)
	if !ordered {
		a.Why["orders"] = "none"
	}
	if tainted {
		a.Why["content_sent"] = "values " + strconv.Itoa(o.Values) + ", identifiers " + strconv.Itoa(o.Identifiers) + ", runs of words " + strconv.Itoa(o.Runs)
	}
	switch {
	case back:
		a.Why["tie"] = "sent to where the untrusted content came from"
	case address:
		a.Why["tie"] = "an address in the arguments stood in the untrusted content"
	}
	if fresh != "" {
		a.Why["new_destination"] = fresh
	}
	c.Emit(a)
}

// back says that a call leads to where untrusted content came from, and private content did not.
func (s *state) back(e *event.Event, since int64) bool {
	for _, n := range e.Destinations {
		for _, p := range s.From {
			if p.Name == n && p.Untrusted >= since && p.Untrusted != 0 && p.Private < since {
				return true
			}
		}
	}
	return false
}

// address says that the arguments hold a value that stood in untrusted content of another tool than the private content.
func (s *state) address(private *taint.Source, samples taint.Samples, since int64) bool {
	src, o := s.Untrusted.Match(taint.Without(samples, private.Samples), since, func(u *taint.Source) bool {
		return u.Tool != private.Tool || u.Server != private.Server
	})
	return src != nil && o.Values > 0 && !private.Untold
}

// note raises that the three met.
func (d *detector) note(c *engine.Context, e *event.Event, s *state, send flow.Step) {
	a := alert(engine.Informational, 0.4, s.LastUntr, "brought content that strangers can write", s.LastPriv, send)
	a.Scope, a.Window = []string{engine.Informational}, d.conf.Repeat
	a.Summary = flow.Who(e) + " can read private data (" + s.LastPriv.Where() + "), sees untrusted content (" + s.LastUntr.Where() + ") and can send outside (" + send.Where() + ")."
	c.Emit(a)
}

func alert(severity string, confidence float64, untrusted flow.Step, said string, private, send flow.Step) engine.Alert {
	type part struct {
		flow.Step
		what string
	}
	parts := []part{{untrusted, said}, {private, "brought private data"}, {send, "takes content outside"}}
	slices.SortStableFunc(parts, func(a, b part) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return 0
	})
	var v flow.Evidence
	for _, p := range parts {
		v.Add(p.Step, p.what)
	}
	return engine.Alert{
		Severity: severity, Confidence: confidence, EventIDs: v.IDs, Evidence: v.Words, FirstSeen: v.First, Count: int64(len(v.IDs)), Tool: send.Tool,
		Why: map[string]string{
			"private": private.Where(), "untrusted": untrusted.Where(), "outside": send.Where(),
			"seconds": strconv.FormatInt((parts[2].At-parts[0].At)/int64(time.Second), 10),
		},
	}
}
