// Files of one event a line: what is written is on disk before it is acknowledged, and after a crash nothing is in them twice.

package ocsf

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// files writes one file of each class at a time, .CLASS.open, which becomes CLASS-TIME.ndjson when it is large or old enough.
type files struct {
	cfg   *FileConfig
	log   *zap.Logger
	known func(keys []string)
	lock  *os.File

	mu   sync.Mutex
	open map[string]*openFile // by class
	end  chan struct{}
	bg   sync.WaitGroup
}

type openFile struct {
	f     *os.File
	size  int64
	since time.Time
}

const (
	openSuffix    = ".open"
	closingSuffix = ".closing" // complete, not compressed yet
	plainSuffix   = ".ndjson"
	gzipSuffix    = ".ndjson.gz"
)

func newFiles(cfg *FileConfig, known func([]string), log *zap.Logger) *files {
	return &files{cfg: cfg, log: log, known: known, open: map[string]*openFile{}, end: make(chan struct{})}
}

func (t *files) start(context.Context, component.Host) error {
	if err := os.MkdirAll(t.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder for OCSF files: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(t.cfg.Dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write OCSF files: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return fmt.Errorf("another process writes OCSF files into %s", t.cfg.Dir)
	}
	t.lock = lock
	if err := t.recover(); err != nil {
		t.closeAll()
		return err
	}
	t.bg.Go(t.age)
	return nil
}

// recover takes up what an earlier process left: a line that it did not finish goes, and what is there is known.
func (t *files) recover() error {
	entries, err := os.ReadDir(t.cfg.Dir)
	if err != nil {
		return fmt.Errorf("cannot read the folder of OCSF files: %w", err)
	}
	newest := map[string]string{} // of the finished ones, by class
	for i := range entries {
		name := entries[i].Name()
		if base, ok := strings.CutSuffix(name, closingSuffix); ok {
			if err := t.pack(base[1:]); err != nil {
				return fmt.Errorf("cannot finish an OCSF file: %w", err)
			}
			name = base[1:] + gzipSuffix
		}
		switch {
		case strings.HasPrefix(name, ".tmp-"):
			_ = os.Remove(filepath.Join(t.cfg.Dir, name))
		case strings.HasPrefix(name, ".") && strings.HasSuffix(name, openSuffix):
			if err := t.reopen(strings.TrimSuffix(name[1:], openSuffix)); err != nil {
				return err
			}
		case strings.HasSuffix(name, plainSuffix), strings.HasSuffix(name, gzipSuffix):
			class, _, _ := strings.Cut(name, "-")
			newest[class] = max(newest[class], name)
		}
	}
	for _, name := range newest {
		if err := t.learn(filepath.Join(t.cfg.Dir, name)); err != nil {
			t.log.Warn("A finished file cannot be read; events of messages that come again may be in files twice", zap.String("file", name), zap.Error(err))
		}
	}
	return nil
}

func (t *files) reopen(class string) error {
	path := filepath.Join(t.cfg.Dir, "."+class+openSuffix)
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open an OCSF file: %w", err)
	}
	keys, whole, err := scan(f)
	if err != nil {
		f.Close()
		return fmt.Errorf("cannot read OCSF file %s: %w", path, err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() > whole {
		t.log.Warn("An OCSF file ended within a line; the line goes, its message comes again", zap.String("file", path), zap.Int64("bytes", st.Size()-whole))
		if err = f.Truncate(whole); err == nil {
			err = f.Sync()
		}
	}
	if err == nil {
		_, err = f.Seek(whole, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("cannot mend OCSF file %s: %w", path, err)
	}
	t.known(keys)
	t.open[class] = &openFile{f: f, size: whole, since: st.ModTime()}
	return nil
}

func (t *files) learn(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, gzipSuffix) {
		if r, err = gzip.NewReader(f); err != nil {
			return err
		}
	}
	keys, _, err := scan(r)
	t.known(keys)
	return err
}

// scan reads the keys of the events in a file and how many bytes its whole lines have.
func scan(r io.Reader) (keys []string, whole int64, err error) {
	br := bufio.NewReaderSize(r, 1<<20)
	for {
		l, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return keys, whole, nil
		}
		if err != nil {
			return keys, whole, err
		}
		whole += int64(len(l))
		if uid := UID(l); uid != "" {
			keys = append(keys, uid)
		}
	}
}

// UID is the record's key in an event of this exporter, "" if there is none.
func UID(event []byte) string {
	var e struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	if json.Unmarshal(event, &e) != nil {
		return ""
	}
	return e.Metadata.UID
}

// Files lists the files that a folder of this exporter has, the open ones last.
func Files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the folder of OCSF files: %w", err)
	}
	var out, open []string
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, ".") && strings.HasSuffix(name, openSuffix):
			open = append(open, filepath.Join(dir, name))
		case strings.HasSuffix(name, closingSuffix):
			if _, err := os.Stat(filepath.Join(dir, strings.TrimSuffix(name[1:], closingSuffix)+gzipSuffix)); err != nil {
				open = append(open, filepath.Join(dir, name))
			}
		case strings.HasPrefix(name, "."):
		case strings.HasSuffix(name, plainSuffix), strings.HasSuffix(name, gzipSuffix):
			out = append(out, filepath.Join(dir, name))
		}
	}
	return append(out, open...), nil
}

