package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
)

// formats maps --format to ClickHouse's output formats.
var formats = map[string]string{
	"table": "PrettyCompactNoEscapesMonoBlock", "vertical": "Vertical", "json": "JSONEachRow", "json-full": "JSON",
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
inventory_servers, inventory_tools and token_tax (since = ...). docs/event.md lists the columns. The audit trail
gets a record of who asked, with the SHA-256 of the statement.`,
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
			t.recordQuery(c.Context(), c.ErrOrStderr(), user, sql)
			q := url.Values{"default_format": {f}, "database": {t.chDatabase}}
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
				return withCode(exitFailure, fmt.Errorf("query failed: %s", plain(strings.Join(strings.Fields(string(b)), " "))))
			}
			switch format {
			case "table", "vertical", "markdown": // what people read; the others are for programs, byte for byte
				return copyPlain(c.OutOrStdout(), resp.Body)
			}
			_, err = io.Copy(c.OutOrStdout(), resp.Body)
			return err
		},
	}
	t.bind(c, true, true)
	c.Flags().StringVarP(&format, "format", "f", "table", "`FORMAT`: table, vertical, json, json-full, csv, tsv, parquet, markdown")
	return c
}

// recordQuery puts on record who asked, and the hash of what: the text can name people. A question that cannot be recorded is still answered.
func (t *target) recordQuery(ctx context.Context, warn io.Writer, user, sql string) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if t.natsURL == "" && (t.chAddr != "" || t.chHTTP != "") {
		return // another store than the installation's, and no trail is named
	}
	cfg, err := t.nats(true)
	if err == nil {
		sum := sha256.Sum256([]byte(sql))
		err = audit.WriteTo(ctx, cfg, audit.Record{Action: audit.StoreQuery, Target: user, Details: map[string]string{"sql_sha256": hex.EncodeToString(sum[:]), "bytes": strconv.Itoa(len(sql))}})
	}
	if err != nil {
		fmt.Fprintln(warn, "mcpsiem: warning: this query is not on record:", err)
	}
}
