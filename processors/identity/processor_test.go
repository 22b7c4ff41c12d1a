package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/exposure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testIssuer = "https://login.example.com/"

// at is when the tests' events happen: long before they are processed.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var (
	rsaKey, _   = rsa.GenerateKey(rand.Reader, 2048)
	rsaKey2, _  = rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _    = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec384Key, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	ec521Key, _ = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, edKey, _ = ed25519.GenerateKey(rand.Reader)
)

type m = map[string]any

// standard are claims of a good token.
func standard(change m) m {
	c := m{"iss": testIssuer, "sub": "u-1", "aud": "https://mcp.example.com", "iat": at.Unix() - 60, "exp": at.Unix() + 3600, "scope": "files:read files:write"}
	for k, v := range change {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims m) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(claims)
	obj, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := obj.CompactSerialize()
	return out
}

func unsigned(header, claims m) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	e := base64.RawURLEncoding
	return e.EncodeToString(h) + "." + e.EncodeToString(c) + "."
}

// issuer is an issuer's key endpoint.
type issuer struct {
	*httptest.Server
	mu      sync.Mutex
	keys    jose.JSONWebKeySet // guarded by mu
	down    atomic.Bool
	fetches atomic.Int64
}

func newIssuer(t testing.TB, keys ...jose.JSONWebKey) *issuer {
	is := &issuer{keys: jose.JSONWebKeySet{Keys: keys}}
	is.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		is.fetches.Add(1)
		if is.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		is.mu.Lock()
		defer is.mu.Unlock()
		json.NewEncoder(w).Encode(is.keys)
	}))
	t.Cleanup(is.Close)
	return is
}

func (is *issuer) set(keys ...jose.JSONWebKey) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.keys.Keys = keys
}

func pub(key any, kid string) jose.JSONWebKey {
	k := jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"}
	return k.Public()
}

