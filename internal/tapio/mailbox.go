package tapio

import (
	"bytes"
	"sync"
	"time"
)

// mailbox carries copies of passing bytes from the goroutine that forwards them to the one that looks at them. Putting never
// waits: when limit bytes lie unread, what comes is dropped and the reader is told where and how much.
type mailbox struct {
	limit int
	ready chan struct{} // holds a token while there is something to take

	mu     sync.Mutex // guards everything below
	buf    []byte
	marks  []mark
	closed bool
	off    bool // nobody will ever read: put does nothing
}

// mark says when the bytes up to end were seen, and what was dropped behind them.
type mark struct {
	end   int
	at    time.Time
	lines int  // line ends among the bytes dropped behind end
	tail  bool // the dropped bytes do not end with a line end
	gap   bool
}

func newMailbox(limit int) *mailbox {
	return &mailbox{limit: limit, ready: make(chan struct{}, 1)}
}

// put copies b, or drops it whole.
func (m *mailbox) put(b []byte, at time.Time) {
	if len(b) == 0 {
		return
	}
	m.mu.Lock()
	switch {
	case m.off || m.closed:
		m.mu.Unlock()
		return
	case len(m.buf)+len(b) > m.limit:
		m.drop(b, at)
	default:
		m.buf = append(m.buf, b...)
		m.marks = append(m.marks, mark{end: len(m.buf), at: at})
	}
	m.mu.Unlock()
	m.wake()
}

func (m *mailbox) drop(b []byte, at time.Time) {
	n := len(m.marks)
	if n == 0 || !m.marks[n-1].gap {
		m.marks = append(m.marks, mark{end: len(m.buf), at: at, gap: true})
		n++
	}
	last := &m.marks[n-1]
	last.lines += bytes.Count(b, newline)
	last.tail = b[len(b)-1] != '\n'
}

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
	buf, m.buf = m.buf, buf[:0]
	marks, m.marks = m.marks, marks[:0]
	closed = m.closed
	m.mu.Unlock()
	return buf, marks, closed
}
