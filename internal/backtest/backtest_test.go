package backtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/rule"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m.Run) }

var day = time.Date(2026, 11, 20, 23, 50, 0, 0, time.UTC)

const text = `schema: mcpsiem.rule/v1
id: back
version: 1.0.0
title: T
severity: low
kind: threshold
when: tool == "drop" and "destroys" in capabilities and signals.injection > 0.5 and labels.site == "x" and principal_verified
group_by: [principal_id]
window: 30m
threshold: {aggregate: event_count, gte: 3}
summary: "{principal_id}: {count}"
`

// What is stored is read back as it was, in order, and a rule raises over it what it would have raised; as the analyst.
func TestBacktest(t *testing.T) {
	admin := storetest.Open(t, chdb.UserAdmin)
	for i := range 6 {
		at := day.Add(time.Duration(i*6) * time.Minute).Format("2006-01-02 15:04:05")
		sql := fmt.Sprintf("INSERT INTO mcpsiem.events (event_id, ts, received, tenant, event_name, stream_seq, tool, principal_id, principal_verified, capabilities, signals, labels, body, exchange_start, duration_ns) "+
			"SETTINGS insert_deduplicate = 0 VALUES ('00000000-0000-0000-0000-%012d', '%s', '%s', 'acme', 'mcp.request', %d, 'drop', 'alice', true, ['destroys'], {'injection': 0.75}, {'site': 'x'}, '{\"a\":1}', '%s', -5)", i+1, at, at, i+1, at)
		if err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	c := storetest.Open(t, chdb.UserAnalyst)
	q := Query{Since: day.Add(-time.Hour), Until: day.Add(3 * time.Hour), Tenant: "acme"}
	n := 0
	err := Events(t.Context(), c, q, func(e *event.Event) error {
		n++
		if e.ID != fmt.Sprintf("%032d", n) || e.Name != "mcp.request" || e.Tool != "drop" || e.Signals["injection"] != 0.75 || e.Labels["site"] != "x" || !e.PrincipalVerified ||
			e.Body != `{"a":1}` || e.Time != day.Add(time.Duration((n-1)*6)*time.Minute).UnixNano() || e.ExchangeStart != e.Time || e.DurationNanos != -5 || e.ExchangeID != "" || e.StreamSeq != int64(n) {
			t.Errorf("event %d is %+v", n, e)
		}
		return nil
	})
	if err != nil || n != 6 {
		t.Fatalf("%d events: %v", n, err)
	}
	s, p := rule.Parse([]rule.Document{{Name: "r", Text: []byte(text)}})
	if len(p) > 0 {
		t.Fatal(p)
	}
	in, err := s.Rules[0].Definition().New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), c, q, in, 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.Events != 6 || r.Matched != 6 || r.Findings != 1 || r.Repeats != 3 || len(r.Examples) != 1 || r.ByDay["2026-11-21"] != 1 || r.Examples[0].Summary != "alice: 3" {
		t.Errorf("%+v", r)
	}
	q.Tenant = "other"
	if r, err = Run(t.Context(), c, q, in, 1); err != nil || r.Events != 0 {
		t.Errorf("of another tenant: %+v, %v", r, err)
	}
}
