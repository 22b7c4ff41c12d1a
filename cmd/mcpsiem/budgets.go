package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/budget"
	"github.com/mcpsiem/mcpsiem/internal/spend"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

func newBudgets() *cobra.Command {
	var t target
	var file, tenant string
	var asJSON, check, validate bool
	c := &cobra.Command{
		Use:     "budgets",
		GroupID: "look",
		Short:   "Show what is spent of each budget, and when it will be used up",
		Long: `Judge each budget of the file by what the store holds of the current day or month (UTC): spent, share, state, the rate of the last
hour (of a day's budget) or day (of a month's), and when the budget is used up at that rate. Amounts are estimates unless a provider
reported its tokens: docs/cost.md says what is exact. The file is described there too; ` + "`mcpsiem up`" + ` takes budgets.yaml of the state folder.`,
		Example: "  mcpsiem budgets --file budgets.yaml\n  mcpsiem budgets --file budgets.yaml --validate\n  mcpsiem budgets --check || page-someone",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				file = state.Dir(t.stateDir).Budgets()
			}
			rules, err := budget.Load(file)
			if errors.Is(err, fs.ErrNotExist) {
				return withCode(exitUsage, fmt.Errorf("%w (write one, see docs/cost.md, or name it with --file)", err))
			}
			if err != nil {
				return withCode(exitUsage, err)
			}
			if validate {
				_, err := fmt.Fprintf(c.OutOrStdout(), "version %s: %d budgets, %d limits\n", plain(rules.Version), len(rules.Budgets), len(rules.Limits))
				return err
			}
			conn, err := t.store(c.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			list, err := spend.Read(c.Context(), conn, rules, tenant, time.Now())
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetIndent("", "  ")
				if list == nil {
					list = []spend.Status{}
				}
				err = enc.Encode(list)
			} else {
				err = spend.Print(c.OutOrStdout(), list, plain, nil)
			}
			if err != nil || !check {
				return err
			}
			for _, s := range list {
				if s.State == budget.Exceeded {
					return withCode(exitCheck, errors.New("a budget is exceeded"))
				}
			}
			return nil
		},
	}
	t.bind(c, false, true)
	f := c.Flags()
	f.StringVar(&file, "file", os.Getenv("MCPSIEM_BUDGETS"), "budget `FILE` (env MCPSIEM_BUDGETS; default budgets.yaml in the state folder)")
	f.StringVar(&tenant, "tenant", "", "of this `TENANT` only")
	f.BoolVar(&asJSON, "json", false, "print a JSON array")
	f.BoolVar(&check, "check", false, "exit 5 if a budget is exceeded")
	f.BoolVar(&validate, "validate", false, "only read the file")
	return c
}
