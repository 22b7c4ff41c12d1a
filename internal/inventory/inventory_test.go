package inventory

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { storetest.Main(m.Run) }

var day = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// row is an event: columns and their SQL. at is in seconds after day.
func insert(t *testing.T, id, at int, columns ...string) {
	t.Helper()
	names := []string{"event_id", "ts", "tenant", "event_name", "stream_seq"}
	values := []string{fmt.Sprintf("'00000000-0000-0000-0000-%012d'", id), fmt.Sprintf("'%s'", day.Add(time.Duration(at)*time.Second).Format(time.DateTime)), "'acme'", "'mcp.request'", "1"}
	for i := 0; i < len(columns); i += 2 {
		if at, ok := map[string]int{"tenant": 2, "event_name": 3}[columns[i]]; ok {
			values[at] = columns[i+1]
			continue
		}
		names = append(names, columns[i])
		values = append(values, columns[i+1])
	}
	sql := "INSERT INTO mcpsiem.events (" + strings.Join(names, ", ") + ") SETTINGS insert_deduplicate = 0 VALUES (" + strings.Join(values, ", ") + ")"
	if err := storetest.Open(t, chdb.UserAdmin).Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func seed(t *testing.T) {
	t.Helper()
	admin := storetest.Open(t, chdb.UserAdmin)
	for _, table := range []string{"events", "tool_catalogue", "approvals"} {
		if err := admin.Exec(t.Context(), "TRUNCATE TABLE mcpsiem."+table); err != nil {
			t.Fatal(err)
		}
	}
	alice := []string{"server", "'tickets'", "principal_id", "'alice'", "principal_kind", "'user'", "principal_method", "'jwt'", "principal_issuer", "'https://login.example.com/'", "principal_verified", "true",
		"principal_team", "'research'", "principal_cost_center", "'cc-1'", "token_fingerprint", "'aaaa'", "token_lifetime", "3600", "token_age", "60", "auth_scopes", "['read', 'write']",
		"auth_audience", "['https://mcp']", "client_name", "'claude'", "host_name", "'laptop-1'", "conversation_id", "'c1'", "transport", "'streamable_http'", "protocol_version", "'2025-11-25'", "tap_id", "'tap-1'",
		"server_claimed_name", "'Tickets'", "server_claimed_version", "'1.2'", "server_address", "'10.0.0.1'", "server_port", "443", "tokens_encoding", "'o200k_base'"}
	event := func(who []string, more ...string) []string { return append(append([]string{}, who...), more...) }
	for range 2 { // all of it stored twice: it counts once
		insert(t, 1, 0, event(alice, "kind", "'request'", "method", "'tools/list'", "body", `'{"method":"tools/list","params":{}}'`)...)
		insert(t, 2, 1, event(alice, "kind", "'response'", "method", "'tools/list'", "outcome", "'ok'", "tokens_definitions", "1500", "body", `'{"result":{"tools":[{"name":"find"},{"name":"close"}],"nextCursor":"x"}}'`)...)
		insert(t, 3, 2, event(alice, "kind", "'request'", "method", "'tools/list'", "body", `'{"method":"tools/list","params":{"cursor":"x"}}'`)...)
		insert(t, 4, 3, event(alice, "kind", "'response'", "method", "'tools/list'", "outcome", "'ok'", "tokens_definitions", "500", "body", `'{"result":{"tools":[{"name":"drop"}]}}'`)...)
		insert(t, 5, 10, event(alice, "kind", "'request'", "method", "'tools/call'", "tool", "'find'", "capabilities", "['reads_private']", "tokens_arguments", "20", "cost_amount", "0.25", "cost_currency", "'USD'",
			"cost_model", "'m'", "cost_basis", "'counted'")...)
		insert(t, 6, 11, event(alice, "kind", "'response'", "method", "'tools/call'", "tool", "'find'", "outcome", "'ok'", "capabilities", "['reads_private']", "tokens_result", "300", "cost_amount", "0.5",
			"cost_currency", "'USD'", "cost_model", "'m'", "cost_basis", "'counted'")...)
		insert(t, 7, 12, event(alice, "kind", "'request'", "method", "'tools/call'", "tool", "'find'")...)
		insert(t, 8, 13, event(alice, "kind", "'response'", "method", "'tools/call'", "tool", "'find'", "outcome", "'tool_error'")...)
	}
	// Someone else with alice's token, not verified; a server with a hostile name; a tool that nobody listed.
	insert(t, 20, 3600, "server", "'tickets'", "principal_id", "'mallory'", "principal_method", "'opaque_token'", "token_fingerprint", "'aaaa'", "kind", "'request'", "method", "'tools/call'", "tool", "'hidden'",
		"client_address", "'203.0.113.9'", "conversation_id", "'c2'")
	insert(t, 21, 3700, "server", "'evil\\x1b[2J\u202e'", "principal_id", "'mallory'", "token_fingerprint", "'bbbb'", "token_lifetime", "-1", "kind", "'request'", "method", "'initialize'", "transport", "'stdio'")
	insert(t, 22, 3800, "server", "'files'", "kind", "'request'", "method", "'ping'", "tenant", "'other'")
	// close is approved, find was; of tickets as a whole the approval was taken back and given again. drop is approved under another definition.
	audit := func(id, at int, action, server, tool, hash, by string) {
		insert(t, id, at, "server", "'"+server+"'", "tool", "'"+tool+"'", "event_name", "'mcpsiem.audit'", "kind", "'record'", "audit_action", "'server."+action+"'", "audit_target", "'"+server+"'", "principal_id", "'"+by+"'",
			"principal_verified", "true", "audit_details", "{'definition_hash':'"+hash+"'}")
	}
	audit(40, 20, "approve", "tickets", "", "", "ann")
	audit(41, 30, "revoke", "tickets", "", "", "ann")
	audit(42, 40, "approve", "tickets", "", "", "bea")
	for range 2 {
		audit(43, 41, "approve", "tickets", "close", "h3", "bea")
	}
	audit(44, 42, "approve", "tickets", "find", "h2", "bea")
	audit(45, 43, "revoke", "tickets", "find", "", "ann")
	audit(46, 44, "approve", "tickets", "drop", "h0", "bea")
	// Long before the window.
	insert(t, 30, -90*86400, "server", "'old'", "principal_id", "'bob'", "token_fingerprint", "'cccc'", "kind", "'request'", "method", "'tools/call'", "tool", "'find'")
	for _, v := range []string{
		"('acme', 'tickets', 'find', 'h1', 700, '2026-01-01 00:00:00', '2026-02-01 00:00:00', '')",
		"('acme', 'tickets', 'find', 'h2', 900, '2026-02-01 00:00:00', '2026-11-20 10:00:01', '')",
		"('acme', 'tickets', 'find', 'h2', 900, '2026-11-20 10:00:01', '2026-11-20 10:00:01', '')",
		"('acme', 'tickets', 'close', 'h3', 600, '2026-11-20 10:00:01', '2026-11-20 10:00:01', '')",
		"('acme', 'tickets', 'drop', 'h4', 500, '2026-11-20 10:00:03', '2026-11-20 10:00:03', '')",
		"('acme', 'tickets', 'gone', 'h5', 9999, '2026-01-01 00:00:00', '2026-02-01 00:00:00', '')",
	} {
		if err := admin.Exec(t.Context(), "INSERT INTO mcpsiem.tool_catalogue SETTINGS insert_deduplicate = 0 VALUES "+v); err != nil {
			t.Fatal(err)
		}
	}
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return '�'
		}
		return r
	}, s)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s\nwant\n%s", name, got, want)
	}
}

