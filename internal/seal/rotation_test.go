package seal_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
)

// The signing key is replaced while the log grows; whoever trusts either key can check all of it, and neither key can sign what is the other's.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	keyFile := filepath.Join(w.dir, "seal.key")
	load := func() *seal.Key {
		t.Helper()
		k, err := seal.LoadKey(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	e := sealtest.Exporter(t)
	grow := func(seq uint64, first int) {
		t.Helper()
		sealtest.Store(t, e, sealtest.Batch(seq, sealtest.Events("acme", first, 10)...))
		sealtest.Seal(t, w.dir, seq, 10)
	}
	var keys []*seal.Key
	rotate := func(crash bool) {
		t.Helper()
		keys = append(keys, load())
		if _, err := seal.PrepareRotation(keyFile); err != nil {
			t.Fatal(err)
		}
		s := sealtest.Sealer(t, w.dir)
		defer s.Close()
		if _, err := s.Open(context.Background()); err != nil {
			t.Fatal(err)
		}
		if crash {
			s.Crash = func(p string) {
				if p == "after key" {
					panic("crash")
				}
			}
			func() {
				defer func() { recover() }()
				s.Rotate(keyFile)
			}()
			return
		}
		if done, err := s.Rotate(keyFile); err != nil || !done {
			t.Fatal(done, err)
		}
		if done, err := s.Rotate(keyFile); err != nil || done {
			t.Fatal("again", done, err)
		}
	}
	rotate(false)
	grow(13, 301)
	rotate(true) // cut off: the key is the new one, checkpoints are still of the old one
	if r := sealtest.Verify(t, w.dir, "acme"); !r.OK {
		t.Fatal(sealtest.Text(r))
	}
	grow(14, 311)
	keys = append(keys, load())
	if keys[0].Public() == keys[1].Public() || keys[1].Public() == keys[2].Public() || strings.Contains(string(read(t, keyFile)), "\"seed\": \""+keys[0].Seed) {
		t.Fatal("the key did not change, or the old one is kept")
	}
	if done, err := seal.RotateStopped(w.dir, keyFile); err != nil || done {
		t.Error(done, err) // what the crash left is tidied up
	}
	if _, err := os.Stat(seal.NextKeyFile(keyFile)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the next key is still there")
	}
	// Every key of the chain does, and the copy beside the log; a key of nobody does not.
	for i, k := range keys {
		r := sealtest.Verify(t, w.dir, "acme", func(o *seal.VerifyOptions) { o.VerifierKey = k.VerifierKey("acme") })
		if !r.OK || r.Size != 330 || r.Checkpoints < 5 {
			t.Errorf("key %d: %s", i, sealtest.Text(r))
		}
	}
	if r := sealtest.Verify(t, w.dir, "acme"); !r.OK {
		t.Error(sealtest.Text(r))
	}
	if r := sealtest.Verify(t, w.dir, "beta"); !r.OK {
		t.Error(sealtest.Text(r))
	}
	other, err := seal.LoadKey(filepath.Join(t.TempDir(), "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	other.Log = keys[0].Log
	if r := sealtest.Verify(t, w.dir, "acme", func(o *seal.VerifyOptions) { o.VerifierKey = other.VerifierKey("acme") }); r.OK {
		t.Error("another key passes")
	}
	// What a key signs outside its time is not believed, whoever checks.
	trust := keys[2].Trust("acme")
	f := func(name string, k *seal.Key, size uint64, root seal.Hash, want error) {
		t.Helper()
		n, err := k.Sign("acme", seal.Checkpoint{Origin: k.Origin("acme"), Size: size, Root: root})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal.OpenCheckpoint(n, trust); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("the first key, in its time", keys[0], 300, seal.Hash{1}, nil)
	f("the first key, where it ended, another root", keys[0], 310, seal.Hash{1}, seal.ErrRetired)
	f("the first key, later", keys[0], 311, seal.Hash{1}, seal.ErrRetired)
	f("the second key, before its time", keys[1], 309, seal.Hash{1}, seal.ErrRetired)
	f("the second key, in its time", keys[1], 315, seal.Hash{1}, nil)
	f("the last key", keys[2], 5000, seal.Hash{1}, nil)
	f("the last key, before its time", keys[2], 100, seal.Hash{1}, seal.ErrRetired)
	f("another key", other, 5000, seal.Hash{1}, seal.ErrSignature)
	// Statements that are changed, left out, or made by one key alone.
	pub := read(t, filepath.Join(w.dir, "acme", "key.pub"))
	if !strings.HasPrefix(string(pub), keys[2].VerifierKey("acme")+"\n[") {
		t.Fatalf("key.pub: %.300s", pub)
	}
	for name, text := range map[string]string{
		"a size changed":            strings.Replace(string(pub), "acme 310 ", "acme 311 ", 1),
		"the first left out":        keys[2].VerifierKey("acme") + "\n[" + string(pub[bytes.LastIndex(pub, []byte(`,"mcpsiem key rotation`))+1:]),
		"no statements":             keys[2].VerifierKey("acme"),
		"statements of no rotation": keys[2].VerifierKey("acme") + "\n[\"x\"]",
	} {
		old, _ := keys[0].Sign("acme", seal.Checkpoint{Origin: keys[0].Origin("acme"), Size: 300, Root: seal.Hash{1}})
		if _, err := seal.OpenCheckpoint(old, text); err == nil {
			t.Errorf("%s: the first key is believed", name)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The signing key is elsewhere: its seed comes from a program, or a program signs and the key never comes. A program that signs with another key signs nothing.
func TestKeyElsewhere(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	dir := t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	pemFile := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(pemFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(content string) (*seal.Key, error) {
		p := filepath.Join(t.TempDir(), "seal.key")
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return seal.LoadKey(p)
	}
	seed := hex.EncodeToString(private.Seed())
	direct, err := load(`{"algorithm": "Ed25519", "log": "x.local/1", "seed": "` + seed + `"}`)
	if err != nil {
		t.Fatal(err)
	}
	c := seal.Checkpoint{Origin: direct.Origin("acme"), Size: 7, Root: seal.Hash{1}}
	want, _ := direct.Sign("acme", c)
	from, err := load(`{"algorithm": "Ed25519", "log": "x.local/1", "seed_from": {"command": ["/bin/echo", "` + seed + `"]}}`)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := from.Sign("acme", c); err != nil || !bytes.Equal(have, want) {
		t.Error(err)
	}
	if openssl, err := exec.LookPath("openssl"); err == nil {
		signing := `{"algorithm": "Ed25519", "log": "x.local/1", "public": "%x", "sign": {"command": ["` + openssl + `", "pkeyutl", "-sign", "-rawin", "-inkey", "` + pemFile + `", "-in", "/dev/stdin"], "timeout": "30s"}}`
		k, err := load(fmt.Sprintf(signing, public))
		if err != nil {
			t.Fatal(err)
		}
		if have, err := k.Sign("acme", c); err != nil || !bytes.Equal(have, want) || k.VerifierKey("acme") != direct.VerifierKey("acme") {
			t.Error(err)
		}
		other, _, _ := ed25519.GenerateKey(nil)
		if k, err = load(fmt.Sprintf(signing, other)); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Sign("acme", c); err == nil || !strings.Contains(err.Error(), "not good for the public key") {
			t.Error(err)
		}
	}
	for content, problem := range map[string]string{
		`{"algorithm": "Ed25519", "log": "x"}`:                                                                      "exactly one of seed",
		`{"algorithm": "Ed25519", "log": "x", "seed": "` + seed + `", "seed_from": {"env": "X"}}`:                   "exactly one of seed",
		`{"algorithm": "Ed25519", "log": "x", "seed_from": {"command": ["/bin/false"]}}`:                            "exit status 1",
		`{"algorithm": "Ed25519", "log": "x", "seed_from": {"command": ["/bin/echo", "abc"]}}`:                      "not 32 bytes",
		`{"algorithm": "Ed25519", "log": "x", "sign": {"command": ["/bin/true"]}}`:                                  "public",
		`{"algorithm": "Ed25519", "log": "x", "sign": {"env": "X"}, "public": "` + seed + `"}`:                      "needs a command",
		`{"algorithm": "Ed25519", "log": "x", "seed": "` + seed + `", "public": "` + strings.Repeat("0", 64) + `"}`: "not that of its public key",
	} {
		if _, err := load(content); err == nil || !strings.Contains(err.Error(), problem) || strings.Contains(err.Error(), seed) {
			t.Errorf("%s: %v", problem, err)
		}
	}
}

// A signing key that is elsewhere is not replaced by one in a file unasked.
func TestRotationOfAKeyElsewhere(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "seal.key")
	k, err := seal.LoadKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MCPSIEM_TEST_SEED", k.Seed)
	b, _ := json.Marshal(map[string]any{"algorithm": k.Algorithm, "log": k.Log, "seed_from": map[string]string{"env": "MCPSIEM_TEST_SEED"}})
	if err := os.WriteFile(keyFile, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.PrepareRotation(keyFile); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Error(err)
	}
	if _, err := os.Stat(seal.NextKeyFile(keyFile)); !os.IsNotExist(err) {
		t.Error("a key was made", err)
	}
	if err := os.WriteFile(seal.NextKeyFile(keyFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.PrepareRotation(keyFile); err != nil {
		t.Error("the next one, where it is put:", err)
	}
}