// newTest starts a processor with a key file.
func newTest(t testing.TB, change func(*Config)) *identityProcessor {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.KeyFile = filepath.Join(t.TempDir(), "identity.key")
	if err := os.WriteFile(cfg.KeyFile, []byte(strings.Repeat("0123456789abcdef", 4)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := newProcessor(cfg, componenttest.NewNopTelemetrySettings())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func withIssuer(is *issuer) func(*Config) {
	return func(c *Config) {
		c.Issuers = []IssuerConfig{{Issuer: testIssuer, JWKSURL: is.URL, Audiences: []string{"https://mcp.example.com"}, MinInterval: time.Second}}
	}
}

// httpCall is a tapped tools/call over HTTP.
func httpCall(authorization string) event.Event {
	e := event.Event{Name: event.NameRequest, Time: at.UnixNano(), Received: at.Add(time.Second).UnixNano()}
	e.SourceKind, e.TapID, e.TapEpoch, e.TapSeq = "tap", "gw-1", 1, 1
	e.ID = event.TapID("gw-1", 1, 1)
	e.ExchangeID = e.ID
	e.Kind, e.Direction, e.Method, e.Tool = event.KindRequest, event.ClientToServer, "tools/call", "read"
	e.Transport, e.Server, e.ClientAddress = event.TransportHTTP, "files", "192.0.2.7"
	e.RawAuthorization = authorization
	return e
}

func answerTo(q event.Event, status int64) event.Event {
	r := q
	r.TapSeq++
	r.ID = event.TapID(q.TapID, q.TapEpoch, r.TapSeq)
	r.Kind, r.Direction, r.Name, r.HTTPStatus = event.KindResponse, event.ServerToClient, event.NameResponse, status
	r.RawAuthorization = ""
	return r
}

// runWith passes one event through, with attributes that no event has.
func runWith(t testing.TB, p *identityProcessor, e event.Event, more map[string]string) (out event.Event) {
	t.Helper()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	e.Encode(lr)
	for k, v := range more {
		rl.Resource().Attributes().PutStr(k, v)
	}
	if _, err := p.process(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	for k := range more {
		_, a := rl.Resource().Attributes().Get(k)
		if _, b := lr.Attributes().Get(k); a || b {
			t.Errorf("%s is still there", k)
		}
	}
	event.Decode(rl.Resource(), lr, &out)
	return out
}

// run passes events through in one batch.
func run(t testing.TB, p *identityProcessor, es ...event.Event) []event.Event {
	t.Helper()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	sl := rl.ScopeLogs().AppendEmpty()
	for i := range es {
		es[i].Encode(sl.LogRecords().AppendEmpty())
	}
	if _, err := p.process(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	var out []event.Event
	for _, lr := range sl.LogRecords().All() {
		var e event.Event
		event.Decode(rl.Resource(), lr, &e)
		if e.RawAuthorization != "" {
			t.Error("the credential is still there")
		}
		out = append(out, e)
	}
	return out
}

func one(t testing.TB, p *identityProcessor, e event.Event) event.Event {
	t.Helper()
	return run(t, p, e)[0]
}

// who is the principal as one string.
func who(e event.Event) string {
	s := e.PrincipalMethod + ":" + e.PrincipalID + ":" + e.PrincipalKind
	if e.PrincipalVerified {
		s += "!"
	}
	return s
}

func signals(e event.Event) []string {
	var out []string
	for n := range e.Signals {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func check(t *testing.T, e event.Event, wantWho string, wantSignals ...string) {
	t.Helper()
	if got := who(e); got != wantWho {
		t.Errorf("principal %s, want %s", got, wantWho)
	}
	slices.Sort(wantSignals)
	if got := signals(e); !slices.Equal(got, wantSignals) {
		t.Errorf("signals %v, want %v", got, wantSignals)
	}
}

func TestJWTVerified(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "r"), pub(ecKey, "e"), pub(ec384Key, "e3"), pub(ec521Key, "e5"), pub(edKey, "d"))
	p := newTest(t, withIssuer(is))
	f := func(alg jose.SignatureAlgorithm, key any, kid string) {
		t.Helper()
		e := one(t, p, httpCall("Bearer "+sign(t, alg, key, kid, standard(nil))))
		check(t, e, "jwt:u-1:user!")
		if e.PrincipalIssuer != testIssuer || e.TokenLifetime != 3660 || e.TokenAge != 60 || len(e.TokenFingerprint) != 32 ||
			!slices.Equal(e.AuthScopes, []string{"files:read", "files:write"}) || !slices.Equal(e.AuthAudience, []string{"https://mcp.example.com"}) ||
			!slices.Equal(e.IdentityClaims, []string{"jwt:u-1!"}) || e.Tenant != "default" {
			t.Errorf("%s: %+v", alg, e.Fields)
		}
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512} {
		f(alg, rsaKey, "r")
	}
	f(jose.ES256, ecKey, "e")
	f(jose.ES384, ec384Key, "e3")
	f(jose.ES512, ec521Key, "e5")
	f(jose.EdDSA, edKey, "d")
	f(jose.RS256, rsaKey, "") // no kid: all keys are tried
	check(t, one(t, p, httpCall("dpop   "+sign(t, jose.RS256, rsaKey, "r", standard(nil)))), "jwt:u-1:user!")
}

func TestJWTRefused(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "r"), pub(ecKey, "e"))
	p := newTest(t, withIssuer(is))
	good := sign(t, jose.RS256, rsaKey, "r", standard(nil))
	f := func(name, token, wantWho string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) { t.Helper(); check(t, one(t, p, httpCall("Bearer "+token)), wantWho, want...) })
	}
	const nobody = "none::unknown"
	// Forged: they name nobody.
	f("alg none", unsigned(m{"alg": "none"}, standard(nil)), nobody, SignalAlgNone, SignalUnverified)
	f("alg nOnE", unsigned(m{"alg": "nOnE"}, standard(nil)), nobody, SignalAlgNone, SignalUnverified)
	pubPEM, _ := json.Marshal(pub(rsaKey, "r"))
	f("HS256 with the public key", sign(t, jose.HS256, pubPEM, "r", standard(nil)), nobody, SignalAlgRefused, SignalUnverified)
	f("another's key", sign(t, jose.RS256, rsaKey2, "r", standard(nil)), nobody, SignalBadSignature, SignalUnverified)
	f("another type of key under the kid", sign(t, jose.ES256, ecKey, "r", standard(nil)), nobody, SignalBadSignature, SignalUnverified)
	parts := strings.Split(good, ".")
	f("changed claims", parts[0]+"."+strings.Split(unsigned(m{}, standard(m{"sub": "root"})), ".")[1]+"."+parts[2], nobody, SignalBadSignature, SignalUnverified)
	f("signature cut off", parts[0]+"."+parts[1]+".", nobody, SignalBadSignature, SignalUnverified)
	// Keys within the token are not used.
	s, _ := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey2}, (&jose.SignerOptions{EmbedJWK: true}).WithHeader("jku", is.URL).WithHeader("kid", "r"))
	c, _ := json.Marshal(standard(nil))
	obj, _ := s.Sign(c)
	embedded, _ := obj.CompactSerialize()
	f("key embedded", embedded, nobody, SignalBadSignature, SignalUnverified)
	s, _ = jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey}, (&jose.SignerOptions{}).WithHeader("kid", "r").WithHeader("crit", []string{"x"}).WithHeader("x", 1))
	obj, _ = s.Sign(c)
	crit, _ := obj.CompactSerialize()
	f("critical header that nobody knows", crit, nobody, SignalBadSignature, SignalUnverified)

	// Not vouched for: a claim, and the principal for want of better.
	f("kid as path", sign(t, jose.RS256, rsaKey2, "../../../../dev/null", standard(nil)), "jwt:u-1:user", SignalKeyUnknown, SignalUnverified)
	f("kid as SQL", sign(t, jose.RS256, rsaKey2, "x' UNION SELECT 'y", standard(nil)), "jwt:u-1:user", SignalKeyUnknown, SignalUnverified)
	f("unknown issuer", sign(t, jose.RS256, rsaKey, "r", standard(m{"iss": "https://login.example.com"})), "jwt:u-1:user", SignalIssuerUnknown, SignalUnverified)
	f("audience", sign(t, jose.RS256, rsaKey, "r", standard(m{"aud": []string{"https://other"}})), "jwt:u-1:user", SignalAudienceMismatch, SignalUnverified)
	f("no audience", sign(t, jose.RS256, rsaKey, "r", standard(m{"aud": nil})), "jwt:u-1:user", SignalAudienceMismatch, SignalUnverified)
	f("expired", sign(t, jose.RS256, rsaKey, "r", standard(m{"iat": at.Unix() - 7200, "exp": at.Unix() - 61})), "jwt:u-1:user", SignalExpired, SignalUnverified)
	f("future", sign(t, jose.RS256, rsaKey, "r", standard(m{"nbf": at.Unix() + 61})), "jwt:u-1:user", SignalNotYetValid, SignalUnverified)
	f("issued in the future", sign(t, jose.RS256, rsaKey, "r", standard(m{"iat": at.Unix() + 61})), "jwt:u-1:user", SignalNotYetValid, SignalUnverified)

	// Good, but worth a signal.
	f("within leeway", sign(t, jose.RS256, rsaKey, "r", standard(m{"exp": at.Unix() - 59, "nbf": at.Unix() + 59})), "jwt:u-1:user!")
	f("no expiry", sign(t, jose.RS256, rsaKey, "r", standard(m{"exp": nil})), "jwt:u-1:user!", SignalNoExpiry)
	f("long-lived", sign(t, jose.RS256, rsaKey, "r", standard(m{"exp": at.Unix() + 90000})), "jwt:u-1:user!", SignalLongLived)
	f("for an application", sign(t, jose.RS256, rsaKey, "r", standard(m{"sub": "app-1", "client_id": "app-1"})), "jwt:app-1:service!")

	// Not to be read.
	fp := func(s string) string { return "opaque_token:fp-" + p.key.Fingerprint(s) + ":unknown" }
	f("not base64", "eyJ!!.e30.x", fp("eyJ!!.e30.x"), SignalMalformed)
	f("not JSON", "eyJhIg.e30.x", fp("eyJhIg.e30.x"), SignalMalformed)
	huge := "eyJ" + strings.Repeat("a", 20000) + ".e30."
	f("huge", huge, fp(huge), SignalTooLarge)
	f("opaque", "ghp_abc", fp("ghp_abc"))
}

