package dashboards

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/dashboards/dashtest"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

var (
	update = flag.Bool("update", false, "write the dashboards")
	events = flag.Int("events", 200_000, "generated events that the panels are tried on")
	days   = flag.Int("days", 14, "days over which they are spread")
)

func TestMain(m *testing.M) {
	flag.Parse()
	storetest.Main(m.Run)
}

func TestCommitted(t *testing.T) {
	for _, b := range Boards() {
		have, err := b.JSON()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("grafana", b.Uid+".json")
		if *update {
			if err := os.WriteFile(file, have, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not what the code makes: run `go generate ./dashboards` (%v)", file, err)
		}
	}
}

// board is what a test reads of a dashboard's JSON.
type board struct {
	Uid        string
	Title      string
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Time   struct{ From string }
	Panels []struct {
		ID          int
		Type, Title string
		Description string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, RawSQL string }
		FieldConfig struct {
			Overrides []struct {
				Matcher    struct{ ID, Options string }
				Properties []struct {
					ID    string
					Value any
				}
			}
		}
	}
}

func parse(t *testing.T, b *Board) board {
	t.Helper()
	text, err := b.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var out board
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// A panel whose column was renamed would lose its links and colours without a word.
func TestLinksLeadSomewhere(t *testing.T) {
	uids := map[string]bool{}
	for _, b := range Boards() {
		uids[b.Uid] = true
	}
	for _, b := range Boards() {
		d := parse(t, b)
		for _, p := range d.Panels {
			for _, o := range p.FieldConfig.Overrides {
				for _, prop := range o.Properties {
					if prop.ID != "links" {
						continue
					}
					for _, l := range prop.Value.([]any) {
						url := l.(map[string]any)["url"].(string)
						uid, _, _ := strings.Cut(strings.TrimPrefix(url, "/d/"), "?")
						if !uids[uid] {
							t.Errorf("%s, %s: no dashboard %s", d.Uid, p.Title, uid)
						}
						for _, f := range fieldsOf(url) {
							if !strings.Contains(p.Targets[0].RawSQL, f) {
								t.Errorf("%s, %s: the link needs a column %s", d.Uid, p.Title, f)
							}
						}
					}
				}
				if o.Matcher.ID == "byName" && p.Type == "table" && !strings.Contains(p.Targets[0].RawSQL, o.Matcher.Options) {
					t.Errorf("%s, %s: no column %s", d.Uid, p.Title, o.Matcher.Options)
				}
			}
		}
	}
}

func fieldsOf(url string) (out []string) {
	for _, part := range strings.Split(url, `__data.fields["`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		out = append(out, name)
	}
	return out
}

// Every panel and variable is asked for as the analyst, over the dashboard's own time range and with each choice made, and must answer
// with something: the generated traffic holds something for each.
func TestEveryQueryAnswers(t *testing.T) {
	ctx := context.Background()
	end := time.Now().Truncate(time.Second)
	start := time.Now()
	if err := dashtest.Load(ctx, storetest.Open(t, chdb.UserAdmin), dashtest.Traffic{Events: *events, Days: *days, End: end}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events loaded in %s", *events, time.Since(start).Round(time.Second))
	analyst := storetest.Open(t, chdb.UserAnalyst)

	var one struct{ Finding, Event, Conversation, Tenant, Principal, Server, Tool string }
	err := analyst.QueryRow(ctx, `SELECT toString(f.finding_id), toString(f.event_ids[1]), f.conversation_id, f.tenant, f.principal_id, f.server, e.tool
		FROM findings AS f INNER JOIN events AS e ON e.event_id = f.event_ids[2] WHERE f.ts > now() - INTERVAL 12 HOUR AND f.revision > 0 AND e.tool != '' ORDER BY f.finding_id LIMIT 1`).
		Scan(&one.Finding, &one.Event, &one.Conversation, &one.Tenant, &one.Principal, &one.Server, &one.Tool)
	if err != nil {
		t.Fatal("no finding to look at: ", err)
	}
	given := map[string][]string{"finding": {one.Finding}, "event": {one.Event}}

	type took struct {
		what string
		d    time.Duration
	}
	var times []took
	ask := func(what, sql string, r dashtest.Range, vars map[string][]string) int {
		sql, err := dashtest.Expand(sql, r, vars)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return 0
		}
		start := time.Now()
		rows, err := analyst.Query(ctx, sql)
		if err != nil {
			t.Errorf("%s: %v\n%s", what, err, sql)
			return 0
		}
		defer rows.Close()
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Err(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		times = append(times, took{what, time.Since(start)})
		return n
	}
	for _, b := range Boards() {
		d := parse(t, b)
		since, err := time.ParseDuration(strings.Replace(strings.TrimPrefix(d.Time.From, "now-"), "d", "h", 1))
		if strings.HasSuffix(d.Time.From, "d") {
			since *= 24
		}
		if err != nil {
			t.Fatalf("%s: time range %s", d.Uid, d.Time.From)
		}
		r := dashtest.Range{From: end.Add(-since), To: end, Interval: max(since/300, time.Second)}
		choices := map[string]string{"tenant": one.Tenant, "principal": one.Principal, "server": one.Server, "tool": one.Tool, "severity": "high", "conversation": one.Conversation}
		has := map[string]bool{}
		for _, v := range d.Templating.List {
			has[v.Name] = true
			if v.Type == "query" {
				if n := ask(d.Uid+", variable "+v.Name, v.Query.(string), r, given); n == 0 {
					t.Errorf("%s: variable %s has no values", d.Uid, v.Name)
				}
			}
		}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				what := d.Uid + ", " + p.Title + " " + q.RefID
				if n := ask(what, q.RawSQL, r, given); n == 0 {
					t.Errorf("%s: no rows", what)
				}
				for name, v := range choices {
					if !has[name] || !strings.Contains(q.RawSQL, "$"+name) {
						continue
					}
					vars := map[string][]string{name: {v, `it's`}}
					for k, v := range given {
						vars[k] = v
					}
					if name == "conversation" {
						vars[name] = []string{v}
					}
					ask(what+" with "+name, q.RawSQL, r, vars)
				}
			}
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s, %s: no query", d.Uid, p.Title)
			}
		}
	}
	slices.SortFunc(times, func(a, b took) int { return int(b.d - a.d) })
	var s strings.Builder
	fmt.Fprintf(&s, "%d queries, median %s, p95 %s; the slowest:\n", len(times), times[len(times)/2].d.Round(time.Millisecond), times[len(times)/20].d.Round(time.Millisecond))
	for _, x := range times[:12] {
		fmt.Fprintf(&s, "  %8s  %s\n", x.d.Round(time.Millisecond), x.what)
	}
	t.Log(s.String())
}
