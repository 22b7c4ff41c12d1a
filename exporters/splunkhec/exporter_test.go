package splunkhec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/mcpsiem/mcpsiem/exporters/splunkhec/hectest"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type rig struct {
	*sinktest.Rig
	cfg *Config
}

func config(t testing.TB, endpoint string, edit ...func(*Config)) *Config {
	t.Helper()
	cfg := newDefaultConfig()
	cfg.Endpoint = endpoint
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(hectest.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Token = sink.Secret{File: token}
	cfg.Connections = 2
	cfg.Timeout = 2 * time.Second
	cfg.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 5 * time.Millisecond, MaxElapsed: 2 * time.Second}
	cfg.Ack = AckConfig{Mode: ackAuto, PollInterval: 5 * time.Millisecond, Timeout: 150 * time.Millisecond}
	cfg.HealthCheck.Enabled = false
	for _, f := range edit {
		f(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func start(t testing.TB, endpoint string, edit ...func(*Config)) *rig {
	t.Helper()
	cfg := config(t, endpoint, edit...)
	return &rig{sinktest.Start(t, NewFactory(), cfg, hectest.Token), cfg}
}

func TestDelivery(t *testing.T) {
	f := func(name string, server func(*hectest.Server), edit func(*Config)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := hectest.New(t, func(s *hectest.Server) {
				if server != nil {
					server(s)
				}
			})
			r := start(t, s.URL, func(c *Config) {
				if edit != nil {
					edit(c)
				}
			})
			if err := r.Send(sinktest.Events(0, 50), false); err != nil {
				t.Fatal(err)
			}
			sinktest.Exactly(t, s.Counts(), sinktest.Each(50, 1))
			e := s.Events()[0]
			if e.SourceType != "mcpsiem:event" || e.Source != "mcpsiem" || e.Host != "laptop-7" {
				t.Errorf("envelope %+v", e)
			}
			if got := fmt.Sprint(e.Event["time"]); got != "1.800000000123456e+09" {
				t.Errorf("time %s", got)
			}
		})
	}
	f("plain", nil, func(c *Config) { c.Compression = plain })
	f("gzip", nil, nil)
	f("raw", nil, func(c *Config) { c.Raw = true })
	f("small requests", nil, func(c *Config) { c.MaxContentLength, c.MaxEventBytes = 64<<10, 16<<10 })
	f("path", nil, func(c *Config) { c.Endpoint += "/" })
	f("acknowledged", func(s *hectest.Server) { s.Ack = true; s.AckDelay = 2 }, nil)
	f("acknowledged, raw", func(s *hectest.Server) { s.Ack = true }, func(c *Config) { c.Raw = true })
	f("no ackId although asked", func(s *hectest.Server) {
		s.Ack = true
		s.Fault = func(int, *http.Request) hectest.Fault { return hectest.Fault{NoAckID: true} }
	}, nil)
	f("no channel", nil, func(c *Config) { c.Ack.Mode = ackOff })
	f("cookie of a load balancer", func(s *hectest.Server) { s.Ack = true; s.Cookie = "AWSALB" }, nil)
	f("413", func(s *hectest.Server) { s.MaxContent = 5000 }, func(c *Config) { c.Compression = plain })
	f("busy, then not", func(s *hectest.Server) {
		s.Fault = func(n int, _ *http.Request) hectest.Fault {
			if n < 4 {
				return hectest.Fault{Code: []int{9, 26, 8}[n-1]}
			}
			return hectest.Fault{}
		}
	}, nil)
	f("invalid channel, then another", func(s *hectest.Server) {
		s.Fault = func(n int, r *http.Request) hectest.Fault {
			if n == 1 {
				return hectest.Fault{Code: 11}
			}
			return hectest.Fault{}
		}
	}, nil)
	f("acknowledgement is disabled", func(s *hectest.Server) {
		s.Fault = func(_ int, r *http.Request) hectest.Fault {
			if r.Header.Get(headerChannel) != "" {
				return hectest.Fault{Code: 14}
			}
			return hectest.Fault{}
		}
	}, nil)
	f("acknowledgement is turned off meanwhile", func(s *hectest.Server) {
		s.Ack = true
		s.AckFault = func(int) hectest.Fault { return hectest.Fault{Code: 14} }
	}, nil)
	f("questions fail", func(s *hectest.Server) {
		s.Ack = true
		s.AckFault = func(n int) hectest.Fault {
			switch n {
			case 1:
				return hectest.Fault{Reset: true}
			case 2:
				return hectest.Fault{Code: 19}
			case 3:
				return hectest.Fault{HTTP: 502}
			}
			return hectest.Fault{}
		}
	}, nil)
	f("slow", func(s *hectest.Server) {
		s.Fault = func(int, *http.Request) hectest.Fault { return hectest.Fault{Delay: 100 * time.Millisecond} }
	}, nil)
}

// Every code of HEC, and what else may answer: what becomes of the batch and of its repetition.
func TestCodes(t *testing.T) {
	const (
		transient = "transient"
		permanent = "permanent"
		taken     = "taken"
	)
	f := func(name string, fault hectest.Fault, want, reason string, edit ...func(*Config)) {
		t.Helper()
		s := hectest.New(t, func(s *hectest.Server) {
			s.Fault = func(int, *http.Request) hectest.Fault { return fault }
		})
		r := start(t, s.URL, edit...)
		r.cfg.Timeout, r.cfg.Retry.MaxElapsed = time.Second, 20*time.Millisecond
		err := r.Send(sinktest.Events(0, 1), false)
		got := taken
		switch {
		case err != nil && streams.Permanent(err):
			got = permanent
		case err != nil:
			got = transient
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, want)
			return
		}
		if err != nil && streams.Reason(err) != reason && want == permanent {
			t.Errorf("%s: reason %q, want %q", name, streams.Reason(err), reason)
		}
	}
	for code := 1; code <= 27; code++ {
		name := fmt.Sprint("code ", code)
		fault := hectest.Fault{Code: code}
		switch code {
		case 5, 6, 12, 13, 15:
			f(name, fault, permanent, fmt.Sprint("hec_", code))
		case 1, 2, 3, 4, 7, 10, 16, 21, 22:
			f(name, fault, transient, "")
			f(name+", dead letter", fault, permanent, fmt.Sprint("hec_", code), func(c *Config) { c.OnMisconfigured = deadLetter })
		default: // 17 is healthy, which is no answer to events
			f(name, fault, transient, "")
		}
	}
	for _, status := range []int{301, 302, 307, 308, 401, 403, 404, 405, 408, 429, 500, 502, 503, 504} {
		f(fmt.Sprint("HTTP ", status), hectest.Fault{HTTP: status}, transient, "")
	}
	f("413 for one event", hectest.Fault{HTTP: 413}, permanent, "http_413")
	f("400 of a proxy", hectest.Fault{HTTP: 400}, transient, "")
	f("200 of a proxy", hectest.Fault{Page: true}, transient, "")
	f("hang", hectest.Fault{Hang: true}, transient, "")
	f("reset", hectest.Fault{Reset: true}, transient, "")
	f("success", hectest.Fault{}, taken, "")
}

