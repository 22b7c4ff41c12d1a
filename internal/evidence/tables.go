// What the store knows beside the rows: tables for auditors, controls, the report.

package evidence

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/schemas/compliance"
)

// Summary is what the report shows.
type Summary struct {
	Manifest   Manifest
	Coverage   *seal.Coverage
	Framework  *compliance.Framework
	Controls   []compliance.Control
	ByDay      []Count
	ByServer   []Count
	ByOutcome  []Count
	BySeverity []Count
	Redactions []Count
	Samples    []Sample
	Exceptions []Exception // the first of them
	Anchors    []Vouched
}

// Vouched is who says that everything in the bundle was sealed by when.
type Vouched struct{ Kind, Name, At string }

// Count is a bar of a chart.
type Count struct {
	Name string `json:"name"`
	N    uint64 `json:"n"`
}

// Sample is an event as the report shows it.
type Sample struct{ Time, ID, Principal, Server, Tool, Outcome string }

func (e *exporter) json(name string, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return e.a.add(name, b.Bytes())
}

// period is the condition for a table's rows.
func (e *exporter) period(column string) string {
	return fmt.Sprintf("tenant = %s AND %s", seal.Literal(e.Tenant), e.between(column))
}

func (e *exporter) between(column string) string {
	return fmt.Sprintf("%[1]s >= fromUnixTimestamp64Nano(%[2]d, 'UTC') AND %[1]s < fromUnixTimestamp64Nano(%[3]d, 'UTC')", column, e.From.UnixNano(), e.To.UnixNano())
}

// csv writes the result of a query: a header, then its rows, each made to CSV by ClickHouse.
func (e *exporter) csv(ctx context.Context, name, header, query string) error {
	rows, err := e.db.Strings(ctx, "read for "+name, "SELECT formatRowNoNewline('CSV', r.*) AS x FROM ("+query+") AS r")
	if err != nil {
		return err
	}
	return e.a.add(name, []byte(header+"\n"+strings.Join(append(rows, ""), "\n")))
}

// counts counts the different ids of the rows of a table by name, those with the most first.
func (e *exporter) counts(ctx context.Context, name, table, id, where string) ([]Count, error) {
	n := map[string]uint64{}
	err := e.eachPart(ctx, id, func(part string) error {
		rows, err := e.db.Strings(ctx, "count for the report", fmt.Sprintf("SELECT concat(toString(uniqExact(%s)), ' ', toString(%s AS name)) AS x FROM %s WHERE %s AND %s AND %s GROUP BY name",
			id, name, e.db.Table(table), where, e.period("ts"), part))
		for _, r := range rows {
			text, name, _ := strings.Cut(r, " ")
			x, _ := strconv.ParseUint(text, 10, 64)
			n[name] += x
		}
		return err
	})
	out := []Count{}
	for name, x := range n {
		out = append(out, Count{name, x})
	}
	slices.SortFunc(out, func(a, b Count) int { return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(a.Name, b.Name)) })
	return out, err
}

// eachPart calls f with conditions that divide the events of the period by their ids, since ClickHouse holds all ids that it counts.
func (e *exporter) eachPart(ctx context.Context, id string, f func(part string) error) error {
	for _, part := range seal.PartsByID(id, e.stored) {
		if err := f(part); err != nil {
			return err
		}
	}
	return nil
}

// ofAll picks records that concern all tenants of an installation, or say in their details which one. They are the trail of the tenant that has what no tenant is named for.
const ofAll = "audit_action LIKE 'pipeline.%' OR audit_action LIKE 'logging.%' OR audit_action IN ('rules.change', 'rules.refused', 'prices.change', 'store.migrate')"

