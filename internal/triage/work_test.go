package triage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/exporters/clickhouse"
	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	"github.com/mcpsiem/mcpsiem/internal/triage"
)

func TestMain(m *testing.M) {
	storetest.Main(func() int {
		code := m.Run()
		if code == 0 {
			// the engine's supervisor is still there, as it should be
			if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/mcpsiem/mcpsiem/internal/chdb.(*Server).supervise"),
				goleak.IgnoreAnyFunction("github.com/mcpsiem/mcpsiem/internal/chdb.(*Server).spawn.func1"),
				goleak.IgnoreAnyFunction("os/exec.(*Cmd).watchCtx"), goleak.IgnoreAnyFunction("os/exec.(*Cmd).writerDescriptor.func1")); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return code
	})
}

// desk is an installation as an analyst has it: streams, a store, and what carries findings from one to the other.
type desk struct {
	t    *testing.T
	js   jetstream.JetStream
	conn *store.Conn
	exp  exporter.Logs
	next map[string]uint64 // by stream: sequence to store next
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, js: natsdtest.New(t).JS(), conn: storetest.Open(t, chdb.UserAnalyst), next: map[string]uint64{streams.Events: 1, streams.Findings: 1}}
	for name := range d.next {
		spec, _ := streams.DefaultSpec(name)
		if _, err := streams.Ensure(t.Context(), d.js, spec); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"findings", "finding_history", "events"} {
		if err := storetest.Open(t, chdb.UserAdmin).Exec(t.Context(), "TRUNCATE TABLE mcpsiem."+table); err != nil {
			t.Fatal(err)
		}
	}
	f := clickhouse.NewFactory()
	cfg := f.CreateDefaultConfig().(*clickhouse.Config)
	cfg.Endpoint, cfg.Password = storetest.Server.TCPAddr(), configopaque.String(storetest.Server.Password(chdb.UserPipeline))
	var err error
	if d.exp, err = f.CreateLogs(t.Context(), exportertest.NewNopSettings(f.Type()), cfg); err != nil {
		t.Fatal(err)
	}
	if err := d.exp.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.exp.Shutdown(context.Background()) })
	return d
}

// store carries to the store what is in the streams, from the given sequence of FINDINGS on.
func (d *desk) store(from uint64) {
	d.t.Helper()
	if from > 0 {
		d.next[streams.Findings] = from
	}
	for name := range d.next {
		st, err := d.js.Stream(d.t.Context(), name)
		if err != nil {
			d.t.Fatal(err)
		}
		for ; ; d.next[name]++ {
			m, err := st.GetMsg(d.t.Context(), d.next[name])
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				break
			}
			if err != nil {
				d.t.Fatal(err)
			}
			ld, err := streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding))
			if err != nil {
				d.t.Fatal(err)
			}
			ld.ResourceLogs().At(0).Resource().Attributes().PutInt(event.AttrStreamSeq, int64(m.Sequence))
			ctx := streams.WithOrigin(d.t.Context(), streams.Origin{Stream: name, First: m.Sequence, Last: m.Sequence, Redelivered: from > 0})
			if err := d.exp.ConsumeLogs(ctx, ld); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

var monday = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// raise puts a finding with two events as evidence, of which the first is stored, into the streams.
func (d *desk) raise(name, group, severity string, hour int) string {
	d.t.Helper()
	at := monday.Add(time.Duration(hour) * time.Hour).UnixNano()
	id := event.SourceID(name)
	f := finding.Finding{Time: at, Fields: finding.Fields{
		ID: id, Group: event.SourceID(group), RuleID: "rule", RuleVersion: "1", Title: "Title", Summary: "Something of " + name, Severity: severity, Confidence: 0.5, Status: "open",
		FirstSeen: at, LastSeen: at, Count: 2, Key: "principal:ann", Tenant: "acme", PrincipalID: "ann", PrincipalVerified: true, ClientName: "cli", Server: "files", Tool: "read",
		ConversationID: "c", EventIDs: []string{event.SourceID(name, "e1"), event.SourceID(name, "e2")}, Evidence: []string{"first", "second"}, Why: map[string]string{"score": "9"},
		Remediation: "Do this.", FalsePositives: "When that.", References: []string{"x 1 y"},
	}}
	ld := plog.NewLogs()
	f.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
	if _, err := streams.Publish(d.t.Context(), d.js, streams.Findings, id, ld); err != nil {
		d.t.Fatal(err)
	}
	e := event.Event{Name: "mcp.tool.call", Time: at, Received: at, Body: `{"a":1}`}
	e.ID, e.Tenant, e.Method, e.Tool = event.SourceID(name, "e1"), "acme", "tools/call", "read"
	ld = plog.NewLogs()
	e.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
	if _, err := streams.Publish(d.t.Context(), d.js, streams.Events, e.ID, ld); err != nil {
		d.t.Fatal(err)
	}
	return id
}

