package pseudonym

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Tenants gives each tenant a random salt that its keys are derived with, so that destroying the salt destroys this tenant's
// keys alone, also for whoever has the master key.
//
// Layout, everything 0700/0600; the folder of a tenant is named by a hash of the tenant's name, which may be anything:
//
//	<dir>/<sha256 of the name>/<epoch>.key         a salt; the highest epoch is in use
//	<dir>/<sha256 of the name>/<epoch>.destroyed   tombstone: every salt up to this epoch is dead, even if its file is still there
//
// A file appears whole and on disk, once, and never changes until it is overwritten and removed. So any number of processes may
// read, create, rotate and destroy at once, without a lock. A Tenants is safe for concurrent use.
type Tenants struct {
	dir string
	max int // tenants that may get a salt

	mu     sync.Mutex
	slots  map[string]*slot
	folder int       // tenants on disk when last counted, and those made since
	swept  time.Time // when idle slots were last dropped
	last   error

	drops atomic.Uint64 // how often salts left memory
}

// slot is what is known of one tenant.
type slot struct {
	mu      sync.Mutex
	checked time.Time
	used    time.Time
	salt    Salt
	err     error
}

// Salt is a tenant's salt of one epoch.
type Salt struct {
	Epoch uint64 // from 1
	ID    [8]byte
	bytes [KeySize]byte
}

// String names the salt and does not show it, however it is printed.
func (s Salt) String() string { return fmt.Sprintf("salt %x of epoch %d", s.ID, s.Epoch) }

// GoString is String.
func (s Salt) GoString() string { return s.String() }

const (
	// Recheck is how long a salt is used without a look at its file, and so how long a destroyed or rotated one is used on.
	Recheck = time.Second
	// idle is after how long a salt that no event needs leaves memory.
	idle = time.Minute
	// MaxTenants bounds the tenants that get a salt, for a sender may be free to choose the name.
	MaxTenants = 100_000
	maxSlots   = 4096
)

// EnsureTenants opens the folder of salts and makes it if it is not there.
func EnsureTenants(dir string) (*Tenants, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of tenant keys: %w (keys_dir names another; it has to be writable and to last)", err)
	}
	t, err := OpenTenants(dir)
	if err != nil {
		return nil, err
	}
	probe, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return nil, fmt.Errorf("cannot write into the folder of tenant keys: %w (keys_dir names another; it has to be writable and to last)", err)
	}
	return t, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// OpenTenants opens a folder of salts that is there.
func OpenTenants(dir string) (*Tenants, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read tenant keys: %w", err)
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("cannot read tenant keys: %s is no folder", dir)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cannot use tenant keys in %s: its mode is %#o, want 0700 (chmod 700 it, and consider the keys known to others)", dir, st.Mode().Perm())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read tenant keys: %w", err)
	}
	return &Tenants{dir: dir, max: MaxTenants, slots: map[string]*slot{}, folder: len(entries)}, nil
}

// Salt is the salt in use of a tenant, made if there is none. It is looked at again after Recheck. now only moves the cache on.
// An error means that nothing may be pseudonymised for the tenant; the next call after Recheck tries again.
func (t *Tenants) Salt(tenant string, now time.Time) (Salt, error) {
	s := t.slot(tenant, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = now
	if d := now.Sub(s.checked); d >= 0 && d < Recheck && !s.checked.IsZero() {
		return s.salt, s.err
	}
	old := s.salt
	s.salt, s.err = t.current(tenant)
	s.checked = now
	if old != s.salt && old.Epoch != 0 || s.err != nil {
		t.drops.Add(1)
	}
	if s.err != nil {
		t.mu.Lock()
		t.last = s.err
		t.mu.Unlock()
	}
	return s.salt, s.err
}

// LastError is the last failure to get at a salt, and is forgotten by the call.
func (t *Tenants) LastError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.last
	t.last = nil
	return err
}

// Drops counts how often a salt left memory; what was derived from one should leave then, too.
func (t *Tenants) Drops() uint64 { return t.drops.Load() }

func (t *Tenants) slot(tenant string, now time.Time) *slot {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := now.Sub(t.swept); d > idle || d < 0 {
		t.swept = now
		for name, s := range t.slots {
			if s.mu.TryLock() { // one in use is not idle
				if now.Sub(s.used) > idle {
					delete(t.slots, name)
					t.drops.Add(1)
				}
				s.mu.Unlock()
			}
		}
	}
	if len(tenant) > maxName {
		tenant = folderOf(tenant) // a long name would fill memory
	}
	s := t.slots[tenant]
	if s == nil {
		if len(t.slots) >= maxSlots {
			clear(t.slots)
			t.drops.Add(1)
		}
		s = &slot{used: now}
		t.slots[tenant] = s
	}
	return s
}

var errGone = errors.New("it is being destroyed")

// current reads the salt in use, or makes one. Between its looks others may create and destroy, so it looks a few times.
func (t *Tenants) current(tenant string) (Salt, error) {
	folder := filepath.Join(t.dir, folderOf(tenant))
	var err error
	for range 16 {
		var f files
		if f, err = look(folder); errors.Is(err, fs.ErrNotExist) {
			if err = t.mkdir(folder); err != nil {
				break
			}
			continue
		}
		if err != nil {
			break
		}
		epoch := f.current()
		if epoch == 0 {
			if _, err = create(folder, tenant, f.next()); err != nil && !errors.Is(err, fs.ErrExist) {
				break
			}
			continue // read what is there now, whoever made it
		}
		var r record
		if r, err = read(folder, epoch); err == nil {
			return r.salt(), nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errGone) {
			if f, e := look(folder); e == nil && f.dead >= epoch { // half overwritten
				continue
			}
			break
		}
	}
	if err == nil {
		err = errGone
	}
	return Salt{}, fmt.Errorf("cannot get the key of a tenant (%s): %w", folder, err)
}

// mkdir makes a tenant's folder. It does not make the folder that it lies in: if that has gone, so may have every salt, and
// fresh ones would hide it.
func (t *Tenants) mkdir(folder string) error {
	t.mu.Lock()
	full := t.folder >= t.max
	if full { // others may have removed some
		if entries, err := os.ReadDir(t.dir); err == nil {
			t.folder = len(entries)
			full = t.folder >= t.max
		}
	}
	if !full {
		t.folder++
	}
	t.mu.Unlock()
	if full {
		return fmt.Errorf("there are %d tenants already", t.max)
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(giveToOwner(folder, t.dir), syncDir(t.dir))
}

// Salted derives the pseudonym key of a tenant. Without the salt it cannot be derived.
func (m *Master) Salted(tenant, epoch string, s Salt) [KeySize]byte {
	return m.derive(s.bytes[:], "mcpsiem pseudonym 2", tenant, epoch)
}
