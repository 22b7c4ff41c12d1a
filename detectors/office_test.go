package detectors

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// office is weeks of ordinary work of some people and services with a few tools, drawn from a seed. The work of a day is in order of time.
type office struct {
	rnd    *rand.Rand
	events []event.Event
}

const (
	hourNanos = int64(3600e9)
	dayNanos  = 24 * hourNanos
	monday    = int64(1_767_571_200e9) // 2026-01-05 00:00 UTC
)

func (o *office) call(at int64, who, conversation, server, tool string, caps []string, edit func(call, result *event.Event)) int64 {
	var c, r event.Event
	c.Name, c.Kind, c.Direction, c.Method = event.NameRequest, event.KindRequest, event.ClientToServer, "tools/call"
	c.Tenant, c.PrincipalID, c.PrincipalTeam, c.ClientName, c.ConversationID, c.Server, c.Tool, c.Capabilities = "acme", who, "support", "ide", conversation, server, tool, caps
	c.Time, c.ArgumentsFingerprint, c.BodySize = at, o.rnd.Int64()|1, 300+o.rnd.Int64N(1500)
	c.ExchangeID = event.SourceID(fmt.Sprint(len(o.events)), who)
	r = c
	r.Name, r.Kind, r.Direction, r.Outcome, r.ArgumentsFingerprint = event.NameResponse, event.KindResponse, event.ServerToClient, event.OutcomeOK, 0
	r.Time = at + 1e9 + o.rnd.Int64N(5e9)
	if edit != nil {
		edit(&c, &r)
	}
	o.events = append(o.events, c, r)
	return r.Time + 2e9 + o.rnd.Int64N(60e9)
}

// value is a sensitive value's sample.
func (o *office) value() uint64 { return o.rnd.Uint64() &^ 7 }

// task is one piece of work: read a ticket, look a customer up, look a page up, write a note or answer; seldom delete a draft.
func (o *office) task(at int64, who string) {
	id := fmt.Sprint("c-", who, "-", len(o.events))
	v := []uint64{o.value(), o.value(), o.value() | 2, o.value() | 2, o.value() | 2, o.value() | 2}
	at = o.call(at, who, id, "tickets", "get_ticket", []string{"reads_private", "reads_untrusted"}, func(_, r *event.Event) {
		r.Fingerprints, r.DataClasses = []uint64{v[0], o.value() | 2}, []string{"email"}
	})
	at = o.call(at, who, id, "crm", "get_customer", []string{"reads_private"}, func(_, r *event.Event) {
		r.Fingerprints, r.DataClasses = v, []string{"email", "phone"}
	})
	if o.rnd.IntN(3) == 0 {
		at = o.call(at, who, id, "web", "fetch", []string{"reads_untrusted"}, func(c, r *event.Event) {
			c.Destinations = []string{fmt.Sprint("site-", o.rnd.IntN(200), ".example")}
		})
	}
	switch n := o.rnd.IntN(40); {
	case n < 20:
		o.call(at, who, id, "mail", "send_reply", []string{"sends_outside"}, func(c, _ *event.Event) {
			c.Fingerprints, c.DataClasses, c.Redactions = []uint64{v[0], v[2], v[3]}, []string{"email"}, map[string]float64{"email": 1}
			c.Destinations = []string{[]string{"gmail.com", "example.com", "partner.example", "outlook.com"}[o.rnd.IntN(4)]}
			if o.rnd.IntN(30) == 0 {
				c.Destinations = []string{fmt.Sprint("customer-", o.rnd.IntN(100), ".example")}
			}
		})
	case n < 38:
		o.call(at, who, id, "tickets", "add_note", []string{"writes"}, nil)
	default:
		o.call(at, who, id, "tickets", "delete_draft", []string{"destroys"}, nil)
	}
}

