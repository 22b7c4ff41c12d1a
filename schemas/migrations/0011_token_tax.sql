-- The token tax without reading messages: what it asks of a list stands beside the message, in columns of its own. They are part of the event's row, so that
-- whatever happens to the row - a copy is dropped, a person is erased, a day expires, an account may not see it - happens to them.

-- How many tools a list came with, and whether a request goes on with a list that was begun. Both are computed as a message is stored.
ALTER TABLE {{.Database}}.events {{.OnCluster}}
    ADD COLUMN IF NOT EXISTS listed_tools UInt32 MATERIALIZED if(method = 'tools/list' AND kind = 'response', toUInt32(JSONLength(body, 'result', 'tools')), 0) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS list_goes_on Bool MATERIALIZED if(method = 'tools/list' AND kind = 'request', JSONHas(body, 'params', 'cursor') = 1, false) CODEC(ZSTD(1));

-- Of messages that were stored before, ClickHouse computes them in the background; until it has, it computes them for each question, out of the message.
ALTER TABLE {{.Database}}.events {{.OnCluster}} MATERIALIZE COLUMN listed_tools, MATERIALIZE COLUMN list_goes_on;

-- The token tax: what a conversation pays for a server before it calls anything. One row for each conversation and server that listed tools.
--   lists       lists begun: requests without a cursor
--   delivered   tokens of all definitions that came, over all lists
--   tokens      of them, for one list: what stands in the context
--   tools_used  tools that the conversation called; tokens_used are their definitions' tokens, by the catalogue
-- share_200k is tokens as a share of a context window of 200,000. Names of tools are compared by a hash, which millions of calls are grouped by in a third of the time.
CREATE OR REPLACE VIEW {{.Database}}.token_tax {{.OnCluster}} AS
WITH
    (
        SELECT (groupArray(sipHash64(d.tenant, d.server, sipHash64(d.tool))), groupArray(d.tokens))
        FROM
        (
            SELECT tenant, server, tool, toUInt64(argMax(c.tokens, c.last_seen)) AS tokens
            FROM {{.Database}}.tool_catalogue AS c
            GROUP BY tenant, server, tool
        ) AS d
    ) AS catalogue
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
    length(u.tools) AS tools_used,
    u.calls AS calls,
    toUInt64(least(arraySum(t -> transform(sipHash64(l.tenant, l.server, t), catalogue.1, catalogue.2, toUInt64(0)), u.tools), tokens)) AS tokens_used,
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
        countIf(e.kind = 'request' AND NOT e.list_goes_on) AS lists,
        toUInt64(sum(e.tokens_definitions)) AS delivered,
        toUInt64(sum(e.listed_tools)) AS tools
    FROM {{.Database}}.events AS e FINAL
    WHERE ts >= {since:DateTime} AND method = 'tools/list' AND kind IN ('request', 'response')
    GROUP BY tenant, conversation_id, server
    HAVING delivered > 0
) AS l
LEFT JOIN
(
    SELECT tenant, conversation_id, server, arrayDistinct(groupArray(sipHash64(tool))) AS tools, count() AS calls
    FROM {{.Database}}.events FINAL
    WHERE ts >= {since:DateTime} AND method = 'tools/call' AND kind = 'request' AND tool != ''
    GROUP BY tenant, conversation_id, server
) AS u ON u.tenant = l.tenant AND u.conversation_id = l.conversation_id AND u.server = l.server;
