// Migrations: schemas/migrations, applied once and in order, and the check that they were.

package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/mcpsiem/mcpsiem/schemas"
)

// migration is one file of schemas/migrations.
type migration struct {
	version  uint32
	name     string // file name
	checksum string // SHA-256 of the file, hex
	text     string
}

var migrationName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.sql$`)

// migrations are the embedded ones, in order.
var migrations = loadMigrations()

// SchemaVersion is the version of the schema that this program reads and writes.
func SchemaVersion() uint32 { return migrations[len(migrations)-1].version }

func loadMigrations() []migration {
	entries, err := schemas.Migrations.ReadDir("migrations")
	if err != nil {
		panic("BUG: no embedded migrations: " + err.Error())
	}
	var out []migration
	for _, e := range entries {
		m := migrationName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		text, err := schemas.Migrations.ReadFile(path.Join("migrations", e.Name()))
		if err != nil {
			panic("BUG: cannot read an embedded migration: " + err.Error())
		}
		v, _ := strconv.ParseUint(m[1], 10, 32)
		sum := sha256.Sum256(text)
		out = append(out, migration{uint32(v), e.Name(), hex.EncodeToString(sum[:]), string(text)})
	}
	for i, m := range out {
		if m.version != uint32(i+1) {
			panic("BUG: migrations are not numbered from 0001 without gaps: " + m.name)
		}
	}
	return out
}

// statements renders a migration for a database and cluster.
func (m migration) statements(database, cluster string) ([]string, error) {
	t, err := template.New(m.name).Funcs(template.FuncMap{"engine": func(name, args string) string {
		if cluster == "" {
			return name + "(" + args + ")"
		}
		if args != "" {
			args = ", " + args
		}
		return "Replicated" + name + "('/clickhouse/tables/{shard}/{database}/{table}', '{replica}'" + args + ")"
	}}).Parse(m.text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]string{"Database": quote(database), "OnCluster": onCluster(cluster)}); err != nil {
		return nil, err
	}
	var out []string
	for s := range strings.SplitSeq(b.String(), ";\n") {
		if hasCode(s) {
			out = append(out, s)
		}
	}
	return out, nil
}

func hasCode(s string) bool {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			return true
		}
	}
	return false
}

func quote(name string) string { return "`" + name + "`" }

func onCluster(cluster string) string {
	if cluster == "" {
		return ""
	}
	return "ON CLUSTER " + quote(cluster)
}

// Schema states that callers may tell apart.
var (
	ErrSchemaMissing = errors.New("the ClickHouse schema is not there")
	ErrSchemaOld     = errors.New("the ClickHouse schema is older than this mcpsiem")
	ErrSchemaNew     = errors.New("the ClickHouse schema is newer than this mcpsiem")
	ErrSchemaChanged = errors.New("the ClickHouse schema was made by other migrations than this mcpsiem's")
)

// CompareSchema judges what schema_migrations says: version -> checksum.
func CompareSchema(applied map[uint32]string) error {
	if len(applied) == 0 {
		return fmt.Errorf("%w: run `mcpsiem migrate`", ErrSchemaMissing)
	}
	newest := uint32(0)
	for v := range applied {
		newest = max(newest, v)
	}
	if newest > SchemaVersion() {
		return fmt.Errorf("%w: it is version %d, this program knows %d; install a newer mcpsiem", ErrSchemaNew, newest, SchemaVersion())
	}
	for _, m := range migrations {
		switch sum, ok := applied[m.version]; {
		case !ok:
			return fmt.Errorf("%w: it is version %d, this program needs %d; run `mcpsiem migrate`", ErrSchemaOld, newest, SchemaVersion())
		case sum != m.checksum:
			return fmt.Errorf("%w: %s differs; use the mcpsiem that made it, or a new database", ErrSchemaChanged, m.name)
		}
	}
	return nil
}

// AppliedQuery reads what CompareSchema judges.
func AppliedQuery(database string) string {
	return "SELECT version, any(checksum) AS checksum FROM " + quote(database) + ".schema_migrations GROUP BY version ORDER BY version"
}

// CheckSchema returns nil where the server has the schema of this program, and otherwise an error that says what to do.
func CheckSchema(ctx context.Context, c *Conn) error {
	applied, err := c.applied(ctx)
	if err != nil {
		return err
	}
	return CompareSchema(applied)
}

// codes of a server that has no schema yet.
const codeUnknownTable = 60

func (c *Conn) applied(ctx context.Context) (map[uint32]string, error) {
	rows, err := c.Query(ctx, AppliedQuery(c.Database))
	if err == nil {
		defer rows.Close()
		out := map[uint32]string{}
		for rows.Next() {
			var v uint32
			var sum string
			if err := rows.Scan(&v, &sum); err != nil {
				return nil, fmt.Errorf("cannot read the schema's version: %w", err)
			}
			out[v] = sum
		}
		err = rows.Err()
		if err == nil {
			return out, nil
		}
	}
	var ex *clickhouse.Exception
	if errors.As(err, &ex) && (ex.Code == codeUnknownTable || ex.Code == codeUnknownDatabase) {
		return nil, nil
	}
	return nil, fmt.Errorf("cannot read the schema's version: %w", err)
}

// Migrate brings the schema up to this program's version. It may be run again, and by several at once: a statement that was applied before
// changes nothing. A schema that is newer, or that other migrations made, is left alone.
func Migrate(ctx context.Context, c *Conn, progress io.Writer) error {
	for _, s := range []string{
		"CREATE DATABASE IF NOT EXISTS " + quote(c.Database) + " " + onCluster(c.Cluster),
		"CREATE TABLE IF NOT EXISTS " + quote(c.Database) + ".schema_migrations " + onCluster(c.Cluster) +
			" (version UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = " +
			map[bool]string{true: "MergeTree", false: "ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')"}[c.Cluster == ""] +
			" ORDER BY (version, applied_at)",
	} {
		if err := c.Exec(ctx, s); err != nil {
			return fmt.Errorf("cannot create the ClickHouse database: %w", err)
		}
	}
	applied, err := c.applied(ctx)
	if err != nil {
		return err
	}
	if err := CompareSchema(applied); errors.Is(err, ErrSchemaNew) || errors.Is(err, ErrSchemaChanged) {
		return err
	}
	done := slices.ContainsFunc(migrations, func(m migration) bool { return applied[m.version] == "" })
	for _, m := range migrations {
		if applied[m.version] != "" {
			continue
		}
		fmt.Fprintf(progress, "ClickHouse: applying %s\n", m.name)
		statements, err := m.statements(c.Database, c.Cluster)
		if err != nil {
			return fmt.Errorf("cannot read migration %s: %w", m.name, err)
		}
		for _, s := range statements {
			if err := c.Exec(ctx, s); err != nil {
				return fmt.Errorf("cannot apply migration %s: %w", m.name, err)
			}
		}
		if err := c.Exec(ctx, "INSERT INTO "+quote(c.Database)+".schema_migrations (version, name, checksum) VALUES (?, ?, ?)", m.version, m.name, m.checksum); err != nil {
			return fmt.Errorf("cannot record migration %s: %w", m.name, err)
		}
	}
	if done {
		fmt.Fprintf(progress, "ClickHouse: schema is at version %d\n", SchemaVersion())
	}
	return nil
}
