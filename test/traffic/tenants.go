package traffic

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// record is a customer of a tenant.
type record struct {
	id, text string
}

// Tenants makes some days of several tenants on shared servers: a CRM with records of each one's own, tickets, articles for all, public data. Some records are of
// partners that two tenants have, all results carry the vendor's footer, and tenants paste articles into tickets. In the second half tenants get what is not theirs.
func Tenants(seed uint64) (*Traffic, error) {
	m, err := newMaker(seed)
	if err != nil {
		return nil, err
	}
	r := m.rng
	t := &Traffic{Unit: "1000 answers"}
	tenants := 3 + r.IntN(6)
	named := r.IntN(2) == 0 // whether records name the tenant
	footer := fmt.Sprintf("Questions? support%d@vendor.example or +1 415 555 0%03d. Confidential unless marked otherwise; see https://vendor.example/terms/%d", r.IntN(100), r.IntN(1000), r.IntN(1e6))
	if r.IntN(2) == 0 {
		footer = ""
	}
	partners := customers(r, "shared", 12, false)
	own := make([][]record, tenants)
	articles := make([]string, 80)
	for i := range articles {
		articles[i] = fmt.Sprintf("Article KB%05d: %s Write to team%d@vendor.example. %s", 10000+i, prose(r, 60), r.IntN(20), prose(r, 60))
	}
	cities := make([]string, 40)
	for i := range cities {
		cities[i] = fmt.Sprintf(`{"station":"ST%05d","date":"2026-01-%02d","temperature":%d,"text":"%s"}`, 20000+i, 1+i%28, r.IntN(30), prose(r, 12))
	}
	for i := range own {
		own[i] = customers(r, fmt.Sprintf("t%d", i), 40+r.IntN(120), named)
		for range 3 {
			own[i] = append(own[i], partners[r.IntN(len(partners))])
		}
	}
	base := func(tenant, user int) event.Event {
		var e event.Event
		e.Tenant = fmt.Sprintf("tenant-%d", tenant)
		e.PrincipalID, e.PrincipalKind = fmt.Sprintf("user-%d-%d", tenant, user), "user"
		e.ClientName, e.Server = "ide", "crm"
		e.ConversationID = fmt.Sprintf("c-%d-%d-%d", tenant, user, r.IntN(4))
		e.SessionID = fmt.Sprintf("s-%d-%d-%d", tenant, user, r.IntN(4))
		return e
	}
	const days = 3
	perDay := 250 + r.IntN(250)
	var served [][3]any // tenant, args, result of records that were served
	answers := 0
	for d := range days {
		for i := range perDay {
			at := time.Duration(d)*24*time.Hour + 8*time.Hour + time.Duration(float64(i)/float64(perDay)*10*float64(time.Hour)) + time.Duration(r.IntN(1000))*time.Millisecond
			who, user := r.IntN(tenants), r.IntN(6)
			e := base(who, user)
			mine := own[who]
			pick := mine[int(float64(len(mine))*r.Float64()*r.Float64())]
			answers++
			if d*perDay+i > days*perDay/2 && r.IntN(40) == 0 && len(served) > 50 {
				if m.violate(t, e, at, who, served, pick) {
					continue
				}
			}
			switch k := r.IntN(100); {
			case k < 45:
				args, text := fmt.Sprintf(`{"customer":"%s"}`, pick.id), pick.text+" "+footer
				m.call(e, at, "get_customer", args, text)
				if !strings.HasPrefix(pick.id, "shared") {
					served = append(served, [3]any{who, args, text})
				}
			case k < 60:
				texts := []string{pick.text}
				for range 1 + r.IntN(3) {
					texts = append(texts, mine[r.IntN(len(mine))].text)
				}
				m.call(e, at, "search_customers", fmt.Sprintf(`{"query":"%s"}`, word(r)), "["+strings.Join(texts, ",")+"] "+footer)
			case k < 75:
				e.Server = "docs"
				m.call(e, at, "search_docs", fmt.Sprintf(`{"query":"%s %s"}`, word(r), word(r)), articles[int(float64(len(articles))*r.Float64()*r.Float64())]+footer)
			case k < 85:
				e.Server = "weather"
				c := r.IntN(len(cities))
				m.call(e, at, "get_weather", fmt.Sprintf(`{"station":"ST%05d"}`, 20000+c), cities[c])
			default:
				e.Server = "tickets"
				text := prose(r, 30) + " Customer " + pick.id
				if r.IntN(4) == 0 {
					text += " as described: " + articles[r.IntN(len(articles))]
				}
				m.call(e, at, "create_ticket", fmt.Sprintf(`{"text":%q}`, text), fmt.Sprintf(`{"ticket":"TCK-%06d","status":"open"} %s`, r.IntN(1e6), footer))
			}
		}
	}
	t.Units = float64(answers) / 1000
	t.Events = m.finish()
	return t, nil
}

