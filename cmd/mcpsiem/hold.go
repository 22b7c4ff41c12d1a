package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/retention"
)

func newHold() *cobra.Command {
	c := &cobra.Command{
		Use:     "hold",
		GroupID: "mend",
		Short:   "Legal holds: what must outlive retention and erasure until released",
		Long: `A legal hold covers events and findings, those stored and those that arrive: neither retention nor erasure removes them until the hold is released. Holds are looked at when rows
are deleted, not when a deletion is planned. Each is on record in the audit trail, and in every retention report.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newHoldCreate(), newHoldList(), newHoldShow(), newHoldRelease())
	return c
}

func newHoldCreate() *cobra.Command {
	var r removal
	var h retention.Hold
	var from, to string
	c := &cobra.Command{
		Use: "create --matter MATTER", Short: "Put a hold in force", Args: cobra.NoArgs,
		Long: `Hold everything that all given conditions are true of. --query is a condition in SQL on columns of events (docs/event.md). Findings are held by tenant, principal, server and period,
and where one of their events is held. The hold is in force when the command returns.`,
		Example: "  mcpsiem hold create --matter 2026-7 --tenant acme --principal ann@example.com\n  mcpsiem hold create --matter 'SEC inquiry' --from 2026-10-01 --to 2026-11-01 --query \"server = 'payments' AND has(data_classes, 'card')\"",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			var err error
			if h.From, h.To, err = parsePeriod(from, to); err != nil {
				return err
			}
			if err := h.Validate(); err != nil {
				return withCode(exitUsage, err)
			}
			rm, err := r.remover(ctx)
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			if err := h.Check(ctx, rm.Conn); err != nil {
				return withCode(exitUsage, err)
			}
			var b [6]byte
			rand.Read(b[:])
			h.ID, h.CreatedAt, h.CreatedBy = "hold-"+hex.EncodeToString(b[:]), time.Now(), rm.Actor.ID
			// What is being deleted right now ends first, and nothing new begins before the hold is stored.
			if err := rm.Lock(ctx); err != nil {
				return err
			}
			defer rm.Unlock()
			d := map[string]string{"matter": h.Matter}
			for k, v := range map[string]string{"principal": h.Principal, "server": h.Server, "query": h.Query} {
				if v != "" {
					d[k] = v
				}
			}
			for k, t := range map[string]time.Time{"from": h.From, "to": h.To} {
				if !t.IsZero() {
					d[k] = t.UTC().Format(time.RFC3339)
				}
			}
			if err := rm.Record(ctx, audit.Record{Action: audit.HoldCreate, Target: h.ID, Tenant: h.Tenant, Actor: rm.Actor, Details: d}); err != nil {
				return err
			}
			if err := h.Save(ctx, rm.Conn); err != nil {
				return err
			}
			events, findings, err := h.Covers(ctx, rm.Conn)
			if err != nil {
				return err
			}
			if r.asJSON {
				return printJSON(c, map[string]any{"hold": h, "events": events, "findings": findings})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is in force; it covers %d events and %d findings now\n", h.ID, events, findings)
			return err
		},
	}
	r.bind(c)
	f := c.Flags()
	f.StringVar(&h.Matter, "matter", "", "what it is for `MATTER` (required)")
	f.StringVar(&h.Tenant, "tenant", "", "of this `TENANT`")
	f.StringVar(&h.Principal, "principal", "", "of this principal, also on somebody's behalf `NAME`")
	f.StringVar(&h.Server, "server", "", "of this server `NAME`")
	f.StringVar(&from, "from", "", "from this `TIME` on, or how long ago")
	f.StringVar(&to, "to", "", "before this `TIME`")
	f.StringVar(&h.Query, "query", "", "condition on columns of events, in SQL `EXPR`")
	_ = c.MarkFlagRequired("matter")
	return c
}

func newHoldList() *cobra.Command {
	var r removal
	c := &cobra.Command{
		Use: "list", Short: "List holds, those in force first", Args: cobra.NoArgs,
		Example: "  mcpsiem hold list --json",
		RunE: func(c *cobra.Command, _ []string) error {
			rm, err := r.remover(c.Context())
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			holds, err := retention.Holds(c.Context(), rm.Conn)
			if err != nil {
				return err
			}
			if r.asJSON {
				if holds == nil {
					holds = []retention.Hold{}
				}
				return printJSON(c, holds)
			}
			tw := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "HOLD\tMATTER\tTENANT\tPRINCIPAL\tSERVER\tFROM\tTO\tQUERY\tSINCE\tRELEASED\t")
			for _, h := range holds {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", h.ID, printable(h.Matter), printable(h.Tenant), printable(h.Principal), printable(h.Server), when(h.From), when(h.To), printable(h.Query), when(h.CreatedAt), when(h.ReleasedAt))
			}
			return tw.Flush()
		},
	}
	r.bind(c)
	return c
}

// findHold reads the named hold.
func findHold(c *cobra.Command, rm *retention.Remover, id string) (retention.Hold, error) {
	holds, err := retention.Holds(c.Context(), rm.Conn)
	if err != nil {
		return retention.Hold{}, err
	}
	for _, h := range holds {
		if h.ID == id {
			return h, nil
		}
	}
	return retention.Hold{}, withCode(exitUsage, errors.New("there is no such hold: see `mcpsiem hold list`"))
}

func newHoldShow() *cobra.Command {
	var r removal
	c := &cobra.Command{
		Use: "show HOLD", Short: "Show a hold and count what it covers, as JSON", Args: cobra.ExactArgs(1),
		Example: "  mcpsiem hold show hold-3f2a91",
		RunE: func(c *cobra.Command, args []string) error {
			rm, err := r.remover(c.Context())
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			h, err := findHold(c, rm, args[0])
			if err != nil {
				return err
			}
			events, findings, err := h.Covers(c.Context(), rm.Conn)
			if err != nil {
				return err
			}
			return printJSON(c, map[string]any{"hold": h, "active": h.Active(), "events": events, "findings": findings})
		},
	}
	r.bind(c)
	return c
}

func newHoldRelease() *cobra.Command {
	var r removal
	var reason string
	c := &cobra.Command{
		Use: "release HOLD --reason TEXT", Short: "Release a hold: retention and erasure apply again", Args: cobra.ExactArgs(1),
		Example: `  mcpsiem hold release hold-3f2a91 --reason "case closed"`,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			rm, err := r.remover(ctx)
			if err != nil {
				return err
			}
			defer rm.Conn.Close()
			h, err := findHold(c, rm, args[0])
			if err != nil {
				return err
			}
			if !h.Active() {
				return withCode(exitUsage, fmt.Errorf("%s was released on %s", h.ID, when(h.ReleasedAt)))
			}
			if err := rm.Record(ctx, audit.Record{Action: audit.HoldRelease, Target: h.ID, Tenant: h.Tenant, Actor: rm.Actor, Details: map[string]string{"matter": h.Matter, "reason": reason}}); err != nil {
				return err
			}
			h.ReleasedAt, h.ReleasedBy, h.Reason = time.Now(), rm.Actor.ID, reason
			if err := h.Save(ctx, rm.Conn); err != nil {
				return err
			}
			if r.asJSON {
				return printJSON(c, h)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is released\n", h.ID)
			return err
		},
	}
	r.bind(c)
	c.Flags().StringVar(&reason, "reason", "", "why `TEXT` (required)")
	_ = c.MarkFlagRequired("reason")
	return c
}
