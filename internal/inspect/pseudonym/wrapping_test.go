package pseudonym

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

const wrapOne, wrapTwo = "1111111111111111111111111111111111111111111111111111111111111111", "2222222222222222222222222222222222222222222222222222222222222222"

func putWrap(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files of all salts, as they are on disk.
func stored(t *testing.T, dir string) (all string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
	}
	return all
}

func TestWrappedSalts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tenants")
	w := keysource.Beside(dir)
	tenants, err := EnsureTenants(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	later := func() time.Time { now = now.Add(2 * Recheck); return now }
	salt := func(tenant string) Salt {
		t.Helper()
		s, err := tenants.Salt(tenant, later())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	acme := salt("acme")
	plain := hex.EncodeToString(acme.bytes[:])
	if !strings.Contains(stored(t, dir), plain) {
		t.Fatal("without a wrapping key it is not in the plain")
	}

	// New ones are wrapped as soon as there is a wrapping key, old ones when they are wrapped anew.
	putWrap(t, w.Path, `{"command": ["/bin/echo", "`+wrapOne+`"]}`)
	globex := salt("globex")
	if s := stored(t, dir); strings.Contains(s, hex.EncodeToString(globex.bytes[:])) || !strings.Contains(s, plain) {
		t.Error("a new salt is in the plain")
	}
	if n, err := tenants.Rewrap(); n != 1 || err != nil {
		t.Errorf("wrapped %d, %v", n, err)
	}
	if s := stored(t, dir); strings.Contains(s, plain) || strings.Contains(s, `"salt"`) || strings.Contains(s, wrapOne) {
		t.Error("a salt is in the plain")
	}
	if salt("acme") != acme || salt("globex") != globex {
		t.Error("wrapping changed a salt")
	}
	if _, err := tenants.Rotate("acme"); err != nil {
		t.Fatal(err)
	}
	if k, err := tenants.Kept("acme"); err != nil || len(k) != 2 || k[0] != acme {
		t.Errorf("kept %v, %v", k, err)
	}

	// Another wrapping key: while the next lies there it is written with, and both are read.
	putWrap(t, w.Next(), wrapTwo)
	initech := salt("initech")
	if n, err := tenants.Rewrap(); n != 3 || err != nil {
		t.Errorf("wrapped %d, %v", n, err)
	}
	if err := os.Rename(w.Next(), w.Path); err != nil {
		t.Fatal(err)
	}
	if salt("globex") != globex || salt("initech") != initech {
		t.Error("another wrapping key changed a salt")
	}

	// The wrapping key out of reach: nothing is pseudonymised and nothing is made in the plain; when it is back all is as it was.
	before := stored(t, dir)
	problem := func(want string, tenant string) {
		t.Helper()
		_, err := tenants.Salt(tenant, later())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), wrapTwo) || strings.Contains(err.Error(), plain) {
			t.Errorf("%s: %v, want %q", tenant, err, want)
		}
	}
	putWrap(t, w.Path, wrapOne)
	problem("is not the one in", "globex")
	putWrap(t, w.Path, `{"command": ["/bin/sh", "-c", "echo `+wrapTwo+`; echo sealed >&2; exit 3"]}`)
	problem("exit status 3: sealed", "globex")
	problem("exit status 3: sealed", "new")
	if err := os.Chmod(w.Path, 0o644); err != nil {
		t.Fatal(err)
	}
	problem("others can read", "globex")
	if err := os.Remove(w.Path); err != nil {
		t.Fatal(err)
	}
	problem("is not the one in", "globex")
	if _, err := tenants.Salt("globex", later()); !errors.Is(err, keysource.ErrUnwrap) {
		t.Error(err)
	}
	if stored(t, dir) != before {
		t.Error("files have changed")
	}
	if list, err := tenants.List(); err != nil || len(list) != 4 || !list[0].Wrapped || list[0].Problem != "" { // with `new`, whose folder is empty
		if len(list) != 3 {
			t.Errorf("%+v, %v", list, err)
		}
	}
	putWrap(t, w.Path, wrapTwo)
	if salt("globex") != globex {
		t.Error("the salt is another")
	}

	// A file that was moved to another tenant does not open.
	a, g := filepath.Join(dir, folderOf("acme")), filepath.Join(dir, folderOf("globex"))
	r, err := readRecord(fileOf(g, 1, keySuffix))
	if err != nil {
		t.Fatal(err)
	}
	r.Folder = filepath.Base(a)
	moved := fileOf(a, 3, keySuffix)
	r.Epoch = 3
	if err := r.write(moved); err != nil {
		t.Fatal(err)
	}
	problem("copied from elsewhere", "acme")

	// Destruction needs no wrapping key.
	if err := os.Remove(w.Path); err != nil {
		t.Fatal(err)
	}
	if n, err := tenants.Destroy("globex"); n != 1 || err != nil {
		t.Errorf("destroyed %d, %v", n, err)
	}
	if _, err := os.Stat(fileOf(g, 1, keySuffix)); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// While wrapping keys come and go, tenants are made, rotated and destroyed: a salt that a process was given stays the same until it is destroyed, and none that was destroyed comes back.
func TestRewrapRaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tenants")
	w := keysource.Beside(dir)
	tenants, err := EnsureTenants(dir)
	if err != nil {
		t.Fatal(err)
	}
	putWrap(t, w.Path, wrapOne)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i := range 3 {
		wg.Go(func() {
			mine := &Tenants{dir: dir, max: MaxTenants, slots: map[string]*slot{}} // as another process
			now := time.Now()
			for n := range 40 {
				name := fmt.Sprint("t", i, "-", n)
				now = now.Add(2 * Recheck)
				s, err := mine.Salt(name, now)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				now = now.Add(2 * Recheck)
				if again, err := mine.Salt(name, now); err != nil || again != s {
					t.Errorf("%s changed: %v", name, err)
				}
				if n%3 == 0 {
					if _, err := mine.Destroy(name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	changes := 0
	for running := true; running; changes++ {
		select {
		case <-done:
			running = false // once more, with nobody about
		default:
		}
		putWrap(t, w.Next()+".new", fmt.Sprintf("%064d", changes))
		if err := os.Rename(w.Next()+".new", w.Next()); err != nil {
			t.Fatal(err)
		}
		if _, err := tenants.Rewrap(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Rename(w.Path, w.Former()), os.Rename(w.Next(), w.Path)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		if _, err := tenants.Rewrap(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(w.Former()); err != nil {
			t.Fatal(err)
		}
	}
	folders, _ := os.ReadDir(dir)
	for _, e := range folders {
		f, err := look(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, epoch := range f.keys {
			if epoch <= f.dead {
				t.Errorf("%s: a destroyed salt is back", e.Name())
			} else if _, err := read(filepath.Join(dir, e.Name()), epoch); err != nil {
				t.Error(err)
			}
		}
	}
	if len(folders) != 120 || changes < 3 {
		t.Errorf("only %d tenants and %d changes: this run shows nothing", len(folders), changes)
	}
}
