package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/reconcile"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// replayReport is what `replay --json` prints for each stream.
type replayReport struct {
	Sink   string           `json:"sink"`
	Stream string           `json:"stream"`
	From   time.Time        `json:"from"`
	To     time.Time        `json:"to"`
	Found  reconcile.Totals `json:"found"`
	Sent   reconcile.Totals `json:"sent"`
	DryRun bool             `json:"dry_run"`
}

func newReplay() *cobra.Command {
	var t target
	var name, from, to, stream, run string
	var dryRun, asJSON bool
	c := &cobra.Command{
		Use:     "replay --sink NAME --from TIME",
		GroupID: "mend",
		Short:   "Give a sink again what it got, or should have got, in a time",
		Long: `Send the batches that the streams took between two times to one sink again, and to no other: its index was lost, its
settings were wrong, it is new. Streams keep events for 7 days and findings for 30, unless set otherwise.

The sink's filter, masks and delivery are those of any batch. What the other side already has it gets twice, unless it recognises
repetitions by id (docs/sinks/operations.md says which do); ` + "`mcpsiem reconcile`" + ` sends only what is missing. Every replay is recorded in the
audit trail first. If it is interrupted, repeat it with the --run that it printed: nothing is sent twice within two hours.

TIME is RFC 3339 (2026-01-31T23:00:00Z), a date, or a duration back from now (90m, 36h).`,
		Example: "  mcpsiem replay --sink splunk --from 2h --dry-run\n  mcpsiem replay --sink archive --from 2026-01-31T00:00:00Z --to 2026-02-01T00:00:00Z --stream events",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := t.sink(c.Context(), name)
			if err != nil {
				return err
			}
			begin, end, err := span(from, to)
			if err != nil {
				return withCode(exitUsage, err)
			}
			if run == "" {
				run = strconv.FormatInt(time.Now().UnixNano(), 36)
			}
			nc, js, err := t.jetstream(c.Context(), true)
			if err != nil {
				return err
			}
			defer nc.Close()
			var reports []replayReport
			for _, cons := range s.Consumers() {
				if stream != "" && streamName(stream) != cons.Stream {
					continue
				}
				r := replayReport{Sink: s.Name, Stream: cons.Stream, From: begin, To: end, DryRun: dryRun}
				if r.Found, err = reconcile.Count(c.Context(), js, reconcile.Span{Stream: cons.Stream, From: begin, To: end}); err != nil {
					return err
				}
				if !asJSON {
					fmt.Fprintf(c.OutOrStdout(), "%s: %d events in %d batches from %s to %s\n", cons.Stream, r.Found.Records, r.Found.Messages,
						begin.Local().Format(time.DateTime), end.Local().Format(time.DateTime))
				}
				reports = append(reports, r)
			}
			if len(reports) == 0 {
				return withCode(exitUsage, errors.New("the sink does not read this stream"))
			}
			for i := range reports {
				r := &reports[i]
				if dryRun || r.Found.Messages == 0 {
					continue
				}
				durable := ""
				for _, cons := range s.Consumers() {
					if cons.Stream == r.Stream {
						durable = cons.Durable
					}
				}
				if err := audit.Write(c.Context(), js, audit.Record{Action: audit.SinkReplay, Target: s.Name, Details: map[string]string{
					"stream": r.Stream, "from": begin.UTC().Format(time.RFC3339Nano), "to": end.UTC().Format(time.RFC3339Nano), "run": run,
					"batches": strconv.FormatUint(r.Found.Messages, 10), "records": strconv.FormatUint(r.Found.Records, 10)}}); err != nil {
					return err
				}
				last := time.Now()
				r.Sent, err = reconcile.Run{ID: run, Durable: durable, Progress: func(n reconcile.Totals) {
					if now := time.Now(); now.Sub(last) > 2*time.Second {
						last = now
						fmt.Fprintf(c.ErrOrStderr(), "%s: %d of %d batches\n", r.Stream, n.Messages, r.Found.Messages)
					}
				}}.Replay(c.Context(), js, reconcile.Span{Stream: r.Stream, From: begin, To: end})
				if err != nil {
					return fmt.Errorf("%w (to go on: the same command with --run %s)", err, run)
				}
				if !asJSON {
					fmt.Fprintf(c.OutOrStdout(), "%s: sent %d events in %d batches to %s (run %s); `mcpsiem status` shows how far it is\n", r.Stream, r.Sent.Records, r.Sent.Messages, durable, run)
				}
			}
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(reports)
			}
			return nil
		},
	}
	t.bind(c, true, false)
	f := c.Flags()
	f.StringVar(&name, "sink", "", "the sink of sinks.yaml `NAME` (required)")
	f.StringVar(&from, "from", "", "begin at this `TIME` (required)")
	f.StringVar(&to, "to", "", "end before this `TIME`; by default now")
	f.StringVar(&stream, "stream", "", "only this stream: events or findings `STREAM`")
	f.StringVar(&run, "run", "", "go on with an interrupted replay `RUN`")
	f.BoolVar(&dryRun, "dry-run", false, "count and send nothing")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	_ = c.MarkFlagRequired("sink")
	_ = c.MarkFlagRequired("from")
	return c
}

func streamName(s string) string {
	switch s {
	case "events":
		return streams.Events
	case "findings":
		return streams.Findings
	}
	return s
}

// span reads two times; an empty to is now.
func span(from, to string) (a, b time.Time, err error) {
	now := time.Now()
	if a, err = momentOf(from, now); err != nil {
		return a, b, fmt.Errorf("--from: %w", err)
	}
	b = now
	if to != "" {
		if b, err = momentOf(to, now); err != nil {
			return a, b, fmt.Errorf("--to: %w", err)
		}
	}
	if !a.Before(b) {
		return a, b, errors.New("--from must be before --to")
	}
	return a, b, nil
}

// moment reads RFC 3339, a date (UTC), or a duration back from now.
func momentOf(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, errors.New("a time is like 2026-01-31T23:00:00Z, 2026-01-31, or 90m (back from now)")
}
