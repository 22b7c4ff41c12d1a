package pseudonym

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func testTenants(t testing.TB) *Tenants {
	t.Helper()
	s, err := EnsureTenants(filepath.Join(t.TempDir(), "tenants"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func salt(t testing.TB, s *Tenants, tenant string, now time.Time) Salt {
	t.Helper()
	x, err := s.Salt(tenant, now)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Several processes that need a tenant's first salt at once, or that of the next epoch, have the same one.
func TestConcurrentCreation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tenants")
	var wg sync.WaitGroup
	got := make([]Salt, 16)
	for i := range got {
		wg.Go(func() {
			s, err := EnsureTenants(dir) // a process of its own
			if err != nil {
				t.Error(err)
				return
			}
			got[i], err = s.Salt("acme", time.Now())
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, g := range got {
		if g != got[0] || g.Epoch != 1 || g.bytes == [KeySize]byte{} {
			t.Fatalf("%v, %v", g, got[0])
		}
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		st, _ := e.Info()
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[e.IsDir()]; st.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		if strings.HasPrefix(e.Name(), tempPrefix) {
			t.Errorf("%s is left over", path)
		}
		return nil
	})
}

func TestDestroyAndRotate(t *testing.T) {
	s := testTenants(t)
	m, _ := NewMaster(make([]byte, KeySize))
	at := time.Now()
	first, other := salt(t, s, "acme", at), salt(t, s, "other", at)
	if text := fmt.Sprintf("%v %+v %s %#v", first, first, first, first); strings.Contains(text, hex.EncodeToString(first.bytes[:8])) || strings.Contains(text, fmt.Sprint(first.bytes[:8])) || strings.Contains(text, fmt.Sprintf("%#v", first.bytes)) {
		t.Error("a salt shows itself when it is printed")
	}
	if salt(t, s, "acme", at.Add(2*Recheck)) != first {
		t.Error("a salt changes by itself")
	}
	if k, err := s.Rotate("acme"); err != nil || k.Epoch != 2 || k.Kept != 2 || k.Tenant != "acme" {
		t.Errorf("%+v %v", k, err)
	}
	second := salt(t, s, "acme", at.Add(4*Recheck))
	if second.Epoch != 2 || m.Salted("acme", "1", second) == m.Salted("acme", "1", first) {
		t.Error("rotation changes nothing")
	}
	drops := s.Drops()
	if n, err := s.Destroy("acme"); n != 2 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	k, err := s.Describe("acme")
	if err != nil || k.Epoch != 0 || k.Kept != 0 || k.Destroyed.IsZero() || k.Tenant != "acme" || k.Problem != "" {
		t.Errorf("%+v %v", k, err)
	}
	// nothing of the old salts is on disk
	_ = filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if e.IsDir() {
			return nil
		}
		raw, _ := os.ReadFile(path)
		var r record
		if json.Unmarshal(raw, &r) != nil {
			t.Errorf("%s is damaged", path)
			return nil
		}
		if r.Salt != "" && r.salt() != other {
			t.Errorf("%s holds a destroyed salt", path)
		}
		return nil
	})
	third := salt(t, s, "acme", at.Add(6*Recheck))
	if third.Epoch != 3 || third.bytes == first.bytes || third.bytes == second.bytes {
		t.Errorf("%v after destruction", third.Epoch)
	}
	if s.Drops() == drops {
		t.Error("nobody is told that a salt went")
	}
	if salt(t, s, "other", at.Add(6*Recheck)) != other {
		t.Error("another tenant lost its key")
	}
	if k, _ := s.Describe("acme"); k.Kept != 1 || k.Epoch != 3 || k.Destroyed.IsZero() {
		t.Errorf("%+v", k)
	}
	for _, f := range []func(string) error{func(n string) error { _, err := s.Destroy(n); return err }, func(n string) error { _, err := s.Rotate(n); return err }, func(n string) error { _, err := s.Describe(n); return err }} {
		if err := f("nobody"); !errors.Is(err, ErrNoKey) {
			t.Error(err)
		}
	}
}

// Destruction that stops anywhere after its tombstone is as good as done, and done when it is run again.
func TestDestroyIsInterrupted(t *testing.T) {
	s := testTenants(t)
	at := time.Now()
	first := salt(t, s, "acme", at)
	folder := filepath.Join(s.dir, folderOf("acme"))
	tomb := record{Version: 1, Tenant: `"acme"`, Epoch: 1, Destroyed: at}
	if err := tomb.write(fileOf(folder, 1, deadSuffix)); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(folder, tempPrefix+"x")
	_ = os.WriteFile(stale, first.bytes[:], 0o600)
	_ = os.Chtimes(stale, at.Add(-time.Hour), at.Add(-time.Hour))
	if k, _ := s.Describe("acme"); !strings.Contains(k.Problem, "interrupted") || k.Kept != 0 {
		t.Errorf("%+v", k)
	}
	if got := salt(t, s, "acme", at.Add(2*Recheck)); got.Epoch != 2 || got.bytes == first.bytes {
		t.Error("a buried salt is in use")
	}
	if n, err := s.Destroy("acme"); n != 2 || err != nil {
		t.Error(n, err)
	}
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), deadSuffix) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// Without a readable salt there is none, not an old one and not an empty one; when it is readable again it is the same.
func TestNoSaltNoKey(t *testing.T) {
	for name, c := range map[string]struct {
		breakIt, mend func(dir, folder, file string) error
	}{
		"file unreadable": {func(_, _, f string) error { return os.Chmod(f, 0o644) }, func(_, _, f string) error { return os.Chmod(f, 0o600) }},
		"file damaged": {func(_, _, f string) error {
			raw, _ := os.ReadFile(f)
			_ = os.WriteFile(f+".keep", raw, 0o600)
			i := strings.Index(string(raw), `"salt":"`) + 8
			raw[i] ^= 1
			return os.WriteFile(f, raw, 0o600)
		}, func(_, _, f string) error { return os.Rename(f+".keep", f) }},
		"file of zeros": {func(_, _, f string) error {
			raw, _ := os.ReadFile(f)
			_ = os.WriteFile(f+".keep", raw, 0o600)
			return os.WriteFile(f, make([]byte, len(raw)), 0o600)
		}, func(_, _, f string) error { return os.Rename(f+".keep", f) }},
		"folder is a file": {func(_, d, _ string) error {
			return errors.Join(os.Rename(d, d+".keep"), os.WriteFile(d, nil, 0o600))
		}, func(_, d, _ string) error { return errors.Join(os.Remove(d), os.Rename(d+".keep", d)) }},
		"all folders gone": {func(a, _, _ string) error { return os.Rename(a, a+".keep") }, func(a, _, _ string) error { return os.Rename(a+".keep", a) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := testTenants(t)
			at := time.Now()
			want := salt(t, s, "acme", at)
			folder := filepath.Join(s.dir, folderOf("acme"))
			if err := c.breakIt(s.dir, folder, fileOf(folder, 1, keySuffix)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // as found, and as remembered
				got, err := s.Salt("acme", at.Add(2*Recheck))
				if err == nil || got != (Salt{}) {
					t.Fatalf("%v, %v", got.Epoch, err)
				}
				if strings.Contains(err.Error(), hex.EncodeToString(want.bytes[:])) {
					t.Error("the error quotes the salt")
				}
			}
			if s.LastError() == nil || s.LastError() != nil {
				t.Error("the error is not told once")
			}
			if err := c.mend(s.dir, folder, fileOf(folder, 1, keySuffix)); err != nil {
				t.Fatal(err)
			}
			if salt(t, s, "acme", at.Add(4*Recheck)) != want {
				t.Error("another salt after mending")
			}
		})
	}
}

func TestOpenFailure(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	_ = os.WriteFile(file, nil, 0o600)
	loose := filepath.Join(dir, "loose")
	_ = os.Mkdir(loose, 0o755)
	f := func(path, want string) {
		t.Helper()
		if _, err := OpenTenants(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	f(file, "no folder")
	f(loose, "mode")
	f(filepath.Join(dir, "missing"), "no such file")
	if _, err := EnsureTenants(filepath.Join(file, "x")); err == nil {
		t.Error("a folder in a file")
	}
}

// A salt that was copied from another tenant is not used.
func TestCopiedSalt(t *testing.T) {
	s := testTenants(t)
	at := time.Now()
	salt(t, s, "a", at)
	salt(t, s, "b", at)
	raw, err := os.ReadFile(fileOf(filepath.Join(s.dir, folderOf("a")), 1, keySuffix))
	if err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(fileOf(filepath.Join(s.dir, folderOf("b")), 1, keySuffix), raw, 0o600)
	if _, err := s.Salt("b", at.Add(2*Recheck)); err == nil {
		t.Error("two tenants have one salt")
	}
}

// Whatever a tenant is called, its files are in its own folder and its name comes back.
func TestHostileNames(t *testing.T) {
	s := testTenants(t)
	seen := map[[KeySize]byte]string{}
	check := func(t rapid.TB, name string) {
		x, err := s.Salt(name, time.Now())
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if old, ok := seen[x.bytes]; ok && old != name {
			t.Fatalf("%q and %q share a salt", old, name)
		}
		seen[x.bytes] = name
		k, err := s.Describe(name)
		if err != nil || len(name) <= maxName && k.Tenant != name || len(k.Tenant) > maxName+4 || k.Problem != "" {
			t.Fatalf("%q: %+v %v", name, k, err)
		}
	}
	for _, n := range []string{"", ".", "..", "../../etc/passwd", "/", "a/b", "a\x00b", "\xff\xfe", "con", "a\nb", "\x1b[2J", "<script>", strings.Repeat("x", 1<<16), strings.Repeat("ü", maxName), "'; rm -rf /", "A", "a"} {
		check(t, n)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "name"))
	})
	entries, _ := os.ReadDir(filepath.Dir(s.dir))
	if len(entries) != 1 {
		t.Errorf("something lies beside the folder: %v", entries)
	}
	list, err := s.List()
	if err != nil || len(list) != len(seen) {
		t.Errorf("%d listed of %d, %v", len(list), len(seen), err)
	}
}

func TestTenantsAreBounded(t *testing.T) {
	s := testTenants(t)
	s.max = 2
	at := time.Now()
	a, b := salt(t, s, "a", at), salt(t, s, "b", at)
	if _, err := s.Salt("c", at); err == nil {
		t.Error("a third of two tenants")
	}
	if salt(t, s, "a", at.Add(2*Recheck)) != a || salt(t, s, "b", at.Add(2*Recheck)) != b {
		t.Error("others suffer")
	}
}

// Salts that no event needs leave memory.
func TestIdleSaltsLeave(t *testing.T) {
	s := testTenants(t)
	at := time.Now()
	salt(t, s, "a", at)
	before := s.Drops()
	salt(t, s, "b", at.Add(2*idle))
	if _, ok := s.slots["a"]; ok || s.Drops() == before {
		t.Error("an idle salt stays")
	}
}

// Readers, rotation and destruction at once: every salt that is read was made for its epoch, and there is one in the end.
func TestStorm(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tenants")
	var mu sync.Mutex
	byEpoch := map[uint64]Salt{}
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			s, err := EnsureTenants(dir)
			if err != nil {
				t.Error(err)
				return
			}
			at := time.Now()
			for i := range 30 {
				at = at.Add(2 * Recheck)
				switch {
				case g == 0 && i%3 == 0:
					if _, err := s.Rotate("acme"); err != nil && !errors.Is(err, ErrNoKey) {
						t.Error(err)
					}
				case g == 1 && i%5 == 0:
					if _, err := s.Destroy("acme"); err != nil && !errors.Is(err, ErrNoKey) {
						t.Error(err)
					}
				}
				x, err := s.Salt("acme", at)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if old, ok := byEpoch[x.Epoch]; ok && old != x {
					t.Errorf("two salts of epoch %d", x.Epoch)
				}
				byEpoch[x.Epoch] = x
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func FuzzSaltFile(f *testing.F) {
	s := testTenants(f)
	salt(f, s, "acme", time.Now())
	folder := filepath.Join(s.dir, folderOf("acme"))
	path := fileOf(folder, 1, keySuffix)
	good, _ := os.ReadFile(path)
	f.Add(good)
	f.Add([]byte(`{"version":1,"salt":"00"}`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = os.WriteFile(path, b, 0o600)
		if r, err := read(folder, 1); err == nil && (r.salt().Epoch != 1 || len(r.Salt) != 2*KeySize) {
			t.Fatal("a damaged salt is used")
		}
		_, _ = s.List()
	})
}
