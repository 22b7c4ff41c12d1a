// Package spend says where budgets stand by what the store holds.
package spend

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/budget"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Status is where one budget of one subject stands.
type Status struct {
	Budget        string     `json:"budget"`
	Tenant        string     `json:"tenant"`
	Subject       string     `json:"subject"` // as `team research`
	Period        string     `json:"period"`  // day or month
	Start         time.Time  `json:"start"`
	End           time.Time  `json:"end"`  // excluded
	Unit          string     `json:"unit"` // a currency, or tokens
	Limit         float64    `json:"limit"`
	Spent         float64    `json:"spent"`
	Share         float64    `json:"share"` // of the limit; 1 is all of it
	State         string     `json:"state"` // ok, warning, exceeded
	RatePerHour   float64    `json:"rate_per_hour"`
	Forecast      *time.Time `json:"forecast"`                 // when the limit is reached at that rate; null: not within the period, or it is reached
	OtherCurrency bool       `json:"other_currency,omitempty"` // something was spent in another currency, which is not counted
}

// row is what one combination of names spent in a period.
type row struct {
	Tenant       string    `ch:"tenant"`
	Team         string    `ch:"team"`
	User         string    `ch:"user"`
	Server       string    `ch:"server"`
	Currency     string    `ch:"currency"`
	Cost         float64   `ch:"cost"`
	Tokens       float64   `ch:"tokens"`
	RecentCost   float64   `ch:"recent_cost"`
	RecentTokens float64   `ch:"recent_tokens"`
	First        time.Time `ch:"first"`
}

// Read judges every budget of the rules at the time now, the fullest first. tenant limits it to one; empty: all.
func Read(ctx context.Context, c *store.Conn, r *budget.Rules, tenant string, now time.Time) ([]Status, error) {
	var out []Status
	for _, period := range []string{budget.Day, budget.Month} {
		var budgets []*budget.Budget
		for i := range r.Budgets {
			if r.Budgets[i].Period == period {
				budgets = append(budgets, &r.Budgets[i])
			}
		}
		if len(budgets) == 0 {
			continue
		}
		rows, err := read(ctx, c, budgets, tenant, now)
		if err != nil {
			return nil, err
		}
		for _, b := range budgets {
			out = append(out, judge(b, rows, tenant, now)...)
		}
	}
	slices.SortStableFunc(out, func(a, b Status) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), strings.Compare(a.Budget, b.Budget), strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Subject, b.Subject), strings.Compare(a.Unit, b.Unit))
	})
	return out, nil
}

// read sums by the names that the budgets tell apart. All have the same period.
func read(ctx context.Context, c *store.Conn, budgets []*budget.Budget, tenant string, now time.Time) ([]row, error) {
	column := func(used bool, name string) string {
		if used {
			return "toString(" + name + ")"
		}
		return "''"
	}
	var team, user, server bool
	for _, b := range budgets {
		team, user, server = team || b.Team.Set(), user || b.User.Set(), server || b.Server.Set()
	}
	start, _ := budgets[0].Span(now.UnixNano())
	recent := now.Add(-time.Duration(budgets[0].RateSpan()))
	const tokens = "toFloat64(e.tokens_arguments) + e.tokens_result + e.tokens_definitions"
	sql := "SELECT toString(e.tenant) AS tenant, " + column(team, "e.principal_team") + " AS team, " + column(user, "e.principal_id") + " AS user, " + column(server, "e.server") + " AS server, " +
		"toString(e.cost_currency) AS currency, sum(e.cost_amount) AS cost, sum(" + tokens + ") AS tokens, sumIf(e.cost_amount, e.ts >= ?) AS recent_cost, sumIf(" + tokens + ", e.ts >= ?) AS recent_tokens, " +
		"min(e.ts) AS first FROM events AS e FINAL WHERE e.ts >= ? AND e.ts <= ? AND (? = '' OR e.tenant = ?) AND (e.cost_amount > 0 OR e.tokens_arguments > 0 OR e.tokens_result > 0 OR e.tokens_definitions > 0) " +
		"GROUP BY tenant, team, user, server, currency"
	var rows []row
	if err := c.Select(ctx, &rows, sql, recent.UTC(), recent.UTC(), time.Unix(0, start).UTC(), now.UTC(), tenant, tenant); err != nil {
		return nil, fmt.Errorf("cannot read what was spent: %w", err)
	}
	return rows, nil
}

