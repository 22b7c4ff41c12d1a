-- Views for inventory and cost: which credentials, principals, servers and tools there are, what a tool's definition costs before anybody calls
-- it, and what was spent. Those with a parameter read no further back than it says: SELECT * FROM inventory_tokens(since = '2026-11-01 00:00:00').
-- Times are UTC. Names in lists are sorted; a list holds at most 1000 of them, the number beside it counts all.
--
-- FINAL lets an event that is stored twice count once, for every user.

-- Who approved what of a server, or revoked it: one row for each record of it in the audit trail, kept when the record itself has expired. An empty
-- tool stands for the server as a whole.
CREATE TABLE IF NOT EXISTS {{.Database}}.approvals {{.OnCluster}}
(
    tenant                     LowCardinality(String),
    server                     LowCardinality(String),
    tool                       LowCardinality(String),
    definition_hash            String,
    at                         DateTime64(9, 'UTC'),
    event_id                   UUID,
    action                     LowCardinality(String),
    by                         LowCardinality(String),
    by_verified                Bool,
    reason                     String
)
ENGINE = {{engine "ReplacingMergeTree" ""}}
ORDER BY (tenant, server, tool, definition_hash, at, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{.Database}}.approvals_feed {{.OnCluster}} TO {{.Database}}.approvals AS
SELECT
    tenant,
    if(server = '', audit_target, server) AS server,
    tool,
    audit_details['definition_hash'] AS definition_hash,
    ts AS at,
    event_id,
    audit_action AS action,
    principal_id AS by,
    principal_verified AS by_verified,
    audit_details['reason'] AS reason
FROM {{.Database}}.events
WHERE event_name = 'mcpsiem.audit' AND audit_action IN ('server.approve', 'server.revoke');

-- What is approved now: the latest approval of each definition (tool and definition_hash are empty for the server as a whole) that no revocation
-- of the server or of the tool followed.
CREATE OR REPLACE VIEW {{.Database}}.approved {{.OnCluster}} AS
WITH
    revoked_servers AS (SELECT tenant, server, max(r.at) AS at FROM {{.Database}}.approvals AS r WHERE action = 'server.revoke' AND tool = '' GROUP BY tenant, server),
    revoked_tools AS (SELECT tenant, server, tool, max(r.at) AS at FROM {{.Database}}.approvals AS r WHERE action = 'server.revoke' AND tool != '' GROUP BY tenant, server, tool)
SELECT
    a.tenant AS tenant,
    a.server AS server,
    a.tool AS tool,
    a.definition_hash AS definition_hash,
    a.approved_by AS approved_by,
    a.approved_at AS approved_at,
    a.reason AS reason
FROM
(
    SELECT tenant, server, tool, definition_hash, argMax(toString(p.by), p.at) AS approved_by, argMax(p.reason, p.at) AS reason, max(p.at) AS approved_at
    FROM {{.Database}}.approvals AS p
    WHERE action = 'server.approve'
    GROUP BY tenant, server, tool, definition_hash
) AS a
LEFT JOIN revoked_servers AS s ON s.tenant = a.tenant AND s.server = a.server
LEFT JOIN revoked_tools AS t ON t.tenant = a.tenant AND t.server = a.server AND t.tool = a.tool
WHERE a.approved_at > s.at AND a.approved_at > t.at;

