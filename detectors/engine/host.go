package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/detectors/seqset"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// HostSettings of a Host.
type HostSettings struct {
	Engine *Engine
	Next   consumer.Logs // takes findings
	Store  Store         // nil: state lives in memory only
	Source Source        // nil: what was acknowledged after the last snapshot is not caught up on
	// Interval is how often a snapshot is made while events come. 0: only at Shutdown.
	Interval time.Duration
	// CatchUpLimit is how many messages are read back at most, the newest ones. 0: all.
	CatchUpLimit uint64
	Logger       *zap.Logger
	// Observe, if not nil, is called after every batch and snapshot to bring metrics up to date; Stats may be read in it.
	Observe func(*Host)
}

// Host runs an Engine behind an at-least-once consumer, so that what leaves it is what an uninterrupted run would have sent.
//
//	message n ──> done already? ──yes──> nothing
//	                  │no
//	             before n something not done? ──> read it back from the stream, apply it
//	                  │
//	             apply n ──> findings ──> Next ──ok──> nil (acknowledge) ──> now and then: snapshot
//	                                        └─error──> kept in pending, error (deliver again)
//
// Two rules carry the guarantee. A snapshot is made only while nothing is pending, so every finding of a message in a snapshot
// has been sent. A message after the snapshot is applied again, from delivery if it was not acknowledged, else from the stream.
type Host struct {
	s HostSettings

	mu         sync.Mutex // guards all below: the receiver delivers one batch at a time, but its contract does not say so
	pos        Position
	done       seqset.Set // messages in the state
	reconciled bool       // the position was compared with the stream
	pending    plog.Logs  // findings that Next has not taken
	changed    bool       // since the last snapshot
	lastSave   time.Time
	stats      HostStats

	saving sync.WaitGroup
	saved  chan saveResult // of the one save under way
	busy   bool
}

// HostStats are what the host did since it started.
type HostStats struct {
	Skipped       int64            // messages delivered that were in the state already
	CaughtUp      int64            // messages read back from the stream
	FindingsSent  int64            // findings that Next took
	FindingsLost  int64            // findings that Next refused for good
	Snapshots     int64            // snapshots kept
	SnapshotBytes int64            // size of the last
	Anomalies     map[string]int64 // by Anomaly*
}

// Anomalies of state, by which the equality with an uninterrupted run can be lost; each is logged and counted.
const (
	AnomalySnapshotDamaged = "snapshot_damaged" // a snapshot could not be used; an older one or an empty state was
	AnomalySnapshotFailed  = "snapshot_failed"  // a snapshot could not be kept; the next is tried at the next interval
	AnomalyDetectorEmpty   = "detector_empty"   // a detector started empty although there was a snapshot
	AnomalyStreamRecreated = "stream_recreated" // the stream is not the one of the snapshot
	AnomalyGap             = "gap"              // messages were never delivered and there is no Source to read them from
	AnomalyMessagesGone    = "messages_gone"    // messages to catch up on are no longer in the stream, or were over CatchUpLimit
	AnomalyFindingsRefused = "findings_refused" // Next refused findings for good
)

const maxDoneRanges = 1024

type saveResult struct {
	size int
	err  error
}

// NewHost makes a host; Start it before the first batch.
func NewHost(s HostSettings) *Host {
	if s.Logger == nil {
		s.Logger = zap.NewNop()
	}
	return &Host{s: s, pending: plog.NewLogs(), saved: make(chan saveResult, 1), stats: HostStats{Anomalies: map[string]int64{}}}
}

// Start loads the newest snapshot that can be read. Only a store that cannot be reached is an error.
func (h *Host) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastSave = time.Now()
	if h.s.Store == nil {
		return nil
	}
	snaps, err := h.s.Store.Load(ctx)
	if err != nil {
		return err
	}
	for _, b := range snaps {
		pos, skipped, err := h.s.Engine.Restore(b)
		if err == nil {
			if h.done, err = seqset.FromRanges(pos.Done); err != nil {
				h.s.Engine.reset()
			}
		}
		if err != nil {
			h.anomaly(AnomalySnapshotDamaged, "Detector state could not be restored from a snapshot.", zap.Int("bytes", len(b)))
			continue
		}
		h.pos = pos
		for _, id := range skipped {
			h.anomaly(AnomalyDetectorEmpty, "A detector starts with empty state: the snapshot has none of its version.", zap.String("rule", id))
		}
		break
	}
	h.observed()
	return nil
}