func TestRetryAfterHoldsEverybodyBack(t *testing.T) {
	var mu sync.Mutex
	var at []time.Time
	s := hectest.New(t, func(s *hectest.Server) {
		s.Fault = func(n int, _ *http.Request) hectest.Fault {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			if n == 1 {
				return hectest.Fault{Code: 26, RetryAfter: "1"}
			}
			return hectest.Fault{}
		}
	})
	r := start(t, s.URL, func(c *Config) { c.Retry.MaxElapsed = 5 * time.Second })
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Exporter.ConsumeLogs(context.Background(), sinktest.Events(0, 3)); err != nil {
			t.Error(err)
		}
	})
	for seen := 0; seen == 0; time.Sleep(time.Millisecond) {
		mu.Lock()
		seen = len(at)
		mu.Unlock()
	}
	time.Sleep(400 * time.Millisecond) // the answer is there
	wg.Go(func() {
		if err := r.Exporter.ConsumeLogs(context.Background(), sinktest.Events(3, 3)); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	for i, x := range at[1:] {
		if d := x.Sub(at[0]); d < 950*time.Millisecond {
			t.Errorf("request %d came %v after Splunk asked for a second", i+2, d)
		}
	}
	sinktest.Exactly(t, s.Counts(), sinktest.Each(6, 1))
}

// rest returns the ids of the records that a permanent error carries.
func rest(t *testing.T, err error) []string {
	t.Helper()
	var part consumererror.Logs
	if !streams.Permanent(err) || !errors.As(err, &part) {
		t.Fatalf("%v is not a permanent error with records", err)
	}
	var out []string
	f, _ := (&sink.Route{}).Compile()
	for rec := range sink.NewReader(f, nil).Read(context.Background(), part.Data()) {
		out = append(out, rec.Key())
	}
	return out
}

func TestBadEventsAlone(t *testing.T) {
	bad := []string{sinktest.ID(0), sinktest.ID(7), sinktest.ID(8), sinktest.ID(19)}
	f := func(name string, edit func(*hectest.Server), cfg ...func(*Config)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := hectest.New(t, func(s *hectest.Server) {
				s.Refuse = func(e *hectest.Event) int {
					if slices.Contains(bad, e.ID()) {
						return 6
					}
					return 0
				}
				edit(s)
			})
			r := start(t, s.URL, cfg...)
			err := r.Send(sinktest.Events(0, 20), false)
			got := rest(t, err)
			slices.Sort(got)
			if !slices.Equal(got, bad) {
				t.Errorf("refused %v, want %v", got, bad)
			}
			if streams.Reason(err) != "hec_6" {
				t.Errorf("reason %q", streams.Reason(err))
			}
			w := sinktest.Each(20, 1)
			for _, b := range bad {
				delete(w, b)
			}
			sinktest.Exactly(t, s.Counts(), w)
		})
	}
	f("with its number", func(*hectest.Server) {})
	f("without a number", func(s *hectest.Server) { s.HideNumber = true })
	f("with a wrong number", func(s *hectest.Server) { s.WrongNumber = true })
	f("acknowledged", func(s *hectest.Server) { s.Ack = true })
}

