//go:build unix

package tap

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// flock locks f for this process, without waiting. The lock goes with the open file: when the process dies, it is free.
func flock(f *os.File) (bool, error) {
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return false, nil
	default:
		return false, err
	}
}

// renameLocked renames a folder that holds the locked file.
func renameLocked(from, to string, _ **os.File) error { return os.Rename(from, to) }

// removeLocked removes a folder while its lock is held: the lock last, so that whoever opened it meanwhile finds it gone.
func removeLocked(dir string, _ *os.File) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != lockName {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
