// Package budget knows what may be spent, by whom and when, and how fast a provider may be asked. README.md describes the file.
package budget

import (
	"strings"
	"time"
)

// Rules are a budget file. They are not changed once made.
type Rules struct {
	Version string // the file's own and a part of its hash
	Budgets []Budget
	Limits  []Limit
}

// Periods of a budget.
const (
	Day   = "day"
	Month = "month"
)

// Budget is what may be spent in a period.
type Budget struct {
	Name     string
	Tenant   Pattern
	Team     Pattern
	User     Pattern
	Server   Pattern
	Period   string    // Day or Month, UTC
	Money    float64   // of Currency; 0: no limit
	Currency string    // ISO 4217
	Tokens   float64   // 0: no limit
	Warn     []float64 // shares, ascending, each above 0 and below 1
	Line     int       // in the file
}

// Limit is what a provider allows in a minute.
type Limit struct {
	Name      string
	Provider  string // lower case, as in the price list; empty: any
	Model     Pattern
	Tenant    Pattern
	Principal Pattern // unset: everybody together
	Tokens    float64 // 0: no limit
	Requests  float64 // 0: no limit
	Warn      float64 // share
	Line      int
}

// Spender is whose event it is.
type Spender struct{ Tenant, Team, User, Server string }

// Subject says whom the budget counts the spender for, as text that is the same for the same combination of matched names. ok is
// false where the budget does not concern the spender. A name that is not known matches nothing.
func (b *Budget) Subject(s Spender) (subject string, ok bool) {
	var out []byte
	for _, x := range [...]struct {
		p           *Pattern
		kind, value string
	}{{&b.Tenant, "tenant", s.Tenant}, {&b.Team, "team", s.Team}, {&b.User, "user", s.User}, {&b.Server, "server", s.Server}} {
		if !x.p.Set() {
			continue
		}
		if x.value == "" || !x.p.Match(x.value) {
			return "", false
		}
		if len(out) > 0 {
			out = append(out, ", "...)
		}
		out = append(out, x.kind...)
		out = append(out, ' ')
		out = append(out, x.value...)
	}
	return string(out), true
}

// Only is the one spender that the budget names, where no pattern of it has a star; what it does not select is empty.
func (b *Budget) Only() (s Spender, ok bool) {
	for _, p := range [...]*Pattern{&b.Tenant, &b.Team, &b.User, &b.Server} {
		if len(p.parts) > 1 {
			return s, false
		}
	}
	return Spender{Tenant: b.Tenant.String(), Team: b.Team.String(), User: b.User.String(), Server: b.Server.String()}, true
}

// Span is the period that holds t: start, and end, which is the start of the next, in ns since 1970.
func (b *Budget) Span(t int64) (start, end int64) {
	x := time.Unix(0, t).UTC()
	if b.Period == Day {
		s := time.Date(x.Year(), x.Month(), x.Day(), 0, 0, 0, 0, time.UTC)
		return s.UnixNano(), s.AddDate(0, 0, 1).UnixNano()
	}
	s := time.Date(x.Year(), x.Month(), 1, 0, 0, 0, 0, time.UTC)
	return s.UnixNano(), s.AddDate(0, 1, 0).UnixNano()
}

// RateSpan is how far back the present rate of the budget reaches, in ns: an hour, or a day.
func (b *Budget) RateSpan() int64 {
	if b.Period == Day {
		return int64(time.Hour)
	}
	return int64(24 * time.Hour)
}

// States of a budget.
const (
	OK       = "ok"
	Warning  = "warning"
	Exceeded = "exceeded"
)

// State judges what was spent against a limit. threshold is the highest share reached: of warn, or 1; 0 in state OK.
func State(spent, limit float64, warn []float64) (state string, threshold float64) {
	if spent >= limit {
		return Exceeded, 1
	}
	for _, w := range warn {
		if spent >= w*limit {
			state, threshold = Warning, w
		}
	}
	if state == "" {
		state = OK
	}
	return state, threshold
}

// Forecast says when the limit is reached, in ns since 1970, if what was spent in the last `over` ns goes on like that. ok is
// false where that is after end, or nothing was spent of late. A limit that is reached already has no forecast.
func Forecast(spent, limit, recent float64, over, now, end int64) (at int64, ok bool) {
	if spent >= limit || recent <= 0 || over <= 0 || now >= end {
		return 0, false
	}
	wait := (limit - spent) / recent * float64(over)
	if !(wait < float64(end-now)) {
		return 0, false
	}
	return now + int64(wait), true
}

// Pattern matches names; * stands for any characters. The zero value is not set and matches everything.
type Pattern struct {
	parts []string // what stands between the stars; one part: no star
	fold  bool     // lower case
}

// NewPattern makes a pattern; with fold, case does not matter.
func NewPattern(s string, fold bool) Pattern {
	if s == "" {
		return Pattern{}
	}
	if fold {
		s = strings.ToLower(s)
	}
	return Pattern{strings.Split(s, "*"), fold}
}

// Set reports whether the pattern says anything.
func (p *Pattern) Set() bool { return p.parts != nil }

// String is the pattern as it was written.
func (p *Pattern) String() string { return strings.Join(p.parts, "*") }

// Match is linear: the first place where a part fits is as good as any later one.
func (p *Pattern) Match(name string) bool {
	if p.parts == nil {
		return true
	}
	if p.fold {
		name = strings.ToLower(name)
	}
	first, last := p.parts[0], p.parts[len(p.parts)-1]
	if len(p.parts) == 1 {
		return name == first
	}
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, x := range p.parts[1 : len(p.parts)-1] {
		i := strings.Index(name, x)
		if i < 0 {
			return false
		}
		name = name[i+len(x):]
	}
	return true
}