func TestOneIndexDoesNotSpoilTheOthers(t *testing.T) {
	s := hectest.New(t, func(s *hectest.Server) { s.Indexes = []string{"mcp", "mcp_acme"}; s.Tokens["second"] = true })
	t.Setenv("SPLUNKHEC_SECOND", "second")
	r := start(t, s.URL, func(c *Config) {
		c.Index = "mcp"
		c.Targets = []Target{
			{Tenants: []string{"wrong"}, Index: "nowhere"},
			{Tenants: []string{"ac*"}, Records: []sink.Kind{sink.KindEvent}, Index: "mcp_acme", Token: sink.Secret{Env: "SPLUNKHEC_SECOND"}},
		}
	})
	tenants := []string{"wrong", "acme", "other"}
	ld := sinktest.Events(0, 9, func(i int, e *event.Event) { e.Tenant = tenants[i%3] })
	err := r.Send(ld, false)
	if err == nil || streams.Permanent(err) {
		t.Fatalf("%v", err)
	}
	for _, e := range s.Events() {
		index, token := "mcp", hectest.Token
		if e.Event["tenant"] == "acme" {
			index, token = "mcp_acme", "second"
		}
		if e.Index != index || e.Token != token {
			t.Errorf("%v is in %s with token %s", e.Event["tenant"], e.Index, e.Token)
		}
	}
	if n := len(s.Events()); n != 6 {
		t.Fatalf("%d events, want 6", n)
	}
	s.Indexes = append(s.Indexes, "nowhere")
	if err := r.Send(ld, true); err != nil {
		t.Fatal(err)
	}
	sinktest.Exactly(t, s.Counts(), sinktest.Each(9, 1)) // the redelivery brought the missing ones only
}

