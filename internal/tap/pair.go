package tap

import (
	"container/list"
	"hash/maphash"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// callKey is where a request's id is unique: a stream, within it a session or, on HTTP without sessions, one HTTP exchange, and a
// direction, since both sides number their requests.
type callKey struct {
	stream   uint64
	session  string // hash of the session id
	exchange uint64 // only where there is no session
	toServer bool
	id       mcp.ID
}

// callState is the way of a request: open until it is answered (and forgotten), cancelled, timed out or its stream closed; after a
// cancellation or timeout it is kept for a while so that a late answer is known as such.
type callState uint8

const (
	callOpen callState = iota
	callLate
)

// call is a request that passed. req is its event without the body: what the answer's event repeats.
type call struct {
	key      callKey
	state    callState
	req      event.Event
	s        *stream
	sess     *session
	exchange uint64 // of HTTP; 0 on stdio
	token    mcp.ID // progress token
	deadline time.Time
	standing bool   // no timeout applies: a subscription, a blocking tasks/result
	mismatch bool   // its headers contradict its body
	broken   string // how the HTTP stream broke that should have brought its answer
	round    string // key under which a further round of the call would be found, without a requestState
	task     string // hash of the task that it names
	initInfo mcp.Implementation

	next  *call // same key, later
	in    *list.List
	place *list.Element
}

func (c *call) tokenKey() callKey {
	k := c.key
	k.id = c.token
	return k
}

// Bounds of what pairing remembers. At a bound the oldest is given up, and recorded.
const (
	maxOpenCalls = 4096
	maxLateCalls = 1024
	maxSameID    = 8
)

// calls is the pairing table.
type calls struct {
	byKey    map[callKey]*call // oldest of the key; the others follow by next
	byToken  map[callKey]*call // by progress token in place of the id
	open     list.List         // by deadline, soonest first: the timeout is one for all
	standing list.List
	late     list.List // by deadline
}

func newCalls() *calls {
	return &calls{byKey: make(map[callKey]*call), byToken: make(map[callKey]*call)}
}

// add enters an open call.
func (t *calls) add(c *call) {
	if c.standing {
		t.enlist(c, &t.standing)
	} else {
		t.enlist(c, &t.open)
	}
	if c.token.Present() {
		t.byToken[c.tokenKey()] = c
	}
	head := t.byKey[c.key]
	if head == nil {
		t.byKey[c.key] = c
		return
	}
	for head.next != nil {
		head = head.next
	}
	head.next = c
}

// sameID counts the calls of a key.
func (t *calls) sameID(k callKey) (n, open int) {
	for c := t.byKey[k]; c != nil; c = c.next {
		n++
		if c.state == callOpen {
			open++
		}
	}
	return n, open
}

func (t *calls) enlist(c *call, l *list.List) {
	if c.in != nil {
		c.in.Remove(c.place)
	}
	c.in, c.place = l, l.PushBack(c)
}

// find returns the call that an answer with the key belongs to: the oldest open one, else one that is late.
func (t *calls) find(k callKey) *call {
	var late *call
	for c := t.byKey[k]; c != nil; c = c.next {
		if c.state == callOpen {
			return c
		}
		if late == nil {
			late = c
		}
	}
	return late
}

// remove forgets a call.
func (t *calls) remove(c *call) {
	if c.in != nil {
		c.in.Remove(c.place)
		c.in, c.place = nil, nil
	}
	if c.token.Present() && t.byToken[c.tokenKey()] == c {
		delete(t.byToken, c.tokenKey())
	}
	head := t.byKey[c.key]
	if head == c {
		if c.next == nil {
			delete(t.byKey, c.key)
		} else {
			t.byKey[c.key] = c.next
		}
		return
	}
	for ; head != nil; head = head.next {
		if head.next == c {
			head.next = c.next
			return
		}
	}
}

// keepLate keeps an unanswered call for its late answer.
func (t *calls) keepLate(c *call, until time.Time) {
	c.state, c.deadline = callLate, until
	t.enlist(c, &t.late)
	if t.late.Len() > maxLateCalls {
		t.remove(t.late.Front().Value.(*call))
	}
}

// each calls fn for the open calls, oldest first; fn may remove the one it is given.
func (t *calls) each(fn func(*call)) {
	for _, l := range [...]*list.List{&t.open, &t.standing} {
		for e := l.Front(); e != nil; {
			next := e.Next()
			fn(e.Value.(*call))
			e = next
		}
	}
}

// seen remembers the last of many things by hash, with a second hash of what each was.
type seen struct {
	ring []seenEntry
	next int
}

type seenEntry struct{ what, content uint64 }

const maxSeen = 256

func (r *seen) add(what, content uint64) {
	if len(r.ring) < maxSeen {
		r.ring = append(r.ring, seenEntry{what, content})
		return
	}
	r.ring[r.next] = seenEntry{what, content}
	r.next = (r.next + 1) % maxSeen
}

func (r *seen) get(what uint64) (content uint64, ok bool) {
	for i := len(r.ring) - 1; i >= 0; i-- {
		if r.ring[i].what == what {
			return r.ring[i].content, true
		}
	}
	return 0, false
}

var seenSeed = maphash.MakeSeed()

func hashID(toServer bool, id mcp.ID) uint64 {
	var h maphash.Hash
	h.SetSeed(seenSeed)
	if toServer {
		h.WriteByte(1)
	} else {
		h.WriteByte(2)
	}
	h.WriteByte(byte(id.Type))
	h.WriteString(id.Text)
	return h.Sum64()
}

func hashText(s string) uint64 { return maphash.String(seenSeed, s) }

func hashBytes(b []byte) uint64 { return maphash.Bytes(seenSeed, b) }
