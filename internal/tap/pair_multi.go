package tap

import (
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// aged is a map of bounded size whose oldest entries go first.
type aged[V any] struct {
	max   int
	m     map[string]agedEntry[V]
	order []string // insertion order; may name keys that were replaced or removed
	gone  func(V)  // called for an entry that is pushed out or expires
}

type agedEntry[V any] struct {
	v  V
	at time.Time
}

func (a *aged[V]) put(k string, v V, now time.Time) {
	if a.m == nil {
		a.m = make(map[string]agedEntry[V])
	}
	if _, ok := a.m[k]; !ok {
		a.order = append(a.order, k)
	}
	a.m[k] = agedEntry[V]{v: v, at: now}
	for len(a.m) > a.max {
		a.dropFirst()
	}
	if len(a.order) > 2*a.max+16 { // names of removed keys
		kept := a.order[:0]
		for _, k := range a.order {
			if _, ok := a.m[k]; ok {
				kept = append(kept, k)
			}
		}
		a.order = kept
	}
}

func (a *aged[V]) dropFirst() {
	k := a.order[0]
	a.order = a.order[1:]
	if e, ok := a.m[k]; ok {
		delete(a.m, k)
		if a.gone != nil {
			a.gone(e.v)
		}
	}
}

func (a *aged[V]) get(k string) (v V, ok bool) {
	e, ok := a.m[k]
	return e.v, ok
}

func (a *aged[V]) remove(k string) { delete(a.m, k) }

// expire drops entries put before t, as far as they are in order.
func (a *aged[V]) expire(t time.Time) {
	for len(a.order) > 0 {
		e, ok := a.m[a.order[0]]
		if ok && e.at.After(t) {
			return
		}
		a.dropFirst()
	}
}

// roundState is a call that was answered with input_required and waits for its next round (2026-07-28, multi round-trip requests).
type roundState struct {
	call  string // exchange id of the first round
	round int64  // the last one seen
}

// taskState is a request that was answered with a task handle: its outcome comes with the task's (tasks of 2025-11-25 and of the
// extension).
type taskState struct {
	req event.Event // of the request that made the task
	s   *stream
	id  string // hash
}

const (
	maxRounds   = 1024
	maxTasks    = 1024
	roundsLast  = time.Hour
	tasksLast   = 24 * time.Hour
	idleGap     = 30 * time.Minute
	maxConvs    = 1024
	maxExchange = 1024
	maxSessions = 512
)
