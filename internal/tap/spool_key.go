package tap

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

// keyring is what segments are encrypted with: each with the key that was in use when it was begun. The file may be replaced at any time (RotateSpoolKey): the next batch then begins a
// segment under the new key, and the former one lies beside it, under a name with FormerMark, until nothing in the spool needs it.
type keyring struct {
	path   string
	of     os.FileInfo   // of the file that keys[0] was read from
	keys   []cipher.AEAD // the one in use first
	former map[string]bool
}

// current is the key in use. It is read again when its file is another.
func (k *keyring) current() (cipher.AEAD, error) {
	st, err := os.Stat(k.path)
	if err == nil && k.of != nil && os.SameFile(st, k.of) && st.ModTime().Equal(k.of.ModTime()) {
		return k.keys[0], nil
	}
	aead, err := loadKey(k.path)
	if err != nil {
		return nil, err
	}
	if st, err = os.Stat(k.path); err != nil {
		return nil, fmt.Errorf("cannot read spool key: %w", err)
	}
	k.of, k.keys = st, append([]cipher.AEAD{aead}, k.keys...)
	return aead, nil
}

// open decrypts with whichever key fits. ok is false if none does; the error is that of a key that cannot be had now and might.
func (k *keyring) open(nonce, sealed, additional []byte) (plain []byte, ok bool, err error) {
	try := func(keys []cipher.AEAD) bool {
		for _, a := range keys {
			if p, e := a.Open(nil, nonce, sealed, additional); e == nil {
				plain = p
				return true
			}
		}
		return false
	}
	if try(k.keys) {
		return plain, true, nil
	}
	n := len(k.keys)
	if _, e := k.current(); e != nil { // another process may have replaced it
		err = e
	}
	if len(k.keys) > n && try(k.keys[:1]) {
		return plain, true, nil
	}
	files, _ := filepath.Glob(k.path + keysource.FormerMark + "*")
	for _, f := range files {
		if k.former[f] {
			continue
		}
		aead, e := readAEAD(f)
		if errors.Is(e, fs.ErrNotExist) {
			continue
		}
		if e != nil {
			err = e
			continue
		}
		if k.former == nil {
			k.former = map[string]bool{}
		}
		k.former[f] = true
		k.keys = append(k.keys, aead)
		if try(k.keys[len(k.keys)-1:]) {
			return plain, true, nil
		}
	}
	return nil, false, err
}

// RotateSpoolKey gives a spool another key, with content in it: what is there stays readable, and taps go over to it with their next batch. The new key is made, or is the file with
// .next after its name if there is one.
func RotateSpoolKey(path string) error {
	return keysource.Replace(path, makeKey, func(path string) error {
		_, err := readKey(path)
		return err
	})
}

// formerGrace is for how long a former key stays in any case: a tap may be writing with it just then.
var formerGrace = time.Minute

// sweep removes former keys once nothing in the spool needs them. A segment's first record says which key it is under.
func (k *keyring) sweep(dir string) {
	files, _ := filepath.Glob(k.path + keysource.FormerMark + "*")
	if len(files) == 0 {
		return
	}
	if _, err := k.current(); err != nil {
		return
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*", "*"+segSuffix))
	if err != nil {
		return
	}
	// Looked at before the segments are: one that is begun later is under the key in use.
	var old []string
	for _, f := range files {
		if st, err := os.Stat(f); err == nil && time.Since(st.ModTime()) > formerGrace {
			old = append(old, f)
		}
	}
	for _, s := range segments {
		if !underKey(s, k.keys[0]) {
			return
		}
	}
	for _, f := range old {
		_ = keysource.Shred(f)
	}
}

// underKey says whether a segment is encrypted with a key, or has gone.
func underKey(path string, aead cipher.AEAD) bool {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return false
	}
	defer f.Close()
	var head [segHeader]byte
	var h [recHeader]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return false
	}
	if _, err := f.ReadAt(h[:], segHeader); err != nil {
		return false
	}
	n := binary.LittleEndian.Uint32(h[:])
	if n < 28 || n > maxRecord {
		return false
	}
	c := make([]byte, n)
	if _, err := f.ReadAt(c, segHeader+recHeader); err != nil {
		return false
	}
	_, err = aead.Open(nil, c[:12], c[12:], aad(head, segHeader))
	return err == nil
}

// loadKey reads the spool's key, 64 hex digits or where they are (internal/keysource), or makes one, readable by its owner alone. Taps that start together agree on one key:
// the file appears whole or not at all, and only once.
func loadKey(path string) (cipher.AEAD, error) {
	aead, err := readAEAD(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, e := os.Stat(path); e == nil {
			return nil, err // what it refers to is not there
		}
		if err := makeKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("cannot make spool key %s: %w", path, err)
		}
		aead, err = readAEAD(path)
	}
	return aead, err
}

func readAEAD(path string) (cipher.AEAD, error) {
	key, err := readKey(path)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func readKey(path string) ([]byte, error) {
	i, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read spool key: %w", err)
	}
	if runtime.GOOS != "windows" && i.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cannot use spool key %s: others may read it; set its mode to 0600", path)
	}
	b, err := keysource.Read(context.Background(), "spool key", path)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	if len(b) != 64 {
		return nil, fmt.Errorf("cannot use spool key %s: it must hold 64 hex digits", path)
	}
	if _, err := hex.Decode(key, b); err != nil {
		return nil, fmt.Errorf("cannot use spool key %s: it must hold 64 hex digits", path) // err would quote it
	}
	return key, nil
}

func makeKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(hex.EncodeToString(key[:]) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Link(f.Name(), path) // fails if another tap was first
}
