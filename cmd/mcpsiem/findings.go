package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/triage"
)

func newFindings() *cobra.Command {
	c := &cobra.Command{
		Use:     "findings",
		GroupID: "look",
		Short:   "Work on findings: list, show, acknowledge, resolve, accept, allow",
		Long: `List what detectors raised, see the evidence step by step, and say what became of it. A finding is open, acknowledged, resolved,
false_positive or accepted. Each change is recorded in the audit trail with the name of the user who made it, and kept in the
finding's history; of two people's changes the later one holds. An id may be given by its beginning, as far as no other begins so.

What is known to be harmless is put on the allow-list: such findings are stored as accepted and alert nobody.
docs/findings.md tells how to work with them.

Reading takes the store's analyst account; a change takes the streams' pipeline account, which is in the state folder.
Exit codes: 1 also where there is no such finding.`,
		Example: `  mcpsiem findings list --severity high --since 24h
  mcpsiem findings show 3f2a91
  mcpsiem findings ack 3f2a91 --note "looking into it"
  mcpsiem findings resolve 3f2a91 --note "token revoked, TICKET-812"
  mcpsiem findings allow --from-finding 3f2a91 --owner ann@example.com --expires 90d --reason "nightly deployment"`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newFindingsList(), newFindingsShow(),
		newChange("ack", triage.Acknowledged, "Acknowledge findings: somebody works on them"),
		newChange("resolve", triage.Resolved, "Resolve findings: they were real and are dealt with"),
		newChange("false-positive", triage.FalsePositive, "Mark findings as false positives: they are not what the rule says"),
		newChange("accept", triage.Accepted, "Accept findings: they are real and are put up with, for good or until a date"),
		newChange("reopen", triage.Open, "Reopen findings"),
		newFindingsAllow())
	return c
}

func newFindingsList() *cobra.Command {
	var t target
	var q triage.Query
	var since days
	var status []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List findings, worst and newest first",
		Long: `List findings that are open or acknowledged, worst and newest first. Findings of one rule about the same thing are a group and make one line,
its newest finding; GROUP says how many of the group are open, and how many there are.`,
		Example: "  mcpsiem findings list --severity high\n  mcpsiem findings list --status all --since 7d --principal ann --each\n  mcpsiem findings list --status open --json | jq -r '.[].finding_id'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, s := range status {
				if s == "all" {
					q.Status = nil
					break
				}
				v, err := triage.ParseStatus(s)
				if err != nil {
					return withCode(exitUsage, fmt.Errorf("--status: %w, or all", err))
				}
				q.Status = append(q.Status, v)
			}
			if q.MinSeverity != "" && triage.Rank(q.MinSeverity) == 0 {
				return withCode(exitUsage, fmt.Errorf("unknown --severity: choose %s", strings.Join(triage.Severities, ", ")))
			}
			if since > 0 {
				q.Since = time.Now().Add(-time.Duration(since))
			}
			conn, err := t.store(c.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			rows, more, err := triage.List(c.Context(), conn, q)
			if err != nil {
				return err
			}
			if more {
				fmt.Fprintf(os.Stderr, "mcpsiem: there are more than %d findings: see --limit\n", len(rows))
			}
			if asJSON {
				if rows == nil {
					rows = []triage.Row{}
				}
				return printJSON(c, rows)
			}
			if len(rows) == 0 {
				fmt.Fprintln(os.Stderr, "mcpsiem: no findings of that kind; `--status all` shows closed ones too")
				return nil
			}
			tw := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "ID\tSEVERITY\tSTATUS\tLAST SEEN\tGROUP\tRULE\tWHO\tSERVER\tSUMMARY")
			for _, r := range rows {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\t%s\n", shortID(r.ID), plain(r.Severity), plain(r.Status), r.LastSeen.Local().Format(time.DateTime),
					r.GroupOpen, r.GroupFindings, plain(r.RuleID), dash(plain(r.PrincipalID)), dash(plain(r.Server)), plain(short(r.Summary, 120)))
			}
			return tw.Flush()
		},
	}
	t.bind(c, false, true)
	f := c.Flags()
	f.StringSliceVar(&status, "status", []string{string(triage.Open), string(triage.Acknowledged)}, "in one of these `STATUSES`, or all")
	f.StringVar(&q.MinSeverity, "severity", "", "of this `SEVERITY` or worse")
	f.Var(&since, "since", "last seen within `DURATION`, e.g. 24h, 7d (default: ever)")
	f.StringVar(&q.Rule, "rule", "", "of this `RULE` only")
	f.StringVar(&q.Principal, "principal", "", "about this `PRINCIPAL` only")
	f.StringVar(&q.Server, "server", "", "about this `SERVER` only")
	f.StringVar(&q.Tool, "tool", "", "about this `TOOL` only")
	f.StringVar(&q.Tenant, "tenant", "", "of this `TENANT` only")
	f.StringVar(&q.Group, "group", "", "of this `GROUP` only, 32 hex digits")
	f.BoolVar(&q.Each, "each", false, "one line for each finding, not for each group")
	f.IntVar(&q.Limit, "limit", 100, "at most `N`")
	f.BoolVar(&asJSON, "json", false, "print a JSON array")
	return c
}

// shown is the JSON form of findings show.
type shown struct {
	triage.Row
	Steps   []step        `json:"steps"`
	History []triage.Past `json:"history"`
	Related []triage.Row  `json:"related"`
}

// step is one piece of evidence: in words, and the event if the store has it.
type step struct {
	Evidence string       `json:"evidence,omitempty"`
	EventID  string       `json:"event_id,omitempty"`
	Event    *triage.Step `json:"event,omitempty"`
}

