-- The seal: for each tenant one Merkle log (RFC 6962) of commitments to stored rows. Hashes and signed checkpoints are also on disk, as
-- tiles; these tables say which leaf is which row, and hold what opens a commitment. docs/audit-trail.md has the definitions.

-- The sealer reads what was stored since, by the stream's sequence.
ALTER TABLE {{.Database}}.events {{.OnCluster}} ADD INDEX IF NOT EXISTS seq_range stream_seq TYPE minmax GRANULARITY 1;

ALTER TABLE {{.Database}}.findings {{.OnCluster}} ADD INDEX IF NOT EXISTS seq_range stream_seq TYPE minmax GRANULARITY 1;

-- One row for each leaf. kind is event or finding; id, revision, ts and stream_seq are the row's; leaf_hash is the log's leaf, as RFC 6962 hashes it.
CREATE TABLE IF NOT EXISTS {{.Database}}.seal_leaves {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    leaf_index                 UInt64 CODEC(Delta(8), ZSTD(1)),
    kind                       LowCardinality(String),
    id                         UUID CODEC(ZSTD(1)),
    ts                         DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    stream_seq                 UInt64 CODEC(Delta(8), ZSTD(1)),
    canonical_version          UInt8 CODEC(ZSTD(1)),
    leaf_hash                  FixedString(32) CODEC(NONE),
    INDEX ts_range ts TYPE minmax GRANULARITY 1,
    INDEX leaf_range leaf_index TYPE minmax GRANULARITY 1,
    INDEX ids id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
PARTITION BY toYYYYMM(ts)
PRIMARY KEY (tenant, toStartOfHour(ts), kind, id)
ORDER BY (tenant, toStartOfHour(ts), kind, id, leaf_index)
SETTINGS non_replicated_deduplication_window = 1000, replicated_deduplication_window = 1000;

-- What opens a leaf. Whoever removes a row and its salt leaves a leaf that nobody can tie to the row again; the tree stays as it was.
CREATE TABLE IF NOT EXISTS {{.Database}}.seal_salts {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    leaf_index                 UInt64 CODEC(Delta(8), ZSTD(1)),
    salt                       FixedString(16) CODEC(NONE)
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
ORDER BY (tenant, leaf_index)
SETTINGS non_replicated_deduplication_window = 1000, replicated_deduplication_window = 1000;

-- Every checkpoint that was signed. note is the signed note itself.
CREATE TABLE IF NOT EXISTS {{.Database}}.seal_checkpoints {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    size                       UInt64 CODEC(Delta(8), ZSTD(1)),
    root                       String CODEC(ZSTD(1)),
    origin                     LowCardinality(String),
    signed_at                  DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    events_seq                 UInt64 CODEC(Delta(8), ZSTD(1)),
    findings_seq               UInt64 CODEC(Delta(8), ZSTD(1)),
    note                       String CODEC(ZSTD(3))
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
ORDER BY (tenant, size)
SETTINGS non_replicated_deduplication_window = 1000, replicated_deduplication_window = 1000;

-- Leaves whose row and salt were removed on purpose. record_id is the audit event (retention.apply, subject.erase) that says why; its
-- audit_details hold `leaves`, how many these are, and `leaves_sha256`, the SHA-256 of their indexes as 8 bytes big-endian each, ascending.
CREATE TABLE IF NOT EXISTS {{.Database}}.seal_deletions {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    leaf_index                 UInt64 CODEC(Delta(8), ZSTD(1)),
    record_id                  UUID CODEC(ZSTD(1)),
    deleted_at                 DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
ORDER BY (tenant, record_id, leaf_index)
SETTINGS non_replicated_deduplication_window = 1000, replicated_deduplication_window = 1000;
