package slack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type channel struct {
	*httptest.Server
	mu       sync.Mutex
	messages []message
	raw      []string
	at       []time.Time
	n        int
	answer   func(n int) (status int, retryAfter string)
}

func newChannel(t testing.TB, answer func(n int) (int, string)) *channel {
	c := &channel{answer: answer}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var m message
		if err != nil || json.Unmarshal(b, &m) != nil || m.Text == "" || len(m.Blocks) == 0 || len(m.Blocks) > 50 || r.URL.Path != "/services/T/B/planted" {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, "invalid_payload")
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.n++
		if c.answer != nil {
			if status, after := c.answer(c.n); status != 0 {
				if after != "" {
					w.Header().Set("Retry-After", after)
				}
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "planted-answer")
				return
			}
		}
		c.messages, c.raw, c.at = append(c.messages, m), append(c.raw, string(b)), append(c.at, time.Now())
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(c.Close)
	return c
}

func open(t testing.TB, url string, edit ...func(*Config)) *slackExporter {
	t.Helper()
	p := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(p, []byte(url+"/services/T/B/planted\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newDefaultConfig()
	c.URL, c.MaxAge, c.Interval, c.Timeout, c.Grafana = sink.Secret{File: p}, 0, 0, 2*time.Second, "https://grafana.example.com"
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
				t.Errorf("content, answer or URL in %q", text)
			}
		}
	})
	return e
}

func raised(i int, edit ...func(*finding.Finding)) *finding.Finding {
	f := &finding.Finding{Time: 1_800_000_000_000_000_000}
	f.ID, f.RuleID, f.Title, f.Severity, f.Status = fmt.Sprintf("%032x", i), "tool_poisoning", "Poisoned tool", "high", "open"
	f.Tenant, f.Server, f.Tool, f.PrincipalID, f.Summary = "acme", "files", "read_file", "ann", "ann called read_file"
	for _, x := range edit {
		x(f)
	}
	return f
}

func batch(fs ...*finding.Finding) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, f := range fs {
		f.Encode(lrs.AppendEmpty())
	}
	return ld
}

func TestMessages(t *testing.T) {
	c := newChannel(t, nil)
	e := open(t, c.URL, func(c *Config) { c.Route.Records = nil })
	a := raised(1)
	done := *a
	done.Status, done.Revision, done.TriagedBy, done.TriageNote = "false_positive", 9, "bob", "planted-note"
	ld := batch(a, &done, raised(2, func(f *finding.Finding) { f.Status = "accepted" }))
	lrs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	req := event.Event{Name: event.NameRequest, Time: 1, Body: "planted"}
	req.Encode(lrs.AppendEmpty())
	au := event.Event{Name: event.NameAudit, Time: 1}
	au.AuditAction, au.AuditTarget, au.PrincipalID = "server.approve", "files", "ann"
	au.Encode(lrs.AppendEmpty())
	if err := e.consume(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	if len(c.raw) != 3 {
		t.Fatalf("%d messages: %s", len(c.raw), c.raw)
	}
	for i, want := range [][]string{
		{":large_orange_circle: *Poisoned tool* (high)", "ann called read＿file", "`read_file`", "`files`", "Who (not verified)", "<https://grafana.example.com/d/mcpsiem-finding?var-finding=" + a.ID + "|Investigate>", "mcpsiem findings show " + a.ID},
		{"is now *false positive* (`bob`)"},
		{"*server.approve* `files` by `ann`"},
	} {
		text := ""
		for _, b := range c.messages[i].Blocks {
			if b.Text != nil {
				text += b.Text.Text + "\n"
			}
			for _, x := range append(b.Fields, b.Elements...) {
				text += x.Text + "\n"
			}
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("message %d lacks %q: %s", i, w, text)
			}
		}
	}
	if all := strings.Join(c.raw, ""); strings.Contains(all, "planted") {
		t.Error("content or a note in a message")
	}
}

var (
	special = regexp.MustCompile(`<[^>]*>`)
	ours    = regexp.MustCompile(`^<https://grafana\.example\.com/d/[^|<>]*\|(Investigate|All of them)>$`)
)

