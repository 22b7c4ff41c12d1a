package pagerduty

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/exporters/pagerduty/pagerdutytest"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// noon is a Wednesday.
var noon = time.Date(2026, 11, 18, 12, 0, 0, 0, time.UTC)

func keyFile(t testing.TB, key string) sink.Secret {
	t.Helper()
	p := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(p, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return sink.Secret{File: p}
}

func config(t testing.TB, endpoint string, edit ...func(*Config)) *Config {
	t.Helper()
	c := newDefaultConfig()
	c.Endpoint, c.RoutingKey = endpoint, keyFile(t, pagerdutytest.Key)
	c.Timeout, c.MaxAge = 2*time.Second, 0
	c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 5 * time.Millisecond, MaxElapsed: 300 * time.Millisecond}
	for _, f := range edit {
		f(c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func settings(t testing.TB) exporter.Settings {
	set := exportertest.NewNopSettings(Type)
	core, logs := observer.New(zap.DebugLevel)
	set.Logger = zap.New(core)
	t.Cleanup(func() {
		for _, l := range logs.All() {
			if text := l.Message + fmt.Sprint(l.ContextMap()); strings.Contains(text, "planted") || strings.Contains(text, pagerdutytest.Key) {
				t.Errorf("content, answer or key in %q", text)
			}
		}
	})
	return set
}

// open starts an exporter. A store that is given outlives it.
func open(t testing.TB, c *Config, s store) *pagerExporter {
	t.Helper()
	e, err := newExporter(settings(t), c)
	if err != nil {
		t.Fatal(err)
	}
	e.store = s
	if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.shutdown(context.Background()) })
	return e
}

func hexID(i int) string { return fmt.Sprintf("%032x", i) }

// raised is finding i of group g.
func raised(i, g int, edit ...func(*finding.Finding)) *finding.Finding {
	f := &finding.Finding{Time: noon.UnixNano()}
	f.ID, f.Group, f.RuleID, f.Title, f.Severity, f.Status = hexID(i), hexID(1000+g), "tool_poisoning", "Poisoned tool", "high", "open"
	f.Tenant, f.Server, f.Tool, f.PrincipalID, f.Count = "acme", "files", "read_file", "ann@example.com", 3
	f.Summary, f.Evidence = "planted-sentence", []string{"planted-evidence"}
	for _, x := range edit {
		x(f)
	}
	return f
}

// become is the finding in a later revision.
func become(f *finding.Finding, status string, revision int64) *finding.Finding {
	c := *f
	c.Status, c.Revision = status, revision
	return &c
}

func batch(fs ...*finding.Finding) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, f := range fs {
		f.Encode(lrs.AppendEmpty())
	}
	return ld
}

func actions(s *pagerdutytest.Server) string {
	var out []string
	for _, e := range s.Events() {
		d := e.DedupKey
		if len(d) > 4 {
			d = d[len(d)-3:]
		}
		out = append(out, e.Action+" "+d)
	}
	return strings.Join(out, ", ")
}

func TestStates(t *testing.T) {
	a, b := raised(1, 1), raised(2, 1)
	f := func(name, want, status string, fs ...*finding.Finding) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			s := pagerdutytest.New(t)
			e := open(t, config(t, s.URL), nil)
			for _, x := range fs {
				if err := e.consume(context.Background(), batch(x)); err != nil {
					t.Fatal(err)
				}
			}
			if got := actions(s); got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
			if got := s.Alert(pagerdutytest.Key, dedupKey(a)).Status; got != status {
				t.Errorf("alert is %q, want %q", got, status)
			}
		})
	}
	g := "3e9"
	f("raised", "trigger "+g, "triggered", a)
	f("again", "trigger "+g, "triggered", a, a)
	f("acknowledged", "trigger "+g+", acknowledge "+g, "acknowledged", a, become(a, "acknowledged", 5))
	f("resolved", "trigger "+g+", resolve "+g, "resolved", a, become(a, "resolved", 5))
	f("false positive", "trigger "+g+", resolve "+g, "resolved", a, become(a, "false_positive", 5))
	f("accepted", "trigger "+g+", resolve "+g, "resolved", a, become(a, "accepted", 5))
	f("reopened", "trigger "+g+", resolve "+g+", trigger "+g, "triggered", a, become(a, "resolved", 5), become(a, "open", 6))
	f("suppressed", "", "", become(a, "accepted", 0))
	f("suppressed, resolved", "", "", become(a, "accepted", 0), become(a, "resolved", 5))
	f("suppressed, reopened", "trigger "+g, "triggered", become(a, "accepted", 0), become(a, "open", 5))
	f("late trigger", "resolve "+g, "", become(a, "resolved", 5), a)
	f("late acknowledgement", "trigger "+g+", resolve "+g, "resolved", a, become(a, "resolved", 6), become(a, "acknowledged", 5))
	f("acknowledged before it came", "trigger "+g+", acknowledge "+g, "acknowledged", become(a, "acknowledged", 5), a)
	f("resolved, then acknowledged", "trigger "+g+", resolve "+g+", trigger "+g+", acknowledge "+g, "acknowledged", a, become(a, "resolved", 5), become(a, "acknowledged", 6))
	f("another of the group", "trigger "+g+", trigger "+g, "triggered", a, b)
	f("one of two resolved", "trigger "+g+", trigger "+g, "triggered", a, b, become(a, "resolved", 5))
	f("both resolved", "trigger "+g+", trigger "+g+", resolve "+g, "resolved", a, b, become(a, "resolved", 5), become(b, "accepted", 7))
	f("suppressed one does not hold open", "trigger "+g+", resolve "+g, "resolved", a, become(b, "accepted", 0), become(a, "resolved", 5))
}