func TestDelegation(t *testing.T) {
	p := newTest(t, withIssuer(newIssuer(t, pub(rsaKey, "r"))))
	act := m{"sub": "agent-2", "act": m{"sub": "agent-1"}}
	e := one(t, p, httpCall("Bearer "+sign(t, jose.RS256, rsaKey, "r", standard(m{"act": act}))))
	if check(t, e, "jwt:u-1:user!"); !slices.Equal(e.OnBehalfOf, []string{"agent-2", "agent-1"}) {
		t.Errorf("chain %v", e.OnBehalfOf)
	}
	deep := m{"sub": "a"}
	for range 100 {
		deep = m{"sub": "a", "act": deep}
	}
	if e := one(t, p, httpCall("Bearer "+sign(t, jose.RS256, rsaKey, "r", standard(m{"act": deep})))); len(e.OnBehalfOf) != 8 {
		t.Errorf("chain of %d", len(e.OnBehalfOf))
	}
}

func TestKeyRotation(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "old"))
	p := newTest(t, withIssuer(is))
	old := "Bearer " + sign(t, jose.RS256, rsaKey, "old", standard(nil))
	check(t, one(t, p, httpCall(old)), "jwt:u-1:user!")

	is.set(pub(rsaKey2, "new"))
	keys := p.issuers[testIssuer].Keys
	if err := keys.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	check(t, one(t, p, httpCall("Bearer "+sign(t, jose.RS256, rsaKey2, "new", standard(nil)))), "jwt:u-1:user!")
	// An event from before the key was withdrawn, one from after.
	check(t, one(t, p, httpCall(old)), "jwt:u-1:user!")
	late := httpCall("Bearer " + sign(t, jose.RS256, rsaKey, "old", standard(m{"iat": time.Now().Unix(), "exp": time.Now().Unix() + 7200})))
	late.Time, late.Received = time.Now().Add(time.Hour).UnixNano(), time.Now().Add(time.Hour).UnixNano()
	check(t, one(t, p, late), "jwt:u-1:user", SignalKeyUnknown, SignalUnverified)
}

