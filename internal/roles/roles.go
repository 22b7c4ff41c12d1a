// Package roles turns named accounts into what ClickHouse lets them see: grants, and for analysts of single tenants row policies. One source makes the accounts
// of the embedded server and the SQL for a server of one's own.
package roles

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
)

// Roles.
const (
	Analyst = "analyst" // reads; with tenants only theirs
	Auditor = "auditor" // reads all tenants, the seal and the audit trail, but no content
	Admin   = "admin"   // everything in the database
)

// Account is a person's account.
type Account struct {
	Name    string   `yaml:"name" json:"name"`
	Role    string   `yaml:"role" json:"role"`
	Tenants []string `yaml:"tenants,omitempty" json:"tenants,omitempty"` // of an analyst; empty: all
}

var nameRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,62}$`)

// Reserved are the accounts that are there anyway.
var Reserved = []string{"default", "supervisor", chdb.UserAdmin, chdb.UserPipeline, chdb.UserAnalyst, chdb.UserRemover}

// Validate checks an account.
func (a Account) Validate() error {
	switch {
	case !nameRule.MatchString(a.Name):
		return errors.New("the name of an account begins with a letter and has letters, digits, _, - and . only, at most 63")
	case slices.Contains(Reserved, a.Name):
		return fmt.Errorf("%s is mcpsiem's own account: choose another name", a.Name)
	case a.Role != Analyst && a.Role != Auditor && a.Role != Admin:
		return errors.New("a role is analyst, auditor or admin")
	case a.Role != Analyst && len(a.Tenants) > 0:
		return fmt.Errorf("an %s sees every tenant: tenants are for analysts", a.Role)
	}
	for _, t := range a.Tenants {
		if t == "" || len(t) > 256 || strings.ContainsRune(t, 0) {
			return errors.New("a tenant's name has 1 to 256 bytes")
		}
	}
	return nil
}

// Tables with a column tenant: whoever may see one tenant gets a row policy on each. A test compares this list with the schema.
var Tables = []string{
	"approvals", "events", "finding_history", "findings", "holds", "removals", "removed", "seal_anchors", "seal_checkpoints", "seal_deletions", "seal_leaves", "seal_salts", "tool_catalogue",
}

// common are tables of the installation as a whole, which an analyst of single tenants does not see.
var common = []string{"accounting", "consumers", "ledger", "schema_migrations"}

// forTenants are tables and views that an analyst of single tenants may read. Views read as whoever asks, and so through the row policies.
var forTenants = []string{
	"approvals", "approved", "events", "finding_history", "findings", "holds", "inventory_principals", "inventory_servers", "inventory_tokens", "inventory_tools", "mcp_calls", "mcp_finding_groups",
	"mcp_findings", "removals", "seal_anchors", "seal_checkpoints", "seal_deletions", "seal_leaves", "seal_status", "spend", "tap_gaps", "taps", "token_tax", "tool_catalogue",
}

// content are columns of events that hold what was said, redacted as it is; an auditor does not read them.
var content = []string{"body", "extra"}

// metadata is what clients need to list tables and columns, without the sizes of data: those are everybody's.
var metadata = []string{
	"GRANT SELECT(name, engine, comment, uuid) ON system.databases",
	"GRANT SELECT(database, name, engine, comment, uuid) ON system.tables",
	"GRANT SELECT(database, table, name, type, position, default_kind, comment, is_in_primary_key) ON system.columns",
	"GRANT SELECT ON system.functions", "GRANT SELECT ON system.numbers", "GRANT SELECT ON system.one",
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// Filter is the row policy of an account, or empty.
func (a Account) Filter() string {
	if len(a.Tenants) == 0 {
		return ""
	}
	var q []string
	for _, t := range a.Tenants {
		q = append(q, quote(t))
	}
	return "tenant IN (" + strings.Join(q, ", ") + ")"
}

// Grants are the statements that give an account its rights, without TO. columns are those of events, in order.
func (a Account) Grants(database string, columns []string) []string {
	switch {
	case a.Role == Admin:
		return []string{"GRANT ALL ON " + database + ".*", "GRANT SELECT ON system.*"}
	case a.Role == Auditor:
		cols := slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return slices.Contains(content, c) })
		out := []string{"GRANT SHOW ON " + database + ".*", fmt.Sprintf("GRANT SELECT(%s) ON %s.events", strings.Join(cols, ", "), database)}
		for _, t := range slices.Concat(Tables, common, []string{"approved", "inventory_principals", "inventory_servers", "inventory_tokens", "inventory_tools", "mcp_finding_groups", "mcp_findings", "seal_status",
			"spend", "tap_gaps", "taps", "token_tax"}) {
			if t != "events" && t != "seal_salts" {
				out = append(out, "GRANT SELECT ON "+database+"."+t)
			}
		}
		return append(out, metadata...)
	case len(a.Tenants) == 0:
		return append([]string{"GRANT SELECT ON " + database + ".*", "GRANT SHOW ON " + database + ".*"}, metadata...)
	}
	own := a.Database(database)
	return append([]string{"GRANT SELECT, SHOW ON `" + own + "`.*"}, metadata...)
}

// readerGrants are the rights of the account that the views of an analyst of single tenants read as.
func (a Account) readerGrants(database string) []string {
	out := []string{"GRANT SELECT ON `" + a.Database(database) + "`.*"}
	for _, t := range append(slices.Clone(forTenants), "removed") { // views of taps and of the seal read it, each time through its row policy
		out = append(out, "GRANT SELECT ON "+database+"."+t)
	}
	return out
}

// Profile is the settings profile of an account.
func (a Account) Profile() string {
	if a.Role == Admin {
		return "default"
	}
	return "analyst"
}

// Embedded are the accounts for the embedded server: the person's, and where there are tenants the one that the views read as.
func (a Account) Embedded(password string, columns []string) []chdb.Account {
	out := []chdb.Account{{Name: a.Name, Password: password, Profile: a.Profile(), Grants: a.Grants(chdb.Database, columns)}}
	if f := a.Filter(); f != "" {
		r := chdb.Account{Name: a.Reader(), Password: rand.Text() + rand.Text(), Profile: "analyst", Grants: a.readerGrants(chdb.Database), Filters: map[string]string{}}
		for _, t := range Tables {
			r.Filters[t] = f
		}
		out = append(out, r)
	}
	return out
}

// SQL is what an administrator runs on a server of one's own, after schemas/migrations/grants.sql. hash is the SHA-256 of the account's password in hex,
// columns those of every table (Columns).
func (a Account) SQL(database string, columns map[string][]Column, hash string) string {
	var b bytes.Buffer
	user := "`" + a.Name + "`"
	fmt.Fprintf(&b, "CREATE USER OR REPLACE %s IDENTIFIED WITH sha256_hash BY %s", user, quote(hash))
	if a.Role != Admin {
		b.WriteString(" SETTINGS PROFILE 'mcpsiem_analyst'")
	}
	b.WriteString(";\n")
	for _, g := range a.Grants(database, EventColumns()) {
		fmt.Fprintf(&b, "%s TO %s;\n", g, user)
	}
	if f := a.Filter(); f != "" {
		reader := "`" + a.Reader() + "`"
		fmt.Fprintf(&b, "CREATE USER OR REPLACE %s HOST NONE SETTINGS PROFILE 'mcpsiem_analyst';\n", reader)
		for _, g := range a.readerGrants(database) {
			fmt.Fprintf(&b, "%s TO %s;\n", g, reader)
		}
		for _, t := range Tables {
			fmt.Fprintf(&b, "CREATE ROW POLICY OR REPLACE `%s_%s` ON %s.%s USING %s TO %s;\n", a.Name, t, database, t, f, reader)
		}
		for _, s := range a.ViewSQL(database, columns) {
			b.WriteString(s + ";\n")
		}
	}
	return b.String()
}

type file struct {
	Accounts []Account `yaml:"accounts"`
}

// Read reads the accounts of a file; one that is not there has none.
func Read(path string) ([]Account, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read accounts: %w", err)
	}
	var f file
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("cannot read accounts in %s: %w", path, err)
	}
	seen := map[string]bool{}
	for _, a := range f.Accounts {
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("cannot use account %q of %s: %w", a.Name, path, err)
		}
		if seen[a.Name] {
			return nil, fmt.Errorf("cannot use %s: account %s is there twice", path, a.Name)
		}
		seen[a.Name] = true
	}
	return f.Accounts, nil
}

// Write replaces the file.
func Write(path string, accounts []Account) error {
	slices.SortFunc(accounts, func(a, b Account) int { return cmp.Compare(a.Name, b.Name) })
	b, err := yaml.Marshal(file{accounts})
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".roles-*")
	if err != nil {
		return fmt.Errorf("cannot write accounts: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append([]byte("# Accounts of people; `mcpsiem roles` writes it.\n"), b...))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write accounts: %w", err)
	}
	return nil
}