-- One row for each credential, by its keyed fingerprint. first_seen and last_seen are within the window.
CREATE OR REPLACE VIEW {{.Database}}.inventory_tokens {{.OnCluster}} AS
SELECT
    tenant,
    token_fingerprint,
    argMax(e.principal_id, (e.principal_id != '', e.principal_verified, ts)) AS owner,
    argMax(e.principal_kind, (e.principal_id != '', e.principal_verified, ts)) AS owner_kind,
    argMax(e.principal_team, (e.principal_id != '', e.principal_verified, ts)) AS owner_team,
    arraySort(groupUniqArrayIf(1000)(toString(e.principal_id), e.principal_id != '')) AS principals,
    arraySort(groupUniqArrayIf(1000)(toString(e.principal_method), e.principal_method NOT IN ('', 'none'))) AS methods,
    arraySort(groupUniqArrayIf(1000)(toString(e.principal_issuer), e.principal_issuer != '')) AS issuers,
    countIf(e.principal_verified) AS verified_events,
    count() AS events,
    multiIf(verified_events = 0, 'no', verified_events = events, 'yes', 'partly') AS verified,
    argMax(e.token_lifetime, (e.token_lifetime != 0, ts)) AS lifetime_s,
    max(e.token_age) AS oldest_use_s,
    arraySort(groupUniqArrayArray(1000)(arrayMap(x -> toString(x), e.auth_scopes))) AS scopes,
    arraySort(groupUniqArrayArray(1000)(arrayMap(x -> toString(x), e.auth_audience))) AS audiences,
    arraySort(groupUniqArrayIf(1000)(toString(e.host_name), e.host_name != '')) AS hosts,
    arraySort(groupUniqArrayIf(1000)(toString(e.client_address), e.client_address != '')) AS addresses,
    arraySort(groupUniqArrayIf(1000)(toString(e.client_name), e.client_name != '')) AS clients,
    arraySort(groupUniqArrayIf(1000)(toString(e.server), e.server != '')) AS servers,
    uniqExactIf(e.server, e.server != '') AS server_count,
    arraySort(groupUniqArrayIf(1000)(toString(e.tool), e.tool != '')) AS tools,
    uniqExactIf(e.tool, e.tool != '') AS tool_count,
    countIf(e.kind = 'request' AND e.method = 'tools/call') AS calls,
    min(ts) AS first_seen,
    max(ts) AS last_seen
FROM {{.Database}}.events AS e FINAL
WHERE ts >= {since:DateTime} AND token_fingerprint != ''
GROUP BY tenant, token_fingerprint;

-- One row for each principal; events without one are a row with an empty principal_id.
CREATE OR REPLACE VIEW {{.Database}}.inventory_principals {{.OnCluster}} AS
SELECT
    tenant,
    principal_id,
    argMax(e.principal_kind, (e.principal_kind NOT IN ('', 'unknown'), ts)) AS principal_kind,
    arraySort(groupUniqArrayIf(1000)(toString(e.principal_method), e.principal_method NOT IN ('', 'none'))) AS methods,
    arraySort(groupUniqArrayIf(1000)(toString(e.principal_issuer), e.principal_issuer != '')) AS issuers,
    countIf(e.principal_verified) AS verified_events,
    count() AS events,
    multiIf(verified_events = 0, 'no', verified_events = events, 'yes', 'partly') AS verified,
    argMax(e.principal_team, (e.principal_team != '', ts)) AS team,
    argMax(e.principal_cost_center, (e.principal_cost_center != '', ts)) AS cost_center,
    arraySort(groupUniqArrayIf(1000)(toString(e.token_fingerprint), e.token_fingerprint != '')) AS tokens,
    uniqExactIf(e.token_fingerprint, e.token_fingerprint != '') AS token_count,
    arraySort(groupUniqArrayIf(1000)(toString(e.client_name), e.client_name != '')) AS clients,
    arraySort(groupUniqArrayIf(1000)(toString(e.host_name), e.host_name != '')) AS hosts,
    arraySort(groupUniqArrayIf(1000)(toString(e.server), e.server != '')) AS servers,
    uniqExactIf(e.server, e.server != '') AS server_count,
    arraySort(groupUniqArrayIf(1000)(toString(e.tool), e.tool != '')) AS tools,
    uniqExactIf((e.server, e.tool), e.tool != '') AS tool_count,
    countIf(e.kind = 'request' AND e.method = 'tools/call') AS calls,
    countIf(e.kind IN ('response', 'error') AND e.method = 'tools/call' AND e.outcome NOT IN ('', 'ok', 'input_required')) AS failed_calls,
    toUInt64(sum(e.tokens_arguments) + sum(e.tokens_result) + sum(e.tokens_definitions)) AS model_tokens,
    sumMapIf(map(toString(e.cost_currency), e.cost_amount), e.cost_currency != '') AS cost,
    min(ts) AS first_seen,
    max(ts) AS last_seen
