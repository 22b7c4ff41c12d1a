package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

func TestFindingIsComplete(t *testing.T) {
	g := newEngine(t, nil)
	e := ev(90, func(e *event.Event) {
		e.ID, e.Outcome, e.Kind, e.ClientName, e.ConversationID, e.PrincipalVerified = event.SourceID("x"), event.OutcomeToolError, event.KindResponse, "ide", "c1", true
	})
	g.Apply(logsOf(e))
	got := findingsOf(g.Findings())
	if len(got) != 1 {
		t.Fatalf("%d findings", len(got))
	}
	f := got[0]
	window := start + 60*sec
	if f.ID != event.SourceID("stateless", "default", "tool", fmt.Sprint(window-window%(60*sec))) {
		t.Errorf("id %s", f.ID)
	}
	if f.Group != event.SourceID("stateless", "default", "tool") {
		t.Errorf("group %s", f.Group)
	}
	f.ID, f.Group = "", ""
	want := "{1767600090000000000 { stateless 1 Error A tool failed. low 1 open 0   0 1767600090000000000 1767600090000000000 1 message:" + e.ID +
		"  default alice true ide server tool c1 [" + e.ID + "] [] map[]   [] 0}}"
	if text := fmt.Sprint(f); text != want {
		t.Errorf("have %s\nwant %s", text, want)
	}
	if n := g.Findings().LogRecordCount(); n != 0 {
		t.Errorf("%d findings taken twice", n)
	}
}

func TestTenantsAreApart(t *testing.T) {
	g := newEngine(t, nil)
	id := event.SourceID("same")
	for i := range 3 {
		for _, tenant := range []string{"a", "b"} {
			g.Apply(logsOf(ev(float64(i), func(e *event.Event) {
				e.Tenant, e.ID = tenant, id+fmt.Sprint(i) // the same ids in both tenants
			})))
		}
	}
	got := findingsOf(g.Findings())
	if len(got) != 2 || got[0].ID == got[1].ID || g.stats.Duplicates != 0 {
		t.Errorf("%d findings, %d duplicates", len(got), g.stats.Duplicates)
	}
	// A wrong clock in one tenant leaves the other's time alone.
	g.Apply(logsOf(ev(1e6, func(e *event.Event) { e.Tenant = "a" })))
	g.Apply(logsOf(ev(4, func(e *event.Event) { e.Tenant = "b" })))
	if g.stats.Late != 0 {
		t.Errorf("%d late", g.stats.Late)
	}
}

func TestTime(t *testing.T) {
	f := func(at, received, want int64, skewed, late int64) {
		t.Helper()
		g := newEngine(t, nil)
		g.Apply(logsOf(ev(100, nil)))
		e := ev(0, func(e *event.Event) { e.Time, e.Received = at, received })
		if got := g.advance(&e); got != want || g.stats.Skewed != skewed || g.stats.Late != late {
			t.Errorf("time %d, skewed %d, late %d; want %d, %d, %d", got, g.stats.Skewed, g.stats.Late, want, skewed, late)
		}
	}
	now := start + 100*sec
	f(now+sec, now+sec, now+sec, 0, 0)
	f(now-sec, now, now-sec, 0, 0)         // within lateness
	f(now-3*sec, now, now-3*sec, 0, 1)     // late
	f(now+3600*sec, now, now+60*sec, 1, 0) // ahead of its receipt
	f(now+3600*sec, 0, now+3600*sec, 0, 0) // nobody says when it was received
	f(0, now+sec, now+sec, 1, 0)           // no time
	f(-5, 0, now, 1, 0)
	f(0, -7, now, 1, 0)
}

