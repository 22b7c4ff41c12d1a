package identity

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

// Key makes keyed fingerprints of credentials. The same credential has the same fingerprint wherever the same key is used;
// without the key a fingerprint can be neither made nor reversed by guessing.
type Key struct {
	mac [sha256.Size]byte // derived from the secret, so that no other use of the same secret gives equal values
}

// FingerprintLen is the length of a fingerprint: 128 bits as hex digits.
const FingerprintLen = 32

// LoadKey reads a key file: 64 hex digits, or at least 32 bytes of anything else, or where the key is (internal/keysource). Line ends after it do not count.
func LoadKey(path string) (*Key, error) {
	b, err := keysource.Read(context.Background(), "key file", path)
	if err != nil {
		return nil, err
	}
	k, err := NewKey(b)
	if err != nil {
		return nil, fmt.Errorf("cannot use key file %s: %w", path, err)
	}
	return k, nil
}

// NewKey makes a key from the content of a key file.
func NewKey(b []byte) (*Key, error) {
	secret := b
	if t := bytes.TrimRight(b, "\r\n"); len(t) == 64 {
		if raw, err := hex.DecodeString(string(t)); err == nil {
			secret = raw
		}
	}
	if len(secret) < 32 {
		return nil, errors.New("it holds fewer than 32 bytes; make one with: openssl rand -hex 32")
	}
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("mcpsiem credential fingerprint v1"))
	return &Key{mac: [32]byte(h.Sum(nil))}, nil
}

// Fingerprint is HMAC-SHA-256 over the credential, its first 128 bits as 32 hex digits. The credential is the token itself:
// what follows the scheme of an Authorization header, or the value of an API key header.
func (k *Key) Fingerprint(credential string) string {
	h := hmac.New(sha256.New, k.mac[:])
	h.Write([]byte(credential))
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0])[:FingerprintLen/2])
}
