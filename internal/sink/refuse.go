// Records that the other side will never take.

package sink

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Refusals collects the records of one batch that are given up.
type Refusals struct {
	records map[int]string // reason by index
}

// Add gives a record up. The reason is a word from a small fixed set, never text from the other side.
func (r *Refusals) Add(index int, reason string) {
	if r.records == nil {
		r.records = make(map[int]string)
	}
	r.records[index] = reason
}

// Len is how many records were given up.
func (r *Refusals) Len() int { return len(r.records) }

// Count adds what was given up to the metrics. It is for the end of a batch, since a batch that comes again is refused again.
func (r *Refusals) Count(ctx context.Context, t *Telemetry) {
	n := map[string]int{}
	for _, reason := range r.records {
		n[reason]++
	}
	for reason, n := range n {
		t.Refused(ctx, reason, n)
	}
}

// Err is nil if nothing was given up. Otherwise it is a permanent error that carries the records given up and no others: the receiver makes
// a dead letter of those and regards the rest of the batch as delivered. The dead letter's reason is the most frequent one.
func (r *Refusals) Err(ld plog.Logs) error {
	if len(r.records) == 0 {
		return nil
	}
	count := map[string]int{}
	var reason string
	for _, x := range r.records {
		count[x]++
	}
	for x, n := range count {
		if reason == "" || n > count[reason] || n == count[reason] && x < reason {
			reason = x
		}
	}
	index := -1
	rest := plog.NewLogs()
	for _, rl := range ld.ResourceLogs().All() {
		var to plog.ResourceLogs
		open := false
		for _, sl := range rl.ScopeLogs().All() {
			var scope plog.ScopeLogs
			scoped := false
			for _, lr := range sl.LogRecords().All() {
				index++
				if _, ok := r.records[index]; !ok {
					continue
				}
				if !open {
					to, open = rest.ResourceLogs().AppendEmpty(), true
					rl.Resource().CopyTo(to.Resource())
					to.SetSchemaUrl(rl.SchemaUrl())
				}
				if !scoped {
					scope, scoped = to.ScopeLogs().AppendEmpty(), true
					sl.Scope().CopyTo(scope.Scope())
				}
				lr.CopyTo(scope.LogRecords().AppendEmpty())
			}
		}
	}
	err := streams.WithReason(fmt.Errorf("%d of %d records refused", len(r.records), index+1), reason)
	return consumererror.NewPermanent(consumererror.NewLogs(err, rest))
}
