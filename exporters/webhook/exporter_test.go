package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const (
	secretA = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretB = "planted-secret-of-more-than-24-bytes"
)

// receiver stores what it is sent and answers as told.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	got     map[string]int // records by id
	headers []http.Header
	bodies  [][]byte
	answer  func(n int, ids []string) int // HTTP status; -1 breaks the connection after taking, 0 is 200
}

func newReceiver(t testing.TB, answer func(n int, ids []string) int) *receiver {
	r := &receiver{got: map[string]int{}, answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		ids := idsOf(t, req.Header.Get("Content-Type"), b)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.headers, r.bodies = append(r.headers, req.Header.Clone()), append(r.bodies, b)
		status := 0
		if r.answer != nil {
			status = r.answer(len(r.bodies), ids)
		}
		if status <= 0 || status == 200 {
			for _, id := range ids {
				r.got[id]++
			}
		}
		switch {
		case status < 0:
			panic(http.ErrAbortHandler)
		case status > 0:
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "planted-answer")
		}
	}))
	t.Cleanup(func() { r.CloseClientConnections(); r.Close() })
	return r
}

func idsOf(t testing.TB, contentType string, b []byte) (ids []string) {
	type record struct {
		Event   string `json:"mcpsiem.event.id"`
		Finding string `json:"mcpsiem.finding.id"`
	}
	var list []record
	if contentType == "application/x-ndjson" {
		for _, l := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
			var r record
			if err := json.Unmarshal(l, &r); err != nil {
				t.Errorf("a line is no JSON: %v", err)
			}
			list = append(list, r)
		}
	} else {
		var batch struct {
			Version int      `json:"version"`
			Records []record `json:"records"`
			record
		}
		if err := json.Unmarshal(b, &batch); err != nil {
			t.Errorf("a body is no JSON: %v", err)
		}
		if list = batch.Records; batch.Version == 0 {
			list = []record{batch.record}
		}
	}
	for _, r := range list {
		ids = append(ids, r.Event+r.Finding)
	}
	return ids
}

func file(t testing.TB, text string) sink.Secret {
	p := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return sink.Secret{File: p}
}

func open(t testing.TB, url string, edit ...func(*Config)) *webhookExporter {
	t.Helper()
	c := newDefaultConfig()
	c.URL, c.Timeout, c.Networks.Allow = url, 2*time.Second, []string{"127.0.0.0/8"}
	c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 4 * time.Millisecond, MaxElapsed: 200 * time.Millisecond}
	for _, f := range edit {
		f(c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	set := exportertest.NewNopSettings(Type)
	core, logs := observer.New(zap.DebugLevel)
	set.Logger = zap.New(core)
	e, err := newExporter(set, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.shutdown(context.Background())
		for _, l := range logs.All() {
			if text := l.Message + fmt.Sprint(l.ContextMap()); strings.Contains(text, "planted") {
				t.Errorf("content, answer or secret in %q", text)
			}
		}
	})
	return e
}

func hexID(i int) string { return fmt.Sprintf("%032x", i) }

func batch(first, n int) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		if i%2 == 1 {
			f := finding.Finding{Time: 1_800_000_000_000_000_000}
			f.ID, f.RuleID, f.Severity, f.Status, f.Tenant = hexID(first+i), "tool_poisoning", "high", "open", "acme"
			f.Encode(lrs.AppendEmpty())
			continue
		}
		e := event.Event{Name: event.NameRequest, Time: 1_800_000_000_000_000_000, Body: `{"planted":true}`}
		e.ID, e.Tenant, e.Method = hexID(first+i), "acme", "tools/call"
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}

func (r *receiver) want(t *testing.T, n, times int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range n {
		if got := r.got[hexID(i)]; got != times {
			t.Errorf("record %d came %d times, want %d", i, got, times)
		}
	}
	if len(r.got) != n {
		t.Errorf("%d records, want %d", len(r.got), n)
	}
}

func TestBodies(t *testing.T) {
	for name, requests := range map[string]int{bodyBatch: 3, bodyLines: 3, bodyRecord: 25} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, nil)
			e := open(t, r.URL, func(c *Config) { c.Body, c.MaxRecords = name, 10 })
			if err := e.consume(context.Background(), batch(0, 25)); err != nil {
				t.Fatal(err)
			}
			r.want(t, 25, 1)
			if len(r.bodies) != requests {
				t.Errorf("%d requests, want %d", len(r.bodies), requests)
			}
			if !bytes.Contains(r.bodies[0], []byte(`"planted":true`)) || !bytes.Contains(r.bodies[len(r.bodies)-1], []byte(`"time":"2027-01-15T08:00:00Z"`)) {
				t.Error("the message or the time is missing")
			}
		})
	}
}

