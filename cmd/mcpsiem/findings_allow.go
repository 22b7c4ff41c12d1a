package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/triage"
)

// allowFile names the allow-list: by flag or environment, else the one of the state folder.
type allowFile struct {
	target
	file string
}

func (a *allowFile) bind(c *cobra.Command, nats, clickhouse bool) {
	a.target.bind(c, nats, clickhouse)
	c.Flags().StringVar(&a.file, "file", os.Getenv("MCPSIEM_ALLOWLIST"), "allow-list `FILE` (env MCPSIEM_ALLOWLIST; default allowlist.yaml in the state folder)")
}

func (a *allowFile) path() string {
	if a.file != "" {
		return a.file
	}
	return state.Dir(a.stateDir).AllowList()
}

// recorded returns what writes the audit record of a change of the file.
func (a *allowFile) recorded(c *cobra.Command, what, id string, details map[string]string) func() error {
	return func() error {
		cfg, err := a.nats(true)
		if err != nil {
			return err
		}
		d := map[string]string{"change": what, "file": a.path()}
		for k, v := range details {
			if v != "" {
				d[k] = v
			}
		}
		return audit.WriteTo(c.Context(), cfg, audit.Record{Action: audit.RulesChange, Target: "allow-list: " + id, Details: d})
	}
}

func newFindingsAllow() *cobra.Command {
	var a allowFile
	var from, id, owner, reason, expires string
	var group bool
	var m triage.Match
	c := &cobra.Command{
		Use:   "allow --from-finding ID | --rule RULE ...",
		Short: "Put what is known to be harmless on the allow-list",
		Long: `Add an entry to the allow-list. From then on, until it expires, findings that fit it are stored as accepted, with the entry and its owner, and
alert nobody. --from-finding takes rule, tenant, principal, client, server and tool from a finding; a flag given beside it replaces its
part, and '*' lifts it. Every entry has an owner, a reason and an end within a year.

The file is allowlist.yaml in the state folder; it can be edited by hand too, also for maintenance windows: docs/findings.md.
It is in force within seconds, and what is wrong in it changes nothing.`,
		Example: `  mcpsiem findings allow --from-finding 3f2a91 --owner ann --expires 90d --reason "nightly deployment"
  mcpsiem findings allow --from-finding 3f2a91 --principal '*' --owner ann --expires 2026-12-31 --reason "documented API of that server"
  mcpsiem findings allow --rule rate_limit --when 'severity_rank <= 3 && principal startsWith "load-test-"' --owner qa --expires 7d --reason "load test"
  mcpsiem findings allow list
  mcpsiem findings allow remove deploy-3f2a91`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			now := time.Now()
			if owner == "" || reason == "" || expires == "" {
				return withCode(exitUsage, errors.New("--owner, --reason and --expires must be given: who answers for it, why it is harmless, and when it is looked at again"))
			}
			end, err := moment(expires, now)
			if err != nil {
				return withCode(exitUsage, fmt.Errorf("--expires: %w", err))
			}
			if from != "" {
				conn, err := a.store(c.Context())
				if err != nil {
					return err
				}
				defer conn.Close()
				r, err := triage.Get(c.Context(), conn, from)
				if err != nil {
					return err
				}
				narrow(&m, r, group)
				if id == "" {
					id = strings.ToLower(strings.ReplaceAll(r.RuleID, " ", "-")) + "-" + r.ID[:8]
				}
			} else if group {
				return withCode(exitUsage, errors.New("--group needs --from-finding, whose group is meant"))
			}
			if id == "" {
				var b [4]byte
				_, _ = rand.Read(b[:])
				id = now.UTC().Format("entry-20060102-") + hex.EncodeToString(b[:])
			}
			for _, p := range []*string{&m.Rule, &m.Tenant, &m.Principal, &m.Client, &m.Server, &m.Tool} {
				if *p == "*" {
					*p = ""
				}
			}
			e := triage.Entry{ID: id, Match: m, Owner: owner, Reason: reason, Created: now, Expires: end}
			details := map[string]string{"owner": owner, "reason": reason, "expires": end.UTC().Format(time.RFC3339), "rule": m.Rule, "tenant": m.Tenant, "principal": m.Principal,
				"client": m.Client, "server": m.Server, "tool": m.Tool, "group": m.Group, "when": m.When, "severity": strings.Join(m.Severity, ",")}
			if err := triage.Add(a.path(), e, a.recorded(c, "add", id, details)); err != nil {
				return err
			}
			if m.Rule != "" && !strings.Contains(m.Rule, "*") && !isRaiser(c, m.Rule) {
				fmt.Fprintf(c.ErrOrStderr(), "mcpsiem: warning: no rule or detector of this installation is called %q (see `mcpsiem rules list`, docs/detectors)\n", m.Rule)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s until %s: %s\n", id, end.Local().Format(time.DateTime), plain(fitting(m)))
			return nil
		},
	}
	a.bind(c, true, true)
	f := c.Flags()
	f.StringVar(&from, "from-finding", "", "findings like this one `ID`")
	f.BoolVar(&group, "group", false, "with --from-finding: only those of its group, whatever else they are about")
	f.StringVar(&id, "id", "", "`NAME` of the entry (default: made from the finding)")
	f.StringVar(&owner, "owner", "", "`WHO` answers for it")
	f.StringVar(&reason, "reason", "", "`WHY` it is harmless")
	f.StringVar(&expires, "expires", "", "`WHEN` it ends: 2026-12-31, a time, or as in 90d; within a year")
	f.StringVar(&m.Rule, "rule", "", "of this `RULE`; * stands for any characters, as below")
	f.StringVar(&m.Tenant, "tenant", "", "of this `TENANT`")
	f.StringVar(&m.Principal, "principal", "", "about this `PRINCIPAL`")
	f.StringVar(&m.Client, "client", "", "about this `CLIENT`")
	f.StringVar(&m.Server, "server", "", "about this `SERVER`")
	f.StringVar(&m.Tool, "tool", "", "about this `TOOL`")
	f.StringSliceVar(&m.Severity, "severity", nil, "of one of these `SEVERITIES`")
	f.StringVar(&m.When, "when", "", "`CONDITION` over the finding: docs/findings.md")
	c.AddCommand(newAllowList(), newAllowRemove())
	return c
}

