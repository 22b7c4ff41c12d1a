// Package budget finds budgets that are nearly or wholly spent, and says when the rest will be.
package budget

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	rules "github.com/mcpsiem/mcpsiem/internal/budget"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// File holds the budgets, as internal/budget describes. Without one the detector is silent.
	File string `mapstructure:"file"`
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "budget",
	Version:    "1.0.0",
	Title:      "Budget nearly spent",
	Severity:   engine.Medium,
	Confidence: 0.8,
	Key:        engine.KeyTenant,
	MaxKeys:    1024,
	TTL:        62 * 24 * time.Hour,
	Sees:       "The amount and the tokens of every event, with its tenant, team, principal and server; the budgets of `file`, which docs/cost.md describes.",
	Fires: "When what was spent in the day or month (UTC) reaches a warning share of a budget (medium) or all of it (high): once for each share, budget and subject of a period. The finding says " +
		"when the budget will be used up at the rate of the last hour (day) or the last day (month). low: the file was changed to one that cannot be used, or a tenant has more subjects than are followed.",
	Tuning: "`file` names the budgets; without it nothing is raised. A changed file is taken up within 10 seconds of the next events; a broken one leaves the budgets as they are. Raising a budget makes its " +
		"shares count anew.",
	Gaps: "Use of models that no event shows: amounts are estimates of what passes through MCP, or what the provider reported. Amounts in another currency than the budget's. What was spent before " +
		"the budget was added to the file: `mcpsiem budgets` counts that too. Events later than two days after the end of their period. More than 4096 subjects a tenant. A replay after the file was changed " +
		"judges by the new file.",
	FalsePositives: "Spending that was planned: raise the budget. Budgets of users who are not verified can be spent in their name by anyone.",
	Remediation:    "See what was spent with `mcpsiem budgets` and by the view `spend`; look for a loop or a tool with large results. Raise the budget, or take the principal's access.",
	References: []string{
		"OWASP-LLM 2025 LLM10:2025 Unbounded Consumption",
		"OWASP-LLM 2026 LLM06:2026 Unbounded Consumption",
		"MITRE-ATLAS 5.6 AML.T0034 Cost Harvesting",
		"MITRE-ATLAS 5.6 AML.T0034.002 Cost Harvesting: Agentic Resource Consumption",
	},
}, Config{}, func(c Config) (engine.Detector[state], error) {
	d := &detector{}
	if c.File == "" {
		return d, nil
	}
	var err error
	d.file, err = rules.Open(c.File)
	return d, err
})

// Bounds of what is remembered of a tenant.
const (
	maxAccounts = 4096
	keepAfter   = int64(48 * time.Hour) // after a period's end its account still takes late events
	slots       = 12                    // of the span that the rate is taken over
	maxShown    = 20
)

// state is the accounts of a tenant.
type state struct {
	Accounts map[string]*account `json:"accounts,omitempty"`
	Tidied   int64               `json:"tidied,omitempty"` // the day, by the watermark, on which old accounts were last dropped
}

// account is what one subject spent of one budget in one period.
type account struct {
	End   int64    `json:"end"`   // of the period, ns
	First int64    `json:"first"` // event time of the first event, ns
	Count int64    `json:"n"`
	Money spending `json:"money"`
	Token spending `json:"tokens"`
}

// spending is of one kind: money or tokens.
type spending struct {
	Sum       float64        `json:"sum"`
	Recent    [slots]float64 `json:"recent"` // by slot of the rate's span, at its number modulo slots
	Slot      int64          `json:"slot"`   // number of the latest slot
	Limit     float64        `json:"limit"`  // that was judged last
	Threshold float64        `json:"threshold"`
}

type detector struct{ file *rules.File }

func (d *detector) Wants(e *event.Event) bool {
	return d.file != nil && (money(e) > 0 || Tokens(e) > 0)
}

// maxAmount is the most that one event can cost or count; more is a mistake, and sums stay finite.
const maxAmount = 1e12

// money is the event's amount in its own currency, 0 where it makes no sense.
func money(e *event.Event) float64 {
	if e.CostAmount > 0 && e.CostAmount <= maxAmount {
		return e.CostAmount
	}
	return 0
}

// Tokens are those that a model writes or reads for the event, as they were counted.
func Tokens(e *event.Event) float64 {
	n := 0.0
	for _, v := range [...]int64{e.TokensArguments, e.TokensResult, e.TokensDefinitions} {
		if v > 0 && v <= maxAmount {
			n += float64(v)
		}
	}
	return n
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	r, hash, err := d.file.Rules()
	if err != nil {
		c.Emit(Broken(hash, err))
	}
	who := rules.Spender{Tenant: c.Tenant, Team: e.PrincipalTeam, User: e.PrincipalID, Server: e.Server}
	for i := range r.Budgets {
		b := &r.Budgets[i]
		cost, count := 0.0, 0.0
		if b.Money > 0 && e.CostCurrency == b.Currency {
			cost = money(e)
		}
		if b.Tokens > 0 {
			count = Tokens(e)
		}
		if cost == 0 && count == 0 {
			continue
		}
		subject, ok := b.Subject(who)
		if !ok {
			continue
		}
		start, end := b.Span(c.Now)
		if end+keepAfter < c.Watermark {
			continue
		}
		a := s.account(c, b, subject, start, end)
		if a == nil {
			continue
		}
		a.Count++
		a.First = min(a.First, c.Now)
		x := judged{c, e, b, a, subject, start, end, r.Version}
		if cost > 0 {
			x.judge(&a.Money, cost, b.Money, b.Currency)
		}
		if count > 0 {
			x.judge(&a.Token, count, b.Tokens, "tokens")
		}
	}
}

