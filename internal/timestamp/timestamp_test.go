package timestamp

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/timestamp/tsatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var message = []byte("log.example/acme\n3\nAAAA\n\n— log.example/acme AAAA\n")

func request(t *testing.T, s *tsatest.TSA, url string, timeout time.Duration) ([]byte, Info, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	return Request(ctx, &http.Client{Transport: tr}, url, message, Options{Roots: s.Roots})
}

func TestStamp(t *testing.T) {
	s := tsatest.New(t)
	token, info, err := request(t, s, s.URL, 10*time.Second)
	if err != nil || !info.Trusted || time.Since(info.Time).Abs() > time.Minute || info.Signer != "CN=Test TSA" || info.Policy != "1.2.3.4" || info.Accuracy != time.Second {
		t.Fatalf("%+v %v", info, err)
	}
	again, err := Verify(token, message, s.Roots)
	if err != nil || again != info {
		t.Errorf("%+v %v", again, err)
	}
	if free, err := Verify(token, message, nil); err != nil || free.Trusted {
		t.Errorf("without roots: %+v %v", free, err)
	}
	if _, err := Verify(token, append(message, 'x'), s.Roots); !errors.Is(err, ErrImprint) {
		t.Errorf("other bytes: %v", err)
	}
	if _, err := Verify(token, message, tsatest.New(t).Roots); !errors.Is(err, ErrCertificate) {
		t.Errorf("other roots: %v", err)
	}
	// No byte of the signed part can be changed unnoticed.
	same := 0
	for i := range token {
		bad := bytes.Clone(token)
		bad[i] ^= 1
		if got, err := Verify(bad, message, s.Roots); err == nil && got != info {
			t.Errorf("byte %d: %+v", i, got)
		} else if err == nil {
			same++ // e.g. the digest algorithms' list outside of what is signed
		}
	}
	if same > len(token)/20 {
		t.Errorf("%d of %d bytes do not matter", same, len(token))
	}
	// Another implementation takes what ours got.
	if openssl, err := exec.LookPath("openssl"); err == nil {
		dir := t.TempDir()
		for name, b := range map[string][]byte{"t": token, "m": message, "ca": s.CAPEM} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command(openssl, "ts", "-verify", "-token_in", "-in", filepath.Join(dir, "t"), "-data", filepath.Join(dir, "m"), "-CAfile", filepath.Join(dir, "ca")).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Verification: OK") {
			t.Errorf("openssl: %s %v", out, err)
		}
	}
}

func TestFaults(t *testing.T) {
	f := func(fault tsatest.Fault, want error, options ...tsatest.Option) {
		t.Helper()
		s := tsatest.New(t, options...)
		s.Do(fault)
		token, _, err := request(t, s, s.URL, 2*time.Second)
		if token != nil && err != nil && !errors.Is(err, want) || err == nil || !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", fault, err, want)
		}
		if err != nil && strings.Contains(err.Error(), s.URL) {
			t.Errorf("%q: the error has the URL: %v", fault, err)
		}
	}
	f(tsatest.WrongNonce, ErrNonce)
	f(tsatest.NoNonce, ErrNonce)
	f(tsatest.WrongImprint, ErrImprint)
	f(tsatest.Rejected, ErrRefused)
	f(tsatest.ServerError, ErrRefused)
	f(tsatest.Garbage, ErrToken)
	f(tsatest.Endless, ErrToken)
	f(tsatest.WrongType, ErrToken)
	f(tsatest.ForeignSigner, ErrToken)
	f(tsatest.OldTime, ErrTime)
	f(tsatest.None, ErrCertificate, tsatest.Expired)
	f(tsatest.None, ErrCertificate, tsatest.ForServers)
	f(tsatest.None, ErrCertificate, tsatest.NotCritical)

	s := tsatest.New(t)
	s.Do(tsatest.Slow)
	if _, _, err := request(t, s, s.URL, 100*time.Millisecond); !errors.Is(err, ErrAway) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow: %v", err)
	}
	s.Close()
	if _, _, err := request(t, s, s.URL, time.Second); !errors.Is(err, ErrAway) {
		t.Errorf("away: %v", err)
	}
}

// Tokens that OpenSSL made: P-256, SHA-512, SigningCertificateV2 and SigningCertificate.
func TestOpenSSL(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read("ca.pem"))
	f := func(name string, token []byte) {
		t.Helper()
		info, err := Verify(token, read("message"), roots)
		if err != nil || info.Signer != "CN=Example TSA" || info.Policy != "1.2.3.4.1" || info.Accuracy != 1500*time.Millisecond || info.Time.Year() != 2026 {
			t.Errorf("%s: %+v %v", name, info, err)
		}
	}
	f("v2", read("openssl.tst"))
	f("v1", read("openssl-v1.tst"))
	token, err := parseResponse(read("r.tsr"))
	if err != nil {
		t.Fatal(err)
	}
	f("response", token)
}

func FuzzVerify(f *testing.F) {
	for _, name := range []string{"openssl.tst", "openssl-v1.tst", "r.tsr"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 2000))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Verify(b, []byte("other"), nil); err == nil {
			t.Error("a time stamp of other bytes")
		}
		_, _ = parseResponse(b)
	})
}
