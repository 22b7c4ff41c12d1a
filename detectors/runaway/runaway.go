// Package runaway finds agents that do the same again and again, and spending that uses up a budget within an hour.
package runaway

import (
	"errors"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/budget"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	rules "github.com/mcpsiem/mcpsiem/internal/budget"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// File holds budgets, as internal/budget describes, to know what an hour may not use up. Without one only loops are found.
	File string `mapstructure:"file"`
	// Calls is how many calls with the same arguments in ten minutes are a loop.
	Calls int64 `mapstructure:"calls"`
	// Share is how much of all calls they must be.
	Share float64 `mapstructure:"share"`
	// MinTokens is what ten minutes of a loop must cost to be more than polling.
	MinTokens float64 `mapstructure:"min_tokens"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Calls < 10:
		return errors.New("calls must be at least 10")
	case c.Share <= 0 || c.Share > 1:
		return errors.New("share must be above 0 and at most 1")
	case c.MinTokens < 0:
		return errors.New("min_tokens must not be negative")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "runaway_loop",
	Version:    "1.0.0",
	Title:      "Agent in a loop",
	Severity:   engine.Medium,
	Confidence: 0.7,
	Key:        engine.KeyPrincipal,
	TTL:        2 * time.Hour,
	Sees:       "Each principal's calls of tools, by server, tool and arguments (their fingerprints and size), and the tokens and amounts of all its events. The budgets of `file`.",
	Fires: "When within ten minutes one call was made `calls` times with the same arguments, or up to three calls in turn half as often again, and they are `share` of all calls of the principal: medium if those ten minutes took `min_tokens` tokens, high " +
		"from five times the calls and ten times the tokens on, low below (polling). high: at the rate of the last ten minutes a whole budget of a month is used up within an hour, or that of a day within a quarter.",
	Tuning:         "`calls` (100), `share` (0.8), `min_tokens` (50000). `file`: the budgets that the detector budget has too.",
	Gaps:           "A loop whose arguments change each time and whose cost stays within the usual: cost_spike sees it once it is far above that. Arguments that differ only in short words look the same. Slow loops. Loops over several principals.",
	FalsePositives: "Load tests; batch jobs that call one tool with arguments that look alike; a client that polls a task with large answers.",
	Remediation:    "Stop the agent or its client; look at the first of the calls and at what came before. Limit the number of turns, and give the credential a budget with its provider.",
	References: []string{
		"OWASP-LLM 2025 LLM10:2025 Unbounded Consumption",
		"OWASP-LLM 2026 LLM06:2026 Unbounded Consumption",
		"OWASP-ASI 2026 ASI08 Cascading Failures",
		"MITRE-ATLAS 5.6 AML.T0034.002 Cost Harvesting: Agentic Resource Consumption",
		"SAFE-MCP 2026-02-01 SAFE-T1106 Autonomous Loop Exploit",
	},
}, Config{Calls: 100, Share: 0.8, MinTokens: 50_000}, func(c Config) (engine.Detector[state], error) {
	d := &detector{conf: c}
	if c.File == "" {
		return d, nil
	}
	var err error
	d.file, err = rules.Open(c.File)
	return d, err
})

// The window, in slots, and how many different calls are counted in a slot.
const (
	slots    = 10
	width    = int64(time.Minute)
	maxCalls = 24
	window   = time.Hour // in which the same is raised once
)

// state of a principal.
type state struct {
	Slot     int64       `json:"slot"` // number of the latest
	Slots    [slots]slot `json:"slots"`
	Currency string      `json:"c,omitempty"`
}

// slot is one minute.
type slot struct {
	Calls  int64   `json:"n,omitempty"`
	Tokens float64 `json:"t,omitempty"`
	Money  float64 `json:"m,omitempty"` // in Currency
	Same   []same  `json:"s,omitempty"`
}

// same is one call and how often it was made.
type same struct {
	Hash uint64 `json:"h"`
	N    int64  `json:"n"`
}

type detector struct {
	conf Config
	file *rules.File
}

func (d *detector) Wants(e *event.Event) bool {
	return call(e) || budget.Tokens(e) > 0 || d.file != nil && e.CostAmount > 0
}

func call(e *event.Event) bool {
	return e.Kind == event.KindRequest && e.Direction == event.ClientToServer && e.Method == "tools/call"
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	n := c.Now / width
	if s.Slot == 0 || n-s.Slot >= slots {
		*s = state{Slot: n, Currency: s.Currency}
	}
	for k := s.Slot + 1; k <= n; k++ {
		s.Slots[at(k)] = slot{}
	}
	s.Slot = max(s.Slot, n)
	if n <= s.Slot-slots {
		return
	}
	now := &s.Slots[at(n)]
	now.Tokens += budget.Tokens(e)
	if e.CostAmount > 0 && e.CostAmount < 1e12 && (s.Currency == "" || s.Currency == e.CostCurrency) {
		s.Currency = e.CostCurrency
		now.Money += e.CostAmount
	}
	if d.file != nil {
		d.burn(c, e, s)
	}
	if !call(e) {
		return
	}
	h := generation.Hash(generation.Server(e), e.Tool, strconv.FormatInt(e.TokensArguments, 10))
	for _, f := range e.Fingerprints {
		h = (h ^ f) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	now.Calls++
	now.add(h)
	d.loop(c, e, s, h)
}

// add counts a call; of more than maxCalls different ones, the rare ones make room (Misra and Gries, 1982).
func (s *slot) add(h uint64) {
	for i := range s.Same {
		if s.Same[i].Hash == h {
			s.Same[i].N++
			return
		}
	}
	if len(s.Same) < maxCalls {
		s.Same = append(s.Same, same{h, 1})
		return
	}
	kept := s.Same[:0]
	for _, x := range s.Same {
		if x.N--; x.N > 0 {
			kept = append(kept, x)
		}
	}
	s.Same = kept
}

// loop judges the call just made.
func (d *detector) loop(c *engine.Context, e *event.Event, s *state, h uint64) {
	var total, this int64
	var tokens float64
	for i := range s.Slots {
		total += s.Slots[i].Calls
		tokens += s.Slots[i].Tokens
		for _, x := range s.Slots[i].Same {
			if x.Hash == h {
				this += x.N
			}
		}
	}
	need := d.conf.Calls
	if this < need/3 || total < need {
		return
	}
	in, found := this, "same_call"
	if this < need || float64(this) < d.conf.Share*float64(total) {
		in, found = s.three(), "calls_in_turn"
		if in < need*3/2 || float64(in) < d.conf.Share*float64(total) {
			return
		}
	}
	severity := engine.Low
	switch {
	case in >= 5*need && tokens >= 10*d.conf.MinTokens:
		severity = engine.High
	case tokens >= d.conf.MinTokens:
		severity = engine.Medium
	}
	c.Emit(engine.Alert{
		Scope: []string{found, severity, generation.Server(e), e.Tool}, Window: window, Severity: severity,
		Summary: engine.Name(e.PrincipalID) + " made the same call of " + engine.Name(e.Tool) + " at server " + engine.Name(generation.Server(e)) + " again and again: " + strconv.FormatInt(in, 10) + " of " +
			strconv.FormatInt(total, 10) + " calls in ten minutes.",
		Why:   map[string]string{"found": found, "same": strconv.FormatInt(in, 10), "calls": strconv.FormatInt(total, 10), "tokens": strconv.FormatFloat(tokens, 'f', 0, 64), "limit": strconv.FormatInt(need, 10), "window": "10m"},
		Count: in,
	})
}

// three is how often the three most frequent calls were made.
func (s *state) three() int64 {
	sum := map[uint64]int64{}
	for i := range s.Slots {
		for _, x := range s.Slots[i].Same {
			sum[x.Hash] += x.N
		}
	}
	var top [3]int64
	for _, n := range sum { // in whatever order: the three largest are the same
		for i := range top {
			if n > top[i] {
				n, top[i] = top[i], n
			}
		}
	}
	return top[0] + top[1] + top[2]
}

// burn finds a budget that would be used up within an hour, or a day's within a quarter of one.
func (d *detector) burn(c *engine.Context, e *event.Event, s *state) {
	r, hash, err := d.file.Rules()
	if err != nil {
		c.Emit(budget.Broken(hash, err))
	}
	var tokens, money float64
	for i := range s.Slots {
		tokens += s.Slots[i].Tokens
		money += s.Slots[i].Money
	}
	who := rules.Spender{Tenant: c.Tenant, Team: e.PrincipalTeam, User: e.PrincipalID, Server: e.Server}
	for i := range r.Budgets {
		b := &r.Budgets[i]
		spent, limit, unit := tokens, b.Tokens, "tokens"
		if b.Money > 0 && b.Currency == s.Currency && money > 0 {
			spent, limit, unit = money, b.Money, b.Currency
		}
		times := 6.0 // ten minutes in an hour
		if b.Period == "day" {
			times = 1.5
		}
		if limit <= 0 || spent*times < limit {
			continue
		}
		subject, ok := b.Subject(who)
		if !ok {
			continue
		}
		start, _ := b.Span(c.Now)
		lasts := time.Duration(limit / spent * slots * float64(width))
		c.Emit(engine.Alert{
			Scope: []string{"burn", b.Name, subject, unit, strconv.FormatInt(start, 10)}, Title: "Budget is burning", Severity: engine.High, Confidence: 0.8,
			Summary: engine.Name(e.PrincipalID) + " spends as much as would use up the whole budget " + engine.Name(b.Name) + " of a " + b.Period + " within " + lasts.Round(time.Minute).String() + ".",
			Why: map[string]string{
				"found": "burn", "budget": engine.Name(b.Name), "subject": engine.Name(subject), "unit": unit, "limit": strconv.FormatFloat(limit, 'g', 10, 64), "period": b.Period,
				"spent_in_10m": strconv.FormatFloat(spent, 'g', 10, 64), "lasts": lasts.Round(time.Minute).String(), "rules_version": r.Version,
			},
		})
	}
}

func at(n int64) int64 { return ((n % slots) + slots) % slots }
