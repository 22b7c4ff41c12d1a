// Package evidence makes and checks evidence bundles: one ZIP file that holds a tenant's events and findings of a period, what else an auditor
// asks for, and what is needed to check all of it offline against one public key.
//
// docs/evidence.md describes the format. In short: manifest.json has the SHA-256 of every other file and is signed; each line of events.ndjson and
// findings.ndjson is the canonical form of a stored row, and with its salt makes a leaf of the tenant's Merkle log; log/ has the hashes that lead from those
// leaves to a signed checkpoint; the ZIP's comment is a signature over the whole file before it.
package evidence

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"strings"
	"time"

	kflate "github.com/klauspost/compress/flate"
)

// Format is the version of the bundle's format.
const Format = "mcpsiem-evidence/1"

// Names of the files of a bundle.
const (
	fileManifest      = "manifest.json"
	fileSignature     = "manifest.sig"
	fileEvents        = "events.ndjson"
	fileEventLeafs    = "events.leaves"
	fileFindings      = "findings.ndjson"
	fileFindLeafs     = "findings.leaves"
	fileEventsCSV     = "events.csv"
	fileFindCSV       = "findings.csv"
	fileEventsParquet = "events.parquet"
	fileFindParquet   = "findings.parquet"
	fileAudit         = "audit.csv"
	fileInstallation  = "installation.csv"
	fileAccess        = "access.csv"
	fileInventory     = "inventory.csv"
	fileExceptions    = "exceptions.csv"
	fileDeletions     = "deletions.csv"
	fileRetention     = "retention.csv"
	fileRedaction     = "redaction.json"
	fileCoverage      = "coverage.json"
	fileControls      = "controls.csv"
	fileSegments      = "log/segments.json"
	fileHashes        = "log/hashes.bin"
	fileCheckpoint    = "log/checkpoint"
	fileHistory       = "log/history.json"
	fileAnchors       = "log/anchors.json"
	fileKey           = "keys/log.pub"
	fileTSA           = "keys/tsa.pem"
	fileWitnesses     = "keys/witnesses.txt"
	fileHTML          = "report.html"
	filePDF           = "report.pdf"
	fileVerify        = "VERIFY.md"
)

// epoch is the time of every file in a bundle: the earliest that ZIP knows.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// What a header of ZIP says, where this program writes one itself: as archive/zip does.
const (
	zipVersion     = 20
	zip64Version   = 45
	flagSizesAfter = 1 << 3
	epochDate      = 1<<5 | 1 // epoch in the form of MS-DOS
)

// Manifest describes a bundle.
type Manifest struct {
	Format           string     `json:"format"`
	Tenant           string     `json:"tenant"`
	From             string     `json:"from"` // inclusive, RFC 3339
	To               string     `json:"to"`   // exclusive
	Framework        string     `json:"framework"`
	Control          string     `json:"control,omitempty"`
	CreatedAt        string     `json:"created_at"`
	ExportedBy       string     `json:"exported_by"`
	RecordID         string     `json:"record_id,omitempty"` // the audit event of this export
	ToolVersion      string     `json:"tool_version"`
	CanonicalVersion int        `json:"canonical_version"`
	Events           uint64     `json:"events"`
	Findings         uint64     `json:"findings"`
	Exceptions       uint64     `json:"exceptions"` // leaves of the period whose row is not in the bundle
	FirstLeaf        uint64     `json:"first_leaf"`
	LastLeaf         uint64     `json:"last_leaf"`
	Origin           string     `json:"origin"`
	TreeSize         uint64     `json:"tree_size"`
	RootHash         string     `json:"root_hash"` // hex
	Files            []FileInfo `json:"files"`
}

// FileInfo is a file of a bundle.
type FileInfo struct {
	Name   string `json:"name"`
	Size   uint64 `json:"size"`
	SHA256 string `json:"sha256"`
}

// segment is a part of the log: leaves whose hashes are in log/hashes.bin, or a gap of which only the subtrees' roots are given.
type segment struct {
	From  uint64   `json:"from"`
	To    uint64   `json:"to"`
	Roots []string `json:"roots,omitempty"` // base64; of a gap
}

// oldCheckpoint is a checkpoint of the past with the proof that the log only grew since.
type oldCheckpoint struct {
	SignedAt string   `json:"signed_at"`
	Note     string   `json:"note"`
	Proof    []string `json:"proof"` // base64, RFC 6962 consistency
}

