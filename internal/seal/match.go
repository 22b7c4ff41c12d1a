// Matching leaves with the rows that are there.

package seal

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// State of a leaf's row.
type State uint8

// States.
const (
	Absent    State = iota // no row of this event or finding is there
	Changed                // there is one, and it is not what was sealed
	Reordered              // what was sealed is there, under another place in the stream
	Closed                 // there is one, but the leaf's salt is not
	Matched
)

// Match is a leaf and what became of its row.
type Match struct {
	Leaf
	State       State
	Second      bool     // if Matched: beside the row that was sealed there is another, different one
	Mislabelled bool     // the row is what was sealed, and has another time or place than seal_leaves says
	Canonical   []byte   // of the row, if asked for; with room for the end of a line
	Cells       []string // of the row, those asked for
}

// Keep says what Match keeps of rows: their canonical forms, and the values of columns. Used again, it gives the memory of the canonical forms of before to those of now.
type Keep struct {
	Cells []string // columns

	blocks [][]byte // that canonical forms are in, one after the other
	used   int      // blocks that have something of now in them
}

const blockSize = 1 << 18

func (k *Keep) canonical(c []byte) []byte {
	n := len(c) + 1
	if k.used == 0 || n > cap(k.blocks[k.used-1])-len(k.blocks[k.used-1]) {
		if k.used == len(k.blocks) || n > blockSize {
			k.blocks = slices.Insert(k.blocks, k.used, make([]byte, 0, max(n, blockSize)))
		}
		k.used++
	}
	b := &k.blocks[k.used-1]
	from := len(*b)
	*b = append(append(*b, c...), 0)
	return (*b)[from : from+n-1 : from+n]
}

// again forgets what was kept.
func (k *Keep) again() {
	k.blocks = slices.DeleteFunc(k.blocks, func(b []byte) bool { return cap(b) > blockSize })
	for i := range k.blocks {
		k.blocks[i] = k.blocks[i][:0]
	}
	k.used = 0
}

// Match reads the rows that leaves stand for and compares. keep may be nil.
func (d *DB) Match(ctx context.Context, tenant string, leaves []Leaf, keep *Keep) ([]Match, error) {
	out := make([]Match, len(leaves))
	var values cellReader
	if keep != nil {
		keep.again()
		values.names = keep.Cells
	}
	if err := d.Salts(ctx, tenant, leaves); err != nil {
		return nil, err
	}
	for _, kind := range []string{KindEvent, KindFinding} {
		// Of most ids there is one leaf; more hang together in a chain.
		at := make(map[uuid.UUID]int32, len(leaves))
		var chain []int32
		var lo, hi uint64
		for i, l := range leaves {
			out[i].Leaf = l
			if l.Kind != kind {
				continue
			}
			if len(at) == 0 {
				lo, hi = l.StreamSeq, l.StreamSeq
			}
			lo, hi = min(lo, l.StreamSeq), max(hi, l.StreamSeq)
			if before, more := at[l.ID]; more {
				if chain == nil {
					chain = make([]int32, len(leaves))
				}
				chain[i] = before + 1 // 0 is the end
			}
			at[l.ID] = int32(i)
		}
		if len(at) == 0 {
			continue
		}
		// each calls f with the leaves of an id.
		each := func(id uuid.UUID, f func(m *Match)) {
			i, there := at[id]
			for there {
				f(&out[i])
				if there = chain != nil && chain[i] > 0; there {
					i = chain[i] - 1
				}
			}
		}
		compare := func(r *Row) error {
			if _, there := at[r.ID]; !there { // of a neighbour in the stream
				return nil
			}
			digest := Digest(r.Canonical)
			hit := false
			each(r.ID, func(m *Match) {
				if LeafHash(m.Salt, digest) != m.Hash {
					return
				}
				hit = true
				if m.State != Matched && keep != nil {
					m.Canonical = keep.canonical(r.Canonical)
					if len(keep.Cells) > 0 {
						m.Cells = values.read(r)
					}
				}
				m.State, m.Mislabelled = Matched, r.Time != m.Time || r.StreamSeq != m.StreamSeq
			})
			if hit {
				return nil
			}
			each(r.ID, func(m *Match) {
				m.Second = m.Second || r.StreamSeq == m.StreamSeq // the row that was sealed may come before this one or after it
				switch {
				case m.State == Matched:
				case m.Salt == Salt{}:
					m.State = Closed
				case LeafHash(m.Salt, Digest(withSeq(r, m.StreamSeq))) == m.Hash:
					m.State = Reordered
				default:
					m.State = max(m.State, Changed)
				}
			})
			return nil
		}
		where := fmt.Sprintf("tenant = %s AND stream_seq >= %d AND stream_seq <= %d", lit(tenant), lo, hi)
		if err := d.Rows(ctx, kind, where, "", compare); err != nil {
			return nil, err
		}
		// What is not there may be under another sequence. A few ids are found by the index on them; for many the column is read once.
		var absent proto.ColUUID
		for i := range out {
			if out[i].Kind == kind && out[i].State == Absent {
				absent = append(absent, out[i].ID)
			}
		}
		where = fmt.Sprintf("tenant = %s AND %s IN ", lit(tenant), tableOf(kind).id)
		switch {
		case len(absent) == 0:
		case len(absent) <= 500:
			var ids []byte
			for _, id := range absent {
				ids = fmt.Appendf(ids, "'%s',", id)
			}
			if err := d.Rows(ctx, kind, where+"("+string(ids[:len(ids)-1])+")", "", compare); err != nil {
				return nil, err
			}
		default:
			if err := d.rows(ctx, kind, where+"(SELECT id FROM asked)", "", absent, compare); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// withSeq is the row's canonical form had it another place in the stream.
func withSeq(r *Row, seq uint64) []byte {
	have := fmt.Appendf(nil, `,"stream_seq":"%d"`, r.StreamSeq)
	if r.StreamSeq == 0 {
		return nil
	}
	return bytes.Replace(r.Canonical, have, fmt.Appendf(nil, `,"stream_seq":"%d"`, seq), 1)
}
