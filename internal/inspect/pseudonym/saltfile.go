package pseudonym

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

// The files in a tenant's folder.

const (
	keySuffix  = ".key"
	deadSuffix = ".destroyed"
	tempPrefix = ".new-"
	maxFile    = 4096
	maxName    = 128 // bytes of a tenant's name that are kept for people to read
	// tempAge is after how long a file that was not finished is taken as left by a crash.
	tempAge = time.Minute
)

// record is the content of a file. A tombstone has no salt; its id is that of the newest salt that it buries.
type record struct {
	Version   int       `json:"version"`
	Tenant    string    `json:"tenant"` // quoted as in Go, cut after maxName bytes; the folder's name is what binds
	Folder    string    `json:"folder"`
	Epoch     uint64    `json:"epoch"`
	Created   time.Time `json:"created,omitzero"`
	Destroyed time.Time `json:"destroyed,omitzero"`
	ID        string    `json:"id"` // hash of the salt; it also shows whether the file is whole
	Salt      string    `json:"salt,omitempty"`
	Wrapped   string    `json:"wrapped,omitempty"` // the salt, encrypted with the wrapping key (keysource.Wrapping), in the place of it
}

// wrapping is what the salts of a folder are wrapped with: it lies beside the folder of all tenants.
func wrapping(folder string) keysource.Wrapping { return keysource.Beside(filepath.Dir(folder)) }

// label binds a wrapped salt to its tenant and epoch.
func (r *record) label() string {
	return "tenant " + r.Folder + " " + strconv.FormatUint(r.Epoch, 10)
}

// wrap puts the salt in the form in which it is stored now: wrapped, if there is a wrapping key.
func (r *record) wrap(folder string) error {
	salt, err := hex.DecodeString(r.Salt)
	if err != nil {
		panic("BUG: salt not checked")
	}
	if r.Wrapped, err = wrapping(folder).Wrap(r.label(), salt); r.Wrapped != "" {
		r.Salt = ""
	}
	return err
}

// stored is the salt as it is in the file.
func (r *record) stored() string { return r.Salt + r.Wrapped }

// folderOf names a tenant's folder, whatever the tenant is called.
func folderOf(tenant string) string {
	h := sha256.Sum256([]byte("mcpsiem tenant 1\x00" + tenant))
	return hex.EncodeToString(h[:])
}

func saltID(salt []byte) (id [8]byte) {
	h := sha256.Sum256(append([]byte("mcpsiem tenant key id 1\x00"), salt...))
	copy(id[:], h[:])
	return id
}

func displayName(tenant string) string {
	if len(tenant) > maxName {
		n := maxName
		for n > maxName-utf8.UTFMax && !utf8.RuneStart(tenant[n]) {
			n--
		}
		tenant = tenant[:n] + "…"
	}
	return strconv.Quote(tenant)
}

func (r *record) salt() (s Salt) {
	s.Epoch = r.Epoch
	if _, err := hex.Decode(s.bytes[:], []byte(r.Salt)); err != nil {
		panic("BUG: salt not checked") // read has checked it
	}
	s.ID = saltID(s.bytes[:])
	return s
}

// files are the epochs for which there are salts and tombstones.
type files struct {
	keys  []uint64
	dead  uint64 // highest epoch with a tombstone; salts up to it are dead
	temps []string
}

// current is the epoch in use, or 0.
func (f *files) current() (epoch uint64) {
	for _, k := range f.keys {
		if k > f.dead {
			epoch = max(epoch, k)
		}
	}
	return epoch
}

// next is the epoch of a new salt.
func (f *files) next() uint64 { return max(f.current(), f.dead) + 1 }

// look lists a tenant's folder.
func look(folder string) (f files, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return f, err
	}
	for _, e := range entries {
		if n, ok := epochOf(e.Name(), keySuffix); ok {
			f.keys = append(f.keys, n)
		}
		if n, ok := epochOf(e.Name(), deadSuffix); ok {
			f.dead = max(f.dead, n)
		}
		if strings.HasPrefix(e.Name(), tempPrefix) {
			f.temps = append(f.temps, e.Name())
		}
	}
	return f, nil
}

func epochOf(name, suffix string) (uint64, bool) {
	s, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}

func fileOf(folder string, epoch uint64, suffix string) string {
	return filepath.Join(folder, strconv.FormatUint(epoch, 10)+suffix)
}

