// Leaves: salted commitments to rows.

package seal

import (
	"crypto/sha256"

	"github.com/google/uuid"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Sizes in bytes.
const (
	HashSize = sha256.Size
	SaltSize = 16
)

// Hash is a node of the log.
type Hash = [HashSize]byte

// Salt opens a leaf. It is random and secret to who may read the row: without it a leaf cannot be tied to guesses of the row's content.
type Salt = [SaltSize]byte

// Digest of a canonical form, SHA-256.
func Digest(canonical []byte) Hash { return sha256.Sum256(canonical) }

// Commit is the log's entry for a row: HMAC-SHA-256 with the salt as key over the digest of its canonical form. It is written out, as RFC 2104 has it, since crypto/hmac makes
// two hashes on the heap for each row.
func Commit(salt Salt, digest Hash) Hash {
	var inner, outer [sha256.BlockSize + HashSize]byte
	for i := range sha256.BlockSize {
		var k byte
		if i < SaltSize {
			k = salt[i]
		}
		inner[i], outer[i] = k^0x36, k^0x5c
	}
	copy(inner[sha256.BlockSize:], digest[:])
	sum := sha256.Sum256(inner[:])
	copy(outer[sha256.BlockSize:], sum[:])
	return sha256.Sum256(outer[:])
}

// LeafHash is the leaf of the Merkle tree for a row, by RFC 6962: SHA-256(0x00 || commitment).
func LeafHash(salt Salt, digest Hash) Hash {
	var leaf [1 + HashSize]byte
	leaf[0] = rfc6962.RFC6962LeafHashPrefix
	c := Commit(salt, digest)
	copy(leaf[1:], c[:])
	return sha256.Sum256(leaf[:])
}

// Leaf is one leaf of a tenant's log and what it stands for.
type Leaf struct {
	Index     uint64
	Kind      string // KindEvent or KindFinding
	ID        uuid.UUID
	Time      int64 // ns since 1970: ts of the row
	StreamSeq uint64
	Version   uint8 // of the canonical form
	Salt      Salt
	Hash      Hash
}