// An unknown kid makes the processor ask the issuer, at most once in min_interval.
func TestUnknownKeyIsFetchedOnce(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "a"))
	p := newTest(t, func(c *Config) { withIssuer(is)(c); c.Issuers[0].MinInterval = time.Hour })
	if err := p.issuers[testIssuer].Keys.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	n := is.fetches.Load()
	for i := range 100 {
		one(t, p, httpCall("Bearer "+sign(t, jose.RS256, rsaKey2, "kid-"+string(rune('a'+i)), standard(nil))))
	}
	// The fetch at start may still have been under way.
	if got := is.fetches.Load() - n; got > 1 {
		t.Errorf("%d fetches", got)
	}
}

func TestIssuerDown(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "r"))
	dir := t.TempDir()
	conf := func(c *Config) { withIssuer(is)(c); c.JWKSCacheDir = dir }
	p := newTest(t, conf)
	token := "Bearer " + sign(t, jose.RS256, rsaKey, "r", standard(nil))
	check(t, one(t, p, httpCall(token)), "jwt:u-1:user!")

	is.down.Store(true)
	if err := p.issuers[testIssuer].Keys.Refresh(context.Background()); err == nil || strings.Contains(err.Error(), "eyJ") {
		t.Errorf("refresh: %v", err)
	}
	check(t, one(t, p, httpCall(token)), "jwt:u-1:user!")
	// After a restart the keys are on disk.
	check(t, one(t, newTest(t, conf), httpCall(token)), "jwt:u-1:user!")
	// Without them there is nothing to verify with.
	check(t, one(t, newTest(t, withIssuer(is)), httpCall(token)), "jwt:u-1:user", SignalKeyUnknown, SignalUnverified)
	// A broken answer changes nothing.
	is.down.Store(false)
	is.set()
	if err := p.issuers[testIssuer].Keys.Refresh(context.Background()); err == nil {
		t.Error("an empty key set was taken")
	}
	check(t, one(t, p, httpCall(token)), "jwt:u-1:user!")
}

func TestJWKSFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jwks.json")
	write := func(keys ...jose.JSONWebKey) {
		b, _ := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(pub(rsaKey, "r"))
	p := newTest(t, func(c *Config) { c.Issuers = []IssuerConfig{{Issuer: testIssuer, JWKSFile: file}} })
	check(t, one(t, p, httpCall("Bearer "+sign(t, jose.RS256, rsaKey, "r", standard(nil)))), "jwt:u-1:user!")
	write(pub(rsaKey, "r"), pub(ecKey, "e"))
	if err := p.issuers[testIssuer].Keys.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	check(t, one(t, p, httpCall("Bearer "+sign(t, jose.ES256, ecKey, "e", standard(nil)))), "jwt:u-1:user!")
}

func TestServerAudience(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "r"))
	p := newTest(t, func(c *Config) {
		withIssuer(is)(c)
		c.Servers = []ServerConfig{{Name: "file*", Audiences: []string{"https://files.example.com"}}}
	})
	token := "Bearer " + sign(t, jose.RS256, rsaKey, "r", standard(nil))
	check(t, one(t, p, httpCall(token)), "jwt:u-1:user!", SignalAudienceMismatch)
	e := httpCall(token)
	e.Server = "mail"
	check(t, one(t, p, e), "jwt:u-1:user!")
}

func TestCredentialsInEnvironment(t *testing.T) {
	p := newTest(t, nil)
	e := httpCall("")
	e.Transport, e.ClientAddress, e.OSUser, e.HostName = event.TransportStdio, "", "ada", "laptop"
	e.Labels = map[string]string{event.LabelCredentials: "env:GITHUB_TOKEN"}
	check(t, one(t, p, e), "os_user:ada@laptop:user!")
	e.Method, e.Tool = "initialize", ""
	check(t, one(t, p, e), "os_user:ada@laptop:user!", SignalInEnvironment)
	e.Labels[event.LabelCredentials] = "argument config:GITHUB_TOKEN env:DB_PASSWORD"
	check(t, one(t, p, e), "os_user:ada@laptop:user!", SignalInConfiguration, SignalInEnvironment)
	e.SourceKind = "json" // anyone can write a label into a file
	if got := one(t, p, e); got.Signals[SignalInEnvironment] != 0 {
		t.Error("believed a label that no tap made")
	}
}

// A request without a message says how a server is reached; a document that anybody may fetch does not say that a server asks nobody who they are.
func TestRecordsOfHTTP(t *testing.T) {
	p := newTest(t, nil)
	e := httpCall("")
	e.Name, e.Kind, e.Method, e.Tool, e.Body, e.RawURL = event.NameHTTPRequest, event.KindRecord, "", "", "", "/sse?transportType=stdio&command=touch&args=x"
	check(t, one(t, p, e), "none::unknown", exposure.ProxyCommand)
	e.Name, e.Direction, e.RawURL, e.HTTPStatus = event.NameMetadata, event.ServerToClient, "/.well-known/oauth-authorization-server", 200
	check(t, one(t, p, e), "none::unknown")
}

func TestCredentialsWithoutContent(t *testing.T) {
	p := newTest(t, nil)
	fp := p.key.Fingerprint
	e := httpCall("")
	check(t, one(t, p, e), "none::unknown", SignalNone)

	e = httpCall("")
	e.RawHeaders = map[string]string{"X-Api-Key": "k1", "host": "h"}
	got := one(t, p, e)
	check(t, got, "api_key:fp-"+fp("k1")+":unknown")
	if got.TokenFingerprint != fp("k1") || got.RawHeaders["X-Api-Key"] != "" || got.RawHeaders["host"] != "h" {
		t.Errorf("%+v", got.Fields)
	}

	e = httpCall("")
	e.RawURL = "https://h/mcp?x=1&access%5Ftoken=no&access_token=s%2Bt&sessionId=9"
	got = one(t, p, e)
	check(t, got, "api_key:fp-"+fp("s+t")+":unknown", SignalInURL)

	got = one(t, p, httpCall("Basic "+base64.StdEncoding.EncodeToString([]byte("bob:pw"))))
	if len(got.IdentityClaims) != 2 || got.IdentityClaims[1] != "opaque_token:bob" || got.Signals[SignalBasic] != 1 || strings.Contains(got.TokenFingerprint, "pw") {
		t.Errorf("%+v", got.Fields)
	}
	check(t, one(t, p, httpCall("justtoken")), "opaque_token:fp-"+fp("justtoken")+":unknown")
	check(t, one(t, p, httpCall("Bearer ")), "opaque_token:fp-"+fp("Bearer")+":unknown")
}

