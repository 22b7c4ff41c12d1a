// Following the file.

package budget

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"
)

// ReloadInterval is how long a file is not looked at again.
const ReloadInterval = 10 * time.Second

// File is the rules of a file, and follows it. It is not safe for concurrent use.
type File struct {
	path  string
	rules *Rules
	now   func() time.Time

	next time.Time // when it is looked at again
	mod  time.Time
	size int64
	sum  [sha256.Size]byte
}

// Load reads a file once.
func Load(path string) (*Rules, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return f.rules, nil
}

// Open reads the file for the first time; then it must be good.
func Open(path string) (*File, error) { return OpenAt(path, time.Now) }

// OpenAt is Open by another clock.
func OpenAt(path string, now func() time.Time) (*File, error) {
	f := &File{path: path, now: now}
	f.next = f.now().Add(ReloadInterval)
	if _, err := f.look(); err != nil {
		return nil, err
	}
	return f, nil
}

// Rules returns the rules in force, after a look at the file if one is due. err says that the file changed and cannot be used,
// once for each change; hash is then that of its content, for the same change to be told from another.
func (f *File) Rules() (r *Rules, hash string, err error) {
	if now := f.now(); !now.Before(f.next) {
		f.next = now.Add(ReloadInterval)
		var changed bool
		if changed, err = f.look(); changed && err != nil {
			hash = hex.EncodeToString(f.sum[:8])
		}
		if !changed {
			err = nil
		}
	}
	return f.rules, hash, err
}

// look reports whether the content is other than at the last look. A file that is gone for a moment, as while it is replaced,
// is no change.
func (f *File) look() (changed bool, err error) {
	st, err := os.Stat(f.path)
	if err != nil {
		return false, fmt.Errorf("cannot read budgets: %w", err)
	}
	if st.ModTime().Equal(f.mod) && st.Size() == f.size && f.now().Sub(f.mod) > 5*time.Second {
		return false, nil // a younger file may change again within the resolution of its time
	}
	in, err := os.Open(f.path)
	if err != nil {
		return false, fmt.Errorf("cannot read budgets: %w", err)
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return false, fmt.Errorf("cannot read budgets: %w", err)
	}
	f.mod, f.size = st.ModTime(), st.Size()
	sum := sha256.Sum256(data)
	if sum == f.sum {
		return false, nil
	}
	f.sum = sum
	r, err := Parse(data)
	if err != nil {
		return true, fmt.Errorf("cannot use budgets %s: %w", f.path, err)
	}
	f.rules = r
	return true, nil
}
