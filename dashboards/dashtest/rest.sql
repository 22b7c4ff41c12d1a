-- What belongs to the generated traffic beside events: findings with some triage, definitions of tools with some drift, acts, gaps, and the streams' accounts.

INSERT INTO {{.Database}}.events (event_name, ts, received, event_id, source_kind, clock_source, stream_seq, tenant, principal_id, principal_kind, principal_method, principal_verified, host_name, kind, capture, outcome, audit_action, audit_target, audit_details)
SELECT 'mcpsiem.audit', toDateTime64({{.End}}, 9, 'UTC') - toIntervalSecond(number * 977) AS at, at, toUUID(concat('00000000-0000-4000-a000-', leftPad(lower(hex(number)), 12, '0'))), 'mcpsiem', 'receiver', 1, ['acme', 'globex', 'initech'][1 + number % 3],
       ['ann', 'ben', 'system'][1 + number % 3], 'user', 'os_user', true, 'siem1', 'record', 'complete', 'ok',
       ['pipeline.start', 'evidence.export', 'rules.change', 'hold.create', 'retention.apply', 'finding.triage', 'server.approve', 'audit.verify'][1 + number % 8] AS action, concat('target-', toString(number)), map('reason', 'generated')
FROM numbers({{.Acts}});

INSERT INTO {{.Database}}.events (event_name, ts, received, event_id, source_kind, tap_id, tap_epoch, tap_seq, clock_source, stream_seq, tenant, server, kind, capture, lost_events, lost_from, lost_to)
SELECT 'mcpsiem.tap.loss', toDateTime64({{.End}}, 9, 'UTC') - toIntervalSecond(600 + number) AS at, at, toUUID(concat('00000000-0000-4000-b000-', leftPad(lower(hex(number)), 12, '0'))), 'tap', 'tap-lossy', 1700000000000000001, 100 * (number + 1), 'tap', 1,
       'acme', 'lossy', 'record', 'complete', 5, 100 * number + 1, 100 * number + 5
FROM numbers(5);

INSERT INTO {{.Database}}.findings (ts, finding_id, rule_id, rule_version, title, summary, severity, confidence, status, revision, triaged_by, triage_note, first_seen, last_seen, count, key, group_id, tenant, principal_id, principal_verified, client_name, server, tool, conversation_id, event_ids, evidence, why, remediation, false_positives, references, stream_seq)
WITH
    intDiv(number, 2) AS n, number % 2 = 1 AS worked, cityHash64(n, 'f') AS h, cityHash64(n, 'x') % {{.Exchanges}} AS x, cityHash64(intDiv(x, 12), 'c') AS c, c % 120 AS who, ['acme', 'globex', 'initech'][1 + least(c % 6, 2)] AS tn,
    toDateTime64({{.End}}, 9, 'UTC') AS end, toInt64({{.Days}}) * 86400000000000 AS span, end - toIntervalNanosecond(toInt64(span * (1 - (x + 0.5) / {{.Exchanges}}))) AS at,
    ['credential_leak', 'injection_signal', 'tool_definition_drift', 'toxic_flow', 'data_exfiltration', 'cost_spike', 'budget', 'credential_sharing', 'anonymous_access', 'definition_bloat'][1 + h % 10] AS rule,
    intDiv(c, 128) % 24 AS srv
