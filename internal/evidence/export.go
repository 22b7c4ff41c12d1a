// Making a bundle.

package evidence

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/schemas/compliance"
)

// Options of an export.
type Options struct {
	Tenant     string
	From, To   time.Time
	Framework  *compliance.Framework
	Control    string // only this one; empty for all
	Out        string // file; written beside it first and renamed
	Dir        string // of the logs
	Key        *seal.Key
	Now        time.Time
	ExportedBy string
	RecordID   string // of the audit event
	Version    string
	Progress   func(done, total uint64)
	Resume     bool               // go on with an export that was cut off, if there is one: Now, ExportedBy and RecordID are then those of its beginning
	Crash      func(point string) // for tests: called at named points, may panic
}

const maxHistory = 200 // checkpoints

// chunk is how many leaves are done in one step.
var chunk uint64 = 50_000

// maxBytes is how long the bodies of the rows that are held at once may be together.
var maxBytes uint64 = 64 << 20

type exporter struct {
	Options
	db    *seal.DB
	a     *archive
	tiles *seal.Tiles
	cp    seal.Checkpoint
	note  []byte
	later *seal.Later
	w     *work

	progress
	summary Summary
}

// Summary is what the report shows.
type Summary struct {
	Manifest   Manifest
	Coverage   *seal.Coverage
	Framework  *compliance.Framework
	Controls   []compliance.Control
	ByDay      []Count
	ByServer   []Count
	ByOutcome  []Count
	BySeverity []Count
	Redactions []Count
	Samples    []Sample
	Exceptions []Exception // the first of them
	Anchors    []Vouched
}

// Vouched is who says that everything in the bundle was sealed by when.
type Vouched struct{ Kind, Name, At string }

// Count is a bar of a chart.
type Count struct {
	Name string `json:"name"`
	N    uint64 `json:"n"`
}

// Sample is an event as the report shows it.
type Sample struct{ Time, ID, Principal, Server, Tool, Outcome string }

// Exception is a leaf of the period whose row is not in the bundle.
type Exception struct {
	Leaf            uint64
	Kind, ID, State string
}

// Export writes a bundle and returns its manifest. The file is there only if it is complete.
func Export(ctx context.Context, db *seal.DB, o Options) (*Manifest, error) {
	e := &exporter{Options: o, db: db}
	if err := e.open(); err != nil {
		return nil, err
	}
	old, err := loadProgress(o.Out)
	switch {
	case err != nil:
		return nil, err
	case old != nil && !o.Resume:
		return nil, fmt.Errorf("%w: go on with it (--resume), or remove %s", ErrCutOff, workDir(o.Out))
	case old != nil:
		if err := e.resume(old); err != nil {
			return nil, err
		}
	}
	if e.w, err = openWork(o.Out, &e.progress); err != nil {
		return nil, err
	}
	done := false
	defer func() {
		if done || e.Sizes == nil { // nothing was done yet that would be worth going on with
			e.w.remove()
		} else {
			e.w.close()
		}
	}()
	if err := e.rows(ctx); err != nil {
		return nil, err
	}
	part := o.Out + ".part"
	if e.a, err = newArchive(part); err != nil {
		return nil, err
	}
	defer os.Remove(part)
	if err := e.write(ctx); err != nil {
		e.a.f.Close()
		return nil, err
	}
	if err := e.a.close(func(sha string) ([]byte, error) { return o.Key.SignText(o.Tenant, statement("file", sha)) }); err != nil {
		return nil, err
	}
	e.crash("before rename")
	if err := os.Rename(part, o.Out); err != nil {
		return nil, fmt.Errorf("cannot write the bundle: %w", err)
	}
	done = true
	return &e.Manifest, nil
}

func (e *exporter) crash(point string) {
	if e.Crash != nil {
		e.Crash(point)
	}
}

// resume goes back to where an export was cut off: its checkpoint and times, so that the bundle is what it would have been.
func (e *exporter) resume(old *progress) error {
	if err := old.same(&e.Manifest, e.cp); err != nil {
		return err
	}
	cp, err := seal.OpenCheckpoint(old.Note, e.Key.Trust(e.Tenant))
	if err != nil {
		return err
	}
	e.progress, e.cp, e.note = *old, cp, old.Note
	tiles := seal.NewTiles(filepath.Join(e.Dir, seal.FolderOf(e.Tenant)), cp.Size)
	if root, err := tiles.Root(); err != nil || root != cp.Root {
		return errors.New("cannot continue: the log is not the one that the export was begun from (see `mcpsiem audit verify`)")
	}
	e.tiles, e.later = tiles, e.db.NewLater(e.Tenant, cp.Size)
	return nil
}