// verify is what a receiver does; docs/sinks/webhook.md has it.
func verify(secret string, h http.Header, body []byte, now time.Time) bool {
	key := []byte(secret)
	if b64, ok := strings.CutPrefix(secret, "whsec_"); ok {
		key, _ = base64.StdEncoding.DecodeString(b64)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(h.Get("Webhook-Id") + "." + h.Get("Webhook-Timestamp") + "."))
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	var sec int64
	if _, err := fmt.Sscan(h.Get("Webhook-Timestamp"), &sec); err != nil || now.Sub(time.Unix(sec, 0)).Abs() > 5*time.Minute {
		return false
	}
	return slices.ContainsFunc(strings.Fields(h.Get("Webhook-Signature")), func(s string) bool { return hmac.Equal([]byte(s), []byte(want)) })
}

func TestSignatures(t *testing.T) {
	// The example of the Standard Webhooks specification.
	key, err := signingKey(secretA)
	if err != nil {
		t.Fatal(err)
	}
	if got := sign([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature %s", got)
	}
	r := newReceiver(t, func(n int, _ []string) int { return []int{500, 0, 0, 0}[min(n, 4)-1] })
	one, two := file(t, secretA), file(t, secretB)
	e := open(t, r.URL, func(c *Config) {
		c.Signing, c.Token, c.Headers = []sink.Secret{one, two}, file(t, "planted-token"), map[string]string{"X-Team": "soc"}
	})
	if err := e.consume(context.Background(), batch(0, 3)); err != nil {
		t.Fatal(err)
	}
	for i, h := range r.headers {
		for _, s := range []string{secretA, secretB} {
			if !verify(s, h, r.bodies[i], time.Now()) {
				t.Errorf("request %d does not verify", i)
			}
		}
		if verify(secretA, h, append(slices.Clone(r.bodies[i]), ' '), time.Now()) || verify("another", h, r.bodies[i], time.Now()) || verify(secretA, h, r.bodies[i], time.Now().Add(time.Hour)) {
			t.Error("what was changed, or is old, verifies")
		}
		if h.Get("Authorization") != "Bearer planted-token" || h.Get("X-Team") != "soc" || h.Get("Idempotency-Key") != h.Get("Webhook-Id") {
			t.Errorf("headers %v", h)
		}
	}
	if r.headers[0].Get("Webhook-Id") != r.headers[1].Get("Webhook-Id") {
		t.Error("a repetition has another id")
	}
	if err := os.WriteFile(two.File, []byte("another-secret-of-24-bytes-or-more"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.consume(context.Background(), batch(10, 1)); err != nil || !verify("another-secret-of-24-bytes-or-more", r.headers[2], r.bodies[2], time.Now()) {
		t.Errorf("a changed secret does not count: %v", err)
	}
	for _, s := range []string{"short", "whsec_!!!", "whsec_aaaa"} {
		if _, err := signingKey(s); err == nil || strings.Contains(err.Error(), s) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	f := func(name string, answer func(n int, ids []string) int, edit func(*Config), wantErr string, taken int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, answer)
			e := open(t, r.URL, func(c *Config) {
				if edit != nil {
					edit(c)
				}
			})
			err := e.consume(context.Background(), batch(0, 16))
			got := ""
			if err != nil {
				if got = streams.Reason(err); streams.Permanent(err) {
					got = "permanent " + got
				}
				if strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), r.URL) {
					t.Errorf("content or address in %v", err)
				}
			}
			if got != wantErr {
				t.Errorf("%q, want %q: %v", got, wantErr, err)
			}
			if len(r.got) != taken {
				t.Errorf("%d taken, want %d", len(r.got), taken)
			}
		})
	}
	always := func(status int) func(int, []string) int { return func(int, []string) int { return status } }
	first := func(status, times int) func(int, []string) int {
		return func(n int, _ []string) int {
			if n <= times {
				return status
			}
			return 0
		}
	}
	poison := func(status int) func(int, []string) int {
		return func(_ int, ids []string) int {
			if slices.Contains(ids, hexID(5)) {
				return status
			}
			return 0
		}
	}
	f("500, then not", first(500, 2), nil, "", 16)
	f("429, then not", first(429, 1), nil, "", 16)
	f("503 for long", always(503), nil, "http_503", 0)
	f("broken off after it was taken", first(-1, 1), nil, "", 16)
	f("a poisonous record", poison(400), nil, "permanent webhook_400", 15)
	f("a record too large", poison(413), nil, "permanent webhook_413", 15)
	f("unprocessable", poison(422), nil, "permanent webhook_422", 15)
	f("401", always(401), nil, "http_401", 0)
	f("404, dead letter", always(404), func(c *Config) { c.OnMisconfigured = deadLetter }, "permanent webhook_404", 0)
	f("redirection", always(307), nil, "http_307", 0)
	f("410", always(410), nil, "http_410", 0)
	f("private network", nil, func(c *Config) { c.Networks.Allow = nil }, "network_denied", 0)
}

