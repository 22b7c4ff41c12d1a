package tapio

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/tap"
)

var newline = []byte{'\n'}

// lineFramer cuts a byte stream into lines, the messages of MCP's stdio transport. A line's end, LF or CRLF, is not part of
// the frame; everything else is, whatever it is: blank lines, a byte order mark, text that is no JSON. Of a line longer than
// limit the beginning is kept, and size and hash are of the whole. Of a line whose middle passed faster than it could be looked
// at the beginning is kept and the size is known, the hash is not. A last line without an end is a frame too.
type lineFramer struct {
	direction string
	limit     int
	stream    tap.Stream

	partial bool   // a line has begun
	skip    bool   // the rest of the line belongs to a frame already counted as lost
	acc     []byte // what is kept of the begun line
	size    int64
	cr      bool // a CR is held back: it counts only if no LF follows
	hash    hash.Hash
	hashed  bool // hash holds the begun line: it is longer than limit
	holed   bool // bytes of the begun line are missing: nothing more of it is kept, and it has no hash
	first   time.Time
}

// feed takes the next bytes, all seen at the same moment. b is not kept.
func (f *lineFramer) feed(b []byte, at time.Time) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			f.grow(b, at)
			return
		}
		line := b[:end]
		b = b[end+1:]
		switch {
		case f.skip:
			f.skip = false
		case f.partial:
			f.grow(line, at)
			f.cr = false
			f.emitPartial(at)
		default:
			f.emitWhole(bytes.TrimSuffix(line, []byte{'\r'}), at)
		}
	}
}

// gap says that bytes are missing here. A begun line goes on through them; every other frame that they touch is lost.
func (f *lineFramer) gap(g gap, at time.Time) {
	n := g.lines
	if f.partial && !f.skip {
		f.holed = true
		f.size += int64(g.head)
		if f.cr && g.head > 0 {
			f.size++
		}
		f.cr = f.cr && g.head == 0 && g.lines == 0
		if g.lines == 0 {
			return
		}
		f.emitPartial(at)
		n--
	} else if f.skip && g.lines > 0 {
		n-- // counted already
	}
	if g.tail && !(f.skip && g.lines == 0) {
		n++
	}
	if n > 0 {
		f.stream.Lost(f.direction, n)
	}
	f.reset()
	f.skip = g.tail
}

// end closes the stream: a begun line is a frame.
func (f *lineFramer) end(at time.Time) {
	if f.partial && !f.skip {
		if f.cr {
			f.cr = false
			f.add([]byte{'\r'})
		}
		f.emitPartial(at)
	}
	f.reset()
}

func (f *lineFramer) emitWhole(line []byte, at time.Time) {
	fr := tap.Frame{
		Direction: f.direction,
		Size:      int64(len(line)),
		SHA256:    sha256.Sum256(line),
		At:        at,
		FirstByte: at,
	}
	if len(line) > f.limit {
		fr.Truncated = true
		line = line[:f.limit]
	}
	fr.Data = bytes.Clone(line)
	f.stream.Frame(fr)
}

// grow appends to the begun line.
func (f *lineFramer) grow(b []byte, at time.Time) {
	if f.skip || len(b) == 0 {
		return
	}
	if !f.partial {
		f.partial, f.first = true, at
	}
	if f.cr {
		f.cr = false
		f.add([]byte{'\r'})
	}
	if b[len(b)-1] == '\r' {
		f.cr = true
		b = b[:len(b)-1]
	}
	f.add(b)
}

func (f *lineFramer) add(b []byte) {
	f.size += int64(len(b))
	if f.holed {
		return
	}
	if !f.hashed {
		room := f.limit - len(f.acc)
		if len(b) <= room {
			f.acc = append(f.acc, b...)
			return
		}
		if f.hash == nil {
			f.hash = sha256.New()
		}
		f.hash.Reset()
		f.hash.Write(f.acc)
		f.hashed = true
		f.acc = append(f.acc, b[:room]...)
	}
	f.hash.Write(b)
}

func (f *lineFramer) emitPartial(at time.Time) {
	fr := tap.Frame{
		Direction: f.direction,
		Data:      f.acc,
		Size:      f.size,
		Truncated: f.hashed || f.holed,
		At:        at,
		FirstByte: f.first,
	}
	switch {
	case f.holed:
	case f.hashed:
		f.hash.Sum(fr.SHA256[:0])
	default:
		fr.SHA256 = sha256.Sum256(f.acc)
	}
	f.acc = nil // the stream owns it now
	f.stream.Frame(fr)
	f.reset()
}

func (f *lineFramer) reset() {
	f.partial, f.size, f.cr, f.hashed, f.holed = false, 0, false, false, false
	f.acc = f.acc[:0]
}

// readLines frames what comes through the mailbox until it is closed.
func readLines(m *mailbox, limit int, stream tap.Stream) {
	framers := [2]lineFramer{
		up:   {direction: event.ClientToServer, limit: limit, stream: stream},
		down: {direction: event.ServerToClient, limit: limit, stream: stream},
	}
	var (
		buf   []byte
		marks []mark
		last  [2]time.Time
	)
	for closed := false; !closed; {
		buf, marks, closed = m.take(buf, marks)
		from := 0
		for _, k := range marks {
			f := &framers[k.way]
			if k.gap.open {
				f.gap(k.gap, k.at)
			}
			if from < k.end {
				f.feed(buf[from:k.end], k.at)
				last[k.way] = k.at
			}
			from = k.end
		}
	}
	for w := range framers {
		framers[w].end(last[w])
	}
}
