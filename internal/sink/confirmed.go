// What of an unfinished batch the other side has.

package sink

import (
	"context"
	"sync"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Confirmed remembers which records of batches that failed had been delivered, so that their redelivery repeats only the rest. It is memory
// of this process: after its death a batch in flight is repeated as a whole. Safe for concurrent use.
type Confirmed struct {
	mu        sync.Mutex
	now, past map[string]struct{} // two generations: the elder is dropped when the younger is full
	limit     int
}

// NewConfirmed makes a memory of at most 2*limit records; 0 means 100,000.
func NewConfirmed(limit int) *Confirmed {
	if limit <= 0 {
		limit = 100_000
	}
	return &Confirmed{now: map[string]struct{}{}, past: map[string]struct{}{}, limit: limit}
}

// Batch is one try of a batch.
type Batch struct {
	c     *Confirmed
	again bool // an earlier try may have delivered some of it
	added []string
	used  []string // keys of earlier tries that were of use
}

// Batch begins a try of the batch that ctx belongs to.
func (c *Confirmed) Batch(ctx context.Context) *Batch {
	o, ok := streams.OriginFrom(ctx)
	return &Batch{c: c, again: ok && o.Redelivered}
}

// Has reports whether an earlier try delivered the record. On the first delivery of a message, or the first after a reset of its consumer,
// it never does.
func (b *Batch) Has(rec *Record) bool {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if len(b.c.now)+len(b.c.past) == 0 {
		return false
	}
	key := rec.Key()
	_, a := b.c.now[key]
	_, p := b.c.past[key]
	if !a && !p {
		return false
	}
	if !b.again {
		delete(b.c.now, key)
		delete(b.c.past, key)
		return false
	}
	b.used = append(b.used, key)
	return true
}

// Add notes that the record with this key was delivered.
func (b *Batch) Add(key string) { b.added = append(b.added, key) }

// Failed ends a try that did not deliver everything and returns err. What Add noted is remembered.
func (b *Batch) Failed(err error) error {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	for _, k := range b.added {
		if len(b.c.now) >= b.c.limit {
			b.c.past, b.c.now = b.c.now, map[string]struct{}{}
		}
		b.c.now[k] = struct{}{}
	}
	return err
}

// Done ends a try that delivered everything; nothing of it is remembered.
func (b *Batch) Done() {
	if len(b.used) == 0 {
		return
	}
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	for _, k := range b.used {
		delete(b.c.now, k)
		delete(b.c.past, k)
	}
}
