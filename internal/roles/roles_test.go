package roles

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// server is an engine with accounts of every role and two tenants' rows in every table.
var server *chdb.Server

const password = "0123456789abcdef0123"

func TestMain(m *testing.M) {
	chdb.Main()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "mcpsiem-roles")
		if err == nil {
			defer os.RemoveAll(dir)
			err = start(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "cannot run the tests without ClickHouse:", err)
			return 1
		}
		defer server.Stop(context.Background())
		return m.Run()
	}())
}

func start(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	lib, err := chdb.Ensure(ctx, chdb.EnsureOptions{Progress: os.Stderr})
	if err != nil {
		return err
	}
	var accounts []chdb.Account
	var people []Account
	for _, a := range []Account{
		{Name: "ann", Role: Analyst, Tenants: []string{"acme"}}, {Name: "quo", Role: Analyst, Tenants: []string{`o'b\x`}}, {Name: "all", Role: Analyst},
		{Name: "audi", Role: Auditor}, {Name: "root.1", Role: Admin},
	} {
		if err := a.Validate(); err != nil {
			return err
		}
		accounts, people = append(accounts, a.Embedded(password, EventColumns())...), append(people, a)
	}
	if server, err = chdb.Start(ctx, chdb.Options{Dir: dir, Lib: lib, Accounts: accounts}); err != nil {
		return err
	}
	c, err := store.Open(ctx, store.Config{Endpoint: server.TCPAddr(), Username: chdb.UserAdmin, Password: server.Password(chdb.UserAdmin)})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := store.Migrate(ctx, c, io.Discard); err != nil {
		return err
	}
	const id = "toUUID('00000000-0000-0000-0000-00000000000%d')"
	for i, t := range []string{"acme", "beta", `o'b\x`} {
		q := func(s string) string { return quote(s) }
		secret := "SECRET-" + t
		uid := fmt.Sprintf(id, i+1)
		for _, s := range []string{
			"INSERT INTO mcpsiem.events (tenant, event_id, exchange_id, event_name, ts, exchange_start, kind, direction, method, server, tool, principal_id, body, tap_id, tap_seq, stream_seq, session_id, token_fingerprint, audit_action, cost_amount, tokens_arguments) SELECT " +
				q(t) + ", " + uid + ", " + uid + ", 'mcp.request', now64(9), now64(9), 'request', 'client_to_server', 'tools/call', " + q(secret+"-server") + ", " + q(secret+"-tool") + ", " + q(secret+"-person") + ", " + q(secret) + ", " + q(secret+"-tap") + ", 1, 1, " + q(secret) + ", " + q(secret) + ", '', 1, 5",
			"INSERT INTO mcpsiem.findings (tenant, finding_id, rule_id, summary, server, principal_id, ts, first_seen, last_seen, status, stream_seq, event_ids) SELECT " + q(t) + ", " + uid + ", " + q(secret+"-rule") + ", " + q(secret) + ", " + q(secret+"-server") + ", " + q(secret+"-person") + ", now64(9), now64(9), now64(9), 'open', 1, [" + uid + "]",
			"INSERT INTO mcpsiem.tool_catalogue (tenant, server, tool, definition_hash, definition) VALUES (" + q(t) + ", " + q(secret+"-server") + ", 't', 'h', " + q(secret) + ")",
			"INSERT INTO mcpsiem.approvals (tenant, server, tool, definition_hash, at, event_id, action, by) SELECT " + q(t) + ", " + q(secret+"-server") + ", 't', 'h', now64(9), " + uid + ", 'server.approve', " + q(secret),
			"INSERT INTO mcpsiem.holds (tenant, hold_id, matter) VALUES (" + q(t) + ", 'h', " + q(secret) + ")",
			"INSERT INTO mcpsiem.removals (tenant, record_id, reason) SELECT " + q(t) + ", " + uid + ", " + q(secret),
			"INSERT INTO mcpsiem.removed (tenant, kind, id, tap_id, tap_seq, record_id) SELECT " + q(t) + ", 'event', generateUUIDv4(), " + q(secret+"-tap") + ", 2, " + uid,
			"INSERT INTO mcpsiem.seal_leaves (tenant, leaf_index, kind, id) SELECT " + q(t) + ", 0, 'event', " + uid,
			"INSERT INTO mcpsiem.seal_salts (tenant, leaf_index, salt) VALUES (" + q(t) + ", 0, '0123456789abcdef')",
			"INSERT INTO mcpsiem.seal_checkpoints (tenant, size, origin, note) VALUES (" + q(t) + ", 1, " + q(secret) + ", " + q(secret) + ")",
			"INSERT INTO mcpsiem.seal_deletions (tenant, leaf_index, record_id) SELECT " + q(t) + ", 0, " + uid,
			"INSERT INTO mcpsiem.ledger (stream, seq, records, sink, reason, origin) VALUES ('EVENTS', 1, 1, 'clickhouse', 'x', " + q(secret) + ")",
		} {
			if err := c.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
	}
	// Many rows of one tenant: what their number lets through of a part's dictionary.
	for _, s := range []string{
		"INSERT INTO mcpsiem.events (tenant, event_id, ts, server, principal_id, tap_id) SELECT 'acme', generateUUIDv4(), now64(9), 's', concat('p', toString(number)), 't' FROM numbers(20)",
		"INSERT INTO mcpsiem.findings (tenant, finding_id, ts, server, principal_id) SELECT 'acme', generateUUIDv4(), now64(9), 's', concat('p', toString(number)) FROM numbers(20)",
	} {
		if err := c.Exec(ctx, s); err != nil {
			return err
		}
	}
	// One part for all tenants: what is shared inside a part must not show.
	for _, t := range []string{"events", "findings"} {
		if err := c.Exec(ctx, "OPTIMIZE TABLE mcpsiem."+t+" FINAL"); err != nil {
			return err
		}
	}
	return Install(ctx, c, people, io.Discard)
}

// ask returns whatever the server says, data or error, over HTTP, with all headers.
func ask(t *testing.T, user, query string) string {
	t.Helper()
	req, _ := http.NewRequest(http.MethodPost, "http://"+server.HTTPAddr()+"/?default_format=TSVWithNames", strings.NewReader(query))
	req.SetBasicAuth(user, password)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, "\n", string(b))
}