// narrow fills from a finding what the command line leaves open.
func narrow(m *triage.Match, r *triage.Row, group bool) {
	fill := func(to *string, v string) {
		// A name with a star in it would be a pattern.
		if *to == "" && !strings.Contains(v, "*") {
			*to = v
		}
	}
	fill(&m.Rule, r.RuleID)
	fill(&m.Tenant, r.Tenant)
	if group {
		m.Group = r.Group
		return
	}
	fill(&m.Principal, r.PrincipalID)
	fill(&m.Client, r.ClientName)
	fill(&m.Server, r.Server)
	fill(&m.Tool, r.Tool)
}

// fitting says in a line what an entry fits.
func fitting(m triage.Match) string {
	var out []string
	for _, x := range [][2]string{{"rule", m.Rule}, {"tenant", m.Tenant}, {"principal", m.Principal}, {"client", m.Client}, {"server", m.Server}, {"tool", m.Tool},
		{"group", m.Group}, {"severity", strings.Join(m.Severity, "|")}, {"when", m.When}} {
		if x[1] != "" {
			out = append(out, x[0]+"="+x[1])
		}
	}
	return strings.Join(out, " ")
}

func newAllowList() *cobra.Command {
	var a allowFile
	var asJSON, all bool
	c := &cobra.Command{
		Use: "list", Short: "List the allow-list and maintenance windows, and check the file", Args: cobra.NoArgs,
		Example: "  mcpsiem findings allow list\n  mcpsiem findings allow list --all --json",
		RunE: func(c *cobra.Command, _ []string) error {
			rules, err := triage.Load(a.path())
			if err != nil {
				return withCode(exitUsage, err)
			}
			now := time.Now()
			type line struct {
				ID      string    `json:"id"`
				Kind    string    `json:"kind"`
				State   string    `json:"state"`
				From    time.Time `json:"from"`
				Until   time.Time `json:"until"`
				Owner   string    `json:"owner"`
				Reason  string    `json:"reason"`
				Fitting string    `json:"fitting"`
			}
			lines := []line{}
			add := func(l line) {
				switch {
				case !now.Before(l.Until):
					l.State = "ended"
				case now.Before(l.From):
					l.State = "to come"
				case l.Kind == "allow" && l.Until.Sub(now) < 7*24*time.Hour:
					l.State = "ends soon"
				default:
					l.State = "in force"
				}
				if all || l.State != "ended" {
					lines = append(lines, l)
				}
			}
			for _, e := range rules.Allow {
				add(line{e.ID, "allow", "", e.Created, e.Expires, e.Owner, e.Reason, fitting(e.Match)})
			}
			for _, w := range rules.Maintenance {
				what := fitting(w.Match)
				if w.Weekly != nil {
					what = strings.TrimSpace(strings.Join(w.Weekly.Days, ",") + " " + w.Weekly.Start + "-" + w.Weekly.End + " " + w.Weekly.Zone + " " + what)
				}
				add(line{w.ID, "maintenance", "", w.From, w.To, w.Owner, w.Reason, what})
			}
			if asJSON {
				return printJSON(c, lines)
			}
			if len(lines) == 0 {
				fmt.Fprintln(os.Stderr, "mcpsiem: nothing is allowed")
				return nil
			}
			tw := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "ID\tKIND\tSTATE\tUNTIL\tOWNER\tFITTING\tREASON")
			for _, l := range lines {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.Kind, l.State, clock(l.Until), plain(l.Owner), dash(plain(l.Fitting)), plain(l.Reason))
			}
			return tw.Flush()
		},
	}
	a.bind(c, false, false)
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	c.Flags().BoolVar(&all, "all", false, "also those that have ended")
	return c
}

func newAllowRemove() *cobra.Command {
	var a allowFile
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "End an entry of the allow-list",
		Long: `End an entry now: findings from now on alert again. It stays in the file as ended, since findings of its time were judged by it; what it
accepted stays accepted.`,
		Example: "  mcpsiem findings allow remove argument_injection-3f2a91b0",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := triage.End(a.path(), args[0], time.Now(), a.recorded(c, "end", args[0], nil)); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s has ended\n", args[0])
			return nil
		},
	}
	a.bind(c, true, false)
	return c
}
