package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// spool keeps sealed batches on disk, encrypted, while the collector is away. Each tap process has a folder of its own in the spool
// directory, locked (flock) as long as the process lives; once it is dead, another process adopts the folder and ships what is left
// in it, unchanged. The directory's size is bounded: what is there stays, what is new is refused.
type spool struct {
	dir     string
	keyFile string
	max     int64
	name    string // of this process's folder
	series  series // of this process's batches

	mu       sync.Mutex // guards everything below
	keys     *keyring   // nil until the first use
	own      *spoolDir  // nil until the first append
	adopted  []*spoolDir
	others   int64 // bytes of all other folders, at last count
	counted  time.Time
	corrupt  uint64
	isClosed bool
}

var (
	errSpoolFull   = errors.New("spool is full")
	errSpoolClosed = errors.New("spool is closed")
)

const (
	segmentBytes = 4 << 20
	finalReserve = 64 << 10 // beyond the bound, for the loss records that say that it was reached
	countEvery   = 10 * time.Second
	syncEvery    = time.Second
	dirPrefix    = "tap-"
	tmpPrefix    = "new-"
	lockName     = "lock"
	cursorName   = "cursor"
	seriesName   = "series"
	segSuffix    = ".seg"
	staleTmp     = time.Hour
)

func newSpool(cfg Config, epoch int64) *spool {
	return &spool{dir: cfg.SpoolDir, keyFile: cfg.SpoolKeyFile, max: cfg.SpoolMaxBytes, series: series{cfg.TapID, epoch},
		name: dirPrefix + strconv.FormatInt(epoch, 36) + "-" + strconv.Itoa(os.Getpid())}
}

// open readies directory and key; with s.mu.
func (s *spool) open() error {
	if s.isClosed {
		return errSpoolClosed
	}
	if s.keys != nil {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("cannot make spool directory: %w", err)
	}
	keys := &keyring{path: s.keyFile}
	if _, err := keys.current(); err != nil {
		return err
	}
	s.keys = keys
	return nil
}

// append writes a batch to disk. It is in the page cache when append returns, which survives the death of the process; append or
// flush bring it to the disk itself about a second later.
func (s *spool) append(b *batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	if now := time.Now(); now.Sub(s.counted) > countEvery {
		s.counted = now
		s.others = s.countOthers()
	}
	limit := s.max
	if b.final {
		limit += finalReserve
	}
	used := s.others
	if s.own != nil {
		used += s.own.bytes
	}
	if used+int64(len(b.data))+recordOverhead > limit {
		return errSpoolFull
	}
	if s.own == nil {
		d, err := createSpoolDir(s.dir, s.name, s.series, s.keys)
		if err != nil {
			return err
		}
		s.own = d
	}
	return s.own.append(b)
}

// flush syncs what was written more than a second ago, and reports whether something is left to sync.
func (s *spool) flush(now time.Time) (dirty bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == nil || !s.own.dirty {
		return false, nil
	}
	if now.Sub(s.own.last) < syncEvery {
		return true, nil
	}
	s.own.last = now
	return false, s.own.sync()
}

// next returns the oldest batch on disk, of this process first, without removing it: commit does. nil if there is none. lost is told
// of batches that cannot be read back; it must not call the spool.
func (s *spool) next(lost func(*batch)) (*batch, *spoolDir, error) {
	var bad []*batch
	b, d, err := s.read(&bad)
	for _, b := range bad {
		lost(b)
	}
	return b, d, err
}

func (s *spool) read(bad *[]*batch) (*batch, *spoolDir, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	onBad := func(b *batch) {
		s.corrupt++
		*bad = append(*bad, b)
	}
	if s.own != nil {
		if b, err := s.own.peek(onBad); b != nil || err != nil {
			return b, s.own, err
		}
	}
	for len(s.adopted) > 0 {
		d := s.adopted[0]
		b, err := d.peek(onBad)
		if b != nil {
			return b, d, nil
		}
		s.adopted = s.adopted[1:]
		if err != nil { // leave it to another day
			d.release()
			return nil, nil, err
		}
		if err := d.remove(); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, nil
}

// adopt locks the folders of dead processes, so that next returns what is in them. Without a spool directory there is nothing to do.
func (s *spool) adopt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed || len(s.adopted) > 0 {
		return nil
	}
	if s.keys != nil {
		s.keys.sweep(s.dir)
	}
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var errs error
	for _, e := range entries {
		p := filepath.Join(s.dir, e.Name())
		switch {
		case !e.IsDir() || e.Name() == s.name:
			continue
		case strings.HasPrefix(e.Name(), tmpPrefix):
			if i, err := e.Info(); err == nil && time.Since(i.ModTime()) > staleTmp {
				os.RemoveAll(p) // its process died between making it and naming it
			}
			continue
		case !strings.HasPrefix(e.Name(), dirPrefix):
			continue
		}
		lock, err := tryLock(p)
		if err != nil {
			errs = errors.Join(errs, err)
		}
		if lock == nil { // its process lives
			continue
		}
		if err := s.open(); err != nil {
			lock.Close()
			return err
		}
		d, err := openSpoolDir(p, lock, s.keys)
		if err != nil {
			lock.Close()
			errs = errors.Join(errs, err)
			continue
		}
		s.adopted = append(s.adopted, d)
	}
	return errs
}

// tryLock locks a folder whose process is dead. nil, nil if it lives, or the folder has gone meanwhile.
func tryLock(dir string) (*os.File, error) {
	p := filepath.Join(dir, lockName)
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	ok, err := flock(f)
	if err != nil || !ok {
		f.Close()
		return nil, err
	}
	// Another tap may have shipped and removed it between open and lock.
	a, err1 := f.Stat()
	b, err2 := os.Stat(p)
	if err1 != nil || err2 != nil || !os.SameFile(a, b) {
		f.Close()
		return nil, nil
	}
	return f, nil
}

func (s *spool) countOthers() (n int64) {
	filepath.WalkDir(s.dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if e.IsDir() && e.Name() == s.name {
			return fs.SkipDir
		}
		if strings.HasSuffix(e.Name(), segSuffix) {
			if i, err := e.Info(); err == nil {
				n += i.Size()
			}
		}
		return nil
	})
	return n
}

func (s *spool) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == nil {
		return 0
	}
	return s.own.bytes
}

func (s *spool) isOwn(d *spoolDir) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own == d
}

func (s *spool) corruptCount() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.corrupt
}

// commit removes the batch that next returned last from d.
func (s *spool) commit(d *spoolDir) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return d.commit()
}

// close syncs what is on disk and lets go of it; an empty folder is removed.
func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isClosed = true
	for _, d := range s.adopted {
		d.release()
	}
	s.adopted = nil
	if s.own == nil {
		return nil
	}
	if s.own.bytes == 0 {
		return s.own.remove()
	}
	err := s.own.sync()
	s.own.release()
	return err
}

func segmentNumbers(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ns []uint64
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), segSuffix); ok {
			if n, err := strconv.ParseUint(base, 10, 63); err == nil {
				ns = append(ns, n)
			}
		}
	}
	slices.Sort(ns)
	return ns, nil
}
