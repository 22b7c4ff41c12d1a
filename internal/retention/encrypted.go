// Encryption of archives: each file has a key of its own in a folder of its tenant, apart from the files. Who destroys the key destroys the archive, in every copy.

package retention

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/mcpsiem/mcpsiem/internal/keysource"
	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// An encrypted archive is a line that begins with archiveMagic and names the key, then chunks of AES-256-GCM, each of chunkSize bytes before encryption but the last, which may
// be shorter. The nonce counts the chunks and says which one is the last, so that none can be left out, moved or cut off; the first line is authenticated with each.
const (
	archiveMagic = "mcpsiem-archive/1 "
	archiveExt   = ".parquet.enc"
	chunkSize    = 64 << 10
	headerSize   = len(archiveMagic) + 32 + 1
)

// ErrNoArchiveKey means that an archive cannot be read any more: its key was destroyed, or lost.
var ErrNoArchiveKey = errors.New("the archive's key is gone")

// keysDir is where the keys of archives are: by default secrets/archive beside the folder of archives.
func (a Archive) keysDir() string {
	if a.Keys != "" {
		return a.Keys
	}
	return filepath.Join(filepath.Dir(a.Dir), "secrets", "archive")
}

func (a Archive) keyFile(tenant, id string) string {
	return filepath.Join(a.keysDir(), seal.FolderOf(tenant), id+".key")
}

// newKey makes a key, durably, and returns its id.
func (a Archive) newKey(tenant string) (id string, key []byte, err error) {
	var b [16]byte
	rand.Read(b[:])
	key = make([]byte, 32)
	rand.Read(key)
	id = hex.EncodeToString(b[:])
	path := a.keyFile(tenant, id)
	var stored string
	if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
		if stored, err = a.Wrapping().Wrap(label(path), key); stored == "" {
			stored = hex.EncodeToString(key)
		}
	}
	if err == nil {
		err = writeKey(path, stored)
	}
	if err == nil {
		err = errors.Join(syncDir(filepath.Dir(path)), syncDir(a.keysDir()))
	}
	if err == nil {
		_, err = a.rewrap(path) // the wrapping key may have been replaced meanwhile
	}
	if err != nil {
		return "", nil, fmt.Errorf("cannot make the key of an archive: %w", err)
	}
	return id, key, nil
}

func (a Archive) key(tenant, id string) ([]byte, error) {
	path := a.keyFile(tenant, id)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoArchiveKey, path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the key of an archive: %w", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cannot use the key of an archive, %s: others can read it; `chmod 600` it", path)
	}
	key, err := a.open(path, b)
	if errors.Is(err, keysource.ErrUnwrap) { // perhaps it was just being wrapped anew
		if again, e := os.ReadFile(path); e == nil && !bytes.Equal(again, b) {
			key, err = a.open(path, again)
		}
	}
	return key, err
}

// open is the key in a file of that content.
func (a Archive) open(path string, b []byte) ([]byte, error) {
	if keysource.IsWrapped(string(b)) {
		key, err := a.Wrapping().Unwrap(label(path), string(b))
		if err != nil {
			return nil, fmt.Errorf("cannot use the key of an archive, %s: %w", path, err)
		}
		return key, nil
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("cannot use the key of an archive, %s: it is damaged", path)
	}
	return key, nil
}

// Wrapping is what keys of archives are wrapped with, if with anything.
func (a Archive) Wrapping() keysource.Wrapping { return keysource.Beside(a.keysDir()) }

// label binds a wrapped key to its tenant and id.
func label(path string) string {
	return "archive " + filepath.Base(filepath.Dir(path)) + "/" + strings.TrimSuffix(filepath.Base(path), ".key")
}

func writeKey(path, content string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// Rewrap stores the key of every archive as a new one would be stored now: wrapped with the wrapping key that is in use. It returns how many were stored otherwise.
func (a Archive) Rewrap() (n int, err error) {
	files, err := filepath.Glob(filepath.Join(a.keysDir(), "*", "*.key"))
	if err != nil {
		return 0, err
	}
	var problems []error
	for _, f := range files {
		done, err := a.rewrap(f)
		if err != nil {
			problems = append(problems, err)
		}
		if done {
			n++
		}
	}
	return n, errors.Join(problems...)
}

// rewrap stores a key in that way and says whether it was stored otherwise.
func (a Archive) rewrap(path string) (bool, error) {
	unlock, err := lockKeys(path)
	if err != nil {
		return false, err
	}
	defer unlock()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot read the key of an archive: %w", err)
	}
	if current, err := a.Wrapping().Current(string(b)); current || err != nil {
		return false, err
	}
	key, err := a.open(path, b)
	if err != nil {
		return false, err
	}
	stored, err := a.Wrapping().Wrap(label(path), key)
	if stored == "" && err == nil {
		stored = hex.EncodeToString(key)
	}
	if err != nil {
		return false, err
	}
	former, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		defer former.Close()
		tmp := path + ".new"
		_ = os.Remove(tmp) // of one that was cut off; nobody else writes it, the lock is held
		if err = writeKey(tmp, stored); err == nil {
			err = os.Rename(tmp, path)
		}
		if err == nil {
			err = errors.Join(syncDir(filepath.Dir(path)), overwrite(former))
		}
	}
	if err != nil {
		return false, fmt.Errorf("cannot wrap the key of an archive: %w", err)
	}
	return true, nil
}

