package elastic

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/exporters/elastic/elastictest"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const secret = sinktest.Content

type rig struct {
	*sinktest.Rig
	cfg *Config
}

func config(t testing.TB, endpoint string, edit ...func(*Config)) *Config {
	t.Helper()
	cfg := newDefaultConfig()
	cfg.Endpoints = []string{endpoint}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(elastictest.APIKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Auth.APIKey = sink.Secret{File: key}
	cfg.Connections = 2
	cfg.Timeout = 2 * time.Second
	cfg.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 5 * time.Millisecond, MaxElapsed: 2 * time.Second}
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
	return &rig{sinktest.Start(t, NewFactory(), cfg, elastictest.APIKey), cfg}
}

func findings(fs ...finding.Finding) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range fs {
		fs[i].Encode(lrs.AppendEmpty())
	}
	return ld
}

func TestDelivers(t *testing.T) {
	f := func(name string, server func(*elastictest.Server), edit func(*Config)) {
		t.Run(name, func(t *testing.T) {
			s := elastictest.New(t, server)
			r := start(t, s.URL, edit)
			if err := r.Send(sinktest.Events(0, 50), false); err != nil {
				t.Fatal(err)
			}
			sinktest.Exactly(t, s.Counts(), sinktest.Each(50, 1))
			d := s.Docs()[0]
			if d.Index != ".ds-logs-mcpsiem.event-default-2026.11.22-000001" || d.Source["@timestamp"] != "2027-01-15T08:00:00.123456789Z" {
				t.Errorf("%s at %v", d.Index, d.Source["@timestamp"])
			}
		})
	}
	none := func(*elastictest.Server) {}
	same := func(*Config) {}
	f("elasticsearch", none, same)
	f("plain", none, func(c *Config) { c.Compression = plain })
	f("elasticsearch 8", func(s *elastictest.Server) { s.Number = "8.19.2" }, same)
	f("serverless", func(s *elastictest.Server) { s.Flavour = "serverless" }, same)
	f("opensearch", func(s *elastictest.Server) { s.Flavour, s.Number = "opensearch", "3.1.0" }, same)
	f("opensearch that does not tell", func(s *elastictest.Server) { s.Flavour, s.Silent = "opensearch", true }, same)
	f("a key that may only write", func(s *elastictest.Server) { s.Silent, s.WriteOnly = true, true }, same)
	f("no credential", func(s *elastictest.Server) { s.Open = true }, func(c *Config) { c.Auth = Auth{Anonymous: true} })
	f("user and password", none, func(c *Config) { c.Auth = Auth{Username: "writer", Password: c.Auth.APIKey} })
	f("small requests", func(s *elastictest.Server) { s.MaxContent = 4000 }, func(c *Config) { c.Compression = plain })
}