func TestStateIsBounded(t *testing.T) {
	g := newEngine(t, func(s *Spec) { s.MaxKeys = 50; s.TTL = 100e9 })
	for i := range 2000 {
		g.Apply(logsOf(ev(float64(i)/100, func(e *event.Event) { e.PrincipalID = fmt.Sprint("p", i) })))
	}
	_, d := g.Stats()
	if d[0].Keys != 50 || d[0].Evicted != 1950 {
		t.Errorf("%d states, %d evicted", d[0].Keys, d[0].Evicted)
	}
	// Timers of states that are gone do not pile up.
	if n := len(g.clockOf("default").due); n > 2100 {
		t.Errorf("%d timers", n)
	}
	for i := range 5 { // much later, each new state drops two idle ones
		g.Apply(logsOf(ev(1000+float64(i), func(e *event.Event) { e.PrincipalID = fmt.Sprint("q", i) })))
	}
	if _, d = g.Stats(); d[0].Expired < 5 || d[0].Keys > 50 {
		t.Errorf("%d states, %d expired", d[0].Keys, d[0].Expired)
	}
}

// A state that was idle for longer than its time starts over, whether or not it was dropped meanwhile.
func TestIdleStateStartsOver(t *testing.T) {
	g := newEngine(t, func(s *Spec) { s.TTL = 1e9 })
	for _, at := range []float64{0, 1, 9} {
		g.Apply(logsOf(ev(at, nil)))
	}
	for _, f := range findingsOf(g.Findings()) {
		if f.Severity == High {
			t.Error("an idle state was used")
		}
	}
}

func TestPanicStaysInItsKey(t *testing.T) {
	g := newEngine(t, nil)
	g.Apply(logsOf(ev(0, nil), ev(0, func(e *event.Event) { e.PrincipalID = "bob" })))
	g.Apply(logsOf(ev(1, func(e *event.Event) { e.Tool = "panic"; e.PrincipalID = "bob" })))
	g.Apply(logsOf(ev(1, nil), ev(2, nil), ev(1, func(e *event.Event) { e.PrincipalID = "bob" }), ev(2, func(e *event.Event) { e.PrincipalID = "bob" })))
	got := findingsOf(g.Findings())
	if len(got) != 1 || got[0].PrincipalID != "alice" {
		t.Errorf("%v", got)
	}
	if _, d := g.Stats(); d[0].Panics != 1 {
		t.Errorf("%d panics", d[0].Panics)
	}
}

func TestDedupe(t *testing.T) {
	d := newDedupe(20)
	f := func(tenant, id string, seq int64, want bool) {
		t.Helper()
		var e event.Event
		e.Tenant, e.ID, e.TapSeq = tenant, id, seq
		if got := d.add(&e); got != want {
			t.Errorf("%s %s %d: new = %v", tenant, id, seq, got)
		}
	}
	p := event.TapPrefix("tap", 5)
	f("a", p.ID(1), 1, true)
	f("a", p.ID(2), 2, true)
	f("a", p.ID(1), 1, false)
	f("b", p.ID(1), 1, true)
	f("a", event.TapID("tap", 6, 1), 1, true)
	f("a", p.ID(1), 7, true) // the number is not the id's: treated as any other id
	f("a", p.ID(1), 7, false)
	f("a", "not hex", 1, true)
	f("a", "not hex", 1, false)
	f("a", strings.Repeat("z", 32), 1, true)
	f("a", strings.Repeat("z", 32), 1, false)
	f("a", "", 0, true)
	f("a", "", 0, true)
	for i := range 1000 { // memory is bounded, and holds at least the last ten
		f("a", fmt.Sprint("x", i), 0, true)
		if i > 10 {
			f("a", fmt.Sprint("x", i-9), 0, false)
		}
	}
	if n := len(d.now) + len(d.before); n > 20 {
		t.Errorf("%d ids kept", n)
	}
}

