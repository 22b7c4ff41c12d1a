// Collecting: the rows of the leaves of the period, what opens the leaves, and the leaves whose rows are not what they commit to.

package evidence

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// chunk is how many leaves are done in one step.
var chunk uint64 = 50_000

// maxBytes is how long the bodies of the rows that are held at once may be together.
var maxBytes uint64 = 64 << 20

// rows reads events and findings in the order of the log, what opens their leaves, and what of the log's hashes is given one by one, step by step.
func (e *exporter) rows(ctx context.Context) error {
	f := e.w.files
	events, evLeaves, findings, fiLeaves, hashes := f[workEvents], f[workEventLeafs], f[workFindings], f[workFindLeafs], f[workHashes]
	exCSV := csv.NewWriter(f[workExceptions])
	if e.Sizes == nil {
		_ = exCSV.Write([]string{"leaf_index", "kind", "id", "state"})
		var err error
		if e.First, e.End, err = e.db.LeafRange(ctx, e.Tenant, e.From.UnixNano(), e.To.UnixNano()); err != nil {
			return err
		}
		e.End = min(e.End, e.cp.Size)
		e.At = e.First
	}
	var pair [8 + seal.SaltSize]byte
	for e.At < e.End {
		to := min(e.At+chunk, e.End)
		leaves, err := e.db.Leaves(ctx, e.Tenant, e.At, to, e.From.UnixNano(), e.To.UnixNano())
		if err != nil {
			return err
		}
		leaves = slices.CompactFunc(leaves, func(a, b seal.Leaf) bool { return a.Index == b.Index })
		for _, kind := range []string{seal.KindEvent, seal.KindFinding} {
			cells := eventCells
			if kind == seal.KindFinding {
				cells = findingCells
			}
			var of []seal.Leaf
			for _, l := range leaves {
				if l.Kind == kind {
					of = append(of, l)
				}
			}
			err := e.matches(ctx, of, cells, func(m *seal.Match, fate string) error {
				h, err := e.tiles.Leaf(m.Index)
				if err != nil {
					return err
				}
				state := m.State
				if h != m.Hash {
					state = seal.Changed
				}
				if state != seal.Matched {
					x := Exception{m.Index, m.Kind, m.ID.String(), stateName(state)}
					if fate != "" {
						x.State = fate
					}
					e.Manifest.Exceptions++
					if len(e.Bad) < 50 {
						e.Bad = append(e.Bad, x)
					}
					_ = exCSV.Write([]string{strconv.FormatUint(x.Leaf, 10), x.Kind, x.ID, x.State})
					return nil
				}
				binary.BigEndian.PutUint64(pair[:], m.Index)
				copy(pair[8:], m.Salt[:])
				line := append(m.Canonical, '\n')
				var err2 error
				cellsOut := append([]string{strconv.FormatUint(m.Index, 10)}, m.Cells...)
				if kind == seal.KindEvent {
					e.Manifest.Events++
					_, err = events.Write(line)
					_, _ = evLeaves.Write(pair[:])
					err2 = writeCells(f[workEventCells], cellsOut)
					if e.Manifest.Events%997 == 1 && len(e.Samples) < 12 {
						e.Samples = append(e.Samples, Sample{timeText(m.Time), m.ID.String(), m.Cells[3], m.Cells[6], m.Cells[7], m.Cells[10]})
					}
				} else {
					e.Manifest.Findings++
					_, err = findings.Write(line)
					_, _ = fiLeaves.Write(pair[:])
					err2 = writeCells(f[workFindCells], cellsOut)
				}
				if err := errors.Join(err, err2); err != nil {
					return fmt.Errorf("cannot write to the export's work folder: %w", err)
				}
				e.crash("row")
				return nil
			})
			if err != nil {
				return err
			}
		}
		for _, l := range leaves {
			if err := e.extend(&e.Next, l.Index, hashes); err != nil {
				return err
			}
		}
		if exCSV.Flush(); exCSV.Error() != nil {
			return fmt.Errorf("cannot write to the export's work folder: %w", exCSV.Error())
		}
		e.At = to
		e.crash("before step")
		if err := e.w.step(&e.progress); err != nil {
			return err
		}
		e.crash("after step")
		if e.Progress != nil {
			e.Progress(e.At-e.First, e.End-e.First)
		}
	}
	exCSV.Flush() // its head, if there was nothing
	return e.w.step(&e.progress)
}

