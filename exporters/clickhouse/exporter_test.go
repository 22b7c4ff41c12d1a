package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
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

func testConfig() *Config {
	c := newDefaultConfig()
	c.Endpoint = storetest.Server.TCPAddr()
	c.Password = configopaque.String(storetest.Server.Password(chdb.UserPipeline))
	return c
}

func newTestExporter(t testing.TB, cfg *Config) exporter.Logs {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	e, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

func truncate(t testing.TB, tables ...string) {
	t.Helper()
	c := storetest.Open(t, chdb.UserAdmin)
	for _, table := range tables {
		if err := c.Exec(context.Background(), "TRUNCATE TABLE mcpsiem."+table); err != nil {
			t.Fatal(err)
		}
	}
}

// count runs a query that returns one number, as the analyst.
func count(t testing.TB, query string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := storetest.Open(t, chdb.UserAnalyst).QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func redelivered(seq uint64) context.Context {
	return streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, First: seq, Last: seq, Redelivered: true})
}

func TestBatchIsStoredOnce(t *testing.T) {
	truncate(t, "events")
	e := newTestExporter(t, testConfig())
	g := newGenerator(1, time.Now())
	ld := g.batch(1000, 1)
	for range 3 { // the same batch, by a sender that did not hear the answer
		if err := e.ConsumeLogs(t.Context(), ld); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.ConsumeLogs(redelivered(1), ld); err != nil {
		t.Fatal(err)
	}
	admin := storetest.Open(t, chdb.UserAdmin)
	var rows uint64
	if err := admin.QueryRow(t.Context(), "SELECT count() FROM mcpsiem.events").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows != 1000 {
		t.Errorf("%d rows are stored, want 1000", rows)
	}
}

// A server that was killed while it took a block can remember the block's token and not have the rows: here it has the token, and the rows are
// taken away.
func TestTokenWithoutRows(t *testing.T) {
	truncate(t, "events")
	e := newTestExporter(t, testConfig())
	g := newGenerator(9, time.Now())
	ld := g.batch(500, 1)
	if err := e.ConsumeLogs(t.Context(), ld); err != nil {
		t.Fatal(err)
	}
	admin := storetest.Open(t, chdb.UserAdmin)
	if err := admin.Exec(t.Context(), "ALTER TABLE mcpsiem.events DELETE WHERE 1 SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	if err := e.ConsumeLogs(t.Context(), ld); err != nil { // the token alone: nothing is taken
		t.Fatal(err)
	}
	if n := count(t, "SELECT count() FROM events"); n != 0 {
		t.Fatalf("%d rows: the server has forgotten the token, and this test shows nothing", n)
	}
	if err := e.ConsumeLogs(redelivered(1), ld); err != nil {
		t.Fatal(err)
	}
	if n := count(t, "SELECT count() FROM events"); n != 500 {
		t.Errorf("%d rows after the redelivery, want 500", n)
	}
}

// A batch of which a part is stored already, in other blocks than now.
func TestPartlyStoredBatch(t *testing.T) {
	truncate(t, "events")
	cfg := testConfig()
	cfg.MaxInsertRows = 70
	e := newTestExporter(t, cfg)
	g := newGenerator(2, time.Now())
	ld := g.batch(1000, 7)
	part := plog.NewLogs()
	ld.CopyTo(part)
	i := 0
	part.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().RemoveIf(func(plog.LogRecord) bool { i++; return i%3 != 0 })
	if err := e.ConsumeLogs(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	if err := e.ConsumeLogs(redelivered(7), ld); err != nil {
		t.Fatal(err)
	}
	var rows uint64
	if err := storetest.Open(t, chdb.UserAdmin).QueryRow(t.Context(), "SELECT count() FROM mcpsiem.events").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows != 1000 {
		t.Errorf("%d rows are stored, want 1000", rows)
	}
}

// A replay that nothing announces, cut otherwise than before: two copies of each row until a merge, of which the analyst sees one.
func TestReplayIsInvisible(t *testing.T) {
	truncate(t, "events", "findings", "finding_history")
	one, two := testConfig(), testConfig()
	one.MaxInsertRows, two.MaxInsertRows = 100, 90
	g := newGenerator(3, time.Now())
	ld := g.batch(1000, 1)
	f := finding.Finding{Time: time.Now().UnixNano(), Fields: finding.Fields{ID: event.SourceID("f"), RuleID: "r", Severity: "high", Status: "open", Confidence: 0.5}}
	f.Encode(ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().AppendEmpty())
	for _, cfg := range []*Config{one, two} {
		if err := newTestExporter(t, cfg).ConsumeLogs(t.Context(), ld); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, "SELECT count() FROM events"); n != 1000 {
		t.Errorf("the analyst sees %d events, want 1000", n)
	}
	if n := count(t, "SELECT count() FROM findings"); n != 1 {
		t.Errorf("the analyst sees %d findings, want 1", n)
	}
	if n := count(t, "SELECT count() FROM mcp_calls"); n != 500 {
		t.Errorf("the analyst sees %d calls, want 500", n)
	}
	if n := count(t, "SELECT stored FROM accounting WHERE stream = 'EVENTS'"); n != 1000 {
		t.Errorf("accounting counts %d, want 1000", n)
	}
	// the embedded schema works for others too: the views count once without the profile
	var n uint64
	if err := storetest.Open(t, chdb.UserAdmin).QueryRow(t.Context(), "SELECT count() FROM mcpsiem.mcp_calls").Scan(&n); err != nil || n != 500 {
		t.Errorf("the administrator sees %d calls: %v", n, err)
	}
}

// The engine is killed again and again under load. Every batch is sent until it is acknowledged, as the stream does it; then every event is
// there once.
func TestKillsUnderLoad(t *testing.T) {
	truncate(t, "events")
	const batches, size, kills = 120, 400, 6
	cfg := testConfig()
	cfg.MaxInsertRows = 150 // three blocks a batch: a kill can fall between them
	e := newTestExporter(t, cfg)
	g := newGenerator(4, time.Now().Add(-30*time.Hour)) // two partitions
	work := make(chan plog.Logs, batches)
	for i := range batches {
		ld := g.batch(size, int64(i+1))
		g.now += int64(20 * time.Minute)
		work <- ld
	}
	close(work)
	var done, retries atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			seq := uint64(0)
			for ld := range work {
				seq++
				ctx := t.Context()
				for {
					err := e.ConsumeLogs(ctx, ld)
					if err == nil {
						break
					}
					if consumererror.IsPermanent(err) {
						t.Errorf("a kill is taken for a permanent error: %v", err)
						return
					}
					retries.Add(1)
					ctx = redelivered(seq)
					time.Sleep(20 * time.Millisecond)
				}
				done.Add(1)
			}
		})
	}
	killed := 0
	for i := 1; i <= kills; i++ {
		for done.Load() < int64(i*batches/(kills+2)) && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		if pid := storetest.Server.PID(); pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
		time.Sleep(300 * time.Millisecond)
		if err := storetest.Server.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if killed < kills/2 || retries.Load() == 0 {
		t.Fatalf("%d kills and %d retries: nothing was tested", killed, retries.Load())
	}
	if n := count(t, "SELECT count() FROM events"); n != batches*size {
		t.Errorf("the analyst sees %d events, want %d", n, batches*size)
	}
	if n := count(t, "SELECT uniqExact(event_id) FROM events"); n != batches*size {
		t.Errorf("%d different events, want %d", n, batches*size)
	}
	var rows uint64
	if err := storetest.Open(t, chdb.UserAdmin).QueryRow(t.Context(), "SELECT count() FROM mcpsiem.events").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills, %d retries, %d rows stored for %d events", killed, retries.Load(), rows, batches*size)
}

