// Work in progress: what an export has read so far, in a folder beside the bundle, so that one that was cut off can go on. A step is whole or not
// there: after each, the files are synced and then state.json says how long they are; what is beyond is cut off when the export goes on.

package evidence

import (
	"bufio"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/flate"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// ErrCutOff means that there is an export to continue, or to remove.
var ErrCutOff = errors.New("an earlier export to this file was cut off")

// Names in the work folder. Those that end in .deflate are deflated, as they will be in the bundle; nothing in a step refers to what is before it. Those that end in
// .parts hold a Parquet file for each step, each after its length.
const (
	workEvents     = "events.ndjson.deflate"
	workEventLeafs = "events.leaves"
	workEventsCSV  = "events.csv.deflate"
	workEventParts = "events.parquet.parts"
	workFindings   = "findings.ndjson.deflate"
	workFindLeafs  = "findings.leaves"
	workFindCSV    = "findings.csv.deflate"
	workFindParts  = "findings.parquet.parts"
	workExceptions = "exceptions.csv"
	workHashes     = "hashes.bin"
	workState      = "state.json"
)

var workFiles = []string{workEvents, workEventLeafs, workEventsCSV, workEventParts, workFindings, workFindLeafs, workFindCSV, workFindParts, workExceptions, workHashes}

// progress is how far an export came: everything that decides what its bundle is, beside the store.
type progress struct {
	Manifest Manifest          `json:"manifest"`
	Note     []byte            `json:"note"` // the checkpoint
	First    uint64            `json:"first"`
	End      uint64            `json:"end"`
	At       uint64            `json:"at"`   // leaves before this are done
	Next     uint64            `json:"next"` // leaves before this are in segments
	Segments []segment         `json:"segments"`
	Samples  []Sample          `json:"samples"`
	Bad      []Exception       `json:"exceptions"`
	Sizes    map[string]int64  `json:"sizes"`
	Members  map[string]member `json:"members"` // of the files that are deflated
}

// work is the folder.
type work struct {
	dir   string
	files map[string]*workFile
}

type workFile struct {
	f      *os.File
	buf    *bufio.Writer
	size   int64 // as of the last step
	member *member
}

// member is a file of the bundle that is deflated as it is written, and what the bundle has to say of it.
type member struct {
	Size uint64 `json:"size"` // before it was deflated
	CRC  uint32 `json:"crc"`
	Sum  []byte `json:"sum"` // the state of SHA-256

	sum   hash.Hash
	enc   *flate.Writer
	fresh bool // nothing was written in this step
}

// deflateEnd ends deflated data: a last block with nothing in it.
const deflateEnd = "\x03\x00"

// begin goes on from a saved state, or from none.
func (m *member) begin(w io.Writer) (err error) {
	m.sum, m.fresh = sha256.New(), true
	if m.Sum != nil {
		if err := m.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(m.Sum); err != nil {
			return err
		}
	}
	m.enc, err = flate.NewWriter(w, flate.BestSpeed)
	return err
}

func (m *member) Write(p []byte) (int, error) {
	m.Size += uint64(len(p))
	m.CRC = crc32.Update(m.CRC, crc32.IEEETable, p)
	m.sum.Write(p)
	m.fresh = false
	return m.enc.Write(p)
}

// step ends what was written since the last one at a whole byte, and forgets it.
func (m *member) step(w io.Writer) (err error) {
	if m.fresh {
		return nil
	}
	if err := m.enc.Flush(); err != nil {
		return err
	}
	m.enc.Reset(w)
	m.fresh = true
	m.Sum, err = m.sum.(encoding.BinaryMarshaler).MarshalBinary()
	return err
}

func (w *workFile) Write(p []byte) (int, error) {
	if w.member != nil {
		return w.member.Write(p)
	}
	return w.buf.Write(p)
}

// read gives what the file holds up to the last step.
func (w *workFile) read() *io.SectionReader { return io.NewSectionReader(w.f, 0, w.size) }

// workError is what a failed write to the work folder is.
func workError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot write to the export's work folder: %w", err)
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
		if _, known := p.Sizes[name]; p.Sizes != nil && !known {
			w.close()
			return nil, fmt.Errorf("cannot continue: %s does not know %s; remove the folder and export anew", filepath.Join(w.dir, workState), name)
		}
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
		if filepath.Ext(name) == ".deflate" && err == nil {
			m := p.Members[name]
			x.member = &m
			err = m.begin(x.buf)
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
	p.Sizes, p.Members = map[string]int64{}, map[string]member{}
	for name, x := range w.files {
		var err error
		if x.member != nil {
			err = x.member.step(x.buf)
			p.Members[name] = *x.member
		}
		if err == nil {
			err = x.buf.Flush()
		}
		end, err2 := x.f.Seek(0, io.SeekCurrent)
		if err = errors.Join(err, err2); err == nil && end != x.size {
			err = x.f.Sync()
		}
		if err != nil {
			return workError(err)
		}
		x.size, p.Sizes[name] = end, end
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	path := filepath.Join(w.dir, workState)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return workError(err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return workError(err)
	}
	return workError(os.Rename(path+".new", path))
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