func TestWhatIsTold(t *testing.T) {
	s := pagerdutytest.New(t)
	e := open(t, config(t, s.URL, func(c *Config) { c.Links.GrafanaURL = "https://grafana.example.com/" }), nil)
	evil := raised(1, 1, func(f *finding.Finding) { f.Tool = "read\u202efile\n" + strings.Repeat("x", 4000) })
	if err := e.consume(context.Background(), batch(evil)); err != nil {
		t.Fatal(err)
	}
	ev := s.Events()[0]
	p := ev.Payload
	if p.Severity != "error" || p.Source != "files" || p.Class != "tool_poisoning" || p.Timestamp != "2026-11-18T12:00:00.000Z" || !strings.HasPrefix(p.Summary, "Poisoned tool: read\ufffdfile\ufffd") || utf8.RuneCountInString(p.Summary) > 400 {
		t.Errorf("%+v", p)
	}
	if strings.Contains(ev.Raw, "planted") || strings.Contains(p.Summary, "ann") {
		t.Errorf("sentence, evidence or a person where only names are wanted: %s", ev.Raw)
	}
	if ev.ClientURL != "https://grafana.example.com/d/mcpsiem-finding?var-finding="+hexID(1) || ev.Links[0]["href"] != ev.ClientURL || p.Details["command"] != "mcpsiem findings show "+hexID(1) {
		t.Errorf("links %v, %v", ev.Links, p.Details["command"])
	}
	e = open(t, config(t, s.URL, func(c *Config) { c.Summary, c.Details = summarySentence, detailEvidence }), nil)
	if err := e.consume(context.Background(), batch(raised(2, 2))); err != nil {
		t.Fatal(err)
	}
	if ev = s.Events()[1]; ev.Payload.Summary != "planted-sentence" || !strings.Contains(ev.Raw, "planted-evidence") {
		t.Errorf("%s", ev.Raw)
	}
}

func TestWhateverAFindingHoldsIsValid(t *testing.T) {
	s := pagerdutytest.New(t)
	e := open(t, config(t, s.URL, func(c *Config) {
		c.Summary, c.Details, c.Throttle.Limit, c.Links.GrafanaURL = summarySentence, detailEvidence, 0, "https://g"
	}), nil)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(rapid.String().Draw(t, "s")+string(rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "b")), rapid.SampledFrom([]int{0, 1, 1, 3000}).Draw(t, "n"))
		})
		f := &finding.Finding{Time: rapid.Int64().Draw(t, "time")}
		f.ID, f.Group, f.RuleID, f.Title, f.Summary, f.Severity = text.Draw(t, "id"), text.Draw(t, "g"), text.Draw(t, "r"), text.Draw(t, "ti"), text.Draw(t, "su"), text.Draw(t, "se")
		f.Tenant, f.Server, f.Tool, f.PrincipalID, f.Remediation = text.Draw(t, "te"), text.Draw(t, "sv"), text.Draw(t, "to"), text.Draw(t, "p"), text.Draw(t, "re")
		f.Evidence, f.References = rapid.SliceOfN(text, 0, 40).Draw(t, "ev"), rapid.SliceOfN(text, 0, 3).Draw(t, "rf")
		ev := e.event(trigger, dedupKey(f), f)
		ev.RoutingKey = pagerdutytest.Key
		fits(ev)
		b, err := json.Marshal(ev)
		if err != nil || len(b) > maxPayload || !utf8.Valid(b) || len(ev.DedupKey) > maxDedup || ev.DedupKey == "" ||
			ev.Payload.Summary == "" || utf8.RuneCountInString(ev.Payload.Summary) > maxSummary || ev.Payload.Source == "" {
			t.Fatalf("%v, %d bytes, %+v", err, len(b), ev)
		}
		if y := time.Unix(0, f.Time).UTC(); f.Time > 0 {
			if _, err := time.Parse(time.RFC3339, ev.Payload.Timestamp); err != nil {
				t.Fatalf("%v: %s", y, ev.Payload.Timestamp)
			}
		}
	})
}

