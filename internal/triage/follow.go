package triage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// File follows a file of rules. It is not safe for concurrent use.
type File struct {
	path string
	mod  time.Time
	size int64
	sum  [sha256.Size]byte // zero: no file
}

// NewFile follows the file at path, which need not be there yet.
func NewFile(path string) *File { return &File{path: path} }

// Seen is what a look at the file found.
type Seen struct {
	Rules *Rules    // nil with an error; without rules if the file is gone
	Hash  string    // of the content, 16 hex digits; empty if the file is gone
	Time  time.Time // when the file was changed, zero if it is gone
}

// Look reports whether the content is other than at the last look, the first one included if there is a file, and reads it. Polling, unlike
// notification, works across every way of replacing a file. An err with changed says that the content cannot be used.
func (f *File) Look() (s Seen, changed bool, err error) {
	st, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		changed = f.sum != [sha256.Size]byte{}
		*f = File{path: f.path}
		return Seen{Rules: &Rules{}}, changed, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("cannot read the allow-list: %w", err)
	}
	if st.ModTime().Equal(f.mod) && st.Size() == f.size && time.Since(f.mod) > 5*time.Second {
		return s, false, nil // a younger file may change again within the resolution of its time
	}
	in, err := os.Open(f.path)
	if err != nil {
		return s, false, fmt.Errorf("cannot read the allow-list: %w", err)
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return s, false, fmt.Errorf("cannot read the allow-list: %w", err)
	}
	f.mod, f.size = st.ModTime(), st.Size()
	sum := sha256.Sum256(data)
	if sum == f.sum {
		return s, false, nil
	}
	f.sum = sum
	s = Seen{Hash: hex.EncodeToString(sum[:8]), Time: st.ModTime()}
	if s.Rules, err = Parse(data); err != nil {
		return s, true, fmt.Errorf("cannot use the allow-list %s: %w", f.path, err)
	}
	return s, true, nil
}

// Load reads the file once; a file that is not there has no rules.
func Load(path string) (*Rules, error) {
	s, _, err := NewFile(path).Look()
	return s.Rules, err
}
