package keysource

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func write(t *testing.T, mode os.FileMode, content string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(p, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRead(t *testing.T) {
	t.Setenv("MCPSIEM_TEST_KEY", secret+"\n")
	held := write(t, 0o600, secret+"\n")
	wrapped := write(t, 0o600, "WRAPPED\n")
	f := func(reference, want, problem string) {
		t.Helper()
		b, err := Read(context.Background(), "test key", write(t, 0o600, reference))
		if problem == "" && (err != nil || string(b) != want) {
			t.Errorf("%s: %q, %v", reference, b, err)
		}
		if problem != "" && (err == nil || !strings.Contains(err.Error(), problem) || strings.Contains(err.Error(), secret)) {
			t.Errorf("%s: %v, want %q", reference, err, problem)
		}
	}
	f(secret+"\n", secret, "")
	f(`{"env": "MCPSIEM_TEST_KEY"}`, secret, "")
	f(`{"file": "`+held+`"}`, secret, "")
	f(`{"command": ["/bin/sh", "-c", "echo `+secret+`"]}`, secret, "")
	f(`{"command": ["/bin/sh", "-c", "tr A-Z a-z"], "stdin": "`+wrapped+`"}`, "wrapped", "")
	f(`{"env": "MCPSIEM_TEST_NONE"}`, "", "MCPSIEM_TEST_NONE is not set")
	f(`{"file": "`+write(t, 0o644, secret)+`"}`, "", "others can read")
	f(`{"file": "relative"}`, "", "absolute")
	f(`{"file": "/nowhere"}`, "", "no such file")
	f(`{"command": ["sh"]}`, "", "absolute path")
	f(`{"command": ["/nowhere/x"]}`, "", "cannot run the command x")
	f(`{"command": ["/bin/sh", "-c", "echo `+secret+`; echo no token >&2; exit 3"]}`, "", "exit status 3: no token")
	f(`{"command": ["/bin/sh", "-c", "exec sleep 60"], "timeout": "100ms"}`, "", "took longer than 100ms")
	f(`{"command": ["/bin/sh", "-c", "sleep 60 & wait"], "timeout": "100ms"}`, "", "took longer than 100ms")
	f(`{"command": ["/bin/sh", "-c", "yes"], "timeout": "300ms"}`, "", "took longer")
	f(`{"command": ["/bin/sh", "-c", "head -c 100000 /dev/zero"]}`, "", "more than")
	f(`{"command": ["/bin/true"]}`, "", "empty")
	f(`{"env": "A", "file": "/b"}`, "", "exactly one")
	f(`{"env": "A", "timeout": "1s"}`, "", "for a command")
	f(`{"command": ["/bin/true"], "timeout": "1y"}`, "", "duration")
	f(`{"evn": "A"}`, "", "is none")
	f(`{`, "", "is none")
	if _, err := Read(context.Background(), "test key", write(t, 0o640, `{"env": "MCPSIEM_TEST_KEY"}`)); err == nil || !strings.Contains(err.Error(), "others can") {
		t.Error("a reference that others can change is followed:", err)
	}
	if _, err := Read(context.Background(), "test key", "/nowhere"); err == nil || !os.IsNotExist(unwrap(err)) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (Source{Command: []string{"/bin/sleep", "60"}}).Get(ctx); err == nil {
		t.Error("cancelled")
	}
}

func unwrap(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		if err = u.Unwrap(); os.IsNotExist(err) {
			return err
		}
	}
}

// sign checks that a source signs for a public key, in whatever form the program prints it.
func sign(t *testing.T, s Source, public ed25519.PublicKey) {
	t.Helper()
	s.Timeout = (30 * time.Second).String()
	message := []byte("mcpsiem.local/x/acme\n310\nroot\n")
	sig, err := s.Sign(context.Background(), message, ed25519.SignatureSize)
	if err != nil || !ed25519.Verify(public, message, sig) {
		t.Errorf("%v: %x, %v", s.Command, sig, err)
	}
}

func TestSignWithOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not here")
	}
	public, private, _ := ed25519.GenerateKey(nil)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := write(t, 0o600, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	args := fmt.Sprintf("%s pkeyutl -sign -rawin -inkey %s -in /dev/stdin", openssl, key)
	sign(t, Source{Command: append([]string{openssl}, strings.Fields(args)[1:]...)}, public)
	sign(t, Source{Command: []string{"/bin/sh", "-c", args + " | base64 -w0"}}, public)
	sign(t, Source{Command: []string{"/bin/sh", "-c", args + " | od -An -v -tx1 | tr -d ' \\n'"}}, public)
	sign(t, Source{Command: []string{"/bin/sh", "-c", "printf vault:v1:; " + args + " | base64"}}, public)
	for _, c := range [][]string{{"/bin/echo", "no signature"}, {"/bin/false"}, nil} {
		if _, err := (Source{Command: c}).Sign(context.Background(), []byte("x"), 64); err == nil {
			t.Errorf("%v signs", c)
		}
	}
}

