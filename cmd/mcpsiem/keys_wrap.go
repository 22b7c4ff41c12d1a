package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/internal/keysource"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// wrapGrace is for how long the former wrapping key stays after the next one took its place: a process that was writing a key just then is done with it.
const wrapGrace = 2 * time.Second

// rotateWrap wraps the keys of tenants and archives with the next wrapping key, or with the present one what is not yet wrapped. Running processes take part without being told: what
// they write is wrapped with the next key as soon as it lies there, and they read what any of the two has wrapped. Cut off at any point, it is given again and goes on.
func (k *keysTarget) rotateWrap(c *cobra.Command) error {
	tenants, err := k.open()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w := keysource.Beside(k.keys())
	archives, err := (&removal{target: k.target}).archives()
	if err != nil {
		return err
	}
	lock, err := lockFolder(filepath.Dir(w.Path))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := prepareWrap(w); err != nil {
		return err
	}
	pass := func() (n int, err error) {
		if tenants != nil {
			if n, err = tenants.Rewrap(); err != nil {
				return n, err
			}
		}
		m := 0
		if archives.Wrapping() == w {
			m, err = archives.Rewrap()
		}
		return n + m, err
	}
	n, err := pass()
	if err != nil {
		return fmt.Errorf("%w (%d are wrapped anew, the former wrapping key is still needed; give the command again)", err, n)
	}
	if exists(w.Next()) {
		if exists(w.Path) {
			if err := os.Rename(w.Path, w.Former()); err != nil {
				return fmt.Errorf("cannot put the next wrapping key in place: %w", err)
			}
		}
		if err := errors.Join(os.Rename(w.Next(), w.Path), lock.Sync()); err != nil {
			return fmt.Errorf("cannot put the next wrapping key in place: %w", err)
		}
	}
	if exists(w.Former()) {
		wait, cancel := context.WithTimeout(c.Context(), wrapGrace)
		<-wait.Done()
		cancel()
		if err := c.Context().Err(); err != nil {
			return errors.New("interrupted: the former wrapping key is still there; give the command again")
		}
		more, err := pass()
		if err != nil {
			return fmt.Errorf("%w (the former wrapping key is still there; give the command again)", err)
		}
		n += more
		if err := keysource.Shred(w.Former()); err != nil {
			return fmt.Errorf("cannot remove the former wrapping key: %w", err)
		}
	}
	k.record(c, audit.KeyRotate, keysource.WrapFile, map[string]string{"keys": strconv.Itoa(n)})
	_, err = fmt.Fprintf(c.OutOrStdout(), "%d %s wrapped anew; all keys of tenants and archives are wrapped with the key in %s\n", n, plural(n, "key is", "keys are"), w.Path)
	return err
}

// prepareWrap sees to it that there is a key to wrap with, and that it can be fetched, before anything is changed.
func prepareWrap(w keysource.Wrapping) error {
	b, err := os.ReadFile(w.Path)
	switch {
	case exists(w.Next()):
	case errors.Is(err, fs.ErrNotExist):
		return withCode(exitUsage, fmt.Errorf("there is no wrapping key: put one, or where one is, into %s (mode 0600); a key beside the keys that it wraps protects little (docs/keys.md)", w.Next()))
	case err != nil:
		return fmt.Errorf("cannot read the wrapping key: %w", err)
	case !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) && !exists(w.Former()):
		d := state.Dir(filepath.Dir(filepath.Dir(w.Path)))
		if filepath.Dir(w.Path) != d.Path("secrets") {
			break // wraps what is not yet wrapped
		}
		if err := d.GenerateNext(keysource.WrapFile); err != nil {
			return err
		}
	}
	_, err = w.Wrap("test", make([]byte, 32))
	return err
}

// lockFolder keeps a second command off; it waits for none.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err == nil {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return f, nil
		}
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another command rotates the wrapping key")
		}
	}
	return nil, fmt.Errorf("cannot lock the folder of keys: %w", err)
}

// wrapped says how the keys of tenants lie on disk.
func wrappedText(k pseudonym.TenantKey) string {
	switch {
	case k.Epoch == 0:
		return "-"
	case k.Wrapped:
		return "file, wrapped"
	}
	return "file"
}
