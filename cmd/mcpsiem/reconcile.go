package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/exporters/ocsf"
	"github.com/mcpsiem/mcpsiem/exporters/parquet"
	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/reconcile"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// reconcileReport is what `reconcile --json` prints for each stream.
type reconcileReport struct {
	Sink   string    `json:"sink"`
	Stream string    `json:"stream"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	reconcile.Result
	Replayed *reconcile.Totals `json:"replayed,omitempty"`
}

func newReconcile() *cobra.Command {
	var t target
	var from, to string
	var replay, asJSON bool
	c := &cobra.Command{
		Use:     "reconcile SINK --from TIME",
		GroupID: "mend",
		Short:   "Compare what a sink holds with the store, and send it what it lacks",
		Long: `Compare, record by record, what the store has of a time with what a sink holds, by the records' ids: Splunk is asked by a search, Elasticsearch
and OpenSearch by queries, ocsf and parquet sinks by reading their files. What the sink's filter holds back is not expected of
it, and what its consumer has not confirmed yet is under way, not missing.

--replay sends the missing records again, those and no others, to this sink alone, as far as the stream still holds them (events
7 days, findings 30, unless set otherwise). Recorded in the audit trail.

Splunk and Elasticsearch need a block ` + "`reconcile`" + ` in sinks.yaml: where to ask, and with which account (docs/sinks/operations.md).
Exit code 5 if something is missing and was not sent again.

TIME is RFC 3339 (2026-01-31T23:00:00Z), a date, or a duration back from now (90m, 36h): the time of the events.`,
		Example: "  mcpsiem reconcile splunk --from 24h\n  mcpsiem reconcile archive --from 2026-01-31 --to 2026-02-01 --replay\n  mcpsiem reconcile elastic --from 6h --json | jq '.[].missing[]'",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := t.sink(c.Context(), args[0])
			if err != nil {
				return err
			}
			begin, end, err := span(from, to)
			if err != nil {
				return withCode(exitUsage, err)
			}
			src, filter, err := sourceOf(c.Context(), s)
			if err != nil {
				return withCode(exitUsage, err)
			}
			reports, err := t.reconcile(c.Context(), s, src, filter, begin, end, replay)
			if err != nil {
				return err
			}
			missing := 0
			for _, r := range reports {
				if r.Replayed == nil {
					missing += len(r.Missing)
				}
			}
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetIndent("", "  ")
				if err := enc.Encode(reports); err != nil {
					return err
				}
			} else {
				for _, r := range reports {
					fmt.Fprintf(c.OutOrStdout(), "%s: %d expected, %d held (%d more than once), %d missing, %d under way, %d not for this sink\n",
						r.Stream, r.Expected, r.Held, r.Twice, len(r.Missing), r.UnderWay, r.Filtered)
					for _, k := range r.Missing[:min(len(r.Missing), 20)] {
						fmt.Fprintln(c.OutOrStdout(), "  missing", k)
					}
					if n := len(r.Missing); n > 20 {
						fmt.Fprintf(c.OutOrStdout(), "  ... and %d more (--json lists all)\n", n-20)
					}
					if r.Replayed != nil {
						fmt.Fprintf(c.OutOrStdout(), "  sent again: %d; %d are no longer in the stream\n", r.Replayed.Records, uint64(len(r.Missing))-min(r.Replayed.Records, uint64(len(r.Missing))))
					}
				}
			}
			if missing > 0 {
				return withCode(exitCheck, fmt.Errorf("sink %s lacks %d records; --replay sends them again", s.Name, missing))
			}
			return nil
		},
	}
	t.bind(c, true, true)
	f := c.Flags()
	f.StringVar(&from, "from", "", "begin at this `TIME` (required)")
	f.StringVar(&to, "to", "", "end before this `TIME`; by default now")
	f.BoolVar(&replay, "replay", false, "send what is missing again")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	_ = c.MarkFlagRequired("from")
	return c
}

func (t *target) reconcile(ctx context.Context, s distro.Sink, src reconcile.Source, filter *sink.Filter, from, to time.Time, replay bool) (out []reconcileReport, err error) {
	cfg, err := t.clickhouse(false)
	if err != nil {
		return nil, err
	}
	conn, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, withCode(exitUnreachable, err)
	}
	defer conn.Close()
	nc, js, err := t.jetstream(ctx, replay)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	for _, c := range s.Consumers() {
		r := reconcileReport{Sink: s.Name, Stream: c.Stream, From: from, To: to}
		kind := reconcile.Events
		if c.Stream == streams.Findings {
			kind = reconcile.Findings
		}
		confirmed, err := confirmedUpTo(ctx, js, c)
		if err != nil {
			return nil, err
		}
		if r.Result, err = reconcile.Compare(ctx, reconcile.FromStore(ctx, conn, kind, from, to, filter), src, kind, from, to, confirmed); err != nil {
			return nil, fmt.Errorf("cannot compare sink %s: %w", s.Name, err)
		}
		if r.Missing == nil {
			r.Missing = []string{}
		}
		if replay && len(r.Missing) > 0 {
			run := strconv.FormatInt(time.Now().UnixNano(), 36)
			if err := audit.Write(ctx, js, audit.Record{Action: audit.SinkReconcile, Target: s.Name, Details: map[string]string{"stream": c.Stream, "run": run,
				"from": from.UTC().Format(time.RFC3339Nano), "to": to.UTC().Format(time.RFC3339Nano), "missing": strconv.Itoa(len(r.Missing))}}); err != nil {
				return nil, err
			}
			// The stream takes an event after it was seen; a tap's clock may be somewhat ahead.
			n, err := reconcile.Run{ID: run, Durable: c.Durable, Keep: func(k string) bool { _, ok := slices.BinarySearch(r.Missing, k); return ok }}.Replay(ctx, js,
				reconcile.Span{Stream: c.Stream, From: from.Add(-time.Hour)})
			if err != nil {
				return nil, err
			}
			r.Replayed = &n
		}
		out = append(out, r)
	}
	return out, nil
}

// confirmedUpTo is the sequence up to which the sink has confirmed everything of the stream.
func confirmedUpTo(ctx context.Context, js jetstream.JetStream, c distro.Consumer) (uint64, error) {
	cons, err := js.Consumer(ctx, c.Stream, c.Durable)
	if err != nil {
		return 0, fmt.Errorf("cannot look up consumer %s of stream %s: %w", c.Durable, c.Stream, err)
	}
	i := cons.CachedInfo()
	if i.NumPending == 0 && i.NumAckPending == 0 { // the floor stays behind messages that are for other consumers
		st, err := js.Stream(ctx, c.Stream)
		if err != nil {
			return 0, fmt.Errorf("cannot look up stream %s: %w", c.Stream, err)
		}
		return st.CachedInfo().State.LastSeq, nil
	}
	return i.AckFloor.Stream, nil
}

// sourceOf is how to ask the sink what it holds, and its filter.
func sourceOf(ctx context.Context, s distro.Sink) (reconcile.Source, *sink.Filter, error) {
	cfg, err := s.ExporterConfig(ctx)
	if err != nil {
		return nil, nil, err
	}
	route := sink.Route{}
	if v := reflect.Indirect(reflect.ValueOf(cfg)).FieldByName("Route"); v.IsValid() {
		route, _ = v.Interface().(sink.Route)
	}
	filter, err := route.Compile()
	if err != nil {
		return nil, nil, err
	}
	switch c := cfg.(type) {
	case *parquet.Config:
		return reconcile.ParquetFiles{Dir: c.Dir}, filter, nil
	case *ocsf.Config:
		if c.File != nil {
			return reconcile.OCSFFiles{Dir: c.File.Dir}, filter, nil
		}
	}
	if s.Type != "splunkhec" && s.Type != "elastic" {
		return nil, nil, fmt.Errorf("sink %s: a %s %w; `mcpsiem replay` sends a time again", s.Name, s.Type, reconcile.ErrNoSource)
	}
	if len(s.Reconcile) == 0 {
		return nil, nil, fmt.Errorf("sink %s has no block reconcile in sinks.yaml that says where to ask and with which account (docs/sinks/operations.md)", s.Name)
	}
	conf, err := distro.Expand(ctx, s.Reconcile)
	if err != nil {
		return nil, nil, err
	}
	var r reconcile.Remote
	if err := conf.Unmarshal(&r); err != nil {
		return nil, nil, fmt.Errorf("sink %s: reconcile: %w", s.Name, err)
	}
	if err := r.Validate(); err != nil {
		return nil, nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	var tc *tls.Config
	if r.CAFile != "" {
		if tc, err = (&configtls.ClientConfig{Config: configtls.Config{CAFile: r.CAFile}}).LoadTLSConfig(ctx); err != nil {
			return nil, nil, fmt.Errorf("sink %s: reconcile: %w", s.Name, err)
		}
	}
	if s.Type == "elastic" {
		return reconcile.Elastic{Remote: r, TLS: tc}, filter, nil
	}
	return reconcile.Splunk{Remote: r, TLS: tc}, filter, nil
}
