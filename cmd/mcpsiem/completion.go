// What the Tab key offers: for flags and arguments the values that exist, in the state folder, in the store or in the program. It asks nobody for
// long, changes nothing, and says nothing where it cannot know.

package main

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mcpsiem/mcpsiem/detectors/rules"
	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/roles"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/triage"
	"github.com/mcpsiem/mcpsiem/schemas/compliance"
)

// choices are the values that can stand in a place; a tab in one divides it from what it means.
type choices func(c *cobra.Command) []string

const completionPatience = 2 * time.Second

func fixed(values ...string) choices { return func(*cobra.Command) []string { return values } }

// stored asks the store for one column of text, or two: a value and what it means.
func stored(sql string) choices {
	return func(c *cobra.Command) []string {
		flag := func(name string) string {
			if f := c.Flags().Lookup(name); f != nil {
				return f.Value.String()
			}
			return ""
		}
		t := target{stateDir: stateOf(c), chAddr: flag("clickhouse"), chUser: flag("clickhouse-user"), chPasswordFile: flag("clickhouse-password-file"), chDatabase: flag("database")}
		if t.chDatabase == "" {
			t.chDatabase = "mcpsiem"
		}
		ctx, cancel := context.WithTimeout(c.Context(), completionPatience)
		defer cancel()
		conn, err := t.store(ctx)
		if err != nil {
			return nil
		}
		defer conn.Close()
		var out []string
		rows := []struct {
			Value   string `ch:"value"`
			Meaning string `ch:"meaning"`
		}{}
		if conn.Select(ctx, &rows, sql) != nil {
			return nil
		}
		for _, r := range rows {
			out = append(out, described(r.Value, r.Meaning))
		}
		return out
	}
}

func described(value, meaning string) string {
	if meaning == "" {
		return plain(value)
	}
	return plain(value) + "\t" + plain(meaning)
}

func distinct(column string) choices {
	return stored("SELECT DISTINCT toString(" + column + ") AS value, '' AS meaning FROM events WHERE value != '' ORDER BY value LIMIT 500")
}

func findings(condition string) choices {
	return stored("SELECT substring(replaceAll(toString(finding_id), '-', ''), 1, 12) AS value, concat(severity, ' ', rule_id, ': ', title) AS meaning FROM mcp_findings WHERE " +
		condition + " ORDER BY severity_rank DESC, last_seen DESC LIMIT 200")
}

func stateOf(c *cobra.Command) string {
	if f := c.Flags().Lookup("state"); f != nil && f.Value.String() != "" {
		return f.Value.String()
	}
	return state.Default()
}

func ruleIDs(c *cobra.Command) (out []string) {
	s, _, err := rules.Load(true, []string{state.Dir(stateOf(c)).Rules()}, detectorIDs()...)
	if err != nil {
		return nil
	}
	for _, r := range s.All() {
		out = append(out, described(r.ID, r.Title))
	}
	return out
}

// raisers are rules and detectors: what a finding can be of.
func raisers(c *cobra.Command) []string {
	out := append(ruleIDs(c), detectorIDs()...)
	slices.Sort(out)
	return out
}

func isRaiser(c *cobra.Command, id string) bool {
	return slices.ContainsFunc(raisers(c), func(v string) bool { name, _, _ := strings.Cut(v, "\t"); return name == id })
}

func sinkNames(c *cobra.Command) (out []string) {
	list, _ := distro.ReadSinks(state.Dir(stateOf(c)).Sinks())
	for _, s := range list {
		out = append(out, described(s.Name, s.Type))
	}
	return out
}

func accounts(c *cobra.Command) (out []string) {
	list, _ := roles.Read(state.Dir(stateOf(c)).Roles())
	for _, a := range list {
		out = append(out, described(a.Name, a.Role))
	}
	return out
}

func allowed(c *cobra.Command) (out []string) {
	r, err := triage.Load(state.Dir(stateOf(c)).AllowList())
	if err != nil {
		return nil
	}
	for _, e := range r.Allow {
		out = append(out, described(e.ID, e.Reason))
	}
	return out
}

func frameworks(*cobra.Command) (out []string) {
	all, _ := compliance.All()
	for _, f := range all {
		out = append(out, described(f.ID, f.Title))
	}
	return out
}

func controls(c *cobra.Command) []string {
	f, err := compliance.Find(c.Flag("framework").Value.String())
	if err != nil {
		return nil
	}
	return f.ControlIDs()
}

func statuses() (out []string) {
	for _, s := range []triage.Status{triage.Open, triage.Acknowledged, triage.Resolved, triage.FalsePositive, triage.Accepted} {
		out = append(out, string(s))
	}
	return append(out, "all")
}

