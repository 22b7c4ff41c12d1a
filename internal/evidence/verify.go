// Checking a bundle: offline, with nothing but the file and a public key. What is read was made by others: memory is bounded, and nothing in it is
// believed before it is checked.

package evidence

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/klauspost/compress/flate"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// Problem is one thing in a bundle that does not fit.
type Problem struct {
	File   string `json:"file,omitempty"`
	Line   uint64 `json:"line,omitempty"` // from 1
	ID     string `json:"id,omitempty"`   // of the event or finding, as the line says
	Leaf   string `json:"leaf_index,omitempty"`
	Detail string `json:"detail"`
}

// Report is the result of a verification.
type Report struct {
	OK           bool      `json:"ok"`
	Origin       string    `json:"origin,omitempty"`
	Tenant       string    `json:"tenant,omitempty"`
	From         string    `json:"from,omitempty"`
	To           string    `json:"to,omitempty"`
	Events       uint64    `json:"events"`   // whose leaves are in the log
	Findings     uint64    `json:"findings"` // likewise
	TreeSize     uint64    `json:"tree_size"`
	RootHash     string    `json:"root_hash,omitempty"`
	Checkpoints  int       `json:"checkpoints"`
	Timestamps   int       `json:"timestamps"`        // of time stamping authorities, good
	Cosignatures int       `json:"cosignatures"`      // of witnesses, good
	Vouched      []Vouched `json:"vouched,omitempty"` // who says that everything in the bundle was sealed by when
	TrustGiven   bool      `json:"trust_given"`       // time stamps and cosignatures were checked with what was given, not with what is in the bundle
	Exceptions   uint64    `json:"exceptions"`        // leaves of the period whose rows are not in the bundle: exceptions.csv says why
	Outside      uint64    `json:"leaves_outside"`    // between the first and the last leaf of the bundle: of other times, says who exported
	ProblemCount uint64    `json:"problem_count"`
	Problems     []Problem `json:"problems"` // the first of them
}

// Limits of what a bundle may make the verifier hold.
const (
	maxSmall    = 64 << 20 // bytes of a file that is read whole
	maxLine     = 64 << 20
	maxList     = 100_000 // checkpoints of the past, anchors
	maxProblems = 1000
	maxSegments = 2_000_000 // parts of the log: one for each run of leaves of the period
)

type checker struct {
	r       Report
	z       *zip.Reader
	f       *os.File
	size    int64
	key     string
	entries map[string]*zip.File
	m       Manifest
	infos   map[string]FileInfo
	segs    []segment
	cp      seal.Checkpoint
	trust   seal.Trust
}

// Verify checks a bundle with a verifier key. Time stamps and cosignatures are checked with trust; of what is empty in it the copy in the bundle is
// used. An error is that it could not be read at all; what is wrong with it is in the report.
func Verify(path, vkey string, trust seal.Trust) (*Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the bundle: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the bundle: %w", err)
	}
	if _, err := seal.OpenText(nil, vkey); !errors.Is(err, seal.ErrSignature) {
		return nil, err
	}
	c := &checker{f: f, size: st.Size(), key: strings.TrimSpace(vkey), entries: map[string]*zip.File{}, infos: map[string]FileInfo{}, trust: trust}
	c.r.Problems, c.r.TrustGiven = []Problem{}, len(trust.TSA) > 0 || len(trust.Witnesses) > 0
	c.check()
	c.r.OK = c.r.ProblemCount == 0
	return &c.r, nil
}

func (c *checker) problem(file, format string, args ...any) {
	c.note(Problem{File: file, Detail: fmt.Sprintf(format, args...)})
}

func (c *checker) note(p Problem) {
	c.r.ProblemCount++
	if len(c.r.Problems) < maxProblems {
		c.r.Problems = append(c.r.Problems, p)
	}
}

// maxDirectory is how long a bundle's list of files may be; that of one with every file there can be is some 4 kB.
const maxDirectory = 1 << 20

