package subject

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/retention"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestMain(m *testing.M) { storetest.Main(m.Run) }

func count(t *testing.T, q string) (n uint64) {
	t.Helper()
	if err := storetest.Open(t, chdb.UserAdmin).QueryRow(context.Background(), q).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Everything of a person goes - by name and by placeholder, from the store and the stream - but what is held, and the log stays whole.
func TestFindExportErase(t *testing.T) {
	ctx := t.Context()
	admin := storetest.Open(t, chdb.UserAdmin)
	sealtest.Clear(t, admin)
	dir := t.TempDir()

	master, err := pseudonym.NewMaster(bytes.Repeat([]byte{7}, pseudonym.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	tenants, err := pseudonym.EnsureTenants(filepath.Join(dir, "tenants"))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := inspect.New(inspect.Config{Master: master, Tenants: tenants})
	if err != nil {
		t.Fatal(err)
	}
	redact := func(body string) string {
		s := engine.Session()
		defer s.Close()
		out := s.Inspect(&inspect.Input{Tenant: "acme", Body: []byte(body), Time: time.Now().UnixNano()})
		return string(out.Body)
	}
	body := func(who string) string {
		return redact(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"mail","arguments":{"to":%q}}}`, who))
	}
	mentions := []string{body("Carol.Jones@example.com")}
	if _, err := tenants.Rotate("acme"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(pseudonym.Recheck + 100*time.Millisecond)
	mentions = append(mentions, body("carol.jones@example.com"))
	if strings.Contains(mentions[0], "jones") || mentions[0] == mentions[1] {
		t.Fatalf("the test's bodies are not redacted under two keys: %s", mentions)
	}

	srv := natsdtest.New(t)
	js := srv.JS()
	for _, n := range []string{streams.Events, streams.Findings} {
		spec, _ := streams.DefaultSpec(n)
		if _, err := streams.Ensure(ctx, js, spec); err != nil {
			t.Fatal(err)
		}
	}
	exp := sealtest.Exporter(t)
	var last uint64
	put := func(stream string, ld plog.Logs) {
		t.Helper()
		seq, err := streams.Publish(ctx, js, stream, fmt.Sprint(stream, time.Now().UnixNano()), ld)
		if err != nil {
			t.Fatal(err)
		}
		ld.ResourceLogs().At(0).Resource().Attributes().PutInt(event.AttrStreamSeq, int64(seq))
		sealtest.Store(t, exp, ld)
		if stream == streams.Events {
			last = seq
		}
	}
	batch := func(events ...event.Event) plog.Logs { return sealtest.Batch(0, events...) }
	ev := sealtest.Events("acme", 1, 70) // ten of each of seven people
	ev[0].Body, ev[1].Body = mentions[0], mentions[1]
	ev[2].OnBehalfOf = []string{"user5@example.com"}
	put(streams.Events, batch(ev[:35]...))
	put(streams.Events, batch(ev[35:]...))
	put(streams.Events, batch(sealtest.Events("beta", 1, 14)...))
	f := sealtest.Finding("acme", 1)
	f.PrincipalID = "user5@example.com"
	put(streams.Findings, sealtest.FindingBatch(0, f, sealtest.Finding("acme", 2)))
	sealtest.Seal(t, dir, last, 1)

	r := &retention.Remover{Conn: storetest.Open(t, chdb.UserRemover), LockDir: filepath.Join(dir, "retention"), SealWait: 5 * time.Second, Actor: audit.Actor{ID: "ann", Kind: "user"},
		Record: func(_ context.Context, x audit.Record) error {
			if strings.Contains(fmt.Sprint(x), "user5") || strings.Contains(fmt.Sprint(x), "jones") {
				t.Errorf("a record names the person: %+v", x)
			}
			put(streams.Events, batch(x.Event()))
			sealtest.Seal(t, dir, last, 1)
			return nil
		}}

	// By value, in whatever case, under the former key and the present one.
	tokens, err := engine.Placeholders("acme", []byte("carol.jones@EXAMPLE.com"))
	if err != nil {
		t.Fatal(err)
	}
	carol := Query{Tenant: "acme", Tokens: tokens}
	if found, err := Look(ctx, r.Conn, carol); err != nil || found.Events != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	other, err := engine.Placeholders("acme", []byte("dave@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	if found, err := Look(ctx, r.Conn, Query{Tenant: "acme", Tokens: other}); err != nil || found.Events != 0 {
		t.Errorf("somebody else: %+v, %v", found, err)
	}
	// By name.
	tag, err := engine.SubjectTag("acme", []byte("user5@example.com"))
	if err != nil || len(tag) != 32 {
		t.Fatal(tag, err)
	}
	user := Query{Tenant: "acme", Principal: "user5@example.com", Tag: tag}
	found, err := Look(ctx, r.Conn, user)
	if err != nil || found.Events != 11 || found.Findings != 1 {
		t.Fatalf("%+v, %v", found, err)
	}

	var z bytes.Buffer
	db := seal.NewDB(storetest.Config(chdb.UserRemover))
	defer db.Close()
	if _, err := Export(ctx, r, db, []Query{user}, &z); err != nil {
		t.Fatal(err)
	}
	zr, err := zip.NewReader(bytes.NewReader(z.Bytes()), int64(z.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range zr.File {
		rc, _ := x.Open()
		b, _ := io.ReadAll(rc)
		if n := bytes.Count(b, []byte("\n")); x.Name == "events.ndjson" && n != 11 || x.Name == "findings.ndjson" && n != 1 {
			t.Errorf("%s has %d lines", x.Name, n)
		}
	}

	// Two of the eleven are held.
	h := retention.Hold{ID: "h", Matter: "m", Tenant: "acme", Principal: "user5@example.com", Server: "files", To: sealtest.Start.Add(200 * time.Millisecond), CreatedAt: time.Now()}
	if err := h.Save(ctx, r.Conn); err != nil {
		t.Fatal(err)
	}
	held := count(t, "SELECT count() FROM mcpsiem.events WHERE tenant = 'acme' AND server = 'files' AND ts < '2026-11-20 09:00:00.2' AND (principal_id = 'user5@example.com' OR has(on_behalf_of, 'user5@example.com'))")
	if held == 0 {
		t.Fatal("the test's hold covers nothing")
	}
	erased, err := Erase(ctx, r, js, user, "request 12")
	if err != nil {
		t.Fatal(err)
	}
	if erased.HeldEvents != held || erased.Removed != 12-held {
		t.Errorf("%d held, want %d: %+v", erased.HeldEvents, held, erased)
	}
	if n := count(t, "SELECT count() FROM mcpsiem.events WHERE principal_id = 'user5@example.com' AND tenant = 'acme' OR has(on_behalf_of, 'user5@example.com')"); n != held {
		t.Errorf("%d events left", n)
	}
	if n := count(t, "SELECT count() FROM mcpsiem.events WHERE principal_id = 'user5@example.com' AND tenant = 'beta'"); n == 0 {
		t.Error("another tenant's events went")
	}
	if n := count(t, "SELECT toUInt64(sum(missing)) FROM mcpsiem.tap_gaps"); n != 0 {
		t.Errorf("%d events are missing from the taps", n)
	}
	// The messages that brought them are gone, the others are not.
	if erased.MessagesDeleted != 3 || erased.MessagesWaiting != 0 {
		t.Errorf("%+v", erased)
	}
	st, _ := js.Stream(ctx, streams.Events)
	if _, err := st.GetMsg(ctx, 1); err == nil {
		t.Error("message 1 is still there")
	}
	if _, err := st.GetMsg(ctx, 3); err != nil {
		t.Error("beta's message is gone")
	}
	green := func() {
		t.Helper()
		for _, tenant := range []string{"acme", "beta"} {
			if v := sealtest.Verify(t, dir, tenant); !v.OK {
				text := sealtest.Text(v)
				t.Errorf("%s: %s", tenant, text[:min(len(text), 600)])
			}
		}
	}
	green()

	// A consumer that has not read a message yet keeps it.
	if _, err := st.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "splunk", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	late := sealtest.Events("acme", 501, 7)
	put(streams.Events, batch(late...))
	sealtest.Seal(t, dir, last, 1)
	erased, err = Erase(ctx, r, js, Query{Tenant: "acme", Principal: late[0].PrincipalID}, "request 13")
	if err != nil || erased.MessagesWaiting == 0 || erased.Removed == 0 {
		t.Errorf("%+v, %v", erased, err)
	}
	if erased, err = Erase(ctx, r, js, carol, "request 14"); err != nil {
		t.Fatal(err)
	}
	if found, err = Look(ctx, r.Conn, carol); err != nil || found.Events != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	green()
}

func TestValidate(t *testing.T) {
	f := func(q Query, want string) {
		t.Helper()
		if err := q.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	f(Query{}, "nobody")
	f(Query{Tokens: []string{"carol"}}, "placeholder looks like")
}

// What retention has archived is found, handed out and erased, too.
func TestArchives(t *testing.T) {
	ctx := t.Context()
	sealtest.Clear(t, storetest.Open(t, chdb.UserAdmin))
	dir := t.TempDir()
	exp := sealtest.Exporter(t)
	seq := uint64(2)
	sealtest.Store(t, exp, sealtest.Batch(1, sealtest.Events("acme", 1, 70)...))
	f := sealtest.Finding("acme", 1)
	f.PrincipalID = "user6@example.com"
	sealtest.Store(t, exp, sealtest.FindingBatch(1, f))
	sealtest.Seal(t, dir, 2, 1)
	c := storetest.Config(chdb.UserRemover)
	r := &retention.Remover{Conn: storetest.Open(t, chdb.UserRemover), LockDir: filepath.Join(dir, "retention"), SealWait: 5 * time.Second, Actor: audit.Actor{ID: "ann", Kind: "user"},
		Now:     func() time.Time { return sealtest.Start.AddDate(0, 0, 40) },
		Archive: retention.Archive{Dir: filepath.Join(dir, "archive"), HTTP: "http://" + storetest.Server.HTTPAddr(), User: c.Username, Password: c.Password},
		Record: func(_ context.Context, x audit.Record) error {
			if strings.Contains(fmt.Sprint(x), "user6") {
				t.Errorf("a record names the person: %+v", x)
			}
			seq++
			sealtest.Store(t, exp, sealtest.Batch(seq, x.Event()))
			sealtest.Seal(t, dir, seq, 1)
			return nil
		}}
	policy := filepath.Join(dir, "retention.yaml")
	if err := os.WriteFile(policy, []byte(`{version: "1", classes: [{name: long, hot: 10, archive: 100, match: {kinds: [events, findings]}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := retention.Load(policy)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(ctx, p, retention.Options{}); err != nil {
		t.Fatal(err)
	}
	user := Query{Tenant: "acme", Principal: "user6@example.com", Tag: "tag"}
	found, err := Look(ctx, r.Conn, user)
	if err == nil {
		err = LookArchived(ctx, r, user, &found)
	}
	if err != nil || found.Events != 0 || found.Archived != 11 || found.ArchivesUnread != nil {
		t.Fatalf("%+v, %v", found, err)
	}
	var z bytes.Buffer
	db := seal.NewDB(storetest.Config(chdb.UserRemover))
	defer db.Close()
	if _, err := Export(ctx, r, db, []Query{user}, &z); err != nil {
		t.Fatal(err)
	}
	zr, err := zip.NewReader(bytes.NewReader(z.Bytes()), int64(z.Len()))
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for _, x := range zr.File {
		rc, _ := x.Open()
		b, _ := io.ReadAll(rc)
		lines[x.Name] = bytes.Count(b, []byte("\n"))
		if strings.HasPrefix(x.Name, "archived") && (bytes.Contains(b, []byte("_salt")) || bytes.Contains(b, []byte("user4@example.com"))) {
			t.Errorf("%s has what is not the person's: %.300s", x.Name, b)
		}
	}
	if lines["archived-events.ndjson"] != 10 || lines["archived-findings.ndjson"] != 1 {
		t.Errorf("%v", lines)
	}
	e, err := Erase(ctx, r, nil, user, "request")
	if err != nil || e.RemovedArchived != 11 {
		t.Fatalf("%+v, %v", e, err)
	}
	if err := LookArchived(ctx, r, user, &Found{}); err != nil {
		t.Fatal(err)
	}
	again := Found{}
	if LookArchived(ctx, r, user, &again); again.Archived != 0 {
		t.Errorf("%+v", again)
	}
	if rep := sealtest.Verify(t, dir, "acme"); !rep.OK {
		t.Error(sealtest.Text(rep))
	}
}