func (e *exporter) open() error {
	dir := filepath.Join(e.Dir, seal.FolderOf(e.Tenant))
	var err error
	e.note, err = os.ReadFile(filepath.Join(dir, "checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot export evidence: nothing of this tenant is sealed in %s", e.Dir)
	}
	if err != nil {
		return fmt.Errorf("cannot read the log's checkpoint: %w", err)
	}
	if e.cp, err = seal.OpenCheckpoint(e.note, e.Key.Trust(e.Tenant)); err != nil {
		return err
	}
	e.later = e.db.NewLater(e.Tenant, e.cp.Size)
	e.tiles = seal.NewTiles(dir, e.cp.Size)
	if root, err := e.tiles.Root(); err != nil || root != e.cp.Root {
		return errors.New("cannot export evidence: the log's tiles are not those of its checkpoint (see `mcpsiem audit verify`)")
	}
	e.Manifest = Manifest{
		Format: Format, Tenant: e.Tenant, From: e.From.UTC().Format(time.RFC3339Nano), To: e.To.UTC().Format(time.RFC3339Nano), Framework: e.Framework.ID, Control: e.Control,
		CreatedAt: e.Now.UTC().Format(time.RFC3339), ExportedBy: e.ExportedBy, RecordID: e.RecordID, ToolVersion: e.Version, CanonicalVersion: seal.CanonicalVersion,
		Origin: e.cp.Origin, TreeSize: e.cp.Size, RootHash: hex.EncodeToString(e.cp.Root[:]),
	}
	e.Note = e.note
	if e.Control != "" && !slices.Contains(e.Framework.ControlIDs(), e.Control) {
		return fmt.Errorf("cannot export evidence: %s has no control of this name; it has %s", e.Framework.ID, strings.Join(e.Framework.ControlIDs(), ", "))
	}
	return nil
}

