package seal_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/witnesstest"
)

// grown is a log with tiles and a signed checkpoint at each of some sizes.
type grown struct {
	dir   string
	key   *seal.Key
	notes map[uint64][]byte
	cps   map[uint64]seal.Checkpoint
}

func grow(t *testing.T, first byte, sizes ...uint64) *grown {
	t.Helper()
	g := &grown{dir: t.TempDir(), notes: map[uint64][]byte{}, cps: map[uint64]seal.Checkpoint{}}
	var err error
	if g.key, err = seal.LoadKey(filepath.Join(g.dir, "k")); err != nil {
		t.Fatal(err)
	}
	tree, err := seal.OpenTree(g.dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range sizes {
		for tree.Size() < n {
			if err := tree.Append(seal.Hash{first, byte(tree.Size()), byte(tree.Size() >> 8)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := tree.Flush(); err != nil {
			t.Fatal(err)
		}
		root, err := tree.Root()
		if err != nil {
			t.Fatal(err)
		}
		g.cps[n] = seal.Checkpoint{Origin: g.key.Origin("acme"), Size: n, Root: root}
		if g.notes[n], err = g.key.Sign("acme", g.cps[n]); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func (g *grown) cosign(w *witnesstest.Witness, old, size uint64, timeout time.Duration) ([]byte, time.Time, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	return seal.Cosign(ctx, &http.Client{Transport: tr}, w.URL+"/", w.Key, old, g.notes[size], g.cps[size], seal.NewTiles(g.dir, size))
}

func TestWitness(t *testing.T) {
	w := witnesstest.New(t, "witness.example/w1")
	g := grow(t, 1, 3, 700, 1000)
	w.Know(t, g.key.VerifierKey("acme"))
	f := func(old, size uint64) {
		t.Helper()
		line, at, err := g.cosign(w, old, size, 10*time.Second)
		if err != nil || time.Since(at).Abs() > time.Minute || bytes.Count(line, []byte("\n")) != 1 || w.Seen(g.cps[size].Origin) != int64(size) {
			t.Fatalf("%d from %d: %q %v %v", size, old, line, at, err)
		}
		if again, err := seal.CheckCosignature(g.notes[size], line, w.Key); err != nil || again != at {
			t.Errorf("offline: %v %v", again, err)
		}
		if _, err := seal.CheckCosignature(g.notes[3], line, w.Key); size != 3 && !errors.Is(err, seal.ErrCosignature) {
			t.Errorf("of another checkpoint: %v", err)
		}
		for i := range line {
			bad := bytes.Clone(line)
			bad[i] ^= 1
			if _, err := seal.CheckCosignature(g.notes[size], bad, w.Key); err == nil && i < len(line)-1 {
				t.Errorf("byte %d does not matter", i)
			}
		}
	}
	f(0, 3)
	f(3, 700)
	f(700, 700) // the same again
	f(3, 1000)  // we have forgotten what it has seen: it says so

	if _, _, err := g.cosign(w, 0, 700, 10*time.Second); !errors.Is(err, seal.ErrWitnessAhead) {
		t.Errorf("a log that was rolled back: %v", err)
	}
	// Another history under the same key.
	other := grow(t, 2, 1100)
	other.key = g.key
	other.cps[1100] = seal.Checkpoint{Origin: g.key.Origin("acme"), Size: 1100, Root: other.cps[1100].Root}
	other.notes[1100], _ = g.key.Sign("acme", other.cps[1100])
	if _, _, err := other.cosign(w, 1000, 1100, 10*time.Second); !errors.Is(err, seal.ErrWitnessDiffers) {
		t.Errorf("another history: %v", err)
	}
}

func TestWitnessFaults(t *testing.T) {
	f := func(fault witnesstest.Fault, want error) {
		t.Helper()
		w := witnesstest.New(t, "w")
		g := grow(t, 1, 5)
		w.Know(t, g.key.VerifierKey("acme"))
		w.Do(fault)
		if _, _, err := g.cosign(w, 0, 5, 500*time.Millisecond); !errors.Is(err, want) || err == nil {
			t.Errorf("%s: got %v, want %v", fault, err, want)
		}
	}
	f(witnesstest.Forged, seal.ErrCosignature)
	f(witnesstest.OtherText, seal.ErrCosignature)
	f(witnesstest.NoSignature, seal.ErrCosignature)
	f(witnesstest.Endless, seal.ErrCosignature)
	f(witnesstest.ServerError, seal.ErrWitnessRefused)
	f(witnesstest.Fickle, seal.ErrWitnessRefused)
	f(witnesstest.Slow, seal.ErrWitnessAway)

	w := witnesstest.New(t, "w")
	g := grow(t, 1, 5)
	if _, _, err := g.cosign(w, 0, 5, time.Second); !errors.Is(err, seal.ErrWitnessRefused) {
		t.Errorf("unknown log: %v", err)
	}
	w.Know(t, grow(t, 1, 1).key.VerifierKey("acme"))
	if _, _, err := g.cosign(w, 0, 5, time.Second); !errors.Is(err, seal.ErrWitnessRefused) {
		t.Errorf("unknown key: %v", err)
	}
	w.Close()
	if _, _, err := g.cosign(w, 0, 5, time.Second); !errors.Is(err, seal.ErrWitnessAway) {
		t.Errorf("away: %v", err)
	}
	for _, bad := range []string{"", "a+b", "w+00000000+AAAA", g.key.VerifierKey("acme"), w.Key + "x", "x" + w.Key} {
		if _, err := seal.WitnessName(bad); err == nil {
			t.Errorf("%q is taken for a witness's key", bad)
		}
	}
	if n, err := seal.WitnessName(w.Key + "\n"); err != nil || n != "w" {
		t.Errorf("%q %v", n, err)
	}
}

func FuzzCosignature(f *testing.F) {
	w := witnesstest.New(f, "w")
	note := []byte("a\n1\nAAAA\n\n— a AAAA\n")
	f.Add(note, []byte("— w AAAA\n"))
	f.Add([]byte("\n\n"), []byte("— w \n— w"))
	f.Fuzz(func(t *testing.T, note, lines []byte) {
		if _, err := seal.CheckCosignature(note, lines, w.Key); err == nil {
			t.Error("a cosignature that nobody made")
		}
	})
}
