package main

// What may be used: servers and tools that somebody looked at.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/inventory"
)

type approveFlags struct {
	target
	since             days
	tenant, reason    string
	list, revoke, all bool
	yes, asJSON       bool
}

func newApprove() *cobra.Command {
	f := approveFlags{since: days(30 * 24 * time.Hour)}
	c := &cobra.Command{
		Use:     "approve [SERVER [TOOL...]]",
		GroupID: "look",
		Short:   "Approve servers and tool definitions as they are now",
		Long: `Approve a server with all the tools that it lists, or some of its tools, as they are now; without a server, show what waits.

From a tenant's first approval on, a server or a definition that nobody approved raises a finding (unapproved_server; see
docs/detectors/unapproved_server.md for strict mode and known servers from a file), and a change to an approved definition is no drift. What is
approved is the hash of the definition: when a server changes it, it needs approval anew.

Who approved what is a record of the audit trail (server.approve, server.revoke), with the user of this machine who ran the command. The detectors
read it from there, like any event; inventory servers and tools show it.`,
		Example: `  mcpsiem approve                               # what is approved, what has changed since, what is new
  mcpsiem approve github --reason "review 2026-41"
  mcpsiem approve github create_issue list_issues --yes
  mcpsiem approve --all --yes                   # start an allow-list with what is in use
  mcpsiem approve --list --json
  mcpsiem approve --revoke github create_issue`,
		RunE: func(c *cobra.Command, args []string) error { return runApprove(c, &f, args) },
	}
	f.target.bind(c, true, true)
	fl := c.Flags()
	fl.Var(&f.since, "since", "consider what was seen in this `DURATION`, e.g. 12h, 30d")
	fl.StringVar(&f.tenant, "tenant", "", "of this `TENANT` only")
	fl.StringVar(&f.reason, "reason", "", "why, for the record `TEXT`")
	fl.BoolVar(&f.list, "list", false, "list the approvals in force")
	fl.BoolVar(&f.revoke, "revoke", false, "take the approval back")
	fl.BoolVar(&f.all, "all", false, "every server")
	fl.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	fl.BoolVar(&f.asJSON, "json", false, "print a JSON array")
	c.MarkFlagsMutuallyExclusive("list", "revoke")
	c.MarkFlagsMutuallyExclusive("list", "all")
	return c
}