func (e *exporter) write(ctx context.Context) error {
	if err := e.records(); err != nil {
		return err
	}
	e.crash("records")
	if err := e.log(ctx); err != nil {
		return err
	}
	if err := e.tables(ctx); err != nil {
		return err
	}
	if err := e.controls(); err != nil {
		return err
	}
	if err := e.report(); err != nil {
		return err
	}
	e.Manifest.Files = slices.Clone(e.a.files)
	slices.SortFunc(e.Manifest.Files, func(a, b FileInfo) int { return cmp.Compare(a.Name, b.Name) })
	b, err := json.MarshalIndent(e.Manifest, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if err := e.a.add(fileManifest, b); err != nil {
		return err
	}
	sum := seal.Digest(b)
	sig, err := e.Key.SignText(e.Tenant, statement("manifest", hex.EncodeToString(sum[:])))
	if err != nil {
		return err
	}
	return e.a.add(fileSignature, sig)
}

// cells of events.csv and findings.csv.
var (
	eventCells   = []string{"ts", "event_id", "event_name", "principal_id", "principal_verified", "client_name", "server", "tool", "method", "kind", "outcome", "duration_ns", "data_classes", "capture", "audit_action"}
	findingCells = []string{"ts", "finding_id", "rule_id", "severity", "status", "triaged_by", "title", "principal_id", "server", "tool", "count", "revision"}
)

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

// records writes what rows has read to the bundle.
func (e *exporter) records() error {
	if err := e.gap(e.Next, e.cp.Size); err != nil {
		return err
	}
	for i, s := range e.Segments { // of the leaves
		if s.Roots == nil {
			if e.Manifest.LastLeaf == 0 {
				e.Manifest.FirstLeaf = e.Segments[i].From
			}
			e.Manifest.LastLeaf = s.To - 1
		}
	}
	e.summary.Samples, e.summary.Exceptions = e.Samples, e.Bad
	for _, x := range []struct{ name, from string }{{fileEvents, workEvents}, {fileEventLeafs, workEventLeafs}, {fileFindings, workFindings}, {fileFindLeafs, workFindLeafs}} {
		if err := e.copy(x.name, x.from); err != nil {
			return err
		}
	}
	for _, x := range []struct {
		csv, parquet, from string
		cells              []string
	}{{fileEventsCSV, fileEventsParquet, workEventCells, eventCells}, {fileFindCSV, fileFindParquet, workFindCells, findingCells}} {
		if err := e.cells(x.csv, x.parquet, x.from, x.cells); err != nil {
			return err
		}
	}
	if err := e.copy(fileExceptions, workExceptions); err != nil {
		return err
	}
	return e.copy(fileHashes, workHashes)
}

func (e *exporter) copy(name, from string) error {
	r, done, err := e.w.read(from)
	if err != nil {
		return err
	}
	defer done()
	return e.a.addReader(name, r)
}

// cells writes the main columns, as CSV for spreadsheets and as Parquet.
func (e *exporter) cells(csvName, parquetName, from string, names []string) error {
	each := func(f func(cells []string) error) error {
		r, done, err := e.w.read(from)
		if err != nil {
			return err
		}
		defer done()
		rd := bufio.NewReaderSize(r, 1<<18)
		cells := make([]string, len(names)+1)
		for {
			err := readCells(rd, cells)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := f(cells); err != nil {
				return err
			}
		}
	}
	out, done, err := e.a.create(csvName)
	if err != nil {
		return err
	}
	w := csv.NewWriter(out)
	_ = w.Write(append([]string{"leaf_index"}, names...))
	if err := each(func(cells []string) error { return w.Write(safeCells(cells)) }); err != nil {
		return err
	}
	if w.Flush(); w.Error() != nil {
		return fmt.Errorf("cannot write the bundle: %w", w.Error())
	}
	done()
	if out, done, err = e.a.create(parquetName); err != nil {
		return err
	}
	t := newTable(out, names)
	if err := each(t.add); err != nil {
		return err
	}
	if err := t.close(); err != nil {
		return err
	}
	done()
	return nil
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

// formula is what a spreadsheet could take for the beginning of a formula: at the beginning of a cell, or after what separates cells where the list separator is
// another one than the comma; also in the wide forms that East Asian versions read.
var formula = regexp.MustCompile(formulaSQL)

const formulaSQL = `(^|[;|\t\r\n])([\x00-\x08\x0b\x0c\x0e-\x20\x{a0}\x{feff}"']*[=+@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}-])`

// safeCell keeps a spreadsheet from taking what others wrote as a formula: an apostrophe comes before it.
func safeCell(c string) string {
	if c == "" || (c[0] >= '0' && c[0] <= '9' || c[0]|0x20 >= 'a' && c[0]|0x20 <= 'z') && !strings.ContainsAny(c, ";|\t\r\n") {
		return c
	}
	if _, err := strconv.ParseFloat(c, 64); err == nil {
		return c
	}
	return formula.ReplaceAllString(c, "$1'$2")
}

func safeCells(cells []string) []string {
	for i, c := range cells {
		cells[i] = safeCell(c)
	}
	return cells
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

func (e *exporter) json(name string, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return e.a.add(name, b.Bytes())
}

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

// period is the condition for a table's rows.
func (e *exporter) period(column string) string {
	return fmt.Sprintf("tenant = %s AND %s", seal.Literal(e.Tenant), e.between(column))
}

func (e *exporter) between(column string) string {
	return fmt.Sprintf("%[1]s >= fromUnixTimestamp64Nano(%[2]d, 'UTC') AND %[1]s < fromUnixTimestamp64Nano(%[3]d, 'UTC')", column, e.From.UnixNano(), e.To.UnixNano())
}

// csv writes the result of a query: a header, then its rows, each made to CSV by ClickHouse.
func (e *exporter) csv(ctx context.Context, name, header, query string) error {
	rows, err := e.db.Strings(ctx, "read for "+name, "SELECT formatRowNoNewline('CSV', r.*) AS x FROM ("+query+") AS r")
	if err != nil {
		return err
	}
	return e.a.add(name, []byte(header+"\n"+strings.Join(append(rows, ""), "\n")))
}

func (e *exporter) counts(ctx context.Context, query string) ([]Count, error) {
	rows, err := e.db.Strings(ctx, "count for the report", "SELECT concat(toString(n), ' ', toString(name)) AS x FROM ("+query+")")
	if err != nil {
		return nil, err
	}
	out := []Count{}
	for _, r := range rows {
		n, name, _ := strings.Cut(r, " ")
		c := Count{Name: name}
		c.N, _ = strconv.ParseUint(n, 10, 64)
		out = append(out, c)
	}
	return out, nil
}

// tables writes what the store knows beside the rows themselves: they are derived from it at the time of the export, and the leaves do not vouch for them.
func (e *exporter) tables(ctx context.Context) error {
	ev, fi := e.db.Table("events"), e.db.Table("findings")
	guard := func(c string) string { // what others wrote must not become a formula in a spreadsheet
		return fmt.Sprintf("replaceRegexpAll(toString(%[1]s), %[2]s, '\\\\1\\'\\\\2') AS %[3]s_", c, seal.Literal(formulaSQL), strings.NewReplacer("(", "_", ")", "").Replace(c))
	}
	g := func(columns ...string) string {
		for i, c := range columns {
			columns[i] = guard(c)
		}
		return strings.Join(columns, ", ")
	}
	tables := []struct{ name, header, query string }{
		{fileAudit, "time,event_id,actor,actor_kind,verified,action,target,outcome,details", "SELECT ts, event_id, " + g("principal_id", "principal_kind") + ", principal_verified, " + g("audit_action", "audit_target", "outcome", "toJSONString(audit_details)") +
			" FROM " + ev + " FINAL WHERE audit_action != '' AND " + e.period("ts") + " ORDER BY ts, event_id"},
		{fileAccess, "principal,kind,issuer,method,verified,client,server,tool,calls,failed,first,last", "SELECT " + g("principal_id", "principal_kind", "principal_issuer", "principal_method") + ", principal_verified, " + g("client_name", "server", "tool") +
			", uniqExactIf(event_id, kind = 'request') AS calls, uniqExactIf(event_id, kind IN ('response', 'error') AND outcome NOT IN ('', 'ok', 'input_required')) AS failed, min(ts), max(ts) FROM " + ev +
			" WHERE audit_action = '' AND " + e.period("ts") + " GROUP BY principal_id, principal_kind, principal_issuer, principal_method, principal_verified, client_name, server, tool ORDER BY principal_id, server, tool, client_name, principal_kind, principal_issuer, principal_method, principal_verified"},
		{fileInventory, "server,tool,definition_sha256,tokens,first_seen,last_seen", "SELECT " + g("server", "tool") + ", definition_hash, max(tokens), min(first_seen) AS f, max(last_seen) AS l FROM " + e.db.Table("tool_catalogue") +
			" WHERE tenant = " + seal.Literal(e.Tenant) + " GROUP BY server, tool, definition_hash HAVING f < fromUnixTimestamp64Nano(" + fmt.Sprint(e.To.UnixNano()) + ", 'UTC') ORDER BY server, tool, f, definition_hash"},
		{fileDeletions, "leaf_index,record_id,deleted_at", "SELECT leaf_index, record_id, deleted_at FROM " + e.db.Table("seal_deletions") + " FINAL WHERE " + e.period("deleted_at") + " ORDER BY record_id, leaf_index"},
		{fileRetention, "time,event_id,actor,action,target,outcome,details", "SELECT ts, event_id, " + g("principal_id", "audit_action", "audit_target", "outcome", "toJSONString(audit_details)") + " FROM " + ev +
			" FINAL WHERE (audit_action LIKE 'retention.%' OR audit_action LIKE 'hold.%' OR audit_action LIKE 'subject.%' OR audit_action LIKE 'key.%') AND " + e.period("ts") + " ORDER BY ts, event_id"},
	}
	for _, t := range tables {
		if err := e.csv(ctx, t.name, t.header, t.query); err != nil {
			return err
		}
	}
	var err error
	if e.summary.Coverage, err = seal.ReadCoverage(ctx, e.db, e.Tenant, e.From, e.To); err != nil {
		return err
	}
	if err := e.json(fileCoverage, e.summary.Coverage); err != nil {
		return err
	}
	for _, c := range []struct {
		to    *[]Count
		query string
	}{
		{&e.summary.ByDay, "SELECT toDate(ts) AS name, uniqExact(event_id) AS n FROM " + ev + " WHERE " + e.period("ts") + " GROUP BY name ORDER BY name"},
		{&e.summary.ByServer, "SELECT server AS name, uniqExact(event_id) AS n FROM " + ev + " WHERE server != '' AND " + e.period("ts") + " GROUP BY name ORDER BY n DESC, name LIMIT 12"},
		{&e.summary.ByOutcome, "SELECT outcome AS name, uniqExact(event_id) AS n FROM " + ev + " WHERE outcome != '' AND " + e.period("ts") + " GROUP BY name ORDER BY n DESC, name LIMIT 12"},
		{&e.summary.BySeverity, "SELECT severity AS name, uniqExact(finding_id) AS n FROM " + fi + " WHERE " + e.period("ts") + " GROUP BY name ORDER BY n DESC, name"},
		{&e.summary.Redactions, "SELECT k AS name, toUInt64(sum(v)) AS n FROM " + ev + " FINAL ARRAY JOIN mapKeys(redactions) AS k, mapValues(redactions) AS v WHERE " + e.period("ts") + " GROUP BY name ORDER BY n DESC, name LIMIT 30"},
	} {
		if *c.to, err = e.counts(ctx, c.query); err != nil {
			return err
		}
	}
	return e.redaction(ctx)
}

// redaction writes what shows that raw content is not kept: how much was removed, by class, and that no row has what only raw events have.
func (e *exporter) redaction(ctx context.Context) error {
	one := func(query string) (uint64, error) {
		rows, err := e.db.Strings(ctx, "count redactions", query)
		if err != nil || len(rows) != 1 {
			return 0, err
		}
		return strconv.ParseUint(rows[0], 10, 64)
	}
	type result struct {
		ByClass       []Count  `json:"redactions_by_class"`
		WithRedaction uint64   `json:"events_with_redactions"`
		Withheld      uint64   `json:"events_withheld"`
		RawAttributes uint64   `json:"events_with_raw_attributes"` // 0, or redaction failed
		Sample        []string `json:"sample_event_ids"`           // of events with redactions; their bodies are in events.ndjson
	}
	r := result{ByClass: e.summary.Redactions}
	ev := e.db.Table("events")
	var err error
	for _, q := range []struct {
		to   *uint64
		cond string
	}{{&r.WithRedaction, "notEmpty(redactions)"}, {&r.Withheld, "capture = 'withheld'"}, {&r.RawAttributes, "arrayExists(k -> startsWith(k, 'mcpsiem.raw.'), mapKeys(extra))"}} {
		if *q.to, err = one("SELECT uniqExact(event_id) AS x FROM " + ev + " WHERE " + q.cond + " AND " + e.period("ts")); err != nil {
			return err
		}
	}
	if r.Sample, err = e.db.Strings(ctx, "sample redactions", "SELECT DISTINCT event_id AS x FROM "+ev+" WHERE notEmpty(redactions) AND "+e.period("ts")+" ORDER BY x LIMIT 25"); err != nil {
		return err
	}
	if r.Sample == nil {
		r.Sample = []string{}
	}
	return e.json(fileRedaction, r)
}

func (e *exporter) controls() error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"framework", "control", "title", "file", "supports_evidence_for"})
	for _, c := range e.Framework.Controls {
		if e.Control != "" && c.ID != e.Control {
			continue
		}
		e.summary.Controls = append(e.summary.Controls, c)
		for _, s := range c.Supports {
			_ = w.Write([]string{e.Framework.ID, c.ID, c.Title, s.File, s.What})
		}
	}
	w.Flush()
	return e.a.add(fileControls, b.Bytes())
}

func (e *exporter) report() error {
	e.summary.Manifest, e.summary.Framework = e.Manifest, e.Framework
	html, err := reportHTML(&e.summary)
	if err != nil {
		return err
	}
	if err := e.a.add(fileHTML, html); err != nil {
		return err
	}
	pdf, err := reportPDF(&e.summary)
	if err != nil {
		return err
	}
	if err := e.a.add(filePDF, pdf); err != nil {
		return err
	}
	return e.a.add(fileVerify, []byte(verifyText(&e.Manifest)))
}

func timeText(ns int64) string {
	if ns < 0 || ns == math.MaxInt64 {
		return ""
	}
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05.000")
}