SELECT at, toUUID(concat('00000000-0000-4000-8100-', leftPad(lower(hex(n)), 12, '0'))), rule, '1.0.0', concat('Generated finding of ', rule), concat('user did something that ', rule, ' watches for'),
       ['critical', 'high', 'high', 'medium', 'medium', 'medium', 'low', 'low', 'informational', 'low'][1 + intDiv(h, 10) % 10], 0.8,
       if(worked, ['acknowledged', 'resolved', 'false_positive'][1 + h % 3], 'open'), if(worked, toUInt64(toUnixTimestamp64Nano(at) + 600000000000), 0), if(worked, 'ann', ''), if(worked, 'looked at it', ''),
       at, at, 1, concat('conversation:', lower(hex(c))), toUUID(concat('00000000-0000-4000-8200-', leftPad(lower(hex(n % 40)), 12, '0'))), tn, concat('user', leftPad(toString(who), 3, '0'), '@', tn, '.example'), true, 'cursor',
       concat(['github', 'files', 'mail', 'postgres', 'slack', 'browser', 'jira', 'calendar'][1 + srv % 8], if(srv < 8, '', concat('-', toString(intDiv(srv, 8))))), 'get_item', lower(hex(c)),
       [toUUID(concat('00000000-0000-4000-9000-', leftPad(lower(hex(2 * x)), 12, '0'))), toUUID(concat('00000000-0000-4000-9000-', leftPad(lower(hex(2 * x + 1)), 12, '0')))], ['read', 'sent'], map('seen', '3', 'usual', '1'),
       'Look at the conversation.', 'Tests do this.', ['OWASP-MCP 2025-beta MCP03:2025 Tool Poisoning', 'MITRE-ATLAS 5.6 AML.T0051 LLM Prompt Injection'], n + 1
FROM numbers({{.Findings}} * 2) WHERE NOT worked OR n % 4 = 0;

INSERT INTO {{.Database}}.tool_catalogue (tenant, server, tool, definition_hash, tokens, first_seen, last_seen, definition)
WITH intDiv(number, 2) AS n, number % 2 AS version, n % 24 AS srv, intDiv(n, 24) % 24 AS t,
     concat(['get', 'list', 'search', 'send', 'create', 'update', 'delete', 'purge'][1 + t % 8], '_', ['item', 'record', 'message'][1 + intDiv(t, 8)]) AS name
SELECT ['acme', 'globex', 'initech'][1 + intDiv(n, 576) % 3], concat(['github', 'files', 'mail', 'postgres', 'slack', 'browser', 'jira', 'calendar'][1 + srv % 8], if(srv < 8, '', concat('-', toString(intDiv(srv, 8))))), name, hex(cityHash64(n, version)),
       80 + n % 700, toDateTime64({{.End}}, 9, 'UTC') - toIntervalHour(if(version = 1, 5, 24 * {{.Days}})), toDateTime64({{.End}}, 9, 'UTC') - toIntervalMinute(n % 60),
       concat('{"name":"', name, '","description":"version ', toString(version), '"}')
FROM numbers(1728 * 2) WHERE version = 0 OR n % 50 = 0;

INSERT INTO {{.Database}}.ledger (stream, seq, records, sink, reason, origin, published_at)
SELECT ['EVENTS', 'FINDINGS'][1 + number % 2], intDiv(number, 2) + 1, 100, '', '', '', toDateTime64({{.End}}, 3, 'UTC') - toIntervalSecond(number * 20) FROM numbers(20000)
UNION ALL
SELECT 'EVENTS', number + 1, 3, ['splunk', 'clickhouse'][1 + number % 2], 'too_large', concat('DEAD:', toString(number + 1)), toDateTime64({{.End}}, 3, 'UTC') - toIntervalSecond(number * 60) FROM numbers(50);

INSERT INTO {{.Database}}.consumers (stream, durable, observed_at, pending, ack_pending, redelivered, ack_floor, last_seq, stream_bytes, lag_seconds)
SELECT ['RAW', 'EVENTS', 'EVENTS', 'FINDINGS'][1 + number % 4], ['enrich', 'clickhouse', 'splunk', 'clickhouse-findings'][1 + number % 4], toDateTime64({{.End}}, 3, 'UTC') - toIntervalSecond(10 * intDiv(number, 4)), number % 7, number % 3, 0, 1000 - number % 1000, 1000, 1000000, (number % 7) / 2
FROM numbers(40000);

INSERT INTO {{.Database}}.seal_checkpoints (tenant, size, root, origin, signed_at, events_seq, findings_seq, note)
SELECT ['acme', 'globex', 'initech'][1 + number % 3], 1000 * (1000 - intDiv(number, 3)), hex(number), 'mcpsiem', toDateTime64({{.End}}, 3, 'UTC') - toIntervalMinute(5 * intDiv(number, 3)), 1, 1, 'note' FROM numbers(900);
