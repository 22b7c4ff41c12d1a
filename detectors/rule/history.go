package rule

import (
	"math"
	"slices"
	"strings"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// seen is the values that a group has had, and when each was last seen.
type seen struct {
	At map[string]int64 `json:"v"`
}

func (d *detector) firstSeen(c *engine.Context, e *event.Event, s *State) {
	key, text, ok := tuple(d.r.of, e)
	if !ok {
		return
	}
	if s.Seen == nil {
		s.Seen = &seen{At: map[string]int64{}}
	}
	x := d.r.File.FirstSeen
	last, known := s.Seen.At[key]
	if known && last < c.Now-int64(x.Memory) {
		known = false
	}
	before := len(s.Seen.At)
	s.Seen.At[key] = max(last, c.Now)
	trim(s.Seen.At, x.MaxValues)
	if known || before < x.MinKnown || c.Now < c.Since+int64(*x.Learn) {
		return
	}
	a := d.alert(d.about(e), map[string]string{"values": text})
	a.Scope = []string{key}
	if d.r.dedup() == 0 {
		a.Scope = append(a.Scope, e.ID) // what is forgotten and back is another finding
	}
	c.Emit(a)
}

// trim drops the values that were seen longest ago, an eighth at a time, once there are more than limit.
func trim(at map[string]int64, limit int) {
	if len(at) <= limit {
		return
	}
	keys := make([]string, 0, len(at))
	for k := range at {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if d := at[a] - at[b]; d != 0 {
			if d < 0 {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, k := range keys[:len(at)-limit+limit/8] {
		delete(at, k)
	}
}

// counts are how often a group has had each value. Once memory has passed they are halved, so that what was long ago weighs less.
type counts struct {
	Start int64          `json:"s"`
	Total int            `json:"t"`
	N     map[string]int `json:"n"`
}

func (d *detector) rare(c *engine.Context, e *event.Event, s *State) {
	key, text, ok := tuple(d.r.of, e)
	if !ok {
		return
	}
	x := d.r.File.Rare
	if s.Rare == nil {
		s.Rare = &counts{Start: c.Now, N: map[string]int{}}
	}
	k := s.Rare
	if c.Now-k.Start >= int64(x.Memory) || k.Total > 1<<30 {
		k.Start, k.Total = max(c.Now, k.Start), 0
		for v, n := range k.N {
			if n /= 2; n == 0 {
				delete(k.N, v)
			} else {
				k.N[v] = n
				k.Total += n
			}
		}
	}
	k.N[key]++
	k.Total++
	share := float64(k.N[key]) / float64(k.Total)
	total := k.Total
	if len(k.N) > x.MaxValues {
		k.forget(x.MaxValues, key)
	}
	if total < x.MinEvents || share >= x.Below {
		return
	}
	a := d.alert(d.about(e), map[string]string{"values": text, "value": number(share), "count": itoa(k.N[key]), "usual": itoa(total)})
	a.Scope = []string{key}
	c.Emit(a)
}

// forget drops the rarest values, an eighth at a time; what they counted stays in the total.
func (k *counts) forget(limit int, but string) {
	keys := make([]string, 0, len(k.N))
	for v := range k.N {
		if v != but {
			keys = append(keys, v)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		if d := k.N[a] - k.N[b]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, v := range keys[:min(len(keys), len(k.N)-limit+limit/8)] {
		delete(k.N, v)
	}
}

// baseline is the numbers of a group's latest windows, in order of time. A window without events has none.
type baseline struct {
	First int64    `json:"f"` // start of the first window ever
	B     []bucket `json:"b"`
}

type bucket struct {
	T int64   `json:"t"` // start
	V float64 `json:"v"`
	N int     `json:"n"`
}

func (d *detector) baseline(c *engine.Context, e *event.Event, s *State) {
	v := 1.0
	if d.r.value != nil {
		out, ok := d.m.run(d.r.value, e)
		x, isNumber := out.(float64)
		if ok != yes || !isNumber || math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
			return
		}
		v = x
	}
	x, length := d.r.File.Baseline, int64(d.r.Window)
	start := c.Now - ((c.Now%length)+length)%length
	if s.Base == nil {
		s.Base = &baseline{First: start}
	}
	b := s.Base
	b.First = min(b.First, start)
	i := len(b.B)
	for i > 0 && b.B[i-1].T > start {
		i--
	}
	if i > 0 && b.B[i-1].T == start {
		i--
	} else {
		b.B = slices.Insert(b.B, i, bucket{T: start})
	}
	b.B[i].V += v
	b.B[i].N++
	now, newest := b.B[i], b.B[len(b.B)-1].T
	old := newest - int64(x.History)*length
	b.B = slices.DeleteFunc(b.B, func(k bucket) bool { return k.T < old })

	from := max(start-int64(x.History)*length, b.First)
	windows := (start - from) / length
	if windows < int64(x.MinHistory) || now.V < x.Min {
		return
	}
	var sum float64
	for _, k := range b.B {
		if k.T >= from && k.T < start {
			sum += k.V
		}
	}
	usual := sum / float64(windows)
	if now.V < usual*x.Ratio {
		return
	}
	a := d.alert(d.about(e), map[string]string{"count": itoa(now.N), "value": number(now.V), "usual": number(usual)})
	a.Scope = []string{itoa(int(start / length))}
	a.Window = 0
	a.Count, a.FirstSeen = int64(now.N), start
	c.Emit(a)
}
