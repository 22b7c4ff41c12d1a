package tap

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// loadKey reads the spool's key, 64 hex digits, or makes one, readable by its owner alone. Taps that start together agree on one key:
// the file appears whole or not at all, and only once.
func loadKey(path string) (cipher.AEAD, error) {
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("cannot make spool key %s: %w", path, err)
		}
		key, err = readKey(path)
	}
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
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read spool key: %w", err)
	}
	key := make([]byte, 32)
	b = bytes.TrimSpace(b)
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