// work is days of it.
func (o *office) work(days int) {
	for day := range days {
		for p := range 12 {
			who := fmt.Sprint("user-", p)
			if day%7 >= 5 && p%4 != 0 { // some work at weekends
				continue
			}
			for range 6 + o.rnd.IntN(6) {
				o.task(monday+int64(day)*dayNanos+int64(7+p%3)*hourNanos+o.rnd.Int64N(9*hourNanos), who)
			}
		}
		for h := range 24 { // a service that cleans up every hour
			at := monday + int64(day)*dayNanos + int64(h)*hourNanos
			for range 1 + o.rnd.IntN(4) {
				at = o.call(at, "cleaner", fmt.Sprint("clean-", day, h), "files", "list_files", []string{"reads_private"}, nil)
				at = o.call(at, "cleaner", fmt.Sprint("clean-", day, h), "files", "delete_file", []string{"destroys"}, nil)
			}
		}
	}
}

// run gives the events to the detectors of chains, in order of time, and lists what is raised at medium or worse.
func (o *office) run(t *testing.T) (raised map[string][]string, events int) {
	slices.SortStableFunc(o.events, func(a, b event.Event) int { return int(min(max(a.Time-b.Time, -1), 1)) })
	s := engine.Settings{Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew}
	for _, d := range All {
		if slices.Contains(chained, d.Spec.ID) {
			in, err := d.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			s.Detectors = append(s.Detectors, in)
		}
	}
	g, err := engine.New(s)
	if err != nil {
		t.Fatal(err)
	}
	raised = map[string][]string{}
	for i := 0; i < len(o.events); i += 500 {
		ld := plog.NewLogs()
		recs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		for k := i; k < min(i+500, len(o.events)); k++ {
			e := &o.events[k]
			e.ID, e.Received = event.SourceID(fmt.Sprint(k)), e.Time
			e.Encode(recs.AppendEmpty())
		}
		g.Apply(ld)
		fs := g.Findings()
		var f finding.Finding
		for a := range fs.ResourceLogs().Len() {
			rl := fs.ResourceLogs().At(a)
			for b := range rl.ScopeLogs().Len() {
				recs := rl.ScopeLogs().At(b).LogRecords()
				for c := range recs.Len() {
					finding.Decode(rl.Resource(), recs.At(c), &f)
					if f.Severity == engine.Medium || f.Severity == engine.High || f.Severity == engine.Critical {
						raised[f.RuleID] = append(raised[f.RuleID], f.PrincipalID+" "+f.Severity+" "+f.Summary)
					}
				}
			}
		}
	}
	return raised, len(o.events)
}

// Weeks of ordinary work raise hardly anything, and what is planted in them is found.
func TestOffice(t *testing.T) {
	events, alarms := 0, 0
	for seed := range uint64(3) {
		o := &office{rnd: rand.New(rand.NewPCG(seed, 7))}
		o.work(28)
		raised, n := o.run(t)
		events += n
		for rule, all := range raised {
			alarms += len(all)
			t.Logf("seed %d: %s: %s", seed, rule, strings.Join(all, "; "))
		}
	}
	t.Logf("%d alarms in %d events of 12 weeks", alarms, events)
	if alarms*10_000 > events {
		t.Errorf("%d alarms in %d events: more than one in 10,000", alarms, events)
	}
}