// An id that a source made up cannot break a header, or hold the stream up.
func TestStrangeIDs(t *testing.T) {
	r := newReceiver(t, nil)
	e := open(t, r.URL, func(c *Config) { c.Body = bodyRecord })
	ids := []string{"a.b", "a\r\nX-Planted: b", "ä", "", strings.Repeat("k", 5000), "fine-1"}
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, id := range ids {
		ev := event.Event{Name: event.NameRequest, Time: 1}
		ev.ID = id
		ev.Encode(lrs.AppendEmpty())
	}
	if err := e.consume(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, h := range r.headers {
		id := h.Get(headerID)
		if !fits(id) || seen[id] || id == ids[i] != (ids[i] == "fine-1") {
			t.Errorf("%q goes as %q", ids[i], id)
		}
		seen[id] = true
	}
}

func TestGoneStops(t *testing.T) {
	r := newReceiver(t, func(int, []string) int { return 410 })
	e := open(t, r.URL)
	for range 3 {
		if err := e.consume(context.Background(), batch(0, 1)); streams.Reason(err) != "http_410" || streams.Permanent(err) {
			t.Fatal(err)
		}
	}
	if len(r.bodies) != 1 {
		t.Errorf("%d requests after 410", len(r.bodies)-1)
	}
}

func TestOnlyTheRestIsRepeated(t *testing.T) {
	down := true
	r := newReceiver(t, func(_ int, ids []string) int {
		if down && slices.Contains(ids, hexID(7)) {
			return 500
		}
		return 0
	})
	e := open(t, r.URL, func(c *Config) { c.MaxRecords, c.Retry.MaxElapsed = 5, 0 })
	origin := streams.Origin{Stream: streams.Events, Durable: "hook", First: 1, Last: 1}
	if err := e.consume(streams.WithOrigin(context.Background(), origin), batch(0, 20)); err == nil || streams.Permanent(err) {
		t.Fatal(err)
	}
	down, origin.Redelivered = false, true
	if err := e.consume(streams.WithOrigin(context.Background(), origin), batch(0, 20)); err != nil {
		t.Fatal(err)
	}
	r.want(t, 20, 1)
}

func TestLargeRecords(t *testing.T) {
	r := newReceiver(t, nil)
	e := open(t, r.URL, func(c *Config) { c.MaxBytes = 16 << 10 })
	ld := batch(0, 3)
	lrs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	lrs.At(0).Body().SetStr(strings.Repeat("x", 20<<10)) // goes without it
	lrs.At(1).Attributes().PutStr(finding.AttrSummary, strings.Repeat("x", 20<<10))
	if err := e.consume(context.Background(), ld); streams.Reason(err) != "record_too_large" || !streams.Permanent(err) {
		t.Fatal(err)
	}
	if len(r.got) != 2 {
		t.Errorf("%d taken", len(r.got))
	}
}

func TestConfig(t *testing.T) {
	f := func(want string, edit func(*Config)) {
		t.Helper()
		c := newDefaultConfig()
		c.URL = "https://soar.example.com/hook?x=y"
		edit(c)
		err := c.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("", func(*Config) {})
	f("set url", func(c *Config) { c.URL = "" })
	f("set url", func(c *Config) { c.URLSecret = sink.Secret{Env: "X"} })
	f("url:", func(c *Config) { c.URL = "https://u:p@h/" })
	f("url:", func(c *Config) { c.URL = "ftp://h/" })
	f("body", func(c *Config) { c.Body = "xml" })
	f("signing[0]", func(c *Config) { c.Signing = []sink.Secret{{}} })
	f("set by the exporter", func(c *Config) { c.Headers = map[string]string{"webhook-id": "x"} })
	f("cannot be sent", func(c *Config) { c.Headers = map[string]string{"a": "b\r\nc"} })
	f("max_records", func(c *Config) { c.MaxRecords = 0 })
	f("networks.allow", func(c *Config) { c.Networks.Allow = []string{"x"} })
}
