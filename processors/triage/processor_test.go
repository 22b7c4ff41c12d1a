package triage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const allow = `version: 1
allow:
  - {id: known, rule: r, server: files, owner: ann, reason: a test, created: 2026-01-01, expires: 2026-06-01}
maintenance:
  - {id: night, server: db, owner: ops, reason: release, from: 2026-01-01, to: 2026-02-01}
`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func testConfig(t *testing.T, text string) *Config {
	t.Helper()
	c := createDefaultConfig().(*Config)
	c.File, c.Interval = filepath.Join(t.TempDir(), "allowlist.yaml"), 10*time.Millisecond
	if text != "" {
		write(t, c.File, text)
	}
	return c
}

func start(t *testing.T, cfg *Config, next consumer.Logs) processor.Logs {
	t.Helper()
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(Type), cfg, next)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func raise(server string, edit func(*finding.Finding)) plog.Logs {
	f := finding.Finding{Time: time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC).UnixNano(), Fields: finding.Fields{
		ID: event.SourceID(server), RuleID: "r", Server: server, Status: "open", Severity: "high", Tenant: "default", Evidence: []string{"one"}, Why: map[string]string{"a": "b"},
	}}
	if edit != nil {
		edit(&f)
	}
	ld := plog.NewLogs()
	f.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
	return ld
}

// judged sends one finding and returns what came out.
func judged(t *testing.T, p processor.Logs, sink *consumertest.LogsSink, ld plog.Logs) finding.Finding {
	t.Helper()
	sink.Reset()
	if err := p.ConsumeLogs(t.Context(), ld); err != nil {
		t.Fatal(err)
	}
	if n := sink.LogRecordCount(); n != 1 {
		t.Fatalf("%d findings came out of one", n)
	}
	var f finding.Finding
	rl := sink.AllLogs()[0].ResourceLogs().At(0)
	finding.Decode(rl.Resource(), rl.ScopeLogs().At(0).LogRecords().At(0), &f)
	return f
}

func TestJudging(t *testing.T) {
	sink := new(consumertest.LogsSink)
	p := start(t, testConfig(t, allow), sink)
	f := func(name, server, status, by string, edit func(*finding.Finding)) {
		t.Helper()
		got := judged(t, p, sink, raise(server, edit))
		if got.Status != status || got.TriagedBy != by {
			t.Errorf("%s: %s by %q, want %s by %q", name, got.Status, got.TriagedBy, status, by)
		}
		if got.ID != event.SourceID(server) || got.Evidence[0] != "one" || got.Why["a"] != "b" || got.Revision != 0 && edit == nil {
			t.Errorf("%s: something else changed: %+v", name, got)
		}
	}
	f("allowed", "files", "accepted", "allow-list: known (ann)", nil)
	f("in maintenance", "db", "accepted", "maintenance: night (ops)", nil)
	f("neither", "web", "open", "", nil)
	f("after the entry's end", "files", "open", "", func(f *finding.Finding) { f.Time = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).UnixNano() })
	f("a person's change", "files", "open", "bob", func(f *finding.Finding) { f.Revision, f.TriagedBy = 7, "bob" })
	f("a person's acceptance", "files", "accepted", "bob", func(f *finding.Finding) { f.Status, f.TriagedBy = "accepted", "bob" })

	event := plog.NewLogs()
	event.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetEventName("mcp.tool.call")
	sink.Reset()
	if err := p.ConsumeLogs(t.Context(), event); err != nil || sink.LogRecordCount() != 1 {
		t.Errorf("a record that is no finding: %v, %d came out", err, sink.LogRecordCount())
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s does not happen", what)
}

// The file may come, change, break and go while findings flow; each is in the audit trail once, also after a restart.
func TestReload(t *testing.T) {
	srv := natsdtest.New(t)
	js := srv.JS()
	spec, _ := streams.DefaultSpec(streams.Events)
	if _, err := streams.Ensure(t.Context(), js, spec); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t, "")
	nc := streams.NewNATSConfig()
	nc.URL, nc.Username, nc.Password = srv.URL(), natsdtest.User, configopaque.String(natsdtest.Password)
	cfg.NATS = configoptional.Some(nc)
	sink := new(consumertest.LogsSink)
	run := func() func(string) {
		p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(Type), cfg, sink)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context(), componenttest.NewNopHost()); err != nil {
			t.Fatal(err)
		}
		return func(want string) {
			t.Helper()
			if want == "stop" {
				if err := p.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				return
			}
			eventually(t, "status "+want, func() bool { return judged(t, p, sink, raise("files", nil)).Status == want })
		}
	}
	trail := func(want string) {
		t.Helper()
		eventually(t, "the trail "+want, func() bool { return strings.Join(actions(t, js), " ") == want })
	}
	status := run()
	status("open")
	write(t, cfg.File, allow)
	status("accepted")
	trail("rules.change")
	write(t, cfg.File, "version: 1\nallow: [{id: broken}]\n")
	trail("rules.change rules.refused")
	status("accepted")
	status("stop")
	status = run() // now there are no rules before the bad ones
	status("open")
	write(t, cfg.File, allow+"# again\n")
	status("accepted")
	trail("rules.change rules.refused rules.change")
	status("stop")
	status = run()
	status("accepted")
	if err := os.Remove(cfg.File); err != nil {
		t.Fatal(err)
	}
	status("open")
	trail("rules.change rules.refused rules.change rules.change")
	status("stop")
}

// actions are those of the audit records in EVENTS, in order.
func actions(t *testing.T, js jetstream.JetStream) (out []string) {
	t.Helper()
	st, err := js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); ; seq++ {
		m, err := st.GetMsg(t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		ld, err := streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding))
		if err != nil {
			t.Fatal(err)
		}
		var e event.Event
		rl := ld.ResourceLogs().At(0)
		event.Decode(rl.Resource(), rl.ScopeLogs().At(0).LogRecords().At(0), &e)
		if e.Name != event.NameAudit || e.PrincipalKind != "service" || e.AuditAction == string(audit.RulesChange) && e.AuditDetails["allow"] == "" {
			t.Errorf("a record of %s by a %s", e.AuditAction, e.PrincipalKind)
		}
		out = append(out, e.AuditAction)
	}
}

func TestErrorsPassThrough(t *testing.T) {
	permanent := consumererror.NewPermanent(errors.New("no"))
	p := start(t, testConfig(t, allow), consumertest.NewErr(permanent))
	if err := p.ConsumeLogs(t.Context(), raise("files", nil)); !consumererror.IsPermanent(err) {
		t.Errorf("error %v, want the next component's", err)
	}
}

func TestLifecycle(t *testing.T) {
	if err := componenttest.CheckConfigStruct(createDefaultConfig()); err != nil {
		t.Error(err)
	}
	processortest.VerifyShutdown(t, NewFactory(), testConfig(t, allow))
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(Type), testConfig(t, allow), consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown without start: %v", err)
	}
}

func TestConfig(t *testing.T) {
	f := func(want string, edit func(*Config)) {
		t.Helper()
		c := createDefaultConfig().(*Config)
		c.File = "x"
		edit(c)
		if err := c.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f("", func(*Config) {})
	f("file", func(c *Config) { c.File = "" })
	f("interval", func(c *Config) { c.Interval = 0 })
	f("warn_before", func(c *Config) { c.WarnBefore = -1 })
}