FROM {{.Database}}.events AS e FINAL
WHERE ts >= {since:DateTime} AND event_name NOT LIKE 'mcpsiem.%'
GROUP BY tenant, principal_id;

-- One row for each tool that was listed or called in the window, by the configured name of its server. The catalogue's first_seen and last_seen
-- go back to the first list ever seen; definitions are hashes, the newest first. definition_tokens, approved_by and approved_at are of the newest one.
CREATE OR REPLACE VIEW {{.Database}}.inventory_tools {{.OnCluster}} AS
WITH
    definitions AS
    (
        SELECT tenant, server, tool, definition_hash, max(c.tokens) AS tokens, min(c.first_seen) AS first_seen, max(c.last_seen) AS last_seen
        FROM {{.Database}}.tool_catalogue AS c
        GROUP BY tenant, server, tool, definition_hash
    ),
    listed AS
    (
        SELECT
            tenant, server, tool,
            arrayMap(x -> x.2, arrayReverseSort(groupArray(1000)((d.last_seen, d.definition_hash)))) AS definitions,
            count() AS versions,
            argMax(d.tokens, d.last_seen) AS definition_tokens,
            min(d.first_seen) AS first_listed,
            max(d.last_seen) AS last_listed
        FROM definitions AS d
        GROUP BY tenant, server, tool
        HAVING last_listed >= {since:DateTime}
    ),
    called AS
    (
        SELECT
            tenant, server, tool,
            countIf(e.kind = 'request') AS calls,
            countIf(e.kind IN ('response', 'error') AND e.outcome NOT IN ('', 'ok', 'input_required')) AS failed_calls,
            uniqExactIf(e.principal_id, e.principal_id != '') AS principal_count,
            arraySort(groupUniqArrayArray(1000)(arrayMap(x -> toString(x), e.capabilities))) AS capabilities,
            sum(e.tokens_arguments) AS tokens_arguments,
            sum(e.tokens_result) AS tokens_result,
            min(ts) AS first_called,
            max(ts) AS last_called
        FROM {{.Database}}.events AS e FINAL
        WHERE ts >= {since:DateTime} AND method = 'tools/call' AND tool != ''
        GROUP BY tenant, server, tool
    )
SELECT
    i.*,
    a.approved_by AS approved_by,
    a.approved_at AS approved_at
FROM
(
    SELECT
        tenant, server, tool,
        groupArrayArray(u.capabilities) AS capabilities,
        groupArrayArray(u.definitions) AS definitions,
        toUInt64(sum(u.versions)) AS versions,
        toUInt64(max(u.definition_tokens)) AS definition_tokens,
        min(u.first) AS first_seen,
        max(u.last) AS last_seen,
        max(u.called) AS last_called,
        sum(u.calls) AS calls,
        sum(u.failed) AS failed_calls,
        sum(u.principals) AS principal_count,
        toUInt64(sum(u.arguments)) AS tokens_arguments,
        toUInt64(sum(u.results)) AS tokens_result,
        versions > 0 AS listed,
        versions > 0 AND calls = 0 AS never_used
    FROM
    (
        SELECT tenant, server, tool, CAST([], 'Array(String)') AS capabilities, definitions, versions, definition_tokens, first_listed AS first, last_listed AS last,
               toDateTime64(0, 9, 'UTC') AS called, toUInt64(0) AS calls, toUInt64(0) AS failed, toUInt64(0) AS principals, toUInt64(0) AS arguments, toUInt64(0) AS results
        FROM listed
        UNION ALL
        SELECT tenant, server, tool, capabilities, CAST([], 'Array(String)'), toUInt64(0), toUInt32(0), first_called, last_called,
               last_called, calls, failed_calls, principal_count, tokens_arguments, tokens_result
        FROM called
    ) AS u
    GROUP BY tenant, server, tool
) AS i
LEFT JOIN (SELECT tenant, server, tool, definition_hash, approved_by, approved_at FROM {{.Database}}.approved WHERE tool != '') AS a
    ON a.tenant = i.tenant AND a.server = i.server AND a.tool = i.tool AND a.definition_hash = i.definitions[1];