func TestKeysCannotCollide(t *testing.T) {
	seen := map[string]string{}
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.SampledFrom([]string{"", "a", "b", "ab", "a\x00", "\x01a", "a\x01"})
		var e event.Event
		e.Tenant, e.Server, e.Tool = part.Draw(rt, "tenant"), part.Draw(rt, "server"), part.Draw(rt, "tool")
		var ring keyring
		key := string(ring.of(KeyTool, &e))
		what := fmt.Sprintf("%q %q %q", e.Tenant, e.Server, e.Tool)
		if old, ok := seen[key]; ok && old != what {
			rt.Fatalf("%s and %s have one key", old, what)
		}
		seen[key] = what
	})
}

func TestKeys(t *testing.T) {
	f := func(kind Key, same bool, a, b func(*event.Event)) {
		t.Helper()
		x, y := ev(0, a), ev(0, b)
		var r1, r2 keyring
		if got := string(r1.of(kind, &x)) == string(r2.of(kind, &y)); got != same {
			t.Errorf("%s: same = %v", kind, got)
		}
	}
	none := func(*event.Event) {}
	tenant := func(e *event.Event) { e.Tenant = "other" }
	for k := KeyExchange; k < keyCount; k++ {
		f(k, k == KeyGlobal || k == KeyTeam || k == KeyTap || k == KeyCredential, none, tenant)
	}
	f(KeyTeam, false, func(e *event.Event) { e.PrincipalTeam = "x" }, func(e *event.Event) { e.PrincipalTeam = "y" })
	f(KeyTap, false, func(e *event.Event) { e.TapID = "x" }, func(e *event.Event) { e.TapID = "x"; e.TapEpoch = 1 })
	f(KeyCredential, false, func(e *event.Event) { e.TokenFingerprint = "x" }, func(e *event.Event) { e.TokenFingerprint = "y" })
	f(KeyPrincipal, false, func(e *event.Event) { e.PrincipalIssuer = "x" }, none)
	f(KeyPrincipal, false, func(e *event.Event) { e.PrincipalID = ""; e.TokenFingerprint = "f" }, func(e *event.Event) { e.PrincipalID = "f" })
	f(KeyConversation, true, func(e *event.Event) { e.ConversationID = "c" }, func(e *event.Event) { e.ConversationID = "c"; e.PrincipalID = "bob" })
	f(KeyConversation, false, none, func(e *event.Event) { e.PrincipalID = "bob" })
	f(KeyServer, false, func(e *event.Event) { e.Server = ""; e.ServerAddress = "h"; e.ServerPort = 1 }, func(e *event.Event) { e.Server = ""; e.ServerAddress = "h"; e.ServerPort = 2 })
}

func TestName(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Name(in); got != want {
			t.Errorf("Name(%q) = %q", in, got)
		}
	}
	f("", "unknown")
	f("read_file", "read_file")
	f("日本語 tool", "日本語 tool")
	f("a\nb\u202ec\u200b\x00", "a\ufffdb\ufffdc\ufffd\ufffd")
	f("\xff\xfe", "\ufffd\ufffd")
	f(strings.Repeat("x", 96), strings.Repeat("x", 96))
	f(strings.Repeat("é", 97), strings.Repeat("é", 95)+"…")
}

func TestSnapshotRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		messages := story(rt, 15)
		cut := rapid.IntRange(0, len(messages)).Draw(rt, "cut")
		a := newEngine(t, nil)
		for _, m := range messages[:cut] {
			a.Apply(m)
		}
		snap, err := a.Snapshot(Position{Stream: "EVENTS"})
		if err != nil {
			rt.Fatal(err)
		}
		b := newEngine(t, nil)
		p, skipped, err := b.Restore(snap)
		if err != nil || p.Stream != "EVENTS" || len(skipped) > 0 {
			rt.Fatal(p, skipped, err)
		}
		again, err := b.Snapshot(p)
		if err != nil || !slices.Equal(snap, again) {
			rt.Fatalf("the snapshot of what was restored differs: %v", err)
		}
		a.Findings()
		for _, m := range messages[cut:] {
			a.Apply(m)
			b.Apply(m)
		}
		if x, y := asSet(rt, findingsOf(a.Findings())), asSet(rt, findingsOf(b.Findings())); !maps.Equal(x, y) {
			rt.Fatalf("restored: %v\nwent on: %v", y, x)
		}
	})
}

