-- Accounts on a ClickHouse server of one's own; not a migration, since it needs rights that a migration should not have. Run it once
-- as an administrator, with passwords of your own. The embedded server has the same accounts from its users.xml.

CREATE SETTINGS PROFILE IF NOT EXISTS mcpsiem_analyst SETTINGS
    readonly = 1,
    final = 1 CONST,
    optimize_move_to_prewhere_if_final = 1,
    do_not_merge_across_partitions_select_final = 1,
    max_memory_usage = 2000000000,
    max_execution_time = 60 MIN 1 MAX 65 CHANGEABLE_IN_READONLY, -- clickhouse-go asks for five seconds more than its deadline, which is 60 s in Grafana
    max_result_rows = 1000000 MIN 1 MAX 1000000 CHANGEABLE_IN_READONLY,
    max_block_size = 65409 MIN 1 MAX 65536 CHANGEABLE_IN_READONLY;

CREATE USER IF NOT EXISTS mcpsiem_admin IDENTIFIED BY 'CHANGE-ME-1';
GRANT ALL ON mcpsiem.* TO mcpsiem_admin;
GRANT SELECT ON system.* TO mcpsiem_admin;
GRANT TABLE ENGINE ON * TO mcpsiem_admin;

CREATE USER IF NOT EXISTS mcpsiem_pipeline IDENTIFIED BY 'CHANGE-ME-2';
GRANT SELECT, INSERT ON mcpsiem.* TO mcpsiem_pipeline;

CREATE USER IF NOT EXISTS mcpsiem_analyst IDENTIFIED BY 'CHANGE-ME-3' SETTINGS PROFILE mcpsiem_analyst;
GRANT SELECT, SHOW ON mcpsiem.* TO mcpsiem_analyst;

-- Retention and erasure (`mcpsiem retention`, `mcpsiem subject`, `mcpsiem hold`).
CREATE USER IF NOT EXISTS mcpsiem_remover IDENTIFIED BY 'CHANGE-ME-4';
GRANT SELECT, INSERT, ALTER DELETE, ALTER UPDATE ON mcpsiem.* TO mcpsiem_remover;

-- Accounts of people, and analysts of single tenants: `mcpsiem roles sql` prints their statements. A row policy on the tables is not enough: docs/roles.md.
