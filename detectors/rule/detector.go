package rule

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// State is what a rule remembers of one group; one of its parts is set, by the rule's kind.
type State struct {
	Win  *window   `json:"w,omitempty"`
	Seq  *sequence `json:"s,omitempty"`
	Abs  *absence  `json:"a,omitempty"`
	Seen *seen     `json:"f,omitempty"`
	Rare *counts   `json:"r,omitempty"`
	Base *baseline `json:"b,omitempty"`
}

// Budget of strikes: an event for which a condition would cost more than maxOps is a strike and is not judged; strikesPerPardon events
// within the budget take one back. At maxStrikes the rule is off until it is loaded again. What is counted is events, never time, so
// that the same events turn the same rules off.
const (
	maxStrikes       = 20
	strikesPerPardon = 100
)

// Health is how a rule does, for metrics. It may be read from any goroutine.
type Health struct {
	OverBudget atomic.Int64 // events not judged because of their cost
	Disabled   atomic.Bool  // over budget too often
}

type detector struct {
	r       *Rule
	m       machine
	matched uint32 // steps that the event fulfils
	cur     uint32 // of those, the ones of the key under observation
	strikes int
	good    int
	off     bool // over budget too often
	key     []byte
	health  *Health
}

func newDetector(r *Rule) *detector { return &detector{r: r, health: r.state} }

// Wants implements engine.Detector: it reports whether the event meets a condition of the rule.
func (d *detector) Wants(e *event.Event) bool {
	d.matched = 0
	if d.off {
		return false
	}
	over := false
	conds := d.r.steps
	var two [2]*expression
	switch d.r.Kind {
	case KindSequence:
	case KindAbsence:
		two = [2]*expression{d.r.when, d.r.absent}
		conds = two[:]
	default:
		two[0] = d.r.when
		conds = two[:1]
	}
	for i, x := range conds {
		switch d.m.truth(x, e) {
		case yes:
			d.matched |= 1 << i
		case overBudget:
			over = true
		}
	}
	if d.matched != 0 && d.r.except != nil {
		switch d.m.truth(d.r.except, e) {
		case yes:
			if d.r.Kind == KindAbsence {
				d.matched &^= 1 // what would end the wait still does
			} else {
				d.matched = 0
			}
		case overBudget:
			over, d.matched = true, 0
		}
	}
	if over {
		d.health.OverBudget.Add(1)
		if d.strikes++; d.strikes >= maxStrikes {
			d.off = true
			d.health.Disabled.Store(true)
			d.matched = 0
		}
	} else if d.strikes > 0 {
		if d.good++; d.good >= strikesPerPardon {
			d.good = 0
			d.strikes--
		}
	}
	return d.matched != 0
}

// EachKey implements engine.Keyed: one key for each way in which the event's steps find the group.
func (d *detector) EachKey(e *event.Event, observe func(key []byte)) {
	if len(d.r.groups) == 1 {
		d.cur = d.matched
		if d.appendKey(d.r.groups[0], e) {
			observe(d.key)
		}
		return
	}
	rest := d.matched
	for i, g := range d.r.groups {
		if rest&(1<<i) == 0 {
			continue
		}
		d.cur = 0
		for j := i; j < len(d.r.groups); j++ {
			if rest&(1<<j) != 0 && sameFields(g, d.r.groups[j]) {
				d.cur |= 1 << j
			}
		}
		rest &^= d.cur
		if d.appendKey(g, e) {
			observe(d.key)
		}
	}
}

func sameFields(a, b []field) bool {
	return slices.EqualFunc(a, b, func(x, y field) bool { return x.name == y.name })
}

// appendKey makes the group's key in d.key; it reports false where the event lacks one of the fields.
func (d *detector) appendKey(group []field, e *event.Event) bool {
	d.key = d.key[:0]
	for i := range group {
		s := group[i].text(e)
		if s == "" {
			return false
		}
		if len(s) > 256 {
			s = "#" + event.SourceID(s)
		}
		d.key = engine.AppendPart(d.key, s)
	}
	return true
}