-- One row for each server, by its configured name. tools_approved counts tools of which any definition is approved. tools_listed and definition_tokens count the tools whose newest listing is in the window.
CREATE OR REPLACE VIEW {{.Database}}.inventory_servers {{.OnCluster}} AS
SELECT
    s.tenant AS tenant,
    s.server AS server,
    s.claimed AS claimed,
    s.transports AS transports,
    s.protocol_versions AS protocol_versions,
    s.taps AS taps,
    s.hosts AS hosts,
    s.addresses AS addresses,
    s.clients AS clients,
    s.principals AS principals,
    s.principal_count AS principal_count,
    s.calls AS calls,
    s.failed_calls AS failed_calls,
    s.tools_called AS tools_called,
    c.tools AS tools_listed,
    c.tokens AS definition_tokens,
    s.first_seen AS first_seen,
    s.last_seen AS last_seen,
    a.approved_by AS approved_by,
    a.approved_at AS approved_at,
    toUInt64(n.tools) AS tools_approved
FROM
(
    SELECT
        tenant, server,
        arraySort(groupUniqArrayIf(1000)(trimRight(concat(e.server_claimed_name, ' ', e.server_claimed_version)), e.server_claimed_name != '')) AS claimed,
        arraySort(groupUniqArrayIf(1000)(toString(e.transport), e.transport != '')) AS transports,
        arraySort(groupUniqArrayIf(1000)(toString(e.protocol_version), e.protocol_version != '')) AS protocol_versions,
        arraySort(groupUniqArrayIf(1000)(toString(e.tap_id), e.tap_id != '')) AS taps,
        arraySort(groupUniqArrayIf(1000)(toString(e.host_name), e.host_name != '')) AS hosts,
        arraySort(groupUniqArrayIf(1000)(if(e.server_port = 0, toString(e.server_address), concat(e.server_address, ':', toString(e.server_port))), e.server_address != '')) AS addresses,
        arraySort(groupUniqArrayIf(1000)(toString(e.client_name), e.client_name != '')) AS clients,
        arraySort(groupUniqArrayIf(1000)(toString(e.principal_id), e.principal_id != '')) AS principals,
        uniqExactIf(e.principal_id, e.principal_id != '') AS principal_count,
        countIf(e.kind = 'request' AND e.method = 'tools/call') AS calls,
        countIf(e.kind IN ('response', 'error') AND e.method = 'tools/call' AND e.outcome NOT IN ('', 'ok', 'input_required')) AS failed_calls,
        uniqExactIf(e.tool, e.tool != '' AND e.method = 'tools/call') AS tools_called,
        min(ts) AS first_seen,
        max(ts) AS last_seen
    FROM {{.Database}}.events AS e FINAL
    WHERE ts >= {since:DateTime} AND event_name != 'mcpsiem.audit'
    GROUP BY tenant, server
) AS s
LEFT JOIN
(
    SELECT tenant, server, count() AS tools, toUInt64(sum(t.tokens)) AS tokens
    FROM
    (
        SELECT tenant, server, tool, argMax(d.tokens, d.last_seen) AS tokens, max(d.last_seen) AS seen
        FROM {{.Database}}.tool_catalogue AS d
        GROUP BY tenant, server, tool
        HAVING seen >= {since:DateTime}
    ) AS t
    GROUP BY tenant, server
) AS c ON c.tenant = s.tenant AND c.server = s.server
LEFT JOIN (SELECT tenant, server, approved_by, approved_at FROM {{.Database}}.approved WHERE tool = '') AS a ON a.tenant = s.tenant AND a.server = s.server
LEFT JOIN
(
    SELECT tenant, server, uniqExact(tool) AS tools
    FROM {{.Database}}.approved
    WHERE tool != '' GROUP BY tenant, server
) AS n ON n.tenant = s.tenant AND n.server = s.server;

