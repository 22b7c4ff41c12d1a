// What the store knows beside the rows: tables for auditors, controls, the report.

package evidence

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

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

func (e *exporter) counts(ctx context.Context, query string) ([]Count, error) {
	rows, err := e.db.Strings(ctx, "count for the report", "SELECT concat(toString(n), ' ', toString(name)) AS x FROM ("+query+")")
	if err != nil {
		return nil, err
	}
	out := []Count{}
	for _, r := range rows {
		n, name, _ := strings.Cut(r, " ")
		c := Count{Name: name}
		c.N, _ = strconv.ParseUint(n, 10, 64)
		out = append(out, c)
	}
	return out, nil
}

// tables writes what the store knows beside the rows themselves: they are derived from it at the time of the export, and the leaves do not vouch for them.
func (e *exporter) tables(ctx context.Context) error {
	ev, fi := e.db.Table("events"), e.db.Table("findings")
	guard := func(c string) string { // what others wrote must not become a formula in a spreadsheet
		return fmt.Sprintf("replaceRegexpAll(toString(%[1]s), %[2]s, '\\\\1\\'\\\\2') AS %[3]s_", c, seal.Literal(formulaSQL), strings.NewReplacer("(", "_", ")", "").Replace(c))
	}
	g := func(columns ...string) string {
		for i, c := range columns {
			columns[i] = guard(c)
		}
		return strings.Join(columns, ", ")
	}
	tables := []struct{ name, header, query string }{
		{fileAudit, "time,event_id,actor,actor_kind,verified,action,target,outcome,details", "SELECT ts, event_id, " + g("principal_id", "principal_kind") + ", principal_verified, " + g("audit_action", "audit_target", "outcome", "toJSONString(audit_details)") +
			" FROM " + ev + " FINAL WHERE audit_action != '' AND " + e.period("ts") + " ORDER BY ts, event_id"},
		{fileAccess, "principal,kind,issuer,method,verified,client,server,tool,calls,failed,first,last", "SELECT " + g("principal_id", "principal_kind", "principal_issuer", "principal_method") + ", principal_verified, " + g("client_name", "server", "tool") +
			", uniqExactIf(event_id, kind = 'request') AS calls, uniqExactIf(event_id, kind IN ('response', 'error') AND outcome NOT IN ('', 'ok', 'input_required')) AS failed, min(ts), max(ts) FROM " + ev +
			" WHERE audit_action = '' AND " + e.period("ts") + " GROUP BY principal_id, principal_kind, principal_issuer, principal_method, principal_verified, client_name, server, tool ORDER BY principal_id, server, tool, client_name, principal_kind, principal_issuer, principal_method, principal_verified"},
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
	var err error
	if e.summary.Coverage, err = seal.ReadCoverage(ctx, e.db, e.Tenant, e.From, e.To); err != nil {
		return err
	}
	if err := e.json(fileCoverage, e.summary.Coverage); err != nil {
		return err
	}
	for _, c := range []struct {
		to    *[]Count
		query string
	}{
		{&e.summary.ByDay, "SELECT toDate(ts) AS name, uniqExact(event_id) AS n FROM " + ev + " WHERE " + e.period("ts") + " GROUP BY name ORDER BY name"},
		{&e.summary.ByServer, "SELECT server AS name, uniqExact(event_id) AS n FROM " + ev + " WHERE server != '' AND " + e.period("ts") + " GROUP BY name ORDER BY n DESC, name LIMIT 12"},
		{&e.summary.ByOutcome, "SELECT outcome AS name, uniqExact(event_id) AS n FROM " + ev + " WHERE outcome != '' AND " + e.period("ts") + " GROUP BY name ORDER BY n DESC, name LIMIT 12"},
		{&e.summary.BySeverity, "SELECT severity AS name, uniqExact(finding_id) AS n FROM " + fi + " WHERE " + e.period("ts") + " GROUP BY name ORDER BY n DESC, name"},
		{&e.summary.Redactions, "SELECT k AS name, toUInt64(sum(v)) AS n FROM " + ev + " FINAL ARRAY JOIN mapKeys(redactions) AS k, mapValues(redactions) AS v WHERE " + e.period("ts") + " GROUP BY name ORDER BY n DESC, name LIMIT 30"},
	} {
		if *c.to, err = e.counts(ctx, c.query); err != nil {
			return err
		}
	}
	return e.redaction(ctx)
}

// redaction writes what shows that raw content is not kept: how much was removed, by class, and that no row has what only raw events have.
func (e *exporter) redaction(ctx context.Context) error {
	one := func(query string) (uint64, error) {
		rows, err := e.db.Strings(ctx, "count redactions", query)
		if err != nil || len(rows) != 1 {
			return 0, err
		}
		return strconv.ParseUint(rows[0], 10, 64)
	}
	type result struct {
		ByClass       []Count  `json:"redactions_by_class"`
		WithRedaction uint64   `json:"events_with_redactions"`
		Withheld      uint64   `json:"events_withheld"`
		RawAttributes uint64   `json:"events_with_raw_attributes"` // 0, or redaction failed
		Sample        []string `json:"sample_event_ids"`           // of events with redactions; their bodies are in events.ndjson
	}
	r := result{ByClass: e.summary.Redactions}
	ev := e.db.Table("events")
	var err error
	for _, q := range []struct {
		to   *uint64
		cond string
	}{{&r.WithRedaction, "notEmpty(redactions)"}, {&r.Withheld, "capture = 'withheld'"}, {&r.RawAttributes, "arrayExists(k -> startsWith(k, 'mcpsiem.raw.'), mapKeys(extra))"}} {
		if *q.to, err = one("SELECT uniqExact(event_id) AS x FROM " + ev + " WHERE " + q.cond + " AND " + e.period("ts")); err != nil {
			return err
		}
	}
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
