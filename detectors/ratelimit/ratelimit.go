// Package ratelimit finds uses of a model that near or pass what its provider allows in a minute.
package ratelimit

import (
	"errors"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/budget"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	rules "github.com/mcpsiem/mcpsiem/internal/budget"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// File holds the limits, as internal/budget describes. Without one the detector is silent.
	File string `mapstructure:"file"`
	// Repeat is after how long the same limit is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Repeat < time.Minute {
		return errors.New("repeat must be at least 1m")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "rate_limit",
	Version:    "1.0.0",
	Title:      "Provider's rate limit is near",
	Severity:   engine.Low,
	Confidence: 0.6,
	Key:        engine.KeyTenant,
	MaxKeys:    1024,
	TTL:        time.Hour,
	Sees: "Events whose model is known: the model, the tokens, and whether a model was asked: each `tools/call` request, which a model wrote, each `sampling/createMessage` request, and each record " +
		"with usage that the provider reported. The limits of `file`, which docs/cost.md describes.",
	Fires: "When the tokens or the requests of the last minute reach the warning share of a provider's limit (low) or all of it (medium). The finding says when the limit will be reached at the rate " +
		"of the last 15 seconds.",
	Tuning: "`file` names the limits; without it nothing is raised. A changed file is taken up within 10 seconds of the next events. `repeat` (15m) is after how long the same limit is raised again. " +
		"Which model a server or client uses is set in the tokens processor (`models`, `default_model`).",
	Gaps: "What a model reads and writes outside MCP, system prompts and the conversation so far among it, unless the provider reported it: a limit may be hit long before. A minute is 12 slots of 5 " +
		"seconds, so up to 5 seconds of it are missed. Tool calls that a model asked for at once count as one request each. A limit is counted for each tenant apart. More than 4096 subjects a tenant.",
	FalsePositives: "Parallel tool calls count more requests than there were; a limit that was raised by the provider.",
	Remediation:    "Slow the client down, spread the work, or have the limit raised. A loop of one principal shows in `mcpsiem tail`.",
	References: []string{
		"OWASP-LLM 2025 LLM10:2025 Unbounded Consumption",
		"OWASP-LLM 2026 LLM06:2026 Unbounded Consumption",
		"MITRE-ATLAS 5.6 AML.T0029 Denial of AI Service",
		"MITRE-ATLAS 5.6 AML.T0034.000 Cost Harvesting: Excessive Queries",
	},
}, Config{Repeat: 15 * time.Minute}, func(c Config) (engine.Detector[state], error) {
	d := &detector{repeat: c.Repeat}
	if c.File == "" {
		return d, nil
	}
	var err error
	d.file, err = rules.Open(c.File)
	return d, err
})

// A minute in slots, and bounds of what is remembered of a tenant.
const (
	slots    = 12
	width    = int64(time.Minute) / slots
	latest   = 3 // slots whose rate is the present one
	maxUsers = 4096
)

// state is the use of each limit by each of a tenant's subjects.
type state struct {
	Users  map[string]*use `json:"users,omitempty"`
	Tidied int64           `json:"tidied,omitempty"` // the minute, by the watermark, in which idle ones were last dropped
}

// use of a limit in the last minute.
type use struct {
	Slot     int64  `json:"slot"` // number of the latest slot
	Tokens   window `json:"tokens"`
	Requests window `json:"requests"`
}

// window is a count by slot, at the slot's number modulo slots.
type window struct {
	N      [slots]float64 `json:"n"`
	Raised int64          `json:"raised,omitempty"` // start of the repeat window in which it was raised last, ns
	State  string         `json:"state,omitempty"`  // as it was raised
}

type detector struct {
	file   *rules.File
	repeat time.Duration
}

func (d *detector) Wants(e *event.Event) bool {
	if d.file == nil || model(e) == "" {
		return false
	}
	n, asked := used(e)
	return n > 0 || asked > 0
}

func model(e *event.Event) string {
	if e.CostModel != "" {
		return e.CostModel
	}
	return e.Model
}

// used is how many tokens and requests of a model the event shows: as the provider reported, else as counted.
func used(e *event.Event) (tokens, requests float64) {
	if e.CostBasis == "reported" {
		for _, k := range [...]string{"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"} {
			if n, err := strconv.ParseInt(e.Extra[k], 10, 64); err == nil && n > 0 && n < 1e12 {
				tokens += float64(n)
			}
		}
		if tokens > 0 {
			return tokens, 1
		}
	}
	tokens = budget.Tokens(e)
	if e.Kind == event.KindRequest && (e.Method == "tools/call" || e.Method == "sampling/createMessage") {
		requests = 1
	}
	return tokens, requests
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	r, hash, err := d.file.Rules()
	if err != nil {
		c.Emit(budget.Broken(hash, err))
	}
	tokens, requests := used(e)
	m := model(e)
	for i := range r.Limits {
		l := &r.Limits[i]
		if !l.Matches(c.Tenant, e.PrincipalID, m) {
			continue
		}
		subject := ""
		if l.Principal.Set() {
			subject = e.PrincipalID
		}
		u := s.use(c, l, subject)
		if u == nil || !u.add(c.Now/width, tokens, requests) {
			continue
		}
		d.judge(c, l, r.Version, subject, u, &u.Tokens, l.Tokens, "tokens")
		d.judge(c, l, r.Version, subject, u, &u.Requests, l.Requests, "requests")
	}
}