func TestOtherStateVersionStartsEmpty(t *testing.T) {
	a := newEngine(t, nil)
	a.Apply(logsOf(ev(0, nil)))
	snap, err := a.Snapshot(Position{})
	if err != nil {
		t.Fatal(err)
	}
	b := newEngine(t, func(s *Spec) { s.StateVersion = 2 })
	_, skipped, err := b.Restore(snap)
	if err != nil || !slices.Equal(skipped, []string{"burst"}) {
		t.Errorf("skipped %v: %v", skipped, err)
	}
}

func TestDefineRefuses(t *testing.T) {
	if _, err := burstDefinition(nil).New(map[string]any{"colour": "red"}); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("unknown key: %v", err)
	}
	in, err := burstDefinition(nil).New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Settings{Detectors: []Instance{in, in}}); err == nil {
		t.Error("a detector may be listed twice")
	}
	if _, err := New(Settings{Detectors: []Instance{{}}}); err == nil {
		t.Error("a detector need not be configured")
	}
}

// Whatever a snapshot's content holds, Restore gives an engine that works or an error and an empty one.
func FuzzRestore(f *testing.F) {
	g := newEngine(f, nil)
	g.Apply(logsOf(ev(0, nil), ev(1, nil), ev(2, func(e *event.Event) { e.TapID, e.TapSeq, e.ID = "t", 1, event.TapID("t", 0, 1) })))
	snap, err := g.Snapshot(Position{Stream: "EVENTS", Created: 5})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snap, false)
	var w writer
	pos, _ := json.Marshal(Position{Stream: "EVENTS"})
	w.bytes(pos)
	for range 5 {
		w.uvarint(0)
	}
	f.Add(w.b, true)
	f.Fuzz(func(t *testing.T, b []byte, inner bool) {
		g := newEngine(t, nil)
		var err error
		if inner {
			_, _, err = g.restore(b)
		} else {
			_, _, err = g.Restore(b)
		}
		if err != nil {
			if strings.Contains(err.Error(), string(b)) && len(b) > 8 {
				t.Error("the error quotes the snapshot")
			}
			if !inner && g.clocks.len() != 0 {
				t.Error("state is left after an error")
			}
			return
		}
		g.Apply(logsOf(ev(0, nil), ev(100, nil)))
		if _, err := g.Snapshot(Position{}); err != nil {
			t.Error(err)
		}
	})
}

// Events with any attributes go through.
func FuzzApply(f *testing.F) {
	f.Add("mcpsiem.tap.sequence", "-1", int64(-1), "mcpsiem.event.id", uint64(1<<63))
	f.Add("mcpsiem.principal.id", "\xff", int64(1<<62), "mcpsiem.tenant.id", uint64(0))
	f.Fuzz(func(t *testing.T, k1, v string, n int64, k2 string, at uint64) {
		ld := logsOf(ev(0, nil), ev(1, nil), ev(2, nil))
		recs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		recs.At(0).Attributes().PutStr(k1, v)
		recs.At(1).Attributes().PutInt(k1, n)
		recs.At(1).Attributes().PutStr(k2, v)
		recs.At(2).Attributes().PutEmptySlice(k2).AppendEmpty().SetDouble(float64(n))
		recs.At(1).SetTimestamp(pcommon.Timestamp(at))
		recs.At(2).SetObservedTimestamp(pcommon.Timestamp(at))
		ld.ResourceLogs().At(0).Resource().Attributes().PutInt(k2, n)
		g := newEngine(t, nil)
		for range 3 {
			g.Apply(ld)
		}
		snap, err := g.Snapshot(Position{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := newEngine(t, nil).Restore(snap); err != nil {
			t.Fatal(err)
		}
	})
}