func newFindingsShow() *cobra.Command {
	var t target
	var asJSON, full bool
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a finding: the evidence step by step, why, what to do, its history, related findings",
		Example: "  mcpsiem findings show 3f2a91",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			conn, err := t.store(c.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			ctx := c.Context()
			r, err := triage.Get(ctx, conn, args[0])
			if err != nil {
				return err
			}
			events, err := triage.Steps(ctx, conn, r)
			if err != nil {
				return err
			}
			history, err := triage.History(ctx, conn, r.Tenant, r.ID)
			if err != nil {
				return err
			}
			related, _, err := triage.List(ctx, conn, triage.Query{Tenant: r.Tenant, Group: r.Group, Each: true, Limit: 20})
			if err != nil {
				return err
			}
			v := shown{Row: *r, Steps: []step{}, History: history, Related: []triage.Row{}}
			for i := range max(len(r.Evidence), len(r.EventIDs)) {
				var s step
				if i < len(r.Evidence) {
					s.Evidence = r.Evidence[i]
				}
				if i < len(r.EventIDs) {
					s.EventID = r.EventIDs[i]
					if e, ok := events[s.EventID]; ok {
						s.Event = &e
					}
				}
				v.Steps = append(v.Steps, s)
			}
			for _, x := range related {
				if x.ID != r.ID {
					v.Related = append(v.Related, x)
				}
			}
			if asJSON {
				return printJSON(c, v)
			}
			p := printer{w: c.OutOrStdout(), color: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""}
			p.shown(&v, full)
			return nil
		},
	}
	t.bind(c, false, true)
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	c.Flags().BoolVar(&full, "full", false, "show whole messages, not their beginnings")
	return c
}

// newChange makes a command that changes the state of findings.
func newChange(name string, to triage.Status, what string) *cobra.Command {
	var t target
	var note, until string
	var group, asJSON bool
	c := &cobra.Command{
		Use:   name + " ID...",
		Short: what,
		Long: what + `.

The change is recorded in the audit trail with your name, then published as the finding's next revision.`,
		Example: "  mcpsiem findings " + name + " 3f2a91 --note \"TICKET-812\"\n  mcpsiem findings " + name + " 3f2a91 --group",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			change := triage.Change{To: to, Note: note, Time: time.Now()}
			if until != "" {
				at, err := moment(until, change.Time)
				if err != nil {
					return withCode(exitUsage, fmt.Errorf("--until: %w", err))
				}
				change.Until = at
			}
			ctx := c.Context()
			conn, err := t.store(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			var list []*finding.Finding
			seen := map[string]bool{}
			add := func(r *triage.Row) {
				if !seen[r.ID] {
					seen[r.ID] = true
					list = append(list, r.Finding())
				}
			}
			for _, id := range args { // all are found before any is changed
				r, err := triage.Get(ctx, conn, id)
				if err != nil {
					return err
				}
				add(r)
				if !group {
					continue
				}
				q := triage.Query{Tenant: r.Tenant, Group: r.Group, Each: true, Limit: 10_000, Status: []triage.Status{triage.Open, triage.Acknowledged}}
				if to == triage.Open {
					q.Status = []triage.Status{triage.Resolved, triage.FalsePositive, triage.Accepted}
				}
				others, _, err := triage.List(ctx, conn, q)
				if err != nil {
					return err
				}
				for i := range others {
					add(&others[i])
				}
			}
			nc, js, err := t.jetstream(ctx, true)
			if err != nil {
				return err
			}
			defer nc.Close()
			done, err := triage.Make(ctx, js, list, change)
			for _, f := range list[:done] {
				if asJSON {
					if err := json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"finding_id": f.ID, "status": f.Status, "revision": f.Revision, "triaged_by": f.TriagedBy, "note": f.TriageNote}); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(c.OutOrStdout(), "%s %s\n", f.ID, f.Status)
			}
			if err != nil {
				if done < len(list) {
					return fmt.Errorf("%w (%d of %d were changed)", err, done, len(list))
				}
				return err
			}
			// So that the next command sees what this one did.
			wait, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			for {
				ok, err := triage.Stored(wait, conn, list[len(list)-1])
				if ok {
					return nil
				}
				select {
				case <-wait.Done():
					fmt.Fprintln(os.Stderr, "mcpsiem: recorded; the store does not show it yet (see `mcpsiem status`)")
					return nil
				case <-time.After(50 * time.Millisecond):
				}
				if err != nil && wait.Err() == nil {
					return err
				}
			}
		},
	}
	t.bind(c, true, true)
	f := c.Flags()
	f.StringVar(&note, "note", "", "why, in your `WORDS`")
	f.BoolVar(&group, "group", false, "also all others of the finding's group that are "+map[bool]string{true: "closed", false: "open or acknowledged"}[to == triage.Open])
	f.BoolVar(&asJSON, "json", false, "print JSON lines")
	if to == triage.Accepted {
		f.StringVar(&until, "until", "", "the finding counts as open again after `DATE`: 2026-12-31, a time, or as in 30d (default: never)")
	}
	return c
}

// moment reads a date (its beginning, UTC), a time, or how far from now.
func moment(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	var d days
	if d.Set(s) == nil {
		return now.Add(time.Duration(d)), nil
	}
	return time.Time{}, errors.New("want a date, as in 2026-12-31, a time, as in 2026-12-31T18:00:00Z, or how long from now, as in 30d or 12h")
}

func printJSON(c *cobra.Command, v any) error {
	enc := json.NewEncoder(c.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// short cuts s to n characters.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