// total is what a subject spent.
type total struct {
	subject, tenant          string
	cost, tokens             float64
	recentCost, recentTokens float64
	first                    int64
	other                    bool
}

func judge(b *budget.Budget, rows []row, tenant string, now time.Time) (out []Status) {
	totals := map[[2]string]*total{}
	for i := range rows {
		x := &rows[i]
		subject, ok := b.Subject(budget.Spender{Tenant: x.Tenant, Team: x.Team, User: x.User, Server: x.Server})
		if !ok {
			continue
		}
		t := totals[[2]string{x.Tenant, subject}]
		if t == nil {
			t = &total{subject: subject, tenant: x.Tenant, first: x.First.UnixNano()}
			totals[[2]string{x.Tenant, subject}] = t
		}
		t.first = min(t.first, x.First.UnixNano())
		t.tokens += x.Tokens
		t.recentTokens += x.RecentTokens
		if x.Currency == b.Currency {
			t.cost += x.Cost
			t.recentCost += x.RecentCost
		} else if x.Cost > 0 {
			t.other = true
		}
	}
	if s, ok := b.Only(); ok && len(totals) == 0 && (tenant == "" || s.Tenant == "" || s.Tenant == tenant) { // nobody spent anything yet
		subject, _ := b.Subject(s)
		t := cmp.Or(s.Tenant, tenant)
		totals[[2]string{t, subject}] = &total{subject: subject, tenant: t, first: now.UnixNano()}
	}
	start, end := b.Span(now.UnixNano())
	for _, t := range totals {
		over := min(b.RateSpan(), now.UnixNano()-t.first)
		over = max(over, b.RateSpan()/12)
		add := func(unit string, limit, spent, recent float64) {
			if limit == 0 {
				return
			}
			s := Status{
				Budget: b.Name, Tenant: t.tenant, Subject: t.subject, Period: b.Period, Start: time.Unix(0, start).UTC(), End: time.Unix(0, end).UTC(), Unit: unit, Limit: limit, Spent: spent, Share: spent / limit,
				RatePerHour: recent / time.Duration(over).Hours(), OtherCurrency: t.other && unit == b.Currency,
			}
			s.State, _ = budget.State(spent, limit, b.Warn)
			if at, ok := budget.Forecast(spent, limit, recent, over, now.UnixNano(), end); ok {
				x := time.Unix(0, at).UTC().Truncate(time.Second)
				s.Forecast = &x
			}
			out = append(out, s)
		}
		add(b.Currency, b.Money, t.cost, t.recentCost)
		add("tokens", b.Tokens, t.tokens, t.recentTokens)
	}
	return out
}

// Print writes a table; clean makes foreign text fit for a terminal, loc is nil for local time.
func Print(w io.Writer, list []Status, clean func(string) string, loc *time.Location) error {
	if loc == nil {
		loc = time.Local
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "BUDGET\tTENANT\tOF\tPERIOD\tSPENT\tLIMIT\tUNIT\tUSED\tSTATE\tPER HOUR\tUSED UP")
	for _, s := range list {
		forecast := "not before " + s.End.In(loc).Format("01-02 15:04")
		switch {
		case s.State == budget.Exceeded:
			forecast = "already"
		case s.Forecast != nil:
			forecast = s.Forecast.In(loc).Format(time.DateTime)
		}
		unit := s.Unit
		if s.OtherCurrency {
			unit += " (other currencies not counted)"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f%%\t%s\t%s\t%s\n", cell(clean, s.Budget), cell(clean, s.Tenant), cell(clean, s.Subject), s.Period+" "+s.Start.Format(time.DateOnly), number(s.Spent, s.Unit),
			number(s.Limit, s.Unit), unit, 100*s.Share, s.State, number(s.RatePerHour, s.Unit), forecast)
	}
	return tw.Flush()
}

func cell(clean func(string) string, s string) string {
	if s == "" {
		return "-"
	}
	r := []rune(clean(strings.ToValidUTF8(s[:min(len(s), 256)], "�")))
	if len(r) > 64 {
		r = append(r[:63], '…')
	}
	return string(r)
}

func number(f float64, unit string) string {
	if unit == "tokens" {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	if f != 0 && math.Abs(f) < 1 {
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}