// KeyText implements engine.Keyed.
func (d *detector) KeyText(key []byte) string {
	var b strings.Builder
	for _, n := range d.r.GroupBy {
		var s string
		s, key = engine.CutPart(key)
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(n + "=" + engine.Name(s))
	}
	if b.Len() == 0 {
		return "tenant"
	}
	return b.String()
}

// Observe implements engine.Detector.
func (d *detector) Observe(c *engine.Context, e *event.Event, s *State) {
	switch d.r.Kind {
	case KindEvent:
		a := d.alert(d.about(e), nil)
		a.Window = d.r.dedup()
		if a.Window == 0 && len(d.r.GroupBy) > 0 {
			a.Scope = []string{e.ID}
		}
		c.Emit(a)
	case KindThreshold:
		d.threshold(c, e, s)
	case KindSequence:
		d.sequence(c, e, s)
	case KindAbsence:
		d.absence(c, e, s)
	case KindFirstSeen:
		d.firstSeen(c, e, s)
	case KindRare:
		d.rare(c, e, s)
	case KindBaseline:
		d.baseline(c, e, s)
	}
}

// Timer implements engine.Timed.
func (d *detector) Timer(c *engine.Context, s *State) {
	switch {
	case s.Win != nil:
		d.closeWindow(c, s.Win)
	case s.Abs != nil:
		d.overdue(c, s.Abs)
	}
}

// about is who and what an alert is about, kept where it is raised later.
type about struct {
	Principal    string   `json:"p,omitempty"`
	Client       string   `json:"c,omitempty"`
	Server       string   `json:"s,omitempty"`
	Tool         string   `json:"t,omitempty"`
	Conversation string   `json:"v,omitempty"`
	Severity     string   `json:"y,omitempty"`
	Filled       []string `json:"f,omitempty"`
	Why          []string `json:"w,omitempty"`
}

func (d *detector) about(e *event.Event) *about {
	a := &about{Principal: e.PrincipalID, Client: e.ClientName, Server: e.Server, Tool: e.Tool, Conversation: e.ConversationID, Filled: d.r.summary.fill(e)}
	for i := range d.r.why {
		a.Why = append(a.Why, engine.Name(d.r.why[i].text(e)))
	}
	if d.r.severity != nil {
		if out, v := d.m.run(d.r.severity, e); v == yes {
			if s, ok := out.(string); ok && slices.Contains(severities, s) {
				a.Severity = s
			}
		}
	}
	return a
}

// alert is what all kinds have in common. comp are the computed names.
func (d *detector) alert(a *about, comp map[string]string) engine.Alert {
	if comp == nil {
		comp = map[string]string{}
	}
	if comp["count"] == "" {
		comp["count"] = "1"
	}
	comp["window"] = d.r.Window.String()
	why := map[string]string{}
	for i, v := range a.Why {
		if i < len(d.r.Why) && v != "unknown" {
			why[d.r.Why[i]] = v
		}
	}
	for _, k := range []string{"value", "usual", "values"} {
		if v := comp[k]; v != "" {
			why[k] = v
		}
	}
	if len(why) == 0 {
		why = nil
	}
	return engine.Alert{
		Severity: a.Severity, Summary: d.r.summary.write(a.Filled, comp), Why: why, Window: d.r.dedup(),
		Tool: a.Tool, PrincipalID: a.Principal, ClientName: a.Client, Server: a.Server, ConversationID: a.Conversation,
	}
}

// evidence bounds the ids that a finding names.
const maxEvidence = 20

// tuple is the values of fields as one text, hashed where it is long.
func tuple(of []field, e *event.Event) (key, text string, ok bool) {
	if len(of) == 1 {
		text = of[0].text(e)
		key = text
	} else {
		var k []byte
		var parts []string
		for i := range of {
			v := of[i].text(e)
			if v != "" {
				ok = true
			}
			k = engine.AppendPart(k, v)
			parts = append(parts, engine.Name(v))
		}
		if !ok {
			return "", "", false
		}
		key, text = string(k), strings.Join(parts, "/")
	}
	if key == "" {
		return "", "", false
	}
	return event.SourceID(key)[:16], engine.Name(text), true
}

func span(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d >= time.Minute:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	return Duration(d).String()
}

func itoa(n int) string { return strconv.Itoa(n) }
