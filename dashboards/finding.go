// One finding: the chain behind it, step by step, and everything an analyst asks next.

package dashboards

// Conditions of the finding that the text box names. Events are looked for around it only, so that few are read. Where there is no such finding any() is empty; without
// it the question would be an error.
const (
	theFinding  = "findings.finding_id = toUUIDOrZero('${finding:percentencode}')"
	ofFinding   = "(SELECT any(tenant) FROM findings WHERE " + theFinding + ")"
	findingFrom = "(SELECT min(first_seen) - INTERVAL 1 HOUR FROM findings WHERE " + theFinding + ")"
	findingTo   = "(SELECT max(last_seen) + INTERVAL 1 HOUR FROM findings WHERE " + theFinding + ")"
	aroundIt    = "tenant = " + ofFinding + " AND ts BETWEEN " + findingFrom + " AND " + findingTo
)

func finding() *Board {
	return newBoard(uidFinding, "Investigate a finding", "The chain behind one finding, the conversation around it, who acted and how that is known, related findings and the history of triage.", "now-7d").
		given("finding", "Finding", "Id of the finding; tables of findings link here.").
		tenants().
		with(
			rows(about{"Finding", "As it stands now.", 24, 5}, `
				SELECT severity, status, title, summary, rule_id, rule_version, confidence, raised, first_seen, last_seen, count, tenant, principal_id, server, tool, conversation_id
				FROM mcp_findings WHERE finding_id = toUUIDOrZero('${finding:percentencode}')`, colSeverity, colStatus, colSummary, colPrincipal, colServer, colTool, colConverse, column{name: "confidence", unit: "percentunit"}),
			rows(about{"Why it fired", "The values that were compared.", 8, 7}, `
				SELECT w.1 AS what, w.2 AS value FROM (SELECT arrayJoin(CAST(why, 'Array(Tuple(String, String))')) AS w FROM findings WHERE `+theFinding+`)`, column{name: "value", wrap: true}),
			rows(about{"What to do", "What the rule advises, when it is harmless, and what it refers to.", 16, 7}, `
				SELECT remediation AS "what to do", false_positives AS "harmless when", arrayStringConcat(references, '; ') AS references
				FROM findings WHERE `+theFinding, column{name: "what to do", wrap: true}, column{name: "harmless when", wrap: true}, column{name: "references", wrap: true}),
			rows(about{"Chain", "The events that are the evidence, in order, with what each is evidence of. Bodies are redacted.", 24, 10}, `
				SELECT e.ts AS time, f.step AS step, toString(e.event_id) AS event_id, e.kind AS kind, e.method AS method, e.server AS server, e.tool AS tool, e.outcome AS outcome,
				       f.evidence AS evidence, arrayStringConcat(e.data_classes, ', ') AS data, arrayStringConcat(mapKeys(e.signals), ', ') AS seen, substring(e.body, 1, 4000) AS body, e.principal_id AS principal_id
				FROM (SELECT * FROM events WHERE `+aroundIt+` AND event_id IN (SELECT arrayJoin(event_ids) FROM findings WHERE `+theFinding+`)) AS e
				INNER JOIN
				(
				    SELECT id, step, evidence[step] AS evidence
				    FROM (SELECT evidence, event_ids FROM findings WHERE `+theFinding+`) ARRAY JOIN event_ids AS id, arrayEnumerate(event_ids) AS step
				) AS f ON f.id = e.event_id
				ORDER BY step`, colEvent, colServer, colTool, colOutcome, colPrincipal, column{name: "evidence", wrap: true}, column{name: "body", inspection: true}),
		).
		row("Around it",
			rows(about{"The conversation's timeline", "All messages of the conversation from an hour before to an hour after, requests with their arguments, answers with their results.", 24, 10}, `
				SELECT ts AS time, toString(event_id) AS event_id, direction, kind, method, server, tool, outcome, duration_ns / 1e6 AS ms, arrayStringConcat(data_classes, ', ') AS data, arrayStringConcat(mapKeys(signals), ', ') AS seen,
				       event_id IN (SELECT arrayJoin(event_ids) FROM findings WHERE `+theFinding+`) AS evidence, substring(body, 1, 2000) AS body
				FROM events WHERE `+aroundIt+` AND conversation_id != '' AND conversation_id = (SELECT any(conversation_id) FROM findings WHERE `+theFinding+`)
				ORDER BY ts LIMIT 500`, colEvent, colServer, colTool, colOutcome, colMS, column{name: "body", inspection: true}),
			rows(about{"Who, and how that is known", "Every identity that the evidence carries. Only a verified one is more than a claim.", 12, 7}, `
				SELECT principal_id, principal_kind AS kind, principal_method AS established_by, principal_issuer AS issuer, if(principal_verified, 'yes', 'no') AS verified, principal_team AS team,
				       arrayStringConcat(on_behalf_of, ' -> ') AS on_behalf_of, client_name AS client, host_name AS host, os_user, token_fingerprint, arrayStringConcat(auth_scopes, ' ') AS scopes, count() AS events
				FROM events WHERE `+aroundIt+` AND event_id IN (SELECT arrayJoin(event_ids) FROM findings WHERE `+theFinding+`)
				GROUP BY ALL ORDER BY events DESC`, colPrincipal, column{name: "verified", coloured: true}),
			rows(about{"What the principal did before and after", "Calls of the same principal, on any server, from an hour before to an hour after.", 12, 7}, `
				SELECT ts AS time, toString(event_id) AS event_id, server, tool, method, outcome, conversation_id, principal_id
				FROM events WHERE `+aroundIt+` AND principal_id != '' AND principal_id = (SELECT any(principal_id) FROM findings WHERE `+theFinding+`) AND `+answers+`
				ORDER BY ts LIMIT 500`, colEvent, colServer, colTool, colOutcome, colConverse),
		).
		row("Related, and what was done",
			rows(about{"Related findings", "About the same thing, the same principal or the same conversation.", 16, 8}, `
				SELECT toString(finding_id) AS finding_id, severity, status, raised, rule_id, summary, server, tool,
				       group_id = (SELECT any(group_id) FROM findings WHERE `+theFinding+`) AS "same thing"
				FROM mcp_findings
				WHERE tenant = `+ofFinding+` AND mcp_findings.finding_id != toUUIDOrZero('${finding:percentencode}') AND
				      (group_id = (SELECT any(group_id) FROM findings WHERE `+theFinding+`) OR
				       principal_id != '' AND principal_id = (SELECT any(principal_id) FROM findings WHERE `+theFinding+`) OR
				       conversation_id != '' AND conversation_id = (SELECT any(conversation_id) FROM findings WHERE `+theFinding+`))
				ORDER BY raised DESC LIMIT 100`, colFinding, colSeverity, colStatus, colSummary, colServer, colTool),
			rows(about{"Triage", "Every change of state: who, when, why. The same with mcpsiem findings show ID.", 8, 8}, `
				SELECT changed AS time, status, triaged_by AS by, triage_note AS note, if(accepted_until > toDateTime64(0, 9), toString(accepted_until), '') AS until
				FROM finding_history WHERE finding_id = toUUIDOrZero('${finding:percentencode}') ORDER BY revision`, colStatus, column{name: "note", wrap: true}),
		)
}
