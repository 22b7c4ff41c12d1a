package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/jcs"
)

// The tree is that of another implementation, at every size and however it was appended to and opened again; proofs from its tiles hold.
func TestTreeAgainstTlog(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir := t.TempDir()
		var stored []tlog.Hash
		reader := tlog.HashReaderFunc(func(x []int64) (out []tlog.Hash, err error) {
			for _, i := range x {
				out = append(out, stored[i])
			}
			return out, nil
		})
		size := uint64(0)
		for range rapid.IntRange(1, 3).Draw(r, "steps") {
			tree, err := OpenTree(dir, size)
			if err != nil {
				r.Fatal(err)
			}
			for range rapid.IntRange(1, 700).Draw(r, "leaves") {
				var b [8]byte
				binary.BigEndian.PutUint64(b[:], size)
				c := sha256.Sum256(b[:])
				h := tlog.RecordHash(c[:])
				more, err := tlog.StoredHashesForRecordHash(int64(size), h, reader)
				if err != nil {
					r.Fatal(err)
				}
				stored = append(stored, more...)
				if err := tree.Append(Hash(h)); err != nil {
					r.Fatal(err)
				}
				size++
			}
			if err := tree.Flush(); err != nil {
				r.Fatal(err)
			}
			tree.Tidy()
			want, err := tlog.TreeHash(int64(size), reader)
			if err != nil {
				r.Fatal(err)
			}
			if got, err := tree.Root(); err != nil || got != Hash(want) {
				r.Fatalf("root at %d: %v", size, err)
			}
			tiles := NewTiles(dir, size)
			if err := tiles.Check(); err != nil {
				r.Fatal(err)
			}
			n := rapid.Uint64Range(0, size-1).Draw(r, "leaf")
			p, err := tlog.ProveRecord(int64(size), int64(n), tiles)
			if err != nil {
				r.Fatal(err)
			}
			leaf, err := tiles.Leaf(n)
			if err != nil || tlog.CheckRecord(p, int64(size), want, int64(n), tlog.Hash(leaf)) != nil {
				r.Fatalf("proof of %d in %d: %v", n, size, err)
			}
			old := rapid.Uint64Range(1, size).Draw(r, "old")
			oldHash, err := tlog.TreeHash(int64(old), reader)
			if err != nil {
				r.Fatal(err)
			}
			if got, err := NewTiles(dir, old).Root(); err != nil || got != Hash(oldHash) {
				r.Fatalf("root at %d of %d: %v", old, size, err)
			}
		}
	})
}

func TestTilePath(t *testing.T) {
	f := func(level int, n uint64, width int, want string) {
		t.Helper()
		if got := tilePath(level, n, width); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f(0, 0, 0, "tile/0/000")
	f(0, 1234067, 256, "tile/0/x001/x234/067")
	f(3, 1000, 5, "tile/3/x001/000.p/5")
}

func TestFolderOf(t *testing.T) {
	seen := map[string]string{}
	f := func(tenant string) {
		t.Helper()
		got := FolderOf(tenant)
		if old, ok := seen[got]; ok || len(got) > 255 || got == "" || strings.ContainsAny(got, "/. +\x00\n") {
			t.Errorf("%q: %q, as %q", tenant, got, old)
		}
		seen[got] = tenant
	}
	for _, s := range []string{"", "default", "..", ".", "a/b", "a b", "a+b", "é", "%2E", "A", strings.Repeat("x", 300), strings.Repeat("é", 300), "a\x00b"} {
		f(s)
	}
}

func TestKey(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "seal.key")
	k, err := LoadKey(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadKey(p)
	if err != nil || again.Seed != k.Seed || again.VerifierKey("a") != k.VerifierKey("a") {
		t.Fatal(err)
	}
	signed, err := k.Sign("a b", Checkpoint{k.Origin("a b"), 7, Hash{1}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCheckpoint(signed, k.VerifierKey("a b"))
	if err != nil || c.Size != 7 || c.Root != (Hash{1}) {
		t.Errorf("%+v %v", c, err)
	}
	f := func(name string, content string, mode os.FileMode) {
		t.Helper()
		q := filepath.Join(dir, "bad.key")
		os.Remove(q)
		if err := os.WriteFile(q, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKey(q); err == nil || strings.Contains(err.Error(), k.Seed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, _ := os.ReadFile(p)
	f("others read it", string(good), 0o644)
	f("empty", "", 0o600)
	f("no JSON", "x", 0o600)
	f("another algorithm", strings.Replace(string(good), "Ed25519", "RSA", 1), 0o600)
	f("short seed", strings.Replace(string(good), k.Seed, k.Seed[2:], 1), 0o600)
	f("bad name", strings.Replace(string(good), k.Log, "a b", 1), 0o600)
	if _, err := k.SignText("a", Checkpoint{"x", 1, Hash{}}.Text()); err == nil {
		t.Error("a checkpoint was signed as a text")
	}
}

// Values keep to RFC 8785 whatever they are.
func FuzzValues(f *testing.F) {
	f.Add("a", "b", 1.5)
	f.Add("\xff", "\u2028", math.NaN())
	f.Add("\U0001F600", "\uffee", math.Inf(1))
	f.Add("", "\x00\"\\", math.Copysign(0, -1))
	f.Fuzz(func(t *testing.T, a, b string, x float64) {
		raw := append([]byte(`{"f":`), appendFloat(nil, x)...)
		raw = append(raw, `,"m":`...)
		raw = appendMap(raw, []proto.KV[string, string]{{Key: a, Value: b}, {Key: b, Value: a}}, appendString)
		raw = append(raw, `,"s":`...)
		raw = append(appendArray(raw, []string{a, b}, appendString), '}')
		got, err := jcs.Append(nil, raw)
		if err != nil || string(got) != string(raw) {
			t.Fatalf("%v\n%s\n%s", err, raw, got)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	k, err := LoadKey(filepath.Join(f.TempDir(), "k"))
	if err != nil {
		f.Fatal(err)
	}
	good, _ := k.Sign("a", Checkpoint{k.Origin("a"), 7, Hash{1}})
	key := k.VerifierKey("a")
	f.Add(good)
	f.Add([]byte("a\n1\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseCheckpoint(b)
		if c, err := OpenCheckpoint(b, key); err == nil && (c.Size != 7 || c.Root != Hash{1}) {
			t.Errorf("forged: %+v", c)
		}
		OpenText(b, key)
		readDeletion(b)
	})
}