// use finds or begins the use of a limit; nil if there are too many.
func (s *state) use(c *engine.Context, l *rules.Limit, subject string) *use {
	key := l.Name + "/" + event.SourceID(subject)
	if u := s.Users[key]; u != nil {
		return u
	}
	if minute := c.Watermark / int64(time.Minute); minute > s.Tidied {
		s.Tidied = minute
		for k, u := range s.Users {
			if (u.Slot+slots)*width < c.Watermark {
				delete(s.Users, k)
			}
		}
	}
	if len(s.Users) >= maxUsers {
		c.Emit(engine.Alert{
			Scope: []string{"full"}, Window: 24 * time.Hour, Title: "More users of models than are followed",
			Summary: "Tenant " + engine.Name(c.Tenant) + " has more users of limited models at once than the " + strconv.Itoa(maxUsers) + " that are followed: limits of new ones are not watched.",
		})
		return nil
	}
	if s.Users == nil {
		s.Users = map[string]*use{}
	}
	u := &use{Slot: c.Now / width}
	s.Users[key] = u
	return u
}

// add counts in a slot. It reports false for what is older than a minute.
func (u *use) add(slot int64, tokens, requests float64) bool {
	if slot <= u.Slot-slots {
		return false
	}
	for k := max(u.Slot+1, slot-slots+1); k <= slot; k++ {
		u.Tokens.N[at(k)], u.Requests.N[at(k)] = 0, 0
	}
	u.Slot = max(u.Slot, slot)
	u.Tokens.N[at(slot)] += tokens
	u.Requests.N[at(slot)] += requests
	return true
}

func at(slot int64) int64 { return ((slot % slots) + slots) % slots }

func (d *detector) judge(c *engine.Context, l *rules.Limit, version, subject string, u *use, w *window, limit float64, unit string) {
	if limit == 0 {
		return
	}
	sum := 0.0
	for _, v := range w.N {
		sum += v
	}
	st, _ := rules.State(sum, limit, []float64{l.Warn})
	if st == rules.OK {
		return
	}
	since := c.Window(d.repeat)
	if w.Raised == since && (w.State == st || w.State == rules.Exceeded) {
		return
	}
	w.Raised, w.State = since, st
	who := "Tenant " + engine.Name(c.Tenant)
	if subject != "" {
		who = engine.Name(subject)
	}
	text := who + " used " + whole(sum) + " of the " + whole(limit) + " " + unit + " a minute of limit " + engine.Name(l.Name)
	why := map[string]string{"limit": engine.Name(l.Name), "unit": unit, "allowed": whole(limit), "used": whole(sum), "state": st, "warn": strconv.FormatFloat(l.Warn, 'g', 4, 64), "rules_version": version}
	a := engine.Alert{Scope: []string{l.Name, subject, unit, st}, Window: d.repeat}
	switch at, ok := u.forecast(w, limit, c.Now); {
	case st == rules.Exceeded:
		a.Title, a.Severity = "Provider's rate limit reached", engine.Medium
		text += "."
	case ok:
		why["forecast"] = time.Unix(0, at).UTC().Format("2006-01-02T15:04:05Z")
		text += "; at the present rate it is reached at " + why["forecast"] + "."
	default:
		why["forecast"] = "not at the present rate"
		text += "; at the present rate it is not reached."
	}
	a.Summary, a.Why = text, why
	c.Emit(a)
}

// forecast lets the present rate go on, slot by slot, while the oldest slots leave the minute. After a minute nothing changes any more.
func (u *use) forecast(w *window, limit float64, now int64) (int64, bool) {
	recent := 0.0
	for k := u.Slot - latest + 1; k <= u.Slot; k++ {
		recent += w.N[at(k)]
	}
	sum := 0.0
	for _, v := range w.N {
		sum += v
	}
	recent /= latest
	for k := int64(1); k <= slots; k++ {
		sum += recent - w.N[at(u.Slot-slots+k)]
		if sum >= limit {
			return now + k*width, true
		}
	}
	return 0, false
}

func whole(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }
