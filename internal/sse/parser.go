// Package sse reads Server-Sent Events the way the WHATWG HTML standard (section 9.2, "Server-sent events") says a client
// reads them, from bytes that arrive in any cut.
//
// Memory is bounded whatever the stream holds: an event keeps at most Limit bytes of data, and of all other lines only the
// few bytes that matter. Time is linear in the input.
package sse

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"strconv"
	"time"
)

// Bounds of what is kept of an event beside its data, bytes.
const (
	MaxType  = 256  // of an event type; longer ones are cut
	MaxID    = 1024 // of an id; a longer one counts as absent
	maxRetry = 18   // digits
)

// Event is one dispatched event.
type Event struct {
	Type   string   // "message" where the stream names none
	ID     string   // the id field of this event itself
	HasID  bool     // this event carried a valid id field
	LastID string   // the last id seen in the stream up to and including this event
	Data   []byte   // valid until the callback returns; at most Limit bytes
	Size   int64    // of the whole data, bytes
	SHA256 [32]byte // of the whole data; set only where Truncated
	// Truncated says that Size is more than len(Data).
	Truncated bool
}

type field uint8

const (
	fieldNone field = iota
	fieldData
	fieldEvent
	fieldID
	fieldRetry
)

type lineState uint8

const (
	inName  lineState = iota // collecting the field name
	atColon                  // the colon was seen, nothing behind it yet
	inValue                  // inside the value
	inSkip                   // the rest of the line does not matter
)

// Parser turns a byte stream into events. The zero value with a Limit is ready for a stream's first byte. It is not safe
// for concurrent use.
type Parser struct {
	// Limit is how many bytes of an event's data are kept; of a longer event the hash and size are still whole.
	Limit int
	// Retry is the last valid reconnection time that the stream asked for; 0 if none.
	Retry time.Duration

	bom   uint8 // bytes of a byte order mark matched so far; 3 once that is settled
	sawCR bool  // the last line ended with CR: an LF that follows belongs to it

	state   lineState
	started bool // the line has at least one byte
	begun   bool // the value of the current field was begun
	name    [5]byte
	nameLen int
	field   field

	lines  int    // data lines of the current event
	alias  []byte // the only data so far, still inside the caller's chunk
	data   []byte // data so far, at most Limit bytes
	size   int64
	hash   hash.Hash
	hashed bool // hash holds the data: there is more of it than Limit

	typ        []byte
	id         []byte
	idBad      bool
	hasID      bool
	lastID     string
	retry      []byte
	retryValid bool
}

var byteOrderMark = [3]byte{0xEF, 0xBB, 0xBF}

// Feed takes the next bytes of the stream and calls emit for every event that they complete. b is not kept.
func (p *Parser) Feed(b []byte, emit func(Event)) {
	for len(b) > 0 {
		if p.bom < 3 {
			if b[0] == byteOrderMark[p.bom] {
				p.bom++
				b = b[1:]
				continue
			}
			if p.bom > 0 { // the start of a mark is the start of an unknown field name
				p.started, p.state = true, inSkip
			}
			p.bom = 3
		}
		if p.sawCR {
			p.sawCR = false
			if b[0] == '\n' {
				b = b[1:]
				continue
			}
		}
		end := lineEnd(b)
		if end < 0 {
			p.fragment(b)
			break
		}
		p.fragment(b[:end])
		p.sawCR = b[end] == '\r'
		b = b[end+1:]
		p.endLine(emit)
	}
	p.own()
}

// Pending reports whether the stream, ended here, would leave an event undispatched. A client discards such an event.
func (p *Parser) Pending() bool { return p.lines > 0 || p.started && p.field == fieldData }

// Discard drops the event in progress and keeps what the stream established: for a reader that lost bytes. The rest of the
// current line is skipped.
func (p *Parser) Discard() {
	p.resetEvent()
	p.bom, p.started, p.state, p.field, p.sawCR = 3, true, inSkip, fieldNone, false
}

// lineEnd is the index of the first CR or LF, or -1.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// fragment takes the next piece of the current line.
func (p *Parser) fragment(b []byte) {
	if len(b) == 0 {
		return
	}
	p.started = true
	if p.state == inName {
		colon := bytes.IndexByte(b[:min(len(b), len(p.name)+1)], ':')
		end := colon
		if colon < 0 {
			end = len(b)
		}
		if p.nameLen+end > len(p.name) {
			p.state = inSkip
			return
		}
		p.nameLen += copy(p.name[p.nameLen:], b[:end])
		if colon < 0 {
			return
		}
		if p.field = p.fieldOf(); p.field == fieldNone {
			p.state = inSkip
			return
		}
		p.state = atColon
		b = b[colon+1:]
	}
	if p.state == atColon {
		if len(b) == 0 {
			return
		}
		if b[0] == ' ' {
			b = b[1:]
		}
		p.state = inValue
		p.begin()
	}
	if p.state == inValue {
		p.value(b)
	}
}

func (p *Parser) fieldOf() field {
	switch string(p.name[:p.nameLen]) {
	case "data":
		return fieldData
	case "event":
		return fieldEvent
	case "id":
		return fieldID
	case "retry":
		return fieldRetry
	}
	return fieldNone // a comment has an empty name
}

// begin starts the value of the current field, which may stay empty.
func (p *Parser) begin() {
	p.begun = true
	switch p.field {
	case fieldData:
		if p.lines > 0 {
			p.addData(newline)
		}
		p.lines++
	case fieldEvent:
		p.typ = p.typ[:0]
	case fieldID:
		p.id, p.idBad = p.id[:0], false
	case fieldRetry:
		p.retry, p.retryValid = p.retry[:0], true
	}
}

var newline = []byte{'\n'}

// value takes the next piece of the current field's value.
func (p *Parser) value(b []byte) {
	if len(b) == 0 {
		return
	}
	switch p.field {
	case fieldData:
		p.addData(b)
	case fieldEvent:
		p.typ = append(p.typ, b[:min(len(b), MaxType-len(p.typ))]...)
	case fieldID:
		if len(p.id)+len(b) > MaxID || bytes.IndexByte(b, 0) >= 0 {
			p.idBad = true
		}
		if !p.idBad {
			p.id = append(p.id, b...)
		}
	case fieldRetry:
		if len(p.retry)+len(b) > maxRetry {
			p.retryValid = false
		}
		if p.retryValid {
			p.retry = append(p.retry, b...)
		}
	}
}

func (p *Parser) addData(b []byte) {
	p.size += int64(len(b))
	if p.size == int64(len(b)) { // the first bytes of this event
		p.alias = b
		return
	}
	p.own()
	p.keep(b)
}

// own copies data that still lies in the caller's chunk.
func (p *Parser) own() {
	if b := p.alias; b != nil {
		p.alias = nil
		p.keep(b)
	}
}

func (p *Parser) keep(b []byte) {
	room := p.Limit - len(p.data)
	if len(b) <= room && !p.hashed {
		p.data = append(p.data, b...)
		return
	}
	if !p.hashed {
		if p.hash == nil {
			p.hash = sha256.New()
		}
		p.hash.Reset()
		p.hash.Write(p.data)
		p.hashed = true
		p.data = append(p.data, b[:room]...)
	}
	p.hash.Write(b)
}

func (p *Parser) endLine(emit func(Event)) {
	if !p.started {
		p.dispatch(emit)
		return
	}
	if p.state == inName { // no colon: the whole line is the field name, the value is empty
		p.field = p.fieldOf()
		if p.nameLen == 0 {
			p.field = fieldNone
		}
	}
	if p.field != fieldNone && !p.begun {
		p.begin()
	}
	switch p.field {
	case fieldID:
		if !p.idBad {
			p.hasID = true
			if string(p.id) != p.lastID {
				p.lastID = string(p.id)
			}
		}
	case fieldRetry:
		p.endRetry()
	}
	p.started, p.begun, p.state, p.nameLen, p.field = false, false, inName, 0, fieldNone
}

func (p *Parser) endRetry() {
	if !p.retryValid || len(p.retry) == 0 {
		return
	}
	for _, c := range p.retry {
		if c < '0' || c > '9' {
			return
		}
	}
	ms, err := strconv.ParseInt(string(p.retry), 10, 64)
	if err == nil && ms < int64(24*time.Hour*365/time.Millisecond) {
		p.Retry = time.Duration(ms) * time.Millisecond
	}
}

func (p *Parser) dispatch(emit func(Event)) {
	if p.lines == 0 { // no data: only the type is forgotten, an id stays
		p.resetEvent()
		return
	}
	e := Event{Type: "message", LastID: p.lastID, Size: p.size}
	switch string(p.typ) {
	case "", "message":
	default:
		e.Type = string(p.typ)
	}
	if p.hasID {
		e.ID, e.HasID = p.lastID, true
	}
	if p.alias != nil && len(p.alias) <= p.Limit {
		e.Data = p.alias
	} else {
		p.own()
		e.Data = p.data
	}
	if p.hashed {
		e.Truncated, e.SHA256 = true, p.sum()
	}
	emit(e)
	p.resetEvent()
}

func (p *Parser) sum() (s [32]byte) {
	p.hash.Sum(s[:0])
	return s
}

// keepCap is the largest buffer kept from one event to the next.
const keepCap = 64 << 10

func (p *Parser) resetEvent() {
	p.lines, p.size, p.hashed, p.hasID = 0, 0, false, false
	p.alias, p.typ = nil, p.typ[:0]
	if cap(p.data) > keepCap {
		p.data = nil
	}
	p.data = p.data[:0]
}
