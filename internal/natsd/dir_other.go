//go:build !unix

// Directory lock and free space elsewhere: an exclusively opened file, no check of free space.

package natsd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "lock")
	// Windows refuses to remove a file that another process holds open.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot use the NATS directory %s: %w; stop that process first", dir, ErrInUse)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write to the NATS directory: %w", err)
	}
	return &dirLock{f}, nil
}

func (l *dirLock) release() { l.f.Close() }

func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }

func ignoreUnsupported(error) error { return nil }
