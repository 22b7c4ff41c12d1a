package keysource

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// FormerMark is in the names of the files with keys that were in use before: KEY.former.* beside KEY. Names of later ones sort later.
const FormerMark = ".former."

// Replace puts another key in the place of a key's file: the one in path.next, or one that generate makes there. The former one keeps a name of its own, which it has before it loses the
// first, so that at any moment there is a key in use and every former one can be found. check reads a key, to see whether it can be used.
func Replace(path string, generate, check func(path string) error) error {
	fail := func(err error) error { return fmt.Errorf("cannot replace the key %s: %w", path, err) }
	next := path + ".next"
	now, err := os.ReadFile(path)
	if err != nil {
		return fail(err)
	}
	if _, err := os.Stat(next); errors.Is(err, fs.ErrNotExist) {
		if _, elsewhere, _ := Parse(now); elsewhere {
			return fail(fmt.Errorf("it is elsewhere: make the next one there, and put where it is into %s, mode 0600", next))
		}
		if err := generate(next); err != nil {
			return fail(err)
		}
	}
	if err := Private(next); err != nil {
		return fail(fmt.Errorf("%s: %w", next, err))
	}
	if err := check(next); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(now)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fail(err)
	}
	for _, move := range [][2]string{{tmp.Name(), path + FormerMark + strconv.FormatInt(time.Now().UnixNano(), 10)}, {next, path}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			return fail(err)
		}
		if err := syncDir(dir); err != nil {
			return fail(err)
		}
	}
	return nil
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // where folders cannot be synced
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