// matches calls f with each leaf and its row, holding no more rows at once than maxBytes allows; one row may be larger.
func (e *exporter) matches(ctx context.Context, leaves []seal.Leaf, cells []string, f func(m *seal.Match, fate string) error) error {
	if len(leaves) == 0 {
		return nil
	}
	if len(leaves) > 1 && leaves[0].Kind == seal.KindEvent {
		n, err := e.db.BodyBytes(ctx, e.Tenant, leaves)
		if err != nil {
			return err
		}
		if n > maxBytes {
			half := len(leaves) / 2
			if err := e.matches(ctx, leaves[:half], cells, f); err != nil {
				return err
			}
			return e.matches(ctx, leaves[half:], cells, f)
		}
	}
	matches, err := e.db.Match(ctx, e.Tenant, leaves, true, cells...)
	if err != nil {
		return err
	}
	fates, err := e.fates(ctx, matches)
	if err != nil {
		return err
	}
	for i := range matches {
		if err := f(&matches[i], fates[matches[i].Index]); err != nil {
			return err
		}
	}
	return nil
}

func stateName(s seal.State) string {
	return map[seal.State]string{seal.Absent: "missing", seal.Changed: "changed", seal.Reordered: "reordered", seal.Closed: "no salt"}[s]
}

// fates tells, of leaves whose rows are not what they commit to, those that a later row replaced and those that were deleted with a record from those that are missing.
func (e *exporter) fates(ctx context.Context, matches []seal.Match) (map[uint64]string, error) {
	var gone []seal.Leaf
	absent := map[uint64]bool{}
	for _, m := range matches {
		if m.State == seal.Absent || m.State == seal.Changed {
			gone = append(gone, m.Leaf)
			absent[m.Index] = m.State == seal.Absent
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	later, err := e.later.Of(ctx, gone)
	if err != nil {
		return nil, err
	}
	deleted, err := e.db.Deleted(ctx, e.Tenant, gone[0].Index, gone[len(gone)-1].Index)
	if err != nil {
		return nil, err
	}
	out := map[uint64]string{}
	for _, l := range gone {
		switch {
		case len(later[l.Index]) > 0:
			out[l.Index] = "superseded"
		case absent[l.Index] && len(deleted[l.Index]) > 0:
			out[l.Index] = "deleted with a record"
		}
	}
	return out, nil
}

// extend adds a leaf to the segments, in the order of the log.
func (e *exporter) extend(next *uint64, index uint64, hashes io.Writer) error {
	if index < *next {
		return nil
	}
	last := len(e.Segments) - 1
	if last >= 0 && e.Segments[last].Roots == nil && index == *next {
		e.Segments[last].To = index + 1
	} else {
		if err := e.gap(*next, index); err != nil {
			return err
		}
		e.Segments = append(e.Segments, segment{From: index, To: index + 1})
		*next = index
	}
	for ; *next <= index; *next++ {
		h, err := e.tiles.Leaf(*next)
		if err != nil {
			return err
		}
		if _, err := hashes.Write(h[:]); err != nil {
			return fmt.Errorf("cannot write to the export's work folder: %w", err)
		}
	}
	return nil
}

func (e *exporter) gap(from, to uint64) error {
	if from >= to {
		return nil
	}
	roots, err := e.tiles.Range(from, to)
	if err != nil {
		return err
	}
	s := segment{From: from, To: to}
	for _, r := range roots {
		s.Roots = append(s.Roots, base64.StdEncoding.EncodeToString(r))
	}
	e.Segments = append(e.Segments, s)
	return nil
}