// directory says whether the ZIP's own list of files is of a size that this program lets the reader hold in memory.
func directory(f io.ReaderAt, size int64) bool {
	tail := make([]byte, min(size, 1<<16+22))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return true // the reader says what is wrong
	}
	end := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if end < 0 || len(tail)-end < 22 {
		return true
	}
	at := uint64(binary.LittleEndian.Uint32(tail[end+16:]))
	if at == math.MaxUint32 { // ZIP64: 20 bytes before is where its end record is
		if end < 20 {
			return false
		}
		var rec [56]byte
		if _, err := f.ReadAt(rec[:], int64(min(binary.LittleEndian.Uint64(tail[end-12:]), math.MaxInt64))); err != nil {
			return false
		}
		at = binary.LittleEndian.Uint64(rec[48:])
	}
	return at <= uint64(size) && uint64(size)-at <= maxDirectory+1<<16
}

// known are the names that a bundle's files can have. Nothing is ever unpacked by name here; who unpacks a bundle that was checked can rely on them.
var known = []string{fileManifest, fileSignature, fileEvents, fileEventLeafs, fileFindings, fileFindLeafs, fileEventsCSV, fileFindCSV, fileEventsParquet, fileFindParquet, fileAudit, fileInstallation, fileAccess, fileInventory, fileExceptions, fileDeletions,
	fileRetention, fileRedaction, fileCoverage, fileControls, fileSegments, fileHashes, fileCheckpoint, fileHistory, fileAnchors, fileKey, fileTSA, fileWitnesses, fileHTML, filePDF, fileVerify}

func (c *checker) check() {
	if !directory(c.f, c.size) {
		c.problem("", "the file is no bundle: its list of files is longer than one can be")
		return
	}
	z, err := zip.NewReader(c.f, c.size)
	if err != nil {
		c.problem("", "the file is no complete ZIP: it was cut off or damaged")
		return
	}
	z.RegisterDecompressor(zip.Deflate, flate.NewReader)
	c.z = z
	if i := slices.IndexFunc(z.File, func(e *zip.File) bool { return e.Name == fileKey && e.Mode().IsRegular() }); i >= 0 {
		c.entries[fileKey] = z.File[i]
		if b, ok := c.small(fileKey); ok { // statements of rotation that are good lead from the given key to others
			c.key = seal.JoinTrust(c.key, string(b))
		}
		delete(c.entries, fileKey)
	}
	c.whole()
	for _, e := range z.File {
		if !slices.Contains(known, e.Name) {
			c.problem(printable(e.Name), "the file is not in the manifest or none that a bundle can have: it was added")
			continue
		}
		if !e.Mode().IsRegular() || e.Flags&1 != 0 {
			c.problem(e.Name, "it is no plain file: a link, a folder or encrypted")
			continue
		}
		if c.entries[e.Name] != nil {
			c.problem(e.Name, "the file is in the bundle twice")
			continue
		}
		c.entries[e.Name] = e
	}
	if !c.manifest() {
		return
	}
	// Every file's hash is compared while the rest is checked: what that finds comes first.
	hashes := *c
	hashes.r = Report{}
	var hashing sync.WaitGroup
	hashing.Go(hashes.files)
	said := len(c.r.Problems)
	c.records()
	hashing.Wait()
	c.r.ProblemCount += hashes.r.ProblemCount
	c.r.Problems = slices.Insert(c.r.Problems, said, hashes.r.Problems...)
	c.r.Problems = c.r.Problems[:min(len(c.r.Problems), maxProblems)]
}

// records checks what leads from the key to the lines.
func (c *checker) records() {
	if !c.checkpoint() {
		return
	}
	c.history()
	c.anchors()
	if !c.root() {
		return
	}
	c.lines(fileEvents, fileEventLeafs, "events", "event_id", c.m.Events, &c.r.Events)
	c.lines(fileFindings, fileFindLeafs, "findings", "finding_id", c.m.Findings, &c.r.Findings)
}

