package rule

import (
	"slices"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// sequence is the latest matches of each step.
type sequence struct {
	N     int64   `json:"n"` // events seen, which orders those of one time
	Steps [][]hit `json:"s"`
}

type hit struct {
	T  int64  `json:"t"`
	N  int64  `json:"n"`
	ID string `json:"i,omitempty"`
}

func (a hit) before(b hit) bool { return a.T < b.T || a.T == b.T && a.N < b.N }

const maxHits = 16 // matches of a step that are remembered, the latest

func (d *detector) sequence(c *engine.Context, e *event.Event, s *State) {
	if s.Seq == nil {
		s.Seq = &sequence{}
	}
	q := s.Seq
	for len(q.Steps) < len(d.r.steps) {
		q.Steps = append(q.Steps, nil)
	}
	q.N++
	h := hit{c.Now, q.N, e.ID}
	for i := range d.r.steps {
		if d.cur&(1<<i) == 0 {
			continue
		}
		list := q.Steps[i]
		at := len(list)
		for at > 0 && h.before(list[at-1]) {
			at--
		}
		list = slices.Insert(list, at, h)
		if len(list) > maxHits {
			list = slices.Delete(list, 0, 1)
		}
		q.Steps[i] = list
	}
	var chain []hit
	if d.r.Ordered == nil || *d.r.Ordered {
		chain = q.ordered(int64(d.r.Window))
	} else {
		chain = q.unordered(int64(d.r.Window))
	}
	if chain == nil {
		return
	}
	first, last := chain[0], chain[0]
	var ids []string
	for _, x := range chain {
		if x.before(first) {
			first = x
		}
		if last.before(x) {
			last = x
		}
		if x.ID != "" && !slices.Contains(ids, x.ID) {
			ids = append(ids, x.ID)
		}
	}
	a := d.alert(d.about(e), map[string]string{"count": itoa(len(ids)), "span": span(last.T - first.T)})
	a.FirstSeen, a.LastSeen, a.EventIDs, a.Count = first.T, last.T, ids, int64(len(ids))
	for i, x := range chain {
		a.Evidence = append(a.Evidence, d.r.Steps[i].ID+" after "+span(x.T-first.T))
	}
	c.Emit(a)
	// The next finding needs events of its own.
	for i := range q.Steps {
		q.Steps[i] = slices.DeleteFunc(q.Steps[i], func(x hit) bool { return !last.before(x) })
	}
}

// ordered finds one hit of each step, each after the one before, within the window: the latest such.
func (q *sequence) ordered(window int64) []hit {
	n := len(q.Steps)
	chain := make([]hit, n)
	for _, end := range slices.Backward(q.Steps[n-1]) {
		chain[n-1] = end
		ok := true
		for i := n - 2; i >= 0 && ok; i-- {
			ok = false
			for _, h := range slices.Backward(q.Steps[i]) {
				if h.before(chain[i+1]) {
					chain[i], ok = h, true
					break
				}
			}
		}
		if ok && end.T-chain[0].T <= window {
			return chain
		}
	}
	return nil
}

// unordered finds one hit of each step, of different events, within the window. It takes for each step the latest hit in the window
// that ends at one of the hits, and assigns an event to one step only.
func (q *sequence) unordered(window int64) []hit {
	var ends []hit
	for _, s := range q.Steps {
		if len(s) == 0 {
			return nil
		}
		ends = append(ends, s...)
	}
	slices.SortFunc(ends, func(a, b hit) int {
		switch {
		case a.before(b):
			return 1
		case b.before(a):
			return -1
		}
		return 0
	})
	chain := make([]hit, len(q.Steps))
	for i, end := range ends {
		if i > 0 && ends[i-1] == end {
			continue
		}
		if q.assign(0, chain, map[int64]bool{}, end, window, new(int)) {
			return chain
		}
	}
	return nil
}

// maxTries bounds the search for an assignment; steps that share many events may go unseen beyond it.
const maxTries = 2000

func (q *sequence) assign(step int, chain []hit, used map[int64]bool, end hit, window int64, tries *int) bool {
	if step == len(q.Steps) {
		return true
	}
	for _, h := range slices.Backward(q.Steps[step]) {
		if *tries++; *tries > maxTries {
			return false
		}
		if end.before(h) || used[h.N] || end.T-h.T > window {
			continue
		}
		chain[step] = h
		used[h.N] = true
		if q.assign(step+1, chain, used, end, window, tries) {
			return true
		}
		delete(used, h.N)
	}
	return false
}

// absence is what waits for an event to follow.
type absence struct {
	Open []wait  `json:"o,omitempty"` // in order of time
	Ends []int64 `json:"e,omitempty"` // times of events that end a wait, the latest
}

type wait struct {
	T     int64  `json:"t"`
	ID    string `json:"i,omitempty"`
	About *about `json:"a"`
}

const maxWaits = 64 // of a group; beyond, the event is not waited for, since its like are

func (d *detector) absence(c *engine.Context, e *event.Event, s *State) {
	if s.Abs == nil {
		s.Abs = &absence{}
	}
	b, length := s.Abs, int64(d.r.Window)
	if d.cur&2 != 0 {
		b.Open = slices.DeleteFunc(b.Open, func(w wait) bool { return w.T <= c.Now && c.Now <= w.T+length })
		b.Ends = append(b.Ends, c.Now)
		if len(b.Ends) > maxHits {
			b.Ends = slices.Delete(b.Ends, 0, 1)
		}
	}
	if d.cur&1 == 0 || d.cur&2 != 0 {
		return
	}
	if slices.ContainsFunc(b.Ends, func(t int64) bool { return t >= c.Now && t <= c.Now+length }) || len(b.Open) >= maxWaits {
		return
	}
	at := len(b.Open)
	for at > 0 && b.Open[at-1].T > c.Now {
		at--
	}
	b.Open = slices.Insert(b.Open, at, wait{c.Now, e.ID, d.about(e)})
	c.SetTimer(b.Open[0].T + length)
}

// overdue raises what was waited for in vain.
func (d *detector) overdue(c *engine.Context, b *absence) {
	length := int64(d.r.Window)
	for len(b.Open) > 0 && b.Open[0].T+length <= c.Now {
		w := b.Open[0]
		b.Open = slices.Delete(b.Open, 0, 1)
		a := d.alert(w.About, map[string]string{})
		a.FirstSeen, a.LastSeen = w.T, c.Now
		a.EventIDs = []string{}
		if w.ID != "" {
			a.EventIDs = append(a.EventIDs, w.ID)
		}
		c.Emit(a)
	}
	if len(b.Open) > 0 {
		c.SetTimer(b.Open[0].T + length)
	}
}