// A PKCS#11 module, SoftHSM, through OpenSC's program: the private key is made in the module and cannot leave it.
func TestSignWithPKCS11(t *testing.T) {
	util, err := exec.LookPath("softhsm2-util")
	tool, err2 := exec.LookPath("pkcs11-tool")
	modules, _ := filepath.Glob("/usr/lib/*/softhsm/libsofthsm2.so")
	if _, err := os.Stat("/usr/lib/softhsm/libsofthsm2.so"); err == nil {
		modules = append(modules, "/usr/lib/softhsm/libsofthsm2.so")
	}
	if err != nil || err2 != nil || len(modules) == 0 {
		t.Skip("softhsm2 and opensc are not here")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte("directories.tokendir = "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", filepath.Join(dir, "conf"))
	t.Setenv("MCPSIEM_TEST_PIN", "1234")
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	run(util, "--init-token", "--free", "--label", "t", "--pin", "1234", "--so-pin", "1234")
	out := run(tool, "--module", modules[0], "--login", "--pin", "1234", "--keypairgen", "--key-type", "EC:edwards25519", "--label", "seal", "--id", "01")
	point := regexp.MustCompile(`EC_POINT:\s+0420([0-9a-f]{64})`).FindStringSubmatch(out)
	if point == nil {
		t.Fatal(out)
	}
	public, _ := hex.DecodeString(point[1])
	sign(t, Source{Command: []string{tool, "--module", modules[0], "--login", "--pin", "env:MCPSIEM_TEST_PIN", "--sign", "--mechanism", "EDDSA", "--id", "01", "--input-file", "/dev/stdin", "--output-file", "/dev/stdout"}}, public)
	if _, err := (Source{Command: []string{tool, "--module", modules[0], "--login", "--pin", "9999", "--sign", "--mechanism", "EDDSA", "--id", "01", "--input-file", "/dev/stdin", "--output-file", "/dev/stdout"}}).Sign(context.Background(), []byte("x"), 64); err == nil {
		t.Error("a wrong PIN signs")
	}
	if bytes.Contains([]byte(out), []byte("PRIVATE KEY-")) {
		t.Error("the module let the key out")
	}
}

// Whatever a key file holds, it is a key or a reference that was checked; nothing else is followed.
func FuzzParse(f *testing.F) {
	for _, s := range []string{secret, `{"env": "X"}`, `{"command": ["/bin/true"], "timeout": "1s"}`, `{"file": "/x", "env": "Y"}`, "{", " {}", `{"command": []}`, "vault:v1:AAAA"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, is, err := Parse(b)
		if is && err == nil && s.Validate() != nil {
			t.Errorf("%q passes", b)
		}
		if !is && len(bytes.TrimSpace(b)) > 0 && bytes.TrimSpace(b)[0] == '{' {
			t.Errorf("%q is taken for a key", b)
		}
		if sig, ok := decode(b, ed25519.SignatureSize); ok && len(sig) != ed25519.SignatureSize {
			t.Errorf("%q is a signature of %d bytes", b, len(sig))
		}
	})
}
