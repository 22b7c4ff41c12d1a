package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// report is what `status --json` prints.
type report struct {
	Streams    []streamStatus `json:"streams"`
	Accounting []accounting   `json:"accounting"`
	Balanced   bool           `json:"balanced"` // every sink: received = stored + dead-lettered, nothing under way
	Taps       []tapStatus    `json:"taps"`
	Seal       []sealStatus   `json:"seal"`
	Sinks      []sinkStatus   `json:"sinks"`              // of sinks.yaml
	Problems   []string       `json:"problems,omitempty"` // what does not answer or is not right
}

type streamStatus struct {
	Name      string           `json:"name"`
	Messages  uint64           `json:"messages"` // batches
	Bytes     uint64           `json:"bytes"`
	FirstSeq  uint64           `json:"first_seq"`
	LastSeq   uint64           `json:"last_seq"`
	Consumers []consumerStatus `json:"consumers"`
}

type consumerStatus struct {
	Name        string `json:"name"`
	Lag         uint64 `json:"lag"`           // batches not yet delivered
	InFlight    int    `json:"in_flight"`     // delivered, not yet acknowledged
	Redelivered int    `json:"redelivered"`   // of them, delivered before
	AckedUpTo   uint64 `json:"acked_up_to"`   // stream sequence
	LastAcked   string `json:"last_acked"`    // RFC 3339; empty if never
	OldestAgeMs int64  `json:"oldest_age_ms"` // age of the oldest batch that is not acknowledged; 0 if none

	oldestSeq uint64 // that batch's stream sequence
}

// accounting is one row of the view of that name.
type accounting struct {
	Sink         string `json:"sink" ch:"sink"`
	Stream       string `json:"stream" ch:"stream"`
	Received     uint64 `json:"received" ch:"received"`
	Stored       uint64 `json:"stored" ch:"stored"`
	DeadLettered uint64 `json:"dead_lettered" ch:"dead_lettered"`
	Difference   int64  `json:"difference" ch:"difference"` // received - stored - dead-lettered: under way, or lost
}

type tapStatus struct {
	Tap       string    `json:"tap" ch:"tap_id"`
	Server    string    `json:"server" ch:"server"`
	LastSeen  time.Time `json:"last_seen" ch:"last_seen"`
	Events    uint64    `json:"events" ch:"events"`
	Missing   int64     `json:"missing" ch:"missing"`     // sequence numbers that never arrived
	Explained int64     `json:"explained" ch:"explained"` // of them, reported as lost by the tap itself
}

// sealStatus is one row of the view seal_status.
type sealStatus struct {
	Tenant       string    `json:"tenant" ch:"tenant"`
	Stored       uint64    `json:"stored" ch:"stored"` // events and findings
	Sealed       uint64    `json:"sealed" ch:"sealed"` // of them
	Leaves       uint64    `json:"leaves" ch:"leaves"` // in the tenant's log, by its newest checkpoint
	CheckpointAt time.Time `json:"checkpoint_at" ch:"checkpoint_at"`
}

func newStatus() *cobra.Command {
	var t target
	var asJSON, check bool
	c := &cobra.Command{
		Use:     "status",
		GroupID: "look",
		Short:   "Show streams, lag, accounting of every sink, taps and their gaps",
		Long: `Show whether everything flows and nothing is lost.

Streams: how many batches each holds and how far behind each consumer is. Accounting, for each sink: events received =
stored + dead-lettered; a difference is under way while there is lag, and lost otherwise. Other systems, as sinks.yaml names
them: what each received, delivered, held back by its filter, repeated and gave up by reason, how many events wait and since when. Taps: when each was last heard, and
sequence numbers that are missing from its events (a gap), explained where the tap itself reported the loss.`,
		Example: "  mcpsiem status\n  mcpsiem status --json | jq .accounting\n  mcpsiem status --check || page-someone",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := t.report(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(r)
			} else {
				err = r.print(c.OutOrStdout())
			}
			if err == nil && check && (!r.Balanced || len(r.Problems) > 0) {
				return withCode(exitCheck, errors.New("not everything is well"))
			}
			return err
		},
	}
	t.bind(c, true, true)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&check, "check", false, "exit 5 if something is wrong")
	return c
}

// report gathers from streams and store; a part that does not answer is named in Problems.
func (t *target) report(ctx context.Context) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var r report
	if _, _, err := t.resolve(); err != nil {
		return r, err
	}
	if err := t.streamStatus(ctx, &r); err != nil {
		r.Problems = append(r.Problems, "streams: "+err.Error())
	}
	list, err := t.sinks(ctx)
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	r.Sinks = sinkStatuses(list, &r, t.sinkCounters(ctx))
	if err := t.storeStatus(ctx, &r); err != nil {
		r.Problems = append(r.Problems, "store: "+err.Error())
	}
	lag := slices.ContainsFunc(r.Streams, func(s streamStatus) bool {
		return slices.ContainsFunc(s.Consumers, func(c consumerStatus) bool { return c.Lag > 0 || c.InFlight > 0 })
	})
	r.Balanced = len(r.Problems) == 0 && !lag && len(r.Accounting) > 0
	for _, a := range r.Accounting {
		if a.Difference != 0 {
			r.Balanced = false
			if a.Difference > 0 && !lag { // below 0 the ledger has yet to count what is stored already
				r.Problems = append(r.Problems, fmt.Sprintf("sink %s: %d events of %s are neither stored nor dead-lettered", a.Sink, a.Difference, a.Stream))
			}
		}
		if a.DeadLettered > 0 {
			r.Problems = append(r.Problems, fmt.Sprintf("sink %s: %d events of %s are dead-lettered, see `mcpsiem dlq list`", a.Sink, a.DeadLettered, a.Stream))
		}
	}
	r.Problems = append(r.Problems, sinkProblems(r.Sinks)...)
	for _, tap := range r.Taps {
		if n := tap.Missing - tap.Explained; n > 0 {
			r.Problems = append(r.Problems, fmt.Sprintf("tap %s: %d events are missing without an explanation", tap.Tap, n))
		}
	}
	return r, nil
}

