package tap

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// flock locks f for this process, without waiting. When the process dies, the lock is free.
func flock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	}
	return false, err
}

// renameLocked renames a folder. Windows does not while a file in it is open, so the lock is taken again under the new name; if
// another process was faster, the folder is its, and empty.
func renameLocked(from, to string, lock **os.File) error {
	(*lock).Close()
	if err := os.Rename(from, to); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(to, lockName), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	*lock = f
	ok, err := flock(f)
	if err == nil && !ok {
		err = errors.New("another process has it")
	}
	return err
}

// removeLocked removes a folder whose lock is held: Windows wants the lock closed first.
func removeLocked(dir string, lock *os.File) error {
	lock.Close()
	return os.RemoveAll(dir)
}

func syncDir(string) error { return nil } // NTFS journals names