func TestRoutes(t *testing.T) {
	s := pagerdutytest.New(t)
	c := config(t, s.URL, func(c *Config) {
		c.Routes = []RouteConfig{
			{Name: "quiet", Tenants: []string{"test*"}, Nobody: true},
			{Name: "nights", Schedule: &Schedule{Zone: "Europe/Berlin", Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "18:00", To: "08:00"}, RoutingKey: keyFile(t, pagerdutytest.OtherKey(1))},
			{Name: "criticals", MinSeverity: "critical", Rules: []string{"tool_*"}, RoutingKey: keyFile(t, pagerdutytest.OtherKey(2))},
		}
	})
	e := open(t, c, nil)
	n := 0
	f := func(want string, edit func(*finding.Finding)) {
		t.Helper()
		n++
		x := raised(n, n, edit)
		for _, y := range []*finding.Finding{x, become(x, "resolved", 9)} {
			before := len(s.Events())
			if err := e.consume(context.Background(), batch(y)); err != nil {
				t.Fatal(err)
			}
			evs := s.Events()[before:]
			if want == "" {
				if len(evs) != 0 {
					t.Errorf("%d: somebody was paged", n)
				}
				continue
			}
			if len(evs) != 1 || evs[0].RoutingKey != want {
				t.Errorf("%d: %+v, want key %s", n, evs, want)
			}
		}
	}
	at := func(h int) func(*finding.Finding) {
		return func(f *finding.Finding) { f.Time = noon.Add(time.Duration(h) * time.Hour).UnixNano() }
	}
	f(pagerdutytest.Key, func(*finding.Finding) {})
	f("", func(f *finding.Finding) { f.Tenant = "test-eu" })
	f(pagerdutytest.OtherKey(1), at(6))  // Wednesday 19:00 in Berlin
	f(pagerdutytest.OtherKey(1), at(15)) // Thursday 04:00
	f(pagerdutytest.OtherKey(1), at(63)) // Saturday 04:00: Friday's night
	f(pagerdutytest.Key, at(84))         // Sunday 01:00: Saturday's
	f(pagerdutytest.Key, at(19))         // Thursday 08:00
	f(pagerdutytest.OtherKey(2), func(f *finding.Finding) { f.Severity = "critical" })
	f(pagerdutytest.Key, func(f *finding.Finding) { f.Severity, f.RuleID = "critical", "other" })
}

