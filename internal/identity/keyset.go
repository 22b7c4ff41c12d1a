package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Limits of a key set. A set that exceeds them is refused and the one before stays.
const (
	maxKeySet    = 1 << 20 // bytes of the document
	maxKeys      = 200     // keys used of one document
	maxRetired   = 64      // retired keys remembered
	maxUnnamed   = 16      // keys tried for a token without kid
	minRSABits   = 2048    // RFC 7518 section 3.3
	maxRSABits   = 8192    // verification beyond is a way to burn time
	maxBackoff   = 5 * time.Minute
	waitPerFetch = 5 * time.Second
)

// KeySetConfig says where the keys of an issuer come from: exactly one of URL and File.
type KeySetConfig struct {
	URL         string        // JWKS (RFC 7517 section 5) by HTTP GET
	File        string        // JWKS in a file, read again when it changes
	Cache       string        // file that keeps the last good set of URL, so that a restart needs no issuer; optional
	Refresh     time.Duration // how often to fetch unasked
	MinInterval time.Duration // least time between two fetches that unknown key ids cause
	KeepRetired time.Duration // how long a key that left the set still vouches for events from before it left
	Client      *http.Client
	Now         func() time.Time // for tests; time.Now if nil
}

// KeySet holds the verification keys of one issuer. Keys stay in use while the issuer cannot be reached. All methods may be
// called concurrently.
type KeySet struct {
	cfg KeySetConfig

	mu       sync.Mutex // guards the fields below and is held while fetching: at most one fetch at a time
	next     time.Time  // before it, an unknown key id causes no fetch
	backoff  time.Duration
	fileTime time.Time
	fileSize int64

	keys atomic.Pointer[keyMap]
	gen  atomic.Uint64
}

type keyMap struct {
	all  []*VerificationKey // live keys first
	byID map[string][]*VerificationKey
	live int
}

// VerificationKey is one public key of an issuer.
type VerificationKey struct {
	ID      string
	alg     string // alg of the JWK; empty allows every algorithm of the key's type
	public  any
	print   [sha256.Size]byte // RFC 7638 thumbprint: what makes it the same key
	retired atomic.Int64      // ns since 1970 at which the set no longer held it; 0 while it does
}

// Vouches tells whether the key vouches for something seen at ns.
func (k *VerificationKey) Vouches(ns int64) bool {
	r := k.retired.Load()
	return r == 0 || ns <= r
}

// NewKeySet makes an empty set and, if there is a cached one, takes its keys over.
func NewKeySet(cfg KeySetConfig) *KeySet {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Client == nil {
		cfg.Client = http.DefaultClient
	}
	s := &KeySet{cfg: cfg}
	s.keys.Store(&keyMap{})
	if cfg.Cache != "" {
		if b, err := os.ReadFile(cfg.Cache); err == nil {
			_ = s.install(b) // a broken cache is as good as none
		}
	}
	return s
}

// Len is the number of live keys.
func (s *KeySet) Len() int { return s.keys.Load().live }

// Generation changes whenever the keys do.
func (s *KeySet) Generation() uint64 { return s.gen.Load() }

// Find returns the keys that a token with this kid may be signed with. For an unknown kid it asks the issuer once, at most
// every MinInterval and for at most five seconds, so that neither a flood of invented kids nor a dead issuer stops the
// pipeline.
func (s *KeySet) Find(ctx context.Context, kid string) []*VerificationKey {
	if ks := s.keys.Load().find(kid); len(ks) > 0 {
		return ks
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ks := s.keys.Load().find(kid); len(ks) > 0 { // fetched while waiting for the lock
		return ks
	}
	if s.cfg.Now().Before(s.next) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, waitPerFetch)
	defer cancel()
	_ = s.refresh(ctx)
	return s.keys.Load().find(kid)
}

func (m *keyMap) find(kid string) []*VerificationKey {
	if kid != "" {
		return m.byID[kid]
	}
	return m.all[:min(len(m.all), maxUnnamed)]
}

// Refresh fetches the keys now. On an error the keys stay as they are.
func (s *KeySet) Refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refresh(ctx)
}