func runApprove(c *cobra.Command, f *approveFlags, args []string) error {
	switch {
	case f.all && len(args) > 0:
		return withCode(exitUsage, errors.New("--all and a server cannot go together"))
	case f.list && len(args) > 1:
		return withCode(exitUsage, errors.New("--list takes a server at most"))
	case f.revoke && !f.all && len(args) == 0:
		return withCode(exitUsage, errors.New("revoke what? name a server, or say --all"))
	}
	conn, err := f.store(c.Context())
	if err != nil {
		return err
	}
	defer conn.Close()
	approvals, err := inventory.Approvals(c.Context(), conn, f.tenant)
	if err != nil {
		return err
	}
	if f.list {
		if len(args) == 1 {
			approvals = slices.DeleteFunc(approvals, func(a inventory.Approval) bool { return a.Server != args[0] })
		}
		return printApprovals(c.OutOrStdout(), approvals, f.asJSON)
	}
	var chosen []inventory.Candidate
	if f.revoke {
		chosen = revocable(approvals, f.all, args)
	} else {
		all, err := inventory.Candidates(c.Context(), conn, inventory.Query{Since: time.Now().Add(-time.Duration(f.since)), Tenant: f.tenant})
		if err != nil {
			return err
		}
		if len(args) == 0 && !f.all {
			return printCandidates(c.OutOrStdout(), all, f.asJSON)
		}
		if len(args) > 0 && !slices.ContainsFunc(all, func(x inventory.Candidate) bool { return x.Server == args[0] }) {
			return withCode(exitUsage, fmt.Errorf("server %q was not seen in the last %s (see `mcpsiem approve`)", args[0], f.since.String()))
		}
		chosen = approvable(all, args)
	}
	if err := missing(chosen, args, f.revoke); err != nil {
		return err
	}
	if len(chosen) == 0 {
		if f.asJSON {
			return printCandidates(c.OutOrStdout(), []inventory.Candidate{}, true)
		}
		fmt.Fprintln(c.ErrOrStderr(), "mcpsiem: nothing to do: all of it is so already")
		return nil
	}
	if !f.asJSON || !f.yes {
		if err := printCandidates(c.ErrOrStderr(), chosen, false); err != nil {
			return err
		}
	}
	what := "Approve"
	if f.revoke {
		what = "Revoke the approval of"
	}
	if !f.yes {
		if err := confirm(c, fmt.Sprintf("%s %s?", what, counted(chosen))); err != nil {
			return err
		}
	}
	records := make([]audit.Record, 0, len(chosen))
	for _, x := range chosen {
		if f.revoke {
			records = append(records, x.Revocation(f.reason))
		} else {
			records = append(records, x.Record(f.reason))
		}
	}
	nats, err := f.nats(true)
	if err != nil {
		return err
	}
	if err := audit.WriteTo(c.Context(), nats, records...); err != nil {
		return err
	}
	if f.asJSON {
		return printCandidates(c.OutOrStdout(), chosen, true)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", map[bool]string{false: "approved", true: "revoked"}[f.revoke], counted(chosen))
	return nil
}

// approvable are the candidates that the arguments mean and that are not approved yet. A tool brings its server along.
func approvable(all []inventory.Candidate, args []string) (out []inventory.Candidate) {
	for _, x := range all {
		if x.State == inventory.StateApproved || len(args) > 0 && x.Server != args[0] || len(args) > 1 && x.Tool != "" && !slices.Contains(args[1:], x.Tool) {
			continue
		}
		out = append(out, x)
	}
	return out
}

// revocable are the servers, or tools, whose approvals the arguments mean; a server ends those of its tools with it.
func revocable(approvals []inventory.Approval, all bool, args []string) (out []inventory.Candidate) {
	seen := map[[3]string]bool{}
	for _, a := range approvals {
		x := inventory.Candidate{Tenant: a.Tenant, Server: a.Server, Tool: a.Tool, State: inventory.StateApproved, LastSeen: a.At}
		switch {
		case !all && a.Server != args[0], len(args) > 1 && !slices.Contains(args[1:], a.Tool):
			continue
		case len(args) < 2:
			x.Tool = ""
		}
		if k := [3]string{x.Tenant, x.Server, x.Tool}; !seen[k] {
			seen[k] = true
			out = append(out, x)
		}
	}
	return out
}

// missing is an error that names what of the arguments nothing is known of.
func missing(chosen []inventory.Candidate, args []string, revoke bool) error {
	if len(args) < 2 && len(chosen) > 0 || len(args) == 0 {
		return nil
	}
	for _, tool := range args[1:] {
		if !slices.ContainsFunc(chosen, func(x inventory.Candidate) bool { return x.Tool == tool }) {
			return withCode(exitUsage, fmt.Errorf("tool %q of server %q %s (see `mcpsiem approve%s`)", tool, args[0],
				map[bool]string{false: "was not listed in that time, or is approved already", true: "is not approved"}[revoke], map[bool]string{true: " --list"}[revoke]))
		}
	}
	if len(chosen) == 0 && revoke {
		return withCode(exitUsage, fmt.Errorf("server %q is not approved (see `mcpsiem approve --list`)", args[0]))
	}
	return nil
}

func counted(chosen []inventory.Candidate) string {
	servers, tools := map[[2]string]bool{}, 0
	for _, x := range chosen {
		servers[[2]string{x.Tenant, x.Server}] = true
		if x.Tool != "" {
			tools++
		}
	}
	s := fmt.Sprintf("%d %s", len(servers), plural(len(servers), "server", "servers"))
	if tools > 0 {
		s = fmt.Sprintf("%d %s of %s", tools, plural(tools, "tool", "tools"), s)
	}
	return s
}

// confirm asks, where there is somebody to ask.
func confirm(c *cobra.Command, question string) error {
	if in, ok := c.InOrStdin().(*os.File); ok && !term.IsTerminal(int(in.Fd())) {
		return withCode(exitUsage, errors.New("nobody is there to confirm: say --yes"))
	}
	fmt.Fprint(c.ErrOrStderr(), question, " [y/N] ")
	line, err := bufio.NewReader(io.LimitReader(c.InOrStdin(), 64)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("cannot read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}

func printApprovals(w io.Writer, rows []inventory.Approval, asJSON bool) error {
	if asJSON {
		return indented(w, rows)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SERVER\tTENANT\tTOOL\tDEFINITION\tAPPROVED BY\tAPPROVED AT\tREASON")
	for _, a := range rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", orDash(a.Server), orDash(a.Tenant), orDash(a.Tool), orDash(a.Definition[:min(12, len(a.Definition))]), orDash(a.By), a.At.Local().Format(time.DateTime), orDash(a.Reason))
	}
	return tw.Flush()
}

func printCandidates(w io.Writer, rows []inventory.Candidate, asJSON bool) error {
	if asJSON {
		return indented(w, append([]inventory.Candidate{}, rows...))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SERVER\tTENANT\tTOOL\tSTATE\tDEFINITION\tCAN\tLAST SEEN")
	for _, x := range rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", orDash(x.Server), orDash(x.Tenant), orDash(x.Tool), x.State, orDash(x.Definition[:min(12, len(x.Definition))]), orDash(strings.Join(x.Capabilities, " ")), x.LastSeen.Local().Format(time.DateTime))
	}
	return tw.Flush()
}

func indented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return plain(s)
}