func TestStdioUser(t *testing.T) {
	p := newTest(t, nil)
	e := httpCall("")
	e.Transport, e.ClientAddress, e.HostName, e.OSUser, e.PID, e.ParentCommand = event.TransportStdio, "", "laptop-7", "alice", 4711, "claude"
	e.ClientName, e.ClientVersion = "claude-ai", "1.0"
	got := one(t, p, e)
	check(t, got, "os_user:alice@laptop-7:user!")
	if got.PrincipalIssuer != "laptop-7" || !slices.Equal(got.IdentityClaims, []string{"os_user:alice@laptop-7!", "client_info:claude-ai/1.0"}) {
		t.Errorf("%+v", got.Fields)
	}
	e.SourceKind = "json" // says so, but no tap asked the system
	check(t, one(t, p, e), "os_user:alice@laptop-7:user")
	e.SourceKind, e.Transport = "tap", event.TransportHTTP // who runs the server is not who calls it
	check(t, one(t, p, e), "none::unknown", SignalNone)
}

func TestClientInfoIsNobody(t *testing.T) {
	e := httpCall("")
	e.Transport, e.ClientName = "unknown", "root"
	got := one(t, newTest(t, nil), e)
	if check(t, got, "none::unknown"); !slices.Equal(got.IdentityClaims, []string{"client_info:root"}) {
		t.Errorf("%v", got.IdentityClaims)
	}
}

func TestOtherTelemetry(t *testing.T) {
	p := newTest(t, nil)
	e := httpCall("")
	e.SourceKind, e.TapID = "otlp_span", ""
	e.Extra = map[string]string{"user.id": "alice", "service.name": "weather-agent"}
	got := one(t, p, e)
	if check(t, got, "resource:alice:user"); !slices.Equal(got.IdentityClaims, []string{"resource:alice", "resource:weather-agent"}) {
		t.Errorf("%v", got.IdentityClaims)
	}
	e.Extra = map[string]string{"service.name": "files"} // the server's own telemetry
	check(t, one(t, p, e), "none::unknown")
	// What a sender says of principals is a claim.
	e.PrincipalID, e.PrincipalVerified, e.PrincipalTeam, e.PrincipalMethod, e.TokenFingerprint = "root", true, "admins", "jwt", "f"
	got = one(t, p, e)
	if check(t, got, "resource:root:user"); got.PrincipalTeam != "" || got.TokenFingerprint != "" {
		t.Errorf("%+v", got.Fields)
	}
}

