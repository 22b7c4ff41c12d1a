package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/inspect"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/subject"
)

func newSubject() *cobra.Command {
	c := &cobra.Command{
		Use:     "subject",
		GroupID: "mend",
		Short:   "A person's data: find it, export it, erase it",
		Long: `Find what is stored of a person, for requests of access and erasure. A person is a principal (--subject), a placeholder as it stands in bodies (--pseudonym), or a value such as an
address (--value-from-stdin: it is on no command line and in no record), whose placeholders are computed again with the tenants' keys.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newSubjectFind(), newSubjectExport(), newSubjectErase())
	return c
}

type person struct {
	removal
	principal, tenant, keysDir, epoch string
	pseudonyms                        []string
	fromStdin                         bool
}

func (p *person) bind(c *cobra.Command) {
	p.removal.bind(c)
	f := c.Flags()
	f.StringVar(&p.principal, "subject", "", "the `PRINCIPAL` that acted, also on somebody's behalf")
	f.StringArrayVar(&p.pseudonyms, "pseudonym", nil, "a placeholder in bodies, e.g. '<email:0123456789abcdef>' `TEXT`; may be given more than once")
	f.BoolVar(&p.fromStdin, "value-from-stdin", false, "read a value, e.g. an address, from standard input")
	f.StringVar(&p.tenant, "tenant", "", "only in this `TENANT`; by default in all")
	f.StringVar(&p.keysDir, "keys-dir", "", "keys_dir of the inspect processor `DIR`; by default that of the state folder")
	f.StringVar(&p.epoch, "key-epoch", "", "key_epoch of the inspect processor `EPOCH`")
}

// queries asks each tenant for the person.
func (p *person) queries(ctx context.Context, conn *store.Conn, in io.Reader) ([]subject.Query, error) {
	var value []byte
	if p.fromStdin {
		b, err := io.ReadAll(io.LimitReader(in, 4097))
		if err != nil {
			return nil, fmt.Errorf("cannot read the value: %w", err)
		}
		if value = []byte(strings.TrimSpace(string(b))); len(value) < 3 || len(b) > 4096 {
			return nil, withCode(exitUsage, errors.New("the value on standard input has fewer than 3 or more than 4,096 bytes"))
		}
	}
	if p.principal == "" && value == nil && len(p.pseudonyms) == 0 {
		return nil, withCode(exitUsage, errors.New("name the person: --subject, --pseudonym or --value-from-stdin"))
	}
	d := state.Dir(p.stateDir)
	var engine *inspect.Engine
	master, err := pseudonym.Load(d.Secret(state.SecretMasterKey))
	if err == nil {
		dir := p.keysDir
		if dir == "" {
			dir = filepath.Join(filepath.Dir(d.Secret(state.SecretMasterKey)), "tenants")
		}
		var tenants *pseudonym.Tenants
		if tenants, err = pseudonym.OpenTenants(dir); err == nil {
			engine, err = inspect.New(inspect.Config{Master: master, Tenants: tenants, Epoch: p.epoch})
		}
	}
	if err != nil && value != nil {
		return nil, fmt.Errorf("cannot compute placeholders of the value: %w", err)
	}
	names := []string{p.tenant}
	if p.tenant == "" {
		names = names[:0]
		rows, err := conn.Query(ctx, "SELECT DISTINCT tenant FROM events UNION DISTINCT SELECT DISTINCT tenant FROM findings")
		if err != nil {
			return nil, errors.New("cannot list tenants")
		}
		defer rows.Close()
		for rows.Next() {
			var t string
			if err := rows.Scan(&t); err != nil {
				return nil, errors.New("cannot list tenants")
			}
			names = append(names, t)
		}
	}
	var out []subject.Query
	for _, name := range names {
		q := subject.Query{Tenant: name, Principal: p.principal, Tokens: p.pseudonyms}
		who := value
		if who == nil {
			who = []byte(p.principal + strings.Join(p.pseudonyms, ""))
		}
		if engine != nil {
			if value != nil {
				tokens, err := engine.Placeholders(name, value)
				if err != nil {
					return nil, err
				}
				q.Tokens = append(append([]string{}, q.Tokens...), tokens...)
			}
			if q.Tag, err = engine.SubjectTag(name, who); err != nil {
				return nil, err
			}
		}
		if q.Principal == "" && len(q.Tokens) == 0 {
			continue // the tenant has no key: it has no placeholders either
		}
		if err := q.Validate(); err != nil {
			return nil, withCode(exitUsage, err)
		}
		out = append(out, q)
	}
	return out, nil
}

// copies lists where else the person's data is.
func (p *person) copies() []string {
	out := []string{}
	list, err := distro.ReadSinks(state.Dir(p.stateDir).Sinks())
	if err != nil {
		return append(out, "sinks.yaml cannot be read: copies in other systems are not listed")
	}
	for _, s := range list {
		out = append(out, fmt.Sprintf("sink %s (%s): erase there, too", s.Name, s.Type))
	}
	return append(out, "snapshots of detectors (detect in the state folder) hold names for as long as their windows; evidence bundles and exports that were handed out; backups")
}

func printFound(w io.Writer, all []subject.Found) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TENANT\tEVENTS\tHELD\tNOT SEALED\tFINDINGS\tHELD\tIN ARCHIVES\tHELD\tAUDIT RECORDS (KEPT)\t")
	for _, f := range all {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", printable(f.Tenant), f.Events, f.HeldEvents, f.NotSealed, f.Findings, f.HeldFindings, f.Archived, f.HeldArchived, f.Audit)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, f := range all {
		for _, a := range f.ArchivesUnread {
			if _, err := fmt.Fprintf(w, "  %s: archive not searched: %s\n", printable(f.Tenant), a); err != nil {
				return err
			}
		}
	}
	return nil
}

func newSubjectFind() *cobra.Command {
	var p person
	c := &cobra.Command{
		Use: "find", Short: "Count what is stored of a person", Args: cobra.NoArgs,
		Example: "  mcpsiem subject find --subject ann@example.com\n  mcpsiem subject find --value-from-stdin < address.txt",
		RunE: func(c *cobra.Command, _ []string) error {
			rm, err := p.remover(c.Context())
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			qs, err := p.queries(c.Context(), rm.Conn, c.InOrStdin())
			if err != nil {
				return err
			}
			all := []subject.Found{}
			for _, q := range qs {
				f, err := subject.Look(c.Context(), rm.Conn, q)
				if err == nil {
					err = subject.LookArchived(c.Context(), rm, q, &f)
				}
				if err != nil {
					return err
				}
				all = append(all, f)
			}
			if p.asJSON {
				return printJSON(c, map[string]any{"found": all, "copies": p.copies()})
			}
			return printFound(c.OutOrStdout(), all)
		},
	}
	p.bind(c)
	return c
}

func newSubjectExport() *cobra.Command {
	var p person
	var out string
	c := &cobra.Command{
		Use: "export --out FILE", Short: "Write everything that is stored of a person to a ZIP", Args: cobra.NoArgs,
		Long:    `Write events and findings of a person as NDJSON in a ZIP, mode 0600. The export is put on record first (subject.export). What the person did to the trail itself is in it, too.`,
		Example: "  mcpsiem subject export --subject ann@example.com --out ann.zip\n  mcpsiem subject export --tenant acme --value-from-stdin --out x.zip < address.txt",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			ctx := c.Context()
			rm, err := p.remover(ctx)
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			qs, err := p.queries(ctx, rm.Conn, c.InOrStdin())
			if err != nil {
				return err
			}
			cfg, err := p.account()
			if err != nil {
				return err
			}
			for _, q := range qs {
				if err := rm.Record(ctx, audit.Record{Action: audit.SubjectExport, Target: "export", Tenant: q.Tenant, Actor: rm.Actor, Details: map[string]string{"subject": q.Tag}}); err != nil {
					return err
				}
			}
			f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("cannot write the export: %w", err)
			}
			defer func() {
				if err != nil {
					os.Remove(out)
				}
			}()
			db := seal.NewDB(cfg)
			defer db.Close()
			all, err := subject.Export(ctx, rm, db, qs, f)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			if p.asJSON {
				return printJSON(c, map[string]any{"out": out, "found": all, "copies": p.copies()})
			}
			return printFound(c.OutOrStdout(), all)
		},
	}
	p.bind(c)
	c.Flags().StringVar(&out, "out", "", "the `FILE`, which must not be there yet (required)")
	_ = c.MarkFlagRequired("out")
	return c
}

func newSubjectErase() *cobra.Command {
	var p person
	var reason string
	var yes bool
	c := &cobra.Command{
		Use: "erase --reason TEXT --yes", Short: "Erase what is stored of a person", Args: cobra.NoArgs,
		Long: `Remove a person's events and findings, with what opens their leaves in the log, and the messages of the streams that brought them once every consumer has confirmed those, and their rows in archives: an archive with such rows is written anew under a new key, and the old key is destroyed. A record of it
(subject.erase) stays, with the person as a keyed hash. ` + "`mcpsiem audit verify`" + ` stays good.

What a legal hold covers stays, and is counted. So do records of what the person did to the trail itself. An event goes whole, also where only its body names the person.
Copies elsewhere are listed, not erased. Without --yes it only counts.`,
		Example: "  mcpsiem subject erase --subject ann@example.com --reason 'request 12'\n  mcpsiem subject erase --value-from-stdin --reason 'request 12' --yes < address.txt",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			rm, err := p.remover(ctx)
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			qs, err := p.queries(ctx, rm.Conn, c.InOrStdin())
			if err != nil {
				return err
			}
			if !yes {
				all := []subject.Found{}
				for _, q := range qs {
					f, err := subject.Look(ctx, rm.Conn, q)
					if err == nil {
						err = subject.LookArchived(ctx, rm, q, &f)
					}
					if err != nil {
						return err
					}
					all = append(all, f)
				}
				if p.asJSON {
					return printJSON(c, map[string]any{"would_erase": all, "copies": p.copies()})
				}
				fmt.Fprintln(c.OutOrStdout(), "nothing is erased: this cannot be undone, so it needs --yes. It would be about:")
				return printFound(c.OutOrStdout(), all)
			}
			nc, js, err := p.jetstream(ctx, true)
			if err != nil {
				return err
			}
			defer nc.Close()
			all := []subject.Erased{}
			for _, q := range qs {
				e, err := subject.Erase(ctx, rm, js, q, reason)
				all = append(all, e)
				if err != nil {
					return fmt.Errorf("cannot erase in tenant %s: %w", printable(q.Tenant), err)
				}
			}
			if p.asJSON {
				return printJSON(c, map[string]any{"erased": all, "copies": p.copies()})
			}
			w := c.OutOrStdout()
			for _, e := range all {
				if e.Events+e.Findings+e.Archived == 0 && len(e.ArchivesUnread) == 0 {
					continue
				}
				fmt.Fprintf(w, "%s: %d events and findings erased, %d of archives, %d held, %d not sealed yet (run it again), %d messages of streams deleted, %d wait for a consumer or their age\n", printable(e.Tenant), e.Removed, e.RemovedArchived, e.HeldEvents+e.HeldFindings+e.HeldArchived, e.NotSealed, e.MessagesDeleted, e.MessagesWaiting)
				for _, a := range e.ArchivesUnread {
					fmt.Fprintln(w, "  archive, not searched:", a)
				}
			}
			for _, s := range p.copies() {
				fmt.Fprintln(w, "  not erased:", s)
			}
			return nil
		},
	}
	p.bind(c)
	c.Flags().StringVar(&reason, "reason", "", "why; on record, so name nobody `TEXT` (required)")
	c.Flags().BoolVar(&yes, "yes", false, "erase")
	_ = c.MarkFlagRequired("reason")
	return c
}