// whole checks the signature over the file.
func (c *checker) whole() {
	comment := []byte(c.z.Comment)
	text, err := seal.OpenText(comment, c.key)
	if err != nil {
		c.problem("", "the signature over the whole file is missing or not of the given key")
		return
	}
	sum, err := sumOf(c.f, c.size-int64(len(comment)))
	if err != nil {
		c.problem("", "the file cannot be read")
		return
	}
	if text != statement("file", sum) {
		c.problem("", "the file is not the one that was signed: some byte of it was changed")
	}
}

// small reads a file whole.
func (c *checker) small(name string) ([]byte, bool) {
	e := c.entries[name]
	if e == nil {
		c.problem(name, "the file is missing")
		return nil, false
	}
	if e.UncompressedSize64 > maxSmall {
		c.problem(name, "the file is larger than such a file can be")
		return nil, false
	}
	rd, err := e.Open()
	if err != nil {
		c.problem(name, "the file is damaged")
		return nil, false
	}
	defer rd.Close()
	b, err := io.ReadAll(io.LimitReader(rd, maxSmall+1))
	if err != nil || len(b) > maxSmall {
		c.problem(name, "the file is damaged")
		return nil, false
	}
	return b, true
}

func (c *checker) manifest() bool {
	b, ok := c.small(fileManifest)
	sig, ok2 := c.small(fileSignature)
	if !ok || !ok2 {
		return false
	}
	text, err := seal.OpenText(sig, c.key)
	sum := sha256.Sum256(b)
	switch {
	case err != nil:
		c.problem(fileSignature, "the manifest's signature is forged or not of the given key")
	case text != statement("manifest", hex.EncodeToString(sum[:])):
		c.problem(fileManifest, "the manifest is not the one that was signed")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if dec.Decode(&c.m) != nil {
		c.problem(fileManifest, "the manifest cannot be read")
		return false
	}
	if c.m.Format != Format || c.m.CanonicalVersion != seal.CanonicalVersion {
		c.problem(fileManifest, "the bundle has a format that this program does not know")
		return false
	}
	c.r.Tenant, c.r.From, c.r.To = c.m.Tenant, c.m.From, c.m.To
	return true
}

// files compares every file with the manifest.
func (c *checker) files() {
	for _, i := range c.m.Files {
		if _, twice := c.infos[i.Name]; twice {
			c.problem(fileManifest, "it names a file twice")
		}
		c.infos[i.Name] = i
		e := c.entries[i.Name]
		if e == nil {
			c.problem(printable(i.Name), "the file is missing")
			continue
		}
		h := sha256.New()
		var n int64
		rd, err := e.Open()
		if err == nil {
			n, err = io.Copy(h, io.LimitReader(rd, int64(min(i.Size, math.MaxInt64-1))+1))
			rd.Close()
		}
		switch {
		case err != nil:
			c.problem(i.Name, "the file is damaged")
		case uint64(n) != i.Size || hex.EncodeToString(h.Sum(nil)) != i.SHA256:
			c.problem(i.Name, "the file is not the one that the manifest names")
		}
	}
	for name := range c.entries {
		if _, named := c.infos[name]; !named && name != fileManifest && name != fileSignature {
			c.problem(name, "the file is not in the manifest: it was added")
		}
	}
}

func (c *checker) checkpoint() bool {
	if b, ok := c.small(fileKey); ok && !seal.Trusts(c.key, string(b)) {
		c.problem(fileKey, "the bundle's key is not the given one")
	}
	b, ok := c.small(fileCheckpoint)
	if !ok {
		return false
	}
	var err error
	if c.cp, err = seal.OpenCheckpoint(b, c.key); err != nil {
		c.problem(fileCheckpoint, "%s", err)
		return false
	}
	c.r.Origin, c.r.TreeSize, c.r.RootHash, c.r.Checkpoints = c.cp.Origin, c.cp.Size, hex.EncodeToString(c.cp.Root[:]), 1
	if c.m.Origin != c.cp.Origin || c.m.TreeSize != c.cp.Size || c.m.RootHash != c.r.RootHash {
		c.problem(fileManifest, "the manifest names another checkpoint than the bundle has")
	}
	return true
}

func (c *checker) history() {
	b, ok := c.small(fileHistory)
	if !ok {
		return
	}
	old, err := list[oldCheckpoint](b, maxList)
	if err != nil {
		c.problem(fileHistory, "the file cannot be read")
		return
	}
	for i, o := range old {
		at := Problem{File: fileHistory, Line: uint64(i + 1)}
		cp, err := seal.OpenCheckpoint([]byte(o.Note), c.key)
		if err != nil {
			at.Detail = err.Error()
			c.note(at)
			continue
		}
		if !c.extends(cp, o.Proof) {
			at.Detail = "this checkpoint and the last one are not of one log: history was rewritten"
			c.note(at)
			continue
		}
		c.r.Checkpoints++
	}
}

// extends says whether the log of the bundle's checkpoint is that of an earlier one, grown.
func (c *checker) extends(old seal.Checkpoint, proof []string) bool {
	if old.Size == 0 || old.Size > c.cp.Size || len(proof) > 128 {
		return false
	}
	var p tlog.TreeProof
	for _, s := range proof {
		h, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(h) != seal.HashSize {
			return false
		}
		p = append(p, tlog.Hash(h))
	}
	return tlog.CheckTree(p, int64(c.cp.Size), tlog.Hash(c.cp.Root), int64(old.Size), tlog.Hash(old.Root)) == nil
}

// anchors checks what others said about checkpoints.
func (c *checker) anchors() {
	b, ok := c.small(fileAnchors)
	if !ok {
		return
	}
	all, err := list[anchor](b, maxList)
	if err != nil {
		c.problem(fileAnchors, "the file cannot be read")
		return
	}
	if len(c.trust.TSA) == 0 && c.entries[fileTSA] != nil {
		c.trust.TSA, _ = c.small(fileTSA)
	}
	if len(c.trust.Witnesses) == 0 && c.entries[fileWitnesses] != nil {
		b, _ := c.small(fileWitnesses)
		for line := range strings.Lines(string(b)) {
			c.trust.Witnesses = append(c.trust.Witnesses, strings.TrimSpace(line))
		}
		if len(c.trust.Witnesses) > 100 {
			c.problem(fileWitnesses, "the file has more than 100 keys")
			return
		}
	}
	first := map[string]Vouched{}
	for i, a := range all {
		at := Problem{File: fileAnchors, Line: uint64(i + 1)}
		cp, err := seal.OpenCheckpoint([]byte(a.Note), c.key)
		if err == nil && a.Kind != seal.AnchorTSA && a.Kind != seal.AnchorWitness {
			err = errors.New("it is of a kind that this program does not know")
		}
		if err == nil && !c.extends(cp, a.Proof) {
			err = errors.New("its checkpoint and the last one are not of one log: history was rewritten")
		}
		var when time.Time
		if err == nil {
			when, err = seal.CheckAnchor(seal.Anchor{Kind: a.Kind, Proof: a.Data}, []byte(a.Note), c.trust)
		}
		if err != nil {
			at.Detail = err.Error()
			c.note(at)
			continue
		}
		if a.Kind == seal.AnchorTSA {
			c.r.Timestamps++
		} else {
			c.r.Cosignatures++
		}
		v := Vouched{a.Kind, a.Name, when.Format(time.RFC3339)}
		if old, there := first[a.Kind+" "+a.Name]; cp.Size > c.m.LastLeaf && (!there || v.At < old.At) {
			first[a.Kind+" "+a.Name] = v
		}
	}
	for _, k := range slices.Sorted(maps.Keys(first)) {
		c.r.Vouched = append(c.r.Vouched, first[k])
	}
}

// root computes the log's root from the segments.
func (c *checker) root() bool {
	b, ok := c.small(fileSegments)
	if !ok {
		return false
	}
	var err error
	if c.segs, err = list[segment](b, maxSegments); err != nil {
		c.problem(fileSegments, "the file cannot be read")
		return false
	}
	hashes, done, ok := c.open(fileHashes)
	if !ok {
		return false
	}
	defer done()
	factory := &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	all := factory.NewEmptyRange(0)
	var h [seal.HashSize]byte
	inside := uint64(0)
	for i, s := range c.segs {
		if s.From != all.End() || s.To <= s.From || s.To > c.cp.Size {
			c.problem(fileSegments, "the segments do not cover the log")
			return false
		}
		if s.Roots == nil {
			inside += s.To - s.From
			for range s.To - s.From {
				if _, err := io.ReadFull(hashes, h[:]); err != nil {
					c.problem(fileHashes, "the file ends too early or is damaged")
					return false
				}
				if err := all.Append(bytes.Clone(h[:]), nil); err != nil {
					c.problem(fileSegments, "the segments do not fit")
					return false
				}
			}
			continue
		}
		if i > 0 && i < len(c.segs)-1 {
			c.r.Outside += s.To - s.From
		}
		var roots [][]byte
		for _, r := range s.Roots {
			d, err := base64.StdEncoding.DecodeString(r)
			if err != nil || len(d) != seal.HashSize {
				c.problem(fileSegments, "a hash cannot be read")
				return false
			}
			roots = append(roots, d)
		}
		gap, err := factory.NewRange(s.From, s.To, roots)
		if err == nil {
			err = all.AppendRange(gap, nil)
		}
		if err != nil {
			c.problem(fileSegments, "the segments do not fit")
			return false
		}
	}
	c.r.Exceptions = c.m.Exceptions
	if inside != c.m.Events+c.m.Findings+c.m.Exceptions {
		c.problem(fileHashes, "of %d leaves of the period, %d have neither a line nor an exception", inside, int64(inside-c.m.Events-c.m.Findings-c.m.Exceptions))
	}
	if _, err := io.ReadFull(hashes, h[:1]); err != io.EOF {
		c.problem(fileHashes, "the file is longer than the segments")
	}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if all.End() > 0 {
		root, _ = all.GetRootHash(nil)
	}
	if all.End() != c.cp.Size || !bytes.Equal(root, c.cp.Root[:]) {
		c.problem(fileHashes, "the hashes do not lead to the checkpoint's root: the leaves are not those of the log")
	}
	return true
}

// list reads a JSON array of at most so many items: what is short in JSON can be long in memory.
func list[T any](b []byte, most int) ([]T, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("no list")
	}
	out := []T{}
	for dec.More() {
		var x T
		if len(out) == most {
			return nil, errors.New("the list is too long")
		}
		if err := dec.Decode(&x); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	_, err := dec.Token()
	return out, err
}

// printable quotes a name that others chose.
func printable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), 200)], "?")
	for _, r := range s {
		if !unicode.IsGraphic(r) {
			return strconv.QuoteToGraphic(s)
		}
	}
	return s
}

