package identity

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKey(t *testing.T) {
	f := func(content string, ok bool) {
		t.Helper()
		k, err := NewKey([]byte(content))
		if (err == nil) != ok {
			t.Errorf("%d bytes: %v", len(content), err)
		}
		if ok && len(k.Fingerprint("x")) != FingerprintLen {
			t.Error(k.Fingerprint("x"))
		}
	}
	hexKey := strings.Repeat("ab", 32)
	f(hexKey+"\n", true)
	f(strings.Repeat("k", 32), true)
	f(strings.Repeat("k", 31), false)
	f("", false)
	a, _ := NewKey([]byte(hexKey))
	b, _ := NewKey([]byte(hexKey + "\r\n"))
	c, _ := NewKey([]byte(strings.Repeat("cd", 32)))
	if a.Fingerprint("x") != b.Fingerprint("x") || a.Fingerprint("x") == c.Fingerprint("x") || a.Fingerprint("x") == a.Fingerprint("y") {
		t.Error("fingerprints")
	}
	if _, err := LoadKey(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a key out of nothing")
	}
}

func TestClean(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Clean(in); got != want {
			t.Errorf("%q", got)
		}
	}
	f("alice@example.com", "alice@example.com")
	f("Zoë", "Zoë")
	f("a\x00b\nc\x7fd\u202ee\u2028f\xff", "abcdef")
	long := strings.Repeat("ä", 300)
	if a, b := Clean(long+"x"), Clean(long+"y"); a == b || len(a) > maxName || !utf8.ValidString(a) {
		t.Errorf("%d %v", len(a), a == b)
	}
}

func token(header, claims string) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(header)) + "." + e.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestParseToken(t *testing.T) {
	f := func(claims string, check func(*Token) bool) {
		t.Helper()
		tok, err := ParseToken(token(`{"alg":"RS256","kid":"k"}`, claims))
		if err != nil || !check(tok) {
			t.Errorf("%s: %+v %v", claims, tok, err)
		}
	}
	f(`{"iss":"i","sub":"s","aud":["a","b"],"scp":["x"],"azp":"app"}`, func(k *Token) bool {
		return k.Issuer == "i" && k.Subject == "s" && len(k.Audience) == 2 && k.Scopes[0] == "x" && k.ClientID == "app" && k.Names["azp"] == "app"
	})
	f(`{"SUB":"s","Iss":"i"}`, func(k *Token) bool { return k.Subject == "" && k.Issuer == "" }) // names are case-sensitive
	f(`{"sub":7,"exp":"1","iat":-5,"nbf":1e300,"aud":{"a":1},"scope":5}`, func(k *Token) bool {
		return k.Subject == "" && k.Expires == 0 && k.IssuedAt == 0 && k.NotBefore == 0 && k.Audience == nil && k.Scopes == nil
	})
	f(`{"exp":1767225600.9}`, func(k *Token) bool { return k.Expires == 1767225600 })
	f(`{"act":"x"}`, func(k *Token) bool { return k.Actors == nil })
	f(`{"scope":"`+strings.Repeat("s ", 1000)+`"}`, func(k *Token) bool { return len(k.Scopes) == maxList })

	bad := func(s string, want error) {
		t.Helper()
		if _, err := ParseToken(s); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	bad("", ErrNotJWT)
	bad("abc", ErrNotJWT)
	bad("eyJ.a.b.c.d", ErrNotJWT) // encrypted
	bad("eyJ..", ErrMalformed)
	bad(token(`{"alg":"RS256"`, `{}`), ErrMalformed)
	bad(token(`{"alg":"RS256"}`, `[]`), ErrMalformed)
	bad(token(`{"alg":"RS256"}`, `null`), ErrMalformed)
	bad(token(`{"alg":"RS256"}`, `{"a":"`+strings.Repeat("x", maxToken)+`"}`), ErrTooLarge)
}

func FuzzToken(f *testing.F) {
	f.Add(token(`{"alg":"RS256","kid":"k"}`, `{"iss":"i","sub":"s","aud":["a"],"act":{"sub":"x","act":{}},"exp":1e9}`))
	f.Add("eyJ..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	issuers := map[string]*Issuer{"i": {Name: "i", Algorithms: Algorithms, Keys: NewKeySet(KeySetConfig{File: "/does/not/exist", MinInterval: time.Hour})}}
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := ParseToken(s)
		if err != nil {
			return
		}
		if v := Verify(context.Background(), issuers, s, tok); v.Reason == OK {
			t.Fatal("verified without a key")
		}
		for _, n := range append(append([]string{tok.Subject, tok.Issuer}, tok.Actors...), tok.Scopes...) {
			if len(n) > maxName || !utf8.ValidString(n) || strings.ContainsFunc(n, unicode.IsControl) {
				t.Fatalf("name %q", n)
			}
		}
	})
}

func TestKeySetLimits(t *testing.T) {
	key, _ := rsa.GenerateKey(rand.Reader, 2048)
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	good, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "a"}}})
	f := func(name, doc string, want int) {
		t.Helper()
		keys, err := parseKeySet([]byte(doc))
		if (err == nil) != (want > 0) || len(keys) != want {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
	set := func(keys ...jose.JSONWebKey) string {
		b, _ := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		return string(b)
	}
	f("good", string(good), 1)
	f("not JSON", "<html>", 0)
	f("no keys", `{}`, 0)
	f("empty", `{"keys":[]}`, 0)
	f("symmetric", set(jose.JSONWebKey{Key: []byte("secret"), KeyID: "a"}), 0)
	f("weak", set(jose.JSONWebKey{Key: weak.Public()}), 0)
	f("for encryption", set(jose.JSONWebKey{Key: key.Public(), Use: "enc"}), 0)
	f("unknown beside good", `{"keys":[{"kty":"XYZ"},7,`+string(good[9:]), 1)
	f("private", set(jose.JSONWebKey{Key: key}), 1)
	f("too many", `{"keys":[`+strings.Repeat("{},", maxKeys)+`{}]}`, 0)
}

func TestKeySetFetches(t *testing.T) {
	answer := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(answer)) }))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	now := time.Unix(1e9, 0)
	s := NewKeySet(KeySetConfig{URL: srv.URL, MinInterval: time.Minute, Client: client, Now: func() time.Time { return now }})
	ctx := context.Background()
	answer = strings.Repeat(" ", maxKeySet+1)
	if err := s.Refresh(ctx); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Error(err)
	}
	key, _ := rsa.GenerateKey(rand.Reader, 2048)
	b, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "a"}}})
	answer = string(b)
	if len(s.Find(ctx, "a")) != 0 {
		t.Error("asked again before its time")
	}
	now = now.Add(time.Minute)
	if len(s.Find(ctx, "a")) != 1 || s.Generation() == 0 {
		t.Error("did not ask in its time")
	}
	gen := s.Generation()
	if err := s.Refresh(ctx); err != nil || s.Generation() != gen {
		t.Error("the same keys are new keys", err)
	}
}

func TestDirectoryFileTooLarge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.csv")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, maxDirectory+1); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDirectory(file); err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Error(err)
	}
}