func TestOfficePlanted(t *testing.T) {
	at := monday + 22*dayNanos // a Tuesday, after three weeks
	o := &office{rnd: rand.New(rand.NewPCG(11, 7))}
	o.work(26)
	planted := map[string]string{}
	f := func(rule, who string, plant func(o *office)) {
		planted[rule] = who
		plant(o)
	}
	sends, reads := []string{"sends_outside"}, []string{"reads_private"}
	f("off_hours", "user-1", func(o *office) {
		o.call(at+2*hourNanos, "user-1", "night", "tickets", "delete_draft", []string{"destroys"}, nil)
	})
	f("destructive_burst", "user-2", func(o *office) {
		for i := range int64(40) {
			o.call(at+10*hourNanos+i*2e9, "user-2", "burst", "tickets", "delete_draft", []string{"destroys"}, nil)
		}
	})
	f("unusual_transition", "user-3", func(o *office) {
		n := o.call(at+10*hourNanos, "user-3", "odd", "crm", "get_customer", reads, nil)
		o.call(n, "user-3", "odd", "files", "delete_file", []string{"destroys"}, nil)
	})
	f("outbound_volume", "user-4", func(o *office) {
		for i := range int64(20) {
			o.call(at+10*hourNanos+i*20e9, "user-4", "much", "mail", "send_reply", sends, func(c, _ *event.Event) { c.BodySize = 100_000 })
		}
	})
	f("slow_drip", "user-5", func(o *office) {
		for i := range int64(40) {
			v := o.value()
			n := o.call(monday+10*dayNanos+i*2*hourNanos, "user-5", "drip", "crm", "get_customer", reads, func(_, r *event.Event) { r.Fingerprints, r.DataClasses = []uint64{v}, []string{"email"} })
			o.call(n, "user-5", "drip", "mail", "send_reply", sends, func(c, _ *event.Event) { c.Fingerprints, c.Destinations = []uint64{v}, []string{"slow.example"} })
		}
	})
	f("new_destination", "user-6", func(o *office) {
		o.call(at+10*hourNanos, "user-6", "new", "mail", "send_reply", sends, func(c, _ *event.Event) {
			c.Destinations, c.DataClasses = []string{"drop.example"}, []string{"github_token"}
		})
	})
	f("content_taint", "user-7", func(o *office) {
		v := o.value()
		n := o.call(at+10*hourNanos, "user-7", "key", "vault", "read_secret", reads, func(_, r *event.Event) { r.Fingerprints, r.DataClasses = []uint64{v}, []string{"github_token"} })
		o.call(n, "user-7", "key", "mail", "send_reply", sends, func(c, _ *event.Event) { c.Fingerprints, c.DataClasses = []uint64{v}, []string{"github_token"} })
	})
	f("toxic_flow", "user-8", func(o *office) {
		v := []uint64{o.value() | 2, o.value() | 2, o.value() | 2}
		n := o.call(at+10*hourNanos, "user-8", "toxic", "web", "fetch", []string{"reads_untrusted"}, func(_, r *event.Event) { r.Signals = map[string]float64{"injection": 0.8} })
		n = o.call(n, "user-8", "toxic", "crm", "get_customer", reads, func(_, r *event.Event) { r.Fingerprints = v })
		o.call(n, "user-8", "toxic", "mail", "send_reply", sends, func(c, _ *event.Event) { c.Fingerprints = v })
	})
	f("archive_send", "user-9", func(o *office) {
		n := o.call(at+10*hourNanos, "user-9", "dump", "crm", "get_customer", reads, nil)
		n = o.call(n, "user-9", "dump", "shell", "bash", []string{"executes"}, func(c, _ *event.Event) { c.Signals = map[string]float64{"archive_in_arguments": 1} })
		o.call(n, "user-9", "dump", "mail", "send_reply", sends, func(c, _ *event.Event) {
			c.Signals, c.Destinations = map[string]float64{"archive_in_arguments": 1}, []string{"pack.example"}
		})
	})
	f("tool_loop", "user-10", func(o *office) {
		for i := range int64(12) {
			o.call(at+10*hourNanos+i*5e9, "user-10", "loop", "mail", "send_reply", sends, func(c, _ *event.Event) { c.ArgumentsFingerprint = 77 })
		}
	})
	raised, _ := o.run(t)
	for rule, who := range planted {
		if !slices.ContainsFunc(raised[rule], func(s string) bool { return strings.HasPrefix(s, who+" ") }) {
			t.Errorf("%s does not find what %s does: %q", rule, who, raised[rule])
		}
	}
}