// ConsumeLogs applies a batch of events and sends on what it raised. On an error that is not permanent the batch, or a later
// one, must be delivered again.
func (h *Host) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.observed()
	if err := h.send(ctx); err != nil {
		return err
	}
	if o, ok := streams.OriginFrom(ctx); ok && o.First > 0 && o.Last >= o.First {
		done, err := h.prepare(ctx, o)
		if err != nil {
			return err
		}
		if done {
			h.stats.Skipped++
			return nil
		}
		h.s.Engine.Apply(ld)
		h.done.AddRange(seqset.Range{Lo: o.First, Hi: o.Last})
	} else {
		h.s.Engine.Apply(ld)
	}
	h.changed = true
	if err := h.send(ctx); err != nil {
		return err
	}
	h.maybeSave()
	return nil
}

// SetRules exchanges the engine's rules between two messages; see Engine.SetRules.
func (h *Host) SetRules(rules []Instance, sel Selector) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.observed()
	if err := h.s.Engine.SetRules(rules, sel); err != nil {
		return err
	}
	h.changed = true
	return nil
}

// Behind is how many messages lie between the last one that is in the state and the origin's; 0 if nothing of its stream is.
func (h *Host) Behind(o streams.Origin) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if top := h.done.Max(); h.pos.Stream == o.Stream && o.First > top {
		return o.First - 1 - top
	}
	return 0
}

// prepare brings the state to just before the message and reports whether the message is in it already.
func (h *Host) prepare(ctx context.Context, o streams.Origin) (bool, error) {
	if h.pos.Stream != o.Stream {
		if h.pos.Stream != "" {
			h.anomaly(AnomalyStreamRecreated, "Events come from another stream than before; their sequences are counted anew.", zap.String("stream", o.Stream))
			h.done = seqset.Set{}
		}
		h.pos = Position{Stream: o.Stream}
		h.reconciled = false
	}
	var b Bounds
	haveBounds := false
	if !h.reconciled && h.s.Source != nil {
		var err error
		if b, err = h.s.Source.Bounds(ctx, o.Stream, o.Durable); err != nil {
			return false, fmt.Errorf("cannot compare detector state with its stream: %w", err)
		}
		haveBounds = true
		if h.pos.Created != 0 && h.pos.Created != b.Created || h.done.Max() > b.Last {
			h.anomaly(AnomalyStreamRecreated, "The stream of events was created anew; its sequences are counted anew.", zap.String("stream", o.Stream))
			h.done = seqset.Set{}
		}
		h.pos.Created = b.Created
		h.reconciled = true
	}
	if h.done.ContainsRange(seqset.Range{Lo: o.First, Hi: o.Last}) {
		return true, nil
	}
	if o.First == 1 || h.done.ContainsRange(seqset.Range{Lo: 1, Hi: o.First - 1}) {
		return false, nil
	}
	if h.s.Source == nil {
		if top := h.done.Max(); top != 0 && o.First > top+1 {
			h.anomaly(AnomalyGap, "Messages were not delivered in order or not at all, and no stream is configured to read them from.",
				zap.Uint64("first", top+1), zap.Uint64("last", o.First-1))
		}
		h.done.Trim(maxDoneRanges)
		return false, nil
	}
	if !haveBounds {
		var err error
		if b, err = h.s.Source.Bounds(ctx, o.Stream, o.Durable); err != nil {
			return false, fmt.Errorf("cannot find what the detectors have missed: %w", err)
		}
	}
	return false, h.catchUp(ctx, o, b)
}

// catchUp applies the messages before o that are not in the state. The findings of those that were acknowledged have been
// sent by the run that acknowledged them, and are not sent again.
func (h *Host) catchUp(ctx context.Context, o streams.Origin, b Bounds) error {
	defer func() { h.s.Engine.muted = false }()
	for _, gap := range h.done.Gaps(nil, seqset.Range{Lo: 1, Hi: o.First - 1}) {
		from := max(gap.Lo, b.First)
		if limit := h.s.CatchUpLimit; limit > 0 && gap.Hi-gap.Lo >= limit {
			from = max(from, gap.Hi-limit+1)
		}
		got := uint64(0)
		if from <= gap.Hi {
			err := h.s.Source.Read(ctx, o.Stream, o.Durable, from, gap.Hi, func(seq uint64, ld plog.Logs) error {
				if h.done.Contains(seq) {
					return nil
				}
				h.s.Engine.muted = seq <= b.AckFloor
				h.s.Engine.Apply(ld)
				h.done.Add(seq)
				h.changed = true
				if ld.ResourceLogs().Len() > 0 {
					h.stats.CaughtUp++
				}
				got++
				if err := h.send(ctx); err != nil {
					return err
				}
				h.maybeSave()
				return nil
			})
			if err != nil {
				return fmt.Errorf("cannot catch up with the stream of events: %w", err)
			}
		}
		if missing := gap.Len() - got; missing > 0 && h.done.AddRange(gap) > 0 && gap.Lo > 1 {
			h.anomaly(AnomalyMessagesGone, "Messages that the detectors have not seen are no longer in the stream.",
				zap.Uint64("messages", missing), zap.Uint64("first", gap.Lo), zap.Uint64("last", gap.Hi))
		}
	}
	return nil
}

