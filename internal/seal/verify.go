// Verification of a tenant's stored rows against its log.
//
// What is trusted is the public key, and the checkpoints that it signed. From there: the tiles must have the checkpoint's root, seal_leaves must
// have the tiles' hashes, the rows must be what the leaves commit to, and rows that no leaf is about must not be there.

package seal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// What a problem is.
const (
	ProblemChanged    = "changed"    // the row is not what was sealed
	ProblemMissing    = "missing"    // the row is gone
	ProblemAdded      = "added"      // no leaf is about the row
	ProblemReordered  = "reordered"  // the row has another place in the stream than when it was sealed
	ProblemUnopened   = "unopened"   // the row is there but the leaf's salt is not, so that nothing can be said about it
	ProblemLeaf       = "leaf"       // seal_leaves does not say what the log says
	ProblemTile       = "tile"       // the tiles are not those of the checkpoint
	ProblemCheckpoint = "checkpoint" // missing, forged, of another key, or of another history
	ProblemRollback   = "rollback"   // a later checkpoint than the log's was signed
	ProblemDeletion   = "deletion"   // a record of deletion does not cover what it should
	ProblemDefinition = "definition" // readers are shown something else than what is stored
	ProblemAnchor     = "anchor"     // a time stamp or cosignature is not one of the checkpoint that it is kept for
)

// Problem is one thing that is not as it was sealed.
type Problem struct {
	What   string  `json:"what"`
	Kind   string  `json:"kind,omitempty"`
	ID     string  `json:"id,omitempty"`
	Leaf   *uint64 `json:"leaf_index,omitempty"`
	Detail string  `json:"detail"`
}

// Report is the result for one tenant.
type Report struct {
	Tenant       string    `json:"tenant"`
	Origin       string    `json:"origin,omitempty"`
	Size         uint64    `json:"size"` // leaves in the log
	Root         string    `json:"root,omitempty"`
	Checkpoints  int       `json:"checkpoints"` // checked, wherever they were kept
	Checked      uint64    `json:"checked"`     // leaves whose rows were compared
	Matched      uint64    `json:"matched"`
	Superseded   uint64    `json:"superseded"`     // rows that a later, sealed row of the same event or finding replaced
	Deleted      uint64    `json:"deleted"`        // rows removed with a sealed record of it
	NotYetSealed uint64    `json:"not_yet_sealed"` // stored after the last step of the sealer
	Timestamps   int       `json:"timestamps"`     // of time stamping authorities, good
	Cosignatures int       `json:"cosignatures"`   // of witnesses, good
	Anchored     *Anchored `json:"anchored,omitempty"`
	NotChecked   string    `json:"not_checked,omitempty"` // what the account had no right to look at
	ProblemCount uint64    `json:"problem_count"`
	Problems     []Problem `json:"problems"` // the first of them
	OK           bool      `json:"ok"`
}

// Anchored is the longest log that somebody else vouches for.
type Anchored struct {
	Size uint64    `json:"size"`
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	Name string    `json:"name"`
}

// VerifyOptions of one verification.
type VerifyOptions struct {
	Tenant      string
	Dir         string // of all logs
	VerifierKey string // of the tenant's log; empty: the one beside the log, which whoever can write there can replace
	From, To    time.Time
	Checkpoints [][]byte // signed notes kept elsewhere
	Trust       Trust    // what proofs by others are checked with
	MaxProblems int      // reported; 0 is 1,000
	Progress    func(done, total uint64)
}

// chunk is how many leaves are compared at once: some 30 MB. Rows of a place in the stream are spread over the parts of the store, so that few large steps read much less
// than many small ones.
const chunk = 100_000

const workers = 2 // steps at a time, each with a connection of its own

type verification struct {
	VerifyOptions
	db         *DB
	r          *Report
	tiles      *Tiles
	begin, end int64
	cp         Checkpoint
	byRecord   map[uuid.UUID]bool // records of deletion, and whether they hold
	rolledBack bool
	later      *Later
}