// tables writes what the store knows beside the rows themselves: they are derived from it at the time of the export, and the leaves do not vouch for them.
func (e *exporter) tables(ctx context.Context) error {
	ev := e.db.Table("events")
	guard := func(c string) string { // what others wrote must not become a formula in a spreadsheet
		return fmt.Sprintf("replaceRegexpAll(toString(%[1]s), %[2]s, '\\\\1\\'\\\\2') AS %[3]s_", c, seal.Literal(formulaSQL), strings.NewReplacer("(", "_", ")", "").Replace(c))
	}
	g := func(columns ...string) string {
		for i, c := range columns {
			columns[i] = guard(c)
		}
		return strings.Join(columns, ", ")
	}
	var err error
	if e.stored, err = e.db.Count(ctx, "events", e.period("ts")); err != nil {
		return err
	}
	tables := []struct{ name, header, query string }{
		{fileAudit, "time,event_id,actor,actor_kind,verified,action,target,outcome,details", "SELECT ts, event_id, " + g("principal_id", "principal_kind") + ", principal_verified, " + g("audit_action", "audit_target", "outcome", "toJSONString(audit_details)") +
			" FROM " + ev + " FINAL WHERE audit_action != '' AND " + e.period("ts") + " ORDER BY ts, event_id"},
		{fileInstallation, "time,event_id,actor,actor_kind,action,target,outcome,details", "SELECT ts, event_id, " + g("principal_id", "principal_kind", "audit_action", "audit_target", "outcome", "toJSONString(audit_details)") +
			" FROM " + ev + " FINAL WHERE tenant = " + seal.Literal(event.DefaultTenant) + " AND (" + ofAll + ") AND audit_details['tenant'] IN ('', " + seal.Literal(e.Tenant) + ") AND " + e.between("ts") + " ORDER BY ts, event_id"},
		{fileInventory, "server,tool,definition_sha256,tokens,first_seen,last_seen", "SELECT " + g("server", "tool") + ", definition_hash, max(tokens), min(first_seen) AS f, max(last_seen) AS l FROM " + e.db.Table("tool_catalogue") +
			" WHERE tenant = " + seal.Literal(e.Tenant) + " GROUP BY server, tool, definition_hash HAVING f < fromUnixTimestamp64Nano(" + fmt.Sprint(e.To.UnixNano()) + ", 'UTC') ORDER BY server, tool, f, definition_hash"},
		{fileDeletions, "leaf_index,record_id,deleted_at", "SELECT leaf_index, record_id, deleted_at FROM " + e.db.Table("seal_deletions") + " FINAL WHERE " + e.period("deleted_at") + " ORDER BY record_id, leaf_index"},
		{fileRetention, "time,event_id,actor,action,target,outcome,details", "SELECT ts, event_id, " + g("principal_id", "audit_action", "audit_target", "outcome", "toJSONString(audit_details)") + " FROM " + ev +
			" FINAL WHERE (audit_action LIKE 'retention.%' OR audit_action LIKE 'hold.%' OR audit_action LIKE 'subject.%' OR audit_action LIKE 'key.%') AND " + e.period("ts") + " ORDER BY ts, event_id"},
	}
	for _, t := range tables {
		if err := e.csv(ctx, t.name, t.header, t.query); err != nil {
			return err
		}
	}
	if err := e.access(ctx, g("principal_id", "principal_kind", "principal_issuer", "principal_method")+", principal_verified, "+g("client_name", "server", "tool")); err != nil {
		return err
	}
	if e.summary.Coverage, err = seal.ReadCoverage(ctx, e.db, e.Tenant, e.From, e.To); err != nil {
		return err
	}
	if err := e.json(fileCoverage, e.summary.Coverage); err != nil {
		return err
	}
	for _, c := range []struct {
		to                     *[]Count
		name, table, id, where string
		most                   int
	}{
		{&e.summary.ByDay, "toDate(ts)", "events", "event_id", "1", math.MaxInt},
		{&e.summary.ByServer, "server", "events", "event_id", "server != ''", 12},
		{&e.summary.ByOutcome, "outcome", "events", "event_id", "outcome != ''", 12},
		{&e.summary.BySeverity, "severity", "findings", "finding_id", "1", math.MaxInt},
	} {
		if *c.to, err = e.counts(ctx, c.name, c.table, c.id, c.where); err != nil {
			return err
		}
		*c.to = (*c.to)[:min(len(*c.to), c.most)]
	}
	// How often something was removed is a sum, and that of the rows that are there: nothing has to be held for it.
	rows, err := e.db.Strings(ctx, "count redactions", "SELECT concat(toString(toUInt64(sum(v))), ' ', toString(k)) AS x FROM "+ev+" FINAL ARRAY JOIN mapKeys(redactions) AS k, mapValues(redactions) AS v WHERE "+
		e.period("ts")+" GROUP BY k ORDER BY sum(v) DESC, k LIMIT 30")
	if err != nil {
		return err
	}
	for _, r := range rows {
		c := Count{}
		fmt.Sscan(r, &c.N)
		_, c.Name, _ = strings.Cut(r, " ")
		e.summary.Redactions = append(e.summary.Redactions, c)
	}
	slices.SortFunc(e.summary.ByDay, func(a, b Count) int { return strings.Compare(a.Name, b.Name) })
	return e.redaction(ctx)
}

