package traffic

import (
	"fmt"
	"math"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Costs makes three weeks of spending of one tenant: people with office hours in several time zones, services around the clock and on a schedule, busy days, growth,
// large results now and then. In the third week something goes wrong with some of them.
func Costs(seed uint64) (*Traffic, error) {
	m, err := newMaker(seed)
	if err != nil {
		return nil, err
	}
	r := m.rng
	t := &Traffic{Unit: "user-week"}
	const weeks = 3
	people := 12 + r.IntN(14)
	t.Units = float64(people * weeks)
	tools := []string{"search", "read_file", "query", "list_issues", "get_page"}
	base := func(p int) event.Event {
		var e event.Event
		e.Tenant, e.PrincipalID, e.PrincipalKind = "acme", fmt.Sprintf("user-%d", p), "user"
		e.PrincipalTeam = fmt.Sprintf("team-%d", p%4)
		e.HostName, e.ClientName = fmt.Sprintf("host-%d", p), "ide"
		e.Server = fmt.Sprintf("server-%d", p%3)
		e.ConversationID = fmt.Sprintf("c-%d", p)
		return e
	}
	type profile struct {
		start, length int     // hours of the day, UTC
		mean, sigma   float64 // log-normal tokens an hour
		night, week   bool    // around the clock; weekends too
		growth        float64 // a week
	}
	who := make([]profile, people)
	for p := range who {
		who[p] = profile{start: []int{7, 8, 9, 14}[r.IntN(4)], length: 7 + r.IntN(3), mean: math.Exp(9.5 + 1.2*r.NormFloat64()*0.6), sigma: 0.35 + 0.4*r.Float64(), growth: 1 + 0.1*r.Float64()}
		if p%7 == 6 {
			who[p].start, who[p].length, who[p].night, who[p].week = 0, 24, true, true
		}
	}
	spend := func(e event.Event, at time.Duration, tool string, tokens float64) string {
		n := max(int64(tokens), 20)
		e.Name, e.Kind, e.Direction, e.Method, e.Tool, e.Outcome = event.NameResponse, event.KindResponse, event.ServerToClient, "tools/call", tool, event.OutcomeOK
		e.TokensResult, e.BodySize = n, int64(float64(n)*(3.5+r.Float64()))
		e.CostAmount, e.CostCurrency = float64(n)*3e-6, "USD"
		return m.add(e, at, "").ID
	}
	busy := map[[2]int]bool{}
	for d := range weeks * 7 {
		for p, w := range who {
			if d%7 >= 5 && !w.week && r.IntN(12) > 0 { // somebody works on a weekend
				continue
			}
			factor := math.Pow(w.growth, float64(d)/7)
			if r.IntN(15) == 0 { // a busy day
				factor *= 1.5 + r.Float64()
				busy[[2]int{d, p}] = true
			}
			for h := w.start; h < w.start+w.length; h++ {
				if r.IntN(6) == 0 && !w.night { // a meeting
					continue
				}
				total := w.mean * factor * math.Exp(w.sigma*r.NormFloat64())
				e := base(p)
				if r.IntN(200) == 0 {
					e.HostName += "-travel"
				}
				k := 2 + r.IntN(3)
				for range k {
					at := time.Duration(d*24+h)*time.Hour + time.Duration(r.IntN(3600))*time.Second
					spend(e, at, tools[r.IntN(len(tools))], total/float64(k)*(0.5+r.Float64()))
				}
			}
		}
		// each morning clients load their tools
		for p := range who {
			e := base(p)
			e.Name, e.Kind, e.Direction, e.Method, e.Outcome = event.NameResponse, event.KindResponse, event.ServerToClient, "tools/list", event.OutcomeOK
			for i := range 5 + p%9 {
				e.ToolDefs = append(e.ToolDefs, event.ToolDef{Name: fmt.Sprintf("tool_%d", i), Hash: fmt.Sprint(i), Tokens: 200})
			}
			m.add(e, time.Duration(d*24+7)*time.Hour+time.Duration(r.IntN(3600))*time.Second, "")
		}
	}
	plant := func(kind string, rules []string, match map[string]string, from, lasts time.Duration, ids ...string) {
		end := (from + lasts + time.Hour).Truncate(time.Hour) // of the hour: its total stays what it is
		v := Violation{Kind: kind, Rules: rules, Match: match, From: Start.Add(from).UnixNano(), To: Start.Add(end).UnixNano(), events: map[string]bool{}}
		for _, id := range ids {
			v.events[id] = true
		}
		t.Violations = append(t.Violations, v)
	}
	cost := []string{"cost_spike", "runaway_loop"}
	third := func(hour int) time.Duration {
		return time.Duration(14+r.IntN(5))*24*time.Hour + time.Duration(hour)*time.Hour
	}
	victims := r.Perm(people)
	{ // ten to thirty times an hour's spending, by different calls
		p := victims[0]
		w := who[p]
		at := third(w.start + r.IntN(w.length))
		times := 10 + 20*r.Float64()
		var ids []string
		for i := range 40 {
			ids = append(ids, spend(base(p), at+time.Duration(i)*time.Minute, tools[r.IntN(len(tools))], max(w.mean, 15_000)*times/40))
		}
		plant("spike of 10 to 30 times", cost, map[string]string{"tenant": "acme"}, at, 40*time.Minute, ids...)
	}
	for p := range people { // a stolen credential at night
		if p = victims[(p+1)%people]; !who[p].night {
			e := base(p)
			e.HostName = "elsewhere"
			at := third(2) + time.Duration(r.IntN(3600))*time.Second/2
			var ids []string
			for i := range 20 {
				ids = append(ids, spend(e, at+time.Duration(i)*time.Minute, tools[r.IntN(len(tools))], max(who[p].mean*3, 80_000)/20))
			}
			plant("stolen credential at night", cost, nil, at, 20*time.Minute, ids...)
			break
		}
	}
	{ // an agent in a loop
		p := victims[2]
		at := third(who[p].start + 1)
		var ids []string
		for i := range 400 {
			e := base(p)
			e.Name, e.Kind, e.Direction, e.Method, e.Tool = event.NameRequest, event.KindRequest, event.ClientToServer, "tools/call", "read_file"
			e.TokensArguments = 60
			e.Fingerprints = []uint64{seed<<8 | 1}
			ids = append(ids, m.add(e, at+time.Duration(i)*1500*time.Millisecond, "").ID, spend(base(p), at+time.Duration(i)*1500*time.Millisecond+500*time.Millisecond, "read_file", 900))
		}
		plant("agent in a loop", []string{"runaway_loop", "cost_spike"}, map[string]string{"tenant": "acme"}, at, 10*time.Minute, ids...)
	}
	{ // a server whose tool returns more and more; its traffic before is that of a tool of its own
		at := third(10)
		e := base(victims[3])
		e.Server = "vendor"
		for i := range 120 {
			spend(e, time.Duration(i%14)*24*time.Hour+10*time.Hour+time.Duration(i)*time.Minute, "lookup", 400*math.Exp(0.6*r.NormFloat64()))
		}
		var ids []string
		for i := range 20 {
			ids = append(ids, spend(e, at+time.Duration(i)*10*time.Minute, "lookup", 14_000*math.Exp(0.3*r.NormFloat64())))
		}
		plant("tool that stuffs its results", []string{"token_stuffing", "cost_spike"}, map[string]string{"tenant": "acme"}, at, 4*time.Hour, ids...)
	}
	{ // a client that loads 91 tools of a new server
		p := victims[4]
		at := third(9)
		e := base(p)
		e.Server = "catalogue"
		e.Name, e.Kind, e.Direction, e.Method, e.Outcome = event.NameResponse, event.KindResponse, event.ServerToClient, "tools/list", event.OutcomeOK
		for i := range 91 {
			e.ToolDefs = append(e.ToolDefs, event.ToolDef{Name: fmt.Sprintf("cat_%d", i), Hash: fmt.Sprint(i), Tokens: int64(250 + r.IntN(300))})
		}
		plant("91 tools loaded", []string{"definition_bloat"}, nil, at, time.Hour, m.add(e, at, "").ID)
	}
	t.Events = m.finish()
	return t, nil
}
