// Anchors: copies of checkpoints outside.

package seal

import (
	"bytes"
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
)

// anchors knows which checkpoints are to be sent. A checkpoint over nothing but records of checkpoints is not: it would make
// the next one necessary.
type anchors struct {
	cfg     AnchorConfig
	pending map[string]seal.SignedCheckpoint
	last    map[string]time.Time
}

func newAnchors(cfg AnchorConfig) (anchors, error) {
	a := anchors{cfg: cfg, pending: map[string]seal.SignedCheckpoint{}, last: map[string]time.Time{}}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return a, fmt.Errorf("cannot make the folder of anchors.dir: %w", err)
		}
	}
	return a, nil
}

func (a *anchors) note(d seal.Sealed) {
	if _, waiting := a.pending[d.Tenant]; waiting || d.Content {
		a.pending[d.Tenant] = d.Checkpoint
	}
}

// due lists what is to be sent now, by tenant.
func (a *anchors) due(now time.Time, every time.Duration) (out []seal.SignedCheckpoint) {
	for t, c := range a.pending {
		if now.Sub(a.last[t]) >= every {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(x, y seal.SignedCheckpoint) int { return strings.Compare(x.Tenant, y.Tenant) })
	return out
}

func (a *anchors) sent(c seal.SignedCheckpoint, now time.Time) {
	delete(a.pending, c.Tenant)
	a.last[c.Tenant] = now
}

// anchorLine is a line of anchors.file.
type anchorLine struct {
	SignedAt time.Time `json:"signed_at"`
	Tenant   string    `json:"tenant"`
	Size     uint64    `json:"size"`
	Note     string    `json:"note"`
}

func (a *anchors) write(c seal.SignedCheckpoint) error {
	if a.cfg.Dir != "" {
		f, err := os.OpenFile(filepath.Join(a.cfg.Dir, fmt.Sprintf("%s-%020d.checkpoint", seal.FolderOf(c.Tenant), c.Checkpoint.Size)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot write an anchor: %w", err)
		}
		if err == nil {
			_, err = f.Write(c.Note)
			if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
				return fmt.Errorf("cannot write an anchor: %w", err)
			}
		}
	}
	if a.cfg.File != "" {
		b, err := json.Marshal(anchorLine{c.SignedAt, c.Tenant, c.Checkpoint.Size, string(c.Note)})
		if err != nil {
			return err
		}
		f, err := os.OpenFile(a.cfg.File, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("cannot write an anchor: %w", err)
		}
		_, err = f.Write(append(b, '\n'))
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("cannot write an anchor: %w", err)
		}
	}
	return nil
}

// load compares the anchors with the log on disk: one that the log does not have is a log that was rolled back.
func (a *anchors) load(key *seal.Key, dir string) error {
	if a.cfg.File == "" {
		return nil
	}
	b, err := os.ReadFile(a.cfg.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read anchors.file: %w", err)
	}
	newest := map[string]seal.Checkpoint{}
	for line := range bytes.Lines(b) {
		var l anchorLine
		if json.Unmarshal(line, &l) != nil {
			continue // a write that a crash cut off
		}
		c, err := seal.OpenCheckpoint([]byte(l.Note), key.Trust(l.Tenant))
		if err == nil && c.Size >= newest[l.Tenant].Size {
			newest[l.Tenant] = c
		}
	}
	for tenant, c := range newest {
		have, err := os.ReadFile(filepath.Join(dir, seal.FolderOf(tenant), "checkpoint"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot read the last checkpoint: %w", err)
		}
		now, err := seal.OpenCheckpoint(have, key.Trust(tenant))
		if err != nil || now.Size < c.Size {
			return fmt.Errorf("%w: anchors.file has a checkpoint of %d, the log ends before", seal.ErrRollback, c.Size)
		}
		root, err := seal.NewTiles(filepath.Join(dir, seal.FolderOf(tenant)), c.Size).Root()
		if err != nil || root != c.Root {
			return fmt.Errorf("%w: at size %d the log is not what anchors.file says it was", seal.ErrRollback, c.Size)
		}
	}
	return nil
}
