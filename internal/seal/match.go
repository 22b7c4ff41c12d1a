// Matching leaves with the rows that are there.

package seal

import (
	"bytes"
	"context"
	"fmt"

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
	Second      bool     // beside the row that was sealed there is another, different one
	Mislabelled bool     // the row is what was sealed, and has another time or place than seal_leaves says
	Canonical   []byte   // of the row, if asked for
	Cells       []string // of the row, those asked for
}

// Match reads the rows that leaves stand for and compares. With keep, the rows' canonical forms come with them, and the named columns' values.
func (d *DB) Match(ctx context.Context, tenant string, leaves []Leaf, keep bool, cells ...string) ([]Match, error) {
	out := make([]Match, len(leaves))
	if err := d.Salts(ctx, tenant, leaves); err != nil {
		return nil, err
	}
	for _, kind := range []string{KindEvent, KindFinding} {
		at := map[uuid.UUID][]int{}
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
			at[l.ID] = append(at[l.ID], i)
		}
		if len(at) == 0 {
			continue
		}
		compare := func(r *Row) error {
			digest := Digest(r.Canonical)
			hit := false
			for _, i := range at[r.ID] {
				if LeafHash(out[i].Salt, digest) != out[i].Hash {
					continue
				}
				hit = true
				if out[i].State != Matched && keep {
					out[i].Canonical = bytes.Clone(r.Canonical)
					for _, c := range cells {
						out[i].Cells = append(out[i].Cells, r.Cell(c))
					}
				}
				out[i].State, out[i].Mislabelled = Matched, r.Time != out[i].Time || r.StreamSeq != out[i].StreamSeq
			}
			if hit {
				return nil
			}
			for _, i := range at[r.ID] {
				m := &out[i]
				switch {
				case m.State == Matched:
					m.Second = m.Second || r.StreamSeq == m.StreamSeq
				case m.Salt == Salt{}:
					m.State = Closed
				case LeafHash(m.Salt, Digest(withSeq(r, m.StreamSeq))) == m.Hash:
					m.State = Reordered
				default:
					m.State = max(m.State, Changed)
				}
			}
			return nil
		}
		where := fmt.Sprintf("tenant = %s AND stream_seq >= %d AND stream_seq <= %d", lit(tenant), lo, hi)
		if err := d.Rows(ctx, kind, where, "", compare); err != nil {
			return nil, err
		}
		// What is not there may be under another sequence.
		for from := 0; from < len(leaves); {
			var ids []byte
			n := 0
			for ; from < len(leaves) && n < 500; from++ {
				if out[from].Kind == kind && out[from].State == Absent {
					ids = fmt.Appendf(ids, "'%s',", out[from].ID)
					n++
				}
			}
			if n == 0 {
				continue
			}
			where := fmt.Sprintf("tenant = %s AND %s IN (%s)", lit(tenant), tableOf(kind).id, ids[:len(ids)-1])
			if err := d.Rows(ctx, kind, where, "", compare); err != nil {
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
