package tap

import (
	"sync"
	"time"
)

type op uint8

const (
	opFrame op = iota
	opTransport
	opClientGone
	opClose
)

// item is one call of a Stream's method on its way to the decode goroutine.
type item struct {
	op   op
	s    *stream
	f    Frame
	text string
	n    uint64
	at   time.Time
	exit *Exit
	size int64
	lost int64 // events lost between the item before and this one
}

const itemOverhead = 320

func frameSize(f *Frame) int64 {
	n := int64(itemOverhead + len(f.Data))
	if h := f.HTTP; h != nil {
		n += int64(256 + len(h.URL) + len(h.Authorization))
		for k, v := range h.Headers {
			n += int64(len(k) + len(v) + 32)
		}
	}
	return n
}

// queue holds items up to a number of bytes, those that the decode goroutine has taken but not finished included. What does not fit
// is counted in place, so that the numbers of lost events fall where the events would have been.
type queue struct {
	max    int64
	wake   chan struct{} // capacity 1
	mu     sync.Mutex    // guards everything below
	items  []item
	spare  []item
	bytes  int64
	lost   int64 // after the last item
	closed bool
}

func newQueue(max int64) *queue { return &queue{max: max, wake: make(chan struct{}, 1)} }

func (q *queue) put(it item) {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return
	case q.bytes+it.size > q.max && it.op != opClose: // a close is small, once a stream, and must not be missed
		if it.op != opClientGone { // which is no event of its own
			q.lost++
		}
	default:
		it.lost, q.lost = q.lost, 0
		q.bytes += it.size
		q.items = append(q.items, it)
	}
	q.mu.Unlock()
	q.wakeUp()
}

func (q *queue) lose(n int64) {
	q.mu.Lock()
	if !q.closed {
		q.lost += n
	}
	q.mu.Unlock()
	q.wakeUp()
}

func (q *queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns all items, and the events lost after them. The slice is the caller's until the next call.
func (q *queue) take() (items []item, lost int64, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, q.items = q.items, q.spare[:0]
	q.spare = items
	if cap(items) > 4096 {
		q.spare = nil
	}
	lost, q.lost = q.lost, 0
	return items, lost, q.closed
}

// done gives back the bytes of an item that was taken.
func (q *queue) done(n int64) {
	q.mu.Lock()
	q.bytes -= n
	q.mu.Unlock()
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wakeUp()
}

func (q *queue) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
