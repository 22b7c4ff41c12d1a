package mcpconfig

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile bounds what is taken for a configuration file, bytes.
const maxFile = 64 << 20

// Result is what WrapFile or UnwrapFile did, or would do.
type Result struct {
	Path    string // the file itself, behind symbolic links
	Servers []Server
	Changed bool
	Backup  string // file with the bytes before wrapping: written by WrapFile, used by UnwrapFile
	Diff    string // unified, values masked
}

// WrapFile wraps the servers of a configuration file. Beside it a backup is left from which UnwrapFile restores the very bytes.
func WrapFile(path string, o Options, dryRun bool) (Result, error) {
	if !isTap(o.Tap) {
		return Result{}, errors.New("cannot wrap: the tap's executable must be called mcptap, or unwrap would not know it")
	}
	f, err := load(path)
	if err != nil {
		return Result{}, err
	}
	next, servers, err := Wrap(f.content, o)
	if err != nil {
		return Result{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if len(servers) == 0 {
		return Result{}, fmt.Errorf("cannot wrap %s: %w", path, ErrNoServers)
	}
	r := Result{Path: f.path, Servers: servers, Changed: !bytes.Equal(next, f.content), Diff: Diff(f.path, f.content, next)}
	if !r.Changed || dryRun {
		return r, nil
	}
	// A second wrap's backup is of the file without any tap, too.
	plain, _, err := Unwrap(f.content, Options{})
	if err != nil {
		return Result{}, err
	}
	if back, _, err := Unwrap(next, Options{}); err != nil || !bytes.Equal(back, plain) {
		return Result{}, fmt.Errorf("cannot wrap %s: unwrapping would not give the same file again", path)
	}
	older := f.backups()
	r.Backup = f.backupName(next)
	if err := f.write(r.Backup, plain); err != nil {
		return Result{}, err
	}
	if err := f.replace(next); err != nil {
		os.Remove(r.Backup)
		return Result{}, err
	}
	for _, b := range older {
		if b != r.Backup {
			os.Remove(b)
		}
	}
	return r, nil
}

// UnwrapFile undoes WrapFile. If the file is what WrapFile left, it becomes what it was, byte for byte; if it changed since, each
// server is restored in its place.
func UnwrapFile(path string, o Options, dryRun bool) (Result, error) {
	f, err := load(path)
	if err != nil {
		return Result{}, err
	}
	next, servers, err := Unwrap(f.content, o)
	if err != nil {
		return Result{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	r := Result{Path: f.path, Servers: servers}
	if o.Only == nil && len(o.Except) == 0 {
		name := f.backupName(f.content)
		if b, err := os.ReadFile(name); err == nil {
			r.Backup, next = name, b
		}
	}
	r.Changed, r.Diff = !bytes.Equal(next, f.content), Diff(f.path, f.content, next)
	if !r.Changed || dryRun {
		return r, nil
	}
	if err := f.replace(next); err != nil {
		return Result{}, err
	}
	if r.Backup != "" {
		os.Remove(r.Backup)
	}
	return r, nil
}

// file is a configuration file as it was read.
type file struct {
	path    string
	info    fs.FileInfo
	content []byte
}

func load(path string) (*file, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("cannot find the configuration file: %w", err)
	}
	h, err := os.Open(real)
	if err != nil {
		return nil, fmt.Errorf("cannot open the configuration file: %w", err)
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot edit %s: it is not a regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(h, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("cannot edit %s: it is larger than %d MiB", path, maxFile>>20)
	}
	return &file{real, info, content}, nil
}

const backupInfix = ".mcptap-"

// backupName names the backup that belongs to a wrapped content.
func (f *file) backupName(wrapped []byte) string {
	sum := sha256.Sum256(wrapped)
	return f.path + backupInfix + hex.EncodeToString(sum[:8]) + ".bak"
}

func (f *file) backups() []string {
	dir, base := filepath.Split(f.path)
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		n := e.Name()
		if len(n) == len(base)+len(backupInfix)+16+4 && n[:len(base)+len(backupInfix)] == base+backupInfix && n[len(n)-4:] == ".bak" {
			names = append(names, dir+n)
		}
	}
	return names
}

// replace puts content in the file's place at once, unless somebody changed it meanwhile.
func (f *file) replace(content []byte) error {
	tmp := f.path + backupInfix + "new"
	if err := f.write(tmp, content); err != nil {
		return err
	}
	now, err := os.ReadFile(f.path)
	if err == nil && !bytes.Equal(now, f.content) {
		err = errors.New("another program changed it just now; try again")
	}
	if err == nil {
		err = os.Rename(tmp, f.path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("cannot replace %s: %w", f.path, err)
	}
	if d, err := os.Open(filepath.Dir(f.path)); err == nil { // so that the new name survives a power cut; not all systems can
		_ = d.Sync()
		d.Close()
	}
	return nil
}

// write writes a file beside f, with f's mode and, where we may, owner.
func (f *file) write(name string, content []byte) (err error) {
	os.Remove(name)
	h, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write beside the configuration file: %w", err)
	}
	defer func() {
		if cerr := h.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("cannot write beside the configuration file: %w", cerr)
		}
		if err != nil {
			os.Remove(name)
		}
	}()
	if _, err = h.Write(content); err != nil {
		return fmt.Errorf("cannot write beside the configuration file: %w", err)
	}
	keepOwner(h, f.info)
	if err = h.Chmod(f.info.Mode().Perm()); err != nil {
		return fmt.Errorf("cannot set the mode of a file beside the configuration file: %w", err)
	}
	if err = h.Sync(); err != nil {
		return fmt.Errorf("cannot write beside the configuration file: %w", err)
	}
	return nil
}