func (t *target) streamStatus(ctx context.Context, r *report) error {
	nc, js, err := t.jetstream(ctx, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	for _, name := range []string{streams.Raw, streams.Events, streams.Findings, streams.Dead} {
		s, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot read stream %s: %w", name, err)
		}
		info := s.CachedInfo()
		st := streamStatus{Name: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq}
		consumers := s.ListConsumers(ctx)
		for ci := range consumers.Info() {
			cs := consumerStatus{Name: ci.Name, Lag: ci.NumPending, InFlight: ci.NumAckPending, Redelivered: ci.NumRedelivered, AckedUpTo: ci.AckFloor.Stream}
			if ci.AckFloor.Last != nil {
				cs.LastAcked = ci.AckFloor.Last.UTC().Format(time.RFC3339)
			}
			if (cs.Lag > 0 || cs.InFlight > 0) && name != streams.Raw {
				if m, err := s.GetMsg(ctx, max(cs.AckedUpTo+1, info.State.FirstSeq)); err == nil {
					cs.OldestAgeMs, cs.oldestSeq = time.Since(m.Time).Milliseconds(), m.Sequence
				}
			}
			st.Consumers = append(st.Consumers, cs)
		}
		if err := consumers.Err(); err != nil {
			return fmt.Errorf("cannot list consumers of %s: %w", name, err)
		}
		slices.SortFunc(st.Consumers, func(a, b consumerStatus) int {
			if a.Name < b.Name {
				return -1
			}
			return 1
		})
		r.Streams = append(r.Streams, st)
	}
	return nil
}

func (t *target) storeStatus(ctx context.Context, r *report) error {
	cfg, err := t.clickhouse(false)
	if err != nil {
		return err
	}
	conn, err := store.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Select(ctx, &r.Accounting, `SELECT sink, stream, received, stored, dead_lettered, difference FROM accounting ORDER BY stream, sink`); err != nil {
		return fmt.Errorf("cannot read accounting: %w", err)
	}
	if err := conn.Select(ctx, &r.Taps, `SELECT tap_id, server, last_seen, events, missing, explained FROM taps ORDER BY last_seen DESC LIMIT 200`); err != nil {
		return fmt.Errorf("cannot read taps: %w", err)
	}
	if err := conn.Select(ctx, &r.Seal, `SELECT tenant, stored, sealed, leaves, checkpoint_at FROM seal_status ORDER BY stored DESC, tenant LIMIT 200`); err != nil {
		return fmt.Errorf("cannot read how far the seal is: %w", err)
	}
	return sinkLedger(ctx, conn, r.Sinks)
}

func (r *report) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "STREAM\tBATCHES\tSIZE\tCONSUMER\tLAG\tIN FLIGHT\tLAST ACK")
	for _, s := range r.Streams {
		fmt.Fprintf(tw, "%s\t%d\t%s\t\t\t\t\n", s.Name, s.Messages, bytesText(s.Bytes))
		for _, c := range s.Consumers {
			fmt.Fprintf(tw, "\t\t\t%s\t%d\t%d\t%s\n", c.Name, c.Lag, c.InFlight, localTime(c.LastAcked))
		}
	}
	fmt.Fprintln(tw, "\nSINK\tSTREAM\tRECEIVED\tSTORED\tDEAD-LETTERED\tDIFFERENCE\t")
	for _, a := range r.Accounting {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d\t%d\t\n", a.Sink, a.Stream, a.Received, a.Stored, a.DeadLettered, a.Difference)
	}
	if len(r.Sinks) > 0 {
		if err := tw.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w, "\nOther systems (received, delivered, filtered, retries: since mcpsiem started)")
		if err := printSinks(w, r.Sinks); err != nil {
			return err
		}
	}
	fmt.Fprintln(tw, "\nTAP\tSERVER\tEVENTS\tMISSING\tEXPLAINED\tLAST SEEN\t")
	for _, t := range r.Taps {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d\t%s\t\n", plain(t.Tap), plain(t.Server), t.Events, t.Missing, t.Explained, t.LastSeen.Local().Format(time.DateTime))
	}
	fmt.Fprintln(tw, "\nSEAL\tSTORED\tSEALED\tLEAVES\tLAST CHECKPOINT\t")
	for _, s := range r.Seal {
		at := "-"
		if s.Leaves > 0 {
			at = s.CheckpointAt.Local().Format(time.DateTime)
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%s\t\n", printable(s.Tenant), s.Stored, s.Sealed, s.Leaves, at)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(r.Problems) == 0 {
		state := "Everything received is stored or dead-lettered."
		if !r.Balanced {
			state = "Events are under way."
		}
		_, err := fmt.Fprintln(w, "\n"+state)
		return err
	}
	fmt.Fprintln(w, "\nProblems:")
	for _, p := range r.Problems {
		fmt.Fprintln(w, "  -", plain(p))
	}
	return nil
}

func bytesText(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f kB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// localTime is a time of RFC 3339 as people of this machine read it.
func localTime(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return clock(t)
}
