package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// sinkStatus is the account of one sink of sinks.yaml.
type sinkStatus struct {
	Name     string        `json:"name"`
	Type     string        `json:"type"`
	Streams  []sinkStream  `json:"streams"`
	Counters *sinkCounters `json:"counters,omitempty"` // since the process started; absent where its metrics cannot be read
}

// sinkStream is how far a sink is in one stream. It survives restarts: it is the consumer's and the ledger's.
type sinkStream struct {
	Stream       string            `json:"stream"`
	Consumer     string            `json:"consumer"`
	Exists       bool              `json:"exists"` // false: the sink never ran
	LagBatches   uint64            `json:"lag_batches"`
	InFlight     int               `json:"in_flight"`                    // batches delivered to the exporter, not yet confirmed
	LagRecords   *uint64           `json:"lag_records,omitempty"`        // events in batches that are not confirmed; absent without the store
	LagSeconds   float64           `json:"lag_seconds"`                  // age of the oldest batch that is not confirmed
	Oldest       *time.Time        `json:"oldest_undelivered,omitempty"` // when it came into the stream
	OldestSeq    uint64            `json:"oldest_undelivered_seq,omitempty"`
	Confirmed    uint64            `json:"confirmed_up_to"` // stream sequence
	LastAcked    string            `json:"last_acked"`
	DeadLettered map[string]uint64 `json:"dead_lettered"` // records by reason
}

// sinkCounters are records, by the metrics of the running process. received = delivered + skipped + filtered + refused for each batch that
// ended; one that comes again is received again.
type sinkCounters struct {
	Received  uint64            `json:"received"`
	Delivered uint64            `json:"delivered"`
	Confirmed uint64            `json:"confirmed"`
	Skipped   uint64            `json:"skipped"`
	Filtered  map[string]uint64 `json:"filtered"` // by reason
	Refused   map[string]uint64 `json:"refused"`  // by reason; they are in dead letters
	Retries   map[string]uint64 `json:"retries"`  // requests, by reason
}

// sinkStatuses joins sinks.yaml with the streams' consumers and the exporters' metrics.
func sinkStatuses(list []distro.Sink, r *report, counters map[string]*sinkCounters) []sinkStatus {
	out := make([]sinkStatus, 0, len(list))
	for _, s := range list {
		st := sinkStatus{Name: s.Name, Type: s.Type, Counters: counters[s.Component()]}
		for _, c := range s.Consumers() {
			x := sinkStream{Stream: c.Stream, Consumer: c.Durable, DeadLettered: map[string]uint64{}}
			for _, rs := range r.Streams {
				for _, cs := range rs.Consumers {
					if rs.Name != c.Stream || cs.Name != c.Durable {
						continue
					}
					x.Exists, x.LagBatches, x.InFlight, x.Confirmed, x.LastAcked = true, cs.Lag, cs.InFlight, cs.AckedUpTo, cs.LastAcked
					if cs.OldestAgeMs > 0 {
						x.LagSeconds = float64(cs.OldestAgeMs) / 1000
						at := time.Now().Add(-time.Duration(cs.OldestAgeMs) * time.Millisecond).UTC().Truncate(time.Millisecond)
						x.Oldest, x.OldestSeq = &at, cs.oldestSeq
					}
				}
			}
			st.Streams = append(st.Streams, x)
		}
		out = append(out, st)
	}
	return out
}

