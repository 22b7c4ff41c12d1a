package retention

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"go.opentelemetry.io/collector/exporter"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

func TestMain(m *testing.M) {
	storetest.Main(func() int {
		before := goleak.IgnoreCurrent()
		code := m.Run()
		if err := goleak.Find(before); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	})
}

// world is a sealed store: 300 events of acme on one day, one in five with the data class email, 20 of beta, 10 findings of acme; and what an
// audit record does in it: it is stored and sealed.
type world struct {
	t        *testing.T
	dir      string
	admin    *store.Conn
	exporter exporter.Logs
	seq      uint64
	records  []audit.Record
	r        *Remover
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), admin: storetest.Open(t, chdb.UserAdmin), seq: 20}
	sealtest.Clear(t, w.admin)
	for _, name := range []string{"holds", "removals", "removed", "finding_history"} {
		w.exec("TRUNCATE TABLE mcpsiem." + name)
	}
	w.exporter = sealtest.Exporter(t)
	for i := range 3 {
		sealtest.Store(t, w.exporter, sealtest.Batch(uint64(10+i), append(sealtest.Events("acme", 1+100*i, 100), sealtest.Events("beta", 1+i*5, 5)...)...))
	}
	for i := range 10 {
		sealtest.Store(t, w.exporter, sealtest.FindingBatch(uint64(1+i), sealtest.Finding("acme", i)))
	}
	sealtest.Seal(t, w.dir, 12, 10)
	w.r = w.remover()
	return w
}

func (w *world) remover() *Remover {
	c := storetest.Config(chdb.UserRemover)
	return &Remover{
		Conn: storetest.Open(w.t, chdb.UserRemover), LockDir: filepath.Join(w.dir, "retention"), SealWait: 5 * time.Second, Actor: audit.Actor{ID: "ann", Kind: "user"},
		Archive: Archive{Dir: filepath.Join(w.dir, "archive"), HTTP: "http://" + storetest.Server.HTTPAddr(), User: c.Username, Password: c.Password},
		Now:     func() time.Time { return sealtest.Start.AddDate(0, 0, 40) },
		Record: func(_ context.Context, r audit.Record) error {
			w.records = append(w.records, r)
			w.seq++
			sealtest.Store(w.t, w.exporter, sealtest.Batch(w.seq, r.Event()))
			sealtest.Seal(w.t, w.dir, w.seq, 10)
			return nil
		},
	}
}

