package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Store keeps snapshots. It need not understand them: they carry their own checksum.
type Store interface {
	// Load returns the snapshots kept, newest first; none is not an error. A snapshot may be damaged.
	Load(ctx context.Context) ([][]byte, error)
	// Save keeps the snapshot durably, and the one before it. If it fails, or the process dies in it, at least one snapshot that
	// was there before can still be loaded.
	Save(ctx context.Context, snapshot []byte) error
}

// FileStore keeps snapshots in a folder of its own: `<name>.snapshot` and, from the time before, `<name>.snapshot.previous`.
type FileStore struct{ dir, name string }

// NewFileStore makes the folder if need be, open to its owner only. name distinguishes engines that share the folder.
func NewFileStore(dir, name string) (*FileStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder for detector state: %w", err)
	}
	return &FileStore{dir, name}, nil
}

func (s *FileStore) path(suffix string) string {
	return filepath.Join(s.dir, s.name+".snapshot"+suffix)
}

// Load implements Store.
func (s *FileStore) Load(context.Context) ([][]byte, error) {
	var out [][]byte
	for _, suffix := range []string{"", ".previous"} {
		b, err := os.ReadFile(s.path(suffix))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("cannot read detector state: %w", err)
		default:
			out = append(out, b)
		}
	}
	return out, nil
}

// Save implements Store: the new snapshot is written beside, synced, and put in place by renames, each of which is atomic.
func (s *FileStore) Save(_ context.Context, snapshot []byte) error {
	if err := s.save(snapshot); err != nil {
		return fmt.Errorf("cannot write detector state: %w", err)
	}
	return nil
}

func (s *FileStore) save(snapshot []byte) (err error) {
	next := s.path(".next")
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(snapshot)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(next)
		return err
	}
	if err := os.Rename(s.path(""), s.path(".previous")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(next, s.path("")); err != nil {
		return err
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