// Verify checks a tenant. An error is that it could not be checked; what is wrong is in the report.
func Verify(ctx context.Context, db *DB, o VerifyOptions) (*Report, error) {
	if o.MaxProblems == 0 {
		o.MaxProblems = 1000
	}
	v := &verification{VerifyOptions: o, db: db, r: &Report{Tenant: o.Tenant, Problems: []Problem{}}, begin: 0, end: math.MaxInt64}
	if !o.From.IsZero() {
		v.begin = o.From.UnixNano()
	}
	if !o.To.IsZero() {
		v.end = o.To.UnixNano()
	}
	if ok, err := v.checkpoint(ctx); err != nil || !ok {
		return v.r, err
	}
	if err := v.history(ctx); err != nil {
		return v.r, err
	}
	if err := v.deletions(ctx); err != nil {
		return v.r, err
	}
	if err := v.leaves(ctx); err != nil {
		return v.r, err
	}
	if err := v.added(ctx); err != nil {
		return v.r, err
	}
	if err := v.triage(ctx); err != nil {
		return v.r, err
	}
	if err := v.definitions(ctx); errors.Is(err, errDenied) {
		v.r.NotChecked = "views, computed columns, row policies and settings: the account may not read ClickHouse's system tables"
	} else if err != nil {
		return v.r, err
	}
	v.r.OK = v.r.ProblemCount == 0
	return v.r, nil
}

func (v *verification) problem(what, detail string) { v.note(Problem{What: what, Detail: detail}) }

func (v *verification) note(p Problem) {
	v.r.ProblemCount++
	if len(v.r.Problems) < v.MaxProblems {
		v.r.Problems = append(v.r.Problems, p)
	}
}

