package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/mcpsiem/mcpsiem/detectors/seqset"
)

// A snapshot is magic, SHA-256 of the rest, and the zstd-compressed content:
//
//	position (JSON), clocks, seen runs, seen ids, detectors: each id, state version, states, emitted ids, since
//
// Strings and sections are preceded by their length. A detector that the engine does not run, or that has moved to another
// state version, is left out; all else that does not fit makes the whole snapshot unusable.
const (
	snapshotMagic   = "MCPSIEM-DETECT-1"
	maxSnapshotSize = 4 << 30 // bytes, uncompressed
)

var errSnapshot = errors.New("the snapshot is damaged or of another format")

// Position is how far a snapshot has come.
type Position struct {
	Stream  string         `json:"stream,omitempty"`
	Created int64          `json:"created,omitempty"` // when the stream was created, ns since 1970: another one has other sequences
	Done    []seqset.Range `json:"done,omitempty"`    // sequences of the messages that are in the state
}

// Snapshot is the state with its position, sealed with a checksum.
func (g *Engine) Snapshot(p Position) ([]byte, error) {
	var w writer
	pos, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("cannot write a snapshot's position: %w", err)
	}
	w.bytes(pos)

	w.uvarint(uint64(g.clocks.len()))
	g.clocks.each(func(n *node[clock]) {
		w.string(n.key)
		w.varint(n.v.newest)
	})

	w.uvarint(uint64(g.seen.runs.len()))
	g.seen.runs.each(func(n *node[seqset.Set]) {
		w.string(n.key)
		r := n.v.Ranges()
		w.uvarint(uint64(len(r)))
		for _, x := range r {
			w.uvarint(x.Lo)
			w.uvarint(x.Hi)
		}
	})
	for _, half := range []map[idHash]struct{}{g.seen.before, g.seen.now} {
		ids := make([]idHash, 0, len(half))
		for id := range half {
			ids = append(ids, id)
		}
		slices.SortFunc(ids, func(a, b idHash) int { return bytes.Compare(a[:], b[:]) })
		w.uvarint(uint64(len(ids)))
		for _, id := range ids {
			w.b = append(w.b, id[:]...)
		}
	}

	w.uvarint(uint64(len(g.runners)))
	for _, r := range g.runners {
		b := r.base()
		var s writer
		if err := r.encodeStates(&s); err != nil {
			return nil, fmt.Errorf("cannot write the states of detector %s: %w", b.spec.ID, err)
		}
		s.uvarint(uint64(len(b.emitted.ring)))
		b.emitted.each(s.string)
		s.uvarint(uint64(b.since.len()))
		b.since.each(func(n *node[int64]) { s.string(n.key); s.varint(n.v) })
		w.string(b.spec.ID)
		w.uvarint(uint64(b.spec.StateVersion))
		w.bytes(s.b)
	}

	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("cannot compress a snapshot: %w", err)
	}
	defer enc.Close()
	head := len(snapshotMagic) + sha256.Size
	out := make([]byte, head, head+len(w.b)/2)
	copy(out, snapshotMagic)
	out = enc.EncodeAll(w.b, out)
	sum := sha256.Sum256(out[head:])
	copy(out[len(snapshotMagic):], sum[:])
	return out, nil
}

// Restore replaces the state with a snapshot's. On an error the state is empty. skipped names the detectors that start empty
// because the snapshot has nothing that they can read.
func (g *Engine) Restore(data []byte) (p Position, skipped []string, err error) {
	g.reset()
	defer func() {
		if err != nil {
			g.reset()
			p, skipped = Position{}, nil
		}
	}()
	head := len(snapshotMagic) + sha256.Size
	if len(data) < head || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return p, nil, errSnapshot
	}
	if sum := sha256.Sum256(data[head:]); !bytes.Equal(sum[:], data[len(snapshotMagic):head]) {
		return p, nil, errSnapshot
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSnapshotSize))
	if err != nil {
		return p, nil, fmt.Errorf("cannot decompress a snapshot: %w", err)
	}
	defer dec.Close()
	content, err := dec.DecodeAll(data[head:], nil)
	if err != nil {
		return p, nil, errSnapshot
	}
	return g.restore(content)
}

// restore reads a snapshot's content.
func (g *Engine) restore(content []byte) (p Position, skipped []string, err error) {
	r := &reader{b: content}
	if err := json.Unmarshal(r.bytes(), &p); err != nil {
		return p, nil, errSnapshot
	}
	for range r.uvarint() {
		name, newest := r.string(), r.varint()
		if r.err != nil || g.clocks.peek(name) != nil {
			return p, nil, errSnapshot
		}
		n, _ := g.clocks.add(name)
		n.v.newest = newest
	}
	for range r.uvarint() {
		key := r.string()
		var ranges []seqset.Range
		for range r.uvarint() {
			ranges = append(ranges, seqset.Range{Lo: r.uvarint(), Hi: r.uvarint()})
			if r.err != nil {
				return p, nil, r.err
			}
		}
		set, err := seqset.FromRanges(ranges)
		if err != nil || r.err != nil || g.seen.runs.peek(key) != nil {
			return p, nil, errSnapshot
		}
		n, _ := g.seen.runs.add(key)
		n.v = set
	}
	for _, half := range []map[idHash]struct{}{g.seen.before, g.seen.now} {
		for range r.uvarint() {
			id, ok := r.take(16)
			if !ok {
				return p, nil, errSnapshot
			}
			half[idHash(id)] = struct{}{}
		}
	}

	type section struct {
		version uint64
		b       []byte
	}
	sections := map[string]section{}
	for range r.uvarint() {
		id := r.string()
		sections[id] = section{r.uvarint(), r.bytes()}
		if r.err != nil {
			return p, nil, r.err
		}
	}
	if r.err != nil || len(r.b) != 0 {
		return p, nil, errSnapshot
	}
	for _, run := range g.runners {
		b := run.base()
		s, ok := sections[b.spec.ID]
		if !ok || s.version != uint64(b.spec.StateVersion) {
			skipped = append(skipped, b.spec.ID)
			continue
		}
		sr := &reader{b: s.b}
		if err := run.decodeStates(sr); err != nil {
			return p, nil, err
		}
		for range sr.uvarint() {
			b.emitted.add(sr.string())
			if sr.err != nil {
				return p, nil, sr.err
			}
		}
		for range sr.uvarint() {
			name, at := sr.string(), sr.varint()
			if sr.err != nil || b.since.peek(name) != nil {
				return p, nil, errSnapshot
			}
			n, _ := b.since.add(name)
			n.v = at
		}
		if sr.err != nil || len(sr.b) != 0 {
			return p, nil, errSnapshot
		}
		run.timers(func(tenant string, t timer) {
			if n := g.clocks.peek(tenant); n != nil {
				n.v.setTimer(t)
			}
		})
	}
	return p, skipped, nil
}

// writer appends what reader reads.
type writer struct{ b []byte }

func (w *writer) uvarint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) varint(n int64)   { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) string(s string)  { w.uvarint(uint64(len(s))); w.b = append(w.b, s...) }
func (w *writer) bytes(s []byte)   { w.uvarint(uint64(len(s))); w.b = append(w.b, s...) }

// reader takes values from b. After the first that does not fit, err is set and all values are zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() { r.b, r.err = nil, errSnapshot }

func (r *reader) uvarint() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) varint() int64 {
	n, k := binary.Varint(r.b)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) take(n int) ([]byte, bool) {
	if len(r.b) < n {
		r.fail()
		return nil, false
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out, true
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	out, _ := r.take(int(n))
	return out
}

func (r *reader) string() string { return string(r.bytes()) }