func formatNames(*cobra.Command) (out []string) {
	for f := range formats {
		out = append(out, f)
	}
	slices.Sort(out)
	return out
}

// flagValues are the values of flags by name, for all commands that have one of that name.
var flagValues = map[string]choices{
	"tenant": distinct("tenant"), "principal": distinct("principal_id"), "subject": distinct("principal_id"), "server": distinct("server"), "tool": distinct("tool"),
	"client": distinct("client_name"), "rule": raisers, "from-finding": findings("1"), "framework": frameworks, "control": controls,
	"severity": fixed(triage.Severities...), "status": fixed(statuses()...), "format": formatNames, "by": fixed("server", "client", "conversation"),
	"role": fixed("analyst\ta tenant's rows, or all", "auditor\tmetadata, not what messages said", "admin\teverything"), "stream": fixed("events", "findings"),
	"retention": fixed(presetNames()...), "key": fixed("seal", "jetstream"),
}

// argValues are the values of arguments by command.
var argValues = map[string]choices{
	"findings show": findings("1"), "findings ack": findings("status = 'open'"), "findings resolve": findings("is_open"), "findings accept": findings("is_open"),
	"findings false-positive": findings("is_open"), "findings reopen": findings("NOT is_open"), "findings allow remove": allowed,
	"sink test": sinkNames, "reconcile": sinkNames, "roles remove": accounts, "roles sql": accounts, "rules backtest": ruleIDs, "rules export": ruleIDs,
	"hold show": holds(""), "hold release": holds("HAVING argMax(released_at, revision) = 0"), "approve": distinct("server"),
}

func holds(having string) choices {
	return stored("SELECT hold_id AS value, argMax(matter, revision) AS meaning FROM holds GROUP BY tenant, hold_id " + having + " ORDER BY value LIMIT 200")
}

// takesFiles are the commands whose arguments are files.
var takesFiles = regexp.MustCompile(`^(ingest|evidence verify|rules (backtest|lint|import|test)|man)$`)

// complete teaches a tree of commands what Tab offers.
func complete(root *cobra.Command) {
	each(root, func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
		if c.Runnable() && c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 && !strings.HasPrefix(path, "completion") && path != "help" {
			c.ValidArgsFunction = completeArgs(path)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if _, set := c.GetFlagCompletionFunc(f.Name); set || f.Value.Type() == "bool" || f.Annotations[cobra.BashCompFilenameExt] != nil {
				return
			}
			_ = c.RegisterFlagCompletionFunc(f.Name, completeFlag(path, f))
		})
	})
}

func completeArgs(path string) cobra.CompletionFunc {
	values, files := argValues[path], takesFiles.MatchString(path)
	return func(c *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var out []string
		switch {
		case path == "approve" && len(args) > 0:
			for _, v := range stored("SELECT DISTINCT tool AS value, server AS meaning FROM events WHERE tool != '' ORDER BY value LIMIT 1000")(c) {
				if tool, server, _ := strings.Cut(v, "\t"); server == plain(args[0]) {
					out = append(out, tool)
				}
			}
		case values != nil:
			out = values(c)
		}
		if files {
			return matching(out, args, prefix), cobra.ShellCompDirectiveDefault
		}
		return matching(out, args, prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

func completeFlag(path string, f *pflag.Flag) cobra.CompletionFunc {
	values := flagValues[f.Name]
	if f.Name == "sink" && path != "init" {
		values = sinkNames
	}
	arg, _ := metavar(f)
	list := strings.HasSuffix(f.Value.Type(), "Slice")
	return func(c *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch {
		case values != nil && list: // several, divided by commas: what is there stays
			head := prefix[:strings.LastIndex(prefix, ",")+1]
			out := matching(values(c), strings.Split(head, ","), prefix[len(head):])
			for i := range out {
				out[i] = head + out[i]
			}
			return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		case values != nil:
			return matching(values(c), nil, prefix), cobra.ShellCompDirectiveNoFileComp
		case arg == "DIR":
			return nil, cobra.ShellCompDirectiveFilterDirs
		case strings.Contains(arg, "FILE"), arg == "GLOB", arg == "STRING":
			return nil, cobra.ShellCompDirectiveDefault
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// matching are the values that begin so and are not given yet.
func matching(values, given []string, prefix string) (out []string) {
	for _, v := range values {
		value, _, _ := strings.Cut(v, "\t")
		if strings.HasPrefix(value, prefix) && !slices.Contains(given, value) {
			out = append(out, v)
		}
	}
	return out
}
