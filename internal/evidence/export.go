// Making a bundle: what is read is collected step by step, then packed; what leads to a checkpoint and what is computed from the store come after.

package evidence

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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

type exporter struct {
	Options
	db     *seal.DB
	a      *archive
	tiles  *seal.Tiles
	cp     seal.Checkpoint
	note   []byte
	later  *seal.Later
	w      *work
	stored uint64 // events of the period

	progress
	summary Summary
}

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
	if err := e.collect(ctx); err != nil {
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