func tables(t *testing.T, views bool) []string {
	t.Helper()
	c, err := store.Open(t.Context(), store.Config{Endpoint: server.TCPAddr(), Username: chdb.UserAdmin, Password: server.Password(chdb.UserAdmin)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rows, err := c.Query(t.Context(), "SELECT name FROM system.tables WHERE database = 'mcpsiem' AND (engine LIKE '%View') = ? ORDER BY name", views)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// Each table is either filtered, or not for analysts of single tenants. A new table fails here until somebody has decided.
func TestEveryTableIsDecided(t *testing.T) {
	for _, name := range tables(t, false) {
		filtered, shared := slices.Contains(Tables, name), slices.Contains(common, name)
		if filtered == shared {
			t.Errorf("table %s: is it of tenants (roles.Tables) or common?", name)
		}
		if shared && slices.Contains(forTenants, name) {
			t.Errorf("%s is common and for tenants", name)
		}
	}
	views := tables(t, true)
	for _, name := range forTenants {
		if !slices.Contains(views, name) && !slices.Contains(Tables, name) {
			t.Errorf("%s is no filtered table and no view", name)
		}
	}
}

func TestAnAnalystSeesOneTenant(t *testing.T) {
	f := func(query string) {
		t.Helper()
		for _, q := range []string{query, strings.ReplaceAll(query, "mcpsiem", "mcpsiem_ann")} {
			out := strings.ReplaceAll(ask(t, "ann", q), `\`, "")
			if strings.Contains(out, "SECRET-beta") || strings.Contains(out, "SECRET-o'b") || strings.Contains(out, "beta-person") || strings.Contains(out, "beta-server") || strings.Contains(out, "000000000002") {
				t.Errorf("%s\nshows another tenant: %s", q, out[:min(len(out), 600)])
			}
		}
	}
	number := func(query, want string) {
		t.Helper()
		out := ask(t, "ann", query)
		if !strings.HasPrefix(out, "200") || !strings.HasSuffix(strings.TrimSpace(out), "\n"+want) {
			t.Errorf("%s: %s, want %s", query, out, want)
		}
	}
	for _, name := range append(tables(t, false), tables(t, true)...) {
		f("SELECT * FROM mcpsiem." + name)
		f("SELECT * FROM mcpsiem." + name + "(since = '2020-01-01 00:00:00')")
		f("SELECT toString(tuple(*)) FROM mcpsiem." + name + " WHERE tenant != 'acme'")
		f("SELECT * FROM merge('mcpsiem', '^" + name + "$')")
		f("DESCRIBE mcpsiem." + name)
		f("SHOW CREATE TABLE mcpsiem." + name)
	}
	for _, name := range []string{"events", "findings", "mcp_calls", "mcp_findings", "spend", "seal_leaves", "tool_catalogue", "approvals"} {
		out := ask(t, "ann", "SELECT DISTINCT tenant FROM mcpsiem_ann."+name)
		if strings.TrimSpace(out) != "200\ntenant\nacme" {
			t.Errorf("%s: own rows do not show, or others do: %s", name, out)
		}
	}
	// Each view of an account works, and what is behind it is the account's alone.
	for _, name := range forTenants {
		of := "mcpsiem_ann." + name
		if p := parameters[name]; p != "" {
			of += "(" + p + " = '2020-01-01 00:00:00')"
		}
		if out := ask(t, "ann", "SELECT count() FROM "+of+" WHERE tenant != 'acme'"); strings.TrimSpace(out) != "200\ncount()\n0" {
			t.Errorf("%s: %s", name, out)
		}
		if out := ask(t, "ann", "SELECT * FROM "+of); !strings.HasPrefix(out, "200") {
			t.Errorf("%s: %s", name, out)
		}
	}
	// Another account's views are not there, not even their names.
	for _, q := range []string{"SELECT name FROM system.databases", "SHOW DATABASES", "SELECT database FROM system.tables", "SELECT database FROM system.columns", "SHOW TABLES FROM mcpsiem_quo", "SELECT word FROM system.completions WHERE context = 'database'",
		"SELECT belongs FROM system.completions WHERE context = 'table'", "SELECT * FROM merge('mcpsiem_quo', '.*')", "SELECT * FROM mcpsiem_quo.events", "DESCRIBE mcpsiem_quo.events", "EXISTS mcpsiem_quo.events", "SHOW CREATE VIEW mcpsiem_quo.events"} {
		if out := ask(t, "ann", q); strings.HasPrefix(out, "200") && strings.Contains(out, "mcpsiem_quo") || strings.Contains(out, "SECRET-o'b") {
			t.Errorf("%s shows another account: %s", q, out)
		}
	}
	if out := ask(t, "quo", "SELECT tenant, body FROM mcpsiem_quo.events FORMAT TSVRaw"); strings.TrimSpace(out) != "200\no'b\\x\tSECRET-o'b\\x" {
		t.Errorf("a tenant with a quote in its name: %s", out)
	}
	number("SELECT count() FROM mcpsiem_ann.events", "21")
	number("SELECT count() FROM mcpsiem_ann.events WHERE tenant != 'acme'", "0")
	number("SELECT uniqExact(tenant) FROM mcpsiem_ann.events", "1")
	number("SELECT count() FROM mcpsiem_ann.mcp_calls", "1")
	number("SELECT count() FROM mcpsiem_ann.inventory_principals(since = '2020-01-01 00:00:00') WHERE principal_id = 'SECRET-acme-person'", "1")
	number("SELECT count() FROM system.tables WHERE database = 'mcpsiem' OR total_rows > 0", "0")
	for _, q := range []string{
		"SELECT * FROM mcpsiem.events WHERE tenant = 'beta' OR 1",
		"SELECT * FROM mcpsiem.events PREWHERE tenant = 'beta'",
		"SELECT * FROM mcpsiem.events FINAL",
		"SELECT * FROM mcpsiem.events AS a LEFT JOIN mcpsiem.events AS b ON a.kind = b.kind",
		"SELECT * FROM mcpsiem.findings AS a FULL JOIN mcpsiem.events AS b ON 1 = 1",
		"SELECT * FROM mcpsiem.events WHERE tenant IN (SELECT tenant FROM mcpsiem.findings)",
		"SELECT (SELECT groupArray(body) FROM mcpsiem.events)",
		"WITH x AS (SELECT * FROM mcpsiem.events) SELECT * FROM x UNION ALL SELECT * FROM x",
		"SELECT * FROM merge('mcpsiem', '.*')", "SELECT * FROM merge('.*', 'events')", "SELECT * FROM merge(REGEXP('.*'), '.*')",
		"SELECT * FROM remote('127.0.0.1', mcpsiem.events)", "SELECT * FROM remote('127.0.0.1:" + strings.Split(server.TCPAddr(), ":")[1] + "', mcpsiem.events, 'default', '')",
		"SELECT * FROM cluster('default', mcpsiem.events)", "SELECT * FROM clusterAllReplicas('default', mcpsiem.events)",
		"SELECT * FROM url('http://" + server.HTTPAddr() + "/?query=SELECT+1', 'TSV', 'x String')",
		"SELECT * FROM file('**', 'LineAsString')", "SELECT * FROM file('../data/**', 'LineAsString')", "SELECT * FROM s3('http://127.0.0.1/x', 'CSV')",
		"SELECT * FROM executable('cat /etc/passwd', 'TSV', 'x String')", "SELECT * FROM mergeTreeIndex('mcpsiem', 'events')", "SELECT * FROM mergeTreeIndex(mcpsiem, events, with_marks = 1)",
		"SELECT * FROM mergeTreeProjection('mcpsiem', 'events', 'x')", "SELECT * FROM mergeTreeAnalyzeIndexes('mcpsiem', 'events')", "SELECT * FROM mergeTreeParts('mcpsiem', 'events')",
		"SELECT * FROM dictionary('x')", "SELECT dictGet('x', 'y', 1)", "SELECT joinGet('mcpsiem.events', 'body', 1)", "SELECT * FROM loop('mcpsiem', 'events') LIMIT 10", "SELECT * FROM loop(mcpsiem.events) LIMIT 10",
		"SELECT * FROM viewIfPermitted(SELECT * FROM mcpsiem.events ELSE null('x String'))", "SELECT * FROM view(SELECT * FROM mcpsiem.events)",
		"SELECT file('../data/metadata/mcpsiem.sql')", "SELECT catboostEvaluate('/etc/passwd', 1)",
		"EXPLAIN SELECT * FROM mcpsiem.events WHERE tenant = 'beta'", "EXPLAIN PLAN actions = 1, indexes = 1 SELECT * FROM mcpsiem.events", "EXPLAIN PIPELINE SELECT * FROM mcpsiem.events",
		"EXPLAIN ESTIMATE SELECT * FROM mcpsiem.events", "EXPLAIN QUERY TREE SELECT * FROM mcpsiem.events", "EXPLAIN TABLE OVERRIDE mysql('a:1','b','c','d','e')", "EXPLAIN SYNTAX SELECT * FROM mcpsiem.mcp_calls",
		"SELECT throwIf(tenant != 'acme', body) FROM mcpsiem.events", "SELECT count() FROM mcpsiem.events WHERE throwIf(tenant = 'beta', 'SECRET-' || 'beta') = 0",
		"SELECT toUInt64(body) FROM mcpsiem.events", "SELECT count() FROM mcpsiem.events WHERE toUInt64(substring(body, 1)) = 1", "SELECT count() FROM mcpsiem.events PREWHERE toUInt64(body) = 1", "SELECT count() FROM mcpsiem.findings WHERE toUInt64(summary) = 1",
		"SELECT toUInt64(principal_id) FROM mcpsiem.events", "SELECT count() FROM mcpsiem.events WHERE toDate(principal_id) > today()",
		"SELECT lowCardinalityKeys(principal_id) FROM mcpsiem.events", "SELECT lowCardinalityKeys(server), lowCardinalityIndices(server) FROM mcpsiem.events", "SELECT dumpColumnStructure(principal_id) FROM mcpsiem.events",
		"SELECT lowCardinalityKeys(tenant) FROM mcpsiem.events PREWHERE 1", "SELECT lowCardinalityKeys(principal_id) FROM mcpsiem.findings", "SELECT lowCardinalityKeys(server) FROM mcpsiem.tool_catalogue",
		"SELECT arrayMap(x -> lowCardinalityKeys(x), [principal_id, server]) FROM mcpsiem.events", "SELECT lowCardinalityKeys(p) FROM (SELECT principal_id AS p, body FROM mcpsiem.events ORDER BY ts)",
		"SELECT lowCardinalityKeys(materialize(tap_id)) FROM mcpsiem.removed", "SELECT principal_id FROM mcpsiem.events FORMAT Native", "SELECT principal_id, body FROM mcpsiem.events FORMAT Parquet",
		"SELECT principal_id, server FROM mcpsiem.events FORMAT ArrowStream SETTINGS output_format_arrow_low_cardinality_as_dictionary = 1", "SELECT runningDifference(cost_amount), neighbor(body, 1) FROM mcpsiem.events",
		"SELECT lagInFrame(body) OVER (), leadInFrame(body) OVER () FROM mcpsiem.events", "SELECT anyHeavy(body), topK(10)(body) FROM mcpsiem.events", "SELECT body FROM mcpsiem.events ORDER BY ts LIMIT 10 WITH TIES", "SELECT body FROM mcpsiem.events SAMPLE 1",
		"SELECT _part, _partition_id, _row_exists, body FROM mcpsiem.events", "SELECT * FROM mcpsiem.events WHERE _part != ''",
		"SELECT * FROM system.query_log", "SELECT * FROM system.processes", "SELECT query FROM system.processes", "SELECT * FROM system.parts", "SELECT * FROM system.parts_columns", "SELECT * FROM system.row_policies", "SELECT * FROM system.users",
		"SELECT * FROM system.grants", "SELECT * FROM system.errors", "SELECT * FROM system.settings", "SELECT * FROM system.tables", "SELECT total_rows, total_bytes FROM system.tables", "SELECT data_compressed_bytes FROM system.columns",
		"SELECT * FROM system.mutations", "SELECT * FROM system.text_log", "SELECT * FROM system.dictionaries", "SELECT * FROM system.query_cache", "SELECT * FROM system.zeros LIMIT 1", "SELECT * FROM INFORMATION_SCHEMA.TABLES", "SELECT * FROM information_schema.columns",
		"SHOW TABLES FROM system", "SHOW PROCESSLIST", "SHOW ACCESS", "SHOW GRANTS FOR admin", "SHOW CREATE USER admin", "SHOW ROW POLICIES", "SHOW CREATE ROW POLICIES",
		"SET final = 0", "SELECT * FROM mcpsiem.events SETTINGS final = 0", "SELECT * FROM mcpsiem.events SETTINGS readonly = 0", "SELECT * FROM mcpsiem.events SETTINGS additional_table_filters = {'mcpsiem.events': '1'}",
		"SELECT * FROM mcpsiem.events SETTINGS optimize_trivial_count_query = 1", "SELECT count() FROM mcpsiem.events SETTINGS force_index_by_date = 0",
		"CREATE VIEW mcpsiem.v AS SELECT * FROM mcpsiem.events", "CREATE TEMPORARY TABLE t AS SELECT * FROM mcpsiem.events", "CREATE TABLE mcpsiem.t ENGINE = Memory AS SELECT * FROM mcpsiem.events", "CREATE MATERIALIZED VIEW mcpsiem.v ENGINE = Memory AS SELECT * FROM mcpsiem.events",
		"INSERT INTO mcpsiem.events SELECT * FROM mcpsiem.events", "INSERT INTO FUNCTION file('x.csv') SELECT * FROM mcpsiem.events", "SELECT * FROM mcpsiem.events INTO OUTFILE 'x'", "ALTER TABLE mcpsiem.events DELETE WHERE 1", "DROP ROW POLICY ann ON mcpsiem.events",
		"GRANT SELECT ON *.* TO ann", "ALTER USER ann DEFAULT ROLE ALL", "EXECUTE AS admin SELECT * FROM mcpsiem.events", "SET ROLE ALL", "KILL QUERY WHERE 1", "SYSTEM RELOAD CONFIG", "SYSTEM FLUSH LOGS", "BACKUP TABLE mcpsiem.events TO Disk('default', 'x')", "ATTACH TABLE x FROM 'y' (a UInt8) ENGINE = MergeTree ORDER BY a",
		"CHECK TABLE mcpsiem.events", "SHOW INDEX FROM mcpsiem.events", "OPTIMIZE TABLE mcpsiem.events", "SELECT getServerSetting('path')", "SELECT hasColumnInTable('mcpsiem', 'events', 'body')", "SELECT initializeAggregation('any', body) FROM mcpsiem.events",
		"SELECT * FROM mcpsiem.accounting", "SELECT * FROM mcpsiem.ledger", "SELECT * FROM mcpsiem.consumers", "SELECT * FROM mcpsiem.approvals_feed", "SELECT * FROM mcpsiem.finding_history_feed", "SELECT * FROM mcpsiem.seal_salts",
		"SELECT * FROM generateRandom('x UInt8') LIMIT 1", "SELECT * FROM timeSeriesData('x')", "SELECT * FROM fuzzQuery('SELECT * FROM mcpsiem.events') LIMIT 3", "SELECT * FROM fuzzJSON('x') LIMIT 1", "SELECT * FROM values('x String', body)", "SELECT * FROM input('x String')",
		"SELECT max(ts), min(tenant), max(tenant), count() FROM mcpsiem.events", "SELECT * FROM mergeTreeTextIndex('mcpsiem', 'events', 'by_principal')", "SELECT * FROM timeSeriesTags(mcpsiem, events)", "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM mcpsiem.events))",
		"EXPLAIN indexes = 1, json = 1 SELECT * FROM mcpsiem.events WHERE principal_id LIKE 'SECRET-%'", "SELECT * FROM mcpsiem.events QUALIFY 1", "SELECT * FROM mcpsiem.events WHERE match(principal_id, '^(([a-z])+.)+[A-Z]([a-z])+$')", "SELECT * FROM numbers(10) AS n JOIN mcpsiem.events AS e ON e.tap_seq = n.number",
		"SELECT * FROM mcpsiem.events AS a ASOF JOIN mcpsiem.events AS b ON a.kind = b.kind AND a.ts >= b.ts", "SELECT * FROM mcpsiem.mcp_calls WHERE arguments LIKE '%SECRET%' OR result LIKE '%SECRET%'", "SELECT groupArray(tuple(*)) FROM mcpsiem.mcp_findings",
		"SELECT estimateCompressionRatio(body) FROM mcpsiem.events", "SELECT tuple(*) FROM mcpsiem.events GROUP BY ALL WITH TOTALS", "SELECT tenant, count() FROM mcpsiem.events GROUP BY tenant WITH ROLLUP", "SELECT tenant FROM mcpsiem.events GROUP BY GROUPING SETS ((tenant), ())",
	} {
		f(q)
	}
	hidden := true
	for _, q := range refused(t) {
		out := ask(t, "ann", q)
		if strings.HasPrefix(out, "200") {
			t.Errorf("%s is not refused: %.300s", q, out)
		}
		hidden = hidden && !strings.Contains(out, "SECRET-beta")
	}
	if !hidden {
		t.Error("a refusal quotes another tenant's row")
	}
	for _, q := range []string{"SELECT file('/etc/passwd')", "SELECT file('/etc/passwd') SETTINGS enable_analyzer = 0", "SELECT * FROM numbers(length(file('/etc/passwd'))) SETTINGS enable_analyzer = 0"} { // nor for an administrator of the database
		if out := ask(t, "root.1", q); strings.HasPrefix(out, "200") {
			t.Errorf("%s is not refused: %.300s", q, out)
		}
	}
	// What these would show to somebody who may read the tables: the test would notice.
	for _, q := range []string{"SELECT * FROM mergeTreeIndex('mcpsiem', 'events')", "SELECT lowCardinalityKeys(principal_id) FROM mcpsiem.events"} {
		if out := strings.ReplaceAll(ask(t, "all", q), `\`, ""); !strings.Contains(out, "SECRET-o'b") && !strings.Contains(out, "SECRET-beta") {
			t.Errorf("%s no longer shows anything: %s", q, out)
		}
		if out := ask(t, "ann", q); !strings.Contains(out, "497") {
			t.Errorf("%s: %s", q, out)
		}
	}
	// The embedded server's own accounts stay closed.
	for _, user := range []string{"default", "admin", "reader_ann"} {
		if out := ask(t, user, "SELECT 1"); strings.HasPrefix(out, "200") {
			t.Errorf("%s lets in with another's password", user)
		}
	}
}

// refused is what the server must not do for an analyst, whatever it would show: other accounts, settings, files, other machines, and table functions of which nobody
// has said that they are harmless.
func refused(t *testing.T) []string {
	out := []string{
		"SET send_logs_level = 'trace'", "SELECT 1 SETTINGS send_logs_level = 'trace'", "SET profile = 'default'", "SELECT 1 SETTINGS profile = 'default'", "SET readonly = 0", "SET final = 0", "SELECT 1 SETTINGS max_execution_time = 100000", "SELECT 1 SETTINGS max_memory_usage = 0",
		"SELECT 1 SETTINGS format_schema = '/etc/passwd:X'", "SELECT 1 SETTINGS log_comment = 'x'", "SELECT 1 SETTINGS allow_get_client_http_header = 1", "SELECT addressToLine(1) SETTINGS allow_introspection_functions = 1", "SELECT 1 SETTINGS replace_running_query = 1",
		"KILL QUERY WHERE 1", "KILL QUERY WHERE user = 'quo' SYNC", "KILL MUTATION WHERE 1", "SYSTEM SHUTDOWN", "SYSTEM RELOAD USERS", "SYSTEM DROP MARK CACHE", "SYSTEM STOP MERGES mcpsiem.events", "CREATE FUNCTION x AS (a) -> a", "CREATE NAMED COLLECTION x AS a = 1", "CREATE USER x", "ALTER USER ann SETTINGS PROFILE 'default'",
		"CREATE TEMPORARY TABLE x (x UInt8) ENGINE = Memory", "CREATE DATABASE x", "DROP VIEW mcpsiem_ann.events", "CREATE OR REPLACE VIEW mcpsiem_ann.events AS SELECT 1", "ALTER TABLE mcpsiem_ann.events MODIFY QUERY SELECT 1", "RENAME TABLE mcpsiem_ann.events TO mcpsiem_ann.x", "DETACH VIEW mcpsiem_ann.events",
		"SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT * FROM '/etc/passwd'", "DESCRIBE TABLE file('/etc/passwd')", "DESCRIBE TABLE url('http://127.0.0.1:1/')", "SELECT file('/etc/passwd')", "SELECT addressToLine(1)", "SHOW USERS", "SHOW CREATE USER", "SHOW QUOTAS", "USE mcpsiem",
	}
	// The engine's local mode reads any file of its process for whoever calls file(): internal/chdb shadows it.
	for _, f := range []string{"file(%s)", "file(%s, '')", "`file`(%s)", "file(materialize(%s))", "arrayMap(file, [%s])", "arrayMap(x -> file(x), [%s])", "mapApply((k, v) -> (k, file(v)), map('a', %s))", "arrayFold((a, x) -> file(x), [%s], '')", "length(file(%s))", "throwIf(1, file(%s))", "throwIf(file(%s) != '')",
		"dictGet(file(%s), 'x', 1)", "format(file(%s), 'x')", "transform(1, [1], [file(%s)])", "catboostEvaluate(%s, 1)"} {
		out = append(out, "SELECT "+fmt.Sprintf(f, "'/etc/passwd'"))
	}
	out = append(out, "SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS x)", "SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd' AS x)", "SELECT * REPLACE(file(x) AS x) FROM (SELECT '/etc/passwd' AS x)", "WITH file('/etc/passwd') AS x SELECT x", "WITH (SELECT file('/etc/passwd')) AS x SELECT x",
		"SELECT * FROM values('x String', file('/etc/passwd'))", "SELECT * FROM numbers(length(file('/etc/passwd')))", "SELECT * FROM view(SELECT file('/etc/passwd'))", "SELECT * FROM format(TSV, 'x String', file('/etc/passwd'))", "SELECT * FROM fuzzJSON(file('/etc/passwd'))", "SELECT 1 LIMIT length(file('/etc/passwd'))",
		"SELECT 1 AS x ORDER BY x WITH FILL FROM length(file('/etc/passwd')) TO 3", "SELECT 1 FROM numbers(1) WHERE file('/etc/passwd') != ''", "SELECT a FROM (SELECT 1) ARRAY JOIN [file('/etc/passwd')] AS a", "SELECT file('/etc/passwd') SETTINGS enable_analyzer = 0")
	harmless := []string{"generateRandom", "generateSeries", "generate_series", "numbers", "numbers_mt", "null", "primes", "values", "SQLStandardValues", "view", "viewIfPermitted", "merge", "fuzzQuery", "fuzzJSON", "zeros", "zeros_mt", "format"}
	for _, name := range strings.Split(ask(t, "root.1", "SELECT name FROM system.table_functions FORMAT TSV"), "\n")[1:] {
		if name == "" || slices.Contains(harmless, name) {
			continue
		}
		for _, args := range []string{"", "'/etc/passwd'", "mcpsiem, events", "'127.0.0.1:1', 'y', 'z', 'a', 'b'", "'http://127.0.0.1:1/x', 'CSV', 'x String'"} {
			out = append(out, "SELECT * FROM "+name+"("+args+") LIMIT 2")
		}
	}
	return out
}

func TestAnAuditorReadsNoContent(t *testing.T) {
	for _, c := range []struct{ user, query, want string }{
		{"audi", "SELECT uniqExact(tenant) FROM mcpsiem.events", "200\nuniqExact(tenant)\n3"},
		{"audi", "SELECT count() FROM mcpsiem.seal_leaves", "200\ncount()\n3"},
		{"audi", "SELECT count() FROM mcpsiem.holds", "200\ncount()\n3"},
		{"audi", "SELECT count() FROM mcpsiem.mcp_findings", "200\ncount()\n23"},
		{"audi", "SELECT count() FROM mcpsiem.tap_gaps", "200\ncount()\n3"},
		{"audi", "SELECT count() FROM mcpsiem.token_tax(since = '2026-01-01 00:00:00')", "200\ncount()\n"},
		{"audi", "SELECT body FROM mcpsiem.events", "500\nCode: 497"},
		{"audi", "SELECT * FROM mcpsiem.events", "500\nCode: 497"},
		{"audi", "SELECT count() FROM mcpsiem.events WHERE body LIKE '%SECRET%'", "500\nCode: 497"},
		{"audi", "SELECT arguments FROM mcpsiem.mcp_calls", "500\nCode: 497"},
		{"audi", "SELECT * FROM merge('mcpsiem', '^events$')", "500\nCode: 497"},
		{"audi", "SELECT * FROM mcpsiem.seal_salts", "500\nCode: 497"},
		{"audi", "INSERT INTO mcpsiem.events (tenant) VALUES ('x')", ""},
		{"all", "SELECT uniqExact(tenant) FROM mcpsiem.events", "200\nuniqExact(tenant)\n3"},
		{"root.1", "SELECT uniqExact(tenant) FROM mcpsiem.events", "200\nuniqExact(tenant)\n3"},
	} {
		out := strings.TrimSpace(ask(t, c.user, c.query))
		if !strings.HasPrefix(out, c.want) || c.want == "" && strings.HasPrefix(out, "200") {
			t.Errorf("%s: %s: %s, want %s", c.user, c.query, out[:min(len(out), 300)], c.want)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roles.yaml")
	if a, err := Read(path); err != nil || len(a) != 0 {
		t.Fatal(a, err)
	}
	want := []Account{{Name: "ann", Role: Analyst, Tenants: []string{"o'b"}}, {Name: "bob", Role: Auditor}}
	if err := Write(path, []Account{want[1], want[0]}); err != nil {
		t.Fatal(err)
	}
	have, err := Read(path)
	if err != nil || fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("%v, %v", have, err)
	}
	sql := want[0].SQL("mcpsiem", map[string][]Column{"mcp_calls": {{"server", "LowCardinality(String)"}}}, strings.Repeat("ab", 32))
	for _, x := range []string{"CREATE USER OR REPLACE `ann` IDENTIFIED WITH sha256_hash BY 'abab", `USING tenant IN ('o\'b') TO ` + "`reader_ann`", "GRANT SELECT ON mcpsiem.mcp_calls TO `reader_ann`", "CAST(`server`, 'String') AS `server`", "ON mcpsiem.seal_salts USING"} {
		if !strings.Contains(sql, x) {
			t.Errorf("%s is not in\n%s", x, sql)
		}
	}
	for _, a := range []Account{{Name: "a b", Role: Analyst}, {Name: "admin", Role: Analyst}, {Name: "x", Role: "king"}, {Name: "x", Role: Auditor, Tenants: []string{"a"}}, {Name: "x", Role: Analyst, Tenants: []string{""}}, {Name: "<x>", Role: Admin}} {
		if a.Validate() == nil {
			t.Errorf("%+v passes", a)
		}
	}
}

// Accounts change while the engine runs: same ports, same data, the new account is in and the old one is out.
func TestAccountsChangeWhileRunning(t *testing.T) {
	ctx := t.Context()
	lib, err := chdb.Ensure(ctx, chdb.EnsureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	embedded := func(a ...Account) (out []chdb.Account) {
		for _, x := range a {
			out = append(out, x.Embedded(password, EventColumns())...)
		}
		return out
	}
	ann, bob := Account{Name: "ann", Role: Analyst, Tenants: []string{"acme"}}, Account{Name: "bob", Role: Auditor}
	s, err := chdb.Start(ctx, chdb.Options{Dir: t.TempDir(), Lib: lib, Accounts: embedded(ann)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background())
	other := server
	server = s
	defer func() { server = other }()
	admin := func() *store.Conn {
		t.Helper()
		c, err := store.Open(ctx, store.Config{Endpoint: s.TCPAddr(), Username: chdb.UserAdmin, Password: s.Password(chdb.UserAdmin)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := admin()
	if err := store.Migrate(ctx, c, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := Install(ctx, c, []Account{ann}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(ctx, "INSERT INTO mcpsiem.events (tenant, event_id, ts) SELECT 'acme', generateUUIDv4(), now64(9)"); err != nil {
		t.Fatal(err)
	}
	before := s.TCPAddr()
	if err := s.SetAccounts(ctx, embedded(ann, bob)); err != nil || s.TCPAddr() != before {
		t.Fatal(err)
	}
	for user, q := range map[string]string{"ann": "SELECT count() FROM mcpsiem_ann.events", "bob": "SELECT count() FROM mcpsiem.events"} {
		if out := ask(t, user, q); strings.TrimSpace(out) != "200\ncount()\n1" {
			t.Errorf("%s: %s", user, out)
		}
	}
	if err := s.SetAccounts(ctx, embedded(bob)); err != nil {
		t.Fatal(err)
	}
	if err := Install(ctx, admin(), []Account{bob}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if out := ask(t, "ann", "SELECT 1"); !strings.HasPrefix(out, "403") {
		t.Errorf("ann is still in: %s", out)
	}
	if err := s.SetAccounts(ctx, []chdb.Account{{Name: "admin", Password: password, Profile: "default"}}); err == nil {
		t.Error("an account of a taken name")
	}
	if out := ask(t, "bob", "SELECT 1"); !strings.HasPrefix(out, "200") {
		t.Errorf("a refused change took effect: %s", out)
	}
}
