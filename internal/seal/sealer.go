// The sealer: takes what was stored since the last time, once, and makes leaves of it.
//
// One step is: read rows; write the batch (leaves, salts, what comes after) to the file `pending` - from here on it will happen, with these
// salts, whatever comes between; insert leaves and salts; write tiles; write the signed checkpoint; insert that; write the new positions; remove `pending`.
// Each of these, done again, changes nothing, and a step that was cut off is finished before another begins.

package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Bound says how far rows of a stream can be sealed.
type Bound struct {
	Created time.Time // of the stream: sequences of another one mean nothing
	Floor   uint64    // every message up to here is stored or given up
}

// Position is how far a stream is sealed.
type Position struct {
	Created int64  `json:"created"` // ns since 1970
	Seq     uint64 `json:"seq"`
}

// ErrRollback means that the log on disk is older than, or another one than, what was signed before. Nothing is signed until a person
// has looked: a log that forgets is what the seal exists to show.
var ErrRollback = errors.New("the log was rolled back")

// Sealer seals the rows of a store in the logs of a folder. One process at a time holds the folder. Not for concurrent use.
type Sealer struct {
	Dir     string
	Key     *Key
	DB      *DB
	MaxRows int // in one step; 0 is 20,000
	Now     func() time.Time
	Crash   func(point string) // for tests: called at named points, may panic

	positions map[string]Position // by stream
	logs      map[string]*tenantLog
	lock      *os.File
}

type tenantLog struct {
	tree *Tree
	last Checkpoint
}

// Batch is one step, as `pending` holds it.
type batch struct {
	Positions map[string]Position
	Logs      []logBatch
}

type logBatch struct {
	Tenant   string
	First    uint64 // index of the first leaf
	Leaves   []Leaf
	Root     Hash // after it
	SignedAt time.Time
	Content  bool // there is more in it than records of checkpoints
}

// Sealed is what a step did for a tenant.
type Sealed struct {
	Tenant     string
	Leaves     int
	Content    bool // there is more in it than records of checkpoints
	Checkpoint SignedCheckpoint
}

const maxBytes = 64 << 20 // of bodies in one step

func (s *Sealer) crash(point string) {
	if s.Crash != nil {
		s.Crash(point)
	}
}

