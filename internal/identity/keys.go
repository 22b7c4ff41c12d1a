package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

// Keys is the key in use and those before it (keysource.Replace), which lie beside it as long as somebody is enrolled under one. It follows its files while Run runs. Safe for concurrent use.
type Keys struct {
	path string
	set  atomic.Pointer[Epoch]
}

// Epoch is what the files held at one time. Immutable.
type Epoch struct {
	Key    *Key
	former []*Key
	seen   string
}

// OpenKeys reads the keys.
func OpenKeys(path string) (*Keys, error) {
	k := &Keys{path: path}
	s, err := k.read()
	if err != nil {
		return nil, err
	}
	k.set.Store(s)
	return k, nil
}

// Current is what is in use now.
func (k *Keys) Current() *Epoch { return k.set.Load() }

// Fingerprint is the fingerprint under the key in use.
func (k *Keys) Fingerprint(credential string) string { return k.Current().Key.Fingerprint(credential) }

// Former are the fingerprints under the keys before, the latest first.
func (s *Epoch) Former(credential string) []string {
	var out []string
	for _, k := range s.former {
		out = append(out, k.Fingerprint(credential))
	}
	return out
}

// Run reads the files again when they change, until the context ends. changed is told of each new set, or why it is not taken; the one of before stays then.
func (k *Keys) Run(ctx context.Context, changed func(error)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	seen := k.Current().seen
	var again time.Time // after a failure
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := k.look()
		if now == seen && (again.IsZero() || time.Now().Before(again)) {
			continue
		}
		s, err := k.read()
		seen, again = now, time.Now().Add(retry)
		if err == nil {
			seen, again = s.seen, time.Time{}
			k.set.Store(s)
		}
		changed(err)
	}
}

// retry is after how long a key that could not be fetched is asked for again.
const retry = 30 * time.Second

// look describes the files, so that a change shows. Nothing is fetched.
func (k *Keys) look() string {
	var b strings.Builder
	for _, f := range append([]string{k.path}, k.formerFiles()...) {
		if st, err := os.Stat(f); err == nil {
			fmt.Fprintln(&b, f, st.ModTime().UnixNano(), st.Size(), st.Mode())
		}
	}
	return b.String()
}

func (k *Keys) formerFiles() []string {
	files, _ := filepath.Glob(k.path + keysource.FormerMark + "*")
	slices.Sort(files)
	slices.Reverse(files)
	return files
}

func (k *Keys) read() (*Epoch, error) {
	s := &Epoch{seen: k.look()}
	var err error
	if s.Key, err = LoadKey(k.path); err != nil {
		return nil, err
	}
	for _, f := range k.formerFiles() {
		key, err := LoadKey(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.former = append(s.former, key)
	}
	return s, nil
}

// SourceFormer is an attribute between decoding and identity: the fingerprints of the sender's credential under the keys before, with commas. It is in no event that is stored.
const SourceFormer = "mcpsiem.raw.source.former"
