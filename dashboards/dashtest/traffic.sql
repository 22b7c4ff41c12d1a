-- Generated traffic, for tests of dashboards: {{.Events}} events, half of them requests and half their answers, spread over {{.Days}} days before {{.End}}.
-- Every value follows from the event's number: two runs give the same rows.
INSERT INTO {{.Database}}.events (
    event_name, ts, received, event_id, source_kind, tap_id, tap_epoch, tap_seq, clock_source, stream_seq, tenant, principal_id, principal_kind, principal_issuer,
    principal_method, principal_verified, principal_team, principal_cost_center, identity_claims, token_fingerprint, token_lifetime, token_age, auth_scopes, auth_decision,
    client_name, client_version, server, server_claimed_name, server_claimed_version, host_name, os_user, command, transport, network_transport, server_address,
    client_address, http_status, protocol_version, era, session_id, conversation_id, conversation_inferred, direction, kind, method, tool, resource_uri,
    request_id, request_id_type, exchange_id, exchange_start, outcome, rpc_code, error_type, duration_ns, body_size, body_fingerprint, capture, anomalies, redactions,
    data_classes, signals, capabilities, destinations, tokens_arguments, tokens_result, tokens_definitions, tokens_encoding, cost_amount, cost_currency, cost_price_version,
    cost_model, cost_basis, body)
WITH
    intDiv(number, 2) AS x,                                          -- the exchange
    number % 2 = 1 AS answer,
    cityHash64(x, 'a') AS h, cityHash64(x, 'b') AS g, cityHash64(intDiv(x, 12), 'c') AS c, -- c: the conversation, twelve exchanges long
    toDateTime64({{.End}}, 9, 'UTC') AS end,
    toInt64({{.Days}}) * 86400000000000 AS span,
    end - toIntervalNanosecond(toInt64(span * (1 - (x + 0.5) / {{.Exchanges}}))) AS began,
    toInt64(1000000 * exp(1 + 5 * ((g % 1000) / 1000))) AS took,
    ['acme', 'globex', 'initech'][1 + least(c % 6, 2)] AS tn,
    c % 120 AS who, ['platform', 'support', 'finance', 'research', 'sales'][1 + who % 5] AS team,
    intDiv(c, 128) % 24 AS srv, concat(['github', 'files', 'mail', 'postgres', 'slack', 'browser', 'jira', 'calendar'][1 + srv % 8], if(srv < 8, '', concat('-', toString(intDiv(srv, 8))))) AS server_name,
    multiIf(h % 100 < 90, 'tools/call', h % 100 < 91, 'tools/list', h % 100 < 95, 'resources/read', h % 100 < 97, 'initialize', 'ping') AS m,
    if(m = 'tools/call', concat(['get', 'list', 'search', 'send', 'create', 'update', 'delete', 'run'][1 + g % 8], '_', ['item', 'record', 'message'][1 + intDiv(g, 8) % 3]), '') AS tool_name,
    multiIf(h % 1000 < 22, 'tool_error', h % 1000 < 30, 'rpc_error', h % 1000 < 33, 'timeout', 'ok') AS result,
    if(answer, began + toIntervalNanosecond(took), began) AS at
SELECT
    if(answer, 'mcp.response', 'mcp.request'), at, at + toIntervalMillisecond(3), toUUID(concat('00000000-0000-4000-9000-', leftPad(lower(hex(number)), 12, '0'))),
    'tap', concat('tap-', toString(srv)), 1700000000000000000, intDiv(number, 24) + 1, 'tap', intDiv(number, 200) + 1, tn, concat('user', leftPad(toString(who), 3, '0'), '@', tn, '.example'),
    if(who % 11 = 0, 'service', 'user'), 'https://idp.example', ['jwt', 'os_user', 'api_key', 'none'][1 + if(who % 17 = 0, 3, who % 3)], who % 17 != 0, team, concat('cc-', toString(who % 9)), [],
    if(who % 3 = 1, '', lower(hex(cityHash64(who, tn)))), [3600, -1, 28800, 0][1 + who % 4], h % 3000, ['read', if(who % 13 = 0, 'admin', 'write')], if(h % 400 = 7, 'denied', ''),
    ['claude-desktop', 'cursor', 'vscode', 'agent-runner'][1 + who % 4], '1.2.0', server_name, concat(server_name, '-server'), '1.0.3', concat('host', toString(who % 40)), concat('u', toString(who)), 'node',
    if(srv % 3 = 0, 'streamable_http', 'stdio'), if(srv % 3 = 0, 'tcp', 'pipe'), if(srv % 3 = 0, concat(server_name, '.example'), ''), '127.0.0.1', if(srv % 3 = 0 AND answer, 200, 0), '2025-11-25', 'legacy', '',
    lower(hex(c)), false, if(answer, 'server_to_client', 'client_to_server'), multiIf(NOT answer, 'request', result = 'rpc_error', 'error', 'response'), m, tool_name, if(m = 'resources/read', 'file:///doc', ''),
    toString(x), 'number', toUUID(concat('00000000-0000-4000-9000-', leftPad(lower(hex(x * 2)), 12, '0'))), began, if(answer, result, ''), if(answer AND result = 'rpc_error', '-32603', ''),
    if(answer AND result != 'ok', result, ''), if(answer, took, 0), 200 + g % 4000, lower(hex(g % 100000)), if(h % 500 = 3, 'withheld', 'complete'), if(h % 3000 = 1, ['duplicate_key'], []),
    if(h % 40 = 5, map('email', toFloat64(1 + h % 3)), map()), if(h % 40 = 5, ['email'], if(h % 900 = 11, ['aws_access_key'], [])), if(h % 2500 = 9, map('injection', 0.9), map()),
    if(m = 'tools/call', [['reads_private', 'reads_private', 'reads_untrusted', 'sends_outside', 'writes', 'writes', 'destroys', 'executes'][1 + g % 8]], []),
    if(m = 'tools/call' AND g % 8 = 3 AND NOT answer, [['example.com', 'partner.example', 'paste.example', 'hooks.example'][1 + h % 4]], []),
    if(answer, 0, 20 + g % 300), if(answer AND m != 'tools/list', 50 + g % 2500, 0),
    if(answer AND m = 'tools/list', 400 + srv * 500, 0), 'o200k_base', (20 + g % 2500) * 2.5 / 1000000 * if(who % 40 = 7 AND intDiv(toUnixTimestamp(at), 3600) % 29 = 0, 20, 1), 'USD', '2026-11-01', 'gpt-5', 'counted',
    if(answer, '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"generated"}]}}', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"generated","arguments":{"q":"generated"}}}')
FROM numbers({{.From}}, {{.Count}})
SETTINGS max_threads = 1, max_partitions_per_insert_block = 1000, min_insert_block_size_rows = 60000, max_block_size = 60000;
