// SOC overview: what is open, how bad, who and what is concerned, and whether the pipeline sees everything.

package dashboards

func soc() *Board {
	open := "FROM mcp_findings WHERE is_open AND " + byFinding
	return newBoard(uidSOC, "SOC overview", "Open findings by severity and rule, who and what is at risk, and whether taps and sinks are alive.", "now-24h").
		traffic().severities().
		with(
			stats(about{"Open findings", "Findings that nobody has closed, whenever they were raised.", 12, 4}, "short", `
				SELECT countIf(severity = 'critical') AS critical, countIf(severity = 'high') AS high, countIf(severity = 'medium') AS medium,
				       countIf(severity = 'low') AS low, countIf(severity = 'informational') AS informational `+open),
			stats(about{"Time to acknowledge and to resolve", "Means over the findings raised in the time range that a person has touched, and of those closed.", 6, 4}, "s", `
				SELECT avg(mtta) AS "to acknowledge", avg(mttr) AS "to resolve" `+findingsInTime),
			stats(about{"Raised, suppressed", "Findings raised in the time range; of them those that an allow-list or a maintenance window accepted as they came.", 6, 4}, "short", `
				SELECT count() AS "raised in all", countIf(suppressed) AS "suppressed of them", countIf(status = 'false_positive') AS "false positives" `+findingsInTime),
			series(about{"Findings raised", "By severity.", 16, 8}, "short", true, `
				SELECT $__timeInterval(raised) AS time, countIf(severity = 'critical') AS critical, countIf(severity = 'high') AS high,
				       countIf(severity = 'medium') AS medium, countIf(severity = 'low') AS low, countIf(severity = 'informational') AS informational
				`+findingsInTime+`
				GROUP BY time ORDER BY time`),
			bars(about{"Open by rule", "The rules with most open findings.", 8, 8}, "short", `
				SELECT rule_id AS rule, countIf(severity IN ('critical', 'high')) AS "high or worse", count() - "high or worse" AS others
				`+open+`
				GROUP BY rule_id ORDER BY count() DESC LIMIT 12`),
		).
		row("Work on",
			rows(about{"Open findings, the worst first", "Follow an id to the chain of events behind it.", 24, 10}, `
				SELECT toString(finding_id) AS finding_id, severity, status, raised, rule_id, summary, principal_id, server, tool, tenant, count, group_open AS "open alike"
				`+open+`
				ORDER BY severity_rank DESC, raised DESC LIMIT 200`,
				colFinding, colSeverity, colStatus, colSummary, colPrincipal, colServer, colTool),
		).
		row("At risk",
			rows(about{"Principals", "Risk adds 10 for each critical, 5 for each high, 2 for each medium and 1 for each low finding of the time range that is open.", 8, 8}, `
				SELECT principal_id, sum(transform(severity_rank, [1, 2, 3, 4, 5], [0, 1, 2, 5, 10], 0)) AS risk, count() AS findings, max(raised) AS newest
				`+findingsInTime+` AND is_open AND principal_id != ''
				GROUP BY principal_id ORDER BY risk DESC, findings DESC LIMIT 20`, colPrincipal, column{name: "risk", bar: true}),
			rows(about{"Servers", "Risk as for principals.", 8, 8}, `
				SELECT server, sum(transform(severity_rank, [1, 2, 3, 4, 5], [0, 1, 2, 5, 10], 0)) AS risk, count() AS findings, max(raised) AS newest
				`+findingsInTime+` AND is_open AND server != ''
				GROUP BY server ORDER BY risk DESC, findings DESC LIMIT 20`, colServer, column{name: "risk", bar: true}),
			rows(about{"Tools", "Risk as for principals.", 8, 8}, `
				SELECT server, tool, sum(transform(severity_rank, [1, 2, 3, 4, 5], [0, 1, 2, 5, 10], 0)) AS risk, count() AS findings
				`+findingsInTime+` AND is_open AND tool != ''
				GROUP BY server, tool ORDER BY risk DESC, findings DESC LIMIT 20`, colServer, colTool, column{name: "risk", bar: true}),
		).
		row("Coverage and liveness",
			rows(about{"Techniques seen (OWASP, MITRE ATLAS, SAFE-MCP)", "What the findings of the time range refer to: framework, its version, id and name.", 12, 9}, `
				SELECT splitByChar(' ', reference)[1] AS framework, splitByChar(' ', reference)[3] AS id,
				       arrayStringConcat(arraySlice(splitByChar(' ', reference), 4), ' ') AS name, count() AS findings, countIf(is_open) AS open
				FROM (SELECT arrayJoin(references) AS reference, is_open `+findingsInTime+`)
				GROUP BY reference ORDER BY findings DESC LIMIT 100`, column{name: "findings", bar: true}),
			rows(about{"Taps", "What each tap sent in the time range. A tap that is long silent may be bypassed.", 6, 9}, `
				SELECT tap_id AS tap, anyLastIf(events.server, events.server != '') AS server, max(ts) AS "last seen", dateDiff('second', "last seen", now()) AS silence, count() AS events
				FROM events WHERE $__timeFilter(ts) AND `+byTenant+` AND `+where("events.server", "server")+` AND tap_id != ''
				GROUP BY tap_id ORDER BY "last seen" LIMIT 200`, colServer, column{name: "silence", unit: "s", width: 90}),
			rows(about{"Sinks", "Every consumer of a stream, as last observed: what waits for it and for how long.", 6, 9}, `
				SELECT durable AS sink, stream, argMax(c.pending, c.observed_at) AS waiting, argMax(c.lag_seconds, c.observed_at) AS behind, max(c.observed_at) AS observed
				FROM consumers AS c WHERE observed_at > now() - INTERVAL 1 DAY
				GROUP BY durable, stream ORDER BY behind DESC`, column{name: "behind", unit: "s", width: 90}),
		)
}
