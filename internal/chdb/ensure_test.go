package chdb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// testPackage makes a package whose library is lib.
func testPackage(t *testing.T, lib []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for name, data := range map[string][]byte{"package/index.js": []byte("x"), "package/libchdb.so": lib} {
		if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	gz.Close()
	return b.Bytes()
}

// registry serves one package the way a registry does, and fails as told.
type registry struct {
	pkg      []byte
	cut      atomic.Int64 // requests that break off half way
	requests atomic.Int64
	noRange  bool
	status   int
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.requests.Add(1)
	if r.status != 0 {
		w.WriteHeader(r.status)
		return
	}
	if r.noRange {
		req.Header.Del("Range")
	}
	if r.cut.Add(-1) >= 0 {
		w.Header().Set("Content-Length", "100000000")
		_, _ = w.Write(r.pkg[:len(r.pkg)/2])
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, req, "p.tgz", time.Time{}, bytes.NewReader(r.pkg))
}

func newFetcher(t *testing.T, r *registry, lib []byte, packed []byte) (*fetcher, *atomic.Int64) {
	t.Helper()
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	h := sha512.Sum512(testPackageOnce(t, r, lib))
	var packs atomic.Int64
	return &fetcher{
		pin:      pin{name: "@chdb/test", integrity: "sha512-" + base64.StdEncoding.EncodeToString(h[:]), size: int64(len(lib))},
		progress: &bytes.Buffer{},
		client:   srv.Client(),
		npm: func(_ context.Context, dir string, args ...string) (string, error) {
			if args[0] == "view" {
				return srv.URL + "/p.tgz\n", nil
			}
			packs.Add(1)
			if packed == nil {
				return "", errors.New("npm pack failed: offline")
			}
			return "p.tgz\n", os.WriteFile(filepath.Join(dir, "p.tgz"), packed, 0o600)
		},
	}, &packs
}

func testPackageOnce(t *testing.T, r *registry, lib []byte) []byte {
	if r.pkg == nil {
		r.pkg = testPackage(t, lib)
	}
	return r.pkg
}

func TestEnsureFetches(t *testing.T) {
	lib := bytes.Repeat([]byte("engine"), 10000)
	good := testPackage(t, lib)
	f := func(name string, r *registry, packed []byte, wantPacks int64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			r.pkg = good
			ft, packs := newFetcher(t, r, lib, packed)
			path, err := ft.ensure(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(path); !bytes.Equal(got, lib) {
				t.Fatalf("the library differs: %d bytes", len(got))
			}
			if packs.Load() != wantPacks {
				t.Fatalf("npm pack ran %d times, want %d", packs.Load(), wantPacks)
			}
			left, _ := os.ReadDir(filepath.Dir(path))
			for _, e := range left {
				if e.Name() != libName && e.Name() != "lock" {
					t.Fatalf("%s is left behind", e.Name())
				}
			}
		})
	}
	cut := func(n int64) *registry { r := &registry{}; r.cut.Store(n); return r }
	f("at once", &registry{}, nil, 0)
	f("broken off and resumed", cut(1), nil, 0)
	f("broken off by a server that cannot resume", func() *registry { r := cut(1); r.noRange = true; return r }(), nil, 0)
	f("npm pack instead", &registry{status: 403}, good, 1)
}

func TestEnsureRefuses(t *testing.T) {
	lib := []byte("engine")
	good := testPackage(t, lib)
	f := func(name string, breakIt func(*fetcher, *registry), want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			r := &registry{pkg: good}
			ft, _ := newFetcher(t, r, lib, nil)
			breakIt(ft, r)
			dir := t.TempDir()
			_, err := ft.ensure(t.Context(), dir)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "chdb-"+Version, libName)); err == nil {
				t.Error("a library was installed")
			}
		})
	}
	f("other content", func(_ *fetcher, r *registry) { r.pkg = testPackage(t, []byte("trojan")) }, "SHA-512", EnvLib)
	f("npm missing", func(f *fetcher, _ *registry) {
		f.npm = func(context.Context, string, ...string) (string, error) { return "", exec.ErrNotFound }
	}, "npm client is not installed", "npm pack", EnvLib)
	f("offline", func(f *fetcher, _ *registry) {
		f.npm = func(context.Context, string, ...string) (string, error) {
			return "", errors.New("npm view failed, ENOTFOUND")
		}
	}, "ENOTFOUND", "registry")
	f("disk full", func(f *fetcher, _ *registry) {
		f.npm = func(context.Context, string, ...string) (string, error) { return "", syscall.ENOSPC }
	}, "disk is full", "750 MB")
	f("library of another size", func(f *fetcher, _ *registry) { f.pin.size++ }, "bytes")
}

func TestEnsureOnceForManyProcesses(t *testing.T) {
	lib := bytes.Repeat([]byte("engine"), 1000)
	r := &registry{}
	ft, _ := newFetcher(t, r, lib, nil)
	ft.progress = discard{}
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := ft.ensure(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.requests.Load(); n != 1 {
		t.Fatalf("%d downloads, want 1", n)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func TestEnsureOverride(t *testing.T) {
	lib := filepath.Join(t.TempDir(), "x.so")
	t.Setenv(EnvLib, lib)
	if _, err := Ensure(t.Context(), EnsureOptions{}); err == nil || !strings.Contains(err.Error(), EnvLib) {
		t.Fatalf("a missing library gave %v", err)
	}
	if err := os.WriteFile(lib, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Ensure(t.Context(), EnsureOptions{}); err != nil || got != lib {
		t.Fatalf("got %q, %v", got, err)
	}
}
