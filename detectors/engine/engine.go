// Package engine runs detectors over the stream of events: it gives each detector the events of each of its keys in order and
// once, keeps their states within bounds, keeps event time, and makes findings whose ids depend on the events alone.
//
// README.md has the guarantees and how they hold.
package engine

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// Settings of an Engine.
type Settings struct {
	Detectors []Instance
	// Rules are detectors that can be exchanged while the engine runs, with SetRules. Select, if not nil, tells which of them can
	// want an event.
	Rules  []Instance
	Select Selector
	// Lateness is how long after a newer event of the same tenant an older one still counts as in time.
	Lateness time.Duration
	// FutureSkew is how far an event's time may be ahead of its receipt; beyond, the time of receipt plus FutureSkew counts.
	FutureSkew time.Duration
	// DedupeCapacity is how many ids of events that are not a tap's are remembered.
	DedupeCapacity int
	// Share is the part of the keys that the engine judges; the zero value is all of them.
	Share Share
}

// Defaults of Settings.
const (
	DefaultLateness       = 30 * time.Second
	DefaultFutureSkew     = time.Minute
	DefaultDedupeCapacity = 1 << 19
)

// Engine is a pure function of the events applied to it, in order: findings and state depend on nothing else. It is not safe
// for concurrent use.
type Engine struct {
	runners    []runner // detectors, then rules
	fixed      int      // how many of them are detectors
	sel        Selector // nil: every rule is asked
	marks      []uint64 // scratch of sel: a bit for each rule
	lateness   time.Duration
	skew       int64
	capacity   int
	share      Share
	seen       *dedupe
	clocks     *lru[clock]
	ring       keyring
	watermark  int64 // of the tenant of the event that is judged
	ev         event.Event
	ctx        Context
	out        plog.Logs
	outRecords plog.LogRecordSlice
	muted      bool
	stats      Stats
}

// Stats are what the engine did since it started.
type Stats struct {
	Events     int64 // records given to the engine
	Duplicates int64 // of those, observed before
	Late       int64 // of those, older than the watermark; observed all the same
	Skewed     int64 // of those, with a time too far ahead or none
	NoID       int64 // of those, without an id: duplicates among them are not recognised
	Muted      int64 // findings made again while catching up with what was acknowledged, so not sent again
}

// New makes an engine with empty state.
func New(s Settings) (*Engine, error) {
	if err := s.Share.check(); err != nil {
		return nil, err
	}
	g := &Engine{lateness: s.Lateness, skew: int64(s.FutureSkew), capacity: s.DedupeCapacity, share: s.Share}
	if g.capacity <= 0 {
		g.capacity = DefaultDedupeCapacity
	}
	var err error
	if g.runners, err = numbered(append(s.Detectors[:len(s.Detectors):len(s.Detectors)], s.Rules...)); err != nil {
		return nil, err
	}
	g.fixed, g.sel = len(s.Detectors), s.Select
	g.marks = make([]uint64, (len(s.Rules)+63)/64)
	g.reset()
	g.Findings()
	return g, nil
}

// numbered takes the runners out of instances and numbers them.
func numbered(list []Instance) ([]runner, error) {
	ids := map[string]bool{}
	var out []runner
	for i, in := range list {
		if in.r == nil {
			return nil, errors.New("cannot start the engine: a detector was not configured with Definition.New")
		}
		b := in.r.base()
		if ids[b.spec.ID] {
			return nil, fmt.Errorf("cannot start the engine: detector %s is listed twice", b.spec.ID)
		}
		ids[b.spec.ID] = true
		b.index = int32(i)
		out = append(out, in.r)
	}
	return out, nil
}

// reset empties the state; counts and findings not yet taken stay.
func (g *Engine) reset() {
	g.seen = newDedupe(g.capacity)
	g.clocks = newLRU[clock](maxTenants)
	for _, r := range g.runners {
		r.clear()
	}
}

// Apply gives every event of the batch to the detectors that want it.
func (g *Engine) Apply(ld plog.Logs) {
	rls := ld.ResourceLogs()
	for i := range rls.Len() {
		res := rls.At(i).Resource()
		sls := rls.At(i).ScopeLogs()
		for j := range sls.Len() {
			recs := sls.At(j).LogRecords()
			for k := range recs.Len() {
				event.Decode(res, recs.At(k), &g.ev)
				g.observe(&g.ev)
			}
		}
	}
}

