// A conversation, a principal: what was used, what data was touched, how it compares with before.

package dashboards

const byConversation = "$__conditionalAll(conversation_id = decodeURLComponent('${conversation:percentencode}'), $conversation)"

func principal() *Board {
	calls := eventsInTime + " AND " + byConversation + " AND " + answers
	return newBoard(uidPrincipal, "Conversation and principal", "Who called what: a swim-lane of calls, tools and servers used, data classes touched, and today against the week before.", "now-24h").
		given("conversation", "Conversation", "Id of a conversation; empty for all.").
		traffic().severities().
		with(
			stats(about{"Calls", "Answers of servers in the time range.", 12, 4}, "short", `
				SELECT count() AS answers, countIf(`+failure+`) AS failed, uniqExact(conversation_id) AS conversations, uniqExact(server) AS servers, uniqExact(server, tool) AS tools `+calls),
			stats(about{"Tokens and money", "Of all messages in the time range; money is an estimate where providers do not report it.", 12, 4}, "short", `
				SELECT sum(tokens_arguments) AS arguments, sum(tokens_result) AS results, sum(tokens_definitions) AS definitions, round(sum(cost_amount), 2) AS cost `+eventsInTime+` AND `+byConversation),
			lanes(about{"Swim-lane", "One lane for each server: its calls in order, coloured by outcome. At most the newest 500.", 24, 9}, `
				SELECT time, lane, Value FROM (SELECT exchange_start AS time, server AS lane, outcome AS Value `+calls+` AND server != '' ORDER BY time DESC LIMIT 500)
				ORDER BY time`),
			rows(about{"Calls", "Follow an id to the whole message.", 24, 9}, `
				SELECT ts AS time, toString(event_id) AS event_id, principal_id, server, method, tool, outcome, duration_ns / 1e6 AS ms, arrayStringConcat(data_classes, ', ') AS data, arrayStringConcat(mapKeys(signals), ', ') AS seen, conversation_id, tenant
				`+calls+`
				ORDER BY ts DESC LIMIT 300`, colEvent, colPrincipal, colServer, colTool, colOutcome, colMS, colConverse),
		).
		row("What was used",
			rows(about{"Tools", "By calls.", 12, 8}, `
				SELECT server, tool, count() AS calls, countIf(`+failure+`) AS failed, quantile(0.95)(duration_ns) / 1e6 AS ms, arrayStringConcat(groupUniqArrayArray(capabilities), ', ') AS "can do"
				`+calls+` AND method = 'tools/call'
				GROUP BY server, tool ORDER BY calls DESC LIMIT 100`, colServer, colTool, colMS, column{name: "calls", bar: true}),
			rows(about{"Data classes touched", "Values of these classes stood in messages and were replaced as the policy says.", 6, 8}, `
				SELECT arrayJoin(data_classes) AS class, count() AS messages, uniqExact(server) AS servers
				`+eventsInTime+` AND `+byConversation+` AND notEmpty(data_classes)
				GROUP BY class ORDER BY messages DESC`, column{name: "messages", bar: true}),
			rows(about{"Findings", "Raised in the time range.", 6, 8}, `
				SELECT toString(finding_id) AS finding_id, severity, status, raised, rule_id
				`+findingsInTime+` AND `+byConversation+`
				ORDER BY raised DESC LIMIT 100`, colFinding, colSeverity, colStatus),
		).
		row("Against the baseline",
			rows(about{"The time range against the seven days before it", "Calls a day of each principal in the range, and the mean of the week before.", 12, 8}, `
				SELECT principal_id,
				       round(countIf(ts >= $__fromTime) / greatest(dateDiff('second', $__fromTime, $__toTime) / 86400, 0.01), 1) AS "calls a day now",
				       round(countIf(ts < $__fromTime) / 7, 1) AS "before",
				       round("calls a day now" / nullIf("before", 0), 2) AS ratio,
				       uniqExactIf(server, ts >= $__fromTime) AS "servers now", uniqExactIf(server, ts < $__fromTime) AS "servers before"
				FROM events WHERE ts >= $__fromTime - INTERVAL 7 DAY AND ts <= $__toTime AND `+byAll+` AND kind = 'request' AND method = 'tools/call' AND principal_id != ''
				GROUP BY principal_id HAVING "calls a day now" > 0 ORDER BY ratio DESC NULLS FIRST LIMIT 100`, colPrincipal),
			series(about{"Calls", "Answers, and those that failed.", 12, 8}, "short", false, `
				SELECT $__timeInterval(ts) AS time, count() AS answers, countIf(`+failure+`) AS failed
				`+calls+`
				GROUP BY time ORDER BY time`),
		)
}

// event is one message.
func event() *Board {
	one := "FROM events WHERE event_id = toUUIDOrZero('${event:percentencode}') AND $__timeFilter(ts)"
	return newBoard(uidEvent, "One event", "Everything that is kept of one message.", "now-7d").
		given("event", "Event", "Id of the event; tables of events link here. It is looked for within the time range.").
		tenants().
		with(
			rows(about{"Event", "Who, what, when.", 24, 5}, `
				SELECT ts AS time, event_name, kind, direction, method, server, tool, outcome, duration_ns / 1e6 AS ms, tenant, principal_id, conversation_id, toString(exchange_id) AS exchange_id, capture, arrayStringConcat(anomalies, ', ') AS noted `+one,
				colServer, colTool, colOutcome, colMS, colPrincipal, colConverse),
			rows(about{"Message", "The JSON-RPC message, redacted.", 24, 9}, `SELECT body `+one, column{name: "body", wrap: true, inspection: true}),
			rows(about{"Every field", "All columns that are not empty.", 14, 12}, `
				SELECT f.1 AS field, f.2 AS value
				FROM (SELECT arrayJoin(JSONExtractKeysAndValuesRaw(formatRowNoNewline('JSONEachRow', * EXCEPT (body)))) AS f `+one+`)
				WHERE f.2 NOT IN ('""', '0', '[]', '{}', 'false', '"00000000-0000-0000-0000-000000000000"')`, column{name: "value", wrap: true}),
			rows(about{"The other side", "Messages of the same exchange, within a day.", 10, 6}, `
				SELECT ts AS time, toString(event_id) AS event_id, kind, outcome, substring(body, 1, 2000) AS body
				FROM events WHERE tenant = (SELECT any(tenant) `+one+`) AND ts BETWEEN (SELECT min(ts) - INTERVAL 1 DAY `+one+`) AND (SELECT max(ts) + INTERVAL 1 DAY `+one+`) AND exchange_id IN (SELECT exchange_id `+one+` AND exchange_id != toUUIDOrZero(''))
				ORDER BY ts`, colEvent, colOutcome, column{name: "body", inspection: true}),
			rows(about{"Findings that it is evidence of", "", 10, 6}, `
				SELECT toString(finding_id) AS finding_id, severity, status, raised, rule_id, summary
				FROM mcp_findings WHERE has(event_ids, toUUIDOrZero('${event:percentencode}')) AND `+byTenant, colFinding, colSeverity, colStatus, colSummary),
		)
}
