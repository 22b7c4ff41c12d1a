package engine

import (
	"encoding"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// runner is a detector with its states, whatever their type.
type runner interface {
	base() *core
	observe(c *Context, e *event.Event, key []byte)
	// observeKeyed is observe for KeyFields, once for each key that the detector gives the event.
	observeKeyed(c *Context, e *event.Event)
	// adopt takes over states and counts from a runner of the same rule and state version.
	adopt(old runner) bool
	wants(e *event.Event) bool
	// timer calls the detector for the key if the timer is the one set; it reports nothing of a key that is gone.
	timer(c *Context, t timer)
	timers(f func(tenant string, t timer))
	pending(t timer) bool
	keys() int
	clear()
	encodeStates(w *writer) error
	decodeStates(r *reader) error
}

// core is what all detectors have in common.
type core struct {
	spec    Spec
	index   int32 // in the engine's list
	since   *lru[int64]
	emitted *idSet
	counts  Counts
}

// Counts are what a detector did since the engine started.
type Counts struct {
	Observations int64            // events given to the detector
	Findings     map[string]int64 // raised, by severity
	Repeats      int64            // raised before, so not again
	Evicted      int64            // states dropped because there were too many
	Expired      int64            // states dropped because they were idle
	Panics       int64            // calls that panicked; the state of the key was dropped
}

const (
	maxEmitted = 65536 // finding ids remembered for each detector
	maxTenants = 16384
)

// entryMeta is what the engine keeps beside a state.
type entryMeta struct {
	key     string
	tenant  string
	text    string // the key for people
	server  string // the server that the key's last event named
	touched int64  // event time of the last observation, ns
	timer   int64  // when Timer is due, ns; 0: none
}

type entry[S any] struct {
	meta  entryMeta
	state S
}

type typed[S any] struct {
	core
	d      Detector[S]
	timed  Timed[S] // nil if it is not
	keyed  Keyed    // nil unless Spec.Key is KeyFields
	keyBuf []byte
	states *lru[entry[S]]
	ttl    int64
}

func newTyped[S any](spec Spec, d Detector[S]) *typed[S] {
	capacity := spec.MaxKeys
	if capacity <= 0 {
		capacity = DefaultMaxKeys
	}
	ttl := spec.TTL
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	t := &typed[S]{d: d, states: newLRU[entry[S]](capacity), ttl: int64(ttl)}
	t.spec = spec
	t.timed, _ = d.(Timed[S])
	if spec.Key == KeyFields {
		t.keyed, _ = d.(Keyed)
	}
	t.clear()
	t.counts.Findings = map[string]int64{}
	return t
}

func (t *typed[S]) base() *core { return &t.core }
func (t *typed[S]) keys() int   { return t.states.len() }

func (t *typed[S]) wants(e *event.Event) bool {
	defer t.recover(nil)
	return t.d.Wants(e)
}

func (t *typed[S]) clear() {
	t.states = newLRU[entry[S]](t.states.cap)
	t.emitted = newIDSet(maxEmitted)
	t.since = newLRU[int64](maxTenants)
}

func (t *typed[S]) observe(c *Context, e *event.Event, key []byte) {
	if !c.eng.share.has(&t.spec, c.Tenant, key) {
		return
	}
	t.counts.Observations++
	if t.spec.Key == KeyMessage {
		var none S
		c.entry = nil
		defer t.recover(nil)
		t.d.Observe(c, e, &none)
		return
	}
	n := t.states.get(key)
	if n != nil && n.v.meta.touched < c.Watermark-t.ttl {
		t.counts.Expired++
		t.states.remove(n)
		n = nil
	}
	if n == nil {
		t.dropIdle(c)
		var evicted bool
		n, evicted = t.states.add(string(key))
		if evicted {
			t.counts.Evicted++
		}
		n.v.meta = entryMeta{key: n.key, tenant: c.Tenant, text: t.textOf(key, e)}
	}
	n.v.meta.touched = max(n.v.meta.touched, c.Now)
	n.v.meta.server = e.Server
	c.entry = &n.v.meta
	defer t.recover(n)
	t.d.Observe(c, e, &n.v.state)
}

func (t *typed[S]) textOf(key []byte, e *event.Event) string {
	if t.keyed != nil {
		_, rest := cutPart(key)
		return t.keyed.KeyText(rest)
	}
	return keyText(t.spec.Key, e)
}

func (t *typed[S]) observeKeyed(c *Context, e *event.Event) {
	defer t.recover(nil)
	t.keyed.EachKey(e, func(key []byte) {
		t.keyBuf = append(part(t.keyBuf[:0], c.Tenant), key...)
		t.observe(c, e, t.keyBuf)
	})
}

func (t *typed[S]) adopt(old runner) bool {
	o, ok := old.(*typed[S])
	if !ok || o.spec.ID != t.spec.ID || o.spec.StateVersion != t.spec.StateVersion || o.states.cap != t.states.cap {
		return false
	}
	t.states, t.emitted, t.since, t.counts = o.states, o.emitted, o.since, o.counts
	return true
}

// dropIdle drops up to two states that are past their time, so that memory follows use.
func (t *typed[S]) dropIdle(c *Context) {
	for range 2 {
		n := t.states.oldest()
		if n == nil {
			return
		}
		clock := c.eng.clocks.peek(n.v.meta.tenant)
		if clock == nil || n.v.meta.touched >= clock.v.watermark(c.eng.lateness)-t.ttl {
			return
		}
		t.counts.Expired++
		t.states.remove(n)
	}
}

func (t *typed[S]) timer(c *Context, due timer) {
	n := t.states.peek(due.key)
	if n == nil || n.v.meta.timer != due.at {
		return
	}
	n.v.meta.timer = 0
	if t.timed == nil {
		return
	}
	c.entry = &n.v.meta
	c.Now = due.at
	defer t.recover(n)
	t.timed.Timer(c, &n.v.state)
}

func (t *typed[S]) pending(due timer) bool {
	n := t.states.peek(due.key)
	return n != nil && n.v.meta.timer == due.at
}

func (t *typed[S]) timers(f func(tenant string, due timer)) {
	t.states.each(func(n *node[entry[S]]) {
		if n.v.meta.timer != 0 {
			f(n.v.meta.tenant, timer{at: n.v.meta.timer, det: t.index, key: n.key})
		}
	})
}

// recover keeps a fault in one detector from stopping the others: the key starts over.
func (t *typed[S]) recover(n *node[entry[S]]) {
	if p := recover(); p != nil {
		t.counts.Panics++
		if n != nil && t.states.peek(n.key) == n {
			t.states.remove(n)
		}
	}
}

func (t *typed[S]) encodeStates(w *writer) error {
	w.uvarint(uint64(t.states.len()))
	var err error
	t.states.each(func(n *node[entry[S]]) {
		if err != nil {
			return
		}
		m := &n.v.meta
		w.string(m.key)
		w.string(m.tenant)
		w.string(m.text)
		w.string(m.server)
		w.varint(m.touched)
		w.varint(m.timer)
		var b []byte
		if b, err = encodeState(&n.v.state); err == nil {
			w.bytes(b)
		}
	})
	return err
}

func (t *typed[S]) decodeStates(r *reader) error {
	count := r.uvarint()
	for range count {
		var m entryMeta
		m.key, m.tenant, m.text, m.server = r.string(), r.string(), r.string(), r.string()
		m.touched, m.timer = r.varint(), r.varint()
		b := r.bytes()
		if r.err != nil {
			return r.err
		}
		if t.states.peek(m.key) != nil {
			return errSnapshot
		}
		n, _ := t.states.add(m.key)
		n.v.meta = m
		if err := decodeState(b, &n.v.state); err != nil {
			return err
		}
	}
	return r.err
}

func encodeState[S any](s *S) ([]byte, error) {
	if m, ok := any(s).(encoding.BinaryMarshaler); ok {
		return m.MarshalBinary()
	}
	return json.Marshal(s)
}

// decodeState reads a state; the error does not quote what it read.
func decodeState[S any](b []byte, s *S) error {
	var err error
	if m, ok := any(s).(encoding.BinaryUnmarshaler); ok {
		err = m.UnmarshalBinary(b)
	} else {
		err = json.Unmarshal(b, s)
	}
	if err != nil {
		return fmt.Errorf("cannot read a state: %w", errSnapshot)
	}
	return nil
}

// timer is a call of Timer that is due.
type timer struct {
	at  int64
	det int32
	key string
}

// clock is the event time of one tenant.
type clock struct {
	newest int64   // latest event time seen, ns
	due    []timer // a heap, earliest first; may hold timers that were overtaken
	trim   int     // when due is this long, it is cleared of those
}

func (k *clock) watermark(lateness time.Duration) int64 { return k.newest - int64(lateness) }

func (a timer) before(b timer) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.det != b.det {
		return a.det < b.det
	}
	return a.key < b.key
}

