package engine

import (
	"math/bits"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Selector tells which of many rules can want an event, so that the others need not be asked. It must mark every rule whose
// Wants would say yes.
type Selector interface {
	// Select sets bit i%64 of marks[i/64] for rule i. marks is all zero and long enough.
	Select(e *event.Event, marks []uint64)
}

// giveRules lets the rules judge the event that can want it, in their order.
func (g *Engine) giveRules(e *event.Event, now int64) {
	rules := g.runners[g.fixed:]
	if len(rules) == 0 {
		return
	}
	if g.sel == nil {
		for _, r := range rules {
			g.give(r, e, now)
		}
		return
	}
	clear(g.marks)
	g.sel.Select(e, g.marks)
	for w, m := range g.marks {
		for ; m != 0; m &= m - 1 {
			if i := w*64 + bits.TrailingZeros64(m); i < len(rules) {
				g.give(rules[i], e, now)
			}
		}
	}
}

// SetRules exchanges the rules. A rule with the id and state version of one before keeps its state, its timers and the findings that
// it has raised; the state of rules that are gone is dropped. On an error nothing changes.
func (g *Engine) SetRules(rules []Instance, sel Selector) error {
	list := make([]Instance, 0, g.fixed+len(rules))
	before := map[string]runner{}
	for i, r := range g.runners {
		if i < g.fixed {
			list = append(list, Instance{r})
		} else {
			before[r.base().spec.ID] = r
		}
	}
	runners, err := numbered(append(list, rules...))
	if err != nil {
		return err
	}
	for _, r := range runners[g.fixed:] {
		if old, ok := before[r.base().spec.ID]; ok {
			r.adopt(old)
		}
	}
	g.runners, g.sel = runners, sel
	g.marks = make([]uint64, (len(rules)+63)/64)
	g.clocks.each(func(n *node[clock]) { n.v.due, n.v.trim = nil, 0 })
	for _, r := range g.runners {
		r.timers(func(tenant string, t timer) {
			if n := g.clocks.peek(tenant); n != nil {
				n.v.setTimer(t)
			}
		})
	}
	return nil
}

// ApplyEvent is Apply for one event that is decoded already. e may be changed.
func (g *Engine) ApplyEvent(e *event.Event) { g.observe(e) }
