package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"pgregory.net/rapid"
)

// A leaf is what the standard library's HMAC and another implementation of RFC 6962 make of it.
func TestLeafHash(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		salt := Salt(rapid.SliceOfN(rapid.Byte(), SaltSize, SaltSize).Draw(r, "salt"))
		digest := Hash(rapid.SliceOfN(rapid.Byte(), HashSize, HashSize).Draw(r, "digest"))
		m := hmac.New(sha256.New, salt[:])
		m.Write(digest[:])
		if got, want := LeafHash(salt, digest), Hash(rfc6962.DefaultHasher.HashLeaf(m.Sum(nil))); got != want {
			t.Fatalf("salt %x, digest %x: %x, want %x", salt, digest, got, want)
		}
	})
}
