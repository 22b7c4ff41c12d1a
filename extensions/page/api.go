// The data: each endpoint of /api/ is a few queries, whose rows come back as JSON.

package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/store"
)

const queryTime = 10 * time.Second

// part is one list in an answer.
type part struct {
	name, sql string
}

// endpoint is what /api/NAME answers: an object with a list for each part. Columns become members.
type endpoint []part

// Parameters that a request may give; each has a form and a default. In queries they are {hours:UInt32} and so on.
var parameters = map[string]struct {
	form     *regexp.Regexp
	standard string
}{
	"hours":  {regexp.MustCompile(`^[0-9]{1,4}$`), "24"},
	"after":  {regexp.MustCompile(`^[0-9]{1,19}$`), "0"}, // ns since 1970
	"id":     {regexp.MustCompile(`^[0-9a-fA-F-]{32,36}$`), "00000000-0000-0000-0000-000000000000"},
	"rank":   {regexp.MustCompile(`^[0-5]$`), "0"},
	"closed": {regexp.MustCompile(`^[01]$`), "0"},
	"find":   {regexp.MustCompile(`^[^\x00-\x1f]{0,200}$`), ""},
	"skip":   {regexp.MustCompile(`^[0-9]{1,7}$`), "0"}, // rows of the pages before
}

const (
	since = "now() - toIntervalHour({hours:UInt32})"

	callColumns = `toString(event_id) AS id, formatDateTime(ts, '%Y-%m-%dT%H:%i:%SZ') AS time, toUnixTimestamp64Nano(ts) AS ns, tenant, principal_id AS principal, principal_verified AS verified, client_name AS client,
		server, method, tool, outcome, duration_ns / 1e6 AS ms, tokens_arguments + tokens_result + tokens_definitions AS tokens, data_classes AS classes, mapKeys(signals) AS signals`
	findingColumns = `toString(finding_id) AS id, formatDateTime(f.raised, '%Y-%m-%dT%H:%i:%SZ') AS time, toUnixTimestamp64Nano(f.raised) AS ns, severity, severity_rank AS rank, status, is_open AS open, rule_id AS rule,
		title, summary, tenant, principal_id AS principal, server, tool, count, triaged_by`
	calls = `kind IN ('response', 'error') AND direction = 'server_to_client'`
	found = `({find:String} = '' OR positionCaseInsensitiveUTF8(concat(server, ' ', tool, ' ', principal_id, ' ', tenant), {find:String}) > 0)`
)