// Attributes on the resource are read, and cannot shine through where this processor sets none.
func TestResourceAttributes(t *testing.T) {
	p := newTest(t, nil)
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	r := rl.Resource().Attributes()
	r.PutBool(event.AttrPrincipalVerified, true)
	r.PutStr(event.AttrPrincipalTeam, "admins")
	r.PutStr(event.AttrRawAuthorization, "Bearer x")
	r.PutStr(event.AttrSourceKind, "tap")
	r.PutStr(event.AttrTransport, event.TransportHTTP)
	rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetTimestamp(1)
	if _, err := p.process(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	var e event.Event
	event.Decode(rl.Resource(), rl.ScopeLogs().At(0).LogRecords().At(0), &e)
	if check(t, e, "opaque_token:fp-"+p.key.Fingerprint("x")+":unknown"); e.PrincipalTeam != "" || e.RawAuthorization != "" {
		t.Errorf("%+v", e.Fields)
	}
}

func TestProxyHeaders(t *testing.T) {
	p := newTest(t, func(c *Config) {
		c.Proxies = []ProxyConfig{
			{CIDRs: []string{"10.1.0.0/16", "::1"}, UserHeaders: []string{"X-Auth-Request-Email", "x-user"}},
			{CIDRs: []string{"10.2.0.1"}, CertHeaders: []string{"x-forwarded-client-cert"}, Verified: true},
		}
	})
	f := func(addr string, headers map[string]string, wantWho string, want ...string) {
		t.Helper()
		e := httpCall("")
		e.ClientAddress, e.RawHeaders = addr, headers
		check(t, one(t, p, e), wantWho, want...)
	}
	h := map[string]string{"x-auth-request-email": "alice@example.com"}
	f("10.1.2.3", h, "proxy_header:alice@example.com:user")
	f("10.1.2.3:4711", h, "proxy_header:alice@example.com:user")
	f("::ffff:10.1.2.3", h, "proxy_header:alice@example.com:user")
	f("[::1]:80", h, "proxy_header:alice@example.com:user")
	f("10.9.2.3", h, "none::unknown", SignalUntrustedProxy, SignalNone)
	f("", h, "none::unknown", SignalUntrustedProxy, SignalNone)
	f("nonsense", h, "none::unknown", SignalUntrustedProxy, SignalNone)
	f("10.9.2.3", map[string]string{"X-User": "root"}, "none::unknown", SignalUntrustedProxy, SignalNone)
	xfcc := map[string]string{"x-forwarded-client-cert": `By=x;Hash=aa;URI=spiffe://forged,By=spiffe://mesh/proxy;Hash=bb;Subject="CN=svc,O=Acme; Inc";URI=spiffe://mesh/agent`}
	f("10.2.0.1", xfcc, "mtls:spiffe://mesh/agent:service!")
	f("10.1.0.1", xfcc, "none::unknown", SignalNone)
	f("10.2.0.1", map[string]string{"x-forwarded-client-cert": "CN=bob"}, "mtls:CN=bob:service!")
}

func TestCertificate(t *testing.T) {
	p := newTest(t, nil)
	e := httpCall("")
	e.Extra = map[string]string{attrCertSubject: "CN=agent"}
	check(t, one(t, p, e), "mtls:CN=agent:service!")
	e.SourceKind = "json"
	check(t, one(t, p, e), "none::unknown")
}

func TestStrongestWins(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "r"))
	p := newTest(t, func(c *Config) { withIssuer(is)(c) })
	e := httpCall("Bearer " + sign(t, jose.RS256, rsaKey, "r", standard(nil)))
	e.RawHeaders = map[string]string{"x-api-key": "k"}
	e.Extra = map[string]string{attrCertSubject: "CN=agent"}
	e.ClientName = "c"
	got := one(t, p, e)
	check(t, got, "jwt:u-1:user!")
	if want := []string{"jwt:u-1!", "mtls:CN=agent!", "api_key:fp-" + p.key.Fingerprint("k"), "client_info:c"}; !slices.Equal(got.IdentityClaims, want) {
		t.Errorf("%v", got.IdentityClaims)
	}
	e.RawAuthorization = "Bearer " + unsigned(m{"alg": "none"}, standard(nil))
	check(t, one(t, p, e), "mtls:CN=agent:service!", SignalAlgNone, SignalUnverified)
}

