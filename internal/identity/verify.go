package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const hashSHA256 = crypto.SHA256

// Algorithms are the signature algorithms that can be allowed: asymmetric ones only (RFC 8725 section 3.1).
var Algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Reason says why a signature does not vouch for a token.
type Reason string

// Reasons. Each is also the name of a signal, below `token.`.
const (
	OK            Reason = ""
	UnknownIssuer Reason = "issuer_unknown"
	AlgNone       Reason = "alg_none"
	AlgRefused    Reason = "alg_refused"
	UnknownKey    Reason = "key_unknown"
	BadSignature  Reason = "bad_signature"
)

// Issuer is an issuer of tokens that is trusted to name people.
type Issuer struct {
	Name       string   // iss, compared exactly (RFC 7519 section 4.1.1)
	Audiences  []string // a token must name one of them; none allows all
	Algorithms []jose.SignatureAlgorithm
	Leeway     time.Duration // for exp, nbf and iat
	IDClaim    string        // claim that names the principal; sub if empty
	Keys       *KeySet
}

// Signed is the outcome of checking a token's signature. Whether the token holds at some time is Valid's to say.
type Signed struct {
	Reason Reason
	Issuer *Issuer          // nil if unknown
	Key    *VerificationKey // that verified it
	gen    uint64
}

// Stale tells that the issuer's keys changed since, so that the outcome may.
func (s *Signed) Stale() bool {
	return s.Issuer != nil && (s.Reason == UnknownKey || s.gen != s.Issuer.Keys.Generation())
}

// Verify checks the signature of raw, of which t is the reading, against the keys of the issuer that it names. Keys, key
// URLs and certificates within the token (jwk, jku, x5u, x5c) are never used.
func Verify(ctx context.Context, issuers map[string]*Issuer, raw string, t *Token) Signed {
	if strings.EqualFold(t.Algorithm, "none") {
		return Signed{Reason: AlgNone, Issuer: nil}
	}
	iss := issuers[t.Issuer]
	if iss == nil {
		return Signed{Reason: UnknownIssuer}
	}
	s := Signed{Issuer: iss, gen: iss.Keys.Generation()}
	if !slices.Contains(iss.Algorithms, jose.SignatureAlgorithm(t.Algorithm)) {
		s.Reason = AlgRefused
		return s
	}
	jws, err := jose.ParseSignedCompact(raw, iss.Algorithms)
	if err != nil {
		s.Reason = BadSignature
		return s
	}
	keys := iss.Keys.Find(ctx, t.KeyID)
	s.gen = iss.Keys.Generation() // Find may have fetched
	if len(keys) == 0 {
		s.Reason = UnknownKey
		return s
	}
	s.Reason = BadSignature
	for _, k := range keys {
		if !k.fits(t.Algorithm) {
			continue
		}
		if _, err := jws.Verify(k.public); err == nil {
			s.Reason, s.Key = OK, k
			return s
		}
	}
	return s
}

// fits tells whether the key is for the algorithm, by its own alg and by its type and curve.
func (k *VerificationKey) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return (alg == "ES256" && p.Curve.Params().BitSize == 256) || (alg == "ES384" && p.Curve.Params().BitSize == 384) ||
			(alg == "ES512" && p.Curve.Params().BitSize == 521)
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// Validity is what the clock says of a token.
type Validity struct{ Expired, NotYet, Future bool }

// Valid judges the token's times at ns since 1970: the time of the event, not of its processing.
func (t *Token) Valid(ns int64, leeway time.Duration) Validity {
	now, l := ns/int64(time.Second), int64(leeway/time.Second)
	return Validity{
		Expired: t.Expires != 0 && now >= t.Expires+l,
		NotYet:  t.NotBefore != 0 && now < t.NotBefore-l,
		Future:  t.IssuedAt != 0 && now < t.IssuedAt-l,
	}
}

// For tells whether the token is for one of the audiences; an empty list allows all.
func (t *Token) For(audiences []string) bool {
	if len(audiences) == 0 {
		return true
	}
	for _, a := range t.Audience {
		if slices.Contains(audiences, a) {
			return true
		}
	}
	return false
}
