package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcpsiem/mcpsiem/internal/eval"
)

func newEval() *cobra.Command {
	var o eval.Options
	var asJSON bool
	var rows string
	c := &cobra.Command{
		Use:     "eval --data DIR",
		GroupID: "mend",
		Short:   "Measure the detectors on labelled data",
		Long: `Pass a folder of labelled messages, tool definitions, sessions and texts through the pipeline's stages and detectors, all with
their defaults and in this process, and print for each kind of rows how many were raised, by subtype and by detector, with a 95 %
interval. A hit is a finding of medium severity or worse. Nothing is stored or sent; nothing of the rows' content is printed.
docs/detection-quality.md has the layout of the folder, what each slice counts, and the figures of this version.

Rows that are not what their file should hold are counted, reported and passed over.`,
		Example: `  mcpsiem eval --data ~/detection-data
  mcpsiem eval --data ~/detection-data --json --rows rows.jsonl > report.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if o.Data == "" {
				return withCode(exitUsage, errors.New("--data is missing: name the folder of labelled data"))
			}
			if rows != "" {
				f, err := os.Create(rows)
				if err != nil {
					return withCode(exitUsage, fmt.Errorf("cannot write rows: %w", err))
				}
				o.Rows = f
				defer func() {
					if e := f.Close(); e != nil && err == nil {
						err = fmt.Errorf("cannot write rows: %w", e)
					}
				}()
			}
			progress := term.IsTerminal(int(os.Stderr.Fd()))
			if progress {
				o.Progress = func(file string, n int64) { fmt.Fprintf(os.Stderr, "\r\x1b[K%d rows, %s", n, file) }
			}
			r, err := eval.Run(c.Context(), o)
			if progress {
				fmt.Fprint(os.Stderr, "\r\x1b[K")
			}
			switch {
			case errors.Is(err, eval.ErrNoData), errors.Is(err, os.ErrNotExist):
				return withCode(exitUsage, err)
			case err != nil:
				return err
			}
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(r)
			}
			return r.Write(c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&o.Data, "data", "", "the folder of labelled data `DIR`")
	f.StringVar(&rows, "rows", "", "write a JSON line for each row: id, slice, hit, detectors, severities `FILE`")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