// check reads as the analyst and compares the table and the JSON with their golden files.
func check[R Row](t *testing.T, name string) []R {
	t.Helper()
	rows, more, err := Read[R](t.Context(), storetest.Open(t, chdb.UserAnalyst), Query{Since: day.Add(-30 * 24 * time.Hour)})
	if err != nil || more {
		t.Fatalf("%s: %v, more %v", name, err, more)
	}
	var table bytes.Buffer
	if err := Print(&table, rows, Style{Clean: clean, Location: time.UTC}); err != nil {
		t.Fatal(err)
	}
	if i := bytes.IndexFunc(table.Bytes(), func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) }); i >= 0 {
		t.Errorf("%s: the table has a control character", name)
	}
	golden(t, name+".txt", table.Bytes())
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, name+".json", append(b, '\n'))
	return rows
}

func TestInventory(t *testing.T) {
	seed(t)
	tokens := check[Token](t, "tokens")
	if len(tokens) != 2 || tokens[1].Owner != "alice" || tokens[1].Verified != "partly" || len(tokens[1].Principals) != 2 || tokens[1].Calls != 3 {
		t.Errorf("tokens: %+v", tokens)
	}
	people := check[Principal](t, "principals")
	if people[0].ID != "alice" || people[0].Calls != 2 || people[0].FailedCalls != 1 || people[0].Cost["USD"] != 0.75 || people[0].ModelTokens != 2320 {
		t.Errorf("principals: %+v", people)
	}
	tools := check[Tool](t, "tools")
	if len(tools) != 4 { // gone was last listed before the window
		t.Errorf("%d tools", len(tools))
	}
	servers := check[Server](t, "servers")
	if servers[0].Name != "tickets" || servers[0].DefinitionTokens != 2000 || servers[0].ToolsListed != 3 || servers[0].ToolsCalled != 2 {
		t.Errorf("servers: %+v", servers)
	}
}