// send passes on what is pending and what the engine has raised. What Next refuses for now stays pending.
func (h *Host) send(ctx context.Context) error {
	h.s.Engine.Findings().ResourceLogs().MoveAndAppendTo(h.pending.ResourceLogs())
	n := h.pending.LogRecordCount()
	if n == 0 {
		h.pending = plog.NewLogs()
		return nil
	}
	// Next may take the batch over, also when it fails: it gets a copy.
	batch := plog.NewLogs()
	h.pending.CopyTo(batch)
	err := h.s.Next.ConsumeLogs(ctx, batch)
	if err == nil {
		h.stats.FindingsSent += int64(n)
		h.pending = plog.NewLogs()
		return nil
	}
	var part consumererror.Logs
	if errors.As(err, &part) && part.Data().LogRecordCount() <= n {
		rest := plog.NewLogs()
		part.Data().CopyTo(rest)
		h.stats.FindingsSent += int64(n - rest.LogRecordCount())
		h.pending = rest
		n = rest.LogRecordCount()
	}
	if consumererror.IsPermanent(err) {
		h.stats.FindingsLost += int64(n)
		h.anomaly(AnomalyFindingsRefused, "Findings were refused for good.", zap.Int("findings", n))
		h.pending = plog.NewLogs()
	}
	return fmt.Errorf("cannot pass findings on: %w", err)
}

// maybeSave starts a snapshot if one is due. The state is encoded here, between two messages; it is written beside.
func (h *Host) maybeSave() {
	if h.s.Store == nil || h.s.Interval <= 0 || !h.changed || time.Since(h.lastSave) < h.s.Interval {
		return
	}
	if h.busy {
		select {
		case r := <-h.saved:
			h.finished(r)
		default: // the one before is still being written
			return
		}
	}
	b, err := h.encode()
	if err != nil {
		h.finished(saveResult{err: err})
		return
	}
	h.lastSave = time.Now()
	h.changed = false
	h.busy = true
	h.saving.Go(func() {
		h.saved <- saveResult{len(b), h.s.Store.Save(context.Background(), b)}
	})
}

func (h *Host) encode() ([]byte, error) {
	h.done.Trim(maxDoneRanges)
	h.pos.Done = h.done.Ranges()
	return h.s.Engine.Snapshot(h.pos)
}

func (h *Host) finished(r saveResult) {
	h.busy = false
	if r.err != nil {
		h.changed = true
		h.anomaly(AnomalySnapshotFailed, "A snapshot of detector state could not be kept.", zap.Error(r.err))
		return
	}
	h.stats.Snapshots++
	h.stats.SnapshotBytes = int64(r.size)
}

// Shutdown makes a last snapshot. Without one, nothing is lost but the time to catch up.
func (h *Host) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.observed()
	h.saving.Wait()
	if h.busy {
		h.finished(<-h.saved)
	}
	if h.s.Store == nil || !h.changed || h.pending.LogRecordCount() > 0 {
		return nil
	}
	b, err := h.encode()
	if err == nil {
		err = h.s.Store.Save(ctx, b)
	}
	h.finished(saveResult{len(b), err})
	if err == nil {
		h.changed = false
	}
	return err
}

func (h *Host) anomaly(kind, text string, fields ...zap.Field) {
	h.stats.Anomalies[kind]++
	h.s.Logger.Warn(text, append(fields, zap.String("anomaly", kind))...)
}

func (h *Host) observed() {
	if h.s.Observe != nil {
		h.s.Observe(h)
	}
}

// Stats is what was done so far: by the host, by the engine, and by each detector. It must not be called but from Observe.
func (h *Host) Stats() (HostStats, Stats, []DetectorStats) {
	return h.stats, h.s.Engine.stats, h.s.Engine.detectorStats()
}
