// Data protection: what kinds of data pass where, and what leaves.

package dashboards

func data() *Board {
	return newBoard(uidData, "Data protection", "Data classes by server, tool and tenant, what was redacted, where data went, and what flows from which tool to which.", "now-24h").
		traffic().
		with(
			stats(about{"Messages with sensitive data", "Of all messages in the time range.", 12, 4}, "short", `
				SELECT count() AS messages, countIf(notEmpty(data_classes)) AS sensitive, countIf(notEmpty(mapKeys(redactions))) AS redacted, countIf(capture = 'withheld') AS withheld `+eventsInTime),
			stats(about{"Calls that can send outside", "Requests to tools that are known to send, and those of them with sensitive data in their arguments.", 12, 4}, "short", `
				SELECT countIf(has(capabilities, 'sends_outside')) AS sending, countIf(has(capabilities, 'sends_outside') AND notEmpty(data_classes)) AS "with sensitive data"
				`+eventsInTime+` AND kind = 'request' AND method = 'tools/call'`),
			series(about{"Data classes", "Messages in which a class was found; the ten most frequent.", 16, 8}, "short", true, `
				SELECT $__timeInterval(ts) AS time, arrayJoin(data_classes) AS class, count() AS Value
				`+eventsInTime+` AND notEmpty(data_classes)
				GROUP BY time, class ORDER BY time, Value DESC LIMIT 10 BY time`),
			shares(about{"Redactions", "Values replaced, by class.", 8, 8}, "short", `
				SELECT r.1 AS class, sum(r.2) AS replaced FROM (SELECT arrayJoin(CAST(redactions, 'Array(Tuple(String, Float64))')) AS r `+eventsInTime+` AND notEmpty(mapKeys(redactions)))
				GROUP BY class ORDER BY replaced DESC LIMIT 15`),
			rows(about{"By server and tool", "Where data classes stand: in arguments (to the server) or in results (to the model).", 14, 10}, `
				SELECT server, tool, arrayJoin(data_classes) AS class, countIf(direction = 'client_to_server') AS "in arguments", countIf(direction = 'server_to_client') AS "in results",
				       uniqExact(principal_id) AS principals, tenant
				`+eventsInTime+` AND notEmpty(data_classes)
				GROUP BY tenant, server, tool, class ORDER BY count() DESC LIMIT 300`, colServer, colTool),
			rows(about{"By principal", "Who handles which classes.", 10, 10}, `
				SELECT principal_id, arrayStringConcat(arraySort(groupUniqArrayArray(data_classes)), ', ') AS classes, count() AS messages
				`+eventsInTime+` AND notEmpty(data_classes) AND principal_id != ''
				GROUP BY principal_id ORDER BY messages DESC LIMIT 200`, colPrincipal, column{name: "messages", bar: true}),
		).
		row("Where it goes",
			rows(about{"Destinations", "Hosts, mail domains, repositories and buckets that arguments named, in calls to tools that can send.", 12, 10}, `
				SELECT arrayJoin(destinations) AS destination, count() AS calls, uniqExact(principal_id) AS principals, countIf(notEmpty(data_classes)) AS "with sensitive data", min(ts) AS first, max(ts) AS last
				`+eventsInTime+` AND kind = 'request' AND notEmpty(destinations)
				GROUP BY destination ORDER BY "with sensitive data" DESC, calls DESC LIMIT 200`, column{name: "calls", bar: true}),
			flow(about{"Flows", "In conversations of the time range: from tools whose results held sensitive data to tools that were called after and can send outside. The number is of conversations.", 12, 10}, `
				SELECT id, splitByChar('/', id)[1] AS subtitle, arrayStringConcat(arraySlice(splitByChar('/', id), 2), '/') AS title, sum(n) AS mainstat
				FROM (`+flows+`) ARRAY JOIN [source, target] AS id
				GROUP BY id`, `
				SELECT concat(source, ' > ', target) AS id, source, target, n AS mainstat FROM (`+flows+`)`),
		)
}

// flows are pairs of tools: the first gave sensitive data, the second, called later in the same conversation, can send.
var flows = `
	SELECT concat(s.1, '/', s.2) AS source, concat(t.1, '/', t.2) AS target, uniqExact(conversation_id) AS n
	FROM
	(
	    SELECT conversation_id,
	           groupUniqArrayIf(50)((server, tool), kind = 'response' AND notEmpty(data_classes)) AS sources,
	           groupUniqArrayIf(50)((server, tool), kind = 'request' AND has(capabilities, 'sends_outside')) AS sinks,
	           minIf(ts, kind = 'response' AND notEmpty(data_classes)) AS read, maxIf(ts, kind = 'request' AND has(capabilities, 'sends_outside')) AS sent
	    ` + eventsInTime + ` AND method = 'tools/call' AND conversation_id != '' AND (notEmpty(data_classes) OR has(capabilities, 'sends_outside'))
	    GROUP BY conversation_id HAVING notEmpty(sources) AND notEmpty(sinks) AND sent > read
	)
	ARRAY JOIN sources AS s ARRAY JOIN sinks AS t
	GROUP BY source, target HAVING source != target ORDER BY n DESC LIMIT 60`