// Findings takes what has been raised since the last call.
func (g *Engine) Findings() plog.Logs {
	out := g.out
	g.out = plog.NewLogs()
	sl := g.out.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	sl.Scope().SetName(scopeName)
	g.outRecords = sl.LogRecords()
	return out
}

// scopeName is the instrumentation scope of findings.
const scopeName = "github.com/mcpsiem/mcpsiem/detectors"

func (g *Engine) emit(f *finding.Finding) {
	if g.muted {
		g.stats.Muted++
		return
	}
	f.Encode(g.outRecords.AppendEmpty())
}

func (g *Engine) observe(e *event.Event) {
	g.stats.Events++
	if e.Tenant == "" {
		e.Tenant = event.DefaultTenant
	}
	if e.ID == "" {
		g.stats.NoID++
	}
	if !g.seen.add(e) {
		g.stats.Duplicates++
		return
	}
	now := g.advance(e)
	g.watermark = g.clockOf(e.Tenant).watermark(g.lateness) // the clock does not move while the event is judged

	g.ring.reset()
	for _, r := range g.runners[:g.fixed] {
		g.give(r, e, now)
	}
	g.giveRules(e, now)
}

// give lets one detector judge the event, if it wants it.
func (g *Engine) give(r runner, e *event.Event, now int64) {
	if !r.wants(e) {
		return
	}
	b := r.base()
	c := &g.ctx
	c.Now, c.Watermark, c.Late, c.Tenant = now, g.watermark, now < g.watermark, e.Tenant
	c.Since, c.e, c.entry, c.core, c.eng = 0, e, nil, b, g
	if b.spec.Key == KeyFields {
		c.Since = sinceOf(b, e.Tenant, now)
		r.observeKeyed(c, e)
		return
	}
	key := g.ring.of(b.spec.Key, e)
	if len(key) == 0 && b.spec.Key != KeyMessage {
		return
	}
	c.Since = sinceOf(b, e.Tenant, now)
	r.observe(c, e, key)
}

// advance moves the tenant's clock to the event, calls the timers that this makes due, and returns the event's time.
func (g *Engine) advance(e *event.Event) int64 {
	k := g.clockOf(e.Tenant)
	now := e.Time
	switch {
	case now <= 0:
		now = e.Received
		if now <= 0 {
			now = k.newest
		}
		g.stats.Skewed++
	case e.Received > 0 && now-g.skew > e.Received:
		now = e.Received + g.skew
		g.stats.Skewed++
	}
	if now < k.watermark(g.lateness) && k.newest != 0 {
		g.stats.Late++
	}
	if now <= k.newest {
		return now
	}
	k.newest = now
	wm := k.watermark(g.lateness)
	for {
		t, ok := k.next(wm)
		if !ok {
			break
		}
		r := g.runners[t.det]
		b := r.base()
		g.ctx = Context{Watermark: wm, Tenant: e.Tenant, Since: sinceOf(b, e.Tenant, now), core: b, eng: g}
		r.timer(&g.ctx, t)
	}
	k.compact(func(t timer) bool { return g.runners[t.det].pending(t) })
	return now
}

// clockOf is the tenant's clock.
func (g *Engine) clockOf(tenant string) *clock {
	if n := g.clocks.peek(tenant); n != nil {
		g.clocks.touch(n)
		return &n.v
	}
	n, _ := g.clocks.add(tenant)
	return &n.v
}

func sinceOf(b *core, tenant string, now int64) int64 {
	if n := b.since.peek(tenant); n != nil {
		b.since.touch(n)
		return n.v
	}
	n, _ := b.since.add(tenant)
	n.v = now
	return now
}

// DetectorStats are a detector's counts with its id and how many states it keeps.
type DetectorStats struct {
	ID   string
	Keys int
	Counts
}

// Stats is what the engine did since it started.
func (g *Engine) Stats() (Stats, []DetectorStats) { return g.stats, g.detectorStats() }

func (g *Engine) detectorStats() []DetectorStats {
	out := make([]DetectorStats, 0, len(g.runners))
	for _, r := range g.runners {
		b := r.base()
		out = append(out, DetectorStats{b.spec.ID, r.keys(), b.counts})
	}
	return out
}