// sinkLedger adds what the ledger knows.
func sinkLedger(ctx context.Context, conn *store.Conn, list []sinkStatus) error {
	var dead []struct {
		Stream string `ch:"stream"`
		Sink   string `ch:"sink"`
		Reason string `ch:"reason"`
		N      uint64 `ch:"n"`
	}
	if err := conn.Select(ctx, &dead, `SELECT stream, sink, reason, sum(records) AS n FROM ledger FINAL WHERE sink != '' GROUP BY ALL HAVING n > 0`); err != nil {
		return fmt.Errorf("cannot read dead letters of sinks: %w", err)
	}
	for i := range list {
		for j := range list[i].Streams {
			st := &list[i].Streams[j]
			for _, d := range dead {
				if d.Stream == st.Stream && d.Sink == st.Consumer {
					st.DeadLettered[d.Reason] += d.N
				}
			}
			if !st.Exists {
				continue
			}
			var n uint64
			if st.LagBatches > 0 || st.InFlight > 0 {
				if err := conn.QueryRow(ctx, `SELECT toUInt64(sum(records)) FROM ledger FINAL WHERE sink = '' AND stream = ? AND seq > ?`, st.Stream, st.Confirmed).Scan(&n); err != nil {
					return fmt.Errorf("cannot read how far sinks are: %w", err)
				}
			}
			st.LagRecords = &n
		}
	}
	return nil
}

var (
	metricLine = regexp.MustCompile(`^otelcol_sink_(received_records|delivered_records|confirmed_records|skipped_records|filtered_records|refused_records|retries)(?:_total)?\{([^}]*)\} ([0-9.e+]+)`)
	labelPair  = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
)

// sinkCounters reads the metrics of the running process, by exporter; nil if they cannot be read.
func (t *target) sinkCounters(ctx context.Context) map[string]*sinkCounters {
	_, e, err := t.resolve()
	if err != nil || e.Metrics == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Metrics+"/metrics", nil)
	if err != nil {
		return nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	return parseCounters(io.LimitReader(resp.Body, 16<<20))
}

// parseCounters reads Prometheus' text format.
func parseCounters(r io.Reader) map[string]*sinkCounters {
	out := map[string]*sinkCounters{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "otelcol_sink_") {
			continue
		}
		m := metricLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		var sink, reason string
		for _, l := range labelPair.FindAllStringSubmatch(m[2], -1) {
			switch l[1] {
			case "sink":
				sink = l[2]
			case "reason":
				reason = l[2]
			}
		}
		f, err := strconv.ParseFloat(m[3], 64)
		if err != nil || f < 0 {
			continue
		}
		c := out[sink]
		if c == nil {
			c = &sinkCounters{Filtered: map[string]uint64{}, Refused: map[string]uint64{}, Retries: map[string]uint64{}}
			out[sink] = c
		}
		n := uint64(f)
		switch m[1] {
		case "received_records":
			c.Received += n
		case "delivered_records":
			c.Delivered += n
		case "confirmed_records":
			c.Confirmed += n
		case "skipped_records":
			c.Skipped += n
		case "filtered_records":
			c.Filtered[reason] += n
		case "refused_records":
			c.Refused[reason] += n
		case "retries":
			c.Retries[reason] += n
		}
	}
	return out
}

// sinkProblems is what somebody should look at.
func sinkProblems(list []sinkStatus) (out []string) {
	for _, s := range list {
		for _, st := range s.Streams {
			if n := total(st.DeadLettered); n > 0 {
				out = append(out, fmt.Sprintf("sink %s: %d events of %s are dead-lettered (%s), see `mcpsiem dlq list --sink %s`", s.Name, n, st.Stream, reasons(st.DeadLettered), st.Consumer))
			}
			if !st.Exists {
				out = append(out, fmt.Sprintf("sink %s: it is in sinks.yaml and has no consumer of %s: start mcpsiem again", s.Name, st.Stream))
			}
			if st.LagSeconds > lagProblem.Seconds() {
				why := ""
				if s.Counters != nil && len(s.Counters.Retries) > 0 {
					why = "; requests repeated: " + reasons(s.Counters.Retries)
				}
				out = append(out, fmt.Sprintf("sink %s: its oldest batch of %s waits for %s%s", s.Name, st.Stream, (time.Duration(st.LagSeconds)*time.Second).String(), why))
			}
		}
	}
	slices.Sort(out)
	return out
}

// lagProblem is how long a batch may wait for a sink before status calls it a problem. A Parquet file gathers for half a minute.
const lagProblem = 5 * time.Minute
