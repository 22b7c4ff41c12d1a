package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

// row runs a query that returns one row, as the analyst, and prints the row.
func row(t *testing.T, query string) string {
	t.Helper()
	var s string
	if err := storetest.Open(t, chdb.UserAnalyst).QueryRow(t.Context(), query).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

const callT0 = 1_790_000_000_000_000_000

// message makes one message of exchange x at t0 + ms.
func message(x, kind string, ms int64, change func(*event.Event)) event.Event {
	e := event.Event{Time: callT0 + ms*1e6, Received: callT0 + ms*1e6, Fields: event.Fields{
		ID: event.SourceID(x, kind, fmt.Sprint(ms)), Kind: kind, Tenant: "acme", Method: "tools/call", Tool: "read", Server: "fs", PrincipalID: "ann", PrincipalKind: "user",
		ExchangeID: event.SourceID(x, event.KindRequest, "0"), ExchangeStart: callT0, Direction: event.ClientToServer, Capture: "complete",
	}}
	switch kind {
	case event.KindRequest:
		e.Name, e.TokensArguments, e.CostAmount = event.NameRequest, 7, 0.5
		e.Body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{"path":"/x"}}}`
	case event.KindNotification:
		e.Name, e.ExchangeID, e.ExchangeStart, e.Method = event.NameNotification, "", 0, "notifications/progress"
	default:
		e.Name, e.Direction, e.Outcome, e.DurationNanos, e.TokensResult, e.CostAmount = event.NameResponse, event.ServerToClient, event.OutcomeOK, ms*1e6, 9, 0.25
		e.Body = `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`
	}
	if change != nil {
		change(&e)
	}
	return e
}

func TestCalls(t *testing.T) {
	e := newTestExporter(t, testConfig())
	const cols = "concat(toString(count()), '|', any(outcome), '|', any(arguments), '|', any(result), '|', toString(any(duration_ms)), '|', toString(any(tokens_arguments + tokens_result)), '|', toString(any(cost_amount)), '|', any(principal_id))"
	f := func(name, want string, events ...event.Event) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			truncate(t, "events")
			for range 2 { // a second copy, in other blocks, changes nothing
				for i := len(events) - 1; i >= 0; i-- { // and neither does the order
					if err := e.ConsumeLogs(t.Context(), logsOf(events[i])); err != nil {
						t.Fatal(err)
					}
				}
				if err := e.ConsumeLogs(t.Context(), logsOf(events...)); err != nil {
					t.Fatal(err)
				}
			}
			if got := row(t, "SELECT "+cols+" FROM mcp_calls"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	req := message("a", event.KindRequest, 0, nil)
	f("answered", `1|ok|{"path":"/x"}|{"content":[]}|40|16|0.75|ann`, req, message("a", event.KindResponse, 40, nil))
	f("two exchanges", `2|ok|{"path":"/x"}|{"content":[]}|40|16|0.75|ann`, req, message("a", event.KindResponse, 40, nil), message("b", event.KindRequest, 0, nil), message("b", event.KindResponse, 40, nil))
	f("pending", `1|pending|{"path":"/x"}||0|7|0.5|ann`, req)
	f("error", `1|rpc_error|{"path":"/x"}|{"code":-32602,"message":"no"}|3|16|0.75|ann`, req, message("a", event.KindError, 3, func(e *event.Event) {
		e.Outcome, e.RPCCode, e.Body = event.OutcomeRPCError, "-32602", `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}`
	}))
	f("orphan", `1|orphan||{"content":[]}|0|9|0.25|ann`, message("a", event.KindResponse, 0, func(e *event.Event) {
		e.ExchangeID, e.ExchangeStart, e.Outcome = "", 0, event.OutcomeOrphan
	}))
	f("cancelled", `1|cancelled|{"path":"/x"}||0|7|0.5|ann`, req, message("a", event.KindNotification, 5, func(e *event.Event) {
		e.ExchangeID, e.ExchangeStart, e.Method, e.Outcome = req.ID, callT0, "notifications/cancelled", event.OutcomeCancelled
	}))
	f("late", `1|late|{"path":"/x"}|{"content":[]}|90|16|0.75|ann`, req, message("a", event.KindNotification, 5, func(e *event.Event) {
		e.ExchangeID, e.ExchangeStart, e.Method, e.Outcome = req.ID, callT0, "notifications/cancelled", event.OutcomeCancelled
	}), message("a", event.KindResponse, 90, func(e *event.Event) { e.Outcome = event.OutcomeLate }))
	f("progress is no call", `1|ok|{"path":"/x"}|{"content":[]}|40|16|0.75|ann`, req, message("a", event.KindResponse, 40, nil), message("a", event.KindNotification, 20, nil))
	f("withheld", `1|ok|||40|16|0.75|ann`, message("a", event.KindRequest, 0, func(e *event.Event) { e.Body = "" }), message("a", event.KindResponse, 40, func(e *event.Event) { e.Body = "{not json" }))
	f("other method", `1|ok|{"uri":"file:///x"}|{"content":[]}|40|16|0.75|ann`, message("a", event.KindRequest, 0, func(e *event.Event) {
		e.Method, e.Body = "resources/read", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///x"}}`
	}), message("a", event.KindResponse, 40, nil))
	f("principal known from the answer alone", `1|ok|{"path":"/x"}|{"content":[]}|40|16|0.75|ann`, message("a", event.KindRequest, 0, func(e *event.Event) { e.PrincipalID = "" }), message("a", event.KindResponse, 40, nil))
}

