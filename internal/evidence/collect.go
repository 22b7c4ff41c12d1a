// Collecting: the rows of the leaves of the period, what opens the leaves, and the leaves whose rows are not what they commit to. While one batch is packed the next one is
// read, so that no more than two are held.

package evidence

import (
	"context"
	"slices"
	"sync"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// chunk is how many leaves are done in one step. Rows of a place in the stream are spread over the parts of the store: many small steps would read the same places again and again.
var chunk uint64 = 50_000

// maxBytes is how long the bodies of the rows of a batch may be together.
var maxBytes uint64 = 64 << 20

// batch is a part of a step: leaves of one kind with their rows, in the order of the log. How a step is divided is for memory alone and changes nothing of the bundle.
type batch struct {
	kind    string
	matches []seal.Match
	fates   map[uint64]string // by leaf
	keep    *seal.Keep        // what matches are in

	end *stepEnd // of the last one of a step, which has no matches
}

type stepEnd struct {
	to     uint64
	leaves []seal.Leaf // of the step, of both kinds
}

// collect reads and packs everything that is not packed yet, step by step.
func (e *exporter) collect(ctx context.Context) error {
	if e.Sizes == nil {
		var err error
		if e.First, e.End, err = e.db.LeafRange(ctx, e.Tenant, e.From.UnixNano(), e.To.UnixNano()); err != nil {
			return err
		}
		e.End = min(e.End, e.cp.Size)
		e.At = e.First
	}
	p, err := newPacker(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan *batch)
	free := make(chan *seal.Keep, 2) // one is packed from while the other is read into
	free <- &seal.Keep{}
	free <- &seal.Keep{}
	var failed error
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	from := e.At
	reader.Go(func() {
		defer close(batches)
		failed = e.read(ctx, from, free, func(b *batch) error {
			select {
			case batches <- b:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	for b := range batches {
		if err := p.add(b); err != nil {
			return err
		}
		if b.keep != nil {
			free <- b.keep
		}
		if b.end != nil && e.Progress != nil {
			e.Progress(e.At-e.First, e.End-e.First)
		}
	}
	if failed != nil {
		return failed
	}
	return p.step() // the heads of tables, if there was nothing
}

// read gives the batches from a leaf on.
func (e *exporter) read(ctx context.Context, from uint64, free chan *seal.Keep, give func(*batch) error) error {
	for from < e.End {
		to := min(from+chunk, e.End)
		leaves, err := e.db.Leaves(ctx, e.Tenant, from, to, e.From.UnixNano(), e.To.UnixNano())
		if err != nil {
			return err
		}
		leaves = slices.CompactFunc(leaves, func(a, b seal.Leaf) bool { return a.Index == b.Index })
		for _, kind := range []string{seal.KindEvent, seal.KindFinding} {
			of := make([]seal.Leaf, 0, len(leaves))
			for _, l := range leaves {
				if l.Kind == kind {
					of = append(of, l)
				}
			}
			if err := e.matches(ctx, of, free, give); err != nil {
				return err
			}
		}
		if err := give(&batch{end: &stepEnd{to, leaves}}); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// matches gives leaves of a kind with their rows, no more at once than maxBytes allows; one row may be larger.
func (e *exporter) matches(ctx context.Context, leaves []seal.Leaf, free chan *seal.Keep, give func(*batch) error) error {
	if len(leaves) == 0 {
		return nil
	}
	cells := findingCells
	if leaves[0].Kind == seal.KindEvent {
		cells = eventCells
		n, err := e.db.BodyBytes(ctx, e.Tenant, leaves)
		if err != nil {
			return err
		}
		if half := len(leaves) / 2; n > maxBytes && half > 0 {
			if err := e.matches(ctx, leaves[:half], free, give); err != nil {
				return err
			}
			return e.matches(ctx, leaves[half:], free, give)
		}
	}
	var keep *seal.Keep
	select {
	case keep = <-free:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	keep.Cells = cells
	matches, err := e.db.Match(ctx, e.Tenant, leaves, keep)
	if err != nil {
		return err
	}
	fates, err := e.fates(ctx, matches)
	if err != nil {
		return err
	}
	return give(&batch{kind: leaves[0].Kind, matches: matches, fates: fates, keep: keep})
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
