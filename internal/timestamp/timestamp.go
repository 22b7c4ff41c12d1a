// Package timestamp asks a time stamping authority for RFC 3161 time stamps and verifies them offline.
package timestamp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	_ "crypto/sha512" // for tokens with it
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
)

// Reasons for which there is no good time stamp.
var (
	ErrAway        = errors.New("the time stamping authority does not answer")
	ErrRefused     = errors.New("the time stamping authority refuses")
	ErrToken       = errors.New("it is no time stamp, or its signature is wrong")
	ErrImprint     = errors.New("the time stamp is of other bytes")
	ErrNonce       = errors.New("the time stamp answers another request")
	ErrCertificate = errors.New("the authority's certificate is not one that is trusted to stamp at that time")
	ErrTime        = errors.New("the time stamp's time is far from this machine's")
)

const (
	maxToken = 256 << 10
	// MaxSkew is how far the authority's clock may be from this one's when a stamp is made.
	MaxSkew = 10 * time.Minute
)

// Info is what a verified time stamp says.
type Info struct {
	Time     time.Time     `json:"time"`
	Accuracy time.Duration `json:"accuracy_ns,omitempty"`
	Serial   string        `json:"serial"`
	Policy   string        `json:"policy"`
	Signer   string        `json:"signer"`  // subject of its certificate
	Trusted  bool          `json:"trusted"` // there is a chain to a given root
}

// Options of a request.
type Options struct {
	Roots    *x509.CertPool // nil: the signature is checked, who made it is not
	Username string         // HTTP Basic, if not empty
	Password string
}

var (
	oidTSTInfo       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidSigningCert   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidExtKeyUsage   = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
)

// Request has message stamped and verifies the answer. token is the TimeStampToken, DER.
func Request(ctx context.Context, client *http.Client, address string, message []byte, o Options) (token []byte, info Info, err error) {
	sum := sha256.Sum256(message)
	var n [16]byte
	rand.Read(n[:])
	n[0] &= 0x7f
	nonce := new(big.Int).SetBytes(n[:])
	body, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Certificates: true, Nonce: nonce}).Marshal()
	if err != nil {
		return nil, info, fmt.Errorf("cannot make a time stamp request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, info, errors.New("cannot ask for a time stamp: the URL is not one")
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	req.Header.Set("Accept", "application/timestamp-reply")
	if o.Username != "" {
		req.SetBasicAuth(o.Username, o.Password)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, info, fmt.Errorf("cannot get a time stamp: %w: %w", ErrAway, withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, info, fmt.Errorf("cannot get a time stamp: %w: HTTP status %d", ErrRefused, resp.StatusCode)
	}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != "application/timestamp-reply" {
		return nil, info, fmt.Errorf("cannot get a time stamp: %w: the answer is not of type application/timestamp-reply", ErrToken)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxToken+1))
	if err != nil {
		return nil, info, fmt.Errorf("cannot get a time stamp: %w: the answer was cut off", ErrAway)
	}
	if token, err = parseResponse(b); err != nil {
		return nil, info, fmt.Errorf("cannot get a time stamp: %w", err)
	}
	t, info, err := verify(token, message, o.Roots)
	if err != nil {
		return nil, info, fmt.Errorf("cannot use the time stamp: %w", err)
	}
	if t.nonce == nil || t.nonce.Cmp(nonce) != 0 {
		return nil, info, fmt.Errorf("cannot use the time stamp: %w", ErrNonce)
	}
	if d := time.Since(info.Time); d > MaxSkew || d < -MaxSkew {
		return nil, info, fmt.Errorf("cannot use the time stamp: %w, by %s", ErrTime, d.Round(time.Second))
	}
	return token, info, nil
}

// Verify checks a time stamp of message offline. Its chain has to lead to one of roots at the time of the stamp; with nil nothing is said
// about who stamped.
func Verify(token, message []byte, roots *x509.CertPool) (Info, error) {
	_, info, err := verify(token, message, roots)
	if err != nil {
		return Info{}, fmt.Errorf("cannot trust the time stamp: %w", err)
	}
	return info, nil
}

// parseResponse takes the token out of a TimeStampResp. RFC 3161 section 2.4.2
func parseResponse(b []byte) ([]byte, error) {
	var r struct {
		Status struct {
			Status int
			Text   asn1.RawValue  `asn1:"optional,tag:16"`
			Fail   asn1.BitString `asn1:"optional"`
		}
		Token asn1.RawValue `asn1:"optional"`
	}
	if len(b) > maxToken {
		return nil, fmt.Errorf("%w: the answer is too long", ErrToken)
	}
	rest, err := asn1.Unmarshal(b, &r)
	if err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: the answer is no TimeStampResp", ErrToken)
	}
	if r.Status.Status != 0 && r.Status.Status != 1 {
		return nil, fmt.Errorf("%w: status %d", ErrRefused, r.Status.Status)
	}
	if len(r.Token.FullBytes) == 0 {
		return nil, fmt.Errorf("%w: there is none in the answer", ErrToken)
	}
	return r.Token.FullBytes, nil
}

type tstInfo struct {
	Version int
	Policy  asn1.ObjectIdentifier
	Imprint struct {
		Algorithm pkix.AlgorithmIdentifier
		Hash      []byte
	}
	Serial   *big.Int
	Time     time.Time `asn1:"generalized"`
	Accuracy struct {
		Seconds int64 `asn1:"optional"`
		Millis  int64 `asn1:"tag:0,optional"`
		Micros  int64 `asn1:"tag:1,optional"`
	} `asn1:"optional"`
	Ordering   bool             `asn1:"optional,default:false"`
	Nonce      *big.Int         `asn1:"optional"`
	TSA        asn1.RawValue    `asn1:"tag:0,optional"`
	Extensions []pkix.Extension `asn1:"tag:1,optional"`
}

