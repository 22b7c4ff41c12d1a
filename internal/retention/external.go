package retention

import (
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/google/uuid"
)

// asked is a table of ids that travels with a query.
func asked(ids []uuid.UUID) (*ext.Table, error) {
	t, err := ext.NewTable("asked", ext.Column("id", "UUID"))
	for i := 0; err == nil && i < len(ids); i++ {
		err = t.Append(ids[i])
	}
	return t, storeError("prepare a list of ids", err)
}