// A condition on tenant and time must reach the table: no more is read than the window.
func TestCallsReadTheirWindowOnly(t *testing.T) {
	truncate(t, "events")
	e := newTestExporter(t, testConfig())
	start := time.Now().Add(-10 * time.Hour)
	g := newGenerator(9, start)
	for g.now < start.Add(9*time.Hour).UnixNano() {
		g.now += int64(20 * time.Minute)
		if err := e.ConsumeLogs(t.Context(), g.batch(4000, 1)); err != nil {
			t.Fatal(err)
		}
	}
	c := storetest.Open(t, chdb.UserAdmin)
	if err := c.Exec(t.Context(), "OPTIMIZE TABLE mcpsiem.events FINAL"); err != nil {
		t.Fatal(err)
	}
	granules := func(query string) (read, all int) {
		t.Helper()
		rows, err := c.Query(t.Context(), "EXPLAIN indexes = 1 "+query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var plan []string
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, line)
			if _, err := fmt.Sscanf(strings.TrimSpace(line), "Granules: %d/%d", &read, &all); err == nil {
				continue
			}
		}
		if all == 0 {
			t.Fatal(strings.Join(plan, "\n"))
		}
		return read, all
	}
	_, all := granules("SELECT count() FROM mcpsiem.events WHERE ts > toDateTime(0)")
	if all == 0 {
		var n uint64
		_ = c.QueryRow(context.Background(), "SELECT sum(marks) FROM system.parts WHERE active AND table = 'events'").Scan(&n)
		all = int(n)
	}
	window := fmt.Sprintf("started > fromUnixTimestamp64Nano(%d) - 900", g.now)
	read, _ := granules("SELECT started, tool, outcome, result FROM mcpsiem.mcp_calls WHERE tenant = 'default' AND " + window)
	t.Logf("%d of %d granules for 15 minutes of 9 hours", read, all)
	if read*4 > all {
		t.Errorf("a window of 15 minutes reads %d of %d granules", read, all)
	}
	if read, _ := granules("SELECT started FROM mcpsiem.mcp_calls WHERE tenant = 'nobody'"); read != 0 {
		t.Errorf("an unknown tenant reads %d granules", read)
	}
}

func TestAccountingAndTaps(t *testing.T) {
	truncate(t, "events", "findings", "finding_history", "ledger")
	admin := storetest.Open(t, chdb.UserAdmin)
	e := newTestExporter(t, testConfig())
	// five messages of ten records: one was dead-lettered, one is under way
	for range 2 { // the ledger may be told twice
		for seq := 1; seq <= 5; seq++ {
			if err := admin.Exec(t.Context(), fmt.Sprintf("INSERT INTO mcpsiem.ledger (stream, seq, records, published_at) VALUES ('EVENTS', %d, 10, now64())", seq)); err != nil {
				t.Fatal(err)
			}
		}
		if err := admin.Exec(t.Context(), "INSERT INTO mcpsiem.ledger (stream, seq, records, sink, reason) VALUES ('EVENTS', 4, 10, 'clickhouse', 'schema'), ('EVENTS', 5, 10, 'splunk', 'down')"); err != nil {
			t.Fatal(err)
		}
	}
	tap := func(seq int64, change func(*event.Event)) event.Event {
		ev := event.Event{Time: callT0 + seq*1e6, Received: callT0 + seq*1e6, Fields: event.Fields{ID: event.TapID("lap", 100, seq), TapID: "lap", TapEpoch: 100, TapSeq: seq, Server: "fs", StreamSeq: 1 + (seq-1)/10}}
		if change != nil {
			change(&ev)
		}
		return ev
	}
	var events []event.Event
	for seq := int64(1); len(events) < 30; seq++ {
		if seq == 7 || seq == 8 || seq == 9 { // 7 and 8 are reported as lost, 9 is not
			continue
		}
		ev := tap(seq, nil)
		ev.StreamSeq = int64(1 + len(events)/10)
		if seq == 20 {
			ev.Name, ev.LostEvents, ev.LostFrom, ev.LostTo = event.NameTapLoss, 2, 7, 8
		}
		events = append(events, ev)
	}
	if err := e.ConsumeLogs(t.Context(), logsOf(events...)); err != nil {
		t.Fatal(err)
	}
	f := func(query, want string) {
		t.Helper()
		if got := row(t, query); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", query, got, want)
		}
	}
	f("SELECT toString(tuple(sink, stream, received, stored, dead_lettered, difference)) FROM accounting WHERE stream = 'EVENTS'", "('clickhouse','EVENTS',50,30,10,10)")
	f("SELECT toString(tuple(sink, stream, received, stored, dead_lettered, difference)) FROM accounting WHERE stream = 'FINDINGS'", "('clickhouse','FINDINGS',0,0,0,0)")
	f("SELECT toString(tuple(tap_id, server, first, last, stored, missing, explained)) FROM tap_gaps", "('lap','fs',1,33,30,3,2)")
	f("SELECT toString(tuple(tap_id, server, epochs, events, missing, explained)) FROM taps", "('lap','fs',1,30,3,2)")
}
