package keysource

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Wrapping encrypts keys that lie in many files, each of which must be destroyable alone, with one key that may be elsewhere. The path is that of the file which holds that key, or says
// where it is; it is optional, and without it keys are not wrapped. While it is being replaced the next one lies beside it and is used for all that is written, and for a moment the
// former one.
type Wrapping struct{ Path string }

// WrapFile is the name of that file. It lies beside the folders of the keys that it wraps.
const WrapFile = "wrap.key"

// Beside is the wrapping of the keys in a folder.
func Beside(folder string) Wrapping { return Wrapping{filepath.Join(filepath.Dir(folder), WrapFile)} }

// Next and Former name the files that lie beside it while it is replaced.
func (w Wrapping) Next() string   { return w.Path + ".next" }
func (w Wrapping) Former() string { return w.Path + ".former" }

// ErrUnwrap means that a key is there and cannot be read for now: what it is wrapped with is missing, or out of reach.
var ErrUnwrap = errors.New("cannot unwrap a key")

const wrapPrefix = "wrapped:1:"

// IsWrapped says whether a text is a wrapped key.
func IsWrapped(s string) bool { return strings.HasPrefix(s, wrapPrefix) }

// wrapper is a key that wraps.
type wrapper struct {
	aead cipher.AEAD
	id   string
}

// wrappers are kept until their file changes: to fetch one may mean to run a program.
var wrappers = struct {
	sync.Mutex
	m map[string]fetched
}{m: map[string]fetched{}}

type fetched struct {
	of  fs.FileInfo
	at  time.Time
	w   *wrapper
	err error
}

// retryFetch is for how long a failure to fetch is remembered: many keys may be waiting for the same program.
const retryFetch = 2 * time.Second

// load fetches the key of a file. nil without an error: there is no such file.
func load(path string) (*wrapper, error) {
	wrappers.Lock()
	defer wrappers.Unlock()
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		delete(wrappers.m, path)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look for the wrapping key: %w", err)
	}
	if f, ok := wrappers.m[path]; ok && os.SameFile(f.of, st) && f.of.ModTime().Equal(st.ModTime()) && f.of.Size() == st.Size() && f.of.Mode() == st.Mode() &&
		(f.err == nil || time.Since(f.at) < retryFetch) {
		return f.w, f.err
	}
	f := fetched{of: st}
	f.w, f.err = fetch(path)
	f.at = time.Now()
	wrappers.m[path] = f
	return f.w, f.err
}

func fetch(path string) (*wrapper, error) {
	if err := Private(path); err != nil {
		return nil, fmt.Errorf("cannot use the wrapping key, %s: %w", path, err)
	}
	b, err := Read(context.Background(), "the wrapping key", path)
	if err != nil {
		return nil, err
	}
	if len(b) < 32 {
		return nil, fmt.Errorf("cannot use the wrapping key, %s: it has fewer than 32 bytes; make one with: openssl rand -hex 32", path)
	}
	derive := func(label string) []byte {
		m := hmac.New(sha256.New, b)
		m.Write([]byte(label))
		return m.Sum(nil)
	}
	block, err := aes.NewCipher(derive("mcpsiem wrapping key v1"))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &wrapper{aead, hex.EncodeToString(derive("mcpsiem wrapping key id v1")[:8])}, nil
}

// writer is what new keys are wrapped with; nil if they are not.
func (w Wrapping) writer() (*wrapper, error) {
	k, err := load(w.Next())
	if k == nil && err == nil {
		k, err = load(w.Path)
	}
	return k, err
}

// Wrap wraps a key. label says which it is: it unwraps under the same label only. Without a wrapping key the result is empty. Never is one left out that is there.
func (w Wrapping) Wrap(label string, key []byte) (string, error) {
	k, err := w.writer()
	if k == nil || err != nil {
		return "", err
	}
	nonce := make([]byte, k.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("cannot wrap a key: %w", err)
	}
	return wrapPrefix + k.id + ":" + base64.RawStdEncoding.EncodeToString(k.aead.Seal(nonce, nonce, key, []byte(k.id+" "+label))), nil
}

// Unwrap is the reverse.
func (w Wrapping) Unwrap(label, wrapped string) ([]byte, error) {
	id, body, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(wrapped), wrapPrefix), ":")
	b, err := base64.RawStdEncoding.DecodeString(body)
	if !ok || err != nil || !IsWrapped(wrapped) {
		return nil, fmt.Errorf("%w: it is damaged", ErrUnwrap)
	}
	var problems []error
	for _, path := range []string{w.Path, w.Next(), w.Former()} {
		k, err := load(path)
		if err != nil {
			problems = append(problems, err)
		}
		if k == nil || k.id != id {
			continue
		}
		if n := k.aead.NonceSize(); len(b) > n {
			if key, err := k.aead.Open(nil, b[:n], b[n:], []byte(id+" "+label)); err == nil {
				return key, nil
			}
		}
		return nil, fmt.Errorf("%w: it is damaged, or was copied from elsewhere", ErrUnwrap)
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrUnwrap, errors.Join(problems...))
	}
	return nil, fmt.Errorf("%w: it is wrapped with key %s, which is not the one in %s; put that one back", ErrUnwrap, id, w.Path)
}

// Current says whether a key, wrapped or in the plain, is as a new one would be written now.
func (w Wrapping) Current(stored string) (bool, error) {
	k, err := w.writer()
	if err != nil {
		return false, err
	}
	if k == nil {
		return !IsWrapped(stored), nil
	}
	return strings.HasPrefix(stored, wrapPrefix+k.id+":"), nil
}
