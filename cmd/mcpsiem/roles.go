package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/roles"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

func newRoles() *cobra.Command {
	c := &cobra.Command{
		Use:     "roles",
		GroupID: "mend",
		Short:   "Accounts of people on the store: analyst, auditor, admin, by tenant",
		Long: `Give people accounts of their own on ClickHouse. An analyst reads everything, or with --tenant only these tenants, whatever is asked; an auditor reads every tenant, the seal and the
audit trail, but not what messages said; an admin may do everything in the database.

The list is roles.yaml in the state folder; passwords are generated, in secrets/role-NAME.password. A running ` + "`mcpsiem up`" + ` takes a change
within seconds: ClickHouse's process is replaced, the pipelines wait for it. For a ClickHouse of your own, ` + "`mcpsiem roles sql`" + `
prints what an administrator runs there. See docs/roles.md.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newRolesList(), newRolesAdd(), newRolesRemove(), newRolesSQL())
	return c
}

func rolePassword(d state.Dir, name string) string { return d.Secret("role-" + name + ".password") }

// peopleAccounts are the accounts of roles.yaml for the embedded server.
func peopleAccounts(d state.Dir) ([]chdb.Account, error) {
	list, err := roles.Read(d.Roles())
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	var out []chdb.Account
	for _, a := range list {
		password, err := readPassword(rolePassword(d, a.Name))
		if err != nil {
			return nil, fmt.Errorf("cannot make account %s: %w (`mcpsiem roles remove %s` and add it again)", a.Name, err, a.Name)
		}
		out = append(out, a.Embedded(password, roles.EventColumns())...)
	}
	return out, nil
}

// peopleViews makes the views of analysts of single tenants.
func peopleViews(ctx context.Context, d state.Dir, admin store.Config) error {
	list, err := roles.Read(d.Roles())
	if err != nil {
		return withCode(exitUsage, err)
	}
	conn, err := store.Open(ctx, admin)
	if err != nil {
		return err
	}
	defer conn.Close()
	return roles.Install(ctx, conn, list, io.Discard)
}

// watchRoles lets changes of roles.yaml take effect while everything runs: the engine's process is replaced, the pipelines wait for it and go on.
func watchRoles(ctx context.Context, d state.Dir, ch *chdb.Server, admin store.Config, log *zap.Logger) {
	read := func() string {
		b, _ := os.ReadFile(d.Roles())
		return string(b)
	}
	have := read()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(rolesRecheck):
		}
		now := read()
		if now == have {
			continue
		}
		accounts, err := peopleAccounts(d)
		if err == nil {
			err = ch.SetAccounts(ctx, accounts)
		}
		if err == nil {
			err = peopleViews(ctx, d, admin)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil { // what is wrong with the file stays so until it changes
			log.Warn("Changed accounts are not in effect", zap.Error(err))
		}
		have = now
	}
}

const rolesRecheck = time.Second

// awaitRole waits until a running installation lets an account in, or no longer does. It says false where none runs, or where that takes too long.
func awaitRole(ctx context.Context, d state.Dir, name, password string, in bool) bool {
	if _, running := d.Holder(); !running {
		return false
	}
	e, err := d.ReadEndpoints()
	if err != nil || e.ClickHouseHTTP == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.ClickHouseHTTP+"/?query=SELECT+1", nil)
		if err != nil {
			return false
		}
		req.SetBasicAuth(name, password)
		req.Close = true
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if in && resp.StatusCode == http.StatusOK || !in && resp.StatusCode == http.StatusForbidden {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func newRolesList() *cobra.Command {
	var dir string
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List accounts", Args: cobra.NoArgs,
		Example: "  mcpsiem roles list",
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := roles.Read(state.Dir(dir).Roles())
			if err != nil {
				return err
			}
			if asJSON {
				if list == nil {
					list = []roles.Account{}
				}
				return printJSON(c, list)
			}
			tw := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "ACCOUNT\tROLE\tTENANTS\tDATABASE\tPASSWORD\t")
			for _, a := range list {
				tenants, db := "all", chdb.Database
				if len(a.Tenants) > 0 {
					tenants, db = printable(strings.Join(a.Tenants, ", ")), a.Database(chdb.Database)
				}
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t\n", a.Name, a.Role, tenants, db, rolePassword(state.Dir(dir), a.Name))
			}
			return tw.Flush()
		},
	}
	c.Flags().StringVar(&dir, "state", state.Default(), "state folder of the installation `DIR` (env MCPSIEM_STATE)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// recordRole puts a change of accounts on record where the installation runs; where it does not, its start does (pipeline.config).
func recordRole(c *cobra.Command, dir, verb string, a roles.Account) {
	t := target{stateDir: dir}
	cfg, err := t.nats(true)
	if err == nil {
		err = audit.WriteTo(c.Context(), cfg, audit.Record{Action: audit.RolesChange, Target: a.Name, Details: map[string]string{"change": verb, "role": a.Role, "tenants": strings.Join(a.Tenants, ", ")}})
	}
	if err != nil {
		fmt.Fprintln(c.ErrOrStderr(), "mcpsiem: warning: this change is not on record:", err)
	}
}

func newRolesAdd() *cobra.Command {
	var dir string
	var a roles.Account
	c := &cobra.Command{
		Use: "add NAME --role ROLE", Short: "Add an account with a generated password", Args: cobra.ExactArgs(1),
		Example: "  mcpsiem roles add ann --role analyst --tenant acme\n  mcpsiem roles add eve --role auditor",
		RunE: func(c *cobra.Command, args []string) error {
			a.Name = args[0]
			if err := a.Validate(); err != nil {
				return withCode(exitUsage, err)
			}
			d := state.Dir(dir)
			list, err := roles.Read(d.Roles())
			if err != nil {
				return err
			}
			for _, x := range list {
				if x.Name == a.Name || x.Database("x") != "" && x.Database("x") == a.Database("x") || x.Reader() == a.Name || a.Reader() == x.Name {
					return withCode(exitUsage, fmt.Errorf("there is an account %s already, with this name or one like it", x.Name))
				}
			}
			var b [24]byte
			rand.Read(b[:])
			if err := os.MkdirAll(d.Path("secrets"), 0o700); err != nil {
				return fmt.Errorf("cannot make the folder of passwords: %w", err)
			}
			file := rolePassword(d, a.Name)
			if err := os.WriteFile(file, []byte(hex.EncodeToString(b[:])+"\n"), 0o600); err != nil {
				return fmt.Errorf("cannot write the password: %w", err)
			}
			if err := roles.Write(d.Roles(), append(list, a)); err != nil {
				return err
			}
			recordRole(c, dir, "add", a)
			fmt.Fprintf(c.OutOrStdout(), "account %s: password in %s\n", a.Name, file)
			if db := a.Database(chdb.Database); db != "" {
				fmt.Fprintf(c.OutOrStdout(), "its tables are in database %s\n", db)
			}
			if awaitRole(c.Context(), d, a.Name, hex.EncodeToString(b[:]), true) {
				fmt.Fprintln(c.OutOrStdout(), "it can be used now")
			} else {
				fmt.Fprintln(c.OutOrStdout(), "it can be used as soon as `mcpsiem up` runs")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "state", state.Default(), "state folder of the installation `DIR` (env MCPSIEM_STATE)")
	f.StringVar(&a.Role, "role", "", "analyst, auditor or admin `ROLE` (required)")
	f.StringArrayVar(&a.Tenants, "tenant", nil, "an analyst's `TENANT`; may be given more than once")
	_ = c.MarkFlagRequired("role")
	return c
}

func newRolesRemove() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "remove NAME", Short: "Remove an account", Args: cobra.ExactArgs(1),
		Example: "  mcpsiem roles remove ann",
		RunE: func(c *cobra.Command, args []string) error {
			d := state.Dir(dir)
			list, err := roles.Read(d.Roles())
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list, func(a roles.Account) bool { return a.Name == args[0] })
			if i < 0 {
				return withCode(exitUsage, errors.New("there is no such account: see `mcpsiem roles list`"))
			}
			a := list[i]
			password, _ := readPassword(rolePassword(d, a.Name))
			if err := roles.Write(d.Roles(), slices.Delete(list, i, i+1)); err != nil {
				return err
			}
			_ = os.Remove(rolePassword(d, a.Name))
			recordRole(c, dir, "remove", a)
			now := "; `mcpsiem up` does not let it in any more"
			if password != "" && awaitRole(c.Context(), d, a.Name, password, false) {
				now = " and no longer let in"
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "account %s is removed%s\n", a.Name, now)
			return err
		},
	}
	c.Flags().StringVar(&dir, "state", state.Default(), "state folder of the installation `DIR` (env MCPSIEM_STATE)")
	return c
}

func newRolesSQL() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "sql [NAME...]", Short: "Print the SQL that makes the accounts on a ClickHouse of your own",
		Long: `Print statements for an administrator, to be run after schemas/migrations/grants.sql and ` + "`mcpsiem migrate`" + `. Passwords are in them as SHA-256. Columns are read from the server that the flags
name, so that views of single tenants have all of them.`,
		Example: "  mcpsiem roles sql > accounts.sql",
		RunE: func(c *cobra.Command, args []string) error {
			d := state.Dir(t.stateDir)
			list, err := roles.Read(d.Roles())
			if err != nil {
				return err
			}
			cfg, err := t.clickhouse(true)
			if err != nil {
				return err
			}
			conn, err := store.Open(c.Context(), cfg)
			if err != nil {
				return withCode(exitUnreachable, err)
			}
			defer conn.Close()
			columns, err := roles.Columns(c.Context(), conn)
			if err != nil {
				return err
			}
			for _, a := range list {
				if len(args) > 0 && !slices.Contains(args, a.Name) {
					continue
				}
				password, err := readPassword(rolePassword(d, a.Name))
				if err != nil {
					return err
				}
				h := sha256.Sum256([]byte(password))
				if _, err := io.WriteString(c.OutOrStdout(), a.SQL(conn.Database, columns, hex.EncodeToString(h[:]))+"\n"); err != nil {
					return err
				}
			}
			return nil
		},
	}
	t.bind(c, false, true)
	return c
}