// Open takes the folder, finishes a step that was cut off, and checks that what is on disk is what was signed last.
func (s *Sealer) Open(ctx context.Context) ([]Sealed, error) {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.MaxRows == 0 {
		s.MaxRows = 20_000
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the seal: %w", err)
	}
	if err := s.takeLock(); err != nil {
		return nil, err
	}
	s.logs, s.positions = map[string]*tenantLog{}, map[string]Position{}
	b, err := os.ReadFile(filepath.Join(s.Dir, "positions.json"))
	if err == nil {
		err = json.Unmarshal(b, &s.positions)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the seal's positions: %s is damaged or unreadable", filepath.Join(s.Dir, "positions.json"))
	}
	var p batch
	b, err = os.ReadFile(filepath.Join(s.Dir, "pending"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot read the seal's pending step: %w", err)
	}
	if len(b) < HashSize || sha256.Sum256(b[HashSize:]) != Hash(b[:HashSize]) || gob.NewDecoder(bytes.NewReader(b[HashSize:])).Decode(&p) != nil {
		return nil, fmt.Errorf("cannot finish the seal's pending step: %s is damaged", filepath.Join(s.Dir, "pending"))
	}
	return s.finish(ctx, &p)
}

// Close gives the folder up.
func (s *Sealer) Close() {
	if s.lock != nil {
		s.lock.Close()
		s.lock = nil
	}
}

// Positions returns how far each stream is sealed.
func (s *Sealer) Positions() map[string]Position { return s.positions }

// log opens a tenant's log and checks it against what was signed, on disk and in the store. known is the size up to which the store may be
// ahead of the disk, since a step is being done again.
func (s *Sealer) log(ctx context.Context, tenant string, known uint64) (*tenantLog, error) {
	if l := s.logs[tenant]; l != nil {
		return l, nil
	}
	dir := filepath.Join(s.Dir, FolderOf(tenant))
	l := &tenantLog{last: Checkpoint{Origin: s.Key.Origin(tenant), Root: EmptyRoot}}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err == nil {
		if l.last, err = OpenCheckpoint(signed, s.Key.Trust(tenant)); err != nil {
			return nil, fmt.Errorf("%w: the last checkpoint in %s is not one of this installation's key: %w", ErrRollback, dir, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the last checkpoint: %w", err)
	}
	if l.tree, err = OpenTree(dir, l.last.Size); err != nil {
		return nil, fmt.Errorf("%w: tiles are missing in %s: %w", ErrRollback, dir, err)
	}
	if root, err := l.tree.Root(); err != nil || root != l.last.Root {
		return nil, fmt.Errorf("%w: the tiles in %s are not those of the last checkpoint, of size %d", ErrRollback, dir, l.last.Size)
	}
	kept, err := s.DB.Checkpoints(ctx, tenant, "", 1)
	if err != nil {
		return nil, err
	}
	for _, c := range kept {
		if c.Checkpoint.Size > max(l.last.Size, known) {
			return nil, fmt.Errorf("%w: %s ends at %d, but a checkpoint of %d was signed on %s (restore the folder, or see docs/audit-trail.md)",
				ErrRollback, dir, l.last.Size, c.Checkpoint.Size, c.SignedAt.Format(time.RFC3339))
		}
	}
	if l.last.Size == 0 {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the folder of a log: %w", err)
		}
		if err := replaceFile(filepath.Join(dir, "key.pub"), []byte(s.Key.Trust(tenant)+"\n")); err != nil {
			return nil, err
		}
	} else if _, err := OpenCheckpoint(signed, s.Key.VerifierKey(tenant)); err != nil { // of a key before: a rotation was cut off
		if err := s.signAgain(dir, l.last); err != nil {
			return nil, err
		}
	}
	s.logs[tenant] = l
	return l, nil
}

// Step seals what was stored of a kind's stream up to the bound, at most MaxRows rows or a message. It says whether there is likely more.
func (s *Sealer) Step(ctx context.Context, kind string, b Bound) (done []Sealed, more bool, err error) {
	if s.positions == nil { // a step failed half-way: it comes first
		done, err = s.Open(ctx)
		return done, err == nil, err
	}
	t := tableOf(kind)
	pos := s.positions[t.stream]
	if created := b.Created.UnixNano(); pos.Created != created {
		pos = Position{Created: created}
	}
	if b.Floor <= pos.Seq {
		return nil, false, nil
	}
	spans, err := s.DB.spans(ctx, kind, pos.Seq, b.Floor, s.MaxRows)
	if err != nil {
		return nil, false, err
	}
	to := b.Floor
	var rows, size uint64
	for i, sp := range spans {
		if i > 0 && (rows+sp.rows > uint64(s.MaxRows) || size+sp.bytes > maxBytes) {
			to, more = spans[i-1].seq, true
			break
		}
		rows, size = rows+sp.rows, size+sp.bytes
		if i == s.MaxRows-1 {
			to, more = sp.seq, true
		}
	}
	p := &batch{Positions: map[string]Position{}}
	for k, v := range s.positions {
		p.Positions[k] = v
	}
	p.Positions[t.stream] = Position{Created: pos.Created, Seq: to}
	if rows == 0 {
		return nil, more, s.savePositions(p.Positions)
	}
	if p.Logs, err = s.prepare(ctx, kind, pos.Seq, to); err != nil {
		return nil, false, err
	}
	if len(p.Logs) == 0 {
		return nil, more, s.savePositions(p.Positions)
	}
	s.crash("before pending")
	if err := s.savePending(p); err != nil {
		return nil, false, err
	}
	s.crash("after pending")
	done, err = s.finish(ctx, p)
	return done, more, err
}

type candidate struct {
	Leaf
	digest Hash
	anchor bool
}

// prepare reads rows and makes leaves of those that have none: the trees in memory are not changed.
func (s *Sealer) prepare(ctx context.Context, kind string, from, to uint64) ([]logBatch, error) {
	byTenant := map[string][]candidate{}
	err := s.DB.Rows(ctx, kind, fmt.Sprintf("stream_seq > %d AND stream_seq <= %d", from, to), "", func(r *Row) error {
		byTenant[r.Tenant] = append(byTenant[r.Tenant], candidate{
			Leaf:   Leaf{Kind: kind, ID: r.ID, Time: r.Time, StreamSeq: r.StreamSeq, Version: CanonicalVersion},
			digest: Digest(r.Canonical), anchor: r.Anchor,
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	tenants := make([]string, 0, len(byTenant))
	for t := range byTenant {
		tenants = append(tenants, t)
	}
	slices.Sort(tenants)
	var out []logBatch
	for _, tenant := range tenants {
		c := byTenant[tenant]
		// The order of the log: by place in the stream, then by id.
		slices.SortFunc(c, func(a, b candidate) int {
			if a.StreamSeq != b.StreamSeq {
				return map[bool]int{true: -1, false: 1}[a.StreamSeq < b.StreamSeq]
			}
			if x := bytes.Compare(a.ID[:], b.ID[:]); x != 0 {
				return x
			}
			return bytes.Compare(a.digest[:], b.digest[:])
		})
		c = slices.CompactFunc(c, func(a, b candidate) bool { return a.ID == b.ID && a.digest == b.digest })
		if c, err = s.without(ctx, tenant, kind, c); err != nil {
			return nil, err
		}
		if len(c) == 0 {
			continue
		}
		l, err := s.log(ctx, tenant, 0)
		if err != nil {
			return nil, err
		}
		b := logBatch{Tenant: tenant, First: l.tree.Size(), Leaves: make([]Leaf, len(c)), SignedAt: s.Now().UTC().Truncate(time.Millisecond)}
		salts := make([]byte, SaltSize*len(c))
		rand.Read(salts)
		for i := range c {
			leaf := c[i].Leaf
			leaf.Index = b.First + uint64(i)
			leaf.Salt = Salt(salts[SaltSize*i:])
			leaf.Hash = LeafHash(leaf.Salt, c[i].digest)
			b.Leaves[i] = leaf
			b.Content = b.Content || !c[i].anchor
		}
		out = append(out, b)
	}
	return out, nil
}

// without removes what is sealed already, with the same content.
func (s *Sealer) without(ctx context.Context, tenant, kind string, c []candidate) ([]candidate, error) {
	ids := make([]uuid.UUID, 0, len(c))
	from, to := c[0].Time, c[0].Time
	for _, x := range c {
		ids = append(ids, x.ID)
		from, to = min(from, x.Time), max(to, x.Time)
	}
	old, err := s.DB.sealedBefore(ctx, tenant, kind, ids, from, to)
	if err != nil || len(old) == 0 {
		return c, err
	}
	byID := map[uuid.UUID][]Leaf{}
	for _, l := range old {
		byID[l.ID] = append(byID[l.ID], l)
	}
	return slices.DeleteFunc(c, func(x candidate) bool {
		return slices.ContainsFunc(byID[x.ID], func(l Leaf) bool { return l.Hash == LeafHash(l.Salt, x.digest) })
	}), nil
}

func (s *Sealer) savePending(p *batch) error {
	// The roots are part of it, so that a step that is done again must come out the same.
	for i := range p.Logs {
		b := &p.Logs[i]
		l := s.logs[b.Tenant]
		root, err := l.tree.rootWith(b.Leaves)
		if err != nil {
			return err
		}
		b.Root = root
	}
	var buf bytes.Buffer
	buf.Write(make([]byte, HashSize))
	if err := gob.NewEncoder(&buf).Encode(p); err != nil {
		return fmt.Errorf("cannot write the seal's pending step: %w", err)
	}
	sum := sha256.Sum256(buf.Bytes()[HashSize:])
	copy(buf.Bytes(), sum[:])
	return replaceFile(filepath.Join(s.Dir, "pending"), buf.Bytes())
}

func (s *Sealer) savePositions(p map[string]Position) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(s.Dir, "positions.json"), append(b, '\n')); err != nil {
		return err
	}
	s.positions = p
	return nil
}

// finish does what `pending` says, from the beginning. After an error, memory may be ahead of the disk: it is forgotten.
func (s *Sealer) finish(ctx context.Context, p *batch) (done []Sealed, err error) {
	defer func() {
		if err != nil {
			s.logs = map[string]*tenantLog{}
			s.positions = nil // Step must not go on before Open
		}
	}()
	for i := range p.Logs {
		b := &p.Logs[i]
		c, err := s.finishLog(ctx, b, p.Positions)
		if err != nil {
			return nil, err
		}
		done = append(done, Sealed{Tenant: b.Tenant, Leaves: len(b.Leaves), Content: b.Content, Checkpoint: c})
	}
	s.crash("before positions")
	if err := s.savePositions(p.Positions); err != nil {
		return nil, err
	}
	s.crash("after positions")
	if err := os.Remove(filepath.Join(s.Dir, "pending")); err != nil {
		return nil, fmt.Errorf("cannot end the seal's pending step: %w", err)
	}
	s.crash("after removal")
	return done, syncDir(s.Dir)
}

func (s *Sealer) finishLog(ctx context.Context, b *logBatch, pos map[string]Position) (c SignedCheckpoint, err error) {
	end := b.First + uint64(len(b.Leaves))
	l, err := s.log(ctx, b.Tenant, end)
	if err != nil {
		return c, err
	}
	c = SignedCheckpoint{Tenant: b.Tenant, Checkpoint: Checkpoint{Origin: l.last.Origin, Size: end, Root: b.Root}, SignedAt: b.SignedAt,
		EventsSeq: pos[eventsTable.stream].Seq, FindingsSeq: pos[findingsTable.stream].Seq}
	token := sha256.Sum256(fmt.Appendf(nil, "%s %d %x", l.last.Origin, b.First, b.Root))
	if err := s.DB.insertLeaves(ctx, b.Tenant, b.Leaves, hex.EncodeToString(token[:16])); err != nil {
		return c, err
	}
	s.crash("after leaves")
	switch l.tree.Size() {
	case b.First:
		for i := range b.Leaves {
			if err := l.tree.Append(b.Leaves[i].Hash); err != nil {
				return c, fmt.Errorf("cannot extend a log: %w", err)
			}
		}
	case end: // the checkpoint was written before the cut
	default:
		return c, fmt.Errorf("%w: the log of the pending step ends at %d, not at %d", ErrRollback, l.tree.Size(), b.First)
	}
	if root, err := l.tree.Root(); err != nil || root != b.Root {
		return c, fmt.Errorf("%w: the pending step does not lead to the root that it should", ErrRollback)
	}
	dir := filepath.Join(s.Dir, FolderOf(b.Tenant))
	if err := l.tree.Flush(); err != nil {
		return c, err
	}
	s.crash("after tiles")
	if c.Note, err = s.Key.Sign(b.Tenant, c.Checkpoint); err != nil {
		return c, err
	}
	if err := replaceFile(filepath.Join(dir, "checkpoint"), c.Note); err != nil {
		return c, err
	}
	s.crash("after checkpoint")
	l.last = c.Checkpoint
	l.tree.Tidy()
	if err := s.DB.insertCheckpoint(ctx, c); err != nil {
		return c, err
	}
	s.crash("after checkpoint row")
	return c, nil
}

// rootWith is the root that the tree would have with more leaves.
func (t *Tree) rootWith(leaves []Leaf) (Hash, error) {
	r, err := ranges.NewRange(0, t.Size(), slices.Clone(t.rng.Hashes()))
	if err != nil {
		return Hash{}, err
	}
	for i := range leaves {
		if err := r.Append(leaves[i].Hash[:], nil); err != nil {
			return Hash{}, err
		}
	}
	root, err := r.GetRootHash(nil)
	return Hash(root), err
}
