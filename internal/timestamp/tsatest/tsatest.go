// Package tsatest is a time stamping authority for tests: RFC 3161 over HTTP, with faults.
package tsatest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

// Fault is what is wrong with an answer.
type Fault string

// Faults.
const (
	None          Fault = ""
	WrongNonce    Fault = "wrong nonce"
	NoNonce       Fault = "no nonce"
	WrongImprint  Fault = "wrong imprint"
	Rejected      Fault = "rejected"
	ServerError   Fault = "server error"
	Garbage       Fault = "garbage"
	Endless       Fault = "endless"
	Slow          Fault = "slow" // answers when the client has gone
	OldTime       Fault = "old time"
	WrongType     Fault = "wrong content type"
	ForeignSigner Fault = "foreign signer" // the certificate of one, the signature of another
)

// TSA is a time stamping authority.
type TSA struct {
	*httptest.Server
	Roots *x509.CertPool
	CAPEM []byte // its root's certificate

	mu    sync.Mutex
	fault Fault
	asked int
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
}

// Option changes the TSA's certificate before it is signed.
type Option func(*x509.Certificate)

// Expired makes a certificate that ended an hour ago.
func Expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }

// ForServers makes a certificate that is for TLS servers.
func ForServers(c *x509.Certificate) {
	c.ExtraExtensions, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

// NotCritical makes a certificate whose purpose is not critical.
func NotCritical(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false }

// New starts a TSA.
func New(t testing.TB, options ...Option) *TSA {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Root"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	must(err)
	root, err := x509.ParseCertificate(caDER)
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	must(err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Test TSA"}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}
	for _, o := range options {
		o(leaf)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), caKey)
	must(err)
	s := &TSA{Roots: x509.NewCertPool(), CAPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), key: key}
	s.cert, err = x509.ParseCertificate(leafDER)
	must(err)
	s.Roots.AddCert(root)
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Server.Close)
	return s
}

// Do makes the next answers faulty.
func (s *TSA) Do(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Asked is how many requests there were.
func (s *TSA) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *TSA) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	s.asked++
	s.mu.Unlock()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	req, err2 := timestamp.ParseRequest(b)
	if err != nil || err2 != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "no time stamp request", http.StatusBadRequest)
		return
	}
	ts := timestamp.Timestamp{HashAlgorithm: req.HashAlgorithm, HashedMessage: req.HashedMessage, Time: time.Now().UTC().Truncate(time.Second), Nonce: req.Nonce, AddTSACertificate: true,
		Policy: asn1.ObjectIdentifier{1, 2, 3, 4}, Accuracy: time.Second}
	key := s.key
	kind := "application/timestamp-reply"
	switch fault {
	case WrongNonce:
		ts.Nonce = new(big.Int).Add(req.Nonce, big.NewInt(1))
	case NoNonce:
		ts.Nonce = nil
	case WrongImprint:
		ts.HashedMessage = make([]byte, len(req.HashedMessage))
	case OldTime:
		ts.Time = ts.Time.Add(-3 * time.Hour)
	case WrongType:
		kind = "text/html"
	case ForeignSigner:
		key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case Rejected:
		b, _ := timestamp.CreateErrorResponse(timestamp.Rejection, timestamp.BadRequest)
		w.Header().Set("Content-Type", kind)
		w.Write(b)
		return
	case ServerError:
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	case Garbage:
		w.Header().Set("Content-Type", kind)
		w.Write([]byte{0x30, 0x80, 1, 2, 3})
		return
	case Endless:
		w.Header().Set("Content-Type", kind)
		for chunk := make([]byte, 1<<16); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	case Slow:
		<-r.Context().Done()
		return
	}
	out, err := ts.CreateResponseWithOpts(s.cert, key, crypto.SHA256)
	if err != nil {
		http.Error(w, "cannot sign", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Write(out)
}
