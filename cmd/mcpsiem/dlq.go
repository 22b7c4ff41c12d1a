package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func newDLQ() *cobra.Command {
	c := &cobra.Command{
		Use:     "dlq",
		GroupID: "mend",
		Short:   "Look at dead letters and send them again",
		Long: `A dead letter is a batch that a stage could not take and never will as it is: a schema that does not fit, a batch that
cannot be decoded. Each names its stream, the stage (sink) that gave up, and a reason without content. A batch that was not yet
redacted is kept apart, encrypted, for three days, and is never shown.`,
	}
	c.AddCommand(newDLQList(), newDLQShow(), newDLQReplay())
	return c
}

func newDLQList() *cobra.Command {
	var t target
	var asJSON bool
	var sink string
	c := &cobra.Command{
		Use: "list", Short: "List dead letters, oldest first", Args: cobra.NoArgs,
		Example: "  mcpsiem dlq list\n  mcpsiem dlq list --sink clickhouse --json",
		RunE: func(c *cobra.Command, _ []string) error {
			nc, js, err := t.jetstream(c.Context(), false)
			if err != nil {
				return err
			}
			defer nc.Close()
			tw := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			n := 0
			for d, err := range streams.DeadLetters(c.Context(), js, 0) {
				if err != nil {
					return err
				}
				if sink != "" && d.Sink != sink {
					continue
				}
				if asJSON {
					if err := json.NewEncoder(c.OutOrStdout()).Encode(letterJSON(d)); err != nil {
						return err
					}
					continue
				}
				if n++; n == 1 {
					fmt.Fprintln(tw, "LETTER\tTIME\tSINK\tSTREAM\tEVENTS\tREASON\t")
				}
				fmt.Fprintf(tw, "%d\t%s\t%s\t%s:%d\t%d\t%s\t\n", d.Seq, d.Time.Local().Format(time.DateTime), d.Sink, d.Stream, d.StreamSeq, d.Count, d.Reason)
			}
			if n == 0 && !asJSON {
				fmt.Fprintln(tw, "no dead letters")
			}
			return tw.Flush()
		},
	}
	t.bind(c, true, false)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	c.Flags().StringVar(&sink, "sink", "", "only those of this stage `NAME`")
	return c
}

// letterJSON is the stable JSON form of a dead letter.
func letterJSON(d streams.DeadLetter) map[string]any {
	return map[string]any{"letter": d.Seq, "time": d.Time.UTC().Format(time.RFC3339Nano), "sink": d.Sink, "stream": d.Stream,
		"stream_sequence": d.StreamSeq, "events": d.Count, "bytes": d.Size, "reason": d.Reason, "unredacted": d.KeptSeq != 0}
}

func newDLQShow() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "show LETTER", Short: "Show a dead letter and the redacted events in it, as JSON", Args: cobra.ExactArgs(1),
		Example: "  mcpsiem dlq show 7",
		RunE: func(c *cobra.Command, args []string) error {
			seq, err := letterArg(args[0])
			if err != nil {
				return err
			}
			nc, js, err := t.jetstream(c.Context(), false)
			if err != nil {
				return err
			}
			defer nc.Close()
			d, err := streams.ShowDead(c.Context(), js, seq)
			if err != nil {
				return err
			}
			if err := json.NewEncoder(c.OutOrStdout()).Encode(letterJSON(d)); err != nil {
				return err
			}
			if d.KeptSeq != 0 {
				fmt.Fprintln(c.ErrOrStderr(), "its events are not redacted yet and are not shown")
				return nil
			}
			body, encoding, err := streams.Body(c.Context(), js, seq)
			if err != nil {
				return err
			}
			ld, err := streams.Decode(body, encoding)
			if err != nil {
				fmt.Fprintln(c.ErrOrStderr(), "its events cannot be shown:", err)
				return nil
			}
			p := printer{w: c.OutOrStdout(), json: true}
			return p.print(ld)
		},
	}
	t.bind(c, true, false)
	return c
}

func newDLQReplay() *cobra.Command {
	var t target
	var all, dryRun bool
	var sink string
	c := &cobra.Command{
		Use: "replay LETTER...|--all", Short: "Send dead letters to the stage that gave up, again",
		Long: `Send dead letters again, for the stage that gave up and no other, once what was wrong is mended; then remove them. What a
store already has is not stored twice: events carry ids.`,
		Example: "  mcpsiem dlq replay 4 7\n  mcpsiem dlq replay --all --sink clickhouse",
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return withCode(exitUsage, errors.New("name dead letters by number, or give --all"))
			}
			var seqs []uint64
			for _, a := range args {
				seq, err := letterArg(a)
				if err != nil {
					return err
				}
				seqs = append(seqs, seq)
			}
			nc, js, err := t.jetstream(c.Context(), true)
			if err != nil {
				return err
			}
			defer nc.Close()
			if all {
				for d, err := range streams.DeadLetters(c.Context(), js, 0) {
					if err != nil {
						return err
					}
					if sink == "" || d.Sink == sink {
						seqs = append(seqs, d.Seq)
					}
				}
			}
			failed := 0
			for _, seq := range seqs {
				if dryRun {
					fmt.Fprintf(c.OutOrStdout(), "would replay %d\n", seq)
					continue
				}
				if err := audit.Write(c.Context(), js, audit.Record{Action: audit.DeadLetterReplay, Target: strconv.FormatUint(seq, 10)}); err != nil {
					return err
				}
				if _, err := streams.Replay(c.Context(), js, seq); err != nil {
					failed++
					fmt.Fprintln(c.ErrOrStderr(), err)
					continue
				}
				fmt.Fprintf(c.OutOrStdout(), "replayed %d\n", seq)
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d dead letters could not be replayed", failed, len(seqs))
			}
			return nil
		},
	}
	t.bind(c, true, false)
	c.Flags().BoolVar(&all, "all", false, "all of them")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be sent")
	c.Flags().StringVar(&sink, "sink", "", "with --all: only those of this stage `NAME`")
	return c
}

func letterArg(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return 0, withCode(exitUsage, fmt.Errorf("%q is not the number of a dead letter (see `mcpsiem dlq list`)", s))
	}
	return n, nil
}