func TestValuesComeBack(t *testing.T) {
	truncate(t, "events")
	e := newTestExporter(t, testConfig())
	ts := time.Date(2026, 11, 1, 2, 3, 4, 123456789, time.UTC)
	want := event.Event{Name: event.NameResponse, Time: ts.UnixNano(), Received: ts.UnixNano() + 5, TraceID: [16]byte{1, 2}, SpanID: [8]byte{3}, Body: `{"jsonrpc":"2.0","id":1,"result":{}}`, Fields: event.Fields{
		ID: event.SourceID("x"), Tenant: "acme", Labels: map[string]string{"a": "b", "c": "d"}, OnBehalfOf: []string{"agent", "user"}, TokenLifetime: -1,
		PrincipalVerified: true, HTTPStatus: 200, Kind: event.KindResponse, ExchangeID: event.SourceID("r"), ExchangeStart: ts.UnixNano() - 1, Signals: map[string]float64{"injection": 0.5},
		CostAmount: 1.5, ExitCode: -9, LostEvents: 3, BatchIndex: 2, Tool: "t",
	}, Extra: map[string]string{"k": "v", "mcpsiem.raw.forgotten": "secret"}}
	if err := e.ConsumeLogs(t.Context(), logsOf(want)); err != nil {
		t.Fatal(err)
	}
	f := func(expr, want string) {
		t.Helper()
		var got string
		if err := storetest.Open(t, chdb.UserAnalyst).QueryRow(t.Context(), "SELECT toString("+expr+") FROM events").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", expr, got, want)
		}
	}
	f("ts", "2026-11-01 02:03:04.123456789")
	f("toUnixTimestamp64Nano(received) - toUnixTimestamp64Nano(ts)", "5")
	f("replaceAll(toString(event_id), '-', '')", want.ID)
	f("replaceAll(toString(exchange_id), '-', '')", want.ExchangeID)
	f("toUnixTimestamp64Nano(ts) - toUnixTimestamp64Nano(exchange_start)", "1")
	f("trace_id", "01020000000000000000000000000000")
	f("span_id", "0300000000000000")
	f("tenant", "acme")
	f("labels", "{'a':'b','c':'d'}")
	f("on_behalf_of", "['agent','user']")
	f("token_lifetime", "-1")
	f("principal_verified", "true")
	f("http_status", "200")
	f("signals", "{'injection':0.5}")
	f("cost_amount", "1.5")
	f("exit_code", "-9")
	f("lost_events", "3")
	f("batch_index", "2")
	f("body", want.Body)
	f("extra", "{'k':'v'}")
	f("anomalies", "[]")
	f("event_name", event.NameResponse)
}

