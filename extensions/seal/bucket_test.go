package seal

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// s3 is a double of PutObject and HeadObject with object lock, that checks Signature Version 4 by its own reading of the specification.
type s3 struct {
	*httptest.Server
	mu      sync.Mutex
	objects map[string]object
	fault   string
	puts    int
}

type object struct {
	body        []byte
	mode, until string
}

func newS3(t testing.TB) *s3 {
	s := &s3{objects: map[string]object{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Server.Close)
	return s
}

func (s *s3) do(fault string) { s.mu.Lock(); s.fault = fault; s.mu.Unlock() }

func (s *s3) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if why := signed(r, body, "AKIDEXAMPLE", "secret", "eu-central-1"); why != "" {
		http.Error(w, why, http.StatusForbidden)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.URL.EscapedPath()
	have, there := s.objects[name]
	switch {
	case s.fault == "down":
		http.Error(w, "no", http.StatusServiceUnavailable)
	case r.Method == http.MethodHead && there:
		w.Header().Set("Content-Length", fmt.Sprint(len(have.body)))
		if have.mode != "" {
			w.Header().Set("x-amz-object-lock-mode", have.mode)
			w.Header().Set("x-amz-object-lock-retain-until-date", have.until)
		}
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
	case r.Method != http.MethodPut:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case there && r.Header.Get("If-None-Match") == "*":
		w.WriteHeader(http.StatusPreconditionFailed)
	default:
		sum := md5.Sum(body)
		if r.Header.Get("Content-MD5") != base64.StdEncoding.EncodeToString(sum[:]) {
			http.Error(w, "Content-MD5 is demanded with object lock", http.StatusBadRequest)
			return
		}
		o := object{body, r.Header.Get("x-amz-object-lock-mode"), r.Header.Get("x-amz-object-lock-retain-until-date")}
		if s.fault == "no lock" {
			o.mode, o.until = "", ""
		}
		s.objects[name] = o
		s.puts++
		if s.fault == "answer lost" {
			http.Error(w, "gateway timeout", http.StatusGatewayTimeout)
		}
	}
}

// signed checks an Authorization header of AWS4-HMAC-SHA256 and says what is wrong.
func signed(r *http.Request, body []byte, id, secret, region string) string {
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return "not signed"
	}
	parts := map[string]string{}
	for p := range strings.SplitSeq(auth, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		parts[k] = v
	}
	at := r.Header.Get("X-Amz-Date")
	t, err := time.Parse("20060102T150405Z", at)
	if err != nil || time.Since(t).Abs() > 15*time.Minute {
		return "time"
	}
	scope := strings.Join([]string{at[:8], region, "s3", "aws4_request"}, "/")
	if parts["Credential"] != id+"/"+scope {
		return "credential"
	}
	sum := sha256.Sum256(body)
	if r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) {
		return "content hash"
	}
	names := strings.Split(parts["SignedHeaders"], ";")
	if !slices.IsSorted(names) || !slices.Contains(names, "host") {
		return "signed headers"
	}
	for k := range r.Header {
		if k = strings.ToLower(k); strings.HasPrefix(k, "x-amz-") && !slices.Contains(names, k) {
			return k + " is not signed"
		}
	}
	var c strings.Builder
	fmt.Fprintf(&c, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	for _, n := range names {
		v := r.Header.Get(n)
		switch n {
		case "host":
			v = r.Host
		case "content-length":
			v = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&c, "%s:%s\n", n, strings.TrimSpace(v))
	}
	fmt.Fprintf(&c, "\n%s\n%s", parts["SignedHeaders"], hex.EncodeToString(sum[:]))
	canonical := sha256.Sum256([]byte(c.String()))
	key := []byte("AWS4" + secret)
	for _, x := range append(strings.Split(scope, "/"), fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", at, scope, canonical)) {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(x))
		key = m.Sum(nil)
	}
	if parts["Signature"] != hex.EncodeToString(key) {
		return "signature"
	}
	return ""
}

func TestBucket(t *testing.T) {
	s := newS3(t)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	b := &bucket{BucketConfig: BucketConfig{Endpoint: s.URL, Region: "eu-central-1", Bucket: "worm", Prefix: "mcpsiem/", AccessKey: "AKIDEXAMPLE", Mode: "COMPLIANCE", Retention: 24 * time.Hour},
		client: &http.Client{Transport: tr}, secret: "secret"}
	put := func(tenant string, size uint64, want string) {
		t.Helper()
		proof, err := b.put(context.Background(), seal.SignedCheckpoint{Tenant: tenant, Checkpoint: seal.Checkpoint{Size: size}, Note: []byte("note of " + tenant)})
		if want == "" && (err != nil || !bytes.Contains(proof, []byte("locked until"))) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s %d: %q %v, want %q", tenant, size, proof, err, want)
		}
	}
	put("acme", 5, "")
	o := s.objects["/worm/mcpsiem/acme/00000000000000000005.checkpoint"]
	until, err := time.Parse(time.RFC3339, o.until)
	if string(o.body) != "note of acme" || o.mode != "COMPLIANCE" || err != nil || time.Until(until) < 23*time.Hour {
		t.Errorf("%+v %v", s.objects, err)
	}
	put("acme", 5, "") // again: it is there
	put("a/b c", 1, "")
	if _, ok := s.objects["/worm/mcpsiem/a%252Fb%2520c/00000000000000000001.checkpoint"]; !ok || s.puts != 2 {
		t.Errorf("%d %v", s.puts, s.objects)
	}
	s.do("down")
	put("acme", 6, "503")
	s.do("answer lost")
	put("acme", 7, "504")
	s.do("")
	put("acme", 7, "")
	s.do("no lock")
	put("acme", 8, "not locked")
	s.do("")
	b.secret = "wrong"
	put("acme", 9, "403")
	s.Close()
	put("acme", 9, "cannot reach the bucket")
}
