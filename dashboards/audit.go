// Audit and compliance: is the trail complete, sealed and kept, and who looked at it or changed anything.

package dashboards

func audit() *Board {
	acts := "FROM events WHERE $__timeFilter(ts) AND " + byTenant + " AND audit_action != ''"
	return newBoard(uidAudit, "Audit and compliance", "Coverage and gaps, seals, retention and holds, evidence exports, and the audit of the audit.", "now-7d").
		tenants().
		with(
			stats(about{"Coverage", "Messages that taps numbered in the time range: stored, and missing from the numbering.", 10, 4}, "short", `
				SELECT sum(t.stored) AS "stored messages", sum(greatest(toInt64(t.last - t.first + 1) - toInt64(t.stored), 0)) AS missing, round(sum(t.stored) / nullIf(sum(t.stored) + missing, 0), 6) AS covered
				FROM (SELECT tap_id, tap_epoch, min(tap_seq) AS first, max(greatest(tap_seq, lost_to)) AS last, count() AS stored
				      FROM events WHERE $__timeFilter(ts) AND `+byTenant+` AND tap_seq > 0 GROUP BY tap_id, tap_epoch) AS t`).OverrideByName("covered", in("percentunit")),
			stats(about{"Sealed", "Leaves in the Merkle logs, and when the last checkpoint was signed.", 8, 4}, "short", `
				SELECT sum(size) AS sealed, if(count() = 0, NULL, dateDiff('second', max(signed), now())) AS "since the last checkpoint"
				FROM (SELECT tenant, max(c.size) AS size, max(c.signed_at) AS signed FROM seal_checkpoints AS c WHERE `+byTenant+` GROUP BY tenant)`).OverrideByName("since the last checkpoint", in("s")),
			stats(about{"Acts", "What people and the pipeline did, of which the audit of the audit is made.", 6, 4}, "short", `
				SELECT count() AS acts, uniqExact(principal_id) AS actors `+acts),
			rows(about{"Acts", "Who started, stopped, queried, exported, changed rules, retention, keys, holds, prices or allow-lists.", 24, 9}, `
				SELECT ts AS time, audit_action AS action, audit_target AS target, principal_id, principal_method AS "known by", host_name AS host, outcome, audit_details AS details, tenant, toString(event_id) AS event_id
				`+acts+`
				ORDER BY ts DESC LIMIT 500`, colPrincipal, colOutcome, colEvent, column{name: "details", inspection: true, wrap: true}),
			series(about{"Acts over time", "By kind.", 12, 8}, "short", true, `
				SELECT $__timeInterval(ts) AS time, audit_action AS action, count() AS Value `+acts+` GROUP BY time, action ORDER BY time`),
			rows(about{"Exports, holds, erasures, deletions", "What left the trail, or was kept from leaving it.", 12, 8}, `
				SELECT ts AS time, audit_action AS action, audit_target AS target, principal_id, audit_details AS details
				`+acts+` AND (audit_action LIKE 'evidence.%' OR audit_action LIKE 'hold.%' OR audit_action LIKE 'subject.%' OR audit_action LIKE 'retention.%')
				ORDER BY ts DESC LIMIT 200`, colPrincipal, column{name: "details", inspection: true, wrap: true}),
		).
		row("Completeness",
			rows(about{"Gaps", "Numbers that are missing from a tap's sequence in the time range, and how many of them the tap itself reported as lost.", 12, 8}, `
				SELECT tap_id AS tap, fromUnixTimestamp64Nano(toInt64(tap_epoch)) AS started, anyIf(events.server, events.server != '') AS server, min(ts) AS first, max(ts) AS last, count() AS stored,
				       greatest(toInt64(max(greatest(tap_seq, lost_to)) - min(tap_seq) + 1) - toInt64(stored), 0) AS missing, max(lost_events) AS "reported lost"
				FROM events WHERE $__timeFilter(ts) AND `+byTenant+` AND tap_seq > 0
				GROUP BY tap_id, tap_epoch HAVING missing > 0 ORDER BY missing DESC LIMIT 200`, colServer),
			rows(about{"Dead letters", "What a stage or sink gave up on, by reason. mcpsiem dlq lists and replays them.", 12, 8}, `
				SELECT sink, stream, reason, sum(records) AS records, max(published_at) AS last
				FROM ledger WHERE sink != '' AND $__timeFilter(published_at)
				GROUP BY sink, stream, reason ORDER BY records DESC LIMIT 200`, column{name: "records", bar: true}),
			rows(about{"Checkpoints", "Signed tree heads, the newest first. Check rows against them with mcpsiem audit verify.", 24, 8}, `
				SELECT tenant, size, root, signed_at, origin, events_seq, findings_seq
				FROM seal_checkpoints WHERE $__timeFilter(signed_at) AND `+byTenant+`
				ORDER BY signed_at DESC LIMIT 200`),
		)
}