func TestTax(t *testing.T) {
	seed(t)
	talks := check[ConversationTax](t, "tax_conversations")
	if len(talks) != 1 || talks[0].Tokens != 2000 || talks[0].Lists != 1 || talks[0].Tools != 3 || talks[0].ToolsUsed != 1 || talks[0].TokensUnused != 1100 || talks[0].Calls != 2 {
		t.Errorf("conversations: %+v", talks)
	}
	servers := check[ServerTax](t, "tax_servers")
	if len(servers) != 1 || servers[0].ContextShare != 0.01 || servers[0].NeverUsed != 2 || servers[0].NeverUsedTokens != 1100 {
		t.Errorf("servers: %+v", servers)
	}
	check[ClientTax](t, "tax_clients")
	// The same list asked for again is in the context once.
	insert(t, 40, 100, "server", "'tickets'", "conversation_id", "'c1'", "kind", "'request'", "method", "'tools/list'", "body", `'{"params":{}}'`)
	insert(t, 41, 101, "server", "'tickets'", "conversation_id", "'c1'", "kind", "'response'", "method", "'tools/list'", "tokens_definitions", "2000", "body", `'{"result":{"tools":[{},{},{}]}}'`)
	again, _, err := Read[ConversationTax](t.Context(), storetest.Open(t, chdb.UserAnalyst), Query{Since: day.Add(-time.Hour)})
	if err != nil || len(again) != 1 || again[0].Tokens != 2000 || again[0].Lists != 2 || again[0].Tools != 3 {
		t.Errorf("asked twice: %+v, %v", again, err)
	}
}

func TestQuery(t *testing.T) {
	seed(t)
	c := storetest.Open(t, chdb.UserAnalyst)
	f := func(q Query, rows int, more bool) {
		t.Helper()
		got, m, err := Read[Server](t.Context(), c, q)
		if err != nil || len(got) != rows || m != more {
			t.Errorf("%+v: %d rows, more %v, %v", q, len(got), m, err)
		}
	}
	f(Query{Since: day.Add(-time.Hour)}, 3, false)
	f(Query{Since: day.Add(-time.Hour), Limit: 2}, 2, true)
	f(Query{Since: day.Add(-time.Hour), Limit: 3}, 3, false)
	f(Query{Since: day.Add(-time.Hour), Tenant: "other"}, 1, false)
	f(Query{Since: day.Add(-time.Hour), Tenant: "'; DROP"}, 0, false)
	f(Query{Since: day.Add(-365 * 24 * time.Hour)}, 4, false)
	f(Query{Since: day.Add(365 * 24 * time.Hour)}, 0, false)
	// The spend of a copy counts once too.
	var spent float64
	if err := c.QueryRow(t.Context(), "SELECT sum(cost) FROM spend WHERE team = 'research' AND hour >= '2026-11-20 00:00:00'").Scan(&spent); err != nil || spent != 0.75 {
		t.Errorf("spend: %v, %v", spent, err)
	}
}

func TestCells(t *testing.T) {
	s := Style{Clean: clean}
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(s.name(""), "-")
	f(s.name("a\tb\nc"), "a�b�c")
	f(s.name(strings.Repeat("é", 1000)), strings.Repeat("é", 47)+"…")
	f(s.names([]string{"a", "b", "c", "d", "e", "f"}), "a b c d +2")
	f(s.who("alice", []string{"alice", "bob"}), "alice +1")
	f(lifetime(0), "?")
	f(lifetime(-1), "never ends")
	f(lifetime(60), "1m0s")
	f(lifetime(7200), "2h")
	f(lifetime(90*86400), "90d")
	f(s.cost(map[string]float64{"USD": 1, "EUR": 0.5}), "0.5000 EUR 1.0000 USD")
}

func TestMissingView(t *testing.T) {
	admin := storetest.Open(t, chdb.UserAdmin)
	rename := func(from, to string) {
		if err := admin.Exec(t.Context(), "RENAME TABLE mcpsiem."+from+" TO mcpsiem."+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("inventory_servers", "away")
	_, _, err := Read[Server](t.Context(), storetest.Open(t, chdb.UserAnalyst), Query{Since: day})
	rename("away", "inventory_servers")
	if err == nil || !strings.Contains(err.Error(), "mcpsiem migrate") {
		t.Errorf("%v", err)
	}
	if _, _, err := Read[Server](t.Context(), storetest.Open(t, chdb.UserAnalyst), Query{Since: day}); err != nil {
		t.Error(err)
	}
}
