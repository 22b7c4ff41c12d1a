package tap

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"
)

// spoolDir is the folder of one tap process: numbered segments, read from the front and written at the back, a lock, and a cursor that
// says up to where the front was shipped.
//
// A segment is 16 bytes of header (magic, version, 8 random bytes) and then records:
//
//	length of the ciphertext  u32 LE
//	events in the batch       u32
//	first and last number     u64 u64
//	CRC-32C of the ciphertext u32
//	CRC-32C of the 28 bytes before
//	nonce (12) and AES-256-GCM of the batch, with the segment's header and the record's offset as additional data
//
// Numbers stand in the clear so that a damaged batch can be declared lost. A record whose header is damaged ends its segment, as a
// torn one does: where the next begins cannot be known.
type spoolDir struct {
	path   string
	lock   *os.File
	keys   *keyring
	series series // whose batches are in it; zero if its file is damaged

	segs  []uint64 // oldest first; the last one is written to if w is open
	bytes int64    // unsent, headers included

	number uint64 // of the last segment made

	w     *os.File // last segment
	wKey  cipher.AEAD
	wHead [segHeader]byte
	wOff  int64
	dirty bool
	fresh bool // the last segment's name is not yet synced
	last  time.Time

	r     *os.File // first segment
	rHead [segHeader]byte
	rOff  int64
	rEnd  int64  // of the record at rOff, after peek
	held  *batch // what peek returned
}

const (
	segHeader      = 16
	recHeader      = 32
	recordOverhead = recHeader + 12 + 16
	maxRecord      = 64 << 20
)

