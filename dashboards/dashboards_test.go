package dashboards

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
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
	Panels []panelJSON
}

type panelJSON struct {
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

// answer is what one query came to.
type answer struct {
	columns []string
	types   []string // number, time, string, other
	rows    [][]any
}

// kind is what Grafana makes of a column, by the data source's converters.
func kind(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t.Kind() == reflect.String:
		return "string"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64, t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		return "number"
	}
	return "other"
}

// drawable complains of what a panel of its type cannot draw, or would draw without a word about what it lost: colours and links of columns that are not there, a
// number that is none, points out of order.
func drawable(t *testing.T, what string, p panelJSON, a answer) {
	t.Helper()
	some := false
	for _, r := range a.rows {
		for i, v := range r {
			f, ok := v.(float64)
			if ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
				t.Errorf("%s: %s is no number", what, a.columns[i])
				return
			}
			rv := reflect.ValueOf(v)
			some = some || rv.IsValid() && !(rv.Kind() == reflect.Pointer && rv.IsNil())
		}
	}
	switch p.Type {
	case "table":
		for _, o := range p.FieldConfig.Overrides {
			if !slices.Contains(a.columns, o.Matcher.Options) {
				t.Errorf("%s: no column %s", what, o.Matcher.Options)
			}
		}
		for _, url := range p.links() {
			for _, f := range fieldsOf(url) {
				if !slices.Contains(a.columns, f) {
					t.Errorf("%s: a link needs the column %s", what, f)
				}
			}
		}
	case "stat":
		if len(a.rows) != 1 || !some {
			t.Errorf("%s: nothing to show", what)
		}
		if i := slices.IndexFunc(a.types, func(s string) bool { return s != "number" }); i >= 0 {
			t.Errorf("%s: %s is a %s", what, a.columns[i], a.types[i])
		}
	case "timeseries", "state-timeline":
		if a.types[0] != "time" {
			t.Errorf("%s: the first column is a %s", what, a.types[0])
			return
		}
		for i := 1; i < len(a.rows); i++ {
			if a.rows[i][0].(time.Time).Before(a.rows[i-1][0].(time.Time)) {
				t.Errorf("%s: not in order of time", what)
				break
			}
		}
		if slices.Contains(a.types, "string") && (a.columns[len(a.columns)-1] != "Value" || len(a.columns) != 3) {
			t.Errorf("%s: columns %v; one text and Value are expected", what, a.columns)
		}
	case "barchart", "piechart":
		if a.types[0] != "string" || slices.ContainsFunc(a.types[1:], func(s string) bool { return s != "number" }) {
			t.Errorf("%s: columns %v", what, a.types)
		}
	case "nodeGraph":
		for _, f := range map[bool][]string{true: {"id", "source", "target"}, false: {"id"}}[slices.Contains(a.columns, "source")] {
			if !slices.Contains(a.columns, f) {
				t.Errorf("%s: no column %s", what, f)
			}
		}
	default:
		t.Errorf("%s: nobody knows panels of type %s", what, p.Type)
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

// links are the addresses that cells of a panel lead to.
func (p panelJSON) links() (urls []string) {
	for _, o := range p.FieldConfig.Overrides {
		for _, prop := range o.Properties {
			if prop.ID == "links" {
				for _, l := range prop.Value.([]any) {
					urls = append(urls, l.(map[string]any)["url"].(string))
				}
			}
		}
	}
	return urls
}

// A link must lead to a dashboard that has the variables which it sets.
func TestLinksLeadSomewhere(t *testing.T) {
	variables := map[string]map[string]bool{}
	for _, b := range Boards() {
		variables[b.Uid] = map[string]bool{}
		for _, v := range parse(t, b).Templating.List {
			variables[b.Uid][v.Name] = true
		}
	}
	for _, b := range Boards() {
		d := parse(t, b)
		for _, p := range d.Panels {
			for _, url := range p.links() {
				uid, query, _ := strings.Cut(strings.TrimPrefix(url, "/d/"), "?")
				if variables[uid] == nil {
					t.Errorf("%s, %s: no dashboard %s", d.Uid, p.Title, uid)
				}
				for _, set := range strings.Split(query, "&") {
					name, value, _ := strings.Cut(set, "=")
					if n, ok := strings.CutPrefix(name, "var-"); ok && !variables[uid][n] {
						t.Errorf("%s, %s: %s has no variable %s", d.Uid, p.Title, uid, n)
					}
					if strings.Contains(value, "__data") && !strings.HasSuffix(value, ":percentencode}") {
						t.Errorf("%s, %s: %s breaks with a name that has & or + in it", d.Uid, p.Title, set)
					}
				}
			}
		}
	}
}

// engineCPU is the CPU time that the engine's process has used, in steps of 10 ms; 0 where the system does not say.
func engineCPU() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", storetest.Server.PID()))
	_, rest, ok := strings.Cut(string(b), ") ") // the name is before it
	f := strings.Fields(rest)
	if err != nil || !ok || len(f) < 13 {
		return 0
	}
	var ticks time.Duration
	for _, s := range f[11:13] { // user, system
		n, _ := strconv.Atoi(s)
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
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
	if err := dashtest.Load(ctx, storetest.Open(t, chdb.UserAdmin), dashtest.Traffic{Events: *events, Days: *days, End: end, Merged: *events >= 1_000_000}); err != nil {
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
		what   string
		d, cpu time.Duration
	}
	var times []took
	ask := func(what, sql string, r dashtest.Range, vars map[string][]string) (a answer) {
		sql, err := dashtest.Expand(sql, r, vars)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return a
		}
		start, cpu := time.Now(), engineCPU()
		rows, err := analyst.Query(ctx, sql)
		if err != nil {
			t.Errorf("%s: %v\n%s", what, err, sql)
			return a
		}
		defer rows.Close()
		a.columns = rows.Columns()
		for _, c := range rows.ColumnTypes() {
			a.types = append(a.types, kind(c.ScanType()))
		}
		for rows.Next() {
			to := make([]any, len(a.columns))
			for i, c := range rows.ColumnTypes() {
				to[i] = reflect.New(c.ScanType()).Interface()
			}
			if err := rows.Scan(to...); err != nil {
				t.Errorf("%s: %v", what, err)
				return a
			}
			for i := range to {
				to[i] = reflect.ValueOf(to[i]).Elem().Interface()
			}
			a.rows = append(a.rows, to)
		}
		if err := rows.Err(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		times = append(times, took{what, time.Since(start), engineCPU() - cpu})
		return a
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
				if a := ask(d.Uid+", variable "+v.Name, v.Query.(string), r, given); len(a.rows) == 0 || !slices.Equal(a.types, []string{"string"}) {
					t.Errorf("%s: variable %s has %d values of %v", d.Uid, v.Name, len(a.rows), a.types)
				}
			}
		}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				what := d.Uid + ", " + p.Title + " " + q.RefID
				a := ask(what, q.RawSQL, r, given)
				if len(a.rows) == 0 {
					t.Errorf("%s: no rows", what)
				}
				drawable(t, what, p, a)
				if has["finding"] || has["event"] {
					ask(what+" with nothing chosen", q.RawSQL, r, nil)
				}
				for name, v := range choices {
					if !has[name] || !strings.Contains(q.RawSQL, "$"+name) {
						continue
					}
					vars := map[string][]string{name: {v, `it's`, `C:\`, `a\' OR 1=1 --`}}
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
	// The clock counts what else the machine does; the engine's CPU time, of at most two threads, hardly does.
	var s strings.Builder
	for name, of := range map[string]func(took) time.Duration{"clock": func(x took) time.Duration { return x.d }, "engine's CPU": func(x took) time.Duration { return x.cpu }} {
		slices.SortFunc(times, func(a, b took) int { return cmp.Compare(of(b), of(a)) })
		fmt.Fprintf(&s, "%d queries by the %s: median %s, p95 %s; the slowest:\n", len(times), name, of(times[len(times)/2]).Round(time.Millisecond), of(times[len(times)/20]).Round(time.Millisecond))
		for _, x := range times[:12] {
			fmt.Fprintf(&s, "  %8s  %s\n", of(x).Round(time.Millisecond), x.what)
		}
	}
	t.Log(s.String())
}