func (d *desk) get(id string) *triage.Row {
	d.t.Helper()
	r, err := triage.Get(d.t.Context(), d.conn, id)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// The whole of a finding comes back from the store and goes on in its next revision.
func TestFindingComesBackWhole(t *testing.T) {
	d := newDesk(t)
	id := d.raise("a", "g", "high", 0)
	d.store(0)
	before := *d.get(id[:7])
	if _, err := triage.Make(t.Context(), d.js, []*finding.Finding{before.Finding()}, triage.Change{To: triage.Accepted, Note: "known", Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	d.store(0)
	after := *d.get(strings.ToUpper(id))
	if after.Status != "accepted" || after.Note != "known" || after.TriagedBy != audit.Me().ID || after.IsOpen || after.AcceptedUntil.Before(time.Now()) || after.MTTA == nil {
		t.Errorf("after the change: %+v", after)
	}
	same := after
	same.Status, same.IsOpen, same.Revision, same.TriagedBy, same.Note, same.AcceptedUntil = before.Status, before.IsOpen, before.Revision, before.TriagedBy, before.Note, before.AcceptedUntil
	same.AckAt, same.MTTA, same.ResolvedAt, same.MTTR, same.GroupOpen = before.AckAt, before.MTTA, before.ResolvedAt, before.MTTR, before.GroupOpen
	if a, b := fmt.Sprintf("%+v", same), fmt.Sprintf("%+v", before); a != b {
		t.Errorf("the change changed more:\n%s\n%s", a, b)
	}
	if before.Why["score"] != "9" || len(before.Evidence) != 2 || before.ID != id || before.EventIDs[0] != event.SourceID("a", "e1") || before.Confidence != 0.5 || !before.PrincipalVerified || before.Group != event.SourceID("g") {
		t.Errorf("as raised: %+v", before)
	}
	steps, err := triage.Steps(t.Context(), d.conn, &after)
	if err != nil {
		t.Fatal(err)
	}
	if e := steps[event.SourceID("a", "e1")]; len(steps) != 1 || e.Body != `{"a":1}` || e.Method != "tools/call" {
		t.Errorf("evidence: %+v", steps)
	}
	// Who did it is in the trail.
	var n uint64
	if err := d.conn.QueryRow(t.Context(), "SELECT count() FROM mcpsiem.events WHERE audit_action = 'finding.triage' AND audit_target = ? AND audit_details['to'] = 'accepted' AND principal_id = ? AND tenant = 'acme'", id, audit.Me().ID).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d records in the trail (%v)", n, err)
	}
}

// Two people change the same finding at once, from the same state: both changes are kept and the later one holds; a replay of everything
// changes nothing.
func TestTwoAnalysts(t *testing.T) {
	d := newDesk(t)
	id := d.raise("a", "g", "high", 0)
	d.store(0)
	now := time.Now()
	var wg sync.WaitGroup
	for i, who := range []string{"ann", "bob"} {
		f := d.get(id).Finding()
		wg.Go(func() {
			c := triage.Change{To: []triage.Status{triage.Resolved, triage.FalsePositive}[i], Actor: audit.Actor{ID: who, Kind: "user"}, Time: now.Add(time.Duration(i) * time.Millisecond)}
			if _, err := triage.Make(t.Context(), d.js, []*finding.Finding{f}, c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, from := range []uint64{0, 1, 1} {
		d.store(from)
		r := d.get(id)
		if r.Status != "false_positive" || r.TriagedBy != "bob" {
			t.Errorf("%s by %s", r.Status, r.TriagedBy)
		}
		h, err := triage.History(t.Context(), d.conn, r.Tenant, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, x := range h {
			got += x.Status + ":" + x.TriagedBy + " "
		}
		if got != "open: resolved:ann false_positive:bob " {
			t.Errorf("history %s", got)
		}
	}
	// A clock that is behind still makes a later revision than the one that was seen.
	f := d.get(id).Finding()
	if _, err := triage.Make(t.Context(), d.js, []*finding.Finding{f}, triage.Change{To: triage.Open, Time: now.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	d.store(0)
	if r := d.get(id); r.Status != "open" {
		t.Errorf("%s after it was reopened by a slow clock", r.Status)
	}
	if ok, err := triage.Stored(t.Context(), d.conn, f); !ok || err != nil {
		t.Errorf("stored: %t, %v", ok, err)
	}
}

func TestList(t *testing.T) {
	d := newDesk(t)
	a, b, c := d.raise("a", "g1", "low", 0), d.raise("b", "g1", "low", 1), d.raise("c", "g2", "critical", 2)
	d.raise("d", "g3", "medium", 3)
	d.store(0)
	if _, err := triage.Make(t.Context(), d.js, []*finding.Finding{d.get(a).Finding()}, triage.Change{To: triage.Acknowledged}); err != nil {
		t.Fatal(err)
	}
	d.store(0)
	names := map[string]string{a: "a", b: "b", c: "c", event.SourceID("d"): "d"}
	f := func(want string, q triage.Query) {
		t.Helper()
		rows, more, err := triage.List(t.Context(), d.conn, q)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range rows {
			got += names[r.ID]
		}
		if more {
			got += "+"
		}
		if got != want {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
	f("cdb", triage.Query{})
	f("cdba", triage.Query{Each: true})
	f("cd+", triage.Query{Each: true, Limit: 2})
	f("a", triage.Query{Status: []triage.Status{triage.Acknowledged}})
	f("cdb", triage.Query{Status: []triage.Status{triage.Open}})
	f("cd", triage.Query{MinSeverity: "medium"})
	f("cd", triage.Query{Since: monday.Add(2 * time.Hour)})
	f("ba", triage.Query{Group: event.SourceID("g1"), Each: true})
	f("cdba", triage.Query{Tenant: "acme", Rule: "rule", Principal: "ann", Server: "files", Tool: "read", Each: true})
	f("", triage.Query{Principal: "nobody"})
	g := func(prefix, want string) {
		t.Helper()
		_, err := triage.Get(t.Context(), d.conn, prefix)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", prefix, err, want)
		}
	}
	g("", "no such finding")
	g("xyz", "hex digits")
	g(strings.Repeat("0", 32), "no such finding")
	g("0' OR 1", "hex digits")
	if _, err := triage.Get(t.Context(), d.conn, strings.Repeat("f", 31)); !errors.Is(err, triage.ErrUnknown) {
		t.Errorf("error %v", err)
	}
	// Two ids that begin alike are not chosen between.
	for i := 0; ; i++ {
		name := fmt.Sprint("x", i)
		if event.SourceID(name)[0] == a[0] {
			d.raise(name, name, "low", 4)
			break
		}
	}
	d.store(0)
	g(a[:1], "beginning of several")
}

func TestRefusedChanges(t *testing.T) {
	d := newDesk(t)
	f := func(want string, c triage.Change) {
		t.Helper()
		x := finding.Finding{Fields: finding.Fields{ID: event.SourceID("a"), Status: "open"}}
		if _, err := triage.Make(t.Context(), d.js, []*finding.Finding{&x}, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f("only an acceptance", triage.Change{To: triage.Resolved, Until: time.Now().Add(time.Hour)})
	f("ended already", triage.Change{To: triage.Accepted, Until: time.Now().Add(-time.Hour)})
	f("control", triage.Change{To: triage.Resolved, Note: "a\x1b[2J"})
	f("longer", triage.Change{To: triage.Resolved, Note: strings.Repeat("x", 5000)})
	if err := d.js.DeleteStream(t.Context(), streams.Events); err != nil { // no trail, no change
		t.Fatal(err)
	}
	f("audit trail", triage.Change{To: triage.Resolved})
	st, err := d.js.Stream(t.Context(), streams.Findings)
	if err != nil {
		t.Fatal(err)
	}
	if n := st.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d changes were published", n)
	}
}
