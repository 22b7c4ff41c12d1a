package tap

import (
	"slices"
	"sync"
	"time"
)

// lostRange is a range of sequence numbers, ends included, of which events could not be kept.
type lostRange struct {
	From, To int64
	Events   int64
}

// series is what numbers count in.
type series struct {
	Tap   string
	Epoch int64
}

// ledger collects losses that are noticed after numbering: batches that were refused, or found no room. The decode goroutine
// turns them into loss records. A batch that carries loss records and is itself lost brings their ranges back here, so that in the end
// each number is delivered or declared.
//
// A collector that refuses every batch must not make the tap send loss records in a tight loop, so they wait between rounds, for
// longer each time, until a batch is taken.
type ledger struct {
	wake func()

	mu      sync.Mutex // guards everything below
	ranges  map[series][]lostRange
	pause   time.Duration
	nextDue time.Time
}

const (
	lossPauseMin = time.Second
	lossPauseMax = 5 * time.Minute
)

func (l *ledger) add(s series, rs ...lostRange) {
	l.mu.Lock()
	if l.ranges == nil {
		l.ranges = make(map[series][]lostRange)
	}
	l.ranges[s] = coalesce(append(l.ranges[s], rs...))
	l.mu.Unlock()
	l.wake()
}

// addBatch takes over what is lost with b.
func (l *ledger) addBatch(b *batch) {
	for _, d := range b.declared {
		l.add(d.series, d.lost)
	}
	if b.count > 0 {
		l.add(b.series, lostRange{b.from, b.to, b.count})
	}
}

// accepted notes that the collector took a batch.
func (l *ledger) accepted() {
	l.mu.Lock()
	l.pause = 0
	l.mu.Unlock()
}

// due says how long until take may be called; negative if there is nothing to take.
func (l *ledger) due(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ranges) == 0 {
		return -1
	}
	return max(0, l.nextDue.Sub(now))
}

// take empties the ledger.
func (l *ledger) take(now time.Time) map[series][]lostRange {
	l.mu.Lock()
	defer l.mu.Unlock()
	rs := l.ranges
	l.ranges = nil
	l.pause = min(max(2*l.pause, lossPauseMin), lossPauseMax)
	l.nextDue = now.Add(l.pause)
	return rs
}

func (l *ledger) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ranges) == 0
}

// coalesce sorts ranges and joins those that touch.
func coalesce(rs []lostRange) []lostRange {
	slices.SortFunc(rs, func(a, b lostRange) int {
		if a.From < b.From {
			return -1
		}
		return 1
	})
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && r.From <= out[n-1].To+1 {
			out[n-1].To = max(out[n-1].To, r.To)
			out[n-1].Events += r.Events
			continue
		}
		out = append(out, r)
	}
	return out
}