func TestAnswers(t *testing.T) {
	is := newIssuer(t, pub(rsaKey, "r"))
	p := newTest(t, withIssuer(is))
	q := httpCall("Bearer " + sign(t, jose.RS256, rsaKey, "r", standard(m{"exp": nil})))
	es := run(t, p, q, answerTo(q, 200))
	check(t, es[0], "jwt:u-1:user!", SignalNoExpiry)
	if check(t, es[1], "jwt:u-1:user!"); es[1].AuthDecision != "granted" || es[1].ConversationID != es[0].ConversationID || es[1].TokenFingerprint == "" {
		t.Errorf("%+v", es[1].Fields)
	}
	repeated := answerTo(q, 200)
	repeated.RawAuthorization = q.RawAuthorization
	check(t, one(t, p, repeated), "jwt:u-1:user!")

	// Nobody else goes on with the exchange, and a client's message does not inherit.
	other := answerTo(q, 200)
	other.TapID = "evil"
	check(t, one(t, p, other), "none::unknown", SignalNotRequired)
	again := httpCall("")
	again.ExchangeID = q.ID
	again.ID = "x"
	check(t, one(t, p, again), "none::unknown", SignalNone)

	decision := func(status int64, kind, www, want string, q event.Event) {
		t.Helper()
		r := answerTo(q, status)
		r.Kind = kind
		if www != "" {
			r.RawHeaders = map[string]string{"www-authenticate": www}
		}
		if got := run(t, p, q, r)[1].AuthDecision; got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
	decision(401, event.KindRecord, "", "unauthenticated", q)
	decision(403, event.KindError, "", "denied", q)
	decision(403, event.KindRecord, `Bearer error="insufficient_scope"`, "insufficient_scope", q)
	decision(500, event.KindRecord, "", "", q)
	decision(200, event.KindResponse, "", "", httpCall(""))
	es = run(t, p, httpCall(""), answerTo(httpCall(""), 200))
	check(t, es[1], "none::unknown", SignalNotRequired)
}

func TestContract(t *testing.T) {
	f := NewFactory()
	if err := componenttest.CheckConfigStruct(f.CreateDefaultConfig()); err != nil {
		t.Fatal(err)
	}
	cfg := f.CreateDefaultConfig().(*Config)
	cfg.KeyFile = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(cfg.KeyFile, []byte(strings.Repeat("k", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	processortest.VerifyShutdown(t, f, cfg)
	// Shutdown without a start, and a start that fails.
	ctx := context.Background()
	set := processortest.NewNopSettings(Type)
	l, err := f.CreateLogs(ctx, set, cfg, consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if !l.Capabilities().MutatesData {
		t.Error("batches are changed in place, and it does not say so")
	}
	bad := *cfg
	bad.KeyFile = "/does/not/exist"
	if l, err = f.CreateLogs(ctx, set, &bad, consumertest.NewNop()); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(ctx, componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "key file") {
		t.Errorf("start: %v", err)
	}
	l.Shutdown(ctx)
}

func TestConfig(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := createDefaultConfig().(*Config)
		c.KeyFile = "k"
		change(c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	is := func(change func(*IssuerConfig)) func(*Config) {
		return func(c *Config) {
			i := IssuerConfig{Issuer: "i", JWKSURL: "https://h/k"}
			change(&i)
			c.Issuers = []IssuerConfig{i}
		}
	}
	f(func(c *Config) { c.KeyFile = "" }, "openssl rand")
	f(func(c *Config) { c.DefaultTenant = "" }, "default_tenant")
	f(func(c *Config) { c.Conversation.Idle = 0 }, "conversation::idle")
	f(func(c *Config) { c.Tables.Tokens = 0 }, "tables::tokens")
	f(func(c *Config) { c.Directory.File = "f"; c.Directory.ReloadInterval = 0 }, "reload_interval")
	f(func(c *Config) { c.LongLived = 0 }, "long_lived")
	f(is(func(i *IssuerConfig) { i.Issuer = "" }), "issuer is missing")
	f(is(func(i *IssuerConfig) { i.JWKSFile = "x" }), "exactly one")
	f(is(func(i *IssuerConfig) { i.JWKSURL = "" }), "exactly one")
	f(is(func(i *IssuerConfig) { i.JWKSURL = "http://idp.example.com/k" }), "https")
	f(is(func(i *IssuerConfig) { i.JWKSURL = "file:///etc/passwd" }), "not an http(s) URL")
	f(is(func(i *IssuerConfig) { i.Algorithms = []string{"HS256"} }), "not allowed")
	f(is(func(i *IssuerConfig) { i.Algorithms = []string{"none"} }), "not allowed")
	f(is(func(i *IssuerConfig) { i.Leeway = 2 * time.Hour }), "leeway")
	f(func(c *Config) {
		c.Issuers = []IssuerConfig{{Issuer: "a", JWKSFile: "f"}, {Issuer: "a", JWKSFile: "f"}}
	}, "twice")
	f(func(c *Config) { c.Proxies = []ProxyConfig{{UserHeaders: []string{"x"}}} }, "anyone")
	f(func(c *Config) { c.Proxies = []ProxyConfig{{CIDRs: []string{"10/8"}, UserHeaders: []string{"x"}}} }, "neither a network")
	f(func(c *Config) { c.Proxies = []ProxyConfig{{CIDRs: []string{"10.0.0.0/8"}}} }, "user_headers")
	f(func(c *Config) { c.Bindings = []BindingConfig{{Tenant: "a"}} }, "bindings[0]")
	f(func(c *Config) { c.Bindings = []BindingConfig{{Tenant: "a", Tap: "t", Credential: "c"}} }, "bindings[0]")
	f(func(c *Config) { c.Servers = []ServerConfig{{Name: "[", Audiences: []string{"a"}}} }, "pattern")
}
