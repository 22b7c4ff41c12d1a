package clickhouse

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// revision is one state of one finding, as a message of FINDINGS.
func revision(id string, raised time.Time, rev time.Time, status string) plog.Logs {
	f := finding.Finding{Time: raised.UnixNano(), Fields: finding.Fields{
		ID: event.SourceID(id), Group: event.SourceID("group"), RuleID: "r", Severity: "high", Status: status, FirstSeen: raised.UnixNano(), LastSeen: raised.UnixNano(), Count: 1,
	}}
	if !rev.IsZero() {
		f.Revision, f.TriagedBy = rev.UnixNano(), "ann"
	}
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutInt(event.AttrStreamSeq, 1)
	f.Encode(rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
	return ld
}

// Whatever order revisions arrive in, and however often, the highest holds, nothing of the history is missing, and the times are
// those of the changes.
func TestRevisions(t *testing.T) {
	raised := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return raised.Add(time.Duration(minutes) * time.Minute) }
	original := revision("a", raised, time.Time{}, "open")
	ack, resolve := revision("a", raised, at(5), "acknowledged"), revision("a", raised, at(20), "resolved")
	reopen, falsePositive := revision("a", raised, at(30), "open"), revision("a", raised, at(45), "false_positive")
	ended := revision("a", raised, at(5), "accepted")
	f := func(name, want string, messages ...plog.Logs) {
		t.Helper()
		truncate(t, "findings", "finding_history")
		e := newTestExporter(t, testConfig())
		for i, ld := range messages {
			ctx := t.Context()
			if i > 0 { // a restart in between: the exporter must not take a revision for one it has
				ctx = streams.WithOrigin(ctx, streams.Origin{Stream: streams.Findings, First: uint64(i), Last: uint64(i), Redelivered: true})
			}
			for range 2 {
				if err := e.ConsumeLogs(ctx, ld); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, user := range []string{chdb.UserAnalyst, chdb.UserAdmin} { // with and without final in the profile
			c := storetest.Open(t, user)
			var got string
			if err := c.QueryRow(context.Background(), `SELECT arrayStringConcat(arrayMap(x -> toString(x), [toString(status), ifNull(toString(mtta), '-'), ifNull(toString(mttr), '-'),
				toString(changes), toString(group_findings), toString(group_open), toString(is_open)]), ' ') FROM mcpsiem.mcp_findings`).Scan(&got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got != want {
				t.Errorf("%s, as %s: %s, want %s", name, user, got, want)
			}
		}
		distinct := map[plog.Logs]bool{}
		for _, m := range messages {
			distinct[m] = true
		}
		if n := count(t, "SELECT count() FROM finding_history"); n != uint64(len(distinct)) {
			t.Errorf("%s: %d revisions in the history, want %d", name, n, len(distinct))
		}
		if n := count(t, "SELECT stored FROM accounting WHERE stream = 'FINDINGS'"); n != uint64(len(distinct)) {
			t.Errorf("%s: %d stored by the accounts, want %d", name, n, len(distinct))
		}
	}
	f("raised", "open - - 0 1 1 1", original)
	f("acknowledged", "acknowledged 300 - 1 1 1 1", original, ack)
	f("resolved", "resolved 300 1200 2 1 0 0", original, ack, resolve)
	f("the original replayed", "resolved 300 1200 2 1 0 0", original, ack, resolve, original)
	f("the original last", "resolved 1200 1200 1 1 0 0", resolve, original)
	f("changes out of order", "resolved 300 1200 2 1 0 0", original, resolve, ack)
	f("reopened", "open 300 - 3 1 1 1", original, ack, resolve, reopen)
	f("closed again", "false_positive 300 2700 4 1 0 0", original, ack, resolve, reopen, falsePositive)
	f("accepted for good", "accepted 300 300 1 1 0 0", original, ended)

	past := plog.NewLogs()
	ended.CopyTo(past)
	past.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().PutInt(finding.AttrAcceptedUntil, at(10).UnixNano())
	f("accepted until a time that has passed", "open 300 - 1 1 1 1", original, past)
	past.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().PutInt(finding.AttrAcceptedUntil, time.Now().Add(time.Hour).UnixNano())
	f("accepted until a time to come", "accepted 300 300 1 1 0 0", original, past)
}

func TestGroups(t *testing.T) {
	truncate(t, "findings", "finding_history")
	e := newTestExporter(t, testConfig())
	raised := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for _, ld := range []plog.Logs{
		revision("a", raised, time.Time{}, "open"), revision("b", raised.Add(time.Hour), time.Time{}, "open"), revision("c", raised.Add(2*time.Hour), time.Time{}, "accepted"),
		revision("a", raised, raised.Add(time.Minute), "resolved"),
	} {
		if err := e.ConsumeLogs(t.Context(), ld); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	if err := storetest.Open(t, chdb.UserAdmin).QueryRow(t.Context(), "SELECT concat(toString(findings), ' ', toString(open), ' ', toString(suppressed), ' ', toString(newest_id)) FROM mcpsiem.mcp_finding_groups").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if b := event.SourceID("b"); strings.ReplaceAll(got, "-", "") != "3 1 1 "+b {
		t.Errorf("%s, want 3 1 1 and %s: the newest that is open", got, b)
	}
}

// A condition on the sort key reaches the table.
func TestFindingsReadWhatTheyNeed(t *testing.T) {
	c := storetest.Open(t, chdb.UserAdmin)
	rows, err := c.Query(t.Context(), "EXPLAIN indexes = 1 SELECT status FROM mcpsiem.mcp_findings WHERE tenant = 'acme' AND rule_id = 'r'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	plan := ""
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan += line + "\n"
	}
	if !strings.Contains(plan, "(rule_id in ['r', 'r'])") {
		t.Errorf("the condition on rule_id does not reach the table:\n%s", plan)
	}
}
