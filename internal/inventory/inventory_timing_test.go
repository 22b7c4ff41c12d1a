package inventory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

// The benchmarks read through a million events over 30 days: 500 principals, 40 servers, 800 tools, 5000 conversations.

func fill(b *testing.B) {
	admin := storetest.Open(b, chdb.UserAdmin)
	statements := []string{"TRUNCATE TABLE mcpsiem.events", "TRUNCATE TABLE mcpsiem.tool_catalogue"}
	for i := range 20 {
		statements = append(statements, fmt.Sprintf(`INSERT INTO mcpsiem.events (event_id, ts, tenant, event_name, kind, method, server, tool, principal_id, principal_method, principal_verified, token_fingerprint, conversation_id, client_name,
		 host_name, tokens_arguments, tokens_result, tokens_definitions, cost_amount, cost_currency, body, stream_seq)
		 SELECT generateUUIDv4(), now64(9) - INTERVAL intDiv(n * 2592000, 1000000) SECOND, 'default', 'mcp.request', if(n %% 2 = 0, 'request', 'response'),
		 if(n %% 50 < 2, 'tools/list', 'tools/call'), concat('server-', toString(k %% 40)), if(n %% 50 < 2, '', concat('tool-', toString(k %% 800))), concat('user-', toString(k %% 500)), 'jwt', true,
		 lower(hex(MD5(toString(k %% 700)))), concat('c-', toString(k %% 5000)), 'claude', concat('host-', toString(k %% 300)), 30, 400, if(n %% 50 = 1, 8000, 0), 0.001, 'USD',
		 if(n %% 50 = 1, '{"result":{"tools":[{"name":"a"},{"name":"b"}]}}', '{"params":{"name":"x","arguments":{"path":"/a/b/c"}}}'), 1
		 FROM (SELECT number AS n, intDiv(number, 2) AS k FROM system.numbers LIMIT 50000 OFFSET %d) SETTINGS max_partitions_per_insert_block = 1000`, i*50_000))
	}
	statements = append(statements,
		`INSERT INTO mcpsiem.tool_catalogue SELECT 'default', concat('server-', toString(number % 40)), concat('tool-', toString(number)), hex(MD5(toString(number))), 400, now64(9) - 86400, now64(9), '' FROM system.numbers LIMIT 800`)
	for _, sql := range statements {
		if err := admin.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
}

func bench[R Row](b *testing.B) {
	c := storetest.Open(b, chdb.UserAnalyst)
	for _, back := range []time.Duration{30 * 24 * time.Hour, 24 * time.Hour} {
		b.Run(strings.TrimSuffix(back.String(), "0m0s"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rows, _, err := Read[R](b.Context(), c, Query{Since: time.Now().Add(-back)})
				if err != nil || len(rows) == 0 {
					b.Fatalf("%d rows, %v", len(rows), err)
				}
			}
		})
	}
}

func BenchmarkInventory(b *testing.B) {
	fill(b)
	b.Run("tokens", bench[Token])
	b.Run("principals", bench[Principal])
	b.Run("servers", bench[Server])
	b.Run("tools", bench[Tool])
	b.Run("tax_servers", bench[ServerTax])
	b.Run("tax_clients", bench[ClientTax])
}
