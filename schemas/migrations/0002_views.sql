-- Views for people. Each of them counts an event once, however often it is stored, also for users without the analyst's profile.

-- One row for each exchange: a request with what answered it. Aggregates take the one request and the last answer, so that copies
-- of a row change nothing. started is a group key: a condition on it, or on tenant, reads only what it needs.
-- Notifications belong to an exchange only where they name it (a cancellation); an answer without a request is an exchange of its own.
CREATE OR REPLACE VIEW {{.Database}}.mcp_calls {{.OnCluster}} AS
SELECT
    tenant,
    exchange_start AS started,
    if(exchange_id = toUUID('00000000-0000-0000-0000-000000000000'), event_id, exchange_id) AS exchange,
    max(ts) AS finished,
    anyIf(event_id, kind = 'request') AS request_event_id,
    argMaxIf(event_id, ts, kind IN ('response', 'error')) AS response_event_id,
    argMaxIf(call_id, kind = 'request', call_id != toUUID('00000000-0000-0000-0000-000000000000')) AS call,
    max(e.round) AS round,
    max(e.method) AS method,
    max(e.tool) AS tool,
    max(e.resource_uri) AS resource_uri,
    max(e.prompt) AS prompt,
    multiIf(
        argMaxIf(e.outcome, ts, e.outcome != '') != '', argMaxIf(e.outcome, ts, e.outcome != ''),
        countIf(e.kind = 'request') = 0, 'orphan',
        'pending') AS outcome,
    argMaxIf(e.rpc_code, ts, e.rpc_code != '') AS rpc_code,
    argMaxIf(e.error_type, ts, e.error_type != '') AS error_type,
    max(e.http_status) AS http_status,
    max(e.duration_ns) AS duration_ns,
    max(e.duration_ns) / 1e6 AS duration_ms,
    max(e.first_byte_ns) AS first_byte_ns,
    anyIf(if(JSONHas(body, 'params', 'arguments'), JSONExtractRaw(body, 'params', 'arguments'), JSONExtractRaw(body, 'params')), kind = 'request') AS arguments,
    argMaxIf(if(JSONHas(body, 'error'), JSONExtractRaw(body, 'error'), JSONExtractRaw(body, 'result')), ts, kind IN ('response', 'error')) AS result,
    max(e.tokens_arguments) AS tokens_arguments,
    max(e.tokens_result) AS tokens_result,
    max(e.tokens_definitions) AS tokens_definitions,
    maxIf(e.cost_amount, kind = 'request') + maxIf(e.cost_amount, kind != 'request') AS cost_amount,
    max(e.cost_currency) AS cost_currency,
    max(e.model) AS model,
    argMax(e.principal_id, (e.principal_id != '', kind = 'request', ts)) AS principal_id,
    argMax(e.principal_kind, (e.principal_id != '', kind = 'request', ts)) AS principal_kind,
    argMax(e.principal_method, (e.principal_id != '', kind = 'request', ts)) AS principal_method,
    argMax(e.principal_verified, (e.principal_id != '', kind = 'request', ts)) AS principal_verified,
    argMax(e.principal_team, (e.principal_id != '', kind = 'request', ts)) AS principal_team,
    max(e.client_name) AS client_name,
    max(e.client_version) AS client_version,
    max(e.server) AS server,
    max(e.host_name) AS host_name,
    max(e.os_user) AS os_user,
    max(e.transport) AS transport,
    max(e.protocol_version) AS protocol_version,
    argMax(e.direction, (kind = 'request', ts)) AS direction,
    max(e.session_id) AS session_id,
    max(e.conversation_id) AS conversation_id,
    max(e.trace_id) AS trace_id,
    groupUniqArrayArray(e.anomalies) AS anomalies,
    groupUniqArrayArray(e.data_classes) AS data_classes,
    groupUniqArrayArray(e.capabilities) AS capabilities,
    maxMap(e.signals) AS signals,
    maxMap(e.redactions) AS redactions,
    anyIf(e.body_size, kind = 'request') AS request_size,
    argMaxIf(e.body_size, ts, kind IN ('response', 'error')) AS response_size,
    argMax(e.capture, (e.capture IN ('truncated', 'withheld', 'absent'), ts)) AS capture
FROM {{.Database}}.events AS e
WHERE kind IN ('request', 'response', 'error') OR exchange_id != toUUID('00000000-0000-0000-0000-000000000000')
GROUP BY tenant, started, exchange;

-- received = stored + dead-lettered + difference, for the store. What is under way is in difference too.
CREATE OR REPLACE VIEW {{.Database}}.accounting {{.OnCluster}} AS
WITH
    published AS (SELECT stream, sum(records) AS n FROM {{.Database}}.ledger FINAL WHERE sink = '' AND stream IN ('EVENTS', 'FINDINGS') GROUP BY stream),
    dead AS (SELECT stream, sink, sum(records) AS n FROM {{.Database}}.ledger FINAL WHERE sink != '' GROUP BY stream, sink),
    kept AS
    (
        SELECT 'EVENTS' AS stream, uniqExact(event_id) AS n FROM {{.Database}}.events WHERE stream_seq > 0
        UNION ALL
        SELECT 'FINDINGS' AS stream, uniqExact(finding_id) AS n FROM {{.Database}}.findings WHERE stream_seq > 0
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

-- Each tap process (epoch): what of its numbering arrived, and what of the rest it reported as lost itself.
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
    max(event_name = 'mcpsiem.tap.stop') AS stopped
FROM {{.Database}}.events AS e
WHERE tap_seq > 0
GROUP BY tenant, tap_id, tap_epoch;

-- Each tap, with all its epochs.
CREATE OR REPLACE VIEW {{.Database}}.taps {{.OnCluster}} AS
SELECT
    tap_id,
    argMax(g.server, g.last_seen) AS server,
    argMax(g.tenant, g.last_seen) AS tenant,
    min(g.first_seen) AS first_seen,
    max(g.last_seen) AS last_seen,
    count() AS epochs,
    sum(g.stored) AS events,
    sum(g.missing) AS missing,
    sum(g.explained) AS explained,
    argMax(g.stopped, g.last_seen) AS stopped
FROM {{.Database}}.tap_gaps AS g
GROUP BY tap_id;
