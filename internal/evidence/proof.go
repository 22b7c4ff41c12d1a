// What leads from the leaves of a bundle to signed checkpoints, and who vouches for those.

package evidence

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

const maxHistory = 200 // checkpoints

// log writes what leads from the leaves to a signed checkpoint, and the checkpoints of the period.
func (e *exporter) log(ctx context.Context) error {
	if e.Segments == nil {
		e.Segments = []segment{}
	}
	if err := e.json(fileSegments, e.Segments); err != nil {
		return err
	}
	if err := e.a.add(fileCheckpoint, e.note); err != nil {
		return err
	}
	kept, err := e.db.Checkpoints(ctx, e.Tenant, fmt.Sprintf("size <= %d AND signed_at >= toDateTime64(%d, 3, 'UTC')", e.cp.Size, max(e.From.Unix(), 0)), 0)
	if err != nil {
		return err
	}
	old := []oldCheckpoint{}
	step := max(1, (len(kept)+maxHistory-1)/maxHistory)
	for i := 0; i < len(kept); i += step {
		c := kept[i]
		o := oldCheckpoint{SignedAt: c.SignedAt.Format(time.RFC3339Nano), Note: string(c.Note)}
		if o.Proof, err = e.consistency(c.Checkpoint.Size); err != nil {
			return err
		}
		old = append(old, o)
	}
	if err := e.json(fileHistory, old); err != nil {
		return err
	}
	if err := e.anchors(ctx); err != nil {
		return err
	}
	return e.a.add(fileKey, []byte(e.Key.Trust(e.Tenant)+"\n"))
}

// consistency is the proof that the log only grew since it had a size.
func (e *exporter) consistency(size uint64) ([]string, error) {
	proof, err := tlog.ProveTree(int64(e.cp.Size), int64(size), e.tiles)
	if err != nil {
		return nil, fmt.Errorf("cannot prove a checkpoint: %w", err)
	}
	out := []string{}
	for _, h := range proof {
		out = append(out, base64.StdEncoding.EncodeToString(h[:]))
	}
	return out, nil
}

// anchors writes time stamps and cosignatures of checkpoints that cover leaves of the bundle: of each place at most maxHistory, the first and the last among them.
func (e *exporter) anchors(ctx context.Context) error {
	all, err := e.db.Anchors(ctx, e.Tenant, fmt.Sprintf("outcome = '%s' AND kind IN ('%s', '%s') AND size > %d AND size <= %d", seal.AnchorOK, seal.AnchorTSA, seal.AnchorWitness, e.Manifest.FirstLeaf, e.cp.Size))
	if err != nil {
		return err
	}
	places := map[string][]seal.Anchor{}
	for _, a := range all {
		places[a.Kind+" "+a.Name] = append(places[a.Kind+" "+a.Name], a)
	}
	out := []anchor{}
	trust := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(places)) {
		of := places[name]
		// The one that first covers all of the bundle says most.
		cover := slices.IndexFunc(of, func(a seal.Anchor) bool { return a.Size > e.Manifest.LastLeaf })
		step := max(1, (len(of)+maxHistory-1)/maxHistory)
		for i, a := range of {
			if i%step != 0 && i != cover && i != len(of)-1 {
				continue
			}
			kept, err := e.db.Checkpoints(ctx, e.Tenant, fmt.Sprintf("size = %d", a.Size), 1)
			if err != nil {
				return err
			}
			if len(kept) == 0 {
				continue
			}
			x := anchor{Kind: a.Kind, Name: a.Name, Note: string(kept[0].Note), Data: a.Proof}
			if x.Proof, err = e.consistency(a.Size); err != nil {
				return err
			}
			out = append(out, x)
			if i == cover {
				if at, err := seal.CheckAnchor(a, kept[0].Note, seal.Trust{}); err == nil {
					e.summary.Anchors = append(e.summary.Anchors, Vouched{a.Kind, a.Name, at.Format(time.RFC3339)})
				}
			}
			if t := strings.TrimSpace(a.Trust); t != "" && !slices.Contains(trust[a.Kind], t) {
				trust[a.Kind] = append(trust[a.Kind], t)
			}
		}
	}
	if err := e.json(fileAnchors, out); err != nil {
		return err
	}
	for _, k := range []struct{ kind, file string }{{seal.AnchorTSA, fileTSA}, {seal.AnchorWitness, fileWitnesses}} {
		if t := trust[k.kind]; t != nil {
			if err := e.a.add(k.file, []byte(strings.Join(t, "\n")+"\n")); err != nil {
				return err
			}
		}
	}
	return nil
}