var (
	segMagic   = [8]byte{'m', 'c', 'p', 't', 'a', 'p', 1, '\n'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// createSpoolDir makes a process's folder under another name and locks it before it can be seen, lest another process adopt it.
func createSpoolDir(root, name string, ser series, keys *keyring) (*spoolDir, error) {
	tmp := filepath.Join(root, tmpPrefix+name)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make spool folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(tmp, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make spool lock: %w", err)
	}
	ok, err := flock(lock)
	if err == nil && !ok {
		err = errors.New("it is locked")
	}
	p := filepath.Join(root, name)
	if err == nil {
		b := appendSeries(nil, ser)
		err = os.WriteFile(filepath.Join(tmp, seriesName), binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), 0o600)
	}
	if err == nil {
		err = renameLocked(tmp, p, &lock)
	}
	if err != nil {
		lock.Close()
		os.RemoveAll(tmp)
		return nil, fmt.Errorf("cannot lock spool folder: %w", err)
	}
	return &spoolDir{path: p, lock: lock, keys: keys, series: ser}, nil
}

// openSpoolDir opens the folder of a dead process, whose lock the caller holds.
func openSpoolDir(path string, lock *os.File, keys *keyring) (*spoolDir, error) {
	d := &spoolDir{path: path, lock: lock, keys: keys}
	var err error
	if d.segs, err = segmentNumbers(path); err != nil {
		return nil, err
	}
	if b, err := os.ReadFile(filepath.Join(path, seriesName)); err == nil && len(b) > 4 {
		if b, sum := b[:len(b)-4], b[len(b)-4:]; crc32.Checksum(b, castagnoli) == binary.LittleEndian.Uint32(sum) {
			d.series, _ = parseSeries(b)
		}
	}
	if c, err := os.ReadFile(filepath.Join(path, cursorName)); err == nil && len(c) == 20 &&
		crc32.Checksum(c[:16], castagnoli) == binary.LittleEndian.Uint32(c[16:]) {
		seg, off := binary.LittleEndian.Uint64(c), int64(binary.LittleEndian.Uint64(c[8:]))
		for len(d.segs) > 0 && d.segs[0] < seg { // shipped, but not yet removed
			os.Remove(d.segPath(d.segs[0]))
			d.segs = d.segs[1:]
		}
		if len(d.segs) > 0 && d.segs[0] == seg && off >= segHeader {
			d.rOff = off
		}
	}
	for _, n := range d.segs {
		if i, err := os.Stat(d.segPath(n)); err == nil {
			d.bytes += i.Size()
		}
	}
	d.bytes -= d.rOff
	return d, nil
}

func (d *spoolDir) segPath(n uint64) string {
	return filepath.Join(d.path, fmt.Sprintf("%010d%s", n, segSuffix))
}

// append writes one record. If the disk fails half-way, the segment is cut back to where it was.
func (d *spoolDir) append(b *batch) error {
	aead, err := d.keys.current()
	if err != nil { // what is spooled with the key of before can be shipped at least by this process
		aead = d.keys.keys[0]
	}
	if d.w != nil && (d.wOff >= segmentBytes || aead != d.wKey) {
		if err := d.roll(); err != nil {
			return err
		}
	}
	if d.w == nil {
		if err := d.begin(); err != nil {
			return err
		}
		d.wKey = aead
	}
	rec := make([]byte, recHeader, recHeader+len(b.data)+256)
	if _, err := rand.Read(rec[recHeader : recHeader+12]); err != nil {
		return err
	}
	rec = rec[:recHeader+12]
	rec = d.wKey.Seal(rec, rec[recHeader:], b.appendTo(make([]byte, 0, len(b.data)+128)), aad(d.wHead, d.wOff))
	h := rec[:recHeader]
	binary.LittleEndian.PutUint32(h, uint32(len(rec)-recHeader))
	binary.LittleEndian.PutUint32(h[4:], uint32(b.count))
	binary.LittleEndian.PutUint64(h[8:], uint64(b.from))
	binary.LittleEndian.PutUint64(h[16:], uint64(b.to))
	binary.LittleEndian.PutUint32(h[24:], crc32.Checksum(rec[recHeader:], castagnoli))
	binary.LittleEndian.PutUint32(h[28:], crc32.Checksum(h[:28], castagnoli))
	if _, err := d.w.WriteAt(rec, d.wOff); err != nil {
		d.w.Truncate(d.wOff)
		return fmt.Errorf("cannot write spool record: %w", err)
	}
	d.wOff += int64(len(rec))
	d.bytes += int64(len(rec))
	d.dirty = true
	if now := time.Now(); now.Sub(d.last) >= syncEvery {
		d.last = now
		return d.sync()
	}
	return nil
}

func aad(head [segHeader]byte, off int64) []byte {
	return binary.LittleEndian.AppendUint64(append(make([]byte, 0, segHeader+8), head[:]...), uint64(off))
}

func (d *spoolDir) begin() error {
	d.number++ // never used twice, lest the cursor of a segment long gone be taken for this one's
	n := d.number
	f, err := os.OpenFile(d.segPath(n), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make spool segment: %w", err)
	}
	copy(d.wHead[:], segMagic[:])
	if _, err = rand.Read(d.wHead[8:]); err == nil {
		_, err = f.WriteAt(d.wHead[:], 0)
	}
	if err != nil {
		f.Close()
		os.Remove(d.segPath(n))
		return fmt.Errorf("cannot write spool segment: %w", err)
	}
	d.w, d.wOff, d.fresh = f, segHeader, true
	d.bytes += segHeader
	d.segs = append(d.segs, n)
	return nil
}

// roll ends the last segment.
func (d *spoolDir) roll() error {
	err := d.sync()
	d.w.Close()
	d.w = nil
	return err
}

func (d *spoolDir) sync() error {
	if d.w == nil || !d.dirty {
		return nil
	}
	if err := d.w.Sync(); err != nil {
		return fmt.Errorf("cannot sync spool: %w", err)
	}
	d.dirty = false
	if d.fresh {
		d.fresh = false
		if err := syncDir(d.path); err != nil {
			return fmt.Errorf("cannot sync spool folder: %w", err)
		}
	}
	return nil
}

// peek returns the oldest batch, nil if there is none. bad is told of damage, with the batch's numbers where they survived.
func (d *spoolDir) peek(bad func(*batch)) (*batch, error) {
	if d.held != nil {
		return d.held, nil
	}
	for len(d.segs) > 0 {
		if d.r == nil {
			f, err := os.Open(d.segPath(d.segs[0]))
			if err != nil {
				return nil, fmt.Errorf("cannot open spool segment: %w", err)
			}
			d.r = f
			if _, err := f.ReadAt(d.rHead[:], 0); err != nil || [8]byte(d.rHead[:8]) != segMagic {
				bad(nil)
				if err := d.dropFirst(); err != nil {
					return nil, err
				}
				continue
			}
			if d.rOff < segHeader {
				d.rOff = segHeader
				d.bytes -= segHeader
			}
		}
		end, err := d.firstEnd()
		if err != nil {
			return nil, err
		}
		if d.rOff >= end {
			if d.isLast() {
				return nil, nil
			}
			if err := d.dropFirst(); err != nil {
				return nil, err
			}
			continue
		}
		b, size, ok, err := d.record(end)
		switch {
		case err != nil: // later, perhaps
			return nil, err
		case size == 0: // torn, or its header damaged: the rest of the segment is unknown
			bad(nil)
			if d.isLast() { // cannot be, of the segment being written, but for a failing disk
				if err := d.roll(); err != nil {
					return nil, err
				}
			}
			if err := d.dropFirst(); err != nil {
				return nil, err
			}
		case !ok:
			if b.series == (series{}) {
				b = nil
			}
			bad(b)
			d.rEnd = d.rOff + size
			if err := d.advance(); err != nil {
				return nil, err
			}
		default:
			d.rEnd = d.rOff + size
			d.held = b
			return b, nil
		}
	}
	return nil, nil
}

// isLast reports whether the first segment is the one being written.
func (d *spoolDir) isLast() bool { return len(d.segs) == 1 && d.w != nil }

func (d *spoolDir) firstEnd() (int64, error) {
	if d.isLast() {
		return d.wOff, nil
	}
	i, err := d.r.Stat()
	if err != nil {
		return 0, err
	}
	return i.Size(), nil
}

// record reads the record at rOff. size 0: it does not end before end, or its header is damaged. Not ok: its content is damaged or
// was encrypted with a key that is gone; the batch then has numbers only. An error means that its key cannot be had now.
func (d *spoolDir) record(end int64) (b *batch, size int64, ok bool, err error) {
	var h [recHeader]byte
	if end-d.rOff < recHeader {
		return nil, 0, false, nil
	}
	if _, err := d.r.ReadAt(h[:], d.rOff); err != nil {
		return nil, 0, false, nil
	}
	n := int64(binary.LittleEndian.Uint32(h[:]))
	if crc32.Checksum(h[:28], castagnoli) != binary.LittleEndian.Uint32(h[28:]) || n < 28 || n > maxRecord || d.rOff+recHeader+n > end {
		return nil, 0, false, nil
	}
	size = recHeader + n
	hollow := &batch{series: d.series, count: int64(binary.LittleEndian.Uint32(h[4:])), from: int64(binary.LittleEndian.Uint64(h[8:])), to: int64(binary.LittleEndian.Uint64(h[16:]))}
	c := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(d.r, d.rOff+recHeader, n), c); err != nil {
		return hollow, size, false, nil
	}
	if crc32.Checksum(c, castagnoli) != binary.LittleEndian.Uint32(h[24:]) {
		return hollow, size, false, nil
	}
	p, ok, err := d.keys.open(c[:12], c[12:], aad(d.rHead, d.rOff))
	if !ok {
		return hollow, size, false, err
	}
	b, err = parseBatch(p)
	if err != nil {
		return hollow, size, false, nil
	}
	return b, size, true, nil
}