// Run refreshes the keys until ctx ends, and reports each outcome. After a failure it tries again sooner.
func (s *KeySet) Run(ctx context.Context, report func(error)) {
	for {
		fctx, cancel := context.WithTimeout(ctx, 2*waitPerFetch)
		err := s.Refresh(fctx)
		cancel()
		if ctx.Err() != nil {
			return
		}
		report(err)
		wait := s.cfg.Refresh
		if err != nil {
			wait = min(wait, max(s.cfg.MinInterval, time.Second))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// refresh needs mu.
func (s *KeySet) refresh(ctx context.Context) error {
	b, changed, err := s.load(ctx)
	if err == nil && changed {
		err = s.install(b)
	}
	if err != nil {
		s.backoff = min(max(2*s.backoff, s.cfg.MinInterval), max(maxBackoff, s.cfg.MinInterval))
		s.next = s.cfg.Now().Add(s.backoff)
		return err
	}
	s.backoff = 0
	s.next = s.cfg.Now().Add(s.cfg.MinInterval)
	if changed && s.cfg.Cache != "" && s.cfg.URL != "" {
		if err := writeFile(s.cfg.Cache, b); err != nil {
			return fmt.Errorf("cannot keep the fetched keys: %w", err)
		}
	}
	return nil
}

func (s *KeySet) load(ctx context.Context) (b []byte, changed bool, err error) {
	if s.cfg.File != "" {
		st, err := os.Stat(s.cfg.File)
		if err != nil {
			return nil, false, fmt.Errorf("cannot read key set: %w", err)
		}
		if st.ModTime().Equal(s.fileTime) && st.Size() == s.fileSize && time.Since(st.ModTime()) > 5*time.Second {
			return nil, false, nil
		}
		f, err := os.Open(s.cfg.File)
		if err != nil {
			return nil, false, fmt.Errorf("cannot read key set: %w", err)
		}
		defer f.Close()
		b, err := readLimited(f)
		if err != nil {
			return nil, false, fmt.Errorf("cannot read key set %s: %w", s.cfg.File, err)
		}
		s.fileTime, s.fileSize = st.ModTime(), st.Size()
		return b, true, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.URL, nil)
	if err != nil {
		return nil, false, fmt.Errorf("cannot ask for keys: %w", err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.cfg.Client.Do(req)
	if err != nil {
		return nil, false, fmt.Errorf("cannot fetch keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, false, fmt.Errorf("cannot fetch keys from %s: HTTP status %d", s.cfg.URL, resp.StatusCode)
	}
	b, err = readLimited(resp.Body)
	if err != nil {
		return nil, false, fmt.Errorf("cannot fetch keys from %s: %w", s.cfg.URL, err)
	}
	return b, true, nil
}

func readLimited(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxKeySet+1))
	if err == nil && len(b) > maxKeySet {
		err = errors.New("key set is larger than 1 MiB")
	}
	return b, err
}

// install replaces the live keys by those of a JWKS document. A document without a usable key changes nothing: it is more
// likely a broken answer than an issuer that gave up signing.
func (s *KeySet) install(doc []byte) error {
	fresh, err := parseKeySet(doc)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	old := s.keys.Load()
	known := make(map[[sha256.Size]byte]*VerificationKey, len(old.all))
	for _, k := range old.all {
		known[k.mapKey()] = k
	}
	m := &keyMap{byID: map[string][]*VerificationKey{}}
	inSet := make(map[*VerificationKey]bool, len(fresh))
	same := len(fresh) == old.live
	for _, k := range fresh {
		if o := known[k.mapKey()]; o != nil {
			same = same && o.retired.Load() == 0
			o.retired.Store(0)
			k = o
		} else {
			same = false
		}
		if !inSet[k] {
			inSet[k] = true
			m.add(k)
		}
	}
	m.live = len(m.all)
	for _, k := range old.all {
		if inSet[k] {
			continue
		}
		k.retired.CompareAndSwap(0, now.UnixNano())
		if now.UnixNano()-k.retired.Load() < int64(s.cfg.KeepRetired) && len(m.all) < m.live+maxRetired {
			m.add(k)
		} else {
			same = false
		}
	}
	s.keys.Store(m)
	if !same {
		s.gen.Add(1)
	}
	return nil
}

func (m *keyMap) add(k *VerificationKey) {
	m.all = append(m.all, k)
	if k.ID != "" {
		m.byID[k.ID] = append(m.byID[k.ID], k)
	}
}

func (k *VerificationKey) mapKey() [sha256.Size]byte {
	h := sha256.New()
	h.Write(k.print[:])
	h.Write([]byte(k.ID + "\x00" + k.alg))
	return [sha256.Size]byte(h.Sum(nil))
}

// parseKeySet reads the signature keys of a JWKS. Symmetric keys, keys for encryption, weak keys and keys of unknown types
// are passed over, as RFC 7517 section 5 asks for: that no shared secret ever gets in is what makes confusion of algorithms
// impossible.
func parseKeySet(doc []byte) ([]*VerificationKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(doc, &set) != nil || set.Keys == nil {
		return nil, errors.New("cannot read key set: not a JWKS document, which is a JSON object with an array `keys`")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("cannot use key set: %d keys, at most %d", len(set.Keys), maxKeys)
	}
	var out []*VerificationKey
	for _, raw := range set.Keys {
		var j jose.JSONWebKey
		if j.UnmarshalJSON(raw) != nil || (j.Use != "" && j.Use != "sig") {
			continue
		}
		pub := j.Public()
		if !usable(pub.Key) {
			continue
		}
		tp, err := pub.Thumbprint(hashSHA256)
		if err != nil {
			continue
		}
		out = append(out, &VerificationKey{ID: Clean(j.KeyID), alg: j.Algorithm, public: pub.Key, print: [32]byte(tp)})
	}
	if len(out) == 0 {
		return nil, errors.New("cannot use key set: it holds no usable signature key (RSA of 2048 to 8192 bits, EC, or Ed25519)")
	}
	return out, nil
}

func usable(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits && k.E >= 3
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// writeFile replaces a file in one step.
func writeFile(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
