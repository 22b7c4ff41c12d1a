package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m.Run) }

// zone is what a column says beside the schema's type: times are shown in UTC.
var zone = regexp.MustCompile(`, 'UTC'\)`)

func columns(t *testing.T, c *store.Conn, table string) map[string]string {
	t.Helper()
	rows, err := c.Query(t.Context(), "SELECT name, type FROM system.columns WHERE database = 'mcpsiem' AND table = ?", table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var n, ty string
		if err := rows.Scan(&n, &ty); err != nil {
			t.Fatal(err)
		}
		out[n] = zone.ReplaceAllString(ty, ")")
	}
	return out
}

func TestColumnsAgreeWithSchema(t *testing.T) {
	c := storetest.Open(t, chdb.UserAdmin)
	f := func(table, column, want string, got map[string]string) {
		t.Helper()
		if want == "-" {
			if ty, ok := got[column]; ok {
				t.Errorf("%s.%s is stored as %s though the schema says it is not", table, column, ty)
			}
			return
		}
		if got[column] != want {
			t.Errorf("%s.%s is %q, the schema says %s", table, column, got[column], want)
		}
		delete(got, column)
	}
	events := columns(t, c, "events")
	for _, x := range event.Schema {
		f("events", x.Column, x.ClickHouse, events)
	}
	for _, own := range []string{"event_name", "ts", "received", "trace", "span", "trace_id", "span_id", "body", "extra", "listed_tools", "list_goes_on"} {
		if _, ok := events[own]; !ok {
			t.Errorf("events.%s is missing", own)
		}
		delete(events, own)
	}
	findings := columns(t, c, "findings")
	for _, x := range finding.Schema {
		f("findings", x.Column, x.ClickHouse, findings)
	}
	delete(findings, "ts")
	for n := range events {
		t.Errorf("events.%s is not in the schema", n)
	}
	for n := range findings {
		t.Errorf("findings.%s is not in the schema", n)
	}
}

