// Views of single tenants.
//
// A row policy hides rows, and no more: ClickHouse's function mergeTreeIndex shows the first key of each granule to whoever may select the table, and
// lowCardinalityKeys the values that a part's other rows have. So an analyst of single tenants has no right on the tables. The account has a database of its
// own, named after it, with a view of the same name for each table and view; they read as an account nobody logs in with, to which the row policies apply, and
// give strings as plain strings, so that nothing of a part comes through but the rows.

package roles

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Database is where the account's views are, and empty where it reads the tables themselves.
func (a Account) Database(database string) string {
	if len(a.Tenants) == 0 {
		return ""
	}
	return database + "_" + strings.NewReplacer(".", "_", "-", "_").Replace(a.Name)
}

// Reader is the account that the views read as.
func (a Account) Reader() string { return "reader_" + a.Name }

// parameters are what views with parameters ask for.
var parameters = map[string]string{"inventory_principals": "since", "inventory_servers": "since", "inventory_tokens": "since", "inventory_tools": "since", "token_tax": "since"}

// Column of a table.
type Column struct{ Name, Type string }

// ViewSQL makes the account's views. columns are those of each table, in order.
func (a Account) ViewSQL(database string, columns map[string][]Column) []string {
	own := a.Database(database)
	out := []string{"CREATE DATABASE IF NOT EXISTS `" + own + "`"}
	for _, name := range forTenants {
		list := columns[name]
		if len(list) == 0 {
			continue
		}
		var cols []string
		for _, c := range list {
			expr := "`" + c.Name + "`"
			if strings.Contains(c.Type, "LowCardinality") {
				expr = "CAST(" + expr + ", " + quote(plainType(c.Type)) + ") AS " + expr
			}
			cols = append(cols, expr)
		}
		from := "`" + database + "`." + name
		if p := parameters[name]; p != "" {
			from += "(" + p + " = {" + p + ":DateTime})"
		}
		out = append(out, fmt.Sprintf("CREATE OR REPLACE VIEW `%s`.%s DEFINER = `%s` SQL SECURITY DEFINER AS SELECT %s FROM %s", own, name, a.Reader(), strings.Join(cols, ", "), from))
	}
	return out
}

// plainType is a type without LowCardinality.
func plainType(t string) string {
	for {
		i := strings.Index(t, "LowCardinality(")
		if i < 0 {
			return t
		}
		depth, j := 1, i+len("LowCardinality(")
		for ; j < len(t) && depth > 0; j++ {
			switch t[j] {
			case '(':
				depth++
			case ')':
				depth--
			}
		}
		t = t[:i] + t[i+len("LowCardinality("):j-1] + t[j:]
	}
}

// Columns reads the columns of every table and view.
func Columns(ctx context.Context, c *store.Conn) (map[string][]Column, error) {
	out := map[string][]Column{}
	rows, err := c.Query(ctx, "SELECT table, name, type FROM system.columns WHERE database = ? AND default_kind NOT IN ('MATERIALIZED', 'EPHEMERAL') ORDER BY table, position", c.Database)
	if err != nil {
		return nil, fmt.Errorf("cannot list the tables for accounts: %w", err)
	}
	for rows.Next() {
		var t string
		var col Column
		if err := rows.Scan(&t, &col.Name, &col.Type); err != nil {
			rows.Close()
			return nil, fmt.Errorf("cannot list the tables for accounts: %w", err)
		}
		out[t] = append(out[t], col)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("cannot list the tables for accounts: %w", err)
	}
	for name, p := range parameters { // of a view with parameters the columns are known when it is asked
		rows, err := c.Query(ctx, fmt.Sprintf("DESCRIBE (SELECT * FROM `%s`.%s(%s = '2020-01-01 00:00:00'))", c.Database, name, p))
		if err != nil {
			return nil, fmt.Errorf("cannot list the columns of %s: %w", name, err)
		}
		out[name] = nil
		n := len(rows.Columns())
		for rows.Next() {
			cells := make([]string, n)
			ptrs := make([]any, n)
			for i := range cells {
				ptrs[i] = &cells[i]
			}
			if err := rows.Scan(ptrs...); err != nil {
				rows.Close()
				return nil, fmt.Errorf("cannot list the columns of %s: %w", name, err)
			}
			out[name] = append(out[name], Column{cells[0], cells[1]})
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("cannot list the columns of %s: %w", name, err)
		}
	}
	return out, nil
}

// Install makes the views of the accounts that have some, as an administrator, and removes databases of accounts that are gone.
func Install(ctx context.Context, c *store.Conn, accounts []Account, progress io.Writer) error {
	var columns map[string][]Column
	own := map[string]bool{}
	for _, a := range accounts {
		if len(a.Tenants) == 0 {
			continue
		}
		own[a.Database(c.Database)] = true
		if columns == nil {
			var err error
			if columns, err = Columns(ctx, c); err != nil {
				return err
			}
		}
		for _, s := range a.ViewSQL(c.Database, columns) {
			if err := c.Exec(ctx, s); err != nil {
				return fmt.Errorf("cannot make the views of account %s: %w", a.Name, err)
			}
		}
	}
	rows, err := c.Query(ctx, "SELECT name FROM system.databases WHERE startsWith(name, ?)", c.Database+"_")
	if err != nil {
		return fmt.Errorf("cannot list databases: %w", err)
	}
	var gone []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			rows.Close()
			return fmt.Errorf("cannot list databases: %w", err)
		}
		if !own[n] && !slices.Contains(gone, n) {
			gone = append(gone, n)
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return fmt.Errorf("cannot list databases: %w", err)
	}
	for _, n := range gone {
		if err := c.Exec(ctx, "DROP DATABASE IF EXISTS `"+n+"` SYNC"); err != nil {
			return fmt.Errorf("cannot remove the views of an account that is gone: %w", err)
		}
	}
	return nil
}
