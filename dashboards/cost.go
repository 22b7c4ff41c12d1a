// Cost: tokens and money, by whom and for what.

package dashboards

func cost() *Board {
	spent := eventsInTime + " AND (cost_amount != 0 OR tokens_arguments != 0 OR tokens_result != 0 OR tokens_definitions != 0)"
	tokens := "sum(tokens_arguments) + sum(tokens_result) + sum(tokens_definitions)"
	return newBoard(uidCost, "Cost", "Tokens and money by team, user, tenant and tool, what is left of budgets, spikes, and what definitions cost. Money is an estimate unless the provider reports it.", "now-7d").
		traffic().
		with(
			stats(about{"Spent", "In the time range, in the currency of the price list, and what it comes to in 30 days at this rate.", 8, 4}, "short", `
				SELECT round(sum(cost_amount), 2) AS spent, round(spent / greatest(dateDiff('second', $__fromTime, $__toTime), 1) * 2592000, 2) AS "in 30 days" `+spent),
			stats(about{"Tokens", "In the time range.", 16, 4}, "short", `
				SELECT sum(tokens_arguments) AS arguments, sum(tokens_result) AS results, sum(tokens_definitions) AS definitions, round(sum(tokens_definitions) / greatest(`+tokens+`, 1), 3) AS "share of definitions" `+spent).OverrideByName("share of definitions", in("percentunit")),
			series(about{"Spent", "By team.", 16, 8}, "short", true, `
				SELECT $__timeInterval(ts) AS time, if(principal_team = '', 'no team', principal_team) AS team, sum(cost_amount) AS Value
				`+spent+`
				GROUP BY time, team ORDER BY time`),
			shares(about{"Where tokens come from", "Results fill the context most; definitions are paid in every conversation.", 8, 8}, "short", `
				SELECT t.1 AS part, t.2 AS tokens FROM (SELECT arrayJoin([('arguments', sum(tokens_arguments)), ('results', sum(tokens_result)), ('definitions', sum(tokens_definitions))]) AS t `+spent+`)`),
			rows(about{"By team and principal", "", 12, 9}, `
				SELECT principal_team AS team, principal_id, round(sum(cost_amount), 4) AS cost, `+tokens+` AS tokens, countIf(kind = 'request' AND method = 'tools/call') AS calls, any(cost_currency) AS currency
				`+spent+`
				GROUP BY principal_team, principal_id ORDER BY cost DESC LIMIT 200`, colPrincipal, column{name: "cost", bar: true}),
			rows(about{"By server and tool", "Tokens a call shows tools that stuff the context.", 12, 9}, `
				SELECT server, tool, round(sum(cost_amount), 4) AS cost, `+tokens+` AS tokens, countIf(kind != 'request') AS calls, round(tokens / greatest(calls, 1)) AS "tokens a call", quantile(0.95)(tokens_result) AS "p95"
				`+spent+` AND method = 'tools/call'
				GROUP BY server, tool ORDER BY cost DESC LIMIT 200`, colServer, colTool, column{name: "cost", bar: true}),
		).
		row("Budgets and spikes",
			rows(about{"Findings about cost", "Budgets passed or about to be, spikes, loops, bloated definitions. Budgets themselves: mcpsiem budgets.", 12, 8}, `
				SELECT toString(finding_id) AS finding_id, severity, status, raised, rule_id, summary, principal_id
				FROM mcp_findings WHERE $__timeFilter(raised) AND `+byAll+` AND (rule_id LIKE '%budget%' OR rule_id LIKE '%cost%' OR rule_id LIKE '%rate_limit%' OR rule_id LIKE '%runaway%' OR rule_id LIKE '%token%' OR rule_id LIKE '%bloat%' OR rule_id LIKE '%loop%')
				ORDER BY raised DESC LIMIT 100`, colFinding, colSeverity, colStatus, colSummary, colPrincipal),
			rows(about{"Hours far above the usual", "Spend of a principal in an hour against the median of its hours in the time range. At least five hours are needed.", 12, 8}, `
				SELECT hour, principal_id, round(cost, 4) AS cost, round(usual, 4) AS median, round(cost / greatest(usual, 0.0001), 1) AS times
				FROM (SELECT toStartOfHour(ts) AS hour, principal_id, sum(cost_amount) AS cost, median(cost) OVER (PARTITION BY principal_id) AS usual, count() OVER (PARTITION BY principal_id) AS hours
				      `+spent+` AND principal_id != '' GROUP BY hour, principal_id)
				WHERE hours >= 5 AND cost > 3 * usual ORDER BY cost - usual DESC LIMIT 100`, colPrincipal, column{name: "times", bar: true}),
		).
		row("Definitions",
			rows(about{"Definition overhead by conversation", "What stood in the context before the first word, the largest first.", 24, 8}, `
				SELECT started, principal_id, client_name AS client, server, tools, tools_used AS used, tokens, tokens_unused AS "never used", share_200k AS share, conversation_id
				FROM token_tax(since = $__fromTime) WHERE `+byTenant+` AND `+byServer+` AND `+byPrincipal+` AND started <= $__toTime
				ORDER BY tokens DESC LIMIT 200`, colPrincipal, colServer, colConverse, column{name: "share", unit: "percentunit", bar: true}),
		)
}
