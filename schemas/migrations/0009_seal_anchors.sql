-- Where checkpoints went outside, one row for each checkpoint and place: what came back as proof, or why there is none (yet).
--   kind      tsa (RFC 3161 time stamp), witness (C2SP cosignature), bucket (object lock)
--   name      which one
--   outcome   ok, or the reason
--   proof     tsa: the token, DER; witness: cosignature lines; bucket: the object's name and until when it is locked
--   trust     what the proof was checked with: certificates (PEM), or the witness's verifier key. A copy for reference
CREATE TABLE IF NOT EXISTS {{.Database}}.seal_anchors {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    size                       UInt64 CODEC(Delta(8), ZSTD(1)),
    kind                       LowCardinality(String),
    name                       LowCardinality(String),
    at                         DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    outcome                    LowCardinality(String),
    proof                      String CODEC(ZSTD(3)),
    trust                      LowCardinality(String)
)
ENGINE = {{engine "ReplacingMergeTree" "at"}}
ORDER BY (tenant, size, kind, name);
