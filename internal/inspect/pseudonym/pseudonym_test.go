package pseudonym

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestEnsureMakesOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "key")
	var wg sync.WaitGroup
	keys := make([]*Master, 8)
	for i := range keys {
		wg.Go(func() {
			m, err := Ensure(path)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = m
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k == nil || *k != *keys[0] {
			t.Fatal("racing processes have different keys")
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*"))
	if len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestLoadFailure(t *testing.T) {
	f := func(content string, mode os.FileMode, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err != nil && len(content) > 8 && strings.Contains(err.Error(), content[:8]) {
			t.Errorf("the error quotes the key: %v", err)
		}
	}
	good := strings.Repeat("0123456789abcdef", 4)
	f(good, 0o644, "mode")
	f(good[:60], 0o600, "64 hex digits")
	f(strings.Repeat("z", 64), 0o600, "not hexadecimal")
}

func TestKeysAreSeparate(t *testing.T) {
	m, _ := NewMaster(make([]byte, KeySize))
	seen := map[[KeySize]byte]bool{}
	for _, k := range [][KeySize]byte{m.Tenant("a", "1"), m.Tenant("b", "1"), m.Tenant("a", "2"), m.Tenant("a1", ""), m.Tenant("", "a1")} {
		if seen[k] {
			t.Error("two tenants or epochs share a key")
		}
		seen[k] = true
	}
	a, _ := m.Fingerprint(1)
	b, _ := m.Fingerprint(2)
	if a == b {
		t.Error("two periods share a key")
	}
}

func TestPlaceholders(t *testing.T) {
	m, _ := NewMaster(make([]byte, KeySize))
	known := func(s string) bool { return s == "email" || s == "card" }
	w := NewWriter(m.Tenant("a", "1"), known)
	other := NewWriter(m.Tenant("b", "1"), known)
	for _, p := range [][]byte{w.Append(nil, "email", []byte("x"), ""), w.Append(nil, "card", []byte("4111"), "1111"), w.AppendHash(nil, "email", []byte("x")), Drop(nil, "email"), w.AppendSized(nil, "card", []byte("x"), 123456)} {
		if n := w.Len(append(p, " and more"...)); n != len(p) {
			t.Errorf("%s: recognised %d bytes of %d", p, n, len(p))
		}
		if strings.Contains(string(p), ":") {
			if other.Len(p) != 0 {
				t.Errorf("%s: another tenant takes it for its own", p)
			}
			for i := range p {
				bad := []byte(string(p))
				if bad[i] == 'z' {
					continue
				}
				bad[i] = 'z'
				if n := w.Len(bad[0:]); n == len(p) && bad[0] == '<' {
					t.Errorf("%s is taken for %s", bad, p)
				}
			}
		}
	}
	if w.Len([]byte("<phone>")) != 0 || w.Len([]byte("<")) != 0 || w.Len([]byte("<email:")) != 0 {
		t.Error("something else is taken for a placeholder")
	}
}

func FuzzLen(f *testing.F) {
	m, _ := NewMaster(make([]byte, KeySize))
	w := NewWriter(m.Tenant("a", "1"), func(s string) bool { return s == "email" })
	f.Add([]byte("<email:0000000000000000>"))
	f.Add(w.Append(nil, "email", []byte("x"), "1234"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || b[0] != '<' {
			return
		}
		if n := w.Len(b); n < 0 || n > len(b) || n > 0 && b[n-1] != '>' {
			t.Fatalf("%d of %d", n, len(b))
		}
	})
}