var endpoints = map[string]endpoint{
	"summary": {
		{"open", `SELECT severity, count() AS n FROM mcp_findings WHERE is_open GROUP BY severity`},
	},
	"findings": {
		{"findings", `SELECT ` + findingColumns + ` FROM mcp_findings AS f WHERE severity_rank >= {rank:UInt8} AND (is_open OR {closed:UInt8} = 1) AND ` + strings.Replace(found, "tenant)", "tenant, ' ', rule_id, ' ', summary)", 1) + `
			ORDER BY is_open DESC, severity_rank DESC, f.raised DESC, f.finding_id LIMIT {skip:UInt32}, 301`}, // one more than the page shows: it tells that there are more
	},
	"finding": {
		{"finding", `SELECT ` + findingColumns + `, rule_version, confidence, key, conversation_id AS conversation, why, remediation, false_positives, references, note, arrayMap(x -> toString(x), event_ids) AS event_ids, evidence,
			formatDateTime(f.first_seen, '%Y-%m-%dT%H:%i:%SZ') AS first, formatDateTime(f.last_seen, '%Y-%m-%dT%H:%i:%SZ') AS last, group_findings, group_open
			FROM mcp_findings AS f WHERE f.finding_id = toUUID({id:String})`},
		{"events", `SELECT ` + callColumns + `, kind, direction, body FROM events WHERE event_id IN (SELECT arrayJoin(event_ids) FROM findings WHERE finding_id = toUUID({id:String}))
			AND ts >= (SELECT min(first_seen) - INTERVAL 1 HOUR FROM findings WHERE finding_id = toUUID({id:String})) AND ts <= (SELECT max(last_seen) + INTERVAL 1 HOUR FROM findings WHERE finding_id = toUUID({id:String})) ORDER BY ts LIMIT 200`},
		{"history", `SELECT formatDateTime(changed, '%Y-%m-%dT%H:%i:%SZ') AS time, status, triaged_by AS by, triage_note AS note FROM finding_history WHERE finding_id = toUUID({id:String}) ORDER BY revision`},
	},
	"calls": {
		{"calls", `SELECT ` + callColumns + ` FROM events WHERE ts > ` + since + ` AND ` + calls + ` AND ` + found + ` ORDER BY ts DESC, event_id LIMIT {skip:UInt32}, 301`},
	},
	"live": { // what came after a moment, for a page that is open
		{"calls", `SELECT ` + callColumns + ` FROM events WHERE ts > now() - INTERVAL 1 HOUR AND ts > fromUnixTimestamp64Nano({after:Int64}) AND ` + calls + ` AND ` + found + ` ORDER BY ts DESC LIMIT 100`},
		{"open", `SELECT severity, count() AS n FROM mcp_findings WHERE is_open GROUP BY severity`},
	},
	"event": {
		{"event", `SELECT formatRowNoNewline('JSONEachRow', * EXCEPT (body)) AS fields, body FROM events WHERE event_id = toUUID({id:String}) LIMIT 1`},
		{"exchange", `SELECT ` + callColumns + `, kind, direction FROM events WHERE exchange_id IN (SELECT exchange_id FROM events WHERE event_id = toUUID({id:String}) AND exchange_id != toUUIDOrZero('')) AND ts > now() - INTERVAL 400 DAY ORDER BY ts LIMIT 50`},
		{"findings", `SELECT ` + findingColumns + ` FROM mcp_findings AS f WHERE has(event_ids, toUUID({id:String})) LIMIT 50`},
	},
	"inventory": {
		{"servers", `SELECT tenant, server, claimed, transports, hosts, principal_count AS principals, calls, failed_calls AS failed, tools_listed AS tools, definition_tokens AS tokens, toString(first_seen) AS first, toString(last_seen) AS last
			FROM inventory_servers(since = ` + since + `) WHERE server != '' ORDER BY calls DESC, tenant, server LIMIT 301`},
		{"tools", `SELECT tenant, server, tool, capabilities, versions, definition_tokens AS tokens, calls, failed_calls AS failed, never_used AS unused, toString(first_seen) AS first
			FROM inventory_tools(since = ` + since + `) ORDER BY versions DESC, calls DESC, tenant, server, tool LIMIT 301`},
	},
	"cost": {
		{"principals", `SELECT principal_id AS principal, principal_team AS team, round(sum(cost_amount), 4) AS cost, any(cost_currency) AS currency, sum(tokens_arguments) + sum(tokens_result) + sum(tokens_definitions) AS tokens
			FROM events WHERE ts > ` + since + ` GROUP BY principal, team HAVING tokens > 0 ORDER BY cost DESC, tokens DESC LIMIT 301`},
		{"tools", `SELECT server, tool, round(sum(cost_amount), 4) AS cost, any(cost_currency) AS currency, sum(tokens_arguments) + sum(tokens_result) AS tokens, countIf(` + calls + `) AS calls
			FROM events WHERE ts > ` + since + ` AND method = 'tools/call' GROUP BY server, tool HAVING tokens > 0 ORDER BY cost DESC, tokens DESC LIMIT 301`},
		{"definitions", `SELECT server, max(tokens_definitions) AS tokens, count() AS lists FROM events WHERE ts > ` + since + ` AND tokens_definitions > 0 GROUP BY server ORDER BY tokens DESC LIMIT 301`},
	},
	"health": {
		{"consumers", `SELECT stream, durable AS consumer, argMax(c.pending, c.observed_at) AS waiting, argMax(c.ack_pending, c.observed_at) AS under_way, round(argMax(c.lag_seconds, c.observed_at), 1) AS behind_s, toString(max(c.observed_at)) AS observed
			FROM consumers AS c WHERE observed_at > now() - INTERVAL 1 HOUR GROUP BY stream, durable ORDER BY behind_s DESC, stream, consumer`},
		{"taps", `SELECT tap_id AS tap, anyIf(e.server, e.server != '') AS server, count() AS events, sum(lost_events) AS lost, dateDiff('second', max(ts), now()) AS silent_s FROM events AS e WHERE ts > ` + since + ` AND tap_id != '' GROUP BY tap_id ORDER BY silent_s LIMIT 301`},
		{"dead", `SELECT sink, stream, reason, sum(records) AS records FROM ledger WHERE sink != '' AND reason NOT IN ('replayed', 'dropped') GROUP BY sink, stream, reason ORDER BY records DESC LIMIT 301`},
		{"accounts", `SELECT stream, sink, received, stored, dead_lettered, difference FROM accounting ORDER BY stream`},
		{"seals", `SELECT tenant, max(c.size) AS sealed, toString(max(c.signed_at)) AS signed FROM seal_checkpoints AS c GROUP BY tenant ORDER BY tenant`},
	},
}