func TestNoNameBecomesMore(t *testing.T) {
	e := open(t, "http://127.0.0.1:1")
	evil := []string{"<!channel>", "<!here|x>", "<@U123>", "<https://evil.example|click>", "@channel", "@here", "[click](https://evil.example)", "*bold*", "`", "```", "~x~", "_x_", "\n> quote",
		"&lt;!channel&gt;", "https://evil.example", "\u202e", ":fire:", "a|b", strings.Repeat("<!channel>", 500)}
	check := func(t interface {
		Fatalf(string, ...any)
	}, m *message) {
		var texts []string
		texts = append(texts, m.Text)
		for _, b := range m.Blocks {
			if b.Text != nil {
				texts = append(texts, b.Text.Text)
			}
			if len(b.Fields) > 10 || len(b.Elements) > 10 {
				t.Fatalf("too many fields")
			}
			for _, x := range append(b.Fields, b.Elements...) {
				texts = append(texts, x.Text)
			}
		}
		for _, s := range texts {
			for _, x := range special.FindAllString(s, -1) {
				if !ours.MatchString(x) {
					t.Fatalf("%q is special in %q", x, s)
				}
			}
			rest := special.ReplaceAllString(s, "")
			if strings.ContainsAny(rest, "<>@") || strings.Contains(rest, "://") || strings.Contains(rest, "```") || strings.Contains(rest, "](") || !utf8.ValidString(s) {
				t.Fatalf("%q", s)
			}
			if strings.Count(rest, "`")%2 != 0 || strings.Count(rest, "*")%2 != 0 && !strings.Contains(rest, "`") {
				t.Fatalf("formatting is not closed: %q", s)
			}
			if n := utf8.RuneCountInString(s); n > 3000 {
				t.Fatalf("%d characters", n)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(evil), rapid.String()), 0, 4).Draw(t, "parts"), "")
		})
		f := raised(1)
		f.ID, f.Title, f.Severity, f.Summary, f.PrincipalID, f.Server, f.Tool = text.Draw(t, "id"), text.Draw(t, "title"), text.Draw(t, "sev"), text.Draw(t, "sum"), text.Draw(t, "who"), text.Draw(t, "srv"), text.Draw(t, "tool")
		f.Tenant, f.RuleID, f.ClientName, f.Status, f.TriagedBy = text.Draw(t, "ten"), text.Draw(t, "rule"), text.Draw(t, "cl"), text.Draw(t, "st"), text.Draw(t, "by")
		f.Revision = rapid.SampledFrom([]int64{0, 5}).Draw(t, "rev")
		check(t, e.finding(f))
		ev := &event.Event{}
		ev.AuditAction, ev.AuditTarget, ev.PrincipalID = text.Draw(t, "a"), text.Draw(t, "b"), text.Draw(t, "c")
		check(t, e.audit(ev))
	})
}

func TestAnswers(t *testing.T) {
	f := func(name string, answer func(int) (int, string), wantErr string, posted int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			c := newChannel(t, answer)
			e := open(t, c.URL)
			err := e.consume(context.Background(), batch(raised(1), raised(2)))
			got := ""
			if err != nil {
				if got = streams.Reason(err); streams.Permanent(err) {
					got = "permanent " + got
				}
				if strings.Contains(err.Error(), "planted") {
					t.Errorf("URL or answer in %v", err)
				}
			}
			if got != wantErr || len(c.raw) != posted {
				t.Errorf("%q and %d messages, want %q and %d: %v", got, len(c.raw), wantErr, posted, err)
			}
		})
	}
	once := func(status int, after string) func(int) (int, string) {
		return func(n int) (int, string) {
			if n == 1 {
				return status, after
			}
			return 0, ""
		}
	}
	always := func(status int) func(int) (int, string) { return func(int) (int, string) { return status, "" } }
	f("429", once(429, "0"), "", 2)
	f("429 for a minute", once(429, "60"), "http_429", 0)
	f("500", once(500, ""), "", 2)
	f("500 for long", always(500), "http_500", 0)
	f("400", once(400, ""), "permanent slack_400", 1)
	f("404", always(404), "http_404", 0)
	f("410", always(410), "http_410", 0)
	f("redirection", always(302), "http_302", 0)
}

func TestOneMessageAnInterval(t *testing.T) {
	c := newChannel(t, nil)
	e := open(t, c.URL, func(c *Config) { c.Interval = 30 * time.Millisecond })
	for i := range 3 { // batches of several workers
		if err := e.consume(context.Background(), batch(raised(2*i), raised(2*i+1))); err != nil {
			t.Fatal(err)
		}
	}
	if d := c.at[5].Sub(c.at[0]); d < 5*20*time.Millisecond {
		t.Errorf("six messages within %v", d)
	}
}

func TestDigest(t *testing.T) {
	c := newChannel(t, nil)
	e := open(t, c.URL, func(c *Config) { c.Limit = 3 })
	for i := range 103 {
		if err := e.consume(context.Background(), batch(raised(i))); err != nil {
			t.Fatal(err)
		}
	}
	last := c.messages[len(c.messages)-1].Text
	var n int
	if _, err := fmt.Sscanf(last, "%d more findings", &n); err != nil || n < 83 || n > 100 || len(c.raw) > 30 {
		t.Errorf("%d messages, the last: %s", len(c.raw), last)
	}
}
