// Package costspike finds spending far above what is usual at that hour of the week.
package costspike

import (
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/baseline"
	"github.com/mcpsiem/mcpsiem/detectors/budget"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/detectors/recent"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Days is how long a subject must be known, Active how many hours of it must have seen any use, before it is judged.
	Days   int `mapstructure:"days"`
	Active int `mapstructure:"active_hours"`
	// Ratio is how many times the usual, and the highest of what is usual at any hour, a spike must be. Deviations: how many robust standard deviations above it.
	Ratio      float64 `mapstructure:"ratio"`
	Deviations float64 `mapstructure:"deviations"`
	// MinTokens and MinMoney are what an hour must cost at least to matter.
	MinTokens float64 `mapstructure:"min_tokens"`
	MinMoney  float64 `mapstructure:"min_money"`
	// Repeat is after how long the same subject is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Days < 1 || c.Days > 14:
		return errors.New("days must be from 1 to 14")
	case c.Active < 1 || c.Active > 168:
		return errors.New("active_hours must be from 1 to 168")
	case c.Ratio < 1.1:
		return errors.New("ratio must be at least 1.1")
	case c.Deviations < 1:
		return errors.New("deviations must be at least 1")
	case c.MinTokens < 0 || c.MinMoney < 0:
		return errors.New("min_tokens and min_money must not be negative")
	case c.Repeat < time.Hour:
		return errors.New("repeat must be at least 1h")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "cost_spike",
	Version:    "1.0.0",
	Title:      "Spending far above the usual",
	Severity:   engine.Medium,
	Confidence: 0.65,
	Key:        engine.KeyTenant,
	MaxKeys:    1024,
	TTL:        60 * 24 * time.Hour,
	Sees:       "The tokens and the amount of every event, with its principal, team, server and tool, and where it came from.",
	Fires: "While an hour lasts, as soon as its tokens or money are above all of: `deviations` robust deviations over the median of the same hour of the week in the last four weeks (of the same hour on other days, while there are no " +
		"two weeks yet), `ratio` times that median, `ratio`/2 times what 99 in 100 hours stay below, and the minimum. For each principal, team, tool, server and the tenant: low; medium from one and a half times that on, high from four times. At an hour in which a principal has never been " +
		"active, a typical hour's spending is enough: high if it comes from a host or network not seen before the last day (a stolen credential), low otherwise.",
	Tuning: "`days` (3) and `active_hours` (10): what must be known of a subject first. `ratio` (4), `deviations` (6): lower finds smaller spikes and more ordinary days. `min_tokens` (50000) and `min_money` (1, in whatever currency) an hour; `repeat` (6h).",
	Gaps: "A rise that is slow: the baseline moves with it. Use that no event shows. A subject in its first days. More than 4096 subjects a tenant: of the least recently used nothing is known. Money is judged where the tokens are not above their limit. Money in several currencies is counted as the first seen of a subject. " +
		"Hours are UTC; a change of daylight saving shifts them, which the hours beside make up for.",
	FalsePositives: "Releases, migrations, the end of a quarter, new work of a team, an on-call night.",
	Remediation:    "See who spent on what in the view `spend`. A loop shows as the same call again and again. If the principal does not know of it, revoke the credential and look at the hosts it came from.",
	References: []string{
		"OWASP-LLM 2025 LLM10:2025 Unbounded Consumption",
		"OWASP-LLM 2026 LLM06:2026 Unbounded Consumption",
		"OWASP-ASI 2026 ASI08 Cascading Failures",
		"MITRE-ATLAS 5.6 AML.T0034 Cost Harvesting",
		"MITRE-ATLAS 5.6 AML.T0034.002 Cost Harvesting: Agentic Resource Consumption",
	},
}, Config{Days: 3, Active: 10, Ratio: 4, Deviations: 6, MinTokens: 50_000, MinMoney: 1, Repeat: 6 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// Bounds of what is remembered of a tenant; half of them may be about to be forgotten.
const (
	maxSubjects = 2048
	maxSources  = 16
	sourceNew   = 24 * time.Hour
	sourceKept  = 30 * 24 * time.Hour
	clear       = 1.5 // times the limit
	severe      = 4   // times the limit
)

// state is what is usual for the subjects of a tenant.
type state struct {
	Subjects generation.Map[*subject] `json:"subjects"`
}

// subject is a principal, team, tool, server or the tenant.
type subject struct {
	Tokens   baseline.Hours  `json:"t"`
	Money    *baseline.Hours `json:"m,omitempty"` // in Currency
	Currency string          `json:"c,omitempty"`
	Sources  recent.Set      `json:"s,omitzero"`  // hosts and networks of a principal
	Fresh    []recent.Value  `json:"f,omitempty"` // of those, when the latest were first seen
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool { return budget.Tokens(e) > 0 || e.CostAmount > 0 }

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	tokens, money := budget.Tokens(e), e.CostAmount
	if !(money > 0 && money < 1e12) {
		money = 0
	}
	server := generation.Server(e)
	d.judge(c, e, s, "tenant", c.Tenant, c.Tenant, tokens, money)
	if e.PrincipalID != "" {
		d.judge(c, e, s, "principal", e.PrincipalID, e.PrincipalID, tokens, money)
	}
	if e.PrincipalTeam != "" {
		d.judge(c, e, s, "team", e.PrincipalTeam, e.PrincipalTeam, tokens, money)
	}
	if server != "" {
		d.judge(c, e, s, "server", server, server, tokens, money)
		if e.Tool != "" {
			d.judge(c, e, s, "tool", e.Tool, server+"\x00"+e.Tool, tokens, money)
		}
	}
}

func (d *detector) judge(c *engine.Context, e *event.Event, s *state, kind, name, id string, tokens, money float64) {
	key := generation.Hash(kind, id)
	x, ok := s.Subjects.Get(key, maxSubjects)
	if !ok {
		x = &subject{}
		s.Subjects.Put(key, x, maxSubjects)
	}
	fresh := ""
	if kind == "principal" {
		fresh = x.source(c, e)
	}
	over := false
	if tokens > 0 {
		over = d.hour(c, e, &x.Tokens, kind, name, fresh, "tokens", tokens, d.conf.MinTokens)
	}
	if money > 0 && (x.Currency == "" || x.Currency == e.CostCurrency) {
		if x.Money == nil {
			x.Money, x.Currency = &baseline.Hours{}, e.CostCurrency
		}
		least := d.conf.MinMoney
		if over { // the tokens have said it
			least = math.Inf(1)
		}
		d.hour(c, e, x.Money, kind, name, fresh, e.CostCurrency, money, least)
	}
}

// source notes where the principal acts from, and returns it if it is new.
func (x *subject) source(c *engine.Context, e *event.Event) string {
	from := e.HostName
	if n := recent.Network(e.ClientAddress); n != "" {
		from = n
	}
	if from == "" {
		return ""
	}
	known := x.Sources.Len() > 0
	if x.Sources.Add(from, c.Now, int64(sourceKept), maxSources) && known {
		if len(x.Fresh) >= maxSources {
			x.Fresh = x.Fresh[1:]
		}
		x.Fresh = append(x.Fresh, recent.Value{Text: from, At: c.Now})
	}
	for _, v := range x.Fresh {
		if v.Text == from && c.Now-v.At < int64(sourceNew) {
			return from
		}
	}
	return ""
}

func (d *detector) hour(c *engine.Context, e *event.Event, h *baseline.Hours, kind, name, fresh, unit string, n, least float64) (over bool) {
	total, ok := h.Add(c.Now, n)
	if !ok || total < least {
		return false
	}
	l := h.Limits(c.Now, baseline.Support{Days: d.conf.Days, Active: d.conf.Active})
	if !l.Known {
		return false
	}
	limit := max(least, d.conf.Ratio*l.Median, l.Median+d.conf.Deviations*l.Spread, d.conf.Ratio/2*l.High)
	severity, title := engine.Medium, "Spending far above the usual"
	night := kind == "principal" && l.Idle && total >= max(least, l.Typical)
	switch {
	case night && fresh != "":
		severity, title, limit = engine.High, "Spending at an unusual hour from a new place", max(least, l.Typical)
	case total >= severe*limit:
		severity = engine.High
	case total >= clear*limit:
	case total >= limit:
		severity = engine.Low
	case night:
		severity, title, limit = engine.Low, "Spending at an hour without any before", max(least, l.Typical)
	default:
		return false
	}
	show := engine.Name(name)
	if kind == "tool" {
		show = engine.Name(generation.Server(e)) + "/" + show
	}
	why := map[string]string{
		"by": kind, "subject": show, "unit": unit, "hour": time.Unix(0, c.Now).UTC().Truncate(time.Hour).Format("2006-01-02T15:04Z"), "spent": number(total), "limit": number(limit),
		"usual_at_this_hour": number(l.Median), "deviation": number(l.Spread), "typical_hour": number(l.Typical), "high_hour": number(l.High), "never_at_this_hour": strconv.FormatBool(l.Idle),
	}
	if fresh != "" {
		why["new_source"] = engine.Name(fresh)
	}
	usual := number(l.Median)
	c.Emit(engine.Alert{
		Scope: []string{kind, name, unit, severity, title}, Window: d.conf.Repeat, Title: title, Severity: severity,
		Summary: upper(kind) + " " + show + " has spent " + number(total) + " " + unit + " in this hour; " + usual + " is usual at this hour of the week.",
		Why:     why, FirstSeen: c.Window(time.Hour),
	})
	return true
}

func number(f float64) string {
	if math.Abs(f) >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 4, 64)
}

func upper(s string) string { return string(s[0]-'a'+'A') + s[1:] }
