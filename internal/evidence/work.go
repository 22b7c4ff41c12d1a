// Work in progress: what an export has read so far, in a folder beside the bundle, so that one that was cut off can go on. A step is whole or not
// there: after each, the files are synced and then state.json says how long they are; what is beyond is cut off when the export goes on.

package evidence

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// ErrCutOff means that there is an export to continue, or to remove.
var ErrCutOff = errors.New("an earlier export to this file was cut off")

// Names in the work folder. Those that end in .zst hold one zstd frame for each step.
const (
	workEvents     = "events.ndjson.zst"
	workEventLeafs = "events.leaves"
	workEventCells = "events.cells.zst"
	workFindings   = "findings.ndjson.zst"
	workFindLeafs  = "findings.leaves"
	workFindCells  = "findings.cells.zst"
	workExceptions = "exceptions.csv"
	workHashes     = "hashes.bin"
	workState      = "state.json"
)

var workFiles = []string{workEvents, workEventLeafs, workEventCells, workFindings, workFindLeafs, workFindCells, workExceptions, workHashes}

// progress is how far an export came: everything that decides what its bundle is, beside the store.
type progress struct {
	Manifest Manifest         `json:"manifest"`
	Note     []byte           `json:"note"` // the checkpoint
	First    uint64           `json:"first"`
	End      uint64           `json:"end"`
	At       uint64           `json:"at"`   // leaves before this are done
	Next     uint64           `json:"next"` // leaves before this are in segments
	Segments []segment        `json:"segments"`
	Samples  []Sample         `json:"samples"`
	Bad      []Exception      `json:"exceptions"`
	Sizes    map[string]int64 `json:"sizes"`
}

// work is the folder.
type work struct {
	dir   string
	files map[string]*workFile
}

type workFile struct {
	f    *os.File
	buf  *bufio.Writer
	enc  *zstd.Encoder // nil for what is not compressed
	size int64         // as of the last step
}

func (w *workFile) Write(p []byte) (int, error) {
	if w.enc != nil {
		return w.enc.Write(p)
	}
	return w.buf.Write(p)
}

func workDir(out string) string { return out + ".work" }

// loadProgress reads what an export that was cut off left; nil if there is none.
func loadProgress(out string) (*progress, error) {
	b, err := os.ReadFile(filepath.Join(workDir(out), workState))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what the earlier export left: %w", err)
	}
	var p progress
	if json.Unmarshal(b, &p) != nil {
		return nil, fmt.Errorf("cannot continue: %s is damaged; remove %s and export anew", workState, workDir(out))
	}
	return &p, nil
}

// openWork makes the folder, or cuts its files to the lengths of the last whole step.
func openWork(out string, p *progress) (*work, error) {
	w := &work{dir: workDir(out), files: map[string]*workFile{}}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the export's work folder: %w", err)
	}
	for _, name := range workFiles {
		f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("cannot open a file of the export's work folder: %w", err)
		}
		x := &workFile{f: f, size: p.Sizes[name]}
		w.files[name] = x
		st, err := f.Stat()
		if err == nil && st.Size() < x.size {
			err = errors.New("it is shorter than it was: remove the folder and export anew")
		}
		if err == nil {
			err = f.Truncate(x.size)
		}
		if err == nil {
			_, err = f.Seek(x.size, io.SeekStart)
		}
		x.buf = bufio.NewWriterSize(f, 1<<18)
		if filepath.Ext(name) == ".zst" && err == nil {
			x.enc, err = zstd.NewWriter(x.buf, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		}
		if err != nil {
			w.close()
			return nil, fmt.Errorf("cannot continue with %s: %w", filepath.Join(w.dir, name), err)
		}
	}
	return w, nil
}

func (w *work) close() {
	for _, x := range w.files {
		x.f.Close()
	}
}

// remove ends the work.
func (w *work) remove() {
	w.close()
	_ = os.RemoveAll(w.dir)
}

// step makes what was written since the last one durable.
func (w *work) step(p *progress) error {
	p.Sizes = map[string]int64{}
	for name, x := range w.files {
		var err error
		if x.enc != nil {
			err = x.enc.Close()
			x.enc.Reset(x.buf)
		}
		if err == nil {
			err = x.buf.Flush()
		}
		if err == nil {
			err = x.f.Sync()
		}
		if err == nil {
			x.size, err = x.f.Seek(0, io.SeekCurrent)
		}
		if err != nil {
			return fmt.Errorf("cannot write to the export's work folder: %w", err)
		}
		p.Sizes[name] = x.size
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	path := filepath.Join(w.dir, workState)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write to the export's work folder: %w", err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cannot write to the export's work folder: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("cannot write to the export's work folder: %w", err)
	}
	return nil
}

// read returns what a file holds up to the last step.
func (w *work) read(name string) (io.Reader, func(), error) {
	x := w.files[name]
	r := io.Reader(io.NewSectionReader(x.f, 0, x.size))
	if x.enc == nil {
		return r, func() {}, nil
	}
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.IgnoreChecksum(false))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the export's work folder: %w", err)
	}
	return d, d.Close, nil
}

// writeCells writes a row: the length of each cell as a uvarint, then the cell.
func writeCells(w io.Writer, cells []string) error {
	var b []byte
	for _, c := range cells {
		b = append(binary.AppendUvarint(b, uint64(len(c))), c...)
	}
	_, err := w.Write(b)
	return err
}

// readCells reads a row, or returns io.EOF.
func readCells(r *bufio.Reader, cells []string) error {
	for i := range cells {
		n, err := binary.ReadUvarint(r)
		if err == io.EOF && i == 0 {
			return io.EOF
		}
		if err == nil && n <= maxLine {
			b := make([]byte, n)
			if _, err = io.ReadFull(r, b); err == nil {
				cells[i] = string(b)
				continue
			}
		}
		return errors.New("cannot read the export's work folder: a table is damaged")
	}
	return nil
}

// CutOff says whether there is an export to a file that was cut off, and under which record it was begun.
func CutOff(out string) (recordID string, ok bool) {
	p, err := loadProgress(out)
	if err != nil || p == nil {
		return "", false
	}
	return p.Manifest.RecordID, true
}

// same says whether a cut-off export is the one that is asked for.
func (p *progress) same(m *Manifest, cp seal.Checkpoint) error {
	o := p.Manifest
	if o.Tenant != m.Tenant || o.From != m.From || o.To != m.To || o.Framework != m.Framework || o.Control != m.Control {
		return errors.New("cannot continue: the export that was cut off was of another tenant, period, framework or control")
	}
	if o.ToolVersion != m.ToolVersion || o.Format != m.Format || o.CanonicalVersion != m.CanonicalVersion {
		return errors.New("cannot continue: the export was begun with another version of mcpsiem")
	}
	if o.Origin != m.Origin || o.TreeSize > cp.Size {
		return errors.New("cannot continue: the export was begun from another log")
	}
	return nil
}