func TestStaleAndTraffic(t *testing.T) {
	s := pagerdutytest.New(t)
	e := open(t, config(t, s.URL, func(c *Config) {
		c.MaxAge = time.Hour
		c.Route.Records = nil
	}), nil)
	e.now = func() time.Time { return noon.Add(2 * time.Hour) }
	old, fresh := raised(1, 1), raised(2, 2, func(f *finding.Finding) { f.Time = noon.Add(90 * time.Minute).UnixNano() })
	ld := batch(old, become(old, "acknowledged", 7), fresh) // what did not page is not acknowledged either
	for _, x := range []struct{ name, action, target string }{{event.NameAudit, "server.approve", "files"}, {event.NameAudit, "store.query", "x"}, {event.NameRequest, "", ""}} {
		ev := event.Event{Name: x.name, Time: noon.Add(90 * time.Minute).UnixNano(), Body: "planted-body"}
		ev.ID, ev.Tenant, ev.AuditAction, ev.AuditTarget, ev.PrincipalID = hexID(77), "acme", x.action, x.target, "ann"
		ev.Encode(ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().AppendEmpty())
	}
	if err := e.consume(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	if got := actions(s); got != "trigger 3ea" {
		t.Errorf("sent %q", got)
	}
	if ch := s.Changes(); len(ch) != 1 || ch[0].Payload.Summary != "server.approve: files" || strings.Contains(ch[0].Raw, "planted") {
		t.Errorf("changes %+v", ch)
	}
	if err := e.consume(context.Background(), batch(become(fresh, "resolved", 8))); err != nil {
		t.Fatal(err)
	}
	if got := s.Alert(pagerdutytest.Key, dedupKey(fresh)).Status; got != "resolved" {
		t.Errorf("an old resolution was held back: %s", got)
	}
}

func TestStormBecomesADigest(t *testing.T) {
	run := func(order func(int) int) (alerts int, said any) {
		s := pagerdutytest.New(t)
		e := open(t, config(t, s.URL, func(c *Config) { c.Throttle = ThrottleConfig{Limit: 3, Window: 10 * time.Minute} }), nil)
		var last *finding.Finding
		for i := range 200 {
			last = raised(order(i), order(i), func(f *finding.Finding) { f.Time += int64(i) })
			for range 2 { // redelivered
				if err := e.consume(context.Background(), batch(last)); err != nil {
					t.Fatal(err)
				}
			}
		}
		before := len(s.Events())
		if err := e.consume(context.Background(), batch(become(last, "resolved", 3), raised(500, 500, func(f *finding.Finding) { f.Severity = "critical" }))); err != nil {
			t.Fatal(err)
		}
		if evs := s.Events()[before:]; len(evs) != 1 || evs[0].Action != trigger || evs[0].Payload.Severity != "critical" {
			t.Errorf("a storm of others hides a critical one: %+v", evs)
		}
		for _, ev := range s.Events() {
			if ev.Payload != nil && ev.Payload.Class == "digest" {
				said = ev.Payload.Details["findings"]
			}
		}
		return s.Alerts(), said
	}
	for _, order := range []func(int) int{func(i int) int { return i }, func(i int) int { return 199 - i }} {
		alerts, said := run(order)
		if n, _ := said.(float64); alerts != 5 || n < 160 || n > 197 {
			t.Errorf("%d alerts, the digest says %v of 197", alerts, said)
		}
	}
}

func TestAnswers(t *testing.T) {
	f := func(name string, fault pagerdutytest.Fault, times int, wantErr string, wantTriggers int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := pagerdutytest.New(t, func(s *pagerdutytest.Server) {
				s.Fault = func(n int, _ *pagerdutytest.Event) pagerdutytest.Fault {
					if n <= times {
						return fault
					}
					return pagerdutytest.Fault{}
				}
			})
			e := open(t, config(t, s.URL), nil)
			err := e.consume(context.Background(), batch(raised(1, 1)))
			got := ""
			if err != nil {
				got = streams.Reason(err)
				if streams.Permanent(err) {
					got = "permanent " + got
				}
				if strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), pagerdutytest.Key) {
					t.Errorf("content or key in %v", err)
				}
			}
			if got != wantErr {
				t.Errorf("%q, want %q (%v)", got, wantErr, err)
			}
			if n := s.Alert(pagerdutytest.Key, dedupKey(raised(1, 1))).Triggers; n != wantTriggers {
				t.Errorf("%d triggers, want %d", n, wantTriggers)
			}
		})
	}
	F := func(status int) pagerdutytest.Fault { return pagerdutytest.Fault{Status: status} }
	f("429", F(429), 3, "", 1)
	f("429 with Retry-After 0", pagerdutytest.Fault{Status: 429, RetryAfter: "0"}, 1, "", 1)
	f("429 for long", F(429), 1<<30, "http_429", 0)
	f("429 with a long Retry-After", pagerdutytest.Fault{Status: 429, RetryAfter: "60"}, 1, "http_429", 0)
	f("408", F(408), 1, "", 1)
	f("500", F(500), 2, "", 1)
	f("503 for long", F(503), 1<<30, "http_503", 0)
	f("reset", pagerdutytest.Fault{Reset: true}, 2, "", 1)
	f("taken, then reset", pagerdutytest.Fault{ResetAfter: true}, 1, "", 2)
	f("page of a proxy", pagerdutytest.Fault{Page: true}, 1, "not_pagerduty", 0)
	f("403", F(403), 1, "not_pagerduty", 0)
	f("redirection", F(307), 1, "not_pagerduty", 0)
	f("400", F(400), 1, "permanent pagerduty_400", 0)
	f("413", F(413), 1, "permanent pagerduty_413", 0)
}

