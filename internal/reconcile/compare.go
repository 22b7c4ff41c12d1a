package reconcile

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Expected is one record that the store has and the sink should.
type Expected struct {
	Key string
	Seq uint64 // of the stream's message that carried it
}

// Result of a comparison.
type Result struct {
	Expected uint64   `json:"expected"`  // records of the store that the sink's filter lets through and that it has confirmed
	UnderWay uint64   `json:"under_way"` // not confirmed by the sink's consumer yet: neither there nor missing
	Filtered uint64   `json:"filtered"`  // held back by the sink's filter
	Held     uint64   `json:"held"`      // of the expected, how many the sink holds
	Twice    uint64   `json:"twice"`     // of them, more than once
	Missing  []string `json:"missing"`   // keys, sorted
}

// Compare compares what is expected with what a sink holds. confirmed is the stream sequence up to which the sink's consumer has confirmed everything.
func Compare(ctx context.Context, want iter.Seq2[Expected, error], src Source, kind Kind, from, to time.Time, confirmed uint64) (r Result, err error) {
	count := map[string]uint32{}
	for x, err := range want {
		if err != nil {
			return r, err
		}
		switch {
		case x.Key == "":
			r.Filtered++
		case x.Seq > confirmed:
			r.UnderWay++
		default:
			count[x.Key] = 0
		}
	}
	r.Expected = uint64(len(count))
	for key, err := range src.Keys(ctx, kind, from, to) {
		if err != nil {
			return r, err
		}
		if n, ok := count[key]; ok {
			count[key] = n + 1
		}
	}
	for key, n := range count {
		switch {
		case n == 0:
			r.Missing = append(r.Missing, key)
		case n > 1:
			r.Twice++
			fallthrough
		default:
			r.Held++
		}
	}
	slices.Sort(r.Missing)
	return r, nil
}

// FromStore yields what the store has in a time, as the sink's filter sees it: a record that the filter holds back has no key.
func FromStore(ctx context.Context, conn *store.Conn, kind Kind, from, to time.Time, filter *sink.Filter) iter.Seq2[Expected, error] {
	if kind == Findings {
		return findingsOf(ctx, conn, from, to, filter)
	}
	return func(yield func(Expected, error) bool) {
		rows, err := conn.Query(ctx, `SELECT toString(event_id), stream_seq, event_name, tenant, server, kind, method, capture, data_classes, labels, toString(exchange_id)
FROM events WHERE ts >= ? AND ts < ?`, from, to)
		if err != nil {
			yield(Expected{}, fmt.Errorf("cannot read events: %w", err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var e event.Event
			var seq uint64
			if err := rows.Scan(&e.ID, &seq, &e.Name, &e.Tenant, &e.Server, &e.Kind, &e.Method, &e.Capture, &e.DataClasses, &e.Labels, &e.ExchangeID); err != nil {
				yield(Expected{}, fmt.Errorf("cannot read events: %w", err))
				return
			}
			e.ID, e.ExchangeID = hexID(e.ID), hexID(e.ExchangeID)
			x := Expected{Key: e.ID, Seq: seq}
			if filter.Event(&e) != "" {
				x.Key = ""
			}
			if !yield(x, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Expected{}, fmt.Errorf("cannot read events: %w", err))
		}
	}
}

func findingsOf(ctx context.Context, conn *store.Conn, from, to time.Time, filter *sink.Filter) iter.Seq2[Expected, error] {
	return func(yield func(Expected, error) bool) {
		// The store keeps the latest revision; of earlier ones only what finding_history has.
		rows, err := conn.Query(ctx, `SELECT toString(finding_id), revision, stream_seq, tenant, server, severity FROM findings FINAL WHERE ts >= ? AND ts < ?`, from, to)
		if err != nil {
			yield(Expected{}, fmt.Errorf("cannot read findings: %w", err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var f finding.Finding
			var seq, revision uint64
			if err := rows.Scan(&f.ID, &revision, &seq, &f.Tenant, &f.Server, &f.Severity); err != nil {
				yield(Expected{}, fmt.Errorf("cannot read findings: %w", err))
				return
			}
			f.ID, f.Revision = hexID(f.ID), int64(revision)
			x := Expected{Key: sink.FindingKey(&f), Seq: seq}
			if filter.Finding(&f) != "" {
				x.Key = ""
			}
			if !yield(x, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Expected{}, fmt.Errorf("cannot read findings: %w", err))
		}
	}
}

// hexID is an id as records carry it; the store has UUIDs.
func hexID(uuid string) string {
	id := strings.ReplaceAll(uuid, "-", "")
	if strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}
