-- The store: one row for each event in events, one for each finding in findings, every tool definition ever seen in
-- tool_catalogue, the counts of what passed through the streams in ledger, and views over them for people.
--
-- A statement ends with a semicolon at the end of a line. {{.Database}} is the database; {{engine "X" "Y"}} is the table engine X with the
-- arguments Y, or its Replicated form where a cluster is configured.

-- schemas/event.yaml fixes the columns from event_id on; a test checks that they agree. What is not there is added here:
--   ts, received   when the message was seen and when the collector received it
--   trace, span    the trace context in 16 and 8 bytes; trace_id and span_id show them as hex
--   body           the redacted JSON-RPC message
--   extra          attributes that the schema does not know
-- exchange_start is ts where an event belongs to no exchange, so that the sort key stays near in time; exchange_id is then zero.
--
-- The same event is inserted once: a block carries a deduplication token, and after a redelivery only missing events are sent. Should
-- two copies exist all the same (a replay after the token window), they agree in the sort key and one of them is dropped in a
-- merge; until then FINAL, which the analyst's profile sets, hides it.
CREATE TABLE IF NOT EXISTS {{.Database}}.events {{.OnCluster}}
(
    event_name                 LowCardinality(String) CODEC(ZSTD(1)),
    ts                         DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    received                   DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    trace                      FixedString(16) CODEC(ZSTD(1)),
    span                       FixedString(8) CODEC(ZSTD(1)),
    event_id                   UUID CODEC(ZSTD(1)),
    source_kind                LowCardinality(String) CODEC(ZSTD(1)),
    source_credential          LowCardinality(String) CODEC(ZSTD(1)),
    tap_id                     LowCardinality(String) CODEC(ZSTD(1)),
    tap_epoch                  UInt64 CODEC(Delta(8), ZSTD(1)),
    tap_seq                    UInt64 CODEC(Delta(8), ZSTD(1)),
    clock_source               LowCardinality(String) CODEC(ZSTD(1)),
    labels                     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    stream_seq                 UInt64 CODEC(Delta(8), ZSTD(1)),
    tenant                     LowCardinality(String) CODEC(ZSTD(1)),
    principal_id               LowCardinality(String) CODEC(ZSTD(1)),
    principal_kind             LowCardinality(String) CODEC(ZSTD(1)),
    principal_issuer           LowCardinality(String) CODEC(ZSTD(1)),
    principal_method           LowCardinality(String) CODEC(ZSTD(1)),
    principal_verified         Bool CODEC(ZSTD(1)),
    principal_team             LowCardinality(String) CODEC(ZSTD(1)),
    principal_cost_center      LowCardinality(String) CODEC(ZSTD(1)),
    on_behalf_of               Array(LowCardinality(String)) CODEC(ZSTD(1)),
    identity_claims            Array(LowCardinality(String)) CODEC(ZSTD(1)),
    token_fingerprint          LowCardinality(String) CODEC(ZSTD(1)),
    token_lifetime             Int64 CODEC(ZSTD(1)),
    token_age                  Int64 CODEC(ZSTD(1)),
    auth_scopes                Array(LowCardinality(String)) CODEC(ZSTD(1)),
    auth_audience              Array(LowCardinality(String)) CODEC(ZSTD(1)),
    auth_decision              LowCardinality(String) CODEC(ZSTD(1)),
    client_name                LowCardinality(String) CODEC(ZSTD(1)),
    client_version             LowCardinality(String) CODEC(ZSTD(1)),
    server                     LowCardinality(String) CODEC(ZSTD(1)),
    server_claimed_name        LowCardinality(String) CODEC(ZSTD(1)),
    server_claimed_version     LowCardinality(String) CODEC(ZSTD(1)),
    host_name                  LowCardinality(String) CODEC(ZSTD(1)),
    os_user                    LowCardinality(String) CODEC(ZSTD(1)),
    pid                        UInt32 CODEC(ZSTD(1)),
    parent_command             LowCardinality(String) CODEC(ZSTD(1)),
    command                    LowCardinality(String) CODEC(ZSTD(1)),
    package                    LowCardinality(String) CODEC(ZSTD(1)),
    transport                  LowCardinality(String) CODEC(ZSTD(1)),
    network_transport          LowCardinality(String) CODEC(ZSTD(1)),
    network_protocol           LowCardinality(String) CODEC(ZSTD(1)),
    network_protocol_version   LowCardinality(String) CODEC(ZSTD(1)),
    server_address             LowCardinality(String) CODEC(ZSTD(1)),
    server_port                UInt16 CODEC(ZSTD(1)),
    client_address             LowCardinality(String) CODEC(ZSTD(1)),
    http_status                UInt16 CODEC(ZSTD(1)),
    protocol_version           LowCardinality(String) CODEC(ZSTD(1)),
    era                        LowCardinality(String) CODEC(ZSTD(1)),
    session_id                 LowCardinality(String) CODEC(ZSTD(1)),
    conversation_id            LowCardinality(String) CODEC(ZSTD(1)),
    conversation_inferred      Bool CODEC(ZSTD(1)),
    direction                  LowCardinality(String) CODEC(ZSTD(1)),
    kind                       LowCardinality(String) CODEC(ZSTD(1)),
    method                     LowCardinality(String) CODEC(ZSTD(1)),
    tool                       LowCardinality(String) CODEC(ZSTD(1)),
    resource_uri               String CODEC(ZSTD(1)),
    prompt                     LowCardinality(String) CODEC(ZSTD(1)),
    request_id                 String CODEC(ZSTD(1)),
    request_id_type            LowCardinality(String) CODEC(ZSTD(1)),
    exchange_id                UUID CODEC(ZSTD(1)),
    exchange_start             DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    round                      UInt16 CODEC(ZSTD(1)),
    call_id                    UUID CODEC(ZSTD(1)),
    task_id                    String CODEC(ZSTD(1)),
    batch_id                   UUID CODEC(ZSTD(1)),
    batch_index                UInt16 CODEC(ZSTD(1)),
    outcome                    LowCardinality(String) CODEC(ZSTD(1)),
    rpc_code                   LowCardinality(String) CODEC(ZSTD(1)),
    error_type                 LowCardinality(String) CODEC(ZSTD(1)),
    duration_ns                Int64 CODEC(T64, ZSTD(1)),
    first_byte_ns              Int64 CODEC(T64, ZSTD(1)),
    body_size                  UInt64 CODEC(T64, ZSTD(1)),
    body_fingerprint           String CODEC(ZSTD(1)),
    capture                    LowCardinality(String) CODEC(ZSTD(1)),
    withheld_reason            LowCardinality(String) CODEC(ZSTD(1)),
    anomalies                  Array(LowCardinality(String)) CODEC(ZSTD(1)),
    redactions                 Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    data_classes               Array(LowCardinality(String)) CODEC(ZSTD(1)),
    signals                    Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    capabilities               Array(LowCardinality(String)) CODEC(ZSTD(1)),
    destinations               Array(LowCardinality(String)) CODEC(ZSTD(1)),
    tokens_arguments           UInt32 CODEC(ZSTD(1)),
    tokens_result              UInt32 CODEC(ZSTD(1)),
    tokens_definitions         UInt32 CODEC(ZSTD(1)),
    tokens_encoding            LowCardinality(String) CODEC(ZSTD(1)),
    model                      LowCardinality(String) CODEC(ZSTD(1)),
    cost_amount                Float64 CODEC(ZSTD(1)),
    cost_currency              LowCardinality(String) CODEC(ZSTD(1)),
    cost_price_version         LowCardinality(String) CODEC(ZSTD(1)),
    cost_model                 LowCardinality(String) CODEC(ZSTD(1)),
    cost_basis                 LowCardinality(String) CODEC(ZSTD(1)),
    lost_events                UInt64 CODEC(ZSTD(1)),
    lost_from                  UInt64 CODEC(ZSTD(1)),
    lost_to                    UInt64 CODEC(ZSTD(1)),
    audit_action               LowCardinality(String) CODEC(ZSTD(1)),
    audit_target               String CODEC(ZSTD(1)),
    audit_details              Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    exit_code                  Int32 CODEC(ZSTD(1)),
    body                       String CODEC(ZSTD(3)),
    extra                      Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    trace_id                   String ALIAS if(trace = toFixedString('', 16), '', lower(hex(trace))),
    span_id                    String ALIAS if(span = toFixedString('', 8), '', lower(hex(span))),
    INDEX ts_range ts TYPE minmax GRANULARITY 1,
    INDEX exchange_range exchange_start TYPE minmax GRANULARITY 1
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
PARTITION BY toDate(ts)
PRIMARY KEY (tenant, toStartOfHour(ts), server, tool)
ORDER BY (tenant, toStartOfHour(ts), server, tool, conversation_id, exchange_start, ts, event_id)
SETTINGS non_replicated_deduplication_window = 20000, replicated_deduplication_window = 20000;

CREATE TABLE IF NOT EXISTS {{.Database}}.findings {{.OnCluster}}
(
    ts                         DateTime64(9, 'UTC'),
    finding_id                 UUID,
    rule_id                    LowCardinality(String),
    rule_version               LowCardinality(String),
    title                      LowCardinality(String),
    summary                    String,
    severity                   LowCardinality(String),
    confidence                 Float32,
    status                     LowCardinality(String),
    revision                   UInt64,
    triaged_by                 LowCardinality(String),
    triage_note                String,
    accepted_until             DateTime64(9),
    first_seen                 DateTime64(9),
    last_seen                  DateTime64(9),
    count                      UInt32,
    key                        String,
    group_id                   UUID,
    tenant                     LowCardinality(String),
    principal_id               LowCardinality(String),
    principal_verified         Bool,
    client_name                LowCardinality(String),
    server                     LowCardinality(String),
    tool                       LowCardinality(String),
    conversation_id            LowCardinality(String),
    event_ids                  Array(UUID),
    evidence                   Array(String),
    why                        Map(LowCardinality(String), String),
    remediation                LowCardinality(String),
    false_positives            LowCardinality(String),
    references                 Array(LowCardinality(String)),
    stream_seq                 UInt64,
    INDEX seen_range last_seen TYPE minmax GRANULARITY 1
)
ENGINE = {{engine "ReplacingMergeTree" "revision"}}
ORDER BY (tenant, rule_id, finding_id)
SETTINGS non_replicated_deduplication_window = 20000, replicated_deduplication_window = 20000;

-- One row for each definition of each tool of each server, whenever it was seen. Rows of one key add up to one.
CREATE TABLE IF NOT EXISTS {{.Database}}.tool_catalogue {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    server                     LowCardinality(String),
    tool                       LowCardinality(String),
    definition_hash            String,
    tokens                     SimpleAggregateFunction(max, UInt32),
    first_seen                 SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last_seen                  SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    definition                 SimpleAggregateFunction(max, String) CODEC(ZSTD(3))
)
ENGINE = {{engine "AggregatingMergeTree" ""}}
ORDER BY (tenant, server, tool, definition_hash)
SETTINGS non_replicated_deduplication_window = 1000;

-- One row for each message of a stream (sink is empty), and one for each message that a sink gave up (sink and reason are set).
CREATE TABLE IF NOT EXISTS {{.Database}}.ledger {{.OnCluster}}
(
    stream                     LowCardinality(String),
    seq                        UInt64 CODEC(Delta(8), ZSTD(1)),
    records                    UInt32 CODEC(T64, ZSTD(1)),
    sink                       LowCardinality(String),
    reason                     LowCardinality(String),
    origin                     String CODEC(ZSTD(1)),
    published_at               DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
ORDER BY (stream, sink, seq)
SETTINGS non_replicated_deduplication_window = 1000;
