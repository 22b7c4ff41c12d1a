// Coverage: how complete the trail of a tenant is, by numbers that somebody else can recount.

package seal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Coverage of a tenant in a period. Passed = Stored + Missing, for what taps numbered.
type Coverage struct {
	Tenant string `json:"tenant"`
	From   string `json:"from"`
	To     string `json:"to"`

	Passed   uint64 `json:"passed_taps"` // messages that taps numbered
	Stored   uint64 `json:"stored_of_taps"`
	Missing  uint64 `json:"missing"`
	LostTap  uint64 `json:"missing_reported_by_taps"` // spool full and the like: the taps said so themselves
	Gaps     uint64 `json:"missing_unexplained"`
	TapCount uint64 `json:"taps"`

	Events      uint64 `json:"events_stored"` // of all sources
	Findings    uint64 `json:"findings_stored"`
	Sealed      uint64 `json:"sealed"` // events and findings
	NotSealed   uint64 `json:"not_sealed_yet"`
	DeadLetters uint64 `json:"dead_lettered_all_tenants"` // of the store, in the period

	Truncated uint64 `json:"capture_truncated"`
	Withheld  uint64 `json:"capture_withheld"`
	Invalid   uint64 `json:"invalid_messages"`
	Skewed    uint64 `json:"clock_skewed"` // seen and received more than five minutes apart
	MaxSkewMs uint64 `json:"clock_skew_max_ms"`
	BadTime   uint64 `json:"time_replaced"` // the time was impossible, that of receipt stands for it
}

// ReadCoverage counts. Times are half-open: from is in, to is not.
func ReadCoverage(ctx context.Context, d *DB, tenant string, from, to time.Time) (*Coverage, error) {
	c := &Coverage{}
	period := func(column string) string {
		return fmt.Sprintf("%[1]s >= fromUnixTimestamp64Nano(%[2]d, 'UTC') AND %[1]s < fromUnixTimestamp64Nano(%[3]d, 'UTC')", column, from.UnixNano(), to.UnixNano())
	}
	own := "tenant = " + lit(tenant) + " AND " + period("ts")
	stored, err := d.Count(ctx, "events", own)
	if err != nil {
		return nil, err
	}
	leaves, err := d.Count(ctx, "seal_leaves", own)
	if err != nil {
		return nil, err
	}
	queries := []string{
		fmt.Sprintf(`SELECT toUInt64(sum(passed)) AS passed_taps, toUInt64(sum(got)) AS stored_of_taps, toUInt64(sum(passed - got)) AS missing, toUInt64(sum(least(lost, passed - got))) AS missing_reported_by_taps,
			toUInt64(missing - missing_reported_by_taps) AS missing_unexplained, uniqExact(tap_id) AS taps FROM (
			SELECT tap_id, tap_epoch, max(greatest(tap_seq, lost_to)) - min(tap_seq) + 1 AS passed, uniqExact(tap_seq) AS got,
				toUInt64(arraySum(x -> x.2 - x.1 + 1, groupUniqArrayIf((lost_from, lost_to), lost_to >= lost_from AND lost_from > 0))) AS lost
			FROM (SELECT tap_id, tap_epoch, tap_seq, lost_from, lost_to FROM %s WHERE %s AND tap_seq > 0
				UNION ALL SELECT tap_id, tap_epoch, tap_seq, lost_from, lost_to FROM %s WHERE %s AND tap_seq > 0) GROUP BY tap_id, tap_epoch)`, d.table("events"), own, d.table("removed"), own), // removed on record is not missing
		fmt.Sprintf(`SELECT uniqExact(finding_id) AS findings_stored FROM %s WHERE %s`, d.table("findings"), own),
		fmt.Sprintf(`SELECT toUInt64(sum(records)) AS dead_lettered_all_tenants FROM %s FINAL WHERE sink LIKE 'clickhouse%%' AND reason != '' AND %s`, d.table("ledger"), period("published_at")),
	}
	for _, part := range PartsByID("event_id", stored) {
		queries = append(queries, fmt.Sprintf(`SELECT uniqExact(event_id) AS events_stored, uniqExactIf(event_id, capture = 'truncated') AS capture_truncated, uniqExactIf(event_id, capture = 'withheld') AS capture_withheld,
			uniqExactIf(event_id, kind = 'invalid') AS invalid_messages, uniqExactIf(event_id, abs(dateDiff('millisecond', ts, received)) > 300000) AS clock_skewed,
			toUInt64(max(abs(dateDiff('millisecond', ts, received)))) AS clock_skew_max_ms, uniqExactIf(event_id, has(anomalies, 'time_out_of_range')) AS time_replaced FROM %s WHERE %s AND %s`, d.table("events"), own, part))
	}
	for _, part := range PartsByID("id", leaves) {
		queries = append(queries, fmt.Sprintf(`SELECT uniqExact(kind, id) AS sealed FROM %s WHERE %s AND %s`, d.table("seal_leaves"), own, part))
	}
	total := map[string]uint64{}
	for _, q := range queries {
		// One row as a JSON object: its names are those of the fields.
		rows, err := d.Strings(ctx, "count what is stored", "SELECT formatRowNoNewline('JSONEachRow', r.*) AS x FROM ("+q+") AS r SETTINGS output_format_json_quote_64bit_integers = 0")
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			var of map[string]uint64
			if json.Unmarshal([]byte(r), &of) != nil {
				return nil, fmt.Errorf("cannot count what is stored: ClickHouse's answer is not what was asked for")
			}
			for name, n := range of {
				if name == "clock_skew_max_ms" {
					total[name] = max(total[name], n)
				} else {
					total[name] += n
				}
			}
		}
	}
	b, err := json.Marshal(total)
	if err == nil {
		err = json.Unmarshal(b, c)
	}
	if err != nil {
		return nil, err
	}
	c.Tenant, c.From, c.To = tenant, from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano)
	if all := c.Events + c.Findings; all > c.Sealed {
		c.NotSealed = all - c.Sealed
	}
	return c, nil
}