-- The token tax: what a conversation pays for a server before it calls anything. One row for each conversation and server that listed tools.
--   lists       lists begun: requests without a cursor
--   delivered   tokens of all definitions that came, over all lists
--   tokens      of them, for one list: what stands in the context
--   tools_used  tools that the conversation called; tokens_used are their definitions' tokens, by the catalogue
-- share_200k is tokens as a share of a context window of 200,000.
CREATE OR REPLACE VIEW {{.Database}}.token_tax {{.OnCluster}} AS
SELECT
    l.tenant AS tenant,
    toDate(l.first) AS day,
    l.first AS started,
    l.conversation_id AS conversation_id,
    l.server AS server,
    l.principal AS principal_id,
    l.client AS client_name,
    l.encoding AS encoding,
    l.lists AS lists,
    l.delivered AS delivered,
    toUInt64(intDiv(l.delivered, greatest(l.lists, 1))) AS tokens,
    toUInt64(intDiv(l.tools, greatest(l.lists, 1))) AS tools,
    u.tools AS tools_used,
    u.calls AS calls,
    toUInt64(least(u.tokens, tokens)) AS tokens_used,
    toUInt64(tokens - tokens_used) AS tokens_unused,
    tokens / 200000 AS share_200k
FROM
(
    SELECT
        tenant, conversation_id, server,
        min(ts) AS first,
        argMax(e.principal_id, (e.principal_id != '', ts)) AS principal,
        argMax(e.client_name, (e.client_name != '', ts)) AS client,
        max(e.tokens_encoding) AS encoding,
        countIf(e.kind = 'request' AND NOT JSONHas(body, 'params', 'cursor')) AS lists,
        toUInt64(sum(e.tokens_definitions)) AS delivered,
        toUInt64(sumIf(JSONLength(body, 'result', 'tools'), e.kind = 'response')) AS tools
    FROM {{.Database}}.events AS e FINAL
    WHERE ts >= {since:DateTime} AND method = 'tools/list' AND kind IN ('request', 'response')
    GROUP BY tenant, conversation_id, server
    HAVING delivered > 0
) AS l
LEFT JOIN
(
    SELECT x.tenant AS tenant, x.conversation_id AS conversation_id, x.server AS server, count() AS tools, toUInt64(sum(d.tokens)) AS tokens, sum(x.calls) AS calls
    FROM
    (
        SELECT tenant, conversation_id, server, tool, count() AS calls
        FROM {{.Database}}.events FINAL
        WHERE ts >= {since:DateTime} AND method = 'tools/call' AND kind = 'request' AND tool != ''
        GROUP BY tenant, conversation_id, server, tool
    ) AS x
    LEFT JOIN
    (
        SELECT tenant, server, tool, argMax(c.tokens, c.last_seen) AS tokens
        FROM {{.Database}}.tool_catalogue AS c
        GROUP BY tenant, server, tool
    ) AS d ON d.tenant = x.tenant AND d.server = x.server AND d.tool = x.tool
    GROUP BY tenant, conversation_id, server
) AS u ON u.tenant = l.tenant AND u.conversation_id = l.conversation_id AND u.server = l.server;

-- What was spent, by the hour. Rows differ in currency; cost_basis says whether tokens were counted here or reported by the provider.
CREATE OR REPLACE VIEW {{.Database}}.spend {{.OnCluster}} AS
SELECT
    tenant,
    toStartOfHour(ts) AS hour,
    principal_team AS team,
    principal_cost_center AS cost_center,
    principal_id,
    server,
    cost_model AS model,
    cost_currency AS currency,
    cost_basis AS basis,
    sum(e.cost_amount) AS cost,
    toUInt64(sum(e.tokens_arguments)) AS tokens_arguments,
    toUInt64(sum(e.tokens_result)) AS tokens_result,
    toUInt64(sum(e.tokens_definitions)) AS tokens_definitions,
    countIf(e.kind = 'request' AND e.method = 'tools/call') AS calls
FROM {{.Database}}.events AS e FINAL
WHERE e.cost_amount != 0 OR e.tokens_arguments != 0 OR e.tokens_result != 0 OR e.tokens_definitions != 0
GROUP BY tenant, hour, team, cost_center, principal_id, server, model, currency, basis;
