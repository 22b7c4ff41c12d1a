// Pipeline health: streams, lag, throughput, what sinks took and gave up, and how long it all takes.

package dashboards

func health() *Board {
	observed := "FROM consumers AS c WHERE $__timeFilter(observed_at)"
	return newBoard(uidHealth, "Pipeline health", "Streams, lag, throughput, accounting of sinks, dead letters, time from tap to store, errors.", "now-6h").
		tenants().
		with(
			rows(about{"Received = confirmed + dead-lettered + waiting", "Records of the time range, by the ledger of the streams and the place that each sink has confirmed. mcpsiem status counts the rows of the store itself.", 12, 5}, `
				SELECT p.stream AS stream, c.durable AS sink, sum(p.records) AS received, sumIf(p.records, p.seq <= c.floor) - any(d.dead) AS confirmed, any(d.dead) AS "dead-lettered", sumIf(p.records, p.seq > c.floor) AS waiting
				FROM (SELECT stream, seq, records FROM ledger WHERE sink = '' AND $__timeFilter(published_at)) AS p
				INNER JOIN (SELECT stream, durable, argMax(ack_floor, observed_at) AS floor FROM consumers WHERE $__timeFilter(observed_at) GROUP BY stream, durable) AS c ON c.stream = p.stream
				LEFT JOIN (SELECT stream, sink, sum(records) AS dead FROM ledger WHERE sink != '' AND reason NOT IN ('replayed') AND $__timeFilter(published_at) GROUP BY stream, sink) AS d ON d.stream = p.stream AND d.sink = c.durable
				GROUP BY stream, sink ORDER BY stream, sink`),
			stats(about{"Time from tap to collector", "Of the events stored in the time range: from the moment that the tap saw the message to the collector's receipt.", 6, 5}, "ms", `
				SELECT quantileOrNull(0.5)(took) AS p50, quantileOrNull(0.99)(took) AS p99
				FROM (SELECT toUnixTimestamp64Milli(received) - toUnixTimestamp64Milli(ts) AS took FROM events WHERE $__timeFilter(ts) AND `+byTenant+` AND clock_source = 'tap')`),
			stats(about{"Waiting", "Messages of the streams that some consumer has not confirmed, as last observed.", 6, 5}, "short", `
				SELECT max(waiting) AS "longest queue", max(behind) AS "longest wait (s)"
				FROM (SELECT argMax(c.pending + c.ack_pending, c.observed_at) AS waiting, argMax(c.lag_seconds, c.observed_at) AS behind `+observed+` GROUP BY stream, durable)`),
			series(about{"Events stored", "By kind.", 12, 8}, "short", true, `
				SELECT $__timeInterval(ts) AS time, if(kind = '', 'other', kind) AS kind, count() AS Value
				FROM events WHERE $__timeFilter(ts) AND `+byTenant+` GROUP BY time, kind ORDER BY time`),
			series(about{"Published to the streams", "Records, from the ledger.", 12, 8}, "short", false, `
				SELECT $__timeInterval(published_at) AS time, stream, sum(records) AS Value
				FROM ledger WHERE sink = '' AND $__timeFilter(published_at) GROUP BY time, stream ORDER BY time`),
		).
		row("Consumers",
			series(about{"Behind", "Age of the oldest message that a consumer has not confirmed.", 12, 8}, "s", false, `
				SELECT $__timeInterval(observed_at) AS time, durable, max(c.lag_seconds) AS Value `+observed+` GROUP BY time, durable ORDER BY time`),
			series(about{"Waiting", "Messages that a consumer has not confirmed.", 12, 8}, "short", false, `
				SELECT $__timeInterval(observed_at) AS time, durable, max(c.pending + c.ack_pending) AS Value `+observed+` GROUP BY time, durable ORDER BY time`),
			rows(about{"Consumers", "As last observed.", 24, 8}, `
				SELECT stream, durable AS consumer, argMax(c.pending, c.observed_at) AS waiting, argMax(c.ack_pending, c.observed_at) AS "under way", argMax(c.redelivered, c.observed_at) AS redelivered,
				       argMax(c.lag_seconds, c.observed_at) AS behind, argMax(c.ack_floor, c.observed_at) AS "confirmed up to", argMax(c.last_seq, c.observed_at) AS "stream's last", max(c.observed_at) AS observed
				`+observed+` GROUP BY stream, durable ORDER BY behind DESC, stream`, column{name: "behind", unit: "s"}),
		).
		row("Errors",
			series(about{"Dead letters", "Records that a sink or stage gave up on.", 12, 8}, "short", true, `
				SELECT $__timeInterval(published_at) AS time, concat(sink, ': ', reason) AS why, sum(records) AS Value
				FROM ledger WHERE sink != '' AND reason NOT IN ('replayed', 'dropped') AND $__timeFilter(published_at) GROUP BY time, why ORDER BY time`),
			series(about{"Outcomes other than ok", "Of answers.", 12, 8}, "short", true, `
				SELECT $__timeInterval(ts) AS time, outcome, count() AS Value
				FROM events WHERE $__timeFilter(ts) AND `+byTenant+` AND `+answers+` AND `+failure+` GROUP BY time, outcome ORDER BY time`),
			rows(about{"Anomalies", "What decoding and inspection noted on messages.", 12, 8}, `
				SELECT arrayJoin(anomalies) AS anomaly, count() AS messages, uniqExact(server) AS servers, max(ts) AS last
				FROM events WHERE $__timeFilter(ts) AND `+byTenant+` AND notEmpty(anomalies) GROUP BY anomaly ORDER BY messages DESC LIMIT 100`, column{name: "messages", bar: true}),
			rows(about{"Not examined", "Messages whose content is withheld or cut, by reason.", 12, 8}, `
				SELECT capture, withheld_reason AS reason, count() AS messages, uniqExact(tap_id) AS taps, max(ts) AS last
				FROM events WHERE $__timeFilter(ts) AND `+byTenant+` AND capture NOT IN ('complete', '') GROUP BY capture, reason ORDER BY messages DESC LIMIT 100`, column{name: "messages", bar: true}),
		)
}
