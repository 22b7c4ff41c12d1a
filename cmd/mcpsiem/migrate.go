package main

import (
	"github.com/spf13/cobra"
)

func newMigrate() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:     "migrate",
		GroupID: "run",
		Short:   "Create or upgrade the ClickHouse schema",
		Long: "Bring the schema of a ClickHouse that you run up to this version: each missing migration of schemas/migrations is applied once, in\n" +
			"order, and recorded in mcpsiem.schema_migrations. `mcpsiem up` does this by itself. The user needs the right to create databases,\n" +
			"tables and views.",
		Example: "  mcpsiem migrate --clickhouse db.example.com:9000 --clickhouse-user admin --clickhouse-password-file admin.password",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := t.clickhouse(true)
			if err != nil {
				return err
			}
			return migrate(c.Context(), cfg, c.OutOrStdout())
		},
	}
	t.bind(c, false, true)
	return c
}