func TestAcknowledgements(t *testing.T) {
	f := func(name string, fault hectest.Fault, again int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := hectest.New(t, func(s *hectest.Server) {
				s.Ack = true
				s.Fault = func(n int, _ *http.Request) hectest.Fault {
					if n == 2 {
						return fault
					}
					return hectest.Fault{}
				}
			})
			r := start(t, s.URL, func(c *Config) {
				c.MaxContentLength, c.MaxEventBytes = 64<<10, 16<<10
				c.Ack.Timeout = time.Second
			})
			ld := sinktest.Events(0, 250) // three requests
			if err := r.Send(ld, false); err == nil || streams.Permanent(err) {
				t.Fatalf("%v: what Splunk did not acknowledge must come again", err)
			}
			reqs := s.Requests()
			if len(reqs) < 3 {
				t.Fatalf("%d requests", len(reqs))
			}
			first := reqs[0].Channel
			if err := r.Send(ld, true); err != nil {
				t.Fatal(err)
			}
			reqs = s.Requests()
			if last := reqs[len(reqs)-1]; last.Channel == first || last.Events != reqs[1].Events {
				t.Errorf("sent again: %+v; want the %d events of the lost request over another channel than %s", last, reqs[1].Events, first)
			}
			got := s.Counts()
			once, twice := 0, 0
			for i := range 250 {
				switch got[sinktest.ID(i)] {
				case 1:
					once++
				case 2:
					twice++
				default:
					t.Errorf("event %d is there %d times", i, got[sinktest.ID(i)])
				}
			}
			if twice != again*reqs[1].Events {
				t.Errorf("%d events twice", twice)
			}
		})
	}
	f("lost after it was indexed", hectest.Fault{AckLost: true}, 1)
	f("never, since it was not indexed", hectest.Fault{AckNever: true}, 0)
}

func TestCancelledWhileWaiting(t *testing.T) {
	s := hectest.New(t, func(s *hectest.Server) {
		s.Ack = true
		s.Fault = func(int, *http.Request) hectest.Fault { return hectest.Fault{AckNever: true} }
	})
	r := start(t, s.URL, func(c *Config) { c.Ack.Timeout = time.Hour })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.Exporter.ConsumeLogs(ctx, sinktest.Events(0, 1)); !errors.Is(err, context.DeadlineExceeded) || streams.Permanent(err) {
		t.Fatal(err)
	}
}

func TestTooLargeEvents(t *testing.T) {
	s := hectest.New(t)
	r := start(t, s.URL, func(c *Config) { c.MaxEventBytes = 16 << 10 })
	ld := sinktest.Events(0, 3, func(i int, e *event.Event) {
		switch i {
		case 1:
			e.Body = `{"x":"` + strings.Repeat("y", 20<<10) + `"}`
		case 2:
			e.Anomalies = []string{strings.Repeat("z", 20<<10)}
		}
	})
	if got := rest(t, r.Send(ld, false)); !slices.Equal(got, []string{sinktest.ID(2)}) {
		t.Errorf("refused %v", got)
	}
	sinktest.Exactly(t, s.Counts(), sinktest.Each(2, 1))
	if e := s.Events()[1]; e.Event["message"] != nil || e.Event["message_omitted"] != "too_large" {
		t.Errorf("%v", e.Event)
	}
}