// anchor is what somebody else said about a checkpoint.
type anchor struct {
	Kind  string   `json:"kind"` // tsa, witness
	Name  string   `json:"name"`
	Note  string   `json:"note"`
	Proof []string `json:"proof"` // as of oldCheckpoint
	Data  []byte   `json:"data"`  // base64; tsa: TimeStampToken over the note; witness: cosignature line
}

// archive writes a bundle's files, one after the other.
type archive struct {
	f     *os.File
	buf   *bufio.Writer
	z     *zip.Writer
	files []FileInfo
}

func newArchive(path string) (*archive, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write the bundle: %w", err)
	}
	a := &archive{f: f, buf: bufio.NewWriterSize(f, 1<<20)}
	a.z = zip.NewWriter(a.buf)
	a.z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return kflate.NewWriter(w, flate.BestSpeed) })
	return a, nil
}

// entry is a file being written.
type entry struct {
	w    io.Writer
	h    hash.Hash
	info *FileInfo
}

func (e *entry) Write(p []byte) (int, error) {
	e.h.Write(p)
	e.info.Size += uint64(len(p))
	return e.w.Write(p)
}

// create begins the next file. What was begun before is complete with that.
func (a *archive) create(name string) (*entry, func(), error) {
	method := zip.Deflate
	if strings.HasSuffix(name, ".bin") || strings.HasSuffix(name, ".leaves") || strings.HasSuffix(name, ".parquet") { // hashes do not compress, Parquet is
		method = zip.Store
	}
	w, err := a.z.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: epoch})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot write the bundle: %w", err)
	}
	e := &entry{w: w, h: sha256.New(), info: &FileInfo{Name: name}}
	return e, func() {
		e.info.SHA256 = hex.EncodeToString(e.h.Sum(nil))
		a.files = append(a.files, *e.info)
	}, nil
}

func (a *archive) add(name string, content []byte) error {
	e, done, err := a.create(name)
	if err != nil {
		return err
	}
	if _, err := e.Write(content); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	done()
	return nil
}

// addReader adds what r gives.
func (a *archive) addReader(name string, r io.Reader) error {
	e, done, err := a.create(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(e, r); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	done()
	return nil
}

// addDeflated adds a file that is deflated already, but for its end.
func (a *archive) addDeflated(name string, m *member, r io.Reader, size int64) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Flags: flagSizesAfter, CreatorVersion: zipVersion, ReaderVersion: zipVersion, CRC32: m.CRC,
		UncompressedSize64: m.Size, CompressedSize64: uint64(size) + uint64(len(deflateEnd))}
	h.ModifiedDate = epochDate //lint:ignore SA1019 CreateRaw takes the date from here alone
	if max(h.UncompressedSize64, h.CompressedSize64) >= math.MaxUint32 {
		h.ReaderVersion = zip64Version
	}
	w, err := a.z.CreateRaw(h)
	if err == nil {
		_, err = io.Copy(w, io.MultiReader(r, strings.NewReader(deflateEnd)))
	}
	if err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	a.files = append(a.files, FileInfo{Name: name, Size: m.Size, SHA256: hex.EncodeToString(m.sum.Sum(nil))})
	return nil
}

// close ends the archive with a comment made of what comes before it; sign has to return as many bytes whatever the hash is.
func (a *archive) close(sign func(sha string) ([]byte, error)) (err error) {
	defer func() {
		if e := a.f.Close(); err == nil && e != nil {
			err = fmt.Errorf("cannot write the bundle: %w", e)
		}
	}()
	comment, err := sign(strings.Repeat("0", 64))
	if err != nil {
		return err
	}
	if err := a.z.SetComment(strings.Repeat(" ", len(comment))); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	if err := a.z.Close(); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	if err := a.buf.Flush(); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	end, err := a.f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	sum, err := sumOf(a.f, end-int64(len(comment)))
	if err != nil {
		return err
	}
	if comment, err = sign(sum); err != nil {
		return err
	}
	if _, err := a.f.WriteAt(comment, end-int64(len(comment))); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	if err := a.f.Sync(); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	return nil
}

func sumOf(r io.ReaderAt, n int64) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, bufio.NewReaderSize(io.NewSectionReader(r, 0, n), 1<<20)); err != nil {
		return "", fmt.Errorf("cannot read the bundle: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// statement is the text of a signature that is none of a checkpoint.
func statement(what, sha string) string { return Format + " " + what + "\nsha256:" + sha + "\n" }
