package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxDirectory is the size of the largest directory file, bytes.
const maxDirectory = 64 << 20

// DirectoryFile is a directory that follows its file: a changed file is read, checked and swapped in whole; one that cannot
// be used leaves the directory as it was.
type DirectoryFile struct {
	path    string
	current atomic.Pointer[Directory]

	mu   sync.Mutex // guards the state of the file at the last look
	mod  time.Time
	size int64
	sum  [sha256.Size]byte
}

// OpenDirectory reads the file for the first time; then it must be good.
func OpenDirectory(path string) (*DirectoryFile, error) {
	f := &DirectoryFile{path: path}
	if _, err := f.Check(); err != nil {
		return nil, err
	}
	return f, nil
}

// Current returns the directory as of the last good file. It may be called concurrently with Run.
func (f *DirectoryFile) Current() *Directory {
	if f == nil {
		return nil
	}
	return f.current.Load()
}

// Check looks at the file once and reports whether its content changed since the last look. Polling, unlike notification,
// works across every way of replacing a file: rename, overwrite, Kubernetes' symbolic links, network file systems.
func (f *DirectoryFile) Check() (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st, err := os.Stat(f.path)
	if err != nil {
		return false, fmt.Errorf("cannot read directory: %w", err)
	}
	if st.ModTime().Equal(f.mod) && st.Size() == f.size && time.Since(f.mod) > 5*time.Second {
		return false, nil // a younger file may change again within the resolution of its time
	}
	b, err := readFile(f.path)
	if err != nil {
		return false, fmt.Errorf("cannot read directory %s: %w", f.path, err)
	}
	f.mod, f.size = st.ModTime(), st.Size()
	sum := sha256.Sum256(b)
	if sum == f.sum {
		return false, nil
	}
	f.sum = sum
	d, err := ParseDirectory(f.path, b)
	if err != nil {
		return true, fmt.Errorf("cannot use directory %s: %w", f.path, err)
	}
	f.current.Store(d)
	return true, nil
}

// Run looks at the file every interval until ctx ends, and reports changes and failures.
func (f *DirectoryFile) Run(ctx context.Context, interval time.Duration, report func(error)) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if changed, err := f.Check(); changed || err != nil {
			report(err)
		}
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDirectory+1))
	if err == nil && len(b) > maxDirectory {
		err = errors.New("the file is larger than 64 MiB")
	}
	return b, err
}
