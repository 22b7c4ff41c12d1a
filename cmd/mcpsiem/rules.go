package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/detectors"
	"github.com/mcpsiem/mcpsiem/detectors/rule"
	"github.com/mcpsiem/mcpsiem/detectors/rules"
	"github.com/mcpsiem/mcpsiem/internal/backtest"
	"github.com/mcpsiem/mcpsiem/internal/sigma"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

func newRules() *cobra.Command {
	c := &cobra.Command{
		Use:     "rules",
		GroupID: "look",
		Short:   "List, test and check detection rules; run one over history; Sigma in and out",
		Long: `Rules are YAML files with conditions over events (docs/rules.md). Those that come along run by default; a site's own lie in the
folder rules/ of the state folder, and are read again while mcpsiem runs. A file with a fault changes nothing.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newRulesList(), newRulesTest(), newRulesLint(), newRulesDocs(), newRulesBacktest(), newRulesImport(), newRulesExport())
	return c
}

// ruleFlags say which rules a command is about.
type ruleFlags struct {
	stateDir string
	dirs     []string
	own      bool
	asJSON   bool
}

func (f *ruleFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.stateDir, "state", state.Default(), "state folder whose rules are taken `DIR` (env MCPSIEM_STATE)")
	c.Flags().StringSliceVar(&f.dirs, "dir", nil, "folder of rules, instead of that of the state folder `DIR`; may be repeated")
	c.Flags().BoolVar(&f.own, "no-builtin", false, "leave out the rules that come along")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// folders are those that rules are read from.
func (f *ruleFlags) folders() []string {
	if len(f.dirs) > 0 {
		return f.dirs
	}
	return []string{state.Dir(f.stateDir).Rules()}
}

// load compiles the rules; faults are an error.
func (f *ruleFlags) load() (*rule.Set, error) {
	s, p, err := rules.Load(!f.own, f.folders(), detectorIDs()...)
	if err != nil {
		return nil, err
	}
	if len(p) > 0 {
		return nil, withCode(exitCheck, p)
	}
	return s, nil
}

func detectorIDs() []string {
	out := make([]string, len(detectors.All))
	for i := range detectors.All {
		out[i] = detectors.All[i].Spec.ID
	}
	return out
}

func newRulesList() *cobra.Command {
	var f ruleFlags
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the rules with kind, severity and where they are from",
		Example: "  mcpsiem rules list\n  mcpsiem rules list --no-builtin --dir ./rules --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := f.load()
			if err != nil {
				return err
			}
			type row struct {
				ID       string `json:"id"`
				Kind     string `json:"kind"`
				Severity string `json:"severity"`
				Status   string `json:"status"`
				Active   bool   `json:"active"`
				FoundBy  string `json:"found_by"`
				Source   string `json:"source"`
				Title    string `json:"title"`
			}
			out := []row{}
			for _, r := range s.All() {
				out = append(out, row{r.ID, r.Kind, r.Severity.Fixed, r.Status, r.Active(), r.IndexText(), r.Source, r.Title})
			}
			if f.asJSON {
				return printJSON(c, out)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "RULE\tKIND\tSEVERITY\tSTATUS\tSOURCE\tTITLE")
			for _, r := range out {
				status := r.Status
				if !r.Active {
					status += ", off"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Kind, r.Severity, status, r.Source, plain(r.Title))
			}
			return w.Flush()
		},
	}
	f.bind(c)
	return c
}

func newRulesTest() *cobra.Command {
	var f ruleFlags
	c := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run the fixtures of a folder against its rules",
		Long: `Run every fixture (*.detect) of a folder: NAME.detect against the rule NAME, one of another name against all rules of the folder.
Each case runs event by event, as one batch, with every event twice, and with a restart after every event; all must raise the same.
The language of fixtures is in detectors/detecttest/README.md. Exits with 5 if a case fails.`,
		Example: "  mcpsiem rules test\n  mcpsiem rules test ./rules",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				f.dirs = args
			}
			s, err := f.load() // with those that come along: macros, lists and overrides are of both
			if err != nil {
				return err
			}
			var all []rule.FixtureResult
			var untested []string
			for _, d := range f.folders() {
				own := &rule.Set{}
				for _, r := range s.Rules {
					if rel, err := filepath.Rel(d, r.Source); err == nil && !strings.HasPrefix(rel, "..") {
						own.Rules = append(own.Rules, r)
					}
				}
				res, un, err := rule.RunFixtures(d, own)
				if err != nil {
					return err
				}
				all, untested = append(all, res...), append(untested, un...)
			}
			failed := 0
			for _, r := range all {
				if len(r.Problems) > 0 {
					failed++
				}
			}
			if f.asJSON {
				if err := printJSON(c, map[string]any{"cases": all, "failed": failed, "untested": untested}); err != nil {
					return err
				}
			} else {
				for _, r := range all {
					for _, p := range r.Problems {
						fmt.Fprintln(c.OutOrStdout(), p)
					}
				}
				for _, id := range untested {
					fmt.Fprintf(c.OutOrStdout(), "no fixture makes %s fire\n", id)
				}
				fmt.Fprintf(c.OutOrStdout(), "%d cases, %d failed\n", len(all), failed)
			}
			if failed > 0 {
				return withCode(exitCheck, errors.New("fixtures failed"))
			}
			return nil
		},
	}
	f.bind(c)
	return c
}

func newRulesLint() *cobra.Command {
	var f ruleFlags
	c := &cobra.Command{
		Use:   "lint [FILES]",
		Short: "Check rules: faults, and what is right but unwise",
		Long: `Check rule files, or all rules of the state folder. Faults (unknown fields with a suggestion, wrong types, missing keys) are what keeps
a file from being loaded; exits with 5 if there are any. Warnings are what is right but unwise: rules that no index finds, that are
true of every event or of none, that ask for values that no event has, that group everything together, or that an analyst cannot use.`,
		Example: "  mcpsiem rules lint\n  mcpsiem rules lint rules/*.yaml --json",
		RunE: func(c *cobra.Command, args []string) error {
			docs, err := ruleDocuments(args, f.folders())
			if err != nil {
				return err
			}
			own := map[string]bool{}
			for _, d := range docs {
				own[d.Name] = true
			}
			s, faults, err := rules.With(!f.own, docs, detectorIDs()...)
			if err != nil {
				return err
			}
			warnings := rule.Problems{}
			for _, p := range rule.Lint(s) {
				if own[p.File] {
					warnings = append(warnings, p)
				}
			}
			if f.asJSON {
				if err := printJSON(c, map[string]any{"faults": append(rule.Problems{}, faults...), "warnings": warnings}); err != nil {
					return err
				}
			} else {
				for _, p := range faults {
					fmt.Fprintln(c.OutOrStdout(), "fault:", plain(p.String()))
				}
				for _, p := range warnings {
					fmt.Fprintln(c.OutOrStdout(), "warning:", plain(p.String()))
				}
				fmt.Fprintf(c.OutOrStdout(), "%d files, %d faults, %d warnings\n", len(docs), len(faults), len(warnings))
			}
			if len(faults) > 0 {
				return withCode(exitCheck, errors.New("rules have faults"))
			}
			return nil
		},
	}
	f.bind(c)
	return c
}

// ruleDocuments reads files, or where there are none the folders.
func ruleDocuments(files, dirs []string) ([]rule.Document, error) {
	if len(files) == 0 {
		return rule.ReadDirs(dirs)
	}
	var out []rule.Document
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			more, err := rule.ReadDir(name)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		}
		b, err := readLimited(name)
		if err != nil {
			return nil, err
		}
		out = append(out, rule.Document{Name: name, Text: b})
	}
	return out, nil
}

// readLimited reads a file of at most 1 MiB.
func readLimited(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20+1))
	if err == nil && len(b) > 1<<20 {
		err = fmt.Errorf("%s has more than 1 MiB", name)
	}
	return b, err
}

func newRulesDocs() *cobra.Command {
	var f ruleFlags
	var out string
	c := &cobra.Command{
		Use:     "docs",
		Short:   "Write a catalogue of the rules: a page each, and a table",
		Example: "  mcpsiem rules docs --out ./catalogue\n  mcpsiem rules docs --no-builtin --dir ./rules --out ./catalogue",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := f.load()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return fmt.Errorf("cannot make the catalogue's folder: %w", err)
			}
			pages := rule.Pages(s)
			for name, text := range pages {
				if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil {
					return fmt.Errorf("cannot write the catalogue: %w", err)
				}
			}
			fmt.Fprintf(c.OutOrStdout(), "%d pages in %s\n", len(pages), out)
			return nil
		},
	}
	f.bind(c)
	c.Flags().StringVar(&out, "out", "rules-catalogue", "folder to write to `DIR`")
	return c
}

func newRulesBacktest() *cobra.Command {
	var t target
	var dirs []string
	var asJSON bool
	var examples int
	var tenant string
	since := days(7 * 24 * time.Hour)
	c := &cobra.Command{
		Use:   "backtest RULE",
		Short: "Show what a rule would have raised over stored events",
		Long: `Read stored events, as the analyst, in the order in which they came, and give them to one rule: by its id, or a file that has it. Nothing
is raised; what would have been is counted by day and severity, with examples. Rules that learn (first_seen, rare, baseline) begin with
nothing at the first event read: look back further than they learn.`,
		Example: "  mcpsiem rules backtest database_dump --since 30d\n  mcpsiem rules backtest ./new.yaml --since 24h --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f := ruleFlags{stateDir: t.stateDir, dirs: dirs}
			id := args[0]
			docs, err := rule.ReadDirs(f.folders())
			if err != nil {
				return err
			}
			var own *rule.Set
			if strings.HasSuffix(id, ".yaml") || strings.HasSuffix(id, ".yml") {
				b, err := readLimited(id)
				if err != nil {
					return err
				}
				docs = []rule.Document{{Name: id, Text: b}}
			}
			s, p, err := rules.With(true, docs, detectorIDs()...)
			if err != nil {
				return err
			}
			if len(p) > 0 {
				return withCode(exitCheck, p)
			}
			own = s
			r := own.Find(id)
			if strings.HasSuffix(id, ".yaml") || strings.HasSuffix(id, ".yml") {
				for _, x := range own.All() {
					if x.Source == id {
						if r != nil {
							return withCode(exitUsage, fmt.Errorf("%s has several rules: name one by its id, with --dir", id))
						}
						r = x
					}
				}
			}
			if r == nil {
				return withCode(exitUsage, fmt.Errorf("there is no rule %q (see `mcpsiem rules list`)", id))
			}
			in, err := r.Definition().New(nil)
			if err != nil {
				return err
			}
			conn, err := t.store(c.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			now := time.Now()
			res, err := backtest.Run(c.Context(), conn, backtest.Query{Since: now.Add(-time.Duration(since)), Until: now, Tenant: tenant}, in, examples)
			if err != nil {
				return err
			}
			res.OverBudget = r.Health().OverBudget.Load()
			if asJSON {
				return printJSON(c, res)
			}
			w := c.OutOrStdout()
			fmt.Fprintf(w, "%s over %d events of the last %s: looked at %d, %d findings, %d repeats not raised again\n", r.ID, res.Events, since.String(), res.Matched, res.Findings, res.Repeats)
			if res.OverBudget > 0 {
				fmt.Fprintf(w, "%d events were not judged because of what that would have cost\n", res.OverBudget)
			}
			for d := res.Since.UTC().Truncate(24 * time.Hour); !d.After(now); d = d.Add(24 * time.Hour) {
				fmt.Fprintf(w, "  %s  %d\n", d.Format(time.DateOnly), res.ByDay[d.Format(time.DateOnly)])
			}
			for _, x := range res.Examples {
				fmt.Fprintf(w, "  %s  %-13s %s\n", x.Time.Format(time.RFC3339), x.Severity, plain(x.Summary))
			}
			return nil
		},
	}
	t.bind(c, false, true)
	c.Flags().Var(&since, "since", "look back `DURATION`, e.g. 12h, 30d")
	c.Flags().StringVar(&tenant, "tenant", "", "of this `TENANT` only")
	c.Flags().IntVar(&examples, "examples", 10, "show at most `N` findings")
	c.Flags().StringSliceVar(&dirs, "dir", nil, "folder of rules, instead of that of the state folder `DIR`")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newRulesImport() *cobra.Command {
	var out, mapping string
	var asJSON bool
	c := &cobra.Command{
		Use:   "import FILE...",
		Short: "Make rules of Sigma 2.1 files",
		Long: `Read Sigma detection rules, correlations and filters and write a rule for each to the folder --out, or to standard output. What cannot be
carried exactly is refused with its line and the reason, and the exit code is 5; what loses something is a warning. Files that refer to
one another must be given together. Fields and log sources are mapped by schemas/mappings/sigma.yaml and a file given with --mapping.`,
		Example: "  mcpsiem rules import sigma/*.yml --out ~/.local/state/mcpsiem/rules\n  mcpsiem rules import rule.yml --mapping ours.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			docs, err := ruleDocuments(args, nil)
			if err != nil {
				return err
			}
			m, err := sigma.DefaultMapping()
			if err != nil {
				return err
			}
			if mapping != "" {
				b, err := readLimited(mapping)
				if err != nil {
					return err
				}
				more, err := sigma.ReadMapping(b)
				if err != nil {
					return withCode(exitUsage, err)
				}
				m.Extend(more)
			}
			res := sigma.Import(docs, m)
			if out != "" {
				if err := os.MkdirAll(out, 0o700); err != nil {
					return fmt.Errorf("cannot make folder: %w", err)
				}
			}
			var ids []string
			for _, r := range res.Rules {
				text, err := rule.Marshal(r)
				if err != nil {
					return err
				}
				ids = append(ids, r.ID)
				switch {
				case out != "":
					if err := os.WriteFile(filepath.Join(out, r.ID+".yaml"), text, 0o600); err != nil {
						return fmt.Errorf("cannot write a rule: %w", err)
					}
				case !asJSON:
					fmt.Fprintf(c.OutOrStdout(), "---\n%s", text)
				}
			}
			if asJSON {
				v := map[string]any{"rules": ids, "warnings": append(rule.Problems{}, res.Warnings...), "refused": append(rule.Problems{}, res.Refused...)}
				if err := printJSON(c, v); err != nil {
					return err
				}
			} else {
				for _, p := range res.Warnings {
					fmt.Fprintln(os.Stderr, "warning:", plain(p.String()))
				}
				for _, p := range res.Refused {
					fmt.Fprintln(os.Stderr, "refused:", plain(p.String()))
				}
				fmt.Fprintf(os.Stderr, "%d rules, %d warnings, %d refused\n", len(res.Rules), len(res.Warnings), len(res.Refused))
			}
			if len(res.Refused) > 0 {
				return withCode(exitCheck, errors.New("not all could be carried"))
			}
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder to write rules to `DIR`")
	c.Flags().StringVar(&mapping, "mapping", "", "mapping laid over schemas/mappings/sigma.yaml `FILE`")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newRulesExport() *cobra.Command {
	var f ruleFlags
	var asSigma bool
	c := &cobra.Command{
		Use:     "export [RULE...]",
		Short:   "Write rules as Sigma, those that Sigma can say",
		Example: "  mcpsiem rules export --sigma > rules.yml\n  mcpsiem rules export --sigma sampling_burst",
		RunE: func(c *cobra.Command, args []string) error {
			if !asSigma {
				return withCode(exitUsage, errors.New("say to what: --sigma"))
			}
			s, err := f.load()
			if err != nil {
				return err
			}
			list := s.Rules
			if len(args) > 0 {
				list = nil
				for _, id := range args {
					r := s.Find(id)
					if r == nil {
						return withCode(exitUsage, fmt.Errorf("there is no rule %q (see `mcpsiem rules list`)", id))
					}
					list = append(list, r)
				}
			}
			left := 0
			for _, r := range list {
				text, err := sigma.Export(r)
				if err != nil {
					left++
					fmt.Fprintln(os.Stderr, "mcpsiem:", plain(err.Error()))
					continue
				}
				fmt.Fprintf(c.OutOrStdout(), "---\n%s", text)
			}
			fmt.Fprintf(os.Stderr, "%d rules, %d that Sigma cannot say\n", len(list)-left, left)
			if left > 0 && len(args) > 0 {
				return withCode(exitCheck, errors.New("not all could be written"))
			}
			return nil
		},
	}
	f.bind(c)
	c.Flags().BoolVar(&asSigma, "sigma", false, "write Sigma 2.1")
	return c
}
