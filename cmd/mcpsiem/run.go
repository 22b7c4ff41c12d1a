package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/setup"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

func newRun() *cobra.Command {
	var files []string
	c := &cobra.Command{
		Use:     "run --config FILE",
		GroupID: "run",
		Short:   "Run pipelines from a configuration file, against NATS and ClickHouse that you run",
		Long: `Run any subset of the pipelines from a Collector configuration. deploy/config holds one for each role (ingest, enrich,
detect, store) and one for all of them; \${env:NAME} and \${file:PATH} are replaced.

The configuration is checked first, as with ` + "`mcpsiem validate`" + `. SIGTERM and Ctrl-C end it in order: nothing new is taken in, what
is in flight is finished, the rest stays in JetStream.`,
		Example: "  mcpsiem run --config deploy/config/enrich.yaml\n  mcpsiem run --config base.yaml --config site.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return withCode(exitUsage, fmt.Errorf("which configuration? give --config FILE (examples in deploy/config)"))
			}
			if err := distro.Validate(c.Context(), files); err != nil {
				return withCode(exitUsage, err)
			}
			return distro.Run(c.Context(), files, func() { fmt.Fprintln(os.Stderr, "mcpsiem: running") })
		},
	}
	c.Long = strings.ReplaceAll(c.Long, `\$`, "$")
	c.Flags().StringArrayVarP(&files, "config", "c", nil, "configuration `FILE`; may be given more than once, later ones over earlier ones")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	return c
}

func newValidate() *cobra.Command {
	var files []string
	var stateDir string
	c := &cobra.Command{
		Use:     "validate --config FILE | --state DIR",
		GroupID: "mend",
		Short:   "Check a configuration without running it",
		Long: `Check a configuration: unknown keys and components, wrong values, pipelines that do not fit together; and what the Collector
would accept but mcpsiem does not, because it loses or leaks data: a batch processor, an in-memory exporter queue, a file
receiver without retries, unredacted content on its way to a store. Each error names file and line. Exit code 2 if there are any.

With --state DIR the operator's files of that state folder are checked instead, as ` + "`mcpsiem up`" + ` does before it starts anything: sinks.yaml by the
rules of each exporter, site.yaml over the generated configuration, retention.yaml.`,
		Example: "  mcpsiem validate --config deploy/config/enrich.yaml\n  mcpsiem validate --state ~/.local/state/mcpsiem",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if stateDir != "" {
				dir, err := filepath.Abs(stateDir)
				if err != nil {
					return err
				}
				there, err := setup.Check(c.Context(), state.Dir(dir))
				if err != nil {
					return withCode(exitUsage, err)
				}
				for _, f := range there {
					fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", f)
				}
				if len(there) == 0 {
					fmt.Fprintf(c.OutOrStdout(), "%s: ok, no sinks.yaml, site.yaml or retention.yaml\n", stateDir)
				}
				if len(files) == 0 {
					return nil
				}
			}
			if len(files) == 0 {
				return withCode(exitUsage, fmt.Errorf("which configuration? give --config FILE, or --state DIR for the files in a state folder"))
			}
			if err := distro.Validate(c.Context(), files); err != nil {
				return withCode(exitUsage, err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", strings.Join(files, ", "))
			return nil
		},
	}
	c.Flags().StringVar(&stateDir, "state", "", "check the operator's files of this state folder `DIR`")
	c.Flags().StringArrayVarP(&files, "config", "c", nil, "configuration `FILE`; may be given more than once")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	return c
}
