package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"text/tabwriter"
	"time"
)

// verdict is what the demonstration found.
type verdict struct {
	OK         bool            `json:"ok"`
	Messages   int             `json:"messages"`       // seen by the witnesses, on the client's side of the taps
	Stored     int             `json:"stored"`         // of them, stored exactly once
	Missing    []string        `json:"missing"`        // seen, not stored
	Surplus    []string        `json:"surplus"`        // stored more often than seen
	Altered    []string        `json:"altered"`        // not the same on both sides of a tap
	SecretRows int             `json:"secret_rows"`    // rows that hold the planted secret; 0 is right
	Findings   []findingRow    `json:"findings"`       //
	LeakFound  bool            `json:"leak_found"`     // the planted secret raised a finding
	Accounting json.RawMessage `json:"accounting"`     //
	Balanced   bool            `json:"balanced"`       // received = stored + dead-lettered
	Seconds    float64         `json:"settle_seconds"` // from the last call to all stored
}

type findingRow struct {
	Rule     string `json:"rule_id"`
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Server   string `json:"server"`
	Tool     string `json:"tool"`
}

// key is what a message is known by on both sides: who, which way, how long, which method and id.
func key(server string, s sighting) string {
	return fmt.Sprintf("%s %s %s id=%s %d bytes", server, s.Dir, s.Method, s.ID, s.Size)
}

// judge compares witnesses and store until they agree or a minute has passed.
func (d *demo) judge(ctx context.Context, servers []string) (verdict, error) {
	var v verdict
	seen := map[string]int{}
	for _, server := range servers {
		client, err := readNotes(d.notes(server, "client"))
		if err != nil {
			return v, err
		}
		behind, err := readNotes(d.notes(server, "server"))
		if err != nil {
			return v, err
		}
		v.Messages += len(client)
		v.Altered = append(v.Altered, difference(server, client, behind)...)
		// A message that the server wrote as the client closed may have been seen on the far side only; the tap saw it too.
		for k, n := range count(server, behind) {
			seen[k] = max(seen[k], n)
		}
		for k, n := range count(server, client) {
			seen[k] = max(seen[k], n)
		}
	}
	began := time.Now()
	for {
		var rows []struct {
			Server string `json:"server"`
			Dir    string `json:"direction"`
			Size   string `json:"body_size"`
			Method string `json:"wire_method"`
			ID     string `json:"request_id"`
			N      string `json:"n"`
		}
		err := d.query(ctx, `SELECT server, direction, toString(body_size) AS body_size, if(kind IN ('request', 'notification'), method, '') AS wire_method,
			request_id, toString(count()) AS n FROM events WHERE kind IN ('request', 'response', 'error', 'notification') AND capture != 'absent' GROUP BY ALL`, &rows)
		if err != nil {
			return v, err
		}
		stored := map[string]int{}
		for _, r := range rows {
			var n, size int
			fmt.Sscan(r.N, &n)
			fmt.Sscan(r.Size, &size)
			stored[key(r.Server, sighting{Dir: r.Dir, Size: size, Method: r.Method, ID: r.ID})] += n
		}
		v.Missing, v.Surplus, v.Stored = nil, nil, 0
		for k, n := range seen {
			if stored[k] < n {
				v.Missing = append(v.Missing, k)
			}
			v.Stored += min(n, stored[k])
		}
		for k, n := range stored {
			if n > seen[k] {
				v.Surplus = append(v.Surplus, k)
			}
		}
		if err := d.findings(ctx, &v); err != nil {
			return v, err
		}
		there := len(v.Missing) == 0 && len(v.Surplus) == 0 && v.LeakFound
		// Every query is on record and so an event itself: the accounts come to rest only while nobody asks. `status` is no query.
		for v.Balanced = false; there && !v.Balanced && time.Since(began) < time.Minute; {
			if err := d.accounting(ctx, &v); err != nil {
				return v, err
			}
			if !v.Balanced {
				time.Sleep(500 * time.Millisecond)
			}
		}
		settled := there && v.Balanced
		if settled || time.Since(began) > time.Minute {
			v.Seconds = time.Since(began).Seconds()
			break
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
	sort.Strings(v.Missing)
	sort.Strings(v.Surplus)
	var leaked []struct {
		N string `json:"n"`
	}
	if err := d.query(ctx, fmt.Sprintf(`SELECT toString(count()) AS n FROM events WHERE position(toString(tuple(*)), '%s') > 0`, secret), &leaked); err != nil {
		return v, err
	}
	if len(leaked) == 1 {
		fmt.Sscan(leaked[0].N, &v.SecretRows)
	}
	v.OK = v.Messages > 0 && len(v.Missing) == 0 && len(v.Surplus) == 0 && len(v.Altered) == 0 && v.SecretRows == 0 && v.LeakFound && v.Balanced
	return v, nil
}

func (d *demo) findings(ctx context.Context, v *verdict) error {
	v.Findings, v.LeakFound = nil, false
	if err := d.query(ctx, `SELECT rule_id, severity, summary, server, tool FROM findings ORDER BY last_seen`, &v.Findings); err != nil {
		return err
	}
	for _, f := range v.Findings {
		if f.Server == "filesystem" && f.Tool == "read_text_file" && (f.Severity == "high" || f.Severity == "critical") {
			v.LeakFound = true
		}
	}
	return nil
}

// accounting asks for the same numbers that `mcpsiem status` shows.
func (d *demo) accounting(ctx context.Context, v *verdict) error {
	out, err := exec.CommandContext(ctx, filepath.Join(d.bin, "mcpsiem"), "status", "--state", d.state, "--json").Output()
	if err != nil {
		return fmt.Errorf("status failed: %w", err)
	}
	var s struct {
		Accounting json.RawMessage `json:"accounting"`
		Balanced   bool            `json:"balanced"`
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return err
	}
	v.Accounting, v.Balanced = s.Accounting, s.Balanced
	return nil
}

// printAccounting shows the accounts as they were when all had come to rest: the queries above are events by now, on their way.
func printAccounting(raw json.RawMessage) error {
	var rows []struct {
		Sink         string `json:"sink"`
		Stream       string `json:"stream"`
		Received     uint64 `json:"received"`
		Stored       uint64 `json:"stored"`
		DeadLettered uint64 `json:"dead_lettered"`
	}
	if err := json.Unmarshal(raw, &rows); err != nil {
		return fmt.Errorf("cannot read the accounting: %w", err)
	}
	fmt.Print("\nAccounting, when everything had come to rest\n")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "sink\tstream\treceived\tstored\tdead-lettered\tdifference\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t\n", r.Sink, r.Stream, r.Received, r.Stored, r.DeadLettered, int64(r.Received)-int64(r.Stored)-int64(r.DeadLettered))
	}
	return w.Flush()
}

