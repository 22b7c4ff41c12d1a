// Tools and servers: what exists, what changed, what it costs before anybody calls it.

package dashboards

func inventory() *Board {
	return newBoard(uidInventory, "Tools and servers", "What servers and tools exist, since when, what changed in their definitions, what they can do and what they cost the context.", "now-7d").
		traffic().
		with(
			stats(about{"Seen", "Servers, tools and definitions that were listed or called in the time range.", 12, 4}, "short", `
				SELECT uniqExact(server) AS servers, uniqExactIf((server, tool), tool != '') AS "tools called",
				       (SELECT uniqExact(server, tool) FROM tool_catalogue WHERE last_seen >= $__fromTime AND `+byTenant+` AND `+byServer+` AND `+byTool+`) AS "tools listed"
				`+eventsInTime),
			stats(about{"Changed", "Servers and definitions seen for the first time in the time range.", 12, 4}, "short", `
				SELECT uniqExactIf(server, since >= $__fromTime) AS "new servers", uniqExactIf((server, tool), first >= $__fromTime) AS "new tools",
				       countIf(first < $__fromTime AND newest >= $__fromTime) AS "changed definitions"
				FROM
				(
				    SELECT server, tool, min(first_seen) AS first, max(first_seen) AS newest, min(first) OVER (PARTITION BY server) AS since
				    FROM (SELECT tenant, server, tool, definition_hash, min(c.first_seen) AS first_seen FROM tool_catalogue AS c WHERE `+byTenant+` AND `+byServer+` AND `+byTool+` GROUP BY tenant, server, tool, definition_hash)
				    GROUP BY server, tool
				)`),
			rows(about{"Servers", "Names are the configured ones; claimed is what the server says of itself. One without a name in a client's configuration or without listed tools may be a shadow server.", 24, 9}, `
				SELECT server, arrayStringConcat(claimed, ', ') AS "says it is", arrayStringConcat(transports, ', ') AS transport, arrayStringConcat(protocol_versions, ', ') AS protocol, arrayStringConcat(hosts, ', ') AS "on hosts",
				       arrayStringConcat(addresses, ', ') AS "at addresses", arrayStringConcat(clients, ', ') AS "used by", principal_count AS principals, calls, failed_calls AS failed, tools_listed AS "tools", tools_approved AS "approved tools", approved_by AS "approved by", definition_tokens AS "tokens", first_seen, last_seen, tenant
				FROM inventory_servers(since = $__fromTime) WHERE `+byTenant+` AND `+byServer+` AND server != ''
				ORDER BY calls DESC LIMIT 500`, colServer, column{name: "calls", bar: true}),
			rows(about{"Tools", "Versions counts the definitions ever seen of it: more than one is drift.", 24, 10}, `
				SELECT server, tool, arrayStringConcat(capabilities, ', ') AS "can do", versions, definition_tokens AS tokens, calls, failed_calls AS failed, principal_count AS principals, never_used, approved_by AS "approved by", first_seen, last_seen, last_called, tenant
				FROM inventory_tools(since = $__fromTime) WHERE `+byTenant+` AND `+byServer+` AND `+byTool+`
				ORDER BY versions DESC, calls DESC LIMIT 1000`, colServer, colTool, column{name: "calls", bar: true}),
		).
		row("Drift",
			rows(about{"Definitions before and after", "Each new definition of a tool that was known, the newest first, beside the one that it replaced.", 24, 10}, `
				SELECT first_seen AS changed, server, tool, before, definition AS after, old_tokens AS "tokens before", tokens AS "tokens after", definition_hash AS hash, tenant
				FROM
				(
				    SELECT tenant, server, tool, definition_hash, definition, tokens, first_seen,
				           lagInFrame(definition) OVER w AS before, lagInFrame(tokens) OVER w AS old_tokens, row_number() OVER w AS version
				    FROM (SELECT tenant, server, tool, definition_hash, max(c.definition) AS definition, max(c.tokens) AS tokens, min(c.first_seen) AS first_seen
				          FROM tool_catalogue AS c WHERE `+byTenant+` AND `+byServer+` AND `+byTool+` GROUP BY tenant, server, tool, definition_hash)
				    WINDOW w AS (PARTITION BY tenant, server, tool ORDER BY first_seen, definition_hash ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
				)
				WHERE version > 1 AND first_seen >= $__fromTime AND first_seen <= $__toTime
				ORDER BY first_seen DESC LIMIT 100`, colServer, colTool, column{name: "before", inspection: true, wrap: true}, column{name: "after", inspection: true, wrap: true}),
			rows(about{"Approvals", "Who approved or revoked what, by mcpsiem approve.", 24, 6}, `
				SELECT ts AS time, audit_action AS action, audit_target AS target, principal_id, audit_details AS details, tenant
				FROM events WHERE $__timeFilter(ts) AND `+byTenant+` AND audit_action IN ('server.approve', 'server.revoke')
				ORDER BY ts DESC LIMIT 200`, colPrincipal, column{name: "details", inspection: true, wrap: true}),
			rows(about{"Findings about servers and tools", "Drift, poisoned definitions, look-alikes, unapproved servers.", 24, 8}, `
				SELECT toString(finding_id) AS finding_id, severity, status, raised, rule_id, summary, server, tool
				FROM mcp_findings WHERE $__timeFilter(raised) AND `+byTenant+` AND `+byServer+` AND `+byTool+` AND server != '' AND (rule_id LIKE '%drift%' OR rule_id LIKE '%server%' OR rule_id LIKE '%tool%' OR rule_id LIKE '%definition%' OR rule_id LIKE '%injection%')
				ORDER BY raised DESC LIMIT 200`, colFinding, colSeverity, colStatus, colSummary, colServer, colTool),
		).
		row("Token tax",
			rows(about{"What definitions cost before the first word", "For each server: tokens of one list, as a share of a context window of 200,000, and how many of its tools conversations use.", 12, 8}, `
				SELECT server, count() AS conversations, toUInt64(avg(tokens)) AS "tokens a list", avg(share_200k) AS share, avg(tools) AS tools, avg(tools_used) AS "used", toUInt64(sum(tokens_unused)) AS "tokens never used"
				FROM token_tax(since = $__fromTime) WHERE `+byTenant+` AND `+byServer+` AND `+byPrincipal+`
				GROUP BY server ORDER BY "tokens never used" DESC LIMIT 100`, colServer, column{name: "share", unit: "percentunit", bar: true}),
			rows(about{"Tools that nobody called", "Listed in the time range, not called in it: candidates for removal.", 12, 8}, `
				SELECT server, tool, definition_tokens AS tokens, first_seen, last_seen
				FROM inventory_tools(since = $__fromTime) WHERE `+byTenant+` AND `+byServer+` AND `+byTool+` AND never_used
				ORDER BY tokens DESC LIMIT 500`, colServer, colTool, column{name: "tokens", bar: true}),
		)
}
