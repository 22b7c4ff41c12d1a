-- What dashboards need beside events and findings.

-- An event is looked up by its id alone: from a finding's evidence, from a link in Splunk or Elastic.
ALTER TABLE {{.Database}}.events {{.OnCluster}} ADD INDEX IF NOT EXISTS ids event_id TYPE bloom_filter(0.01) GRANULARITY 4;

-- Acts are few among many messages.
ALTER TABLE {{.Database}}.events {{.OnCluster}} ADD INDEX IF NOT EXISTS acts audit_action TYPE set(64) GRANULARITY 1;

-- Every consumer of a stream, as the ledger saw it every few seconds, kept for two weeks.
--   pending      messages that it has not been given yet; ack_pending those that it has and has not confirmed
--   ack_floor    all messages up to this one are confirmed; last_seq is the stream's last
--   lag_seconds  age of the oldest message that is not confirmed, 0 where there is none
CREATE TABLE IF NOT EXISTS {{.Database}}.consumers {{.OnCluster}}
(
    stream                     LowCardinality(String),
    durable                    LowCardinality(String),
    observed_at                DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    pending                    UInt64 CODEC(T64, ZSTD(1)),
    ack_pending                UInt64 CODEC(T64, ZSTD(1)),
    redelivered                UInt64 CODEC(T64, ZSTD(1)),
    ack_floor                  UInt64 CODEC(Delta(8), ZSTD(1)),
    last_seq                   UInt64 CODEC(Delta(8), ZSTD(1)),
    stream_bytes               UInt64 CODEC(T64, ZSTD(1)),
    lag_seconds                Float64 CODEC(ZSTD(1)),
    INDEX observed_range observed_at TYPE minmax GRANULARITY 1
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
PARTITION BY toDate(observed_at)
ORDER BY (stream, durable, observed_at)
TTL toDateTime(observed_at) + INTERVAL 14 DAY
SETTINGS ttl_only_drop_parts = 1;
