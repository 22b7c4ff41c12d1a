-- How findings are worked on: every revision of a finding, and views of where each finding and each group of findings stands.

-- One row for each revision of each finding, kept when findings has moved on: who changed what, when and why. Revision 0 is what
-- the detector raised; the rows of people's changes have a partition of their own, so that asking for them reads nothing else.
CREATE TABLE IF NOT EXISTS {{.Database}}.finding_history {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    finding_id                 UUID,
    revision                   UInt64,
    changed                    DateTime64(9, 'UTC'),
    rule_id                    LowCardinality(String),
    severity                   LowCardinality(String),
    status                     LowCardinality(String),
    triaged_by                 LowCardinality(String),
    triage_note                String,
    accepted_until             DateTime64(9, 'UTC'),
    group_id                   UUID,
    stream_seq                 UInt64
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
PARTITION BY toUInt8(revision > 0)
ORDER BY (tenant, finding_id, revision)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{.Database}}.finding_history_feed {{.OnCluster}} TO {{.Database}}.finding_history AS
SELECT
    tenant,
    finding_id,
    revision,
    if(revision = 0, ts, fromUnixTimestamp64Nano(toInt64(revision), 'UTC')) AS changed,
    rule_id,
    severity,
    status,
    triaged_by,
    triage_note,
    accepted_until,
    group_id,
    stream_seq
FROM {{.Database}}.findings;

-- One row for each finding, as it stands now. A condition on tenant, rule_id or finding_id reads only what it needs.
--   status       open, acknowledged, resolved, false_positive or accepted; an acceptance that has ended counts as open
--   suppressed   an allow-list entry or maintenance window accepted it as it was raised, so that it never alerted
--   ack_at       the first time that a person did anything to it; mtta is that in seconds since it was raised
--   resolved_at  since when it is resolved, a false positive or accepted by a person; mttr is that in seconds since it was raised
--   group_findings, group_open   of all findings about the same thing: how many there are, how many of them are open or acknowledged
CREATE OR REPLACE VIEW {{.Database}}.mcp_findings {{.OnCluster}} AS
SELECT
    f.finding_id AS finding_id,
    f.tenant AS tenant,
    f.rule_id AS rule_id,
    f.rule_version AS rule_version,
    f.title AS title,
    f.summary AS summary,
    f.severity AS severity,
    toUInt8(transform(CAST(f.severity, 'String'), ['informational', 'low', 'medium', 'high', 'critical'], [1, 2, 3, 4, 5], 0)) AS severity_rank,
    f.confidence AS confidence,
    CAST(f.status, 'String') = 'accepted' AND toUnixTimestamp64Nano(f.accepted_until) > 0 AND f.accepted_until <= now64(9) AS acceptance_ended,
    if(acceptance_ended, 'open', CAST(f.status, 'String')) AS status,
    acceptance_ended OR CAST(f.status, 'String') IN ('open', 'acknowledged') AS is_open,
    f.revision = 0 AND CAST(f.status, 'String') = 'accepted' AS suppressed,
    f.revision AS revision,
    f.triaged_by AS triaged_by,
    f.triage_note AS note,
    f.accepted_until AS accepted_until,
    f.ts AS raised,
    f.first_seen AS first_seen,
    f.last_seen AS last_seen,
    f.count AS count,
    if(h.changes > 0, h.first_change, NULL) AS ack_at,
    if(h.changes > 0, greatest(toUnixTimestamp64Nano(h.first_change) - toUnixTimestamp64Nano(f.ts), 0) / 1e9, NULL) AS mtta,
    if(h.changes > 0 AND NOT is_open, h.closed, NULL) AS resolved_at,
    if(h.changes > 0 AND NOT is_open, greatest(toUnixTimestamp64Nano(h.closed) - toUnixTimestamp64Nano(f.ts), 0) / 1e9, NULL) AS mttr,
    h.changes AS changes,
    f.group_id AS group_id,
    g.findings AS group_findings,
    g.open AS group_open,
    f.key AS key,
    f.principal_id AS principal_id,
    f.principal_verified AS principal_verified,
    f.client_name AS client_name,
    f.server AS server,
    f.tool AS tool,
    f.conversation_id AS conversation_id,
    f.event_ids AS event_ids,
    f.evidence AS evidence,
    f.why AS why,
    f.remediation AS remediation,
    f.false_positives AS false_positives,
    f.references AS references,
    f.stream_seq AS stream_seq