func (w *world) exec(q string) {
	w.t.Helper()
	if err := w.admin.Exec(context.Background(), q); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) count(q string) (n uint64) {
	w.t.Helper()
	if err := w.admin.QueryRow(context.Background(), q).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// green checks every tenant.
func (w *world) green() {
	w.t.Helper()
	for _, tenant := range []string{"acme", "beta"} {
		if r := sealtest.Verify(w.t, w.dir, tenant); !r.OK {
			text := sealtest.Text(r)
			w.t.Errorf("%s: %s", tenant, text[:min(len(text), 700)])
		}
	}
}

func policy(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	acme = "SELECT uniqExact(event_id) FROM mcpsiem.events WHERE tenant = 'acme' AND event_name != 'mcpsiem.audit'"
	beta = "SELECT uniqExact(event_id) FROM mcpsiem.events WHERE tenant = 'beta' AND event_name != 'mcpsiem.audit'"
)

func TestRetentionPerTenantAndClass(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := policy(t, `{version: "1", classes: [{name: all, hot: 365}, {name: personal, hot: 30, minimise: true, match: {data_classes: [email]}}, {name: beta, hot: 20, match: {tenants: [beta]}}]}`)
	plan, err := w.r.Plan(ctx, p, "")
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, l := range plan.Lines {
		text = append(text, fmt.Sprint(l.Tenant, " ", l.Kind, " ", l.Class, " ", l.Rows, " ", l.Go))
	}
	// Beta's own class wants 20 days, the general one a year: the longer obligation wins.
	want := "acme event all 240 0\nacme event personal 60 60\nbeta event all 12 0\nbeta event personal 3 3\nacme finding all 10 0"
	if have := strings.Join(text, "\n"); have != want {
		t.Fatalf("plan:\n%s\nwant:\n%s", have, want)
	}
	if w.count(acme) != 300 || len(w.records) != 0 {
		t.Fatal("a plan changed something")
	}
	done, err := w.r.Apply(ctx, p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(done) != 2 || w.count(acme) != 240 || w.count(beta) != 12 {
		t.Errorf("%d removals, %d and %d events left: %+v", len(done), w.count(acme), w.count(beta), done)
	}
	w.green()
	if n := w.count("SELECT count() FROM mcpsiem.seal_salts WHERE tenant = 'acme'"); n != uint64(310-60+2) { // and the two records
		t.Errorf("%d salts left", n)
	}
	// What is counted is counted on: removed is not lost.
	if n := w.count("SELECT toUInt64(sum(missing)) FROM mcpsiem.tap_gaps"); n != 0 {
		t.Errorf("%d events are missing from the taps", n)
	}
	if n := w.count("SELECT stored FROM mcpsiem.accounting WHERE stream = 'EVENTS'"); n != 315+4 {
		t.Errorf("accounting has %d events", n)
	}
	if n := w.count("SELECT toUInt64(sum(stored = sealed)) FROM mcpsiem.seal_status"); n != 2 {
		t.Errorf("the seal's status does not know of removals")
	}
	// A second time there is nothing to do.
	n := len(w.records)
	if done, err := w.r.Apply(ctx, p, Options{}); err != nil || len(done) != 0 || len(w.records) != n {
		t.Errorf("again: %v, %v", done, err)
	}
	first, last := w.records[0], w.records[n-1]
	if first.Details["phase"] != "recorded" || first.Details["leaves"] != "60" || first.Details["reason"] == "" || first.Details["checkpoint_root"] == "" || last.Details["phase"] != "done" || last.Details["checkpoint_size"] == first.Details["checkpoint_size"] {
		t.Errorf("records: %+v ... %+v", first, last)
	}
}

func TestWholePartsAreDropped(t *testing.T) {
	w := newWorld(t)
	done, err := w.r.Apply(t.Context(), policy(t, `{version: "1", classes: [{name: short, hot: 10, match: {kinds: [events, findings]}}]}`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	dropped := uint64(0)
	for _, m := range done {
		dropped += m.PartsDropped
	}
	if w.count(acme)+w.count(beta) != 0 || dropped == 0 || w.count("SELECT count() FROM mcpsiem.findings")+w.count("SELECT count() FROM mcpsiem.finding_history") != 0 {
		t.Errorf("%d events left, %d parts dropped: %+v", w.count(acme)+w.count(beta), dropped, done)
	}
	w.green()
	if n := w.count("SELECT stored FROM mcpsiem.accounting WHERE stream = 'FINDINGS'"); n != 10 {
		t.Errorf("accounting has %d findings", n)
	}
}

func TestHoldsOutliveRetention(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := policy(t, `{version: "1", classes: [{name: short, hot: 10, match: {kinds: [events, findings]}}]}`)
	h := Hold{ID: "h1", Matter: "2026-7", Tenant: "acme", Principal: "user3@example.com", CreatedAt: time.Now(), CreatedBy: "ann"}
	q := Hold{ID: "h2", Matter: "2026-8", Query: "tool = 'search' AND tenant = 'acme'", CreatedAt: time.Now(), CreatedBy: "ann"}
	for _, x := range []Hold{h, q} {
		if err := x.Check(ctx, w.r.Conn); err != nil {
			t.Fatal(err)
		}
		if err := x.Save(ctx, w.r.Conn); err != nil {
			t.Fatal(err)
		}
	}
	covered := "event_name != 'mcpsiem.audit' AND tenant = 'acme' AND (principal_id = 'user3@example.com' OR tool = 'search')"
	if events, _, err := h.Covers(ctx, w.r.Conn); err != nil || events != 43 {
		t.Errorf("covers %d, %v", events, err)
	}
	// One that arrives while the hold is in force.
	late := sealtest.Events("acme", 1001, 7)
	sealtest.Store(t, w.exporter, sealtest.Batch(20, late...))
	sealtest.Seal(t, w.dir, 20, 10)
	want := w.count("SELECT count() FROM mcpsiem.events WHERE " + covered)
	plan, err := w.r.Plan(ctx, p, "")
	if err != nil || len(plan.Holds) != 2 || plan.Lines[0].Held != want {
		t.Fatalf("%v, %+v", err, plan.Lines)
	}
	if _, err := w.r.Apply(ctx, p, Options{}); err != nil {
		t.Fatal(err)
	}
	if w.count(acme) != want || w.count("SELECT count() FROM mcpsiem.events WHERE "+covered) != want || w.count(beta) != 0 {
		t.Errorf("%d events left, want the %d held", w.count(acme), want)
	}
	w.green()
	for _, x := range []Hold{h, q} {
		x.ReleasedAt, x.ReleasedBy, x.Reason = time.Now(), "bob", "settled"
		if err := x.Save(ctx, w.r.Conn); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.r.Apply(ctx, p, Options{}); err != nil {
		t.Fatal(err)
	}
	if w.count(acme) != 0 {
		t.Errorf("%d events outlived the release", w.count(acme))
	}
	w.green()
	holds, err := Holds(ctx, w.r.Conn)
	if err != nil || len(holds) != 2 || holds[0].Active() || holds[0].Reason != "settled" {
		t.Errorf("%v, %+v", err, holds)
	}
}

// A hold that comes between the record and the deletion still holds.
func TestHoldComesLate(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := policy(t, `{version: "1", classes: [{name: short, hot: 10, match: {kinds: [events, findings], tenants: [acme]}}]}`)
	h := Hold{ID: "h1", Matter: "m", Tenant: "acme", Principal: "user3@example.com", CreatedAt: time.Now(), CreatedBy: "ann"}
	if err := w.r.recordDue(ctx, p, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := h.Save(ctx, w.r.Conn); err != nil {
		t.Fatal(err)
	}
	done, err := w.r.Carry(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if w.count(acme) != 43 {
		t.Errorf("%d events left, 43 are held; %+v", w.count(acme), done)
	}
	w.green()
	h.ReleasedAt = time.Now()
	if err := h.Save(ctx, w.r.Conn); err != nil {
		t.Fatal(err)
	}
	if _, err := w.r.Apply(ctx, p, Options{}); err != nil {
		t.Fatal(err)
	}
	if w.count(acme) != 0 {
		t.Errorf("%d events left", w.count(acme))
	}
	w.green()
}

func TestCrashes(t *testing.T) {
	p := policy(t, `{version: "1", classes: [{name: short, hot: 10, archive: 1000, match: {kinds: [events, findings]}}]}`)
	f := func(point string) {
		t.Helper()
		w := newWorld(t)
		func() {
			defer func() {
				if x := recover(); x != point {
					t.Fatalf("%s: ended with %v", point, x)
				}
			}()
			w.r.Crash = func(at string) {
				if at == point {
					panic(point)
				}
			}
			_, err := w.r.Apply(t.Context(), p, Options{})
			t.Fatalf("%s: it did not crash: %v", point, err)
		}()
		w.r.Unlock()
		if point != "day" && point != "events" { // rows are gone and their salts are not: verify says so until the removal is finished
			w.green()
		}
		w.r = w.remover()
		if _, err := w.r.Apply(t.Context(), p, Options{}); err != nil {
			t.Fatalf("%s: %v", point, err)
		}
		if n := w.count(acme) + w.count(beta) + w.count("SELECT count() FROM mcpsiem.findings"); n != 0 {
			t.Errorf("%s: %d rows left", point, n)
		}
		if n := w.count("SELECT stored FROM mcpsiem.accounting WHERE stream = 'FINDINGS'"); n != 10 {
			t.Errorf("%s: accounting has %d findings", point, n)
		}
		w.green()
	}
	points := []string{"state", "archived", "events"}
	if os.Getenv("MCPSIEM_TEST_TAMPER") == "all" { // make test-tamper
		points = append(points, "recorded", "removed", "day", "salts")
	}
	for _, point := range points {
		f(point)
	}
}

func TestArchive(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := policy(t, `{version: "1", classes: [{name: long, hot: 10, archive: 100, match: {kinds: [events, findings]}}]}`)
	if _, err := w.r.Apply(ctx, p, Options{}); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(w.dir, "archive", "*", "*"+archiveExt))
	if len(files) != 3 || w.count(acme) != 0 {
		t.Fatalf("%d files, %d events left", len(files), w.count(acme))
	}
	rows := 0
	for _, f := range files {
		type proof struct {
			Index uint64 `parquet:"_leaf_index"`
			Hash  string `parquet:"_leaf_hash"`
			Salt  string `parquet:"_salt"`
			Body  string `parquet:"body"`
		}
		tenant := filepath.Base(filepath.Dir(f))
		plain, err := w.r.Archive.Read(tenant, f)
		if err != nil {
			t.Fatal(err)
		}
		if raw, _ := os.ReadFile(f); bytes.Contains(raw, []byte("PAR1")) || bytes.Contains(raw, []byte("user1@example.com")) {
			t.Errorf("%s is readable", f)
		}
		list, err := parquet.Read[proof](bytes.NewReader(plain), int64(len(plain)))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			if len(x.Hash) != 64 || len(x.Salt) != 32 || strings.Trim(x.Salt, "0") == "" {
				t.Fatalf("a row without its proof: %+v", x)
			}
		}
		rows += len(list)
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", st.Mode(), err)
		}
	}
	if rows != 325 {
		t.Errorf("%d rows archived", rows)
	}
	w.green()
	// Their time is over, but one may be held.
	h := Hold{ID: "h", Matter: "m", Tenant: "beta", CreatedAt: time.Now()}
	if err := h.Save(ctx, w.r.Conn); err != nil {
		t.Fatal(err)
	}
	w.r.Now = func() time.Time { return sealtest.Start.AddDate(0, 0, 200) }
	if _, err := w.r.Apply(ctx, p, Options{}); err != nil {
		t.Fatal(err)
	}
	if files, _ = filepath.Glob(filepath.Join(w.dir, "archive", "*", "*"+archiveExt)); len(files) != 1 {
		t.Errorf("%d archives left, want beta's", len(files))
	}
	w.green()
}

func TestWhatIsNotSealedStays(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := policy(t, `{version: "1", classes: [{name: short, hot: 10, match: {kinds: [events]}}]}`)
	sealtest.Store(t, w.exporter, sealtest.Batch(1000, sealtest.Events("acme", 5001, 5)...))
	sealtest.Store(t, w.exporter, sealtest.Batch(1001, sealtest.Events("gamma", 1, 5)...)) // nothing seals it
	if _, err := w.r.Apply(ctx, p, Options{}); err != nil {
		t.Fatal(err)
	}
	if w.count(acme) != 5 {
		t.Errorf("%d events left, want the 5 that are not sealed", w.count(acme))
	}
	gamma := "SELECT count() FROM mcpsiem.events WHERE tenant = 'gamma' AND event_name != 'mcpsiem.audit'"
	if w.count(gamma) != 5 {
		t.Errorf("%d of gamma left", w.count(gamma))
	}
	// An event that comes after the record is dropped with nothing: parts that hold it stay.
	if _, err := w.r.Apply(ctx, p, Options{Unsealed: true}); err != nil {
		t.Fatal(err)
	}
	if w.count(gamma) != 0 || w.count(acme) != 5 {
		t.Errorf("%d of gamma, %d of acme left", w.count(gamma), w.count(acme))
	}
	w.green()
}

func TestARecordThatIsNotSealedRemovesNothing(t *testing.T) {
	w := newWorld(t)
	w.r.SealWait = time.Second
	w.r.Record = func(context.Context, audit.Record) error { return nil }
	_, err := w.r.Apply(t.Context(), policy(t, `{version: "1", classes: [{name: short, hot: 10}]}`), Options{})
	if err == nil || !strings.Contains(err.Error(), "not sealed yet") || w.count(acme) != 300 {
		t.Errorf("%v, %d left", err, w.count(acme))
	}
	w.r.Record = func(context.Context, audit.Record) error { return os.ErrPermission }
	if _, err = w.r.Apply(t.Context(), policy(t, `{version: "1", classes: [{name: short, hot: 10}]}`), Options{}); err == nil || w.count(acme) != 300 {
		t.Errorf("%v, %d left", err, w.count(acme))
	}
	w.green()
}

func TestPolicyBreakage(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	f(`{version: "1"}`, "no classes")
	f(`{classes: [{name: a}]}`, "how many days")
	f(`{classes: [{name: a, hot: 0}]}`, "at least one day")
	f(`{classes: [{name: a, hot: -1}]}`, "from 0")
	f(`{classes: [{name: a, hot: 1}, {name: a, hot: 2}]}`, "another one")
	f(`{classes: [{name: "A b", hot: 1}]}`, "a-z")
	f(`{classes: [{preset: nist}]}`, "no preset")
	f(`{classes: [{name: a, hot: 1, match: {kinds: [logs]}}]}`, "kinds are")
	f(`{classes: [{name: a, hot: 1, archive: 5, minimise: true}]}`, "no archive")
	f(`{classes: [{name: a, hott: 1}]}`, "hott")
	f(`]`, "cannot read")
}

func TestPresets(t *testing.T) {
	f := func(name string, atLeast, store int) {
		t.Helper()
		p := policy(t, "{classes: [{preset: "+name+"}]}")
		if c := p.Classes[0]; c.Total() < atLeast || c.Store() < store || c.Basis == "" || c.Name != name {
			t.Errorf("%s: %d days, %d in the store", name, c.Total(), c.Store())
		}
	}
	f("soc2", 365, 90)
	f("hipaa", 6*365+1, 90)
	f("pci", 365, 92)
	f("eu_ai_act", 183, 90)
	f("gdpr", 1, 1)
	f("standard", 365, 90)
}

func TestHoldBreakage(t *testing.T) {
	w := newWorld(t)
	f := func(h Hold, want string) {
		t.Helper()
		if err := h.Check(t.Context(), w.r.Conn); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", h, err, want)
		}
	}
	f(Hold{Matter: "m"}, "what it holds")
	f(Hold{Tenant: "a"}, "matter")
	f(Hold{Matter: "m", Query: "1) OR (1"}, "closing parenthesis")
	f(Hold{Matter: "m", Query: "(1"}, "does not close")
	f(Hold{Matter: "m", Query: "tool = 'x"}, "quote")
	f(Hold{Matter: "m", Query: "1 -- x"}, "comments")
	f(Hold{Matter: "m", Query: "1 /* x"}, "comments")
	f(Hold{Matter: "m", Query: "1; DROP TABLE events"}, "without ;")
	f(Hold{Matter: "m", Query: "nothing = 1"}, "ClickHouse says")
}

func FuzzPolicy(f *testing.F) {
	f.Add(`{version: "1", classes: [{name: a, hot: 1, match: {labels: {"a'b": "c\\"}}}]}`)
	f.Add(`{classes: [{preset: gdpr}, {preset: pci}]}`)
	f.Add("classes: [*x]")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse([]byte(text))
		if err != nil {
			return
		}
		for _, findings := range []bool{false, true} {
			if r := p.rule(findings); r.store == "" || closed(strings.NewReplacer("-", "", "/", "", ";", "", "#", "", "$", "").Replace(r.store)) != nil {
				t.Fatalf("a policy becomes a condition that does not close: %s", r.store)
			}
		}
	})
}

// A person is found in archives and taken out of them, but for what is held; the archive before cannot be read any more.
func TestErasureReachesArchives(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := policy(t, `{version: "1", classes: [{name: long, hot: 10, archive: 100, match: {kinds: [events, findings]}}]}`)
	if _, err := w.r.Apply(ctx, p, Options{}); err != nil {
		t.Fatal(err)
	}
	const who = "principal_id = 'user1@example.com'"
	count := func() (found, held uint64, archives int) {
		t.Helper()
		if err := w.r.InArchives(ctx, "acme", kindEvent, who, func(x Archived, ask func(string) (io.ReadCloser, error)) error {
			if x.Unread != nil {
				t.Error(x.Unread)
			}
			found, held, archives = found+x.Found, held+x.Held, archives+1
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return
	}
	if n, held, a := count(); n != 43 || held != 0 || a != 1 {
		t.Fatalf("%d found, %d held in %d archives", n, held, a)
	}
	files, _ := filepath.Glob(filepath.Join(w.dir, "archive", "acme", "long-*"+archiveExt))
	var old []byte
	var oldFile string
	for _, f := range files {
		plain, err := w.r.Archive.Read("acme", f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(plain, []byte("event_name")) {
			oldFile = f
			old, _ = os.ReadFile(f)
		}
	}
	h := Hold{ID: "h", Matter: "m", Tenant: "acme", Query: "tap_seq <= 10", CreatedAt: time.Now()}
	if err := h.Save(ctx, w.r.Conn); err != nil {
		t.Fatal(err)
	}
	s := Selection{Tenant: "acme", Kind: kindEvent, Where: who, Action: audit.SubjectErase, Reason: "request", Details: map[string]string{"subject": "tag"}}
	n, kept, unread, err := w.r.EraseArchived(ctx, s)
	if err != nil || n != 41 || kept != 2 || unread != nil {
		t.Fatalf("%d erased, %d kept, %v, %v", n, kept, unread, err)
	}
	if n, held, _ := count(); n != 2 || held != 2 {
		t.Errorf("%d left, %d of them held", n, held)
	}
	if len(w.records) == 0 || w.records[len(w.records)-1].Details["rows"] != "41" || w.records[len(w.records)-1].Details["phase"] != "archive" {
		t.Errorf("%+v", w.records)
	}
	// A copy of the archive from before, in a backup, is of no use.
	if err := os.WriteFile(oldFile+".backup", old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.r.Archive.Read("acme", oldFile+".backup"); !errors.Is(err, ErrNoArchiveKey) {
		t.Error(err)
	}
	os.Remove(oldFile + ".backup")
	again, _, _, err := w.r.EraseArchived(ctx, s)
	if err != nil || again != 0 {
		t.Error(again, err)
	}
	// What is left is what it was, with its proofs.
	plain, err := w.r.Archive.Read("acme", oldFile)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Salt      string `parquet:"_salt"`
		Hash      string `parquet:"_leaf_hash"`
		Principal string `parquet:"principal_id"`
	}
	rows, err := parquet.Read[row](bytes.NewReader(plain), int64(len(plain)))
	if err != nil || len(rows) != 300-41 || len(rows[0].Salt) != 32 || len(rows[0].Hash) != 64 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	w.green()
	// Without its key an archive is noise, and is named.
	if n, err := w.r.Archive.DestroyKeys("acme"); err != nil || n != 2 || w.r.Archive.CountKeys("acme") != 0 || w.r.Archive.CountKeys("beta") != 1 {
		t.Error(n, err)
	}
	if _, _, unread, err := w.r.EraseArchived(ctx, s); err != nil || len(unread) != 1 || !strings.Contains(unread[0], "key is gone") {
		t.Error(unread, err)
	}
}

// No chunk of an archive can be changed, left out, moved or cut off.
func TestArchiveDamaged(t *testing.T) {
	a := Archive{Dir: filepath.Join(t.TempDir(), "archive")}
	plain := append(bytes.Repeat([]byte("0123456789abcdef"), 3*chunkSize/16), "PAR1"...)
	os.MkdirAll(a.Dir, 0o700)
	path := filepath.Join(a.Dir, "x"+archiveExt)
	for _, n := range []int{12, chunkSize, chunkSize + 1, 2 * chunkSize, len(plain)} {
		if _, err := a.save("acme", path, bytes.NewReader(plain[len(plain)-n:])); err != nil {
			t.Fatal(err)
		}
		if b, err := a.Read("acme", path); err != nil || !bytes.Equal(b, plain[len(plain)-n:]) {
			t.Fatal(n, err)
		}
	}
	whole, _ := os.ReadFile(path)
	f := func(name string, b []byte) {
		t.Helper()
		os.WriteFile(path, b, 0o600)
		if _, err := a.Read("acme", path); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	one := chunkSize + 16
	f("a byte changed", append(append(bytes.Clone(whole[:headerSize+100]), whole[headerSize+100]^1), whole[headerSize+101:]...))
	f("cut at a chunk", whole[:headerSize+2*one])
	f("cut", whole[:len(whole)-1])
	f("a chunk left out", append(bytes.Clone(whole[:headerSize+one]), whole[headerSize+2*one:]...))
	f("chunks exchanged", slices.Concat(whole[:headerSize], whole[headerSize+one:headerSize+2*one], whole[headerSize:headerSize+one], whole[headerSize+2*one:]))
	f("more", append(bytes.Clone(whole), 0))
	f("empty", nil)
	f("head only", whole[:headerSize])
	f("another key's name", append([]byte(archiveMagic+strings.Repeat("0", 32)+"\n"), whole[headerSize:]...))
}

// Keys of archives are wrapped with a key that is elsewhere, and with another one; they are destroyed without it.
func TestArchiveKeysWrapped(t *testing.T) {
	a := Archive{Dir: filepath.Join(t.TempDir(), "archive")}
	plain := []byte("a few rows PAR1")
	os.MkdirAll(a.Dir, 0o700)
	save := func(name string) string {
		t.Helper()
		path := filepath.Join(a.Dir, name+archiveExt)
		if _, err := a.save("acme", path, bytes.NewReader(plain)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrap := func(file, content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wrapped := func(path string) bool {
		t.Helper()
		b, err := os.ReadFile(a.keyOf("acme", path))
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(string(b), "wrapped:1:")
	}
	old := save("old")
	w := a.Wrapping()
	if err := os.MkdirAll(filepath.Dir(w.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MCPSIEM_TEST_ARCHIVES", strings.Repeat("5", 64))
	wrap(w.Path, `{"env": "MCPSIEM_TEST_ARCHIVES"}`)
	young := save("young")
	if wrapped(old) || !wrapped(young) {
		t.Error("only new keys are wrapped until they are wrapped anew")
	}
	if n, err := a.Rewrap(); n != 1 || err != nil || !wrapped(old) {
		t.Error(n, err)
	}
	wrap(w.Next(), strings.Repeat("6", 64))
	if n, err := a.Rewrap(); n != 2 || err != nil {
		t.Error(n, err)
	}
	os.Rename(w.Next(), w.Path)
	for _, path := range []string{old, young} {
		if b, err := a.Read("acme", path); err != nil || !bytes.Equal(b, plain) {
			t.Error(path, err)
		}
	}
	// A key under another name does not open, nor does one without the wrapping key; none of that is in the plain for it.
	b, _ := os.ReadFile(a.keyOf("acme", old))
	other, _ := os.ReadFile(a.keyOf("acme", young))
	wrap(a.keyOf("acme", old), string(other))
	if _, err := a.Read("acme", old); err == nil || !strings.Contains(err.Error(), "copied from elsewhere") {
		t.Error(err)
	}
	wrap(a.keyOf("acme", old), string(b))
	wrap(w.Path, `{"command": ["/bin/sh", "-c", "echo sealed >&2; exit 1"]}`)
	if _, err := a.Read("acme", old); err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Error(err)
	}
	if _, err := a.save("acme", filepath.Join(a.Dir, "third"+archiveExt), bytes.NewReader(plain)); err == nil {
		t.Error("an archive is written whose key cannot be wrapped")
	}
	if n, err := a.DestroyKeys("acme"); n != 2 || err != nil {
		t.Error(n, err)
	}
	if left, _ := filepath.Glob(filepath.Join(a.keysDir(), "*", "*")); len(left) != 0 {
		t.Error(left)
	}
}