// answer runs an endpoint's queries.
func (p *page) answer(w http.ResponseWriter, r *http.Request, e endpoint) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-r.Context().Done():
		return
	}
	given := r.URL.Query()
	params := clickhouse.Parameters{}
	for name, f := range parameters {
		v := given.Get(name)
		if v == "" {
			v = f.standard
		}
		if !f.form.MatchString(v) {
			http.Error(w, name+" is not of the right form", http.StatusBadRequest)
			return
		}
		params[name] = v
	}
	for name := range given {
		if _, ok := parameters[name]; !ok {
			http.Error(w, "unknown parameter", http.StatusBadRequest)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), queryTime)
	defer cancel()
	conn, err := p.connect(ctx)
	if err != nil {
		p.failed(w, err)
		return
	}
	var out strings.Builder
	out.WriteByte('{')
	for i, q := range e {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(strconv.Quote(q.name) + ":[")
		if err := rows(ctx, conn, q.sql, params, &out); err != nil {
			p.drop(conn)
			p.failed(w, fmt.Errorf("%s: %w", q.name, err))
			return
		}
		out.WriteByte(']')
	}
	out.WriteByte('}')
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(out.String()))
}

// rows appends the answer to sql, an object for each row.
func rows(ctx context.Context, c *store.Conn, sql string, params clickhouse.Parameters, out *strings.Builder) error {
	used := clickhouse.Parameters{}
	for name, v := range params {
		if strings.Contains(sql, "{"+name+":") {
			used[name] = strings.ReplaceAll(v, `\`, `\\\\`) // read as a quoted string, and then as escaped text
		}
	}
	res, err := c.Query(clickhouse.Context(ctx, clickhouse.WithParameters(used)), "SELECT formatRowNoNewline('JSONEachRow', *) FROM ("+sql+")")
	if err != nil {
		return err
	}
	defer res.Close()
	for first := true; res.Next(); first = false {
		var line string
		if err := res.Scan(&line); err != nil {
			return err
		}
		if !first {
			out.WriteByte(',')
		}
		out.WriteString(line)
	}
	return res.Err()
}

func (p *page) connect(ctx context.Context) (*store.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		return p.conn, nil
	}
	c, err := store.Open(ctx, store.Config{
		Endpoint: p.cfg.ClickHouse.Endpoint, Database: p.cfg.ClickHouse.Database, Username: p.cfg.ClickHouse.Username, PasswordFile: p.cfg.ClickHouse.PasswordFile,
	})
	if err != nil {
		return nil, err
	}
	p.conn = c
	return c, nil
}

// drop closes the connection c, or any where c is nil, so that the next query makes a new one, with the password of then.
func (p *page) drop(c *store.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil && (c == nil || c == p.conn) {
		p.conn.Close()
		p.conn = nil
	}
}

// failed answers without what ClickHouse says: its words can quote values. The log has the error's code.
func (p *page) failed(w http.ResponseWriter, err error) {
	var ex *clickhouse.Exception
	code := int32(0)
	if errors.As(err, &ex) {
		code = ex.Code
	}
	p.set.Logger.Warn("The page cannot ask the store", zap.Int32("clickhouse_code", code))
	http.Error(w, "the store does not answer; see `mcpsiem doctor`", http.StatusServiceUnavailable)
}
