// Package pseudonym turns sensitive values into placeholders that correlate inside a tenant and nowhere else.
//
// All keys come from one master key by HKDF-SHA-256 (RFC 5869). A tenant's key names tenant and epoch, so that the same value
// has unrelated pseudonyms in two tenants, and raising the epoch cuts every old link. It also needs the tenant's own random salt,
// which can be destroyed alone (Tenants). The key for fingerprints is another branch that changes with time; fingerprints of two
// periods are not comparable.
package pseudonym

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

// KeySize is the length of a master key in bytes.
const KeySize = 32

// Master is the root of all pseudonym keys. It is not written anywhere but in its file.
type Master struct{ key [KeySize]byte }

// NewMaster makes a master from key material of KeySize bytes.
func NewMaster(key []byte) (*Master, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("cannot use master key: it has %d bytes, want %d", len(key), KeySize)
	}
	m := &Master{}
	copy(m.key[:], key)
	return m, nil
}

// Load reads a master key file: 64 hex digits, readable by its owner only.
func Load(path string) (*Master, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read master key: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cannot use master key %s: its mode is %#o, want 0600 (chmod 600 it, and consider the key known to others)", path, st.Mode().Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read master key: %w", err)
	}
	if s, is, err := keysource.Parse(raw); is {
		if err == nil {
			raw, err = s.Get(context.Background())
		}
		if err != nil {
			return nil, fmt.Errorf("cannot use master key %s: %w", path, err)
		}
	}
	key := make([]byte, KeySize)
	raw = bytes.TrimSpace(raw)
	if len(raw) != 2*KeySize {
		return nil, fmt.Errorf("cannot use master key %s: want %d hex digits", path, 2*KeySize)
	}
	if _, err := hex.Decode(key, raw); err != nil { // the error would quote a byte of the key
		return nil, fmt.Errorf("cannot use master key %s: not hexadecimal", path)
	}
	return NewMaster(key)
}

// Ensure loads the master key file, and creates it with a random key and mode 0600 if it does not exist. Of several processes
// that race to create it one wins and all load the winner's.
func Ensure(path string) (*Master, error) {
	m, err := Load(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	var key [KeySize]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, fmt.Errorf("cannot make master key: %w", err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make master key: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("cannot make master key: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(hex.EncodeToString(key[:]) + "\n")
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return nil, fmt.Errorf("cannot write master key: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot write master key: %w", err)
	}
	return Load(path)
}

// Tenant derives the pseudonym key of a tenant in an epoch from the master key alone. Such a key cannot be destroyed: it is for
// measuring and tests, where nothing is kept. Salted is for all else.
func (m *Master) Tenant(tenant, epoch string) [KeySize]byte {
	return m.derive(nil, "mcpsiem pseudonym 1", tenant, epoch)
}

// Fingerprint derives the key for fingerprints in a period. It is the same for all tenants, for the same content under two of
// them is what it is there to find.
func (m *Master) Fingerprint(period int64) (k0, k1 uint64) {
	k := m.derive(nil, "mcpsiem fingerprint 1", strconv.FormatInt(period, 10))
	return binary.LittleEndian.Uint64(k[:]), binary.LittleEndian.Uint64(k[8:])
}

func (m *Master) derive(salt []byte, label string, parts ...string) (out [KeySize]byte) {
	info := []byte(label)
	for _, p := range parts {
		info = binary.BigEndian.AppendUint32(info, uint32(len(p)))
		info = append(info, p...)
	}
	k, err := hkdf.Key(sha256.New, m.key[:], salt, string(info), KeySize)
	if err != nil {
		panic("BUG: hkdf: " + err.Error()) // only for absurd lengths
	}
	copy(out[:], k)
	return out
}