func TestStreamsAndIDs(t *testing.T) {
	s := elastictest.New(t)
	r := start(t, s.URL, func(c *Config) { c.Namespaces = []Namespace{{Tenants: []string{"glob*"}, Namespace: "other"}} })
	ld := sinktest.Events(0, 3, func(i int, e *event.Event) {
		switch i {
		case 1:
			e.Tenant = "globex"
		case 2:
			e.Name, e.Kind, e.AuditAction = event.NameAudit, event.KindRecord, "rules.change"
		}
	})
	if err := r.Send(ld, false); err != nil {
		t.Fatal(err)
	}
	fi := finding.Finding{Time: 5}
	fi.ID = "f1"
	again := fi
	again.Revision = 9
	if err := r.Send(findings(fi, again, fi), false); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range s.Docs() {
		ds := d.Source["data_stream"].(map[string]any)
		got[d.ID] = fmt.Sprintf("%s-%s-%s %v", ds["type"], ds["dataset"], ds["namespace"], d.Source["event"].(map[string]any)["kind"])
		if !strings.HasPrefix(d.Index, ".ds-"+strings.Fields(got[d.ID])[0]) {
			t.Errorf("%s is in %s", got[d.ID], d.Index)
		}
	}
	want := map[string]string{
		sinktest.ID(0): "logs-mcpsiem.event-default event", sinktest.ID(1): "logs-mcpsiem.event-other event", sinktest.ID(2): "logs-mcpsiem.audit-default event",
		"f1": "logs-mcpsiem.finding-default alert", "f1-9": "logs-mcpsiem.finding-default alert",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// Whatever goes wrong on the way, everything is there once.
func TestFaultsOfRequests(t *testing.T) {
	f := func(name string, edit func(*Config), faults ...elastictest.Fault) {
		t.Run(name, func(t *testing.T) {
			s := elastictest.New(t, func(s *elastictest.Server) {
				s.Fault = func(n int, _ *http.Request) elastictest.Fault {
					if n <= len(faults) {
						return faults[n-1]
					}
					return elastictest.Fault{}
				}
			})
			r := start(t, s.URL, func(c *Config) { c.Timeout = 100 * time.Millisecond }, edit)
			if err := r.Send(sinktest.Events(0, 20), false); err != nil {
				t.Fatal(err)
			}
			sinktest.Exactly(t, s.Counts(), sinktest.Each(20, 1))
			if n := len(s.Paths()); n <= len(faults)+2 { // what is there and the template are asked for as well
				t.Errorf("only %d requests: %q", n, s.Paths())
			}
		})
	}
	same := func(*Config) {}
	type F = elastictest.Fault
	f("429", same, F{HTTP: 429}, F{HTTP: 429, RetryAfter: "0"})
	f("429 of the cluster", same, F{HTTP: 429, Type: "es_rejected_execution_exception"})
	f("502, 503, 504", same, F{HTTP: 502}, F{HTTP: 503}, F{HTTP: 504})
	f("500 and 408", same, F{HTTP: 500}, F{HTTP: 408})
	f("cluster blocked", same, F{HTTP: 403, Type: "cluster_block_exception"})
	f("hang", same, F{Hang: true})
	f("reset", same, F{Reset: true})
	f("reset after it was stored", same, F{ResetAfter: true})
	f("reset within the answer", same, F{HalfAnswer: true})
	f("half stored", same, F{Half: true})
	f("an item is missing", same, F{ItemsShort: true})
	f("413", same, F{HTTP: 413}, F{HTTP: 413})
	f("413 with gzip off", func(c *Config) { c.Compression = plain }, F{HTTP: 413})
	f("a bad request that is none", same, F{HTTP: 400, Type: "x_content_parse_exception"})
}

func TestFaultsOfDocuments(t *testing.T) {
	type I = elastictest.Item
	f := func(name string, tries int, item I, wantReason string, edit func(*Config)) {
		t.Run(name, func(t *testing.T) {
			seen := map[string]int{}
			s := elastictest.New(t, func(s *elastictest.Server) {
				s.Refuse = func(id string, _ map[string]any) I {
					if id != "00000000000000000000000000000003" {
						return I{}
					}
					if seen[id]++; tries > 0 && seen[id] > tries {
						return I{}
					}
					return item
				}
			})
			r := start(t, s.URL, edit)
			err := r.Send(sinktest.Events(0, 10), false)
			want := sinktest.Each(10, 1)
			if wantReason == "" {
				if err != nil {
					t.Fatal(err)
				}
				sinktest.Exactly(t, s.Counts(), want)
				if want := tries + 1; tries > 0 && !item.After && s.Bulks() != want {
					t.Errorf("%d requests, want %d", s.Bulks(), want)
				}
				return
			}
			delete(want, sinktest.ID(3))
			sinktest.Exactly(t, s.Counts(), want)
			if got := sinktest.Refused(t, err); !slices.Equal(got, []string{sinktest.ID(3)}) || streams.Reason(err) != wantReason {
				t.Errorf("dead letter %v, reason %s", got, streams.Reason(err))
			}
		})
	}
	same := func(*Config) {}
	f("429", 2, I{Status: 429, Type: "es_rejected_execution_exception"}, "", same)
	f("429 of an unknown type", 2, I{Status: 429, Type: secret}, "", same)
	f("503", 2, I{Status: 503, Type: "unavailable_shards_exception"}, "", same)
	f("stored, and the answer lost", 1, I{Status: 503, Type: "process_cluster_event_timeout_exception", After: true}, "", same)
	f("blocked", 1, I{Status: 403, Type: "cluster_block_exception"}, "", same)
	f("mapping", 0, I{Status: 400, Type: "document_parsing_exception"}, "document_parsing_exception", same)
	f("mapping, OpenSearch", 0, I{Status: 400, Type: "mapper_parsing_exception"}, "mapper_parsing_exception", same)
	f("an unknown type", 0, I{Status: 400, Type: secret}, "http_400", same)
	f("failure store", 0, I{FailureStore: "used"}, "failure_store", same)
	f("failure store failed", 0, I{Status: 400, FailureStore: "failed", Type: "illegal_argument_exception"}, "illegal_argument_exception", same)
	f("no data stream", 0, I{Status: 404, Type: "index_not_found_exception"}, "index_not_found_exception", func(c *Config) { c.OnMisconfigured = deadLetter })
}

func TestFailureStoreMayBeEnough(t *testing.T) {
	s := elastictest.New(t, func(s *elastictest.Server) {
		s.Refuse = func(string, map[string]any) elastictest.Item { return elastictest.Item{FailureStore: "used"} }
	})
	r := start(t, s.URL, func(c *Config) { c.OnFailureStore = accept })
	if err := r.Send(sinktest.Events(0, 3), false); err != nil || len(s.Failures()) != 3 {
		t.Errorf("%v, %d in the failure store", err, len(s.Failures()))
	}
}

// What only the operator can mend leaves the records in the stream, and they come when it is mended.
func TestMisconfigured(t *testing.T) {
	f := func(name string, broken, mended func(*elastictest.Server), wantErr string) {
		t.Run(name, func(t *testing.T) {
			s := elastictest.New(t, broken)
			r := start(t, s.URL)
			err := r.Send(sinktest.Events(0, 5), false)
			if err == nil || streams.Permanent(err) || !strings.Contains(err.Error(), wantErr) {
				t.Fatalf("got %v, want %q", err, wantErr)
			}
			sinktest.Exactly(t, s.Counts(), map[string]int{})
			mended(s)
			if err := r.Send(sinktest.Events(0, 5), true); err != nil {
				t.Fatal(err)
			}
			sinktest.Exactly(t, s.Counts(), sinktest.Each(5, 1))
		})
	}
	fault := func(x elastictest.Fault) func(*elastictest.Server) {
		return func(s *elastictest.Server) {
			s.Fault = func(int, *http.Request) elastictest.Fault { return x }
		}
	}
	good := func(s *elastictest.Server) { s.Fault = nil }
	f("no template", func(s *elastictest.Server) { s.NoTemplate = true }, func(s *elastictest.Server) { s.NoTemplate = false }, "mcpsiem elastic setup")
	f("no data stream, and no right to see that", func(s *elastictest.Server) { s.NoTemplate, s.WriteOnly = true, true }, func(s *elastictest.Server) { s.NoTemplate = false }, "mcpsiem elastic setup")
	f("login page", fault(elastictest.Fault{Page: true}), good, "proxy")
	f("403", fault(elastictest.Fault{HTTP: 403, Type: "security_exception"}), good, "credential")
	f("404", fault(elastictest.Fault{HTTP: 404}), good, "proxy")
	f("redirect", fault(elastictest.Fault{HTTP: 302}), good, "redirects")
	s := elastictest.New(t)
	r := start(t, s.URL)
	if err := os.WriteFile(r.cfg.Auth.APIKey.File, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Send(sinktest.Events(0, 5), false); err == nil || streams.Permanent(err) || streams.Reason(err) != "credential" {
		t.Errorf("wrong key: %v", err)
	}
	if err := os.WriteFile(r.cfg.Auth.APIKey.File, []byte(elastictest.APIKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Send(sinktest.Events(0, 5), true); err != nil {
		t.Errorf("the key was mended: %v", err)
	}
	sinktest.Exactly(t, s.Counts(), sinktest.Each(5, 1))
}

// A document's id is unique within one backing index only.
func TestRolloverBetweenTries(t *testing.T) {
	f := func(name string, writeOnly bool, edit func(*Config), want int) {
		t.Run(name, func(t *testing.T) {
			s := elastictest.New(t, func(s *elastictest.Server) {
				s.WriteOnly = writeOnly
				s.Fault = func(n int, _ *http.Request) elastictest.Fault { return elastictest.Fault{ResetAfter: n == 1} }
			})
			r := start(t, s.URL, func(c *Config) { c.Retry.MaxElapsed = 0 }, edit)
			if err := r.Send(sinktest.Events(0, 10), false); err == nil {
				t.Fatal("a request without an answer counts as delivered")
			}
			s.Rollover()
			if err := r.Send(sinktest.Events(0, 12), true); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, c := range s.Counts() {
				n += c
			}
			if n != want {
				t.Errorf("%d documents, want %d", n, want)
			}
			if warned := r.Logs.FilterMessageSnippet("may not search").Len() > 0; warned != writeOnly {
				t.Errorf("a warning: %v", warned)
			}
		})
	}
	f("looked up", false, func(*Config) {}, 12)
	f("not looked up", false, func(c *Config) { c.RolloverCheck = false }, 22)
	f("no right to look", true, func(*Config) {}, 22)
}

// A look that fails says nothing: it is made again before anything is sent.
func TestLookThatFails(t *testing.T) {
	f := func(name string, broken func(*elastictest.Server)) {
		t.Run(name, func(t *testing.T) {
			s := elastictest.New(t, broken, func(s *elastictest.Server) {
				s.Fault = func(n int, _ *http.Request) elastictest.Fault { return elastictest.Fault{ResetAfter: n == 1} }
			})
			r := start(t, s.URL, func(c *Config) { c.Retry.MaxElapsed = 0 })
			if err := r.Send(sinktest.Events(0, 10), false); err == nil {
				t.Fatal("a request without an answer counts as delivered")
			}
			s.Rollover()
			err := r.Send(sinktest.Events(0, 10), true)
			if err == nil || streams.Permanent(err) {
				t.Fatalf("the look failed: %v", err)
			}
			s.LookUp, s.Partial = nil, false
			if err := r.Send(sinktest.Events(0, 10), true); err != nil {
				t.Fatal(err)
			}
			sinktest.Exactly(t, s.Counts(), sinktest.Each(10, 1))
		})
	}
	for _, code := range []int{401, 404, 429, 500, 503} {
		f(fmt.Sprint("refresh ", code), func(s *elastictest.Server) {
			s.LookUp = func(_ int, path string) int { return map[bool]int{true: code}[strings.HasSuffix(path, "_refresh")] }
		})
		f(fmt.Sprint("search ", code), func(s *elastictest.Server) {
			s.LookUp = func(_ int, path string) int { return map[bool]int{true: code}[strings.HasSuffix(path, "_search")] }
		})
	}
	f("some shards", func(s *elastictest.Server) { s.Partial = true })
}

func TestHosts(t *testing.T) {
	good, bad := elastictest.New(t), elastictest.New(t)
	bad.Server.Close()
	r := start(t, bad.URL, func(c *Config) { c.Endpoints = append(c.Endpoints, good.URL) })
	for i := range 20 {
		if err := r.Send(sinktest.Events(i*5, 5), false); err != nil {
			t.Fatal(err)
		}
	}
	sinktest.Exactly(t, good.Counts(), sinktest.Each(100, 1))
}

func TestSizes(t *testing.T) {
	s := elastictest.New(t)
	r := start(t, s.URL, func(c *Config) { c.MaxBodyBytes, c.MaxEventBytes = 64<<10, 16<<10 })
	ld := sinktest.Events(0, 100, func(i int, e *event.Event) {
		switch i {
		case 7:
			e.Body = `"` + strings.Repeat("x", 20<<10) + `"`
		case 8:
			e.Anomalies = []string{strings.Repeat("y", 20<<10)}
		}
	})
	err := r.Send(ld, false)
	if got := sinktest.Refused(t, err); !slices.Equal(got, []string{sinktest.ID(8)}) || streams.Reason(err) != "event_too_large" {
		t.Errorf("%v, %s", got, streams.Reason(err))
	}
	want := sinktest.Each(100, 1)
	delete(want, sinktest.ID(8))
	sinktest.Exactly(t, s.Counts(), want)
	for _, d := range s.Docs() {
		if m := d.Source["mcpsiem"].(map[string]any); d.ID == sinktest.ID(7) && (m["message_omitted"] != "too_large" || m["message"] != nil) {
			t.Error("the large message")
		}
	}
	if s.Bulks() < 2 {
		t.Errorf("%d requests", s.Bulks())
	}
}

func TestStrangeIDs(t *testing.T) {
	s := elastictest.New(t)
	r := start(t, s.URL)
	for range 2 {
		err := r.Send(sinktest.Events(0, 3, func(i int, e *event.Event) {
			e.ID = []string{"", strings.Repeat("i", 600), "\xff"}[i]
		}), false)
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Counts(); len(got) != 3 || len(s.Docs()) != 3 {
		t.Errorf("%v", got)
	}
}

func TestConfig(t *testing.T) {
	f := func(name string, conf map[string]any, want string) {
		t.Helper()
		cfg := newDefaultConfig()
		base := map[string]any{"endpoints": []any{"https://e:9200"}, "auth": map[string]any{"anonymous": true}}
		maps.Copy(base, conf)
		err := confmap.NewFromStringMap(base).Unmarshal(cfg)
		if err == nil {
			err = cfg.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	f("good", nil, "")
	f("no endpoint", map[string]any{"endpoints": []any{}}, "endpoints")
	f("credentials in it", map[string]any{"endpoints": []any{"https://a:b@e"}}, "no credentials")
	f("bulk in it", map[string]any{"endpoints": []any{"https://e/_bulk"}}, "without /_bulk")
	f("not http", map[string]any{"endpoints": []any{"e:9200"}}, "base URL")
	f("no auth", map[string]any{"auth": map[string]any{}}, "set api_key")
	f("two auths", map[string]any{"auth": map[string]any{"anonymous": true, "api_key": map[string]any{"env": "A"}}}, "set api_key")
	f("half auth", map[string]any{"auth": map[string]any{"username": "a"}}, "password")
	f("namespace", map[string]any{"namespace": "a-b"}, "namespace")
	f("tenants", map[string]any{"namespaces": []any{map[string]any{"namespace": "a"}}}, "namespaces[0].tenants")
	f("message", map[string]any{"message": "json"}, "message must be")
	f("body", map[string]any{"max_body_bytes": 1}, "max_body_bytes")
	f("event", map[string]any{"max_event_bytes": 6 << 20}, "max_event_bytes")
	f("route", map[string]any{"route": map[string]any{"sample": 2}}, "sample")
	f("unknown", map[string]any{"index": "x"}, "index")
}

func TestHealthCheck(t *testing.T) {
	f := func(name string, server func(*elastictest.Server), want string) {
		t.Run(name, func(t *testing.T) {
			s := elastictest.New(t, server)
			cfg := config(t, s.URL, func(c *Config) { c.HealthCheck.Enabled, c.HealthCheck.Required = true, true })
			e, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(Type), cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = e.Start(context.Background(), componenttest.NewNopHost())
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%v, want %q", err, want)
			}
			if err := e.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	f("good", func(*elastictest.Server) {}, "")
	f("not set up", func(s *elastictest.Server) { s.NoTemplate = true }, "mcpsiem elastic setup")
}