// No value poisons a batch: what does not fit is made to fit and noted, and its neighbours are stored as they are.
func TestBadValues(t *testing.T) {
	now := time.Now().UnixNano()
	f := func(name string, e event.Event, anomaly string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			truncate(t, "events")
			x := newTestExporter(t, testConfig())
			good := event.Event{Name: event.NameRequest, Time: now, Received: now, Fields: event.Fields{ID: event.SourceID("good"), Kind: event.KindRequest}}
			if e.Received == 0 {
				e.Received = now
			}
			if err := x.ConsumeLogs(t.Context(), logsOf(good, e)); err != nil {
				t.Fatal(err)
			}
			if n := count(t, "SELECT count() FROM events"); n != 2 {
				t.Fatalf("%d rows, want 2", n)
			}
			if n := count(t, "SELECT countIf(has(anomalies, ?)) FROM events", anomaly); n != 1 {
				t.Errorf("%d rows note %s", n, anomaly)
			}
			if n := count(t, "SELECT countIf(empty(anomalies)) FROM events"); n != 1 {
				t.Error("the good row is noted too")
			}
			if n := count(t, "SELECT count() FROM mcp_calls WHERE NOT ignore(*)"); n == 0 {
				t.Error("mcp_calls has nothing")
			}
		})
	}
	id := event.SourceID("bad")
	f("negative", event.Event{Time: now, Fields: event.Fields{ID: id, PID: -1, BodySize: math.MinInt64}}, anomalyOutOfRange)
	f("too big", event.Event{Time: now, Fields: event.Fields{ID: id, HTTPStatus: 1 << 40}}, anomalyOutOfRange)
	f("not a number", event.Event{Time: now, Fields: event.Fields{ID: id, CostAmount: math.NaN()}}, anomalyOutOfRange)
	f("infinite", event.Event{Time: now, Fields: event.Fields{ID: id, Signals: map[string]float64{"x": math.Inf(1)}}}, anomalyOutOfRange)
	f("no id", event.Event{Time: now, Fields: event.Fields{ID: "not hex"}}, anomalyBadID)
	f("nearly an id", event.Event{Time: now, Fields: event.Fields{ID: strings.Repeat("g", 32)}}, anomalyBadID)
	f("UTF-8 in a repeating column", event.Event{Time: now, Fields: event.Fields{ID: id, Tool: "\xff\xfe"}}, anomalyBadUTF8)
	f("UTF-8 in the body", event.Event{Time: now, Body: "{\"a\":\"\xff\"}", Fields: event.Fields{ID: id}}, anomalyBadUTF8)
	f("long name", event.Event{Time: now, Fields: event.Fields{ID: id, Tool: strings.Repeat("é", 1<<20)}}, anomalyTruncated)
	f("many items", event.Event{Time: now, Fields: event.Fields{ID: id, AuthScopes: strings.Split(strings.Repeat("a,", 5000), ",")}}, anomalyTruncated)
	f("time 0", event.Event{Time: 0, Fields: event.Fields{ID: id}}, anomalyBadTime)
	f("far future", event.Event{Time: math.MaxInt64, Fields: event.Fields{ID: id}}, anomalyBadTime)
	f("far past", event.Event{Time: 1, Fields: event.Fields{ID: id}}, anomalyBadTime)
	f("before 1970", event.Event{Time: -5e18, Fields: event.Fields{ID: id}}, anomalyBadTime)
}

