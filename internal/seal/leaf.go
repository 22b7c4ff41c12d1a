// Leaves: salted commitments to rows.

package seal

import (
	"crypto/hmac"
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

// Commit is the log's entry for a row: HMAC-SHA-256 with the salt as key over the digest of its canonical form.
func Commit(salt Salt, digest Hash) Hash {
	m := hmac.New(sha256.New, salt[:])
	m.Write(digest[:])
	return Hash(m.Sum(nil))
}

// LeafHash is the leaf of the Merkle tree for a row, by RFC 6962: SHA-256(0x00 || commitment).
func LeafHash(salt Salt, digest Hash) Hash {
	c := Commit(salt, digest)
	return Hash(rfc6962.DefaultHasher.HashLeaf(c[:]))
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