func (t *files) deliver(_ context.Context, events []output, done func(*output), _ func(*output, string)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var classes []string
	for i := range events {
		if !slices.Contains(classes, events[i].class) {
			classes = append(classes, events[i].class)
		}
	}
	var errs []error
	for _, class := range classes {
		if err := t.write(class, events); err != nil {
			errs = append(errs, err)
			continue
		}
		for i := range events {
			if events[i].class == class {
				done(&events[i])
			}
		}
	}
	return errors.Join(errs...)
}

// write appends the class's events and returns when they are on disk. If that fails the file is as it was.
func (t *files) write(class string, events []output) error {
	fail := func(err error) error {
		return streams.WithReason(fmt.Errorf("cannot write OCSF file of class %s: %w", class, err), "file_error")
	}
	o := t.open[class]
	if o != nil && (o.size >= t.cfg.MaxBytes || time.Since(o.since) >= t.cfg.MaxAge && o.size > 0) {
		if err := t.finish(class); err != nil {
			return fail(err)
		}
		o = nil
	}
	if o == nil {
		f, err := os.OpenFile(filepath.Join(t.cfg.Dir, "."+class+openSuffix), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
		if err != nil {
			return fail(err)
		}
		if err := syncDir(t.cfg.Dir); err != nil {
			f.Close()
			return fail(err)
		}
		o = &openFile{f: f, since: time.Now()}
		t.open[class] = o
	}
	var b bytes.Buffer
	for i := range events {
		if events[i].class == class {
			b.Write(events[i].body)
			b.WriteByte('\n')
		}
	}
	_, err := o.f.WriteAt(b.Bytes(), o.size)
	if err == nil {
		err = unix.Fdatasync(int(o.f.Fd()))
	}
	if err != nil {
		// Whether it is on disk is not known: it must not be there when the message comes again.
		if terr := o.f.Truncate(o.size); terr != nil {
			err = errors.Join(err, terr)
		}
		return fail(err)
	}
	o.size += int64(b.Len())
	return nil
}

// finish gives the open file of a class its name, compressed if so configured.
func (t *files) finish(class string) error {
	o := t.open[class]
	if o == nil {
		return nil
	}
	from := filepath.Join(t.cfg.Dir, "."+class+openSuffix)
	if o.size == 0 {
		o.f.Close()
		delete(t.open, class)
		return os.Remove(from)
	}
	base := class + "-" + time.Now().UTC().Format("20060102T150405.000000000Z")
	if t.cfg.Compression != gzipped {
		if err := os.Rename(from, filepath.Join(t.cfg.Dir, base+plainSuffix)); err != nil {
			return err
		}
		o.f.Close()
		delete(t.open, class)
		return syncDir(t.cfg.Dir)
	}
	if err := os.Rename(from, filepath.Join(t.cfg.Dir, "."+base+closingSuffix)); err != nil {
		return err
	}
	o.f.Close()
	delete(t.open, class)
	return t.pack(base)
}

// pack compresses a file that gets no more events. A crash anywhere in it is made good by doing it again.
func (t *files) pack(base string) error {
	from, to, tmp := filepath.Join(t.cfg.Dir, "."+base+closingSuffix), filepath.Join(t.cfg.Dir, base+gzipSuffix), filepath.Join(t.cfg.Dir, ".tmp-"+base)
	if _, err := os.Stat(to); errors.Is(err, os.ErrNotExist) {
		if err := compress(from, tmp); err != nil {
			_ = os.Remove(tmp)
			return err
		}
		if err := os.Rename(tmp, to); err != nil {
			return err
		}
		if err := syncDir(t.cfg.Dir); err != nil {
			return err
		}
	}
	return os.Remove(from)
}

func compress(path, to string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	z, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if _, err = io.Copy(z, from); err == nil {
		err = z.Close()
	}
	if err == nil {
		err = f.Sync()
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// age finishes files that are old enough though nothing comes any more.
func (t *files) age() {
	tick := time.NewTicker(min(max(t.cfg.MaxAge/10, 100*time.Millisecond), 30*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-t.end:
			return
		case <-tick.C:
		}
		t.mu.Lock()
		for class, o := range t.open {
			if o.size > 0 && time.Since(o.since) >= t.cfg.MaxAge {
				if err := t.finish(class); err != nil {
					t.log.Error("An OCSF file cannot be finished", zap.String("class", class), zap.Error(err))
				}
			}
		}
		t.mu.Unlock()
	}
}

func (t *files) stop() error {
	if t.lock == nil {
		return nil
	}
	close(t.end)
	t.bg.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for class := range t.open {
		errs = append(errs, t.finish(class))
	}
	t.closeAll()
	return errors.Join(errs...)
}

func (t *files) closeAll() {
	for class, o := range t.open {
		o.f.Close()
		delete(t.open, class)
	}
	t.lock.Close()
	t.lock = nil
}