FROM {{.Database}}.findings AS f FINAL
LEFT JOIN
(
    SELECT
        tenant,
        finding_id,
        uniqExact(revision) AS changes,
        min(changed) AS first_change,
        maxIf(revision, status IN ('open', 'acknowledged')) AS last_open,
        fromUnixTimestamp64Nano(toInt64(arrayMin(arrayFilter(r -> r > last_open, groupArray(revision)))), 'UTC') AS closed
    FROM {{.Database}}.finding_history
    WHERE revision > 0
    GROUP BY tenant, finding_id
) AS h ON h.tenant = f.tenant AND h.finding_id = f.finding_id
LEFT JOIN
(
    SELECT
        tenant,
        group_id,
        count() AS findings,
        countIf(status IN ('open', 'acknowledged') OR status = 'accepted' AND toUnixTimestamp64Nano(accepted_until) > 0 AND accepted_until <= now64(9)) AS open
    FROM {{.Database}}.findings FINAL
    GROUP BY tenant, group_id
) AS g ON g.tenant = f.tenant AND g.group_id = f.group_id;

-- One row for each group: findings of one rule about the same thing, raised in one window after another. newest_id is the finding to
-- look at first: the newest open one, else the newest.
CREATE OR REPLACE VIEW {{.Database}}.mcp_finding_groups {{.OnCluster}} AS
WITH CAST(f.status, 'String') IN ('open', 'acknowledged') OR CAST(f.status, 'String') = 'accepted' AND toUnixTimestamp64Nano(f.accepted_until) > 0 AND f.accepted_until <= now64(9) AS is_open
SELECT
    f.tenant AS tenant,
    f.rule_id AS rule_id,
    f.group_id AS group_id,
    count() AS findings,
    countIf(is_open) AS open,
    countIf(f.revision = 0 AND CAST(f.status, 'String') = 'accepted') AS suppressed,
    argMax(f.finding_id, (is_open, f.ts)) AS newest_id,
    argMax(f.title, f.ts) AS title,
    argMax(f.summary, (is_open, f.ts)) AS summary,
    argMax(f.severity, toUInt8(transform(CAST(f.severity, 'String'), ['informational', 'low', 'medium', 'high', 'critical'], [1, 2, 3, 4, 5], 0))) AS severity,
    max(toUInt8(transform(CAST(f.severity, 'String'), ['informational', 'low', 'medium', 'high', 'critical'], [1, 2, 3, 4, 5], 0))) AS severity_rank,
    min(f.first_seen) AS first_seen,
    max(f.last_seen) AS last_seen,
    sum(f.count) AS count,
    argMax(f.principal_id, f.ts) AS principal_id,
    argMax(f.server, f.ts) AS server,
    argMax(f.tool, f.ts) AS tool
FROM {{.Database}}.findings AS f FINAL
GROUP BY tenant, rule_id, group_id;

-- A change of a finding's state is a message of FINDINGS too: what is stored of that stream is counted by revision.
CREATE OR REPLACE VIEW {{.Database}}.accounting {{.OnCluster}} AS
WITH
    published AS (SELECT stream, sum(records) AS n FROM {{.Database}}.ledger FINAL WHERE sink = '' AND stream IN ('EVENTS', 'FINDINGS') GROUP BY stream),
    dead AS (SELECT stream, sink, sum(records) AS n FROM {{.Database}}.ledger FINAL WHERE sink != '' GROUP BY stream, sink),
    kept AS
    (
        SELECT 'EVENTS' AS stream, uniqExact(event_id) AS n FROM {{.Database}}.events WHERE stream_seq > 0
        UNION ALL
        SELECT 'FINDINGS' AS stream, uniqExact(finding_id, revision) AS n FROM {{.Database}}.finding_history WHERE stream_seq > 0
    )
SELECT
    'clickhouse' AS sink,
    k.stream AS stream,
    toUInt64(p.n) AS received,
    toUInt64(k.n) AS stored,
    toUInt64(d.n) AS dead_lettered,
    toInt64(p.n) - toInt64(k.n) - toInt64(d.n) AS difference
FROM kept AS k
LEFT JOIN published AS p ON p.stream = k.stream
LEFT JOIN (SELECT stream, sum(n) AS n FROM dead WHERE sink LIKE 'clickhouse%' GROUP BY stream) AS d ON d.stream = k.stream;
