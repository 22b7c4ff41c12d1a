// Package backtest runs rules over the events that are stored.
package backtest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Query says which events.
type Query struct {
	Since, Until time.Time
	Tenant       string // empty: all
}

// column is how a field of the event is read.
type column struct {
	sql   string
	index int // in event.Fields
}

// columns are those of the event's fields that are stored.
var columns = func() (out []column) {
	t := reflect.TypeFor[event.Fields]()
	for _, f := range event.Schema {
		sf, ok := t.FieldByName(f.Go)
		if !ok || f.Column == "" || f.ClickHouse == "-" {
			continue
		}
		c := "`" + f.Column + "`"
		switch {
		case f.ClickHouse == "UUID":
			c = "if(toUInt128(" + c + ") = 0, '', lower(replaceAll(toString(" + c + "), '-', '')))"
		case strings.HasPrefix(f.ClickHouse, "DateTime64"):
			c = "toUnixTimestamp64Nano(" + c + ")"
		case f.Type == "string":
			c = "toString(" + c + ")"
		case f.Type == "int":
			c = "toInt64(" + c + ")"
		case f.Type == "float":
			c = "toFloat64(" + c + ")"
		case f.Type == "strings":
			c = "CAST(" + c + ", 'Array(String)')"
		case f.Type == "labels":
			c = "CAST(" + c + ", 'Map(String, String)')"
		case f.Type == "scores":
			c = "CAST(" + c + ", 'Map(String, Float64)')"
		case f.Type == "bool":
		default:
			continue
		}
		out = append(out, column{c, sf.Index[0]})
	}
	return out
}()

// Events calls f with each stored event, in the order of the stream within each hour. e is valid during the call.
func Events(ctx context.Context, c *store.Conn, q Query, f func(e *event.Event) error) error {
	list := []string{"toString(event_name)", "toUnixTimestamp64Nano(ts)", "toUnixTimestamp64Nano(received)", "body"}
	for _, col := range columns {
		list = append(list, col.sql)
	}
	where := "ts >= fromUnixTimestamp64Nano(?) AND ts < fromUnixTimestamp64Nano(?)"
	if q.Tenant != "" {
		where += " AND tenant = ?"
	}
	sql := "SELECT " + strings.Join(list, ", ") + " FROM " + c.Database + ".events WHERE " + where + " ORDER BY stream_seq, ts, event_id"
	for from := q.Since; from.Before(q.Until); from = from.Add(time.Hour) {
		to := from.Add(time.Hour)
		if to.After(q.Until) {
			to = q.Until
		}
		args := []any{from.UnixNano(), to.UnixNano()}
		if q.Tenant != "" {
			args = append(args, q.Tenant)
		}
		if err := read(ctx, c, sql, args, f); err != nil {
			return err
		}
	}
	return nil
}

func read(ctx context.Context, c *store.Conn, sql string, args []any, f func(e *event.Event) error) error {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("cannot read stored events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e event.Event
		dest := []any{&e.Name, &e.Time, &e.Received, &e.Body}
		fields := reflect.ValueOf(&e.Fields).Elem()
		for _, col := range columns {
			dest = append(dest, fields.Field(col.index).Addr().Interface())
		}
		if err := rows.Scan(dest...); err != nil {
			return fmt.Errorf("cannot read a stored event: %w", err)
		}
		if err := f(&e); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("cannot read stored events: %w", err)
	}
	return nil
}

// Result is what a rule would have raised.
type Result struct {
	Rule       string           `json:"rule"`
	Since      time.Time        `json:"since"`
	Until      time.Time        `json:"until"`
	Events     int64            `json:"events"`       // read
	Matched    int64            `json:"matched"`      // of those, looked at by the rule
	OverBudget int64            `json:"over_budget"`  // not judged because of their cost
	Findings   int64            `json:"findings"`     //
	Repeats    int64            `json:"repeats"`      // raised before, so not again
	ByDay      map[string]int64 `json:"by_day"`       // findings by day, UTC
	BySeverity map[string]int64 `json:"by_severity"`  //
	Examples   []Example        `json:"examples"`     // the first ones
	EventsPerS float64          `json:"events_per_s"` // read and judged
}

// Example is a finding in short.
type Example struct {
	Time     time.Time `json:"time"`
	Severity string    `json:"severity"`
	Summary  string    `json:"summary"`
	Key      string    `json:"key"`
	Count    int64     `json:"count"`
	EventIDs []string  `json:"event_ids,omitempty"`
}

// Run gives the stored events to one rule or detector and tells what it raises. Timers that are due by q.Until fire.
func Run(ctx context.Context, c *store.Conn, q Query, in engine.Instance, examples int) (*Result, error) {
	g, err := engine.New(engine.Settings{Rules: []engine.Instance{in}, Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew})
	if err != nil {
		return nil, err
	}
	r := &Result{Since: q.Since, Until: q.Until, ByDay: map[string]int64{}, BySeverity: map[string]int64{}, Examples: []Example{}}
	begin := time.Now()
	tenants := map[string]bool{}
	err = Events(ctx, c, q, func(e *event.Event) error {
		if len(tenants) < 10000 {
			tenants[e.Tenant] = true
		}
		r.Events++
		g.ApplyEvent(e)
		r.take(g.Findings(), examples)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for t := range tenants { // lets time pass to the end
		e := event.Event{Name: event.NameTapStop, Time: q.Until.UnixNano()}
		e.Received, e.Tenant = e.Time, t
		g.ApplyEvent(&e)
	}
	r.take(g.Findings(), examples)
	r.EventsPerS = float64(r.Events) / max(time.Since(begin).Seconds(), 1e-9)
	_, stats := g.Stats()
	for _, s := range stats {
		r.Rule, r.Repeats = s.ID, s.Repeats
		r.Matched = s.Observations
	}
	return r, nil
}

func (r *Result) take(ld plog.Logs, examples int) {
	for i := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(i)
		for j := range rl.ScopeLogs().Len() {
			recs := rl.ScopeLogs().At(j).LogRecords()
			for k := range recs.Len() {
				var f finding.Finding
				finding.Decode(rl.Resource(), recs.At(k), &f)
				at := time.Unix(0, f.Time).UTC()
				r.Findings++
				r.ByDay[at.Format(time.DateOnly)]++
				r.BySeverity[f.Severity]++
				if len(r.Examples) < examples {
					r.Examples = append(r.Examples, Example{at, f.Severity, f.Summary, f.Key, f.Count, f.EventIDs})
				}
			}
		}
	}
}
