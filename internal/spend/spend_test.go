package spend

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/budget"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { storetest.Main(m.Run) }

const file = `version: "1"
currency: USD
budgets:
  - {name: research, team: research, period: day, money: 100, warn: [0.5, 0.8]}
  - {name: research-month, team: research, period: month, money: 100}
  - {name: users, tenant: acme, user: "*", period: day, tokens: 1000}
  - {name: idle, server: idle, period: day, money: 5, currency: EUR}
  - {name: both, tenant: acme, server: tickets, period: month, money: 1000, tokens: 100000}
`

// now is noon.
var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func seed(t *testing.T) {
	t.Helper()
	admin := storetest.Open(t, chdb.UserAdmin)
	if err := admin.Exec(t.Context(), "TRUNCATE TABLE mcpsiem.events"); err != nil {
		t.Fatal(err)
	}
	n := 0
	spend := func(before time.Duration, tenant, team, user, server, currency string, cost float64, tokens int) {
		n++
		for range 2 { // stored twice: it counts once
			sql := fmt.Sprintf("INSERT INTO mcpsiem.events (event_id, ts, tenant, principal_team, principal_id, server, cost_currency, cost_amount, tokens_result, stream_seq) SETTINGS insert_deduplicate = 0 "+
				"VALUES ('00000000-0000-0000-0000-%012d', '%s', '%s', '%s', '%s', '%s', '%s', %g, %d, 1)", n, now.Add(-before).Format(time.DateTime), tenant, team, user, server, currency, cost, tokens)
			if err := admin.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	spend(10*24*time.Hour, "acme", "research", "alice", "tickets", "USD", 70, 10) // this month, another day
	spend(40*24*time.Hour, "acme", "research", "alice", "tickets", "USD", 999, 10)
	spend(10*time.Hour, "acme", "research", "alice", "tickets", "USD", 30, 600)
	spend(30*time.Minute, "acme", "research", "bob", "tickets", "USD", 20, 850)
	spend(10*time.Minute, "acme", "research", "bob", "tickets", "EUR", 5, 0)
	spend(9*time.Hour, "acme", "", "\u202emallory", "files", "", 0, 1500)
	spend(time.Minute, "other", "research", "carol", "tickets", "USD", 40, 9000)
	spend(-time.Hour, "acme", "research", "alice", "tickets", "USD", 5000, 0) // of a clock that runs ahead
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

func TestBudgets(t *testing.T) {
	seed(t)
	rules, err := budget.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	list, err := Read(t.Context(), storetest.Open(t, chdb.UserAnalyst), rules, "", now)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	clean := func(s string) string { return string(bytes.ReplaceAll([]byte(s), []byte("\u202e"), []byte("?"))) }
	if err := Print(&table, list, clean, time.UTC); err != nil {
		t.Fatal(err)
	}
	golden(t, "budgets.txt", table.Bytes())
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "budgets.json", append(b, '\n'))

	f := func(name, tenant, subject, unit string, spent float64, state, forecast string) {
		t.Helper()
		for _, s := range list {
			if s.Budget != name || s.Tenant != tenant || s.Subject != subject || s.Unit != unit {
				continue
			}
			at := ""
			if s.Forecast != nil {
				at = s.Forecast.Format(time.DateTime)
			}
			if s.Spent != spent || s.State != state || at != forecast {
				t.Errorf("%s of %s: %+v, forecast %s", name, subject, s, at)
			}
			return
		}
		t.Errorf("no %s of %s in %s", name, subject, unit)
	}
	f("research", "acme", "team research", "USD", 50, budget.Warning, "2026-11-20 14:30:00") // 20 an hour, 50 to go
	f("research", "other", "team research", "USD", 40, budget.OK, "2026-11-20 12:07:30")     // 40 in the last minute, taken over 5
	f("research-month", "acme", "team research", "USD", 120, budget.Exceeded, "")
	f("users", "acme", "tenant acme, user alice", "tokens", 600, budget.OK, "") // nothing of late
	f("users", "acme", "tenant acme, user bob", "tokens", 850, budget.Warning, "2026-11-20 12:05:17")
	f("idle", "", "server idle", "EUR", 0, budget.OK, "")
	f("both", "acme", "tenant acme, server tickets", "tokens", 1460, budget.OK, "")

	only, err := Read(t.Context(), storetest.Open(t, chdb.UserAnalyst), rules, "other", now)
	if err != nil || len(only) != 3 {
		t.Errorf("one tenant: %+v, %v", only, err)
	}
}