func TestHealthCheck(t *testing.T) {
	gone := hectest.New(t)
	gone.Close()
	f := func(name string, wantErr string, endpoint func(*hectest.Server) string, edit func(*hectest.Server), cfg ...func(*Config)) {
		t.Helper()
		s := hectest.New(t, func(s *hectest.Server) {
			if edit != nil {
				edit(s)
			}
		})
		url := s.URL
		if endpoint != nil {
			url = endpoint(s)
		}
		c := config(t, url, append(cfg, func(c *Config) {
			c.HealthCheck = HealthConfig{Enabled: true, Required: true, Timeout: 10 * time.Second}
		})...)
		exp, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(Type), c)
		if err != nil {
			t.Fatal(err)
		}
		err = exp.Start(context.Background(), componenttest.NewNopHost())
		if (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: %v, want %q", name, err, wantErr)
		}
		if err != nil {
			sinktest.Clean(t, err.Error(), hectest.Token)
		}
		if err := exp.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if n := len(s.Events()); n != 0 {
			t.Errorf("%s: the check made %d events", name, n)
		}
	}
	f("healthy", "", nil, nil)
	f("acknowledging", "", nil, func(s *hectest.Server) { s.Ack = true })
	f("unknown token", "does not know the token", nil, func(s *hectest.Server) { s.Tokens = nil })
	f("disabled token", "token is disabled", nil, func(s *hectest.Server) { s.Tokens[hectest.Token] = false })
	f("not HEC", "8088", func(s *hectest.Server) string { return s.URL + "/en-US" }, nil)
	f("nobody there", "cannot reach Splunk", func(*hectest.Server) string { return gone.URL }, nil)
	f("https to an http port", "cannot reach Splunk", func(s *hectest.Server) string { return strings.Replace(s.URL, "http:", "https:", 1) }, nil)
	f("no token file", "cannot read a secret", nil, nil, func(c *Config) { c.Token = sink.Secret{File: "/nonexistent/token"} })
	f("second token", "targets[0]", nil, nil, func(c *Config) {
		t.Setenv("SPLUNKHEC_WRONG", "wrong")
		c.Targets = []Target{{Tenants: []string{"a"}, Token: sink.Secret{Env: "SPLUNKHEC_WRONG"}}}
	})
}

func TestTLS(t *testing.T) {
	s := hectest.NewUnstarted()
	srv := newTLSServer(t, s)
	r := start(t, srv.URL, func(c *Config) { c.TLS = &configtls.ClientConfig{InsecureSkipVerify: true} })
	if err := r.Send(sinktest.Events(0, 2), false); err != nil {
		t.Fatal(err)
	}
	r = start(t, srv.URL)
	err := r.Send(sinktest.Events(2, 2), false)
	if err == nil || streams.Permanent(err) || !strings.Contains(err.Error(), "certificate is not trusted") {
		t.Fatal(err)
	}
	sinktest.Exactly(t, s.Counts(), sinktest.Each(2, 1))
}

