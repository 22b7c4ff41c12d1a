package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/inventory"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// days is a duration flag that also takes whole days: 30d.
type days time.Duration

func (d *days) String() string {
	v := time.Duration(*d)
	if v > 0 && v%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(v/(24*time.Hour)), 10) + "d"
	}
	return v.String()
}

func (d *days) Type() string { return "duration" }

func (d *days) Set(s string) error {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		k, err := strconv.ParseUint(n, 10, 16)
		if err != nil || k == 0 || k > 36500 {
			return errors.New("want whole days, as in 30d, or a duration, as in 12h")
		}
		*d = days(time.Duration(k) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return errors.New("want whole days, as in 30d, or a duration, as in 12h")
	}
	*d = days(v)
	return nil
}

// inventoryFlags are common to the inventory's commands.
type inventoryFlags struct {
	target
	since  days
	tenant string
	limit  int
	window uint64
	asJSON bool
}

func (f *inventoryFlags) bind(c *cobra.Command) {
	f.since = days(30 * 24 * time.Hour)
	f.target.bind(c, false, true)
	c.Flags().Var(&f.since, "since", "look back `DURATION`, e.g. 12h, 30d")
	c.Flags().StringVar(&f.tenant, "tenant", "", "of this `TENANT` only")
	c.Flags().IntVar(&f.limit, "limit", 1000, "at most `N` rows")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print a JSON array")
}

func newInventory() *cobra.Command {
	c := &cobra.Command{
		Use:     "inventory",
		GroupID: "look",
		Short:   "List credentials, principals, servers and tools, and what tool definitions cost",
		Long: `List what was seen in the last 30 days, or as far back as --since says: who uses which credential from where to reach what, which
servers and tools there are, and how many tokens their definitions take of a model's context.

The same is in SQL: inventory_tokens, inventory_principals, inventory_servers, inventory_tools and token_tax are views with a
parameter, as in SELECT * FROM inventory_tools(since = now() - INTERVAL 7 DAY) WHERE never_used.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(
		inventoryCommand[inventory.Token]("tokens", "Credentials: owner, lifetime, scopes, who uses them, from where, for what",
			"A credential is shown by its keyed fingerprint: the credential itself is nowhere. `mcpsiem identity fingerprint` makes the fingerprint of one that you hold."),
		inventoryCommand[inventory.Principal]("principals", "Principals: kind, how they were identified, team, what they reach and cost", ""),
		inventoryCommand[inventory.Server]("servers", "Servers: what they claim to be, taps, hosts, users, tools, their definitions' tokens", ""),
		inventoryCommand[inventory.Tool]("tools", "Tools: capabilities, definitions, calls, tokens, never used or not",
			"A tool with more than one version has been listed under different definitions; one that is never used still takes its tokens of every context."),
		newTax(),
	)
	return c
}

func inventoryCommand[R inventory.Row](name, short, long string) *cobra.Command {
	var f inventoryFlags
	c := &cobra.Command{
		Use:     name,
		Short:   short,
		Long:    strings.TrimSpace(short + ".\n\n" + long),
		Example: "  mcpsiem inventory " + name + " --since 7d\n  mcpsiem inventory " + name + " --tenant acme --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return listInventory[R](c, &f) },
	}
	f.bind(c)
	return c
}

func newTax() *cobra.Command {
	var f inventoryFlags
	var by string
	c := &cobra.Command{
		Use:   "tax",
		Short: "Token tax: what tool definitions take of a context before any tool is called",
		Long: `Show how many tokens of tool definitions a conversation loads, which share of a model's context that is, and how much of it was for
tools that were not used. By server: the mean and the most of its conversations. By client: all servers of a principal's client
together, each by its latest list. By conversation: each one.`,
		Example: "  mcpsiem inventory tax\n  mcpsiem inventory tax --by client --context-window 128000",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch by {
			case "server":
				return listInventory[inventory.ServerTax](c, &f)
			case "client":
				return listInventory[inventory.ClientTax](c, &f)
			case "conversation":
				return listInventory[inventory.ConversationTax](c, &f)
			}
			return withCode(exitUsage, errors.New("unknown --by: choose server, client or conversation"))
		},
	}
	f.bind(c)
	c.Flags().StringVar(&by, "by", "server", "one row for each `WHAT`: server, client, conversation")
	c.Flags().Uint64Var(&f.window, "context-window", inventory.DefaultContextWindow, "`TOKENS` of the model's context")
	return c
}

func listInventory[R inventory.Row](c *cobra.Command, f *inventoryFlags) error {
	conn, err := f.store(c.Context())
	if err != nil {
		return err
	}
	defer conn.Close()
	rows, more, err := inventory.Read[R](c.Context(), conn, inventory.Query{
		Since: time.Now().Add(-time.Duration(f.since)), Tenant: f.tenant, Limit: f.limit, ContextWindow: f.window,
	})
	if err != nil {
		return err
	}
	if more {
		fmt.Fprintf(os.Stderr, "mcpsiem: there are more than %d rows: see --limit\n", len(rows))
	}
	if f.asJSON {
		enc := json.NewEncoder(c.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(rows)
	}
	if len(rows) == 0 {
		fmt.Fprintf(os.Stderr, "mcpsiem: nothing was seen in the last %s\n", f.since.String())
		return nil
	}
	return inventory.Print(c.OutOrStdout(), rows, inventory.Style{Clean: plain})
}

// store opens the store as the analyst.
func (t *target) store(ctx context.Context) (*store.Conn, error) {
	cfg, err := t.clickhouse(false)
	if err != nil {
		return nil, err
	}
	conn, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, withCode(exitUnreachable, fmt.Errorf("%w (see `mcpsiem doctor`)", err))
	}
	return conn, nil
}
