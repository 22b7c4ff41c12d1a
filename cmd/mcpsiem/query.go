package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// formats maps --format to ClickHouse's output formats.
var formats = map[string]string{
	"table": "PrettyCompactMonoBlock", "vertical": "Vertical", "json": "JSONEachRow", "json-full": "JSON",
	"csv": "CSVWithNames", "tsv": "TSVWithNames", "parquet": "Parquet", "markdown": "Markdown",
}

func newQuery() *cobra.Command {
	var t target
	var format string
	c := &cobra.Command{
		Use:     `query "SQL"`,
		GroupID: "look",
		Short:   "Ask the store in SQL, read-only",
		Long: `Run one SQL statement in ClickHouse as the analyst: it reads the mcpsiem database and can change nothing. A "-" reads
the statement from standard input.

Tables and views: events (one row a message), mcp_calls (one row a call: arguments, result, outcome, duration, tokens,
identity), findings, tool_catalogue, spend, accounting, taps, tap_gaps; with a parameter, inventory_tokens, inventory_principals,
inventory_servers, inventory_tools and token_tax (since = ...). docs/event.md lists the columns.`,
		Example: `  mcpsiem query "SELECT started, principal_id, server, tool, outcome, duration_ms FROM mcp_calls WHERE started > now() - INTERVAL 1 HOUR ORDER BY started DESC LIMIT 20"
  mcpsiem query --format json "SELECT * FROM findings"
  mcpsiem query "DESCRIBE events"`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			sql := args[0]
			if sql == "-" {
				b, err := io.ReadAll(c.InOrStdin())
				if err != nil {
					return err
				}
				sql = string(b)
			}
			f, ok := formats[format]
			if !ok {
				return withCode(exitUsage, fmt.Errorf("unknown --format %q: choose table, vertical, json, json-full, csv, tsv, parquet or markdown", format))
			}
			base, user, password, err := t.clickhouseHTTP()
			if err != nil {
				return err
			}
			q := url.Values{"default_format": {f}, "database": {t.chDatabase}}
			if !term.IsTerminal(int(os.Stdout.Fd())) && f == "PrettyCompactMonoBlock" {
				q.Set("default_format", "PrettyCompactNoEscapesMonoBlock")
			}
			req, err := http.NewRequestWithContext(c.Context(), http.MethodPost, base+"/?"+q.Encode(), strings.NewReader(sql))
			if err != nil {
				return err
			}
			req.SetBasicAuth(user, password)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return withCode(exitUnreachable, fmt.Errorf("cannot reach ClickHouse: %w (see `mcpsiem doctor`)", errors.Unwrap(err)))
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
				return withCode(exitFailure, fmt.Errorf("query failed: %s", strings.TrimSpace(string(b))))
			}
			_, err = io.Copy(c.OutOrStdout(), resp.Body)
			return err
		},
	}
	t.bind(c, false, true)
	c.Flags().StringVarP(&format, "format", "f", "table", "`FORMAT`: table, vertical, json, json-full, csv, tsv, parquet, markdown")
	return c
}