func TestTokenIsReadAnew(t *testing.T) {
	s := hectest.New(t, func(s *hectest.Server) { s.Tokens = map[string]bool{"rotated": true} })
	r := start(t, s.URL)
	if err := r.Send(sinktest.Events(0, 1), false); err == nil || streams.Permanent(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.cfg.Token.File, []byte("rotated"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Send(sinktest.Events(0, 1), true); err != nil {
		t.Fatal(err)
	}
	sinktest.Exactly(t, s.Counts(), sinktest.Each(1, 1))
}

func TestKindsOfRecords(t *testing.T) {
	s := hectest.New(t)
	r := start(t, s.URL)
	ld := sinktest.Events(0, 1, func(_ int, e *event.Event) { e.Body = "not JSON\n\"}{" })
	lrs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	fi := finding.Finding{Time: 1_800_000_000_000_000_000}
	fi.ID, fi.Tenant, fi.Severity, fi.RuleID, fi.Summary, fi.EventIDs, fi.Why = "f1", "acme", "high", "budget", "spent", []string{"a", "b"}, map[string]string{"b": "2", "a": "1"}
	fi.Encode(lrs.AppendEmpty())
	fi.Revision, fi.Status = 5, "resolved"
	fi.Encode(lrs.AppendEmpty())
	audit := event.Event{Name: event.NameAudit, Time: 1}
	audit.ID, audit.AuditAction = "a1", "key.rotate"
	audit.Encode(lrs.AppendEmpty())
	if err := r.Send(ld, false); err != nil {
		t.Fatal(err)
	}
	evs := s.Events()
	var got []string
	for _, e := range evs {
		got = append(got, e.SourceType+" "+e.ID())
	}
	if w := []string{"mcpsiem:event " + sinktest.ID(0), "mcpsiem:finding f1", "mcpsiem:finding f1-5", "mcpsiem:audit a1"}; !slices.Equal(got, w) {
		t.Fatalf("%q, want %q", got, w)
	}
	if m := evs[0].Event["message"]; m != "not JSON\n\"}{" {
		t.Errorf("message %v", m)
	}
	if m := evs[1].Fields; m["mcp_finding_id"] != "f1" || m["mcp_severity"] != "high" || m["mcp_revision"] != nil {
		t.Errorf("indexed %v", m)
	}
	if m := evs[2].Fields; m["mcp_revision"] != "5" || evs[2].Event["status"] != "resolved" {
		t.Errorf("indexed %v", m)
	}
	if !bytes.Contains(evs[1].RawEvent, []byte(`"why":{"a":"1","b":"2"}`)) {
		t.Errorf("%s", evs[1].RawEvent)
	}
}

func TestConfigValidate(t *testing.T) {
	f := func(name string, edit func(*Config), want string) {
		t.Helper()
		c := newDefaultConfig()
		c.Endpoint, c.Token = "https://s:8088", sink.Secret{Env: "X"}
		edit(c)
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	f("fine", func(*Config) {}, "")
	f("no endpoint", func(c *Config) { c.Endpoint = "" }, "base URL")
	f("host and port", func(c *Config) { c.Endpoint = "s:8088" }, "base URL")
	f("with a path of HEC", func(c *Config) { c.Endpoint += "/services/collector" }, "without /services/collector")
	f("with credentials", func(c *Config) { c.Endpoint = "https://u:p@s:8088" }, "no credentials")
	f("no token", func(c *Config) { c.Token = sink.Secret{} }, "token: say where")
	f("target of nothing", func(c *Config) { c.Targets = []Target{{Tenants: []string{"a"}}} }, "targets[0] changes nothing")
	f("target's token", func(c *Config) { c.Targets = []Target{{Token: sink.Secret{Env: "a", File: "b"}}} }, "targets[0].token")
	f("message", func(c *Config) { c.Message = "xml" }, "message must be one of")
	f("compression", func(c *Config) { c.Compression = "zstd" }, "compression must be one of")
	f("indexed", func(c *Config) { c.IndexedFields = []string{"evnt_id"} }, "evnt_id")
	f("sizes", func(c *Config) { c.MaxEventBytes = 2 << 20 }, "max_event_bytes")
	f("route", func(c *Config) { c.Route.MinSeverity = "bad" }, "route: min_severity")
	f("retry", func(c *Config) { c.Retry.Initial = 0 }, "retry")
	c := newDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{
		"endpoint": "https://s:8088", "token": map[string]any{"env": "X"}, "route": map[string]any{"min_severity": "high"},
		"ack": map[string]any{"timeout": "1m"}, "targets": []any{map[string]any{"tenants": []any{"a"}, "index": "i"}},
	}).Unmarshal(c); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil || c.Ack.PollInterval != 5*time.Second || c.Route.MinSeverity != "high" || c.Targets[0].Index != "i" {
		t.Errorf("%v %+v", err, c)
	}
}

func TestEveryCodeOfTheDoubleIsKnown(t *testing.T) {
	for code := 0; code <= 27; code++ {
		if _, ok := codes[code]; !ok {
			t.Errorf("code %d has no entry", code)
		}
	}
	b, _ := json.Marshal(EmittedFields())
	if !bytes.Contains(b, []byte("event_id")) {
		t.Error("no event_id")
	}
}