// access writes who called what, and how often.
func (e *exporter) access(ctx context.Context, shown string) error {
	type row struct {
		cells         string // as the file has them
		calls, failed uint64
		first, last   string
		of            []string // what the rows counted are alike in
	}
	of := []string{"principal_id", "server", "tool", "client_name", "principal_kind", "principal_issuer", "principal_method", "principal_verified"}
	byKey := map[string]*row{}
	err := e.eachPart(ctx, "event_id", func(part string) error {
		rows, err := e.db.Strings(ctx, "read for "+fileAccess, fmt.Sprintf(`SELECT toJSONString([cells, toString(calls), toString(failed), toString(first), toString(last), toString(%[2]s)]) AS x FROM (
			SELECT formatRowNoNewline('CSV', %[1]s) AS cells, %[3]s, uniqExactIf(event_id, kind = 'request') AS calls,
				uniqExactIf(event_id, kind IN ('response', 'error') AND outcome NOT IN ('', 'ok', 'input_required')) AS failed, min(ts) AS first, max(ts) AS last
			FROM %[4]s WHERE audit_action = '' AND %[5]s AND %[6]s GROUP BY %[3]s)`,
			shown, strings.Join(of, "), toString("), strings.Join(of, ", "), e.db.Table("events"), e.period("ts"), part))
		for _, text := range rows {
			var x []string
			if json.Unmarshal([]byte(text), &x) != nil || len(x) != 5+len(of) {
				return errors.New("cannot read for " + fileAccess + ": ClickHouse's answer is not what was asked for")
			}
			key := strings.Join(x[5:], "\x00")
			r := byKey[key]
			if r == nil {
				r = &row{cells: x[0], first: x[3], last: x[4], of: x[5:]}
				byKey[key] = r
			}
			calls, _ := strconv.ParseUint(x[1], 10, 64)
			failed, _ := strconv.ParseUint(x[2], 10, 64)
			r.calls, r.failed, r.first, r.last = r.calls+calls, r.failed+failed, min(r.first, x[3]), max(r.last, x[4])
		}
		return err
	})
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("principal,kind,issuer,method,verified,client,server,tool,calls,failed,first,last\n")
	for _, r := range slices.SortedFunc(maps.Values(byKey), func(a, b *row) int { return slices.Compare(a.of, b.of) }) {
		fmt.Fprintf(&b, "%s,%d,%d,\"%s\",\"%s\"\n", r.cells, r.calls, r.failed, r.first, r.last)
	}
	return e.a.add(fileAccess, []byte(b.String()))
}

// redaction writes what shows that raw content is not kept: how much was removed, by class, and that no row has what only raw events have.
func (e *exporter) redaction(ctx context.Context) error {
	type result struct {
		ByClass       []Count  `json:"redactions_by_class"`
		WithRedaction uint64   `json:"events_with_redactions"`
		Withheld      uint64   `json:"events_withheld"`
		RawAttributes uint64   `json:"events_with_raw_attributes"` // 0, or redaction failed
		Sample        []string `json:"sample_event_ids"`           // of events with redactions; their bodies are in events.ndjson
	}
	r := result{ByClass: slices.Concat([]Count{}, e.summary.Redactions)}
	ev := e.db.Table("events")
	for _, q := range []struct {
		to   *uint64
		cond string
	}{{&r.WithRedaction, "notEmpty(redactions)"}, {&r.Withheld, "capture = 'withheld'"}, {&r.RawAttributes, "arrayExists(k -> startsWith(k, 'mcpsiem.raw.'), mapKeys(extra))"}} {
		n, err := e.counts(ctx, "1", "events", "event_id", q.cond)
		if err != nil {
			return err
		}
		if len(n) > 0 {
			*q.to = n[0].N
		}
	}
	var err error
	if r.Sample, err = e.db.Strings(ctx, "sample redactions", "SELECT DISTINCT event_id AS x FROM "+ev+" WHERE notEmpty(redactions) AND "+e.period("ts")+" ORDER BY x LIMIT 25"); err != nil {
		return err
	}
	if r.Sample == nil {
		r.Sample = []string{}
	}
	return e.json(fileRedaction, r)
}

func (e *exporter) controls() error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"framework", "control", "title", "file", "supports_evidence_for"})
	for _, c := range e.Framework.Controls {
		if e.Control != "" && c.ID != e.Control {
			continue
		}
		e.summary.Controls = append(e.summary.Controls, c)
		for _, s := range c.Supports {
			_ = w.Write([]string{e.Framework.ID, c.ID, c.Title, s.File, s.What})
		}
	}
	w.Flush()
	return e.a.add(fileControls, b.Bytes())
}

func (e *exporter) report() error {
	e.summary.Manifest, e.summary.Framework = e.Manifest, e.Framework
	html, err := reportHTML(&e.summary)
	if err != nil {
		return err
	}
	if err := e.a.add(fileHTML, html); err != nil {
		return err
	}
	pdf, err := reportPDF(&e.summary)
	if err != nil {
		return err
	}
	if err := e.a.add(filePDF, pdf); err != nil {
		return err
	}
	return e.a.add(fileVerify, []byte(verifyText(&e.Manifest)))
}

func timeText(ns int64) string {
	if ns < 0 || ns == math.MaxInt64 {
		return ""
	}
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05.000")
}