func TestNULAndEmptyAreStored(t *testing.T) {
	truncate(t, "events")
	e := newTestExporter(t, testConfig())
	if err := e.ConsumeLogs(t.Context(), logsOf(event.Event{Time: 5, Received: 5, Fields: event.Fields{Tool: "a\x00b"}, Body: "\x00"})); err != nil {
		t.Fatal(err)
	}
	if err := e.ConsumeLogs(t.Context(), plog.NewLogs()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, "SELECT count() FROM events WHERE tool = 'a\\0b' AND tenant = 'default' AND length(body) = 1"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// Hundreds of days in one batch are no error.
func TestManyDays(t *testing.T) {
	truncate(t, "events")
	e := newTestExporter(t, testConfig())
	now := time.Now()
	var events []event.Event
	for i := range 150 {
		events = append(events, event.Event{Time: now.AddDate(0, 0, -i).UnixNano(), Received: now.UnixNano(), Fields: event.Fields{ID: event.SourceID(fmt.Sprint(i))}})
	}
	if err := e.ConsumeLogs(t.Context(), logsOf(events...)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, "SELECT count() FROM events"); n != 150 {
		t.Errorf("%d rows, want 150", n)
	}
}

func TestFindings(t *testing.T) {
	truncate(t, "findings", "finding_history", "events")
	e := newTestExporter(t, testConfig())
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range 5 {
		f := finding.Finding{Time: time.Now().UnixNano(), Fields: finding.Fields{
			ID: event.SourceID(fmt.Sprint(i)), RuleID: "mcp.test", Severity: "high", Confidence: 0.9, EventIDs: []string{event.SourceID("a"), event.SourceID("b")},
			Why: map[string]string{"score": "1"}, Evidence: []string{"one", "two"}, References: []string{"x 1 y"}, FirstSeen: 1e18, LastSeen: 2e18, Count: 2,
		}}
		f.Encode(lrs.AppendEmpty())
	}
	for range 2 {
		if err := e.ConsumeLogs(redelivered(1), ld); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, "SELECT count() FROM findings WHERE tenant = 'default' AND length(event_ids) = 2 AND why['score'] = '1' AND length(evidence) = 2 AND confidence > 0.89"); n != 5 {
		t.Errorf("%d findings, want 5", n)
	}
	if n := count(t, "SELECT count() FROM events"); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}

func TestToolCatalogue(t *testing.T) {
	truncate(t, "tool_catalogue", "events")
	e := newTestExporter(t, testConfig())
	list := func(at int64, hash string) event.Event {
		return event.Event{Name: event.NameResponse, Time: at, Received: at, Body: `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"read","description":"Reads [REDACTED:email]"},{"name":"write"}]}}`,
			Fields: event.Fields{ID: event.SourceID(fmt.Sprint(at)), Kind: event.KindResponse, Server: "fs", Tenant: "acme",
				ToolDefs: []event.ToolDef{{Name: "read", Hash: hash, Tokens: 12}, {Name: "write", Hash: "w", Tokens: 3}}}}
	}
	t0 := time.Now().UnixNano()
	withheld := list(t0+4e9, "h2")
	withheld.Body = "withheld"
	for _, ev := range []event.Event{list(t0, "h1"), list(t0+1e9, "h1"), list(t0+2e9, "h2"), list(t0+2e9, "h2"), withheld} {
		if err := e.ConsumeLogs(t.Context(), logsOf(ev)); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, "SELECT count() FROM tool_catalogue"); n != 3 {
		t.Errorf("%d definitions, want 3", n)
	}
	if n := count(t, "SELECT count() FROM tool_catalogue WHERE tool = 'read' AND definition_hash = 'h1' AND tokens = 12 AND tenant = 'acme' AND server = 'fs' AND definition LIKE '{\"name\":\"read\"%' AND toUnixTimestamp64Nano(last_seen) - toUnixTimestamp64Nano(first_seen) = 1000000000"); n != 1 {
		t.Error("the first definition is not as it was seen")
	}
	if n := count(t, "SELECT count() FROM tool_catalogue WHERE definition_hash = 'h2' AND definition != '' AND toUnixTimestamp64Nano(last_seen) - toUnixTimestamp64Nano(first_seen) = 2000000000"); n != 1 {
		t.Error("a withheld list took a definition's text away")
	}
}

func TestErrorsAreClassified(t *testing.T) {
	f := func(code proto.Error, want bool) {
		t.Helper()
		err := classify("insert", fmt.Errorf("wrapped: %w", &ch.Exception{Code: code, Name: "DB::Exception", Message: "Cannot parse 'PLANTED'", Stack: "PLANTED"}))
		if consumererror.IsPermanent(err) != want {
			t.Errorf("%s: permanent is %v", code, !want)
		}
		if strings.Contains(err.Error(), "PLANTED") || !strings.Contains(err.Error(), code.String()) {
			t.Errorf("%v", err)
		}
	}
	for _, c := range []proto.Error{proto.ErrTypeMismatch, proto.ErrCannotParseText, proto.ErrViolatedConstraint, proto.ErrIncorrectData, proto.ErrSyntaxError} {
		f(c, true)
	}
	for _, c := range []proto.Error{proto.ErrAuthenticationFailed, proto.ErrWrongPassword, proto.ErrUnknownUser, proto.ErrRequiredPassword, proto.ErrIPAddressNotAllowed, proto.ErrAccessDenied,
		proto.ErrReadonly, proto.ErrUnknownTable, proto.ErrUnknownDatabase, proto.ErrNoSuchColumnInTable, proto.ErrUnknownIdentifier, proto.ErrUnknownSetting} {
		f(c, false)
		if err := classify("insert", &ch.Exception{Code: c}); !errors.Is(err, errMisconfigured) || streams.Reason(err) != fmt.Sprintf("clickhouse_%d", int(c)) {
			t.Errorf("%s: %v", c, err)
		}
	}
	for _, c := range []proto.Error{proto.ErrTooManyParts, proto.ErrMemoryLimitExceeded, proto.ErrNetworkError, proto.ErrSocketTimeout, proto.ErrTimeoutExceeded, proto.ErrTableIsReadOnly,
		proto.ErrNotEnoughSpace, proto.ErrCannotWriteToFileDescriptor, proto.ErrTooManySimultaneousQueries, proto.ErrAborted, proto.ErrQueryWasCancelled, proto.ErrQuotaExceeded, proto.ErrNoZookeeper} {
		f(c, false)
	}
	if err := classify("insert", nil); err != nil {
		t.Error(err)
	}
	if err := classify("insert", errors.New("broken pipe")); consumererror.IsPermanent(err) {
		t.Error("a broken connection is permanent")
	}
}

// What the server itself refuses, end to end.
func TestServerErrors(t *testing.T) {
	admin := storetest.Open(t, chdb.UserAdmin)
	e := newTestExporter(t, testConfig())
	ld := logsOf(event.Event{Time: time.Now().UnixNano(), Fields: event.Fields{ID: event.SourceID("x"), Tool: "PLANTED"}, Body: "PLANTED"})
	f := func(breakIt, mend string, permanent bool) {
		t.Helper()
		if err := admin.Exec(t.Context(), breakIt); err != nil {
			t.Fatal(err)
		}
		err := e.ConsumeLogs(t.Context(), ld)
		if merr := admin.Exec(t.Context(), mend); merr != nil {
			t.Fatal(merr)
		}
		if err == nil || consumererror.IsPermanent(err) != permanent || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%s: %v", breakIt, err)
		}
		if err := e.ConsumeLogs(t.Context(), ld); err != nil {
			t.Errorf("after %s: %v", mend, err)
		}
	}
	f("RENAME TABLE mcpsiem.events TO mcpsiem.away", "RENAME TABLE mcpsiem.away TO mcpsiem.events", false)
	f("ALTER TABLE mcpsiem.events RENAME COLUMN os_user TO away", "ALTER TABLE mcpsiem.events RENAME COLUMN away TO os_user", false)
	f("ALTER TABLE mcpsiem.events ADD CONSTRAINT no CHECK tool != 'PLANTED'", "ALTER TABLE mcpsiem.events DROP CONSTRAINT no", true)
	truncate(t, "events")
	f("ALTER TABLE mcpsiem.events MODIFY SETTING max_parts_in_total = 0", "ALTER TABLE mcpsiem.events RESET SETTING max_parts_in_total", false)
}

// A password that is rotated while the exporter runs: batches wait, and are stored when its file has the new one.
func TestPasswordIsRotated(t *testing.T) {
	truncate(t, "events")
	admin := storetest.Open(t, chdb.UserAdmin)
	path := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(path, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testConfig()
	right := string(cfg.Password)
	cfg.Password, cfg.PasswordFile, cfg.Connections = "", path, 1
	write(right)
	e := newTestExporter(t, cfg)
	ld := logsOf(event.Event{Time: time.Now().UnixNano(), Fields: event.Fields{ID: event.SourceID("x")}})
	// An error ends the connection, so that the next batch makes one.
	if err := admin.Exec(t.Context(), "RENAME TABLE mcpsiem.events TO mcpsiem.away"); err != nil {
		t.Fatal(err)
	}
	err := e.ConsumeLogs(t.Context(), ld)
	if merr := admin.Exec(t.Context(), "RENAME TABLE mcpsiem.away TO mcpsiem.events"); merr != nil {
		t.Fatal(merr)
	}
	if err == nil {
		t.Fatal("stored without a table")
	}
	write("rotated")
	if err := e.ConsumeLogs(t.Context(), ld); !errors.Is(err, errMisconfigured) || consumererror.IsPermanent(err) || !strings.Contains(err.Error(), "password_file") {
		t.Errorf("wrong password: %v", err)
	}
	write(right)
	if err := e.ConsumeLogs(t.Context(), ld); err != nil {
		t.Error(err)
	}
	if n := count(t, "SELECT count() FROM events"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestStartRefusesWrongSchemaAndAccount(t *testing.T) {
	admin := storetest.Open(t, chdb.UserAdmin)
	start := func(cfg *Config) error {
		e, err := NewFactory().CreateLogs(t.Context(), exportertest.NewNopSettings(Type), cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = e.Start(t.Context(), componenttest.NewNopHost())
		if serr := e.Shutdown(context.Background()); serr != nil {
			t.Error(serr)
		}
		return err
	}
	if err := admin.Exec(t.Context(), fmt.Sprintf("INSERT INTO mcpsiem.schema_migrations (version, name, checksum) VALUES (%d, 'x', '')", store.SchemaVersion()+1)); err != nil {
		t.Fatal(err)
	}
	if err := start(testConfig()); !errors.Is(err, store.ErrSchemaNew) {
		t.Errorf("a newer schema: %v", err)
	}
	if err := admin.Exec(t.Context(), "DELETE FROM mcpsiem.schema_migrations WHERE name = 'x'"); err != nil {
		t.Fatal(err)
	}
	if err := admin.Exec(t.Context(), "RENAME TABLE mcpsiem.schema_migrations TO mcpsiem.away"); err != nil {
		t.Fatal(err)
	}
	if err := start(testConfig()); err == nil || !strings.Contains(err.Error(), "mcpsiem migrate") {
		t.Errorf("no schema: %v", err)
	}
	if err := admin.Exec(t.Context(), "RENAME TABLE mcpsiem.away TO mcpsiem.schema_migrations"); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.Password = "wrong"
	if err := start(cfg); err == nil || !strings.Contains(err.Error(), "AUTHENTICATION_FAILED") {
		t.Errorf("a wrong password: %v", err)
	}
	cfg = testConfig()
	cfg.Database = "nosuch"
	if err := start(cfg); err == nil || !strings.Contains(err.Error(), "UNKNOWN_DATABASE") {
		t.Errorf("an unknown database: %v", err)
	}
	cfg = testConfig()
	cfg.Endpoint = "127.0.0.1:1"
	if err := start(cfg); err != nil {
		t.Errorf("a server that is away: %v", err)
	}
}

func TestConfigValidate(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := newDefaultConfig()
		change(c)
		err := c.Validate()
		if want == "" {
			if err != nil {
				t.Error(err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(func(*Config) {}, "")
	f(func(c *Config) { c.Endpoint = "http://x" }, "host:port")
	f(func(c *Config) { c.Database = "a b" }, "database")
	f(func(c *Config) { c.Username = "" }, "username")
	f(func(c *Config) { c.Password, c.PasswordFile = "a", "b" }, "not both")
	f(func(c *Config) { c.ReadTimeout = 0 }, "read_timeout")
	f(func(c *Config) { c.MaxInsertRows = 0 }, "max_insert_rows")
	f(func(c *Config) { c.Connections = 0 }, "connections")
}