// violate plants one of the ways in which a tenant gets what is another's.
func (m *maker) violate(t *Traffic, e event.Event, at time.Duration, who int, served [][3]any, mine record) bool {
	r := m.rng
	old := served[len(served)-1-r.IntN(min(len(served), 200))]
	if old[0].(int) == who {
		return false
	}
	args, text := old[1].(string), old[2].(string)
	v := Violation{Rules: []string{"cross_tenant"}, From: Start.Add(at).UnixNano(), To: Start.Add(at + time.Second).UnixNano(), events: map[string]bool{}}
	var a, b string
	switch r.IntN(4) {
	case 0:
		v.Kind = "another's answer to an own call (cache)"
		a, b = m.call(e, at, "get_customer", fmt.Sprintf(`{"customer":"%s"}`, mine.id), text)
	case 1:
		v.Kind = "another's record asked for and got"
		a, b = m.call(e, at, "get_customer", args, text)
	case 2:
		v.Kind = "another's record among own ones"
		a, b = m.call(e, at, "search_customers", fmt.Sprintf(`{"query":"%s"}`, word(r)), "["+mine.text+","+text+"]")
	case 3:
		v.Kind = "another's session"
		e.SessionID = fmt.Sprintf("s-%d-%d-%d", old[0].(int), r.IntN(6), r.IntN(4))
		seen := false
		for i := range m.events {
			seen = seen || m.events[i].SessionID == e.SessionID
		}
		if !seen {
			return false
		}
		a, b = m.call(e, at, "get_customer", fmt.Sprintf(`{"customer":"%s"}`, mine.id), mine.text)
	}
	v.events[a], v.events[b] = true, true
	t.Violations = append(t.Violations, v)
	return true
}

// customers makes records; named ones say which tenant's they are.
func customers(r *rand.Rand, prefix string, n int, named bool) []record {
	out := make([]record, n)
	for i := range out {
		id := fmt.Sprintf("%sC%06d", strings.ToUpper(prefix[:1]), r.IntN(1e6))
		if prefix == "shared" {
			id = fmt.Sprintf("sharedC%06d", r.IntN(1e6))
		}
		first, last := word(r), word(r)
		org := ""
		if named {
			org = fmt.Sprintf(`"org_id":"org-%s",`, prefix)
		}
		out[i] = record{id, fmt.Sprintf(`{%s"customer":"%s","name":"%s %s","email":"%s.%s%d@example.com","phone":"+1 %d 555 %04d","city":"%s","opened":"2025-%02d-%02d","note":"%s"}`,
			org, id, first, last, first, last, r.IntN(1000), 200+r.IntN(700), r.IntN(10000), word(r), 1+r.IntN(12), 1+r.IntN(28), prose(r, 15))}
	}
	return out
}

var syllables = []string{"ba", "co", "du", "fe", "gi", "lo", "ma", "ne", "or", "pi", "ra", "se", "ti", "un", "va", "wo", "ki", "zu", "el", "an"}

func word(r *rand.Rand) string {
	n := 2 + r.IntN(2)
	var b strings.Builder
	for range n {
		b.WriteString(syllables[r.IntN(len(syllables))])
	}
	return b.String()
}

func prose(r *rand.Rand, n int) string {
	w := make([]string, n)
	for i := range w {
		w[i] = word(r)
	}
	return strings.Join(w, " ") + "."
}
