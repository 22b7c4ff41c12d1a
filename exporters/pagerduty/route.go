// Whom a finding pages.

package pagerduty

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// defaultRoute is the name of the way to the exporter's own key.
const defaultRoute = "default"

// Schedule is a time of the week in a time zone. One that ends before it begins goes over midnight and belongs to the day when it begins.
type Schedule struct {
	Zone string   `mapstructure:"zone"` // IANA name, e.g. Europe/Berlin; empty: UTC
	Days []string `mapstructure:"days"` // mon, tue, wed, thu, fri, sat, sun; none means all
	From string   `mapstructure:"from"` // 18:00
	To   string   `mapstructure:"to"`   // 08:00; the same as From: the whole day
}

type schedule struct {
	zone     *time.Location
	days     [7]bool
	from, to int // minutes of the day
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (s *Schedule) compile() (*schedule, error) {
	out := &schedule{zone: time.UTC}
	var err error
	if s.Zone != "" {
		if out.zone, err = time.LoadLocation(s.Zone); err != nil || strings.EqualFold(s.Zone, "local") {
			return nil, errors.New("zone must be a name like Europe/Berlin")
		}
	}
	for _, d := range s.Days {
		i := -1
		if len(d) >= 3 {
			i = slices.Index(dayNames, strings.ToLower(d[:3]))
		}
		if i < 0 {
			return nil, fmt.Errorf("days: %q is no day: mon, tue, wed, thu, fri, sat, sun", d)
		}
		out.days[i] = true
	}
	if len(s.Days) == 0 {
		out.days = [7]bool{true, true, true, true, true, true, true}
	}
	for _, x := range []struct {
		text string
		to   *int
	}{{s.From, &out.from}, {s.To, &out.to}} {
		if x.text == "" {
			continue
		}
		t, err := time.Parse("15:04", x.text)
		if err != nil {
			return nil, errors.New("from and to must be times of the day like 08:00")
		}
		*x.to = t.Hour()*60 + t.Minute()
	}
	return out, nil
}

func (s *schedule) takes(t time.Time) bool {
	t = t.In(s.zone)
	day, minute := int(t.Weekday()), t.Hour()*60+t.Minute()
	switch {
	case s.from == s.to:
		return s.days[day]
	case s.from < s.to:
		return s.days[day] && minute >= s.from && minute < s.to
	case minute >= s.from:
		return s.days[day]
	}
	return s.days[(day+6)%7] && minute < s.to
}

// route is a compiled RouteConfig, with what is shared by all requests with its key.
type route struct {
	name                    string
	tenants, rules, servers []string
	minSeverity             int
	schedule                *schedule
	nobody                  bool
	key                     sink.Secret
	gate                    sink.Gate
}

func newRoutes(c *Config) (out []*route, err error) {
	for _, r := range c.Routes {
		x := &route{name: r.Name, tenants: r.Tenants, rules: r.Rules, servers: r.Servers, nobody: r.Nobody, key: r.RoutingKey}
		x.minSeverity = max(slices.Index(sink.Severities, r.MinSeverity), 0)
		if r.Schedule != nil {
			if x.schedule, err = r.Schedule.compile(); err != nil {
				return nil, err
			}
		}
		out = append(out, x)
	}
	return append(out, &route{name: defaultRoute, key: c.RoutingKey, nobody: c.RoutingKey.IsZero()}), nil
}

func takes(patterns []string, s string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return sink.Match(p, s) })
}

// target is what a route is chosen by. It depends on nothing but the record, so that a resolution finds the way of its trigger.
type target struct {
	tenant, rule, server string
	severity             int // index in sink.Severities; an unknown one is the highest
	time                 int64
}

func targetOf(f *finding.Finding) target {
	t := target{tenant: f.Tenant, rule: f.RuleID, server: f.Server, severity: slices.Index(sink.Severities, f.Severity), time: f.Time}
	if t.severity < 0 {
		t.severity = len(sink.Severities) - 1
	}
	if t.tenant == "" {
		t.tenant = event.DefaultTenant
	}
	return t
}

func (r *route) takes(t target) bool {
	return takes(r.tenants, t.tenant) && takes(r.rules, t.rule) && takes(r.servers, t.server) && t.severity >= r.minSeverity &&
		(r.schedule == nil || r.schedule.takes(time.Unix(0, t.time)))
}

// choose returns the first route that takes t, or nil if that is to page nobody.
func choose(routes []*route, t target) *route {
	for _, r := range routes {
		if r.takes(t) {
			if r.nobody {
				return nil
			}
			return r
		}
	}
	return nil
}

func byName(routes []*route, name string) *route {
	i := slices.IndexFunc(routes, func(r *route) bool { return r.name == name })
	if i < 0 || routes[i].nobody {
		return nil
	}
	return routes[i]
}
