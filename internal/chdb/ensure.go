// Getting the engine's library: once for each machine, by its npm name, verified before anything of it is used.

package chdb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// EnsureOptions says where the library is kept and who hears of the progress.
type EnsureOptions struct {
	CacheDir string    // default: $XDG_CACHE_HOME/mcpsiem or ~/.cache/mcpsiem
	Progress io.Writer // lines for people; nil for none
}

const libName = "libchdb.so"

// Ensure returns the path of the engine's library, and fetches it first where the cache has none: about 180 MB over the
// network and 570 MB on disk. Several processes may call it at once; one fetches and the others wait. A broken download
// is resumed by the next call.
func Ensure(ctx context.Context, o EnsureOptions) (string, error) {
	if lib := os.Getenv(EnvLib); lib != "" {
		if _, err := os.Stat(lib); err != nil {
			return "", fmt.Errorf("cannot use the ClickHouse library that %s names: %w", EnvLib, err)
		}
		return lib, nil
	}
	p, err := platformPin()
	if err != nil {
		return "", err
	}
	f := fetcher{pin: p, progress: o.Progress, client: http.DefaultClient, npm: npm}
	if f.progress == nil {
		f.progress = io.Discard
	}
	dir, err := cacheDir(o.CacheDir)
	if err != nil {
		return "", err
	}
	return f.ensure(ctx, dir)
}

// fetcher gets one pinned package. npm and client are its two ways to the outside.
type fetcher struct {
	pin      pin
	progress io.Writer
	client   *http.Client
	npm      func(ctx context.Context, dir string, args ...string) (string, error)
}

func (f *fetcher) ensure(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "chdb-"+Version)
	lib := filepath.Join(dir, libName)
	if f.present(lib) {
		return lib, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot make the cache folder for ClickHouse: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("cannot lock the cache folder for ClickHouse: %w", err)
	}
	defer unlock()
	if f.present(lib) { // another process fetched it while we waited
		return lib, nil
	}
	tgz := filepath.Join(dir, "package.tgz")
	if err := f.download(ctx, tgz); err != nil {
		return "", f.explain(err)
	}
	fmt.Fprintln(f.progress, "ClickHouse: unpacking")
	if err := unpack(ctx, tgz, lib, f.pin.size); err != nil {
		return "", f.explain(err)
	}
	_ = os.Remove(tgz)
	fmt.Fprintln(f.progress, "ClickHouse: ready")
	return lib, nil
}

// present reports whether the library is there in full. It is renamed into place only after its package was verified, so
// that its size is enough to tell.
func (f *fetcher) present(lib string) bool {
	st, err := os.Stat(lib)
	return err == nil && st.Mode().IsRegular() && st.Size() == f.pin.size
}

// explain adds what to do to an error.
func (f *fetcher) explain(err error) error {
	spec := f.pin.name + "@" + Version
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("cannot fetch ClickHouse (%s): the disk is full: it needs 750 MB while it is unpacked; free room or point XDG_CACHE_HOME elsewhere: %w", spec, err)
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("cannot fetch ClickHouse (%s): the npm client is not installed; install npm, or run `npm pack %s` elsewhere, unpack %s and set %s to its path: %w", spec, spec, libName, EnvLib, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("cannot fetch ClickHouse (%s): interrupted; run again to go on where it stopped: %w", spec, err)
	}
	return fmt.Errorf("cannot fetch ClickHouse (%s): %w; check that npm reaches its registry, or run `npm pack %s` elsewhere, unpack %s and set %s to its path", spec, err, spec, libName, EnvLib)
}

// download leaves the verified package at tgz. It takes the address from npm and downloads by itself, since npm neither resumes nor
// shows progress; where that does not work, npm does it.
func (f *fetcher) download(ctx context.Context, tgz string) error {
	if f.verify(tgz) == nil {
		return nil
	}
	part := tgz + ".part"
	direct := f.direct(ctx, part)
	if direct == nil {
		if direct = f.verify(part); direct == nil {
			return os.Rename(part, tgz)
		}
		_ = os.Remove(part) // complete and wrong: nothing to resume
	}
	if ctx.Err() != nil || errors.Is(direct, syscall.ENOSPC) || errors.Is(direct, exec.ErrNotFound) {
		return direct
	}
	fmt.Fprintln(f.progress, "ClickHouse: direct download failed, trying npm pack")
	dir, err := os.MkdirTemp(filepath.Dir(tgz), "pack")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out, err := f.npm(ctx, dir, "pack", "--silent", f.pin.name+"@"+Version)
	if err != nil {
		return fmt.Errorf("%w (and before that: %w)", err, direct)
	}
	lines := strings.Fields(out)
	if len(lines) == 0 {
		return errors.New("npm pack named no file")
	}
	packed := filepath.Join(dir, filepath.Base(lines[len(lines)-1]))
	if err := f.verify(packed); err != nil {
		return err
	}
	_ = os.Remove(part)
	return os.Rename(packed, tgz)
}