const maxDepth = 24 // of values within values; tokens have about 14

// der says whether b is DER values without indefinite lengths, and not nested deeper than depth. RFC 3161 section 3.4 demands DER; what reads
// CMS would take BER, in time that grows faster than its nesting.
func der(b []byte, depth int) bool {
	for len(b) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(b, &v)
		if err != nil || v.IsCompound && (depth == 0 || !der(v.Bytes, depth-1)) {
			return false
		}
		b = rest
	}
	return true
}

type parsed struct{ nonce *big.Int }

func verify(token, message []byte, roots *x509.CertPool) (p parsed, info Info, err error) {
	defer func() {
		if recover() != nil { // in what reads CMS: what was given is none
			err = ErrToken
		}
	}()
	if len(token) > maxToken || !der(token, maxDepth) {
		return p, info, ErrToken
	}
	p7, err := pkcs7.Parse(token)
	if err != nil {
		return p, info, ErrToken
	}
	signer := p7.GetOnlySigner()
	if signer == nil {
		return p, info, ErrToken
	}
	var contentType asn1.ObjectIdentifier
	if p7.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &contentType) != nil || !contentType.Equal(oidTSTInfo) {
		return p, info, fmt.Errorf("%w: what is signed is no TSTInfo", ErrToken)
	}
	var t tstInfo
	if rest, err := asn1.Unmarshal(p7.Content, &t); err != nil || len(rest) > 0 || t.Version != 1 || t.Serial == nil {
		return p, info, fmt.Errorf("%w: what is signed is no TSTInfo", ErrToken)
	}
	if t.Time.Before(signer.NotBefore) || t.Time.After(signer.NotAfter) {
		return p, info, fmt.Errorf("%w: it was not valid then", ErrCertificate)
	}
	if p7.Verify() != nil {
		return p, info, ErrToken
	}
	h, ok := map[string]crypto.Hash{oidSHA256.String(): crypto.SHA256, oidSHA384.String(): crypto.SHA384, oidSHA512.String(): crypto.SHA512}[t.Imprint.Algorithm.Algorithm.String()]
	if !ok {
		return p, info, fmt.Errorf("%w: its hash algorithm is not one of SHA-2", ErrImprint)
	}
	w := h.New()
	w.Write(message)
	if !bytes.Equal(w.Sum(nil), t.Imprint.Hash) {
		return p, info, ErrImprint
	}
	if err := signingCertificate(p7, signer); err != nil {
		return p, info, err
	}
	if err := purpose(signer); err != nil {
		return p, info, err
	}
	if roots != nil {
		between := x509.NewCertPool()
		for _, c := range p7.Certificates {
			between.AddCert(c)
		}
		if _, err := signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: t.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}); err != nil {
			return p, info, fmt.Errorf("%w: no chain leads from it to a given root", ErrCertificate)
		}
	}
	a := t.Accuracy
	return parsed{t.Nonce}, Info{Time: t.Time.UTC(), Accuracy: time.Duration(a.Seconds)*time.Second + time.Duration(a.Millis)*time.Millisecond + time.Duration(a.Micros)*time.Microsecond,
		Serial: t.Serial.String(), Policy: t.Policy.String(), Signer: signer.Subject.String(), Trusted: roots != nil}, nil
}

// signingCertificate checks that the signed attributes name the signer's certificate, so that another one cannot be put in its place. RFC 5816, RFC 5035
func signingCertificate(p7 *pkcs7.PKCS7, signer *x509.Certificate) error {
	var v2 struct {
		Certs []struct {
			Algorithm pkix.AlgorithmIdentifier `asn1:"optional"`
			Hash      []byte
			Issuer    asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	if p7.UnmarshalSignedAttribute(oidSigningCertV2, &v2) == nil && len(v2.Certs) > 0 {
		h := crypto.SHA256
		switch o := v2.Certs[0].Algorithm.Algorithm; {
		case len(o) == 0 || o.Equal(oidSHA256):
		case o.Equal(oidSHA384):
			h = crypto.SHA384
		case o.Equal(oidSHA512):
			h = crypto.SHA512
		default:
			return fmt.Errorf("%w: it is named by a hash that is not known", ErrCertificate)
		}
		w := h.New()
		w.Write(signer.Raw)
		if bytes.Equal(w.Sum(nil), v2.Certs[0].Hash) {
			return nil
		}
		return fmt.Errorf("%w: it is not the one that the time stamp names", ErrCertificate)
	}
	var v1 struct {
		Certs []struct {
			Hash   []byte
			Issuer asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	if p7.UnmarshalSignedAttribute(oidSigningCert, &v1) == nil && len(v1.Certs) > 0 {
		w := crypto.SHA1.New() // the attribute's own choice: it ties, and is itself signed
		w.Write(signer.Raw)
		if bytes.Equal(w.Sum(nil), v1.Certs[0].Hash) {
			return nil
		}
	}
	return fmt.Errorf("%w: it is not the one that the time stamp names", ErrCertificate)
}

// purpose checks that a certificate is for time stamping and nothing else, critically. RFC 3161 section 2.3
func purpose(c *x509.Certificate) error {
	if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(c.UnknownExtKeyUsage) > 0 {
		return fmt.Errorf("%w: it is not for time stamping alone", ErrCertificate)
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(oidExtKeyUsage) && e.Critical {
			return nil
		}
	}
	return fmt.Errorf("%w: its purpose is not critical", ErrCertificate)
}

// withoutURL is an HTTP client's error without the URL, which may hold a secret.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