func (c *checker) open(name string) (*bufio.Reader, func(), bool) {
	e := c.entries[name]
	if e == nil {
		c.problem(name, "the file is missing")
		return nil, nil, false
	}
	rd, err := e.Open()
	if err != nil {
		c.problem(name, "the file is damaged")
		return nil, nil, false
	}
	return bufio.NewReaderSize(rd, 1<<18), func() { rd.Close() }, true
}

// lines checks each line against the log. Leaves ascend, so that one pass over the hashes suffices.
func (c *checker) lines(name, leavesName, table, idName string, want uint64, good *uint64) {
	lines, done, ok := c.open(name)
	if !ok {
		return
	}
	defer done()
	leaves, done2, ok := c.open(leavesName)
	if !ok {
		return
	}
	defer done2()
	hashes, done3, ok := c.open(fileHashes)
	if !ok {
		return
	}
	defer done3()
	var (
		pair [8 + seal.SaltSize]byte
		hash seal.Hash
		at   uint64 // index of the next hash in the file
		seg  = -1
		n    uint64
		last uint64
		buf  []byte
	)
	head := []byte(`{"_table":"` + table + `","_v":1`)
	// leafAt reads forward to a leaf.
	leafAt := func(index uint64) bool {
		for {
			if seg >= 0 && c.segs[seg].Roots == nil && index < c.segs[seg].To {
				if index < at {
					return false
				}
				if skip := index - at; skip > 0 {
					if _, err := io.CopyN(io.Discard, hashes, int64(skip)*seal.HashSize); err != nil {
						return false
					}
				}
				_, err := io.ReadFull(hashes, hash[:])
				at = index + 1
				return err == nil
			}
			if seg >= 0 && c.segs[seg].Roots == nil {
				if _, err := io.CopyN(io.Discard, hashes, int64(c.segs[seg].To-at)*seal.HashSize); err != nil {
					return false
				}
			}
			if seg++; seg >= len(c.segs) {
				return false
			}
			at = c.segs[seg].From
			if c.segs[seg].Roots != nil && index < c.segs[seg].To {
				return false
			}
		}
	}
	lost := false
	for {
		line, err := readLine(lines, &buf)
		if err == io.EOF {
			break
		}
		n++
		if err != nil {
			c.note(Problem{File: name, Line: n, Detail: "the file is damaged from here on, or the line is too long"})
			return
		}
		if _, err := io.ReadFull(leaves, pair[:]); err != nil {
			c.note(Problem{File: leavesName, Line: n, Detail: "it ends before the lines do: lines were added, or leaves removed"})
			return
		}
		index := binary.BigEndian.Uint64(pair[:8])
		p := Problem{File: name, Line: n, ID: idOf(line, idName), Leaf: fmt.Sprint(index)}
		switch {
		case n > 1 && index <= last:
			p.Detail = "out of order: its leaf comes before that of the line above"
			c.note(p)
			lost = true
		case lost:
		case !leafAt(index):
			p.Detail = "the log's hash of its leaf is not in the bundle"
			c.note(p)
			lost = true
		case seal.LeafHash(seal.Salt(pair[8:]), seal.Digest(line)) != hash || !bytes.HasPrefix(line, head):
			p.Detail = "changed: it is not what was sealed"
			c.note(p)
		default:
			*good++
		}
		if lost {
			return
		}
		last = index
	}
	if _, err := io.ReadFull(leaves, pair[:1]); err != io.EOF {
		c.note(Problem{File: name, Line: n, Detail: "it ends before its leaves do: lines were removed"})
	}
	if n != want {
		c.problem(name, "it has %d lines, the manifest says %d", n, want)
	}
}

// readLine returns a line without its end. A last line without one is an error.
func readLine(r *bufio.Reader, buf *[]byte) ([]byte, error) {
	*buf = (*buf)[:0]
	for {
		part, err := r.ReadSlice('\n')
		if err == nil && len(*buf) == 0 {
			return part[:len(part)-1], nil
		}
		*buf = append(*buf, part...)
		switch {
		case err == nil:
			return (*buf)[:len(*buf)-1], nil
		case errors.Is(err, bufio.ErrBufferFull) && len(*buf) <= maxLine:
			continue
		case err == io.EOF && len(*buf) == 0:
			return nil, io.EOF
		}
		return nil, errors.New("bad line")
	}
}

// idOf finds the id that a line claims, for a person to look at.
func idOf(line []byte, name string) string {
	_, rest, ok := bytes.Cut(line, []byte(`,"`+name+`":"`))
	if !ok || len(rest) < 36 {
		return ""
	}
	for _, b := range rest[:36] {
		if !(b == '-' || b >= '0' && b <= '9' || b >= 'a' && b <= 'f') {
			return ""
		}
	}
	return string(rest[:36])
}
