-- Removing rows on purpose: legal holds, what was removed under which record, and the views that count with it.

-- One row for each legal hold, the highest revision holds. A released hold stays, for whoever asks later.
--   tenant, principal, server, from_ts, to_ts   what is held; empty and zero: all
--   query                                 beside that, a condition on columns of events, in SQL
CREATE TABLE IF NOT EXISTS {{.Database}}.holds {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    hold_id                    String,
    revision                   UInt8,
    matter                     String,
    principal                  String,
    server                     String,
    from_ts                    DateTime64(9, 'UTC'),
    to_ts                      DateTime64(9, 'UTC'),
    query                      String,
    created_at                 DateTime64(3, 'UTC'),
    created_by                 String,
    released_at                DateTime64(3, 'UTC'),
    released_by                String,
    release_reason             String
)
ENGINE = {{engine "ReplacingMergeTree" "revision"}}
ORDER BY (tenant, hold_id);

-- One row for each record of removal (record_id is its audit event) and what became of it; the highest state holds.
--   state   0 recorded: the rows are to go; 1 archived; 2 done
CREATE TABLE IF NOT EXISTS {{.Database}}.removals {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    record_id                  UUID,
    state                      UInt8,
    action                     LowCardinality(String),
    kind                       LowCardinality(String),
    class                      LowCardinality(String),
    reason                     String,
    rows                       UInt64,
    leaves                     UInt64,
    first_ts                   DateTime64(9, 'UTC'),
    last_ts                    DateTime64(9, 'UTC'),
    recorded_at                DateTime64(3, 'UTC'),
    done_at                    DateTime64(3, 'UTC'),
    parts_dropped              UInt64,
    rows_held                  UInt64,
    archive                    String,
    archive_sha256             String,
    archive_until              DateTime64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree" "state"}}
ORDER BY (tenant, record_id);

-- One row for each event and each revision of a finding that was removed: its id and its place, so that counting still works. Nothing of what it said.
CREATE TABLE IF NOT EXISTS {{.Database}}.removed {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    kind                       LowCardinality(String),
    id                         UUID CODEC(ZSTD(1)),
    revision                   UInt64 CODEC(ZSTD(1)),
    ts                         DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    record_id                  UUID CODEC(ZSTD(1)),
    tap_id                     LowCardinality(String) CODEC(ZSTD(1)),
    tap_epoch                  UInt64 CODEC(Delta(8), ZSTD(1)),
    tap_seq                    UInt64 CODEC(Delta(8), ZSTD(1)),
    lost_from                  UInt64 CODEC(ZSTD(1)),
    lost_to                    UInt64 CODEC(ZSTD(1)),
    stopped                    Bool CODEC(ZSTD(1)),
    INDEX ts_range ts TYPE minmax GRANULARITY 1
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
PARTITION BY toYYYYMM(ts)
ORDER BY (tenant, record_id, kind, id, revision);

-- Stored, or stored once and removed on record.
CREATE OR REPLACE VIEW {{.Database}}.accounting {{.OnCluster}} AS
WITH
    published AS (SELECT stream, sum(records) AS n FROM {{.Database}}.ledger FINAL WHERE sink = '' AND stream IN ('EVENTS', 'FINDINGS') GROUP BY stream),
    dead AS (SELECT stream, sink, sum(records) AS n FROM {{.Database}}.ledger FINAL WHERE sink != '' GROUP BY stream, sink),
    kept AS
    (
        SELECT 'EVENTS' AS stream, uniqExact(id) AS n FROM
        (
            SELECT event_id AS id FROM {{.Database}}.events WHERE stream_seq > 0
            UNION ALL
            SELECT id FROM {{.Database}}.removed WHERE kind = 'event'
        )
        UNION ALL
        SELECT 'FINDINGS' AS stream, uniqExact(id, revision) AS n FROM
        (
            SELECT finding_id AS id, revision FROM {{.Database}}.finding_history WHERE stream_seq > 0
            UNION ALL
            SELECT id, revision FROM {{.Database}}.removed WHERE kind = 'finding'
        )
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

-- An event that was removed on record is no gap.
CREATE OR REPLACE VIEW {{.Database}}.tap_gaps {{.OnCluster}} AS
SELECT
    tenant,
    tap_id,
    tap_epoch,
    max(e.server) AS server,
    min(ts) AS first_seen,
    max(ts) AS last_seen,
    min(tap_seq) AS first,
    max(greatest(tap_seq, lost_to)) AS last,
    uniqExact(tap_seq) AS stored,
    greatest(toInt64(last) - toInt64(stored), 0) AS missing,
    least(toInt64(arraySum(x -> x.2 - x.1 + 1, groupUniqArrayIf((lost_from, lost_to), lost_to >= lost_from AND lost_from > 0))), missing) AS explained,
    max(stop) AS stopped
FROM
(
    SELECT tenant, tap_id, tap_epoch, server, ts, tap_seq, lost_from, lost_to, event_name = 'mcpsiem.tap.stop' AS stop FROM {{.Database}}.events WHERE tap_seq > 0
    UNION ALL
    SELECT tenant, tap_id, tap_epoch, '' AS server, ts, tap_seq, lost_from, lost_to, stopped AS stop FROM {{.Database}}.removed WHERE tap_seq > 0
) AS e
GROUP BY tenant, tap_id, tap_epoch;

CREATE OR REPLACE VIEW {{.Database}}.seal_status {{.OnCluster}} AS
SELECT
    s.tenant AS tenant,
    toUInt64(s.stored) AS stored,
    toUInt64(l.sealed) AS sealed,
    c.leaves AS leaves,
    c.checkpoint_at AS checkpoint_at
FROM
(
    SELECT tenant, sum(n) AS stored
    FROM
    (
        SELECT tenant, uniqExact(event_id) AS n FROM {{.Database}}.events WHERE stream_seq > 0 GROUP BY tenant
        UNION ALL
        SELECT tenant, uniqExact(finding_id) AS n FROM {{.Database}}.findings WHERE stream_seq > 0 GROUP BY tenant
    )
    GROUP BY tenant
) AS s
LEFT JOIN
(
    SELECT tenant, uniqExact(kind, id) AS sealed
    FROM {{.Database}}.seal_leaves
    WHERE (tenant, kind, id) NOT IN (SELECT tenant, kind, id FROM {{.Database}}.removed)
    GROUP BY tenant
) AS l ON l.tenant = s.tenant
LEFT JOIN
(
    SELECT tenant, max(size) AS leaves, max(signed_at) AS checkpoint_at FROM {{.Database}}.seal_checkpoints GROUP BY tenant
) AS c ON c.tenant = s.tenant;
