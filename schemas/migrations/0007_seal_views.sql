-- What of each tenant is sealed. sealed counts events and findings, however many rows each had; leaves and checkpoint_at are those of the newest checkpoint.
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
    SELECT tenant, uniqExact(kind, id) AS sealed FROM {{.Database}}.seal_leaves GROUP BY tenant
) AS l ON l.tenant = s.tenant
LEFT JOIN
(
    SELECT tenant, max(size) AS leaves, max(signed_at) AS checkpoint_at FROM {{.Database}}.seal_checkpoints GROUP BY tenant
) AS c ON c.tenant = s.tenant;
