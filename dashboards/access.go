// Access: how callers prove who they are, and how their credentials are kept.

package dashboards

func access() *Board {
	return newBoard(uidAccess, "Access", "Authentication methods, unverified and unauthenticated calls, hygiene of tokens, service accounts and scopes.", "now-24h").
		traffic().
		with(
			stats(about{"Requests by how well the caller is known", "Verified: a signature, a certificate, an enrolled credential or the operating system vouches for the name.", 14, 4}, "short", `
				SELECT countIf(principal_verified) AS verified, countIf(NOT principal_verified AND principal_id != '') AS "claimed only", countIf(principal_id = '') AS unknown,
				       countIf(auth_decision IN ('denied', 'insufficient_scope', 'unauthenticated')) AS denied `+eventsInTime+` AND kind = 'request'`),
			stats(about{"Credentials", "Different ones in the time range, those without an end, and those shared by several principals.", 10, 4}, "short", `
				SELECT count() AS credentials, countIf(endless) AS "never expire", countIf(owners > 1) AS shared
				FROM (SELECT token_fingerprint, max(token_lifetime = -1) AS endless, uniqExactIf(principal_id, principal_id != '') AS owners `+eventsInTime+` AND token_fingerprint != '' GROUP BY token_fingerprint)`),
			series(about{"Authentication methods", "Requests by how the caller's identity was established.", 12, 8}, "short", true, `
				SELECT $__timeInterval(ts) AS time, if(principal_method = '', 'none', principal_method) AS method, count() AS Value
				`+eventsInTime+` AND kind = 'request'
				GROUP BY time, method ORDER BY time`),
			series(about{"Refused", "Authorization outcomes other than granted, and HTTP 401 and 403.", 12, 8}, "short", true, `
				SELECT $__timeInterval(ts) AS time, multiIf(auth_decision != '', auth_decision, http_status = 401, 'unauthenticated', 'denied') AS decision, count() AS Value
				`+eventsInTime+` AND (auth_decision NOT IN ('', 'granted') OR http_status IN (401, 403))
				GROUP BY time, decision ORDER BY time`),
		).
		row("Who is not verified",
			rows(about{"Unverified and unauthenticated", "Requests whose caller is only claimed or not known, by server.", 12, 9}, `
				SELECT server, if(principal_id = '', 'nobody known', principal_id) AS principal_id, if(principal_method = '', 'none', principal_method) AS method, count() AS requests, arrayStringConcat(groupUniqArray(5)(client_address), ', ') AS addresses, max(ts) AS last
				`+eventsInTime+` AND kind = 'request' AND NOT principal_verified
				GROUP BY server, principal_id, principal_method ORDER BY requests DESC LIMIT 200`, colServer, colPrincipal, column{name: "requests", bar: true}),
			rows(about{"Findings about access", "Sharing, growing scopes, tokens in wrong places, guessing, use after departure.", 12, 9}, `
				SELECT toString(finding_id) AS finding_id, severity, status, raised, rule_id, summary, principal_id
				FROM mcp_findings WHERE $__timeFilter(raised) AND `+byAll+` AND (rule_id LIKE '%credential%' OR rule_id LIKE '%token%' OR rule_id LIKE '%scope%' OR rule_id LIKE '%anonymous%' OR rule_id LIKE '%enumeration%' OR rule_id LIKE '%access%' OR rule_id LIKE '%revoked%')
				ORDER BY raised DESC LIMIT 200`, colFinding, colSeverity, colStatus, colSummary, colPrincipal),
		).
		row("Credentials and scopes",
			rows(about{"Token hygiene", "By keyed fingerprint; the credential itself is nowhere. A lifetime of -1 has no end.", 24, 10}, `
				SELECT token_fingerprint, owner AS principal_id, owner_kind AS kind, verified, lifetime_s AS lifetime, oldest_use_s AS "oldest use", length(t.principals) AS principals, length(t.hosts) AS hosts, server_count AS servers, tool_count AS tools,
				       arrayStringConcat(t.scopes, ' ') AS scopes, arrayStringConcat(t.audiences, ' ') AS audiences, calls, first_seen, last_seen, tenant
				FROM inventory_tokens(since = $__fromTime) AS t WHERE `+byTenant+`
				ORDER BY lifetime_s = -1 DESC, hosts DESC, calls DESC LIMIT 300`, colPrincipal, column{name: "verified", coloured: true}, column{name: "lifetime", unit: "s"}, column{name: "oldest use", unit: "s"}),
			rows(about{"Service accounts and agents", "Callers that are not people.", 12, 8}, `
				SELECT principal_id, principal_kind AS type, any(principal_team) AS team, uniqExact(host_name) AS hosts, uniqExact(server) AS servers, uniqExactIf(tool, tool != '') AS tools, count() AS requests
				`+eventsInTime+` AND kind = 'request' AND principal_kind IN ('service', 'agent')
				GROUP BY principal_id, principal_kind ORDER BY requests DESC LIMIT 200`, colPrincipal, column{name: "requests", bar: true}),
			rows(about{"Scopes in use", "What tokens claim to be allowed, and who holds it.", 12, 8}, `
				SELECT arrayJoin(auth_scopes) AS scope, uniqExact(principal_id) AS principals, uniqExact(token_fingerprint) AS credentials, uniqExact(server) AS servers, count() AS requests
				`+eventsInTime+` AND kind = 'request' AND notEmpty(auth_scopes)
				GROUP BY scope ORDER BY requests DESC LIMIT 200`, column{name: "requests", bar: true}),
		)
}