// checkpoint reads the log's own checkpoint; without one nothing else can be checked.
func (v *verification) checkpoint(ctx context.Context) (bool, error) {
	dir := filepath.Join(v.Dir, FolderOf(v.Tenant))
	b, err := os.ReadFile(filepath.Join(dir, "key.pub"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cannot read the public key: %w", err)
	}
	if v.VerifierKey == "" {
		v.VerifierKey = strings.TrimSpace(string(b))
	} else { // statements of rotation are signed: those beside the log will do
		v.VerifierKey = JoinTrust(v.VerifierKey, string(b))
	}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		kept, err := v.db.Checkpoints(ctx, v.Tenant, "", 1)
		if err != nil {
			return false, err
		}
		if len(kept) > 0 {
			v.problem(ProblemRollback, fmt.Sprintf("the log is gone, but a checkpoint of size %d was signed on %s", kept[0].Checkpoint.Size, kept[0].SignedAt.Format(time.RFC3339)))
			return false, nil
		}
		v.r.OK = true
		return false, v.unsealed(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("cannot read the log's checkpoint: %w", err)
	}
	if v.cp, err = OpenCheckpoint(signed, v.VerifierKey); err != nil {
		v.problem(ProblemCheckpoint, "of the log: "+err.Error())
		return false, nil
	}
	v.r.Origin, v.r.Size, v.r.Root, v.r.Checkpoints = v.cp.Origin, v.cp.Size, hex.EncodeToString(v.cp.Root[:]), 1
	v.tiles = NewTiles(dir, v.cp.Size)
	root, err := v.tiles.Root()
	if err != nil {
		v.problem(ProblemTile, err.Error())
		return false, nil
	}
	if root != v.cp.Root {
		v.problem(ProblemTile, fmt.Sprintf("the tiles do not have the root of the checkpoint of size %d", v.cp.Size))
	}
	if err := v.tiles.Check(); err != nil {
		v.problem(ProblemTile, err.Error())
	}
	return true, nil
}

// history checks every other checkpoint there is: what the log was then must be a part of what it is now.
func (v *verification) history(ctx context.Context) error {
	kept, err := v.db.Checkpoints(ctx, v.Tenant, "", 0)
	if err != nil {
		return err
	}
	newest := uint64(0)
	for _, c := range kept {
		newest = max(newest, c.Checkpoint.Size)
		v.old("in seal_checkpoints", c.Note, c.Checkpoint.Size)
	}
	if _, err := os.Stat(filepath.Join(v.Dir, "pending")); newest < v.cp.Size && errors.Is(err, fs.ErrNotExist) {
		v.problem(ProblemCheckpoint, fmt.Sprintf("seal_checkpoints ends at size %d, the log at %d", newest, v.cp.Size))
	}
	notes, err := v.db.Strings(ctx, "read records of checkpoints", fmt.Sprintf("SELECT audit_details['note'] AS x FROM %s WHERE tenant = %s AND audit_action = '%s'",
		v.db.table("events"), lit(v.Tenant), ActionCheckpoint))
	if err != nil {
		return err
	}
	for _, n := range notes {
		v.old("in the audit trail", []byte(n), 0)
	}
	for _, n := range v.Checkpoints {
		v.old("given", n, 0)
	}
	return v.anchors(ctx, kept)
}

// anchors checks what others said about checkpoints.
func (v *verification) anchors(ctx context.Context, kept []SignedCheckpoint) error {
	all, err := v.db.Anchors(ctx, v.Tenant, "outcome = '"+AnchorOK+"'")
	if err != nil || len(all) == 0 {
		return err
	}
	notes := make(map[uint64][]byte, len(kept))
	for _, c := range kept {
		notes[c.Checkpoint.Size] = c.Note
	}
	for _, a := range all {
		where := fmt.Sprintf("%s %s, for size %d", a.Kind, a.Name, a.Size)
		if a.Size > v.cp.Size {
			v.rolledBack = true
			v.problem(ProblemRollback, fmt.Sprintf("%s: the log ends at %d", where, v.cp.Size))
			continue
		}
		if notes[a.Size] == nil {
			v.problem(ProblemAnchor, where+": the checkpoint is not in seal_checkpoints")
			continue
		}
		at, err := CheckAnchor(a, notes[a.Size], v.Trust)
		if err != nil {
			v.problem(ProblemAnchor, where+": "+err.Error())
			continue
		}
		switch a.Kind {
		case AnchorTSA:
			v.r.Timestamps++
		case AnchorWitness:
			v.r.Cosignatures++
		default:
			continue
		}
		if v.r.Anchored == nil || a.Size > v.r.Anchored.Size {
			v.r.Anchored = &Anchored{a.Size, at, a.Kind, a.Name}
		}
	}
	return nil
}

func (v *verification) old(where string, note []byte, size uint64) {
	v.r.Checkpoints++
	c, err := OpenCheckpoint(note, v.VerifierKey)
	if err != nil {
		v.problem(ProblemCheckpoint, fmt.Sprintf("%s, of size %d: %s", where, size, err))
		return
	}
	if size != 0 && c.Size != size {
		v.problem(ProblemCheckpoint, fmt.Sprintf("%s: a row says size %d, its note %d", where, size, c.Size))
	}
	if c.Size > v.cp.Size {
		v.rolledBack = true
		v.problem(ProblemRollback, fmt.Sprintf("a checkpoint of size %d (%s) was signed, the log ends at %d", c.Size, where, v.cp.Size))
		return
	}
	at := *v.tiles
	at.size, at.cache = c.Size, map[[2]uint64][]byte{}
	root, err := at.Root()
	if err != nil {
		v.problem(ProblemTile, err.Error())
	} else if root != c.Root {
		v.problem(ProblemCheckpoint, fmt.Sprintf("%s: at size %d the log was another one: history was rewritten", where, c.Size))
	}
}

// leaves compares every leaf with the log and those of the period with their rows.
func (v *verification) leaves(ctx context.Context) error {
	v.later = NewDB(v.db.cfg).NewLater(v.Tenant, v.cp.Size)
	defer v.later.db.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Each step has a report of its own; they are added up in the order of the log.
	steps := make([]chan *Report, (v.cp.Size+chunk-1)/chunk)
	for i := range steps {
		steps[i] = make(chan *Report, 1)
	}
	var next atomic.Uint64
	var ahead = make(chan struct{}, 2*workers) // reports that wait for an earlier one
	var wg sync.WaitGroup
	for range min(workers, len(steps)) {
		wg.Go(func() {
			w := *v
			w.db = NewDB(v.db.cfg)
			defer w.db.Close()
			w.tiles = NewTiles(v.tiles.dir, v.tiles.size)
			for {
				select {
				case ahead <- struct{}{}:
				case <-ctx.Done():
					return
				}
				i := next.Add(1) - 1
				if i >= uint64(len(steps)) {
					return
				}
				w.r = &Report{}
				if err := w.step(ctx, i*chunk, min((i+1)*chunk, v.cp.Size)); err != nil {
					cancel(err)
					return
				}
				steps[i] <- w.r
			}
		})
	}
	for i := range steps {
		select {
		case r := <-steps[i]:
			<-ahead
			v.r.Checked, v.r.Matched, v.r.Superseded, v.r.Deleted = v.r.Checked+r.Checked, v.r.Matched+r.Matched, v.r.Superseded+r.Superseded, v.r.Deleted+r.Deleted
			for _, p := range r.Problems {
				v.note(p)
			}
			v.r.ProblemCount += r.ProblemCount - uint64(len(r.Problems))
			if v.Progress != nil {
				v.Progress(min(uint64(i+1)*chunk, v.cp.Size), v.cp.Size)
			}
		case <-ctx.Done():
			wg.Wait()
			return context.Cause(ctx)
		}
	}
	cancel(nil)
	wg.Wait()
	return v.beyond(context.WithoutCancel(ctx))
}

// step compares the leaves in [from, to).
func (v *verification) step(ctx context.Context, from, to uint64) error {
	all, err := v.db.Leaves(ctx, v.Tenant, from, to, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	asked := make([]Leaf, 0, len(all))
	next := from
	for i, l := range all {
		if i > 0 && l.Index == all[i-1].Index {
			if l != all[i-1] { // otherwise a copy that is not merged yet
				v.leaf(l, ProblemLeaf, "seal_leaves has two different rows for it")
			}
			continue
		}
		for ; next < l.Index; next++ {
			v.lostLeaf(next)
		}
		next = l.Index + 1
		h, err := v.tiles.Leaf(l.Index)
		switch {
		case err != nil:
			v.leaf(l, ProblemTile, err.Error())
		case h != l.Hash:
			v.leaf(l, ProblemLeaf, "seal_leaves has another hash than the log")
			l.Hash = h
			fallthrough
		default:
			if l.Version != CanonicalVersion {
				v.leaf(l, ProblemLeaf, fmt.Sprintf("its canonical form, version %d, is not one that this program knows", l.Version))
			} else if l.Time >= v.begin && l.Time < v.end {
				asked = append(asked, l)
			}
		}
	}
	for ; next < to; next++ {
		v.lostLeaf(next)
	}
	return v.compare(ctx, asked)
}

// beyond looks for leaves that the log does not have.
func (v *verification) beyond(ctx context.Context) error {
	if v.rolledBack {
		return nil // what is beyond is what was cut off
	}
	beyond, err := v.db.Leaves(ctx, v.Tenant, v.cp.Size, math.MaxInt64, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(v.Dir, "pending")); errors.Is(err, fs.ErrNotExist) {
		now, err := os.ReadFile(filepath.Join(v.Dir, FolderOf(v.Tenant), "checkpoint")) // it may have gone on meanwhile
		c, err2 := OpenCheckpoint(now, v.VerifierKey)
		for _, l := range beyond {
			if err == nil && err2 == nil && l.Index >= c.Size {
				v.leaf(l, ProblemLeaf, "seal_leaves has it, the log does not")
			}
		}
	}
	return nil
}

func (v *verification) lostLeaf(index uint64) {
	v.note(Problem{What: ProblemMissing, Leaf: &index, Detail: "its row in seal_leaves is gone: nobody can say which event it was"})
}

func (v *verification) leaf(l Leaf, what, detail string) {
	v.note(Problem{What: what, Kind: l.Kind, ID: l.ID.String(), Leaf: &l.Index, Detail: detail})
}

func (v *verification) compare(ctx context.Context, leaves []Leaf) error {
	if len(leaves) == 0 {
		return nil
	}
	matches, err := v.db.Match(ctx, v.Tenant, leaves, nil)
	if err != nil {
		return err
	}
	var other []Leaf
	for _, m := range matches {
		if m.State != Matched {
			other = append(other, m.Leaf)
		}
	}
	newer, err := v.newer(ctx, other)
	if err != nil {
		return err
	}
	var deleted map[uint64][]uuid.UUID
	for _, m := range matches {
		v.r.Checked++
		if m.State == Matched {
			v.r.Matched++
			if m.Mislabelled {
				v.leaf(m.Leaf, ProblemLeaf, "seal_leaves has another time or place for it than the row")
			}
			if m.Second {
				v.leaf(m.Leaf, ProblemAdded, "beside the row that was sealed there is another one with the same id and place")
			}
			continue
		}
		if newer[m.Index] {
			v.r.Superseded++
			continue
		}
		switch m.State {
		case Changed:
			v.leaf(m.Leaf, ProblemChanged, "the stored row is not what was sealed")
		case Reordered:
			v.leaf(m.Leaf, ProblemReordered, "the stored row has another place in the stream than when it was sealed")
		case Closed:
			v.leaf(m.Leaf, ProblemUnopened, "the row is there, its salt is not: it cannot be compared")
		default:
			if deleted == nil {
				if deleted, err = v.db.Deleted(ctx, v.Tenant, leaves[0].Index, leaves[len(leaves)-1].Index); err != nil {
					return err
				}
			}
			if slices.ContainsFunc(deleted[m.Index], func(record uuid.UUID) bool { return v.byRecord[record] }) {
				v.r.Deleted++
				if m.Salt != (Salt{}) {
					v.leaf(m.Leaf, ProblemDeletion, "the row was deleted, its salt is still there")
				}
				continue
			}
			v.leaf(m.Leaf, ProblemMissing, "the stored row is gone, and no record of a deletion covers it")
		}
	}
	return nil
}

// newer says of which leaves a later one is about the same event or finding, and its row is there.
func (v *verification) newer(ctx context.Context, leaves []Leaf) (map[uint64]bool, error) {
	later, err := v.later.Of(ctx, leaves)
	if err != nil || len(later) == 0 {
		return nil, err
	}
	asked := map[uint64]Leaf{}
	for _, of := range later {
		for _, x := range of {
			if h, err := v.tiles.Leaf(min(x.Index, v.cp.Size-1)); err == nil && x.Index < v.cp.Size && h == x.Hash {
				asked[x.Index] = x
			}
		}
	}
	list := slices.SortedFunc(maps.Values(asked), func(a, b Leaf) int { return cmp.Compare(a.Index, b.Index) })
	there := map[uint64]bool{}
	for len(list) > 0 {
		n := min(len(list), chunk)
		matches, err := v.db.Match(ctx, v.Tenant, list[:n], nil)
		if err != nil {
			return nil, err
		}
		for _, m := range matches {
			there[m.Index] = m.State == Matched
		}
		list = list[n:]
	}
	out := map[uint64]bool{}
	for index, of := range later {
		out[index] = slices.ContainsFunc(of, func(x Leaf) bool { return there[x.Index] })
	}
	return out, nil
}

// deletions checks the records of deletion: each is an audit event that is in the log itself, and says how many leaves it covers and which.
func (v *verification) deletions(ctx context.Context) error {
	v.byRecord = map[uuid.UUID]bool{}
	type set struct {
		n   uint64
		sum string
	}
	got := map[uuid.UUID]set{}
	var index proto.ColUInt64
	var record proto.ColUUID
	var cur uuid.UUID
	n, h := uint64(0), sha256.New()
	flush := func() {
		if n > 0 {
			got[cur] = set{n, hex.EncodeToString(h.Sum(nil))}
		}
		n = 0
		h.Reset()
	}
	var last uint64
	err := v.db.do(ctx, "read records of deletion", ch.Query{
		Body:   fmt.Sprintf("SELECT record_id, leaf_index FROM %s WHERE tenant = %s ORDER BY record_id, leaf_index", v.db.table("seal_deletions"), lit(v.Tenant)),
		Result: proto.Results{{Name: "record_id", Data: &record}, {Name: "leaf_index", Data: &index}},
		OnResult: func(context.Context, proto.Block) error {
			for i := range index {
				if record[i] != cur {
					flush()
					cur = record[i]
				} else if n > 0 && index[i] == last {
					continue
				}
				last = index[i]
				var b [8]byte
				binary.BigEndian.PutUint64(b[:], last)
				h.Write(b[:])
				n++
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	flush()
	for id, s := range got {
		leaves, err := v.db.LeavesOf(ctx, v.Tenant, id)
		if err != nil {
			return err
		}
		matches, err := v.db.Match(ctx, v.Tenant, leaves, &Keep{})
		if err != nil {
			return err
		}
		for _, m := range matches {
			leaf, err := v.tiles.Leaf(min(m.Index, v.cp.Size-1))
			if m.State != Matched || m.Index >= v.cp.Size || err != nil || leaf != m.Hash {
				continue
			}
			says, ok := readDeletion(m.Canonical)
			v.byRecord[id] = ok && says.leaves == fmt.Sprint(s.n) && says.sum == s.sum
		}
		if !v.byRecord[id] {
			v.note(Problem{What: ProblemDeletion, Kind: KindEvent, ID: id.String(), Detail: "seal_deletions does not agree with a sealed record of the deletion"})
		}
	}
	return nil
}

// added looks for rows of the period, up to where the log reaches, that no leaf is about.
func (v *verification) added(ctx context.Context) error {
	kept, err := v.db.Checkpoints(ctx, v.Tenant, fmt.Sprintf("size <= %d", v.cp.Size), 1)
	if err != nil {
		return err
	}
	for _, kind := range []string{KindEvent, KindFinding} {
		t := tableOf(kind)
		pos := uint64(0)
		if len(kept) > 0 {
			pos = kept[0].EventsSeq
			if kind == KindFinding {
				pos = kept[0].FindingsSeq
			}
		}
		ranges, err := v.ranges(ctx, t)
		if err != nil {
			return err
		}
		for _, in := range ranges {
			rows, err := v.db.Strings(ctx, "look for rows without a leaf", fmt.Sprintf(
				"SELECT concat(toString(%[1]s), ' ', toString(stream_seq)) AS x FROM %[2]s WHERE %[3]s AND %[4]s AND (%[1]s, stream_seq) NOT IN (SELECT id, stream_seq FROM %[5]s WHERE tenant = %[6]s AND kind = '%[7]s' AND %[8]s)",
				t.id, v.db.table(t.name), v.period(), in(t.id), v.db.table("seal_leaves"), lit(v.Tenant), kind, in("id")))
			if err != nil {
				return err
			}
			for _, row := range rows {
				id, seqText, _ := strings.Cut(row, " ")
				var seq uint64
				fmt.Sscan(seqText, &seq)
				if seq > pos {
					v.r.NotYetSealed++
					continue
				}
				if v.named(id) {
					continue // said already, as changed or reordered
				}
				p := Problem{What: ProblemAdded, Kind: kind, ID: id, Detail: "no leaf is about this row"}
				if seq == 0 {
					p.Detail = "no leaf is about this row; it did not come through a stream"
				}
				v.note(p)
			}
		}
	}
	return nil
}

// ranges divides the period into conditions, given the name of the id's column, that hold of about IDsAtOnce rows of a table or less: some hours, or a part of an hour that has more.
func (v *verification) ranges(ctx context.Context, t *table) (out []func(id string) string, err error) {
	hours, err := v.db.Strings(ctx, "count rows by hour", fmt.Sprintf("SELECT concat(toString(toUnixTimestamp(toStartOfHour(ts)) AS hour), ' ', toString(count())) AS x FROM %s WHERE %s GROUP BY hour ORDER BY hour",
		v.db.table(t.name), v.period()))
	if err != nil {
		return nil, err
	}
	var from, to int64 // of the range that is being made
	rows := uint64(0)
	end := func() {
		of := fmt.Sprintf("ts >= toDateTime64(%d, 9, 'UTC') AND ts < toDateTime64(%d, 9, 'UTC')", from, to)
		for part := range PartsByID("", rows) {
			n := rows
			out = append(out, func(id string) string { return of + " AND " + PartsByID(id, n)[part] })
		}
		rows = 0
	}
	for _, h := range hours {
		var hour int64
		var n uint64
		if _, err := fmt.Sscan(h, &hour, &n); err != nil {
			return nil, errors.New("cannot count rows by hour: ClickHouse's answer is not what was asked for")
		}
		if rows > 0 && rows+n > IDsAtOnce {
			end()
		}
		if rows == 0 {
			from = hour
		}
		rows, to = rows+n, hour+3600
	}
	if rows > 0 {
		end()
	}
	return out, nil
}

func (v *verification) named(id string) bool {
	for _, p := range v.r.Problems {
		if p.ID == id && (p.What == ProblemChanged || p.What == ProblemReordered) {
			return true
		}
	}
	return false
}

func (v *verification) period() string {
	return fmt.Sprintf("tenant = %s AND ts >= fromUnixTimestamp64Nano(%d, 'UTC') AND ts < fromUnixTimestamp64Nano(%d, 'UTC')", lit(v.Tenant), v.begin, v.end)
}

// unsealed counts the rows of a tenant that has no log yet.
func (v *verification) unsealed(ctx context.Context) error {
	for _, t := range []*table{eventsTable, findingsTable} {
		n, err := v.db.Strings(ctx, "count rows", fmt.Sprintf("SELECT count() AS x FROM %s WHERE %s", v.db.table(t.name), v.period()))
		if err != nil {
			return err
		}
		var c uint64
		fmt.Sscan(n[0], &c)
		v.r.NotYetSealed += c
	}
	return nil
}