// read reads a salt. errGone means that somebody is overwriting it.
func read(folder string, epoch uint64) (record, error) {
	var problem error
	for before := ""; ; {
		r, err := readStored(folder, epoch)
		if err != nil || r.Wrapped == "" {
			return r, err
		}
		if r.Wrapped == before {
			return record{}, problem
		}
		before = r.Wrapped
		salt, err := wrapping(folder).Unwrap(r.label(), r.Wrapped)
		if err == nil {
			r.Salt, r.Wrapped = hex.EncodeToString(salt), ""
			return r, r.check(folder, epoch)
		}
		problem = fmt.Errorf("%s: %w", fileOf(folder, epoch, keySuffix), err) // unless it was just being wrapped anew
	}
}

// readStored reads a salt's file as it is: one that is wrapped stays so, and nothing has to be fetched.
func readStored(folder string, epoch uint64) (record, error) {
	r, err := readRecord(fileOf(folder, epoch, keySuffix))
	if err != nil {
		return r, err
	}
	if err := r.check(folder, epoch); err != nil {
		return record{}, err
	}
	return r, nil
}

func (r *record) check(folder string, epoch uint64) error {
	salt, err := hex.DecodeString(r.Salt)
	id := saltID(salt)
	whole := err == nil && len(salt) == KeySize && hex.EncodeToString(id[:]) == r.ID || r.Salt == "" && keysource.IsWrapped(r.Wrapped)
	if !whole || r.Epoch != epoch || r.Folder != filepath.Base(folder) {
		return fmt.Errorf("%s is damaged, or was copied from elsewhere: restore it from a backup, or destroy the tenant's keys", fileOf(folder, epoch, keySuffix))
	}
	return nil
}

func readRecord(path string) (r record, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return r, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return r, fmt.Errorf("%s has mode %#o, want 0600 (chmod 600 it, and consider the key known to others)", path, st.Mode().Perm())
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return r, err
	}
	if len(raw) == 0 || raw[0] == 0 {
		return r, errGone
	}
	if json.Unmarshal(raw, &r) != nil || r.Version != 1 { // the error could quote the salt
		return record{}, fmt.Errorf("%s is damaged, or of a later version", path)
	}
	return r, nil
}

// create makes a new salt. The error is fs.ErrExist if another has made one of that epoch.
func create(folder, tenant string, epoch uint64) (record, error) {
	var salt [KeySize]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return record{}, fmt.Errorf("cannot make a tenant key: %w", err)
	}
	id := saltID(salt[:])
	r := record{Version: 1, Tenant: displayName(tenant), Folder: filepath.Base(folder), Epoch: epoch, Created: time.Now().UTC(),
		ID: hex.EncodeToString(id[:]), Salt: hex.EncodeToString(salt[:])}
	plain := r
	if err := r.wrap(folder); err != nil {
		return record{}, fmt.Errorf("cannot make a tenant key: %w", err)
	}
	if err := r.write(fileOf(folder, epoch, keySuffix)); err != nil {
		return record{}, err
	}
	_, err := rewrap(folder, epoch) // the wrapping key may have been replaced meanwhile
	return plain, err
}

// rewrap stores a salt as a new one would be stored now, and says whether it was stored otherwise.
func rewrap(folder string, epoch uint64) (bool, error) {
	path := fileOf(folder, epoch, keySuffix)
	r, err := readStored(folder, epoch)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if current, err := wrapping(folder).Current(r.stored()); current || err != nil {
		return false, err
	}
	if r, err = read(folder, epoch); err != nil {
		return false, err
	}
	if err := r.wrap(folder); err != nil {
		return false, err
	}
	former, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer former.Close()
	tmp, err := r.temp(folder)
	if err != nil {
		return false, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return false, errors.Join(err, os.Remove(tmp))
	}
	if err := syncDir(folder); err != nil {
		return false, err
	}
	err = overwrite(former)
	// Whoever destroys the salt may not have seen this file: the tombstone comes first.
	if f, e := look(folder); e == nil && f.dead >= epoch {
		err = errors.Join(err, shred(path))
	}
	return true, err
}

// write puts the record on disk under a name that is not taken, whole or not at all.
func (r *record) write(path string) (err error) {
	dir := filepath.Dir(path)
	tmp, err := r.temp(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp)) }()
	if err = os.Link(tmp, path); err != nil { // fails if the name is taken
		return err
	}
	return syncDir(dir)
}

// temp puts the record on disk under a name that nobody looks at.
func (r *record) temp(dir string) (name string, err error) {
	b, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(dir, tempPrefix+"*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, giveToOwner(tmp.Name(), dir), tmp.Sync(), tmp.Close()); err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	return tmp.Name(), nil
}

// shred overwrites a file and removes it. On a file system that copies on write, or a flash disk, old blocks may last until they are
// reused.
func shred(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err = errors.Join(overwrite(f), f.Close()); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func overwrite(f *os.File) error {
	st, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, min(st.Size(), maxFile)), 0)
	}
	return errors.Join(err, f.Sync())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
