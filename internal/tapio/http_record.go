package tapio

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"sync"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/sse"
	"github.com/mcpsiem/mcpsiem/internal/tap"
)

// This file looks at copies of HTTP bodies. All of it runs on one goroutine, the proxy's recording goroutine, which takes
// pieces in the order in which they passed; only queue is shared.

// piece is one copied piece of a body, or what happened to it.
type piece struct {
	body *body // nil: do is called
	b    []byte
	at   time.Time
	op   op
	do   func()
}

type op uint8

const (
	opData op = iota
	opLost    // bytes passed that could not be kept
	opEnd     // the body is complete
	opCut     // the body broke off
)

// pieceCost is what a queued piece weighs beside its bytes.
const pieceCost = 128

// queue holds pieces until they are looked at. Putting never waits: beyond limit bytes, copies are dropped, and their body
// learns that. What is no copy is always taken; there is at most one such piece for each exchange and body.
type queue struct {
	limit int
	ready chan struct{}

	mu     sync.Mutex // guards everything below
	pieces []piece
	size   int
	closed bool
	armed  bool // timer will wake the recording goroutine
	timer  *time.Timer
}

// Looking at copies competes with forwarding for processors, so it waits a little and then takes what has come together, unless
// that is much.
const (
	queueDelay = 5 * time.Millisecond
	queueEager = 1 << 20 // bytes
)

func newQueue(limit int) *queue { return &queue{limit: limit, ready: make(chan struct{}, 1)} }

// copyOf puts a copy of b.
func (q *queue) copyOf(bd *body, b []byte, at time.Time) {
	if len(b) == 0 {
		return
	}
	q.mu.Lock()
	if q.size+len(b)+pieceCost > q.limit {
		if !bd.losing {
			bd.losing = true
			q.pieces = append(q.pieces, piece{body: bd, op: opLost, at: at})
		}
	} else {
		bd.losing = false
		q.size += len(b) + pieceCost
		q.pieces = append(q.pieces, piece{body: bd, b: bytes.Clone(b), at: at})
	}
	q.arm()
	eager := q.size > queueEager
	q.mu.Unlock()
	if eager {
		q.wake()
	}
}

// arm has the goroutine woken soon; mu is held.
func (q *queue) arm() {
	switch {
	case q.armed || q.closed:
	case q.timer == nil:
		q.armed = true
		q.timer = time.AfterFunc(queueDelay, q.wake)
	default:
		q.armed = true
		q.timer.Reset(queueDelay)
	}
}

// put puts a piece without bytes.
func (q *queue) put(p piece) {
	q.mu.Lock()
	if !q.closed {
		q.pieces = append(q.pieces, p)
	}
	q.arm()
	q.mu.Unlock()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	if q.timer != nil {
		q.timer.Stop()
	}
	q.mu.Unlock()
	q.wake()
}

// run looks at pieces until close.
func (q *queue) run() {
	var pieces []piece
	for range q.ready {
		q.mu.Lock()
		pieces, q.pieces = q.pieces, pieces[:0]
		closed := q.closed
		q.armed = false
		q.mu.Unlock()
		for i, p := range pieces {
			if p.body == nil {
				p.do()
			} else {
				p.body.take(p)
			}
			if p.b != nil {
				q.mu.Lock()
				q.size -= len(p.b) + pieceCost
				q.mu.Unlock()
			}
			pieces[i] = piece{}
		}
		if cap(pieces) > 4096 {
			pieces = nil
		}
		if closed {
			return
		}
	}
}

// kind is what a body is taken for.
type kind uint8

const (
	kindIgnore   kind = iota // not looked at
	kindRequest              // a POST body
	kindMessage              // a response body as a whole
	kindEvents               // Server-Sent Events
	kindMetadata             // a document about authorization
	kindFailure              // the body of a response that is no answer, unless it turns out to be one
)

// body is one direction of an HTTP exchange.
type body struct {
	x         *exchange
	direction string
	kind      kind
	status    int
	limit     int
	losing    bool // guarded by queue.mu: the last copy was dropped

	dec      *decoder
	decError error
	raw      []byte // the encoded content, up to limit, in case it does not decode
	rawSize  int64
	lost     bool // bytes are missing
	dead     bool // nothing more can be made of it

	data   []byte
	size   int64
	hash   hash.Hash
	hashed bool // hash holds the content: there is more than limit
	first  time.Time
	last   time.Time

	parser sse.Parser
	events int
}

func (x *exchange) newBody(direction string, k kind, encoding string, status int) *body {
	bd := &body{x: x, direction: direction, kind: k, status: status, limit: x.p.cfg.CaptureLimit}
	bd.parser.Limit = bd.limit
	var err error
	bd.dec, err = newDecoder(encoding, func(b []byte) { bd.content(b, false) })
	if err != nil {
		bd.decError = err
	}
	return bd
}

// take handles one piece.
func (bd *body) take(p piece) {
	defer func() {
		if recover() != nil { // whatever a hostile body does to us, traffic and the other bodies go on
			bd.lose(1)
			bd.dead = true
		}
	}()
	if bd.first.IsZero() {
		bd.first = p.at
	}
	switch p.op {
	case opData:
		bd.last = p.at
		bd.bytes(p.b)
	case opLost:
		bd.lost = true
		if bd.kind == kindEvents && !bd.dead {
			bd.lose(1)
			if bd.dec != nil { // a compressed stream cannot be entered in the middle
				bd.dead = true
				bd.dec.close()
			}
			bd.parser.Discard()
		}
	case opEnd, opCut:
		bd.end(p.op == opEnd)
	}
}