func (k *clock) setTimer(t timer) {
	k.due = append(k.due, t)
	for i := len(k.due) - 1; i > 0; {
		up := (i - 1) / 2
		if !k.due[i].before(k.due[up]) {
			break
		}
		k.due[i], k.due[up] = k.due[up], k.due[i]
		i = up
	}
}

// next takes the earliest timer that is due at the watermark.
func (k *clock) next(watermark int64) (timer, bool) {
	if len(k.due) == 0 || k.due[0].at > watermark {
		return timer{}, false
	}
	t := k.due[0]
	last := len(k.due) - 1
	k.due[0] = k.due[last]
	k.due[last] = timer{}
	k.due = k.due[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && k.due[c+1].before(k.due[c]) {
			c++
		}
		if !k.due[c].before(k.due[i]) {
			break
		}
		k.due[i], k.due[c] = k.due[c], k.due[i]
		i = c
	}
	return t, true
}

// compact drops overtaken timers once they may be most of the heap, so that its length is bounded by the number of states.
func (k *clock) compact(live func(timer) bool) {
	if len(k.due) < max(k.trim, 1024) {
		return
	}
	old := k.due
	k.due = nil
	for _, t := range old {
		if live(t) {
			k.setTimer(t)
		}
	}
	k.trim = 2 * len(k.due)
}

// idSet remembers the last ids added to it.
type idSet struct {
	cap  int
	m    map[string]struct{}
	ring []string // oldest at next once full
	next int
}

func newIDSet(capacity int) *idSet { return &idSet{cap: capacity, m: map[string]struct{}{}} }

// add reports whether id is new.
func (s *idSet) add(id string) bool {
	if _, ok := s.m[id]; ok {
		return false
	}
	s.m[id] = struct{}{}
	if len(s.ring) < s.cap {
		s.ring = append(s.ring, id)
		return true
	}
	delete(s.m, s.ring[s.next])
	s.ring[s.next] = id
	s.next = (s.next + 1) % s.cap
	return true
}

// each calls f for every id, oldest first.
func (s *idSet) each(f func(string)) {
	for i := range s.ring {
		f(s.ring[(s.next+i)%len(s.ring)])
	}
}