func count(server string, notes []sighting) map[string]int {
	m := map[string]int{}
	for _, s := range notes {
		m[key(server, s)]++
	}
	return m
}

// difference lists messages whose bytes changed between the two witnesses of a tap: the same place in the conversation,
// another hash. What only one of them saw is judged against the store.
func difference(server string, a, b []sighting) []string {
	sums := func(notes []sighting) map[string]map[string]int {
		m := map[string]map[string]int{}
		for _, s := range notes {
			k := key(server, s)
			if m[k] == nil {
				m[k] = map[string]int{}
			}
			m[k][s.SHA256]++
		}
		return m
	}
	ma, mb := sums(a), sums(b)
	var out []string
	for k, hashes := range ma {
		for h, n := range hashes {
			if other, ok := mb[k]; ok && other[h] < n {
				out = append(out, k)
			}
		}
	}
	sort.Strings(out)
	return out
}

func (d *demo) print(ctx context.Context, v verdict) error {
	if d.json {
		for _, l := range []*[]string{&v.Missing, &v.Surplus, &v.Altered} {
			if *l == nil {
				*l = []string{} // a list for programs, also where it is empty
			}
		}
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	for _, q := range []struct{ title, sql string }{
		{"Calls", `SELECT started, principal_id AS principal, server, method, tool, outcome, round(duration_ns / 1e6, 1) AS ms,
			tokens_arguments + tokens_result AS tokens FROM mcp_calls ORDER BY started`},
		{"Findings", `SELECT severity, rule_id, server, tool, summary FROM findings ORDER BY last_seen`},
		{"Data classes found and replaced", `SELECT server, tool, class, sum(n) AS values FROM (SELECT server, tool, arrayJoin(redactions) AS r, r.1 AS class, r.2 AS n FROM events) GROUP BY ALL ORDER BY ALL`},
	} {
		fmt.Printf("\n%s\n", q.title)
		cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "mcpsiem"), "query", "--state", d.state, q.sql)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	if err := printAccounting(v.Accounting); err != nil {
		return err
	}
	fmt.Printf("\n%d messages passed the taps, %d stored exactly once, %d missing, %d surplus, %d altered; planted secret in %d rows; settled after %.1f s\n",
		v.Messages, v.Stored, len(v.Missing), len(v.Surplus), len(v.Altered), v.SecretRows, v.Seconds)
	for _, l := range [][]string{v.Missing, v.Surplus, v.Altered} {
		for _, s := range l {
			fmt.Println("  ", s)
		}
	}
	return nil
}
