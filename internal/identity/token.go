package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
)

// Limits of a token. What exceeds them is no credential that an HTTP server would take either.
const (
	maxToken  = 16 << 10 // bytes
	maxActors = 8        // depth of an act chain (RFC 8693)
	maxList   = 64       // scopes or audiences kept
)

// What ParseToken refuses.
var (
	ErrNotJWT    = errors.New("not a JWT")
	ErrMalformed = errors.New("malformed JWT")
	ErrTooLarge  = errors.New("token too large")
)

// Token is what a JWT says of itself. Reading it verifies nothing.
type Token struct {
	Algorithm string // alg of its header
	KeyID     string // kid of its header: used to compare, never to fetch or open anything
	Issuer    string // iss
	Subject   string // sub
	ClientID  string // client_id, or azp
	Audience  []string
	Scopes    []string          // of scope (space-separated) or scp
	Actors    []string          // act chain (RFC 8693 section 4.1), the current actor first
	IssuedAt  int64             // iat, s since 1970; 0 if absent
	NotBefore int64             // nbf; 0 if absent
	Expires   int64             // exp; 0 if absent
	Names     map[string]string // email, preferred_username, upn and the like: other names of the subject
	ForApp    bool              // issued to a client for itself rather than for a user
}

// nameClaims are claims that name the subject besides sub, as identity providers use them.
var nameClaims = []string{"email", "preferred_username", "upn", "unique_name", "username", "oid", "client_id", "azp", "appid"}

// IsJWT tells whether s has the shape of a signed JWT: three parts, the first a JSON object in base64url.
func IsJWT(s string) bool {
	return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2
}

// ParseToken reads the header and claims of a JWT without verifying it.
func ParseToken(s string) (*Token, error) {
	if len(s) > maxToken {
		return nil, ErrTooLarge
	}
	if !IsJWT(s) {
		return nil, ErrNotJWT
	}
	head, rest, _ := strings.Cut(s, ".")
	payload, _, _ := strings.Cut(rest, ".")
	h, err := object(head)
	if err != nil {
		return nil, err
	}
	c, err := object(payload)
	if err != nil {
		return nil, err
	}
	return tokenOf(h, c), nil
}

// object decodes one part of a token. encoding/json into a map compares keys exactly, as RFC 7515 section 4 demands.
func object(part string) (map[string]any, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	if err != nil {
		return nil, ErrMalformed
	}
	var m map[string]any
	if json.Unmarshal(b, &m) != nil || m == nil {
		return nil, ErrMalformed
	}
	return m, nil
}

func tokenOf(h, c map[string]any) *Token {
	t := &Token{
		Algorithm: Clean(text(h["alg"])),
		KeyID:     Clean(text(h["kid"])),
		Issuer:    Clean(text(c["iss"])),
		Subject:   Clean(text(c["sub"])),
		ClientID:  Clean(text(c["client_id"])),
		Audience:  list(c["aud"], false),
		IssuedAt:  seconds(c["iat"]),
		NotBefore: seconds(c["nbf"]),
		Expires:   seconds(c["exp"]),
	}
	if t.ClientID == "" {
		t.ClientID = Clean(text(c["azp"]))
	}
	if t.ClientID == "" {
		t.ClientID = Clean(text(c["appid"]))
	}
	if t.Scopes = list(c["scope"], true); t.Scopes == nil {
		t.Scopes = list(c["scp"], true)
	}
	for _, n := range nameClaims {
		if v := Clean(text(c[n])); v != "" {
			if t.Names == nil {
				t.Names = make(map[string]string, 2)
			}
			t.Names[n] = v
		}
	}
	for a, _ := c["act"].(map[string]any); a != nil && len(t.Actors) < maxActors; a, _ = a["act"].(map[string]any) {
		who := text(a["sub"])
		if who == "" {
			who = text(a["client_id"])
		}
		if who == "" {
			break
		}
		t.Actors = append(t.Actors, Clean(who))
	}
	t.ForApp = text(c["gty"]) == "client-credentials" || text(c["idtyp"]) == "app" || (t.Subject != "" && t.Subject == t.ClientID)
	return t
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// list reads a claim that is one string or an array of strings; words splits a string at blanks.
func list(v any, words bool) []string {
	var out []string
	add := func(s string) {
		if s = Clean(s); s != "" && len(out) < maxList {
			out = append(out, s)
		}
	}
	switch v := v.(type) {
	case string:
		if !words {
			add(v)
			break
		}
		for w := range strings.FieldsSeq(v) {
			add(w)
		}
	case []any:
		for _, x := range v {
			add(text(x))
		}
	}
	return out
}

// seconds reads a NumericDate (RFC 7519 section 2). What cannot be a time reads as absent.
func seconds(v any) int64 {
	f, ok := v.(float64)
	if !ok || math.IsNaN(f) || f < 1 || f > 253402300799 { // 9999-12-31
		return 0
	}
	return int64(f)
}