func (bd *body) lose(n int) { bd.x.stream().Lost(bd.direction, n) }

// bytes takes the next bytes as they passed; it may keep b.
func (bd *body) bytes(b []byte) {
	switch {
	case bd.dead || bd.lost && bd.kind != kindEvents:
	case bd.dec != nil || bd.decError != nil:
		bd.keepRaw(b)
		if bd.decError == nil {
			bd.decError = bd.dec.push(b)
		}
		if bd.decError != nil && bd.kind == kindEvents { // nothing that follows can be read
			bd.lose(1)
			bd.dead = true
		}
	default:
		bd.content(b, true)
	}
}

func (bd *body) keepRaw(b []byte) {
	if bd.kind == kindEvents {
		return
	}
	bd.rawSize += int64(len(b))
	bd.raw = append(bd.raw, b[:min(len(b), bd.limit-len(bd.raw))]...)
}

// content takes the next bytes of the decoded content; it may keep b only if owned.
func (bd *body) content(b []byte, owned bool) {
	if bd.kind == kindEvents {
		bd.parser.Feed(b, bd.event)
		return
	}
	bd.size += int64(len(b))
	if bd.hashed {
		bd.hash.Write(b)
		return
	}
	room := bd.limit - len(bd.data)
	if len(b) <= room {
		if owned && bd.data == nil {
			bd.data = b
		} else {
			bd.data = append(bd.data, b...)
		}
		return
	}
	bd.hash, bd.hashed = sha256.New(), true
	bd.hash.Write(bd.data)
	bd.hash.Write(b)
	bd.data = append(bd.data, b[:room]...)
}

// event takes one event of a stream.
func (bd *body) event(e sse.Event) {
	bd.events++
	if e.Type == "endpoint" && bd.events == 1 && bd.x.info.Verb == "GET" {
		bd.x.endpoint(string(e.Data))
		return
	}
	if e.Size == 0 || e.Type != "message" && !looksLikeMessage(e.Data) {
		return
	}
	f := tap.Frame{
		Direction: bd.direction, Data: bytes.Clone(e.Data), Size: e.Size, SHA256: e.SHA256, Truncated: e.Truncated,
		At: bd.last, FirstByte: bd.first, HTTP: bd.x.http(bd.status),
	}
	if !e.Truncated {
		f.SHA256 = sha256.Sum256(f.Data)
	}
	if e.HasID {
		f.HTTP.SSEEventID = e.ID
	}
	bd.x.stream().Frame(f)
}

func (bd *body) frame() tap.Frame {
	f := tap.Frame{
		Direction: bd.direction, Data: bd.data, Size: bd.size, Truncated: bd.hashed,
		At: bd.last, FirstByte: bd.first, HTTP: bd.x.http(bd.status),
	}
	switch {
	case bd.hashed:
		bd.hash.Sum(f.SHA256[:0])
	default:
		f.SHA256 = sha256.Sum256(bd.data)
	}
	if errors.Is(bd.decError, errBomb) && bd.size <= int64(len(bd.data)) {
		f.Truncated, f.Size = true, bd.size+1
	}
	return f
}

// rawFrame is a frame of content that could not be decoded, as it passed.
func (bd *body) rawFrame() tap.Frame {
	f := bd.frame()
	f.Data, f.Size, f.Truncated = bd.raw, bd.rawSize, bd.rawSize > int64(len(bd.raw))
	f.SHA256 = sha256.Sum256(bd.raw)
	return f
}

func (bd *body) end(complete bool) {
	if bd.dec != nil && !bd.dead {
		if err := bd.dec.end(); bd.decError == nil {
			bd.decError = err
		}
	}
	if bd.dead || bd.kind == kindIgnore {
		return
	}
	if bd.kind == kindEvents {
		return // an event that is not complete is none
	}
	if bd.lost {
		bd.lose(1)
		return
	}
	if bd.last.IsZero() { // empty
		if bd.kind == kindFailure {
			bd.last = time.Now()
			bd.x.fail("http_status", bd.frame())
		}
		return
	}
	f := bd.frame()
	if bd.decError != nil && !errors.Is(bd.decError, errBomb) {
		f = bd.rawFrame()
	}
	switch bd.kind {
	case kindRequest:
		if bd.x.form && !looksLikeMessage(f.Data) {
			return // an OAuth token request or the like: no MCP, and full of secrets
		}
		bd.x.stream().Frame(f)
	case kindMessage:
		if complete || looksLikeMessage(f.Data) {
			bd.x.stream().Frame(f)
		}
	case kindMetadata:
		if complete && looksLikeMessage(f.Data) {
			f.Record = event.NameMetadata
			bd.x.stream().Frame(f)
		}
	case kindFailure:
		if isMessage(f.Data) {
			bd.x.stream().Frame(f)
		} else {
			bd.x.fail("http_status", f)
		}
	}
}

// looksLikeMessage reports whether b may be JSON-RPC: an object or array, after white space and a byte order mark.
func looksLikeMessage(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")), " \t\r\n")
	return len(b) > 0 && (b[0] == '{' || b[0] == '[')
}

// isMessage reports whether b seems to be JSON-RPC rather than some other JSON.
func isMessage(b []byte) bool {
	return looksLikeMessage(b) && bytes.Contains(b, []byte(`"jsonrpc"`))
}