// lockKeys keeps who wraps the keys of a tenant's archives and who destroys them apart, lest a key that is destroyed be put back.
func lockKeys(path string) (unlock func(), err error) {
	f, err := os.Open(filepath.Dir(path))
	if err == nil {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err == nil {
			return func() { f.Close() }, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("cannot lock the keys of archives: %w", err)
}

func overwrite(f *os.File) error {
	st, err := f.Stat()
	if err == nil {
		junk := make([]byte, st.Size())
		rand.Read(junk)
		_, err = f.WriteAt(junk, 0)
	}
	return errors.Join(err, f.Sync())
}

// destroyKey overwrites and removes a key.
func destroyKey(path string) error {
	unlock, err := lockKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	_ = os.Remove(path + ".new") // left by a wrapping that was cut off
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(overwrite(f), f.Close(), os.Remove(path), syncDir(filepath.Dir(path)))
	}
	if err != nil {
		return fmt.Errorf("cannot destroy the key of an archive: %w", err)
	}
	return nil
}

// DestroyKeys destroys the keys of every archive of a tenant and returns how many there were.
func (a Archive) DestroyKeys(tenant string) (int, error) {
	files, err := filepath.Glob(filepath.Join(a.keysDir(), seal.FolderOf(tenant), "*.key"))
	if err != nil {
		return 0, err
	}
	for i, f := range files {
		if err := destroyKey(f); err != nil {
			return i, err
		}
	}
	return len(files), nil
}

// Keys counts the keys of a tenant's archives.
func (a Archive) CountKeys(tenant string) int {
	files, _ := filepath.Glob(filepath.Join(a.keysDir(), seal.FolderOf(tenant), "*.key"))
	return len(files)
}

type chunks struct {
	aead   cipher.AEAD
	header []byte
	n      uint64
}

func newChunks(key []byte, header string) (*chunks, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &chunks{aead: aead, header: []byte(header)}, err
}

// nonce is that of the next chunk.
func (c *chunks) nonce(last bool) []byte {
	var b [12]byte
	binary.BigEndian.PutUint64(b[3:], c.n)
	if last {
		b[11] = 1
	}
	c.n++
	return b[:]
}

// encrypter encrypts what is written to it; the file is whole once it is closed.
type encrypter struct {
	chunks
	w   io.Writer
	buf []byte
	out []byte
}

func newEncrypter(w io.Writer, id string, key []byte) (*encrypter, error) {
	header := archiveMagic + id + "\n"
	c, err := newChunks(key, header)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(w, header)
	return &encrypter{chunks: *c, w: w}, err
}

func (e *encrypter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(e.buf) == chunkSize { // there is more: it was not the last
			if err := e.flush(false); err != nil {
				return n - len(p), err
			}
		}
		k := min(chunkSize-len(e.buf), len(p))
		e.buf, p = append(e.buf, p[:k]...), p[k:]
	}
	return n, nil
}

func (e *encrypter) flush(last bool) error {
	e.out = e.aead.Seal(e.out[:0], e.nonce(last), e.buf, e.header)
	e.buf = e.buf[:0]
	_, err := e.w.Write(e.out)
	return err
}

func (e *encrypter) Close() error { return e.flush(true) }

// Read returns an archive as Parquet. A file from before archives were encrypted is returned as it is.
func (a Archive) Read(tenant, path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read an archive: %w", err)
	}
	if !bytes.HasPrefix(b, []byte(archiveMagic)) {
		if bytes.HasPrefix(b, []byte("PAR1")) {
			return b, nil
		}
		return nil, fmt.Errorf("cannot read %s: it is no archive", path)
	}
	id, err := archiveKeyID(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	key, err := a.key(tenant, id)
	if err != nil {
		return nil, err
	}
	c, err := newChunks(key, string(b[:headerSize]))
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(b))
	for rest := b[headerSize:]; ; {
		n := min(len(rest), chunkSize+c.aead.Overhead())
		last := n == len(rest)
		if out, err = c.aead.Open(out, c.nonce(last), rest[:n], c.header); err != nil {
			return nil, fmt.Errorf("cannot read %s: it was changed or cut off, or is of another key", path)
		}
		if rest = rest[n:]; last {
			return out, nil
		}
	}
}

func archiveKeyID(b []byte) (string, error) {
	if len(b) < headerSize || b[headerSize-1] != '\n' {
		return "", errors.New("it is cut off")
	}
	id := string(b[len(archiveMagic) : headerSize-1])
	if _, err := hex.DecodeString(id); err != nil {
		return "", errors.New("it is damaged")
	}
	return id, nil
}

// keyOf is the file of an archive's key, and empty for one that is not encrypted.
func (a Archive) keyOf(tenant, path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, headerSize)
	if _, err := io.ReadFull(f, b); err != nil || !bytes.HasPrefix(b, []byte(archiveMagic)) {
		return ""
	}
	id, err := archiveKeyID(b)
	if err != nil {
		return ""
	}
	return a.keyFile(tenant, id)
}