// database opens a connection to a database of the test's own. The embedded server's accounts know but one, so that the name is the same and
// the tables are dropped.
func TestMigrateIsIdempotentAndConcurrent(t *testing.T) {
	c := storetest.Open(t, chdb.UserAdmin)
	if err := c.Exec(t.Context(), "DROP DATABASE mcpsiem SYNC"); err != nil {
		t.Fatal(err)
	}
	// Open works before the database is there.
	fresh := storetest.Open(t, chdb.UserAdmin)
	if err := store.CheckSchema(t.Context(), fresh); !errors.Is(err, store.ErrSchemaMissing) || !strings.Contains(err.Error(), "mcpsiem migrate") {
		t.Fatalf("no schema: %v", err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := store.Migrate(context.Background(), fresh, io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := store.CheckSchema(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := store.Migrate(t.Context(), fresh, &out); err != nil || out.Len() != 0 {
		t.Fatalf("a second time: %v, %q", err, out.String())
	}
}

// A store with messages in it gets the columns of 0011: at once in answers, soon on the disk.
func TestMigrateFillsColumnsOfOldMessages(t *testing.T) {
	c := storetest.Open(t, chdb.UserAdmin)
	const list = `INSERT INTO mcpsiem.events (event_id, ts, method, kind, conversation_id, tokens_definitions, body) VALUES `
	for _, q := range []string{
		"ALTER TABLE mcpsiem.events DROP COLUMN listed_tools, DROP COLUMN list_goes_on",
		"DELETE FROM mcpsiem.schema_migrations WHERE version = 11",
		list + `(generateUUIDv4(), '2026-11-20 10:00:00', 'tools/list', 'request', 'c', 0, '{"params":{}}'), (generateUUIDv4(), '2026-11-20 10:00:01', 'tools/list', 'response', 'c', 70, '{"result":{"tools":[{},{}]}}')`,
		list + `(generateUUIDv4(), '2026-11-20 10:00:02', 'tools/list', 'request', 'c', 0, '{"params":{"cursor":"2"}}'), (generateUUIDv4(), '2026-11-20 10:00:03', 'tools/list', 'response', 'c', 30, '{"result":{"tools":[{}]}}')`,
		list + `(generateUUIDv4(), '2026-11-20 10:00:04', 'tools/call', 'response', 'c', 0, '{"result":{"tools":[{}]}}')`,
	} {
		if err := c.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.CheckSchema(t.Context(), c); !errors.Is(err, store.ErrSchemaOld) {
		t.Fatalf("before: %v", err)
	}
	if err := store.Migrate(t.Context(), c, io.Discard); err != nil {
		t.Fatal(err)
	}
	var lists, tokens, tools uint64
	tax := func() {
		t.Helper()
		err := c.QueryRow(t.Context(), "SELECT lists, tokens, tools FROM token_tax(since = '2026-11-20 00:00:00') WHERE conversation_id = 'c'").Scan(&lists, &tokens, &tools)
		if err != nil || lists != 1 || tokens != 100 || tools != 3 {
			t.Errorf("%d lists, %d tokens, %d tools, %v", lists, tokens, tools, err)
		}
	}
	tax()
	for left := uint64(1); left > 0; time.Sleep(50 * time.Millisecond) {
		if err := c.QueryRow(t.Context(), "SELECT count() FROM system.mutations WHERE database = 'mcpsiem' AND NOT is_done").Scan(&left); err != nil {
			t.Fatal(err)
		}
	}
	var without uint64
	err := c.QueryRow(t.Context(), `SELECT countIf(columns < 2) FROM (SELECT name, countIf(column IN ('listed_tools', 'list_goes_on')) AS columns FROM system.parts_columns
		WHERE database = 'mcpsiem' AND table = 'events' AND active GROUP BY name)`).Scan(&without)
	if err != nil || without != 0 {
		t.Errorf("%d parts without the columns, %v", without, err)
	}
	tax()
}

func TestSchemaOfOthersIsRefused(t *testing.T) {
	c := storetest.Open(t, chdb.UserAdmin)
	f := func(version uint32, checksum string, want error) {
		t.Helper()
		if err := c.Exec(t.Context(), fmt.Sprintf("INSERT INTO mcpsiem.schema_migrations (version, name, checksum) VALUES (%d, 'x', '%s')", version, checksum)); err != nil {
			t.Fatal(err)
		}
		if err := store.CheckSchema(t.Context(), c); !errors.Is(err, want) {
			t.Errorf("check: %v, want %v", err, want)
		}
		if err := store.Migrate(t.Context(), c, io.Discard); !errors.Is(err, want) {
			t.Errorf("migrate: %v, want %v", err, want)
		}
		if err := c.Exec(t.Context(), "DELETE FROM mcpsiem.schema_migrations WHERE name = 'x'"); err != nil {
			t.Fatal(err)
		}
	}
	f(store.SchemaVersion()+1, "", store.ErrSchemaNew)
	if err := store.CompareSchema(map[uint32]string{1: "other"}); !errors.Is(err, store.ErrSchemaChanged) && !errors.Is(err, store.ErrSchemaOld) {
		t.Errorf("other migrations: %v", err)
	}
	if err := store.CheckSchema(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestOpenFails(t *testing.T) {
	f := func(cfg store.Config, want string) {
		t.Helper()
		c, err := store.Open(t.Context(), cfg)
		if err == nil {
			c.Close()
			t.Fatal("it opened")
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	good := storetest.Config(chdb.UserAnalyst)
	bad := good
	bad.Password = "wrong"
	f(bad, "Authentication failed")
	bad = good
	bad.Endpoint = "127.0.0.1:1"
	f(bad, "refused")
	bad = good
	bad.PasswordFile = "/does/not/exist"
	f(bad, "password")
	bad = good
	bad.Database = "a; DROP"
	f(bad, "letters, digits")
}

// What the commands read: the views' columns by name and type, as the analyst and with a deadline.
func TestViewsForCommands(t *testing.T) {
	c := storetest.Open(t, chdb.UserAnalyst)
	type accounting struct {
		Sink         string `ch:"sink"`
		Stream       string `ch:"stream"`
		Received     uint64 `ch:"received"`
		Stored       uint64 `ch:"stored"`
		DeadLettered uint64 `ch:"dead_lettered"`
		Difference   int64  `ch:"difference"`
	}
	var a []accounting
	if err := c.Select(t.Context(), &a, "SELECT sink, stream, received, stored, dead_lettered, difference FROM accounting ORDER BY stream, sink"); err != nil {
		t.Fatal(err)
	}
	if len(a) != 2 {
		t.Errorf("%d rows of accounting, want EVENTS and FINDINGS", len(a))
	}
	for _, q := range []string{
		"SELECT tap_id, server, last_seen, events, missing, explained FROM taps ORDER BY last_seen DESC LIMIT 200",
		"SELECT started, principal_id, server, tool, outcome, duration_ms FROM mcp_calls ORDER BY started DESC LIMIT 20",
		"SELECT * FROM findings", "SELECT * FROM tool_catalogue", "SELECT * FROM tap_gaps", "SELECT * FROM events", "SELECT * FROM mcp_calls",
	} {
		rows, err := c.Query(t.Context(), q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		rows.Close()
	}
}
