package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"

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
inventory_servers, inventory_tools and token_tax (since = ...). docs/event.md lists the columns. Hashes and other bytes of
fixed length are written in hex, except in parquet. The audit trail
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
			s := sqlHTTP{base, user, password, t.chDatabase}
			if format != "parquet" {
				sql = s.readable(c.Context(), sql)
			}
			body, err := s.ask(c.Context(), sql, f)
			if err != nil {
				return err
			}
			defer body.Close()
			switch format {
			case "table", "vertical", "markdown": // what people read; the others are for programs, byte for byte
				return copyPlain(c.OutOrStdout(), body)
			case "json", "json-full": // which is UTF-8; a text that is not came so from a client or server
				_, err = io.Copy(c.OutOrStdout(), transform.NewReader(body, runes.ReplaceIllFormed()))
				return err
			}
			_, err = io.Copy(c.OutOrStdout(), body)
			return err
		},
	}
	t.bind(c, true, true)
	c.Flags().StringVarP(&format, "format", "f", "table", "`FORMAT`: table, vertical, json, json-full, csv, tsv, parquet, markdown")
	return c
}

// sqlHTTP asks ClickHouse over HTTP.
type sqlHTTP struct{ base, user, password, database string }

// ask gives the whole answer or an error: it comes once the query has ended well.
func (s sqlHTTP) ask(ctx context.Context, sql, format string) (io.ReadCloser, error) {
	q := url.Values{"default_format": {format}, "database": {s.database}, "wait_end_of_query": {"1"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/?"+q.Encode(), strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(s.user, s.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, withCode(exitUnreachable, fmt.Errorf("cannot reach ClickHouse: %w (see `mcpsiem doctor`)", errors.Unwrap(err)))
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	text := plain(strings.Join(strings.Fields(string(b)), " "))
	if denied.MatchString(text) {
		return nil, withCode(exitFailure, fmt.Errorf("query refused, since %s may only read, and not everything (docs/roles.md): %s", s.user, short(text, 300)))
	}
	return nil, withCode(exitFailure, fmt.Errorf("query failed: %s", text))
}

var (
	denied      = regexp.MustCompile(`\b(ACCESS_DENIED|READONLY)\b`)
	selects     = regexp.MustCompile(`(?is)^\s*(select|with)\b`)
	fixedString = regexp.MustCompile(`^(?:Nullable\(|LowCardinality\()*FixedString\(\d+\)\)*$`)
)

// readable lays over a query one that writes hashes and other bytes (FixedString) in hex, as ids are written everywhere. A query whose columns cannot be
// told stays as it is.
func (s sqlHTTP) readable(ctx context.Context, sql string) string {
	inner := strings.TrimRight(sql, "; \t\r\n")
	if !selects.MatchString(inner) {
		return sql
	}
	body, err := s.ask(ctx, "DESCRIBE TABLE (\n"+inner+"\n)", "JSONEachRow")
	if err != nil {
		return sql
	}
	defer body.Close()
	var hexed []string
	seen := map[string]bool{}
	for d := json.NewDecoder(body); ; {
		var col struct{ Name, Type string }
		if err := d.Decode(&col); err != nil {
			break
		}
		if name := "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(col.Name) + "`"; fixedString.MatchString(col.Type) && !seen[name] {
			hexed = append(hexed, fmt.Sprintf("lower(hex(%[1]s)) AS %[1]s", name))
			seen[name] = true
		}
	}
	if len(hexed) == 0 {
		return sql
	}
	return "SELECT * REPLACE (" + strings.Join(hexed, ", ") + ") FROM (\n" + inner + "\n)"
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