// direct downloads to part, from where an earlier try stopped.
func (f *fetcher) direct(ctx context.Context, part string) error {
	out, err := f.npm(ctx, "", "view", f.pin.name+"@"+Version, "dist.tarball")
	if err != nil {
		return err
	}
	url := strings.TrimSpace(out)
	if url == "" {
		return errors.New("npm knows no such package")
	}
	const tries = 5
	for i := 0; ; i++ {
		err = f.fetchRange(ctx, url, part)
		var refused *statusError
		if err == nil || errors.As(err, &refused) || ctx.Err() != nil || errors.Is(err, syscall.ENOSPC) || i == tries-1 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second << i):
		}
	}
}

// statusError is an answer that a second try would not change.
type statusError struct{ status string }

func (e *statusError) Error() string { return "the download answered " + e.status }

// stallTimeout ends a download that brings nothing for so long.
const stallTimeout = time.Minute

func (f *fetcher) fetchRange(ctx context.Context, url, part string) error {
	out, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stall := time.AfterFunc(stallTimeout, cancel)
	defer stall.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return errors.New("npm named no usable address")
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		if have > 0 { // it does not resume: start over
			have = 0
			if err := out.Truncate(0); err != nil {
				return err
			}
			if _, err := out.Seek(0, io.SeekStart); err != nil {
				return err
			}
		}
	case http.StatusPartialContent:
		var at int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &at); err != nil || at != have {
			_ = out.Truncate(0)
			return errors.New("the server resumed elsewhere than asked")
		}
	case http.StatusRequestedRangeNotSatisfiable: // all is there; verify says whether it is right
		return nil
	default:
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
			return fmt.Errorf("the download answered %s", resp.Status)
		}
		return &statusError{resp.Status}
	}
	total := have + resp.ContentLength
	if resp.ContentLength < 0 {
		total = 0
	}
	last := time.Now()
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			stall.Reset(stallTimeout)
			if _, err := out.Write(buf[:n]); err != nil {
				return err
			}
			have += int64(n)
			if time.Since(last) > 2*time.Second {
				last = time.Now()
				if total > 0 {
					fmt.Fprintf(f.progress, "ClickHouse: %d of %d MB\n", have>>20, total>>20)
				} else {
					fmt.Fprintf(f.progress, "ClickHouse: %d MB\n", have>>20)
				}
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	return out.Sync()
}

// verify compares a file with the pinned hash.
func (f *fetcher) verify(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha512.New()
	if _, err := io.Copy(h, in); err != nil {
		return err
	}
	want, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(f.pin.integrity, "sha512-"))
	if err != nil || subtle.ConstantTimeCompare(want, h.Sum(nil)) != 1 {
		return fmt.Errorf("the package is not the one that was tested: its SHA-512 differs from the pinned one")
	}
	return nil
}

// unpack takes the library alone out of a verified package and moves it to lib at once.
func unpack(ctx context.Context, tgz, lib string, size int64) error {
	in, err := os.Open(tgz)
	if err != nil {
		return err
	}
	defer in.Close()
	gz, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("cannot unpack the package: %w", err)
	}
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return fmt.Errorf("the package holds no %s", libName)
		}
		if err != nil {
			return fmt.Errorf("cannot unpack the package: %w", err)
		}
		if filepath.Base(h.Name) != libName || h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size != size {
			return fmt.Errorf("%s in the package has %d bytes, not %d", libName, h.Size, size)
		}
		tmp := lib + ".tmp"
		out, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o700)
		if err != nil {
			return err
		}
		defer os.Remove(tmp)
		_, err = io.Copy(out, io.LimitReader(ctxReader{ctx, tr}, size))
		if err == nil {
			err = out.Sync()
		}
		if cerr := out.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		return os.Rename(tmp, lib)
	}
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// npm runs the npm client. Of its error output only npm's own error code comes back.
func npm(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "npm", args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if strings.Contains(stderr.String(), "ENOSPC") {
			return "", syscall.ENOSPC
		}
		code := ""
		for line := range strings.Lines(stderr.String()) {
			if _, c, ok := strings.Cut(line, "npm error code "); ok {
				code = ", " + strings.TrimSpace(c)
			}
		}
		return "", fmt.Errorf("npm %s failed: %w%s", args[0], err, code)
	}
	return stdout.String(), nil
}

// lockFile takes an exclusive lock that ends with the process, and waits for it as long as ctx lasts.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func flock(ctx context.Context, f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || err != unix.EWOULDBLOCK {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Cached returns the library's path where Ensure would have nothing to fetch, and an error otherwise.
func Cached(o EnsureOptions) (string, error) {
	if lib := os.Getenv(EnvLib); lib != "" {
		_, err := os.Stat(lib)
		return lib, err
	}
	p, err := platformPin()
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(o.CacheDir)
	if err != nil {
		return "", err
	}
	lib := filepath.Join(dir, "chdb-"+Version, libName)
	if f := (fetcher{pin: p}); !f.present(lib) {
		return "", errors.New("the ClickHouse library is not fetched yet")
	}
	return lib, nil
}

func cacheDir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	c, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cannot find a cache folder: %w; set XDG_CACHE_HOME or %s", err, EnvLib)
	}
	return filepath.Join(c, "mcpsiem"), nil
}
