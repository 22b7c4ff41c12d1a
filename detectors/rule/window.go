package rule

import (
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// window is the events of a threshold's group, in order of time. Events that are no longer in a window that ends at the newest are
// dropped, a minute later than they could be, for those that come late.
type window struct {
	E     []sample `json:"e"`
	Start int64    `json:"s,omitempty"` // of the window that is judged at its end, ns
	About *about   `json:"a,omitempty"` // likewise
}

type sample struct {
	T    int64   `json:"t"`
	V    float64 `json:"v,omitempty"` // a number, or the sum of N
	N    int     `json:"n,omitempty"` // events merged into this one beyond the first
	Key  string  `json:"k,omitempty"` // hash of a value
	Text string  `json:"x,omitempty"` // the value for people
	ID   string  `json:"i,omitempty"` // of the event
}

const lateSlack = int64(time.Minute)

func (d *detector) threshold(c *engine.Context, e *event.Event, s *State) {
	if s.Win == nil {
		s.Win = &window{}
	}
	w, t := s.Win, d.r.File.Threshold
	n := sample{T: c.Now, ID: e.ID}
	switch t.Aggregate {
	case "event_count":
	case "value_count":
		var ok bool
		if n.Key, n.Text, ok = tuple(d.r.of, e); !ok {
			return
		}
	default:
		out, v := d.m.run(d.r.value, e)
		x, ok := out.(float64)
		if v != yes || !ok || math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		n.V = x
	}
	cmp := t.compare()
	at := w.add(n, t.Aggregate == "value_count")
	length := int64(d.r.Window)
	if !cmp.growing() {
		if w.Start == 0 {
			w.Start = c.Now
			c.SetTimer(w.Start + length)
		}
		w.About = d.about(e)
		w.bound(t, &cmp)
		return
	}
	newest := w.E[len(w.E)-1].T
	for j := at; j < len(w.E) && w.E[j].T < n.T+length; j++ {
		end := w.E[j].T
		if j+1 < len(w.E) && w.E[j+1].T == end {
			continue
		}
		from := sort.Search(len(w.E), func(i int) bool { return w.E[i].T > end-length })
		if d.judge(c, d.about, e, nil, w.E[from:j+1], t, &cmp) {
			break
		}
	}
	old := sort.Search(len(w.E), func(i int) bool { return w.E[i].T > newest-length-lateSlack })
	w.drop(old)
	w.bound(t, &cmp)
}

// drop drops the n oldest entries without moving the others: a full window loses one with every event. What is left moves when the array is
// used up.
func (w *window) drop(n int) {
	clear(w.E[:n])
	w.E = w.E[n:]
}

// add puts an entry in its place, for distinct values in place of an older one of the same value, and returns where it is.
func (w *window) add(n sample, distinct bool) int {
	if distinct {
		if i := slices.IndexFunc(w.E, func(x sample) bool { return x.Key == n.Key }); i >= 0 {
			if w.E[i].T >= n.T {
				return i
			}
			w.E = slices.Delete(w.E, i, i+1)
		}
	}
	i := len(w.E)
	for i > 0 && w.E[i-1].T > n.T {
		i--
	}
	w.E = slices.Insert(w.E, i, n)
	return i
}

// bound drops or merges the oldest entries beyond what is kept.
func (w *window) bound(t *Threshold, cmp *Compare) {
	limit := maxEntries
	if t.Aggregate == "event_count" || t.Aggregate == "value_count" {
		limit += int(cmp.least())
	}
	for len(w.E) > limit {
		if t.Aggregate == "sum" || t.Aggregate == "avg" {
			w.E[1].V += w.E[0].V
			w.E[1].N += w.E[0].N + 1
		}
		w.drop(1)
	}
}

// aggregate is the number over the entries, and how many events they stand for.
func (t *Threshold) aggregate(list []sample) (value float64, events int) {
	var sum float64
	for i := range list {
		events += list[i].N + 1
		sum += list[i].V
	}
	switch t.Aggregate {
	case "event_count":
		return float64(events), events
	case "value_count":
		keys := make(map[string]struct{}, len(list))
		for i := range list {
			keys[list[i].Key] = struct{}{}
		}
		return float64(len(keys)), events
	case "sum":
		return sum, events
	case "avg":
		if events == 0 {
			return 0, 0
		}
		return sum / float64(events), events
	}
	values := make([]float64, len(list))
	for i := range list {
		values[i] = list[i].V
	}
	slices.Sort(values)
	if len(values) == 0 {
		return 0, 0
	}
	// Nearest rank.
	k := int(math.Ceil(t.Percentile/100*float64(len(values)))) - 1
	return values[max(k, 0)], events
}

// judge raises the alert if the entries of a window make the comparison true.
func (d *detector) judge(c *engine.Context, of func(*event.Event) *about, e *event.Event, a *about, list []sample, t *Threshold, cmp *Compare) bool {
	if t.Aggregate == "event_count" && len(list) < int(cmp.least()) && e != nil {
		return false
	}
	value, events := t.aggregate(list)
	if events < t.MinEvents || !cmp.holds(value) {
		return false
	}
	if a == nil {
		a = of(e)
	}
	comp := map[string]string{"count": itoa(events), "value": number(value)}
	if len(list) > 0 {
		comp["span"] = span(list[len(list)-1].T - list[0].T)
	}
	if t.Aggregate == "value_count" {
		comp["count"] = number(value)
		var names []string
		for i := range list {
			if list[i].Text != "" && len(names) < 5 && !slices.Contains(names, list[i].Text) {
				names = append(names, list[i].Text)
			}
		}
		comp["values"] = strings.Join(names, ", ")
	}
	alert := d.alert(a, comp)
	alert.Count = int64(events)
	if len(list) > 0 {
		alert.FirstSeen, alert.LastSeen = list[0].T, list[len(list)-1].T
		alert.EventIDs = []string{}
		for i := max(0, len(list)-maxEvidence); i < len(list); i++ {
			if list[i].ID != "" {
				alert.EventIDs = append(alert.EventIDs, list[i].ID)
			}
		}
	}
	c.Emit(alert)
	return true
}

// closeWindow judges a window at its end.
func (d *detector) closeWindow(c *engine.Context, w *window) {
	if w.Start == 0 || w.About == nil {
		return
	}
	t := d.r.File.Threshold
	cmp := t.compare()
	end := w.Start + int64(d.r.Window)
	k := sort.Search(len(w.E), func(i int) bool { return w.E[i].T >= end })
	d.judge(c, nil, nil, w.About, w.E[:k], t, &cmp)
	w.drop(k)
	w.Start = 0
	if len(w.E) > 0 {
		w.Start = w.E[0].T
		c.SetTimer(w.Start + int64(d.r.Window))
	}
}
