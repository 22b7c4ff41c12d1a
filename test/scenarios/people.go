package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// issuer is who signs the tokens of all scenarios; mcpsiem is told its key.
const issuer = "https://login.scenarios.example/"

// Person is an entry of the directory.
type Person struct {
	ID   string
	Kind string // user, service, agent; user if empty
	Team string
	Left string // last day, 2006-01-02
}

// signingKey is made from a constant: the tokens open nothing.
var signingKey = func() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("mcpsiem scenarios"))
	return ed25519.NewKeyFromSeed(seed[:])
}()

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwt signs claims; sub and iss are set.
func jwt(sub string, claims map[string]any) string {
	all := map[string]any{"iss": issuer, "sub": sub, "aud": "mcp", "iat": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range claims {
		if v == nil {
			delete(all, k)
		} else {
			all[k] = v
		}
	}
	body, err := json.Marshal(all)
	if err != nil {
		panic(err) // claims are literals
	}
	head := b64([]byte(`{"alg":"EdDSA","kid":"scenarios","typ":"JWT"}`)) + "." + b64(body)
	return head + "." + b64(ed25519.Sign(signingKey, []byte(head)))
}

func writeKeys(path string) error {
	pub := signingKey.Public().(ed25519.PublicKey)
	return os.WriteFile(path, fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"scenarios","x":%q}]}`, b64(pub)), 0o600)
}

func writePeople(path string, list []*Scenario) error {
	var b strings.Builder
	for _, s := range list {
		for _, p := range s.People {
			fmt.Fprintf(&b, "- {id: %q, kind: %q, team: %q", p.ID, or(p.Kind, "user"), p.Team)
			if p.Left != "" {
				fmt.Fprintf(&b, ", status: left, left: %s", p.Left)
			}
			b.WriteString("}\n")
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
