package execution

// What a tool takes, by its capabilities and name.

import (
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// traits of a tool that decide what its arguments may hold.
type traits struct {
	executes bool // commands or code are what it takes
	destroys bool // it deletes, or costs money
	queries  bool // it takes queries
}

// executors are words of names of tools that take commands or code, beside the capability.
var executors = []string{"exec", "shell", "bash", "terminal", "command", "cmd", "script", "python", "eval", "kubectl", "powershell"}

// queriers are words of names of tools that take queries in a language.
var queriers = []string{"sql", "query", "database", "db", "postgres", "mysql", "mariadb", "sqlite", "bigquery", "snowflake", "duckdb", "clickhouse", "oracle", "redshift", "supabase", "cypher", "graphql"}

func toolOf(e *event.Event) (t traits) {
	for _, c := range e.Capabilities {
		switch c {
		case "executes":
			t.executes = true
		case "destroys", "spends":
			t.destroys = true
		}
	}
	name := e.Tool[:min(len(e.Tool), 128)]
	t.executes = t.executes || hasWord(name, executors)
	t.queries = hasWord(name, queriers)
	return t
}

// hasWord says whether one of the name's words (snake_case, kebab-case, dotted, camelCase) is among words, or begins with one of four
// letters or more.
func hasWord(name string, words []string) bool {
	start := 0
	word := func(end int) bool {
		w := name[start:end]
		for _, x := range words {
			if len(w) >= len(x) && strings.EqualFold(w[:len(x)], x) && (len(w) == len(x) || len(x) >= 4) {
				return true
			}
		}
		return false
	}
	for i := range len(name) {
		switch b := name[i]; {
		case b >= 'A' && b <= 'Z':
			if i > start && (name[i-1] < 'A' || name[i-1] > 'Z') {
				if word(i) {
					return true
				}
				start = i
			}
		case b >= 'a' && b <= 'z' || b >= '0' && b <= '9':
		default:
			if word(i) {
				return true
			}
			start = i + 1
		}
	}
	return word(len(name))
}
