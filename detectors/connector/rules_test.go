package connector

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func testRule(id, tool string) string {
	return "schema: mcpsiem.rule/v1\nid: " + id + "\nversion: 1.0.0\ntitle: T\nseverity: low\nkind: threshold\nwhen: tool == '" + tool +
		"'\nwindow: 700h\nthreshold: {aggregate: event_count, gte: 3}\nsummary: x\n"
}

func call(n int, tool string, classes int) plog.Logs {
	ld := plog.NewLogs()
	e := event.Event{Name: event.NameRequest, Time: 1_767_600_000e9 + int64(n)*1e6}
	e.Received, e.ID, e.Kind, e.Method, e.Tool = e.Time, event.SourceID(fmt.Sprint("call", n)), event.KindRequest, "tools/call", tool
	for range classes {
		e.DataClasses = append(e.DataClasses, "x")
	}
	e.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
	return ld
}

// While events come all the time, rules change without a restart: a good change takes effect and keeps the state of rules that stay, a
// bad one changes nothing; both are in metrics and in the audit trail.
func TestRulesAreReloaded(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.yaml", testRule("rule_a", "a"))
	write("bad.yaml", "schema: mcpsiem.rule/v1\nid: rule_bad\n")
	tel := componenttest.NewTelemetry()
	defer tel.Shutdown(context.Background())
	set := connectortest.NewNopSettings(Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	s := newSink()
	c := newConnector(t, set, s, map[string]any{"nats": r.nats(), "rules": map[string]any{"builtin": false, "dirs": []any{dir, filepath.Join(dir, "missing")}, "poll": "100ms"}})
	start(t, c)
	defer stop(t, c)

	n := 0
	apply := func(tool string, classes int) {
		t.Helper()
		n++
		if err := c.ConsumeLogs(context.Background(), call(n, tool, classes)); err != nil {
			t.Fatal(err)
		}
	}
	fired := func() string {
		out := ""
		for len(s.got) > 0 {
			if f := <-s.got; strings.HasPrefix(f.RuleID, "rule_") {
				out += f.RuleID + " "
			}
		}
		return out
	}
	reloads := func(outcome string, want int64) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for {
			apply("load", 0)
			if reloadsOf(tel, outcome) >= want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no reload was %s", outcome)
			}
		}
	}
	reloads("refused", 1) // the bad file of the start
	apply("a", 0)
	apply("a", 0)

	write("bad.yaml", testRule("rule_b", "b"))
	reloads("changed", 1)
	apply("a", 0) // the third: its state was kept
	if got := fired(); got != "rule_a " {
		t.Errorf("after the change: %q", got)
	}
	apply("b", 0)
	apply("b", 0)
	write("a.yaml", strings.Replace(testRule("rule_a", "a"), "kind: threshold", "kind: trashhold", 1))
	reloads("refused", 2)
	apply("b", 0)
	if got := fired(); got != "rule_b " {
		t.Errorf("after the bad change: %q", got)
	}
	write("a.yaml", testRule("credential_leak", "a"))
	reloads("refused", 3)
	write("a.yaml", strings.Replace(testRule("rule_c", "c"), "tool == 'c'", "any(data_classes, lower(#) matches 'y')", 1))
	reloads("changed", 2)
	for range 25 {
		apply("x", 50_000)
	}

	// The audit trail has them all.
	want := []string{"rules.refused bad.yaml", "rules.change rules", "rules.refused a.yaml", "rules.refused a.yaml", "rules.change rules", "rules.refused rule_c"}
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := auditTrail(t, r)
		if strings.Join(got, ",") == strings.Join(want, ",") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("audit trail: %v", got)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func reloadsOf(tel *componenttest.Telemetry, outcome string) int64 {
	m, err := tel.GetMetric("otelcol_detect_rules_reloads")
	if err != nil {
		return 0
	}
	return sumWhere(m, "outcome", outcome)
}

func auditTrail(t *testing.T, r *rig) (out []string) {
	t.Helper()
	st, err := r.js.Stream(context.Background(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= st.CachedInfo().State.LastSeq; seq++ {
		m, err := st.GetMsg(context.Background(), seq)
		if err != nil {
			continue
		}
		ld, err := streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding))
		if err != nil {
			t.Fatal(err)
		}
		rl := ld.ResourceLogs().At(0)
		var e event.Event
		event.Decode(rl.Resource(), rl.ScopeLogs().At(0).LogRecords().At(0), &e)
		out = append(out, e.AuditAction+" "+filepath.Base(e.AuditTarget))
	}
	return out
}

// sumWhere adds up the points of a counter that have the attribute.
func sumWhere(m metricdata.Metrics, key, value string) (n int64) {
	if d, ok := m.Data.(metricdata.Sum[int64]); ok {
		for _, p := range d.DataPoints {
			if v, _ := p.Attributes.Value(attribute.Key(key)); v.AsString() == value {
				n += p.Value
			}
		}
	}
	return n
}