// account finds or opens an account; nil if there are too many.
func (s *state) account(c *engine.Context, b *rules.Budget, subject string, start, end int64) *account {
	key := b.Name + "/" + event.SourceID(subject) + "/" + strconv.FormatInt(start/int64(time.Second), 10)
	if a := s.Accounts[key]; a != nil {
		return a
	}
	if day := c.Watermark / int64(24*time.Hour); day > s.Tidied {
		s.Tidied = day
		for k, a := range s.Accounts {
			if a.End+keepAfter < c.Watermark {
				delete(s.Accounts, k)
			}
		}
	}
	if len(s.Accounts) >= maxAccounts {
		c.Emit(engine.Alert{
			Scope: []string{"full"}, Window: 24 * time.Hour, Title: "More budget subjects than are followed", Severity: engine.Low,
			Summary: "Tenant " + engine.Name(c.Tenant) + " has more subjects of budgets than the " + strconv.Itoa(maxAccounts) + " that are followed: budgets of new ones are not watched.",
		})
		return nil
	}
	if s.Accounts == nil {
		s.Accounts = map[string]*account{}
	}
	a := &account{End: end, First: c.Now}
	s.Accounts[key] = a
	return a
}

// judged is one event under one budget.
type judged struct {
	c          *engine.Context
	e          *event.Event
	b          *rules.Budget
	a          *account
	subject    string
	start, end int64
	version    string
}

// judge adds what was spent, and raises a share that is reached by it.
func (x *judged) judge(s *spending, n, limit float64, unit string) {
	s.Sum += n
	width := x.b.RateSpan() / slots
	s.add(x.c.Now/width, n)
	if s.Limit != limit {
		s.Limit, s.Threshold = limit, 0
	}
	st, threshold := rules.State(s.Sum, limit, x.b.Warn)
	if threshold <= s.Threshold {
		return
	}
	s.Threshold = threshold

	now := max(x.c.Now, min(s.Slot*width, x.end-1)) // of the latest event seen, for the rate
	over := now - max((s.Slot-slots+1)*width, x.a.First)
	over = max(over, width)
	recent := 0.0
	for _, v := range s.Recent {
		recent += v
	}
	why := map[string]string{
		"budget": engine.Name(x.b.Name), "subject": engine.Name(x.subject), "state": st, "period": x.b.Period, "period_start": stamp(x.start), "unit": unit,
		"limit": number(limit), "spent": number(s.Sum), "threshold": number(threshold), "rate_per_hour": number(recent / float64(over) * float64(time.Hour)), "rules_version": x.version,
	}
	title, severity := "Budget nearly spent", engine.Medium
	text := engine.Name(x.subject) + " has spent " + amount(s.Sum, unit) + " of the " + amount(limit, unit) + " of budget " + engine.Name(x.b.Name) + " for the " + x.b.Period + " from " + stamp(x.start)[:10]
	if st == rules.Exceeded {
		title, severity = "Budget exceeded", engine.High
		text += "."
	} else if at, ok := rules.Forecast(s.Sum, limit, recent, over, now, x.end); ok {
		why["forecast"] = stamp(at)
		text += "; at the present rate it is used up at " + stamp(at) + "."
	} else {
		why["forecast"] = "not in this " + x.b.Period
		text += "; at the present rate it lasts for the " + x.b.Period + "."
	}
	if x.e.CostBasis != "" && unit == x.b.Currency {
		why["basis"] = x.e.CostBasis
	}
	x.c.Emit(engine.Alert{
		Scope: []string{x.b.Name, x.subject, stamp(x.start), unit, number(threshold), number(limit)},
		Title: title, Severity: severity, Summary: upper(text), Why: why, FirstSeen: x.a.First, Count: x.a.Count,
	})
}

// add counts n in its slot; what is older than all slots is not recent.
func (s *spending) add(slot int64, n float64) {
	if s.Slot == 0 {
		s.Slot = slot
	}
	if slot > s.Slot {
		for k := max(s.Slot+1, slot-slots+1); k <= slot; k++ {
			s.Recent[at(k)] = 0
		}
		if slot-s.Slot >= slots {
			s.Recent = [slots]float64{}
		}
		s.Slot = slot
	}
	if slot > s.Slot-slots {
		s.Recent[at(slot)] += n
	}
}

func at(slot int64) int64 { return ((slot % slots) + slots) % slots }

// Broken is the finding that a changed file cannot be used. The reasons name lines and keys of the operator's file.
func Broken(hash string, err error) engine.Alert {
	a := engine.Alert{
		Scope: []string{"file", hash}, Title: "Budget file cannot be used", Severity: engine.Low, Confidence: 1,
		Summary: "The file of budgets and limits was changed to one that cannot be used; those before it stay in force.",
	}
	for line := range strings.Lines(err.Error()) {
		if len(a.Evidence) < maxShown {
			a.Evidence = append(a.Evidence, engine.Name(strings.TrimSpace(line)))
		}
	}
	return a
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04Z") }

func number(f float64) string { return strconv.FormatFloat(f, 'g', 10, 64) }

func amount(f float64, unit string) string {
	if unit == "tokens" {
		return strconv.FormatFloat(f, 'f', 0, 64) + " tokens"
	}
	if f != 0 && math.Abs(f) < 1 {
		return strconv.FormatFloat(f, 'g', 3, 64) + " " + unit
	}
	return strconv.FormatFloat(f, 'f', 2, 64) + " " + unit
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