// commit removes the batch that peek returned.
func (d *spoolDir) commit() error {
	if d.held == nil {
		return nil
	}
	d.held = nil
	return d.advance()
}

// advance moves the front behind the record at rOff and says so on disk, so that a successor does not ship it again. The cursor
// need not be synced: what is shipped twice has the same ids.
func (d *spoolDir) advance() error {
	d.bytes -= d.rEnd - d.rOff
	d.rOff = d.rEnd
	end, err := d.firstEnd()
	if err != nil {
		return err
	}
	if d.rOff >= end {
		if d.isLast() { // all shipped: begin anew with the next batch
			d.dirty = false
			if err := d.roll(); err != nil {
				return err
			}
		}
		return d.dropFirst()
	}
	var c [20]byte
	binary.LittleEndian.PutUint64(c[:], d.segs[0])
	binary.LittleEndian.PutUint64(c[8:], uint64(d.rOff))
	binary.LittleEndian.PutUint32(c[16:], crc32.Checksum(c[:16], castagnoli))
	return os.WriteFile(filepath.Join(d.path, cursorName), c[:], 0o600)
}

// dropFirst removes the first segment with what is unread in it.
func (d *spoolDir) dropFirst() error {
	i, err := d.r.Stat()
	if err == nil {
		d.bytes -= i.Size() - d.rOff
	}
	d.r.Close()
	d.r = nil
	n := d.segs[0]
	d.segs = d.segs[1:]
	d.rOff = 0
	if len(d.segs) == 0 {
		d.bytes = 0
	}
	if err := os.Remove(d.segPath(n)); err != nil {
		return fmt.Errorf("cannot remove spool segment: %w", err)
	}
	return nil
}

// release closes the files and gives up the lock; the folder stays for another process.
func (d *spoolDir) release() {
	if d.w != nil {
		d.w.Close()
	}
	if d.r != nil {
		d.r.Close()
	}
	d.w, d.r = nil, nil
	d.lock.Close()
}

// remove removes the folder, whose batches have all been shipped.
func (d *spoolDir) remove() error {
	if d.w != nil {
		d.w.Close()
	}
	if d.r != nil {
		d.r.Close()
	}
	d.w, d.r = nil, nil
	err := removeLocked(d.path, d.lock)
	d.lock.Close()
	return err
}
