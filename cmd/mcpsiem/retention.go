package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/retention"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

func newRetention() *cobra.Command {
	c := &cobra.Command{
		Use:     "retention",
		GroupID: "mend",
		Short:   "Keep records as long as you must and no longer, with a record of what went",
		Long: `Apply retention.yaml of the state folder: how many days records stay, by tenant, kind, data class, server and label. Where several classes match a record the longest
wins, unless one of them minimises. What a legal hold covers stays. Each removal is first put on record in the audit trail and sealed; ` + "`mcpsiem audit verify`" + ` stays good.
See docs/retention.md.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newRetentionPlan("plan", "Count what an application would remove now"), newRetentionPlan("report", "Show the policy, holds, what is due, and what was removed on which record"), newRetentionApply(), newRetentionOpen(), newRetentionPresets())
	return c
}

// removal is what commands that remove rows need.
type removal struct {
	target
	file, archive, archiveKeys string
	asJSON                     bool
}

func (r *removal) bind(c *cobra.Command) {
	r.target.bind(c, true, true)
	f := c.Flags()
	f.StringVar(&r.archive, "archive-dir", "", "folder of archives `DIR`; by default archive in the state folder")
	f.StringVar(&r.archiveKeys, "archive-keys-dir", "", "folder of the archives' keys `DIR`; by default secrets/archive beside the folder of archives")
	f.BoolVar(&r.asJSON, "json", false, "print JSON")
}

// account is the store as the account that may delete.
func (r *removal) account() (store.Config, error) {
	cfg, err := r.clickhouse(true)
	if err == nil && r.chAddr == "" {
		cfg.Username, cfg.PasswordFile = chdb.UserRemover, state.Dir(r.stateDir).Secret(state.SecretClickHouseRemove)
	}
	return cfg, err
}

// remover connects.
func (r *removal) remover(ctx context.Context) (*retention.Remover, error) {
	cfg, err := r.account()
	if err != nil {
		return nil, err
	}
	conn, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, withCode(exitUnreachable, err)
	}
	nats, err := r.nats(true)
	if err != nil {
		conn.Close()
		return nil, err
	}
	d := state.Dir(r.stateDir)
	base := r.chHTTP
	if base == "" {
		if _, e, err := r.resolve(); err == nil && e.ClickHouseHTTP != "" {
			base = "http://" + e.ClickHouseHTTP
		}
	}
	archives, err := r.archives()
	if err != nil {
		conn.Close()
		return nil, err
	}
	archives.HTTP, archives.User, archives.PasswordFile = base, cfg.Username, cfg.PasswordFile
	return &retention.Remover{
		Conn: conn, LockDir: d.Path("retention"), Actor: audit.Me(),
		Record:  func(ctx context.Context, x audit.Record) error { return audit.WriteTo(ctx, nats, x) },
		Archive: archives,
	}, nil
}

// archives are the folders of archives and of their keys.
func (r *removal) archives() (retention.Archive, error) {
	dir := r.archive
	if dir == "" {
		dir = state.Dir(r.stateDir).Path("archive")
	}
	dir, err := filepath.Abs(dir)
	return retention.Archive{Dir: dir, Keys: r.archiveKeys}, err
}

func (r *removal) policy() (*retention.Policy, error) {
	file := r.file
	if file == "" {
		file = state.Dir(r.stateDir).Retention()
	}
	p, err := retention.Load(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withCode(exitUsage, fmt.Errorf("%w; without one nothing is removed. Write one, e.g. with the line `classes: [{preset: standard}]` (docs/retention.md), or name it with --file", err))
	}
	return p, withCode(exitUsage, err)
}

func newRetentionPlan(use, short string) *cobra.Command {
	var r removal
	var tenant string
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		Example: "  mcpsiem retention " + use + "\n  mcpsiem retention " + use + " --tenant acme --json",
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := r.policy()
			if err != nil {
				return err
			}
			rm, err := r.remover(c.Context())
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			plan, err := rm.Plan(c.Context(), p, tenant)
			if err != nil {
				return err
			}
			if r.asJSON {
				return printJSON(c, plan)
			}
			return printPlan(c.OutOrStdout(), plan, use == "report")
		},
	}
	r.bind(c)
	c.Flags().StringVar(&r.file, "file", "", "retention policy `FILE`; by default retention.yaml in the state folder")
	c.Flags().StringVar(&tenant, "tenant", "", "only this `TENANT`")
	return c
}

func printPlan(w io.Writer, p *retention.Report, full bool) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TENANT\tKIND\tCLASS\tSTORE\tTOTAL\tROWS\tOLDEST\tDUE\tHELD\tRECORDS\tNOT SEALED\tGOES\t")
	for _, l := range p.Lines {
		class := l.Class
		if class == "" {
			class = "(none: kept)"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%dd\t%dd\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t\n", printable(l.Tenant), l.Kind, class, l.Store, l.Total, l.Rows, l.Oldest.UTC().Format(time.DateOnly), l.Due, l.Held, l.Kept, l.Unsealed, l.Go)
	}
	fmt.Fprintln(tw)
	if err := tw.Flush(); err != nil {
		return err
	}
	active := 0
	for _, h := range p.Holds {
		if h.Active() {
			active++
			fmt.Fprintf(w, "hold %s: matter %s, since %s by %s\n", h.ID, printable(h.Matter), h.CreatedAt.UTC().Format(time.DateOnly), printable(h.CreatedBy))
		}
	}
	if active == 0 {
		fmt.Fprintln(w, "no legal hold is in force")
	}
	pending := 0
	for _, m := range p.Removals {
		if m.State != retention.StateDone {
			pending++
		}
	}
	if pending > 0 {
		fmt.Fprintf(w, "%d %s on record and not finished: `mcpsiem retention apply` finishes them\n", pending, plural(pending, "removal is", "removals are"))
	}
	if !full || len(p.Removals) == 0 {
		return nil
	}
	return printRemovals(w, p.Removals)
}

func printRemovals(w io.Writer, list []retention.Removal) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nRECORD\tTENANT\tACTION\tKIND\tCLASS\tROWS\tHELD\tLEAVES\tPARTS DROPPED\tSTATE\tARCHIVE\t")
	for _, m := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t\n", m.Record, printable(m.Tenant), m.Action, m.Kind, m.Class, m.Rows-m.RowsHeld, m.RowsHeld, m.Leaves, m.PartsDropped,
			[]string{"recorded", "archived", "done"}[min(m.State, 2)], filepath.Base(m.Archive))
	}
	return tw.Flush()
}

func newRetentionApply() *cobra.Command {
	var r removal
	var o retention.Options
	var dryRun bool
	c := &cobra.Command{
		Use: "apply", Short: "Remove what is due, on record", Args: cobra.NoArgs,
		Long: `Remove what is due. For each tenant, kind and class: the audit trail gets a record of how many rows go, why, and which leaves of the log they are; once that is sealed
the rows are archived where the class says so, then deleted, and what opened their leaves is destroyed. A run that was cut off is finished by the next.

Rows that are not sealed yet stay for another time. Tenants that nothing seals are left alone unless --unsealed says otherwise.`,
		Example: "  mcpsiem retention apply --dry-run\n  mcpsiem retention apply\n  mcpsiem retention apply --tenant acme --json",
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := r.policy()
			if err != nil {
				return err
			}
			rm, err := r.remover(c.Context())
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			if dryRun {
				plan, err := rm.Plan(c.Context(), p, o.Tenant)
				if err != nil {
					return err
				}
				if r.asJSON {
					return printJSON(c, plan)
				}
				return printPlan(c.OutOrStdout(), plan, false)
			}
			done, err := rm.Apply(c.Context(), p, o)
			if err != nil {
				return err
			}
			if r.asJSON {
				if done == nil {
					done = []retention.Removal{}
				}
				return printJSON(c, done)
			}
			if len(done) == 0 {
				_, err := fmt.Fprintln(c.OutOrStdout(), "nothing was due")
				return err
			}
			return printRemovals(c.OutOrStdout(), done)
		},
	}
	r.bind(c)
	f := c.Flags()
	f.StringVar(&r.file, "file", "", "retention policy `FILE`; by default retention.yaml in the state folder")
	f.StringVar(&o.Tenant, "tenant", "", "only this `TENANT`")
	f.BoolVar(&o.Unsealed, "unsealed", false, "remove rows of tenants that nothing seals, too")
	f.BoolVar(&dryRun, "dry-run", false, "count only")
	return c
}

func newRetentionPresets() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "presets", Short: "List the presets and where their periods come from", Args: cobra.NoArgs,
		Example: "  mcpsiem retention presets",
		RunE: func(c *cobra.Command, _ []string) error {
			if asJSON {
				return printJSON(c, retention.Presets())
			}
			for _, p := range retention.Presets() {
				min := ""
				if p.Minimise {
					min = ", no longer (minimises)"
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: %s\n  hot %d, warm %d, archive %d days%s\n  %s\n", p.Name, p.Title, p.Hot, p.Warm, p.Archive, min, p.Source)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newRetentionOpen() *cobra.Command {
	var r removal
	var out string
	c := &cobra.Command{
		Use: "open RECORD --out FILE", Short: "Decrypt an archive into a Parquet file", Args: cobra.ExactArgs(1),
		Long:    "Decrypt the archive of a record of removal (`mcpsiem retention report`) into a Parquet file, mode 0600. That it is read goes on record first.",
		Example: "  mcpsiem retention open 2f0c6c1e-5c1d-4a55-9a0c-0a1b2c3d4e5f --out october.parquet",
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			rm, err := r.remover(ctx)
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			all, err := rm.Removals(ctx, false)
			if err != nil {
				return err
			}
			for _, m := range all {
				if m.Record.String() != args[0] || m.Archive == "" {
					continue
				}
				if err := rm.Record(ctx, audit.Record{Action: audit.RetentionApply, Target: "archive: " + m.Record.String(), Tenant: m.Tenant, Actor: rm.Actor,
					Details: map[string]string{"phase": "archive_opened", "record": m.Record.String(), "class": m.Class}}); err != nil {
					return err
				}
				plain, err := rm.Archive.Read(m.Tenant, m.Archive)
				if err != nil {
					return err
				}
				f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
				if err == nil {
					_, err = f.Write(plain)
					err = errors.Join(err, f.Close())
				}
				if err != nil {
					return fmt.Errorf("cannot write the file: %w", err)
				}
				return nil
			}
			return withCode(exitUsage, errors.New("there is no archive of this record: see `mcpsiem retention report`"))
		},
	}
	r.bind(c)
	c.Flags().StringVar(&out, "out", "", "the `FILE`, which must not be there yet (required)")
	_ = c.MarkFlagRequired("out")
	return c
}
