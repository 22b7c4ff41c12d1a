package tapio

import (
	"bytes"
	"sync"
	"time"
)

// way is the direction of bytes in a mailbox.
type way uint8

const (
	up   way = iota // client to server
	down            // server to client
)

// mailbox carries copies of passing bytes, of both directions and in the order in which they passed, from the goroutines that
// forward them to the one that looks at them. That order is what makes a request precede its response.
//
// Putting never waits: when limit bytes lie unread, what comes is dropped and the reader is told where and how much.
type mailbox struct {
	limit int
	ready chan struct{} // holds a token while there is something to take

	mu     sync.Mutex // guards everything below
	buf    []byte
	marks  []mark
	gaps   [2]gap // drops that no mark tells of yet
	closed bool
	off    bool // nobody will ever read: put does nothing
}

// mark says whose the bytes up to end are and when they were seen, and what was dropped of that direction before them.
type mark struct {
	end int
	at  time.Time
	way way
	gap gap
}

// gap is what was dropped in one place of one direction.
type gap struct {
	open  bool
	head  int  // bytes before the first line end, or all where there is none
	lines int  // line ends among the bytes
	tail  bool // the bytes do not end with a line end
}

// add takes note of dropped bytes.
func (g *gap) add(b []byte) {
	g.open = true
	if g.lines == 0 {
		if end := bytes.IndexByte(b, '\n'); end >= 0 {
			g.head += end
		} else {
			g.head += len(b)
		}
	}
	g.lines += bytes.Count(b, newline)
	g.tail = b[len(b)-1] != '\n'
}

func newMailbox(limit int) *mailbox {
	return &mailbox{limit: limit, ready: make(chan struct{}, 1)}
}

// put copies b, or drops it whole. The reader learns of it at the next wake.
func (m *mailbox) put(w way, b []byte, at time.Time) {
	if len(b) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g := &m.gaps[w]
	switch {
	case m.off || m.closed:
	case len(m.buf)+len(b) > m.limit:
		g.add(b)
	default:
		m.buf = append(m.buf, b...)
		m.marks = append(m.marks, mark{end: len(m.buf), at: at, way: w, gap: *g})
		*g = gap{}
	}
}

// wake tells the reader that there is something to take.
func (m *mailbox) wake() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

// close says that nothing more comes.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.wake()
}

// discard turns the mailbox off for good.
func (m *mailbox) discard() {
	m.mu.Lock()
	m.off, m.buf, m.marks = true, nil, nil
	m.mu.Unlock()
}

// spareCap is the largest buffer that is kept for reuse, bytes.
const spareCap = 256 << 10

// take waits for bytes and swaps them for the caller's used-up buffers. closed means that nothing follows these.
func (m *mailbox) take(buf []byte, marks []mark) (_ []byte, _ []mark, closed bool) {
	if cap(buf) > spareCap {
		buf = nil
	}
	if cap(marks) > spareCap/64 {
		marks = nil
	}
	<-m.ready
	m.mu.Lock()
	defer m.mu.Unlock()
	buf, m.buf = m.buf, buf[:0]
	marks, m.marks = m.marks, marks[:0]
	for w, g := range m.gaps {
		if g.open {
			marks = append(marks, mark{end: len(buf), way: way(w), gap: g})
		}
	}
	m.gaps = [2]gap{}
	return buf, marks, m.closed
}