// A key that was rotated holds its findings, and they come when its file has the new one.
func TestKeyIsRotated(t *testing.T) {
	s := pagerdutytest.New(t)
	path := filepath.Join(t.TempDir(), "key")
	write := func(key string) {
		if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Repeat("x", 32))
	e := open(t, config(t, s.URL, func(c *Config) { c.RoutingKey = sink.Secret{File: path} }), nil)
	if err := e.consume(context.Background(), batch(raised(1, 1))); streams.Reason(err) != "pagerduty_routing_key" || streams.Permanent(err) {
		t.Errorf("wrong key: %v", err)
	}
	write(pagerdutytest.Key)
	if err := e.consume(context.Background(), batch(raised(1, 1))); err != nil || actions(s) != "trigger 3e9" {
		t.Errorf("%v, %s", err, actions(s))
	}
}

// A key that is throttled does not hold back the findings of others, and nothing of an incident overtakes what failed before it.
func TestOneKeyFails(t *testing.T) {
	var down = true
	s := pagerdutytest.New(t, func(s *pagerdutytest.Server) {
		s.Fault = func(_ int, e *pagerdutytest.Event) pagerdutytest.Fault {
			if down && e.RoutingKey == pagerdutytest.OtherKey(1) {
				return pagerdutytest.Fault{Status: 429}
			}
			return pagerdutytest.Fault{}
		}
	})
	e := open(t, config(t, s.URL, func(c *Config) {
		c.Routes = []RouteConfig{{Name: "globex", Tenants: []string{"globex"}, RoutingKey: keyFile(t, pagerdutytest.OtherKey(1))}}
		c.Retry.MaxElapsed = 20 * time.Millisecond
	}), nil)
	theirs := raised(1, 1, func(f *finding.Finding) { f.Tenant = "globex" })
	ld := batch(theirs, raised(2, 2), become(theirs, "resolved", 4), raised(3, 3))
	if err := e.consume(context.Background(), ld); err == nil || streams.Permanent(err) {
		t.Fatal(err)
	}
	if got := actions(s); got != "trigger 3ea, trigger 3eb" {
		t.Errorf("sent %q", got)
	}
	down = false
	if err := e.consume(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	if got := actions(s); got != "trigger 3ea, trigger 3eb, trigger 3e9, resolve 3e9" {
		t.Errorf("sent %q", got)
	}
}

func TestConfig(t *testing.T) {
	f := func(want string, kv map[string]any) {
		t.Helper()
		c := newDefaultConfig()
		err := confmap.NewFromStringMap(kv).Unmarshal(c)
		if err == nil {
			err = c.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", kv, err, want)
		}
	}
	type m = map[string]any
	key := m{"env": "K"}
	f("", m{"routing_key": key})
	f("routing_key", m{})
	f("region", m{"routing_key": key, "region": "mars"})
	f("endpoint", m{"routing_key": key, "endpoint": "https://u:p@h"})
	f("grafana_url", m{"routing_key": key, "links": m{"grafana_url": "x"}})
	f("name must be given", m{"routes": []any{m{"routing_key": key}}})
	f("exclude each other", m{"routes": []any{m{"name": "a", "nobody": true, "routing_key": key}}})
	f("zone", m{"routes": []any{m{"name": "a", "routing_key": key, "schedule": m{"zone": "Mars/Olympus"}}}})
	f("days", m{"routes": []any{m{"name": "a", "routing_key": key, "schedule": m{"days": []any{"someday"}}}}})
	f("from and to", m{"routes": []any{m{"name": "a", "routing_key": key, "schedule": m{"from": "25:00"}}}})
	f("min_severity", m{"routes": []any{m{"name": "a", "routing_key": key, "min_severity": "x"}}})
	f("status is needed", m{"routing_key": key, "route": m{"fields": m{"drop": []any{"status"}}}})
	f("throttle", m{"routing_key": key, "throttle": m{"limit": 3, "window": "1ms"}})
	f("state.bucket", m{"routing_key": key, "state": m{"bucket": "a b"}})
	f("unknown", m{"routing_key": key, "unknown": 1})

	c := config(t, "http://127.0.0.1:1", func(c *Config) { c.RoutingKey = keyFile(t, "short") })
	e, err := newExporter(settings(t), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "32 characters") || strings.Contains(err.Error(), "short") {
		t.Errorf("start with a wrong key: %v", err)
	}
}
