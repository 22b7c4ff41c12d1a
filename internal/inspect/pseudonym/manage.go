package pseudonym

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// What an administrator does with tenants' salts.

// TenantKey describes a tenant's salts, never their material.
type TenantKey struct {
	Tenant    string    `json:"tenant"`  // as far as it is kept: the first 128 bytes
	Epoch     uint64    `json:"epoch"`   // in use; 0 if none is
	ID        string    `json:"key_id"`  // of the salt in use
	Wrapped   bool      `json:"wrapped"` // the salt in use is wrapped
	Created   time.Time `json:"created,omitzero"`
	First     time.Time `json:"first,omitzero"` // when the oldest that is not destroyed was made
	Kept      int       `json:"kept"`           // salts that are not destroyed
	Destroyed time.Time `json:"destroyed,omitzero"`
	Problem   string    `json:"problem,omitempty"`
}

// ErrNoKey means that a tenant has no salt.
var ErrNoKey = errors.New("the tenant has no key")

// List describes every tenant's salts, by name.
func (t *Tenants) List() ([]TenantKey, error) {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list tenant keys: %w", err)
	}
	var out []TenantKey
	for _, e := range entries {
		if b, err := hex.DecodeString(e.Name()); err != nil || len(b) != 32 || !e.IsDir() {
			continue
		}
		if k, ok := describe(filepath.Join(t.dir, e.Name())); ok {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b TenantKey) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// Describe describes the salts of one tenant, or fails with ErrNoKey.
func (t *Tenants) Describe(tenant string) (TenantKey, error) {
	k, ok := describe(filepath.Join(t.dir, folderOf(tenant)))
	if !ok {
		return k, ErrNoKey
	}
	return k, nil
}

func describe(folder string) (k TenantKey, ok bool) {
	f, err := look(folder)
	if err != nil {
		k.Problem = err.Error()
		return k, !errors.Is(err, fs.ErrNotExist)
	}
	name := func(r record) {
		if s, err := strconv.Unquote(r.Tenant); err == nil && k.Tenant == "" {
			k.Tenant = s
		}
	}
	current := f.current()
	for _, epoch := range f.keys {
		r, err := readStored(folder, epoch)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				k.Problem = err.Error()
			}
			continue
		}
		name(r)
		if epoch <= f.dead {
			k.Problem = "destruction was interrupted: run destroy again"
			continue
		}
		k.Kept++
		if k.First.IsZero() || r.Created.Before(k.First) {
			k.First = r.Created
		}
		if epoch == current {
			k.Epoch, k.ID, k.Created, k.Wrapped = epoch, r.ID, r.Created, r.Wrapped != ""
		}
	}
	if f.dead > 0 {
		r, err := readRecord(fileOf(folder, f.dead, deadSuffix))
		if err != nil {
			k.Problem = err.Error()
		} else {
			name(r)
			k.Destroyed = r.Destroyed
		}
	}
	return k, len(f.keys) > 0 || f.dead > 0
}

// Rotate gives a tenant a new salt, for new pseudonyms from now on. The former ones are kept, and go when the tenant's keys are
// destroyed. Of several that rotate at once one wins, and all get the winner's.
func (t *Tenants) Rotate(tenant string) (TenantKey, error) {
	folder := filepath.Join(t.dir, folderOf(tenant))
	f, err := look(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && f.current() == 0 {
		return TenantKey{}, ErrNoKey // the first event makes one
	}
	if err == nil {
		_, err = create(folder, tenant, f.next())
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return TenantKey{}, fmt.Errorf("cannot rotate the key of a tenant: %w", err)
	}
	return t.Describe(tenant)
}

// Destroy destroys every salt of a tenant and leaves a tombstone. What was made with them cannot be made again, by anyone. Running
// processes notice within Recheck. It returns how many were destroyed, and fails with ErrNoKey if there is none.
func (t *Tenants) Destroy(tenant string) (n int, err error) {
	folder := filepath.Join(t.dir, folderOf(tenant))
	f, err := look(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(f.keys) == 0 {
		return 0, ErrNoKey
	}
	if err != nil {
		return 0, fmt.Errorf("cannot destroy the keys of a tenant: %w", err)
	}
	// The tombstone comes first: from then on no process takes any of these salts into use, wherever this one stops.
	if current := f.current(); current > 0 {
		r := record{Version: 1, Tenant: displayName(tenant), Folder: filepath.Base(folder), Epoch: current, Destroyed: time.Now().UTC()}
		if old, err := readStored(folder, current); err == nil {
			r.ID = old.ID
		}
		if err := r.write(fileOf(folder, current, deadSuffix)); err != nil && !errors.Is(err, fs.ErrExist) {
			return 0, fmt.Errorf("cannot destroy the keys of a tenant: %w", err)
		}
		f.dead = current
	}
	for _, epoch := range f.keys {
		if epoch <= f.dead {
			err = errors.Join(err, shred(fileOf(folder, epoch, keySuffix)))
			n++
		}
	}
	for _, name := range f.temps { // left by a crash; a young one may be in the making
		path := filepath.Join(folder, name)
		if st, e := os.Stat(path); e == nil && time.Since(st.ModTime()) > tempAge {
			err = errors.Join(err, shred(path))
		}
	}
	if err = errors.Join(err, syncDir(folder)); err != nil {
		return n, fmt.Errorf("cannot destroy the keys of a tenant: %w (run it again)", err)
	}
	return n, nil
}

// Rewrap stores every salt as a new one would be stored now: wrapped with the wrapping key that is in use. It returns how many were stored otherwise.
func (t *Tenants) Rewrap() (n int, err error) {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return 0, fmt.Errorf("cannot list tenant keys: %w", err)
	}
	var problems []error
	for _, e := range entries {
		if b, err := hex.DecodeString(e.Name()); err != nil || len(b) != 32 || !e.IsDir() {
			continue
		}
		folder := filepath.Join(t.dir, e.Name())
		f, err := look(folder)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, epoch := range f.keys {
			if epoch <= f.dead {
				continue
			}
			done, err := rewrap(folder, epoch)
			if err != nil {
				problems = append(problems, err)
			}
			if done {
				n++
			}
		}
	}
	if err := errors.Join(problems...); err != nil {
		return n, fmt.Errorf("cannot wrap the keys of tenants: %w", err)
	}
	return n, nil
}
