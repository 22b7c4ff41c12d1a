package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcpsiem/mcpsiem/internal/ingest"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

func newIngest() *cobra.Command {
	var t target
	var endpoint, tokenFile string
	var asJSON bool
	var o ingest.Options
	c := &cobra.Command{
		Use:     "ingest FILE|-",
		GroupID: "run",
		Short:   "Load a file of events, one JSON object a line",
		Long: `Send a file of events in mcpsiem's JSON form (docs/event.md, schemas/event.schema.json) to a running mcpsiem, or to any OTLP
endpoint. Ids come from the content, so loading a file twice stores each event once. A line that is not an event is
reported by number, without its content, and passed over, unless --strict; the exit code is 5 then. When it stops early it says from which line to go on.`,
		Example: `  mcpsiem ingest gateway.jsonl
  zcat old.jsonl.gz | mcpsiem ingest -
  mcpsiem ingest --endpoint https://collector.example.com --token-file token gateway.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if endpoint == "" {
				d, e, err := t.resolve()
				if err != nil {
					return err
				}
				endpoint = "http://" + e.OTLPHTTP
				if tokenFile == "" {
					tokenFile = d.Secret(state.SecretOTLPToken)
				}
			}
			token, err := readPassword(tokenFile)
			if err != nil {
				return err
			}
			in := io.Reader(os.Stdin)
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return withCode(exitUsage, fmt.Errorf("cannot open file: %w", err))
				}
				defer f.Close()
				in = f
			}
			o.Endpoint, o.Token = endpoint, token
			o.Bad = func(b ingest.BadLine) { fmt.Fprintf(c.ErrOrStderr(), "line %d: %s\n", b.Line, b.Reason) }
			progress := term.IsTerminal(int(os.Stderr.Fd()))
			if progress {
				o.Progress = func(n ingest.Counts) { fmt.Fprintf(os.Stderr, "\r%d lines, %d sent", n.Lines, n.Sent) }
			}
			n, err := ingest.Run(c.Context(), in, o)
			if progress {
				fmt.Fprintln(os.Stderr)
			}
			if asJSON {
				_ = json.NewEncoder(c.OutOrStdout()).Encode(map[string]int64{"lines": n.Lines, "sent": n.Sent, "bad": n.Bad, "rejected": n.Rejected, "skipped": n.Skipped})
			} else {
				fmt.Fprintf(c.OutOrStdout(), "%d %s: %d %s sent, %d not events\n", n.Lines, plural(int(n.Lines), "line", "lines"), n.Sent, plural(int(n.Sent), "event", "events"), n.Bad)
			}
			var stopped *ingest.Error
			if errors.As(err, &stopped) {
				return fmt.Errorf("%w; go on with --from-line %d", err, stopped.Line)
			}
			if err == nil && n.Bad > 0 {
				return withCode(exitCheck, fmt.Errorf("%d %s passed over", n.Bad, plural(int(n.Bad), "line", "lines")))
			}
			return err
		},
	}
	t.bind(c, false, false)
	f := c.Flags()
	f.StringVar(&endpoint, "endpoint", "", "send to this OTLP endpoint instead of the local one `URL`")
	f.StringVar(&tokenFile, "token-file", "", "file with the bearer token `FILE`")
	f.Int64Var(&o.FromLine, "from-line", 1, "start at this line `N`")
	f.BoolVar(&o.Strict, "strict", false, "stop at the first line that is not an event")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
