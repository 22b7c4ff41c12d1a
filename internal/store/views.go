// Views as the migrations leave them, for who checks that the store's are those.

package store

import (
	"regexp"
	"slices"
	"strings"
)

// View is a view of the schema and the query behind it.
type View struct{ Name, Select string }

var viewRule = regexp.MustCompile("(?s)^CREATE (?:OR REPLACE )?(?:MATERIALIZED )?VIEW (?:IF NOT EXISTS )?`[^`]+`\\.(\\w+) .*?\\bAS\\s+((?:SELECT|WITH)\\b.*)$")

// Views are the views that the migrations leave in a database.
func Views(database string) []View {
	last := map[string]string{}
	var names []string
	for _, m := range migrations {
		all, err := m.statements(database, "")
		if err != nil {
			panic("BUG: cannot render an embedded migration: " + err.Error())
		}
		for _, s := range all {
			s = withoutComments(s)
			if !strings.HasPrefix(s, "CREATE") || !strings.Contains(s, "VIEW") {
				continue
			}
			if x := viewRule.FindStringSubmatch(s); x != nil {
				if last[x[1]] == "" {
					names = append(names, x[1])
				}
				last[x[1]] = x[2]
			}
		}
	}
	slices.Sort(names)
	out := make([]View, 0, len(names))
	for _, n := range names {
		out = append(out, View{n, last[n]})
	}
	return out
}

// withoutComments drops lines that are comments.
func withoutComments(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			b.WriteString(line)
		}
	}
	return strings.TrimSpace(b.String())
}

// ComputedColumn is a column that ClickHouse computes: an ALIAS when it is asked for, a MATERIALIZED one when a row is stored.
type ComputedColumn struct{ Kind, Expression string }

var (
	aliasRule        = regexp.MustCompile(`(?m)^\s+(\w+)\s+\w+ ALIAS (.*),$`)
	materializedRule = regexp.MustCompile(`ADD COLUMN IF NOT EXISTS (\w+) \w+ MATERIALIZED (.*) CODEC\(`)
)

// Computed are the columns of a table that ClickHouse computes.
func Computed(table string) map[string]ComputedColumn {
	out := map[string]ComputedColumn{}
	for _, m := range migrations {
		for s := range strings.SplitSeq(m.text, ";\n") {
			if strings.Contains(s, "CREATE TABLE IF NOT EXISTS {{.Database}}."+table+" ") {
				for _, c := range aliasRule.FindAllStringSubmatch(s, -1) {
					out[c[1]] = ComputedColumn{"ALIAS", c[2]}
				}
			}
			if strings.Contains(s, "ALTER TABLE {{.Database}}."+table+" ") {
				for _, c := range materializedRule.FindAllStringSubmatch(s, -1) {
					out[c[1]] = ComputedColumn{"MATERIALIZED", c[2]}
				}
			}
		}
	}
	return out
}
