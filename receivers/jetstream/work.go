// A worker: fetch, hand on, settle.

package jetstream

import (
	"context"
	"errors"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const (
	ackAttempt = 3 * time.Second // wait for the confirmation of one acknowledgement
	ackPause   = 200 * time.Millisecond
	ackWindow  = 16 // acknowledgements of one batch in flight
)

// held is a message in hand. Whoever holds it has to settle it by ack, nak or dead.
type held struct {
	jetstream.Msg
	seq       uint64
	delivered uint64 // deliveries so far, this one included
	records   int    // as the sender counted
}

func (r *jsReceiver) work() {
	defer r.part.release(r)
	for {
		if !r.part.turn(r) {
			if r.fetching.Err() != nil {
				return
			}
			continue
		}
		probe, ok := r.circuit.wait(r.fetching)
		if !ok {
			return
		}
		msgs := r.fetch(probe)
		if len(msgs) == 0 {
			if probe {
				r.circuit.release()
			}
			continue
		}
		for _, g := range groups(msgs, r.cfg.Combine.MaxRecords) {
			if r.fetching.Err() != nil { // not begun yet: others can have them at once
				for _, m := range g {
					r.nak(m, 0)
				}
				continue
			}
			r.deliver(g)
		}
	}
}

// fetch waits for messages, for a second at most. A probe is one message.
func (r *jsReceiver) fetch(probe bool) []held {
	if !r.nc.IsConnected() {
		sleep(r.fetching, ackPause)
		return nil
	}
	cons, err := r.consumer(r.fetching)
	if err != nil {
		if r.fetching.Err() == nil {
			r.health.bad(causeSetup, err)
			r.set.Logger.Warn("Cannot read the stream", zap.Error(err))
			sleep(r.fetching, setupRetry)
		}
		return nil
	}
	msgs, err := r.pull(cons, nil, 1, fetchWait)
	if n := r.cfg.Combine.MaxMessages; len(msgs) == 1 && n > 1 && !probe && err == nil {
		msgs, err = r.pull(cons, msgs, n-1, r.cfg.Combine.MaxWait)
	}
	switch {
	case err == nil:
	case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound),
		errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		r.set.Logger.Warn("The consumer is gone; making it again", zap.String("stream", r.cfg.Stream), zap.String("durable", r.cfg.Durable))
		r.forget(cons)
		sleep(r.fetching, ackPause)
	case len(msgs) == 0:
		r.set.Logger.Debug("Cannot fetch", zap.Error(err))
		sleep(r.fetching, ackPause)
	}
	return msgs
}

// pull appends up to n messages to msgs and keeps them alive.
func (r *jsReceiver) pull(cons jetstream.Consumer, msgs []held, n int, wait time.Duration) ([]held, error) {
	opts := []jetstream.FetchOpt{jetstream.FetchMaxWait(wait)}
	if r.part != nil {
		opts = append(opts, jetstream.FetchPriorityGroup(pinGroup))
	}
	batch, err := cons.Fetch(n, opts...)
	if err != nil {
		return msgs, err
	}
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			continue // not a JetStream message; there is no way to answer it
		}
		r.beat.add(m)
		r.part.pinned(m)
		h := held{Msg: m, seq: meta.Sequence.Stream, delivered: meta.NumDelivered}
		h.records, _ = strconv.Atoi(m.Headers().Get(streams.HeaderCount))
		if h.delivered > 1 {
			r.tel.message(outcomeRedelivered)
		}
		msgs = append(msgs, h)
	}
	return msgs, batch.Error()
}

// groups cuts msgs into batches, in order: redelivered messages alone, others together up to maxRecords.
func groups(msgs []held, maxRecords int) [][]held {
	var out [][]held
	records := 0
	open := false // the last group may take more
	for _, m := range msgs {
		if m.delivered > 1 {
			out = append(out, []held{m})
			open = false
			continue
		}
		if !open || records >= maxRecords {
			out = append(out, nil)
			open, records = true, 0
		}
		out[len(out)-1] = append(out[len(out)-1], m)
		records += max(m.records, 1)
	}
	return out
}

// deliver hands a group to the pipeline as one batch and settles its messages.
func (r *jsReceiver) deliver(g []held) {
	merged := plog.NewLogs()
	ok := g[:0:0]
	for _, m := range g {
		ld, err := r.decode(m)
		if err != nil {
			r.set.Logger.Error("A message is not a batch", zap.String("stream", r.cfg.Stream), zap.Uint64("sequence", m.seq))
			r.dead(m, streams.ReasonDecode)
			continue
		}
		if ld.IsReadOnly() { // shared, and alone
			merged = ld
		} else {
			ld.ResourceLogs().MoveAndAppendTo(merged.ResourceLogs())
		}
		ok = append(ok, m)
	}
	if len(ok) == 0 {
		r.circuit.release()
		return
	}
	n := merged.LogRecordCount() // the pipeline may empty it
	err := r.consume(merged, r.origin(ok, ok[0].delivered > 1))
	switch {
	case err == nil:
		r.circuit.success()
		r.ack(ok)
	case !streams.Permanent(err):
		r.circuit.failure()
		r.tel.message(outcomeTransient)
		r.set.Logger.Debug("The pipeline cannot take a batch now", zap.String("error", streams.Class(err)), zap.Uint64("sequence", ok[0].seq))
		for _, m := range ok {
			r.again(m)
		}
	case r.partly(ok, n, err):
		r.circuit.success() // it answers
	case len(ok) == 1:
		r.circuit.success()
		r.giveUp(ok[0], err)
	default:
		r.oneByOne(ok)
	}
}

// oneByOne finds which message of a group the pipeline refuses. Some of them may have been taken by then, and the batch says so.
func (r *jsReceiver) oneByOne(g []held) {
	for i, m := range g {
		if r.fetching.Err() != nil {
			for _, m := range g[i:] {
				r.nak(m, 0)
			}
			return
		}
		ld, err := r.decode(m)
		n := 0
		if err == nil {
			n = ld.LogRecordCount()
			err = r.consume(ld, r.origin(g[i:i+1], true))
		}
		switch {
		case err == nil:
			r.circuit.success()
			r.ack(g[i : i+1])
		case !streams.Permanent(err):
			r.circuit.failure()
			r.tel.message(outcomeTransient)
			r.again(m)
		case r.partly(g[i:i+1], n, err):
			r.circuit.success()
		default:
			r.circuit.success()
			r.giveUp(m, err)
		}
	}
}

func (r *jsReceiver) decode(m held) (plog.Logs, error) {
	if r.part != nil && r.part.shared != nil {
		return r.part.shared.decode(m.seq, m.Data(), func() (plog.Logs, error) { return r.decodeAnew(m) })
	}
	return r.decodeAnew(m)
}

func (r *jsReceiver) decodeAnew(m held) (plog.Logs, error) {
	ld, err := streams.Decode(m.Data(), m.Headers().Get(streams.HeaderEncoding))
	if err != nil {
		return ld, err
	}
	if r.cfg.Stream == streams.Events || r.cfg.Stream == streams.Findings {
		for i := range ld.ResourceLogs().Len() {
			ld.ResourceLogs().At(i).Resource().Attributes().PutInt(event.AttrStreamSeq, int64(m.seq))
		}
	}
	return ld, nil
}

func (r *jsReceiver) origin(g []held, redelivered bool) streams.Origin {
	o := streams.Origin{Stream: r.cfg.Stream, Durable: r.cfg.Durable, First: g[0].seq, Last: g[len(g)-1].seq, Redelivered: redelivered}
	if r.part != nil {
		o.Partition, o.Partitions = r.part.index, r.part.count
	}
	if len(g) == 1 {
		o.ID = g[0].Headers().Get(jetstream.MsgIDHeader)
	}
	return o
}

// permanentPanic stands for a panic of the pipeline, whose value may quote the batch.
var permanentPanic = consumererror.NewPermanent(streams.WithReason(errors.New("a component panicked"), "panic"))

// consume hands a batch to the pipeline. A panic there counts as a permanent error of the batch: otherwise one message could stop the
// process again at every start.
func (r *jsReceiver) consume(ld plog.Logs, o streams.Origin) (err error) {
	n := ld.LogRecordCount()
	if n == 0 {
		return nil
	}
	ctx := r.obs.StartLogsOp(streams.WithOrigin(r.working, o))
	defer func() {
		if v := recover(); v != nil {
			r.set.Logger.Error("A component panicked on a batch", zap.String("stream", o.Stream), zap.Uint64("first", o.First), zap.Uint64("last", o.Last),
				zap.ByteString("stack", debug.Stack()))
			err = permanentPanic
		}
		var seen error
		if err != nil {
			seen = errors.New(streams.Class(err)) // goes into a trace
		}
		r.obs.EndLogsOp(ctx, "otlp_proto", n, seen)
	}()
	return r.next.ConsumeLogs(ctx, ld)
}

// ack acknowledges messages and waits for the server's confirmations.
func (r *jsReceiver) ack(g []held) {
	if len(g) == 1 {
		r.ackOne(g[0])
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, ackWindow)
	for _, m := range g {
		slots <- struct{}{}
		wg.Go(func() { r.ackOne(m); <-slots })
	}
	wg.Wait()
}

func (r *jsReceiver) ackOne(m held) {
	r.settle(m, outcomeAcked, func(ctx context.Context) error { return m.DoubleAck(ctx) })
}

// settle repeats an answer to the server until it is confirmed, for up to ack_wait: a lost acknowledgement makes a duplicate.
func (r *jsReceiver) settle(m held, outcome outcome, answer func(context.Context) error) {
	defer r.beat.remove(m.Msg)
	// Shutdown must not keep a finished batch from being acknowledged.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.working), max(r.cfg.AckWait, ackAttempt))
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, ackAttempt)
		err := answer(attempt)
		done()
		if err == nil || errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
			r.tel.message(outcome)
			return
		}
		if ctx.Err() != nil || r.nc.IsClosed() || r.working.Err() != nil {
			r.tel.message(outcomeUnconfirmed)
			r.set.Logger.Warn("The server did not confirm an acknowledgement; the message may come again", zap.String("stream", r.cfg.Stream), zap.Uint64("sequence", m.seq), zap.Error(err))
			return
		}
		sleep(ctx, ackPause)
	}
}

// again has a message redelivered later, or makes it a dead letter when it had its attempts.
func (r *jsReceiver) again(m held) {
	if n := r.cfg.Retry.MaxAttempts; n > 0 && m.delivered >= uint64(n) && r.fetching.Err() == nil {
		r.dead(m, streams.ReasonAttempts)
		return
	}
	if r.fetching.Err() != nil {
		r.nak(m, 0)
		return
	}
	r.nak(m, r.cfg.Retry.backoff(m.delivered))
}

func (r *jsReceiver) nak(m held, delay time.Duration) {
	defer r.beat.remove(m.Msg)
	var err error
	if delay > 0 {
		err = m.NakWithDelay(delay)
	} else {
		err = m.Nak()
	}
	r.tel.message(outcomeNacked)
	if err != nil { // it comes again after ack_wait
		r.set.Logger.Debug("Cannot return a message", zap.Error(err))
	}
}

func (r *jsReceiver) giveUp(m held, err error) {
	reason := streams.Reason(err)
	r.set.Logger.Error("The pipeline refuses a message; it becomes a dead letter", zap.String("stream", r.cfg.Stream), zap.Uint64("sequence", m.seq), zap.String("reason", reason))
	r.dead(m, reason)
}

// dead makes a message a dead letter and then ends it. If the letter cannot be written the message stays.
func (r *jsReceiver) dead(m held, reason string) {
	r.bury(m, reason, func(ctx context.Context) error { return streams.PutDead(ctx, r.js, m.Msg, r.cfg.Durable, reason) })
}

// bury writes a dead letter for a message, or for some of it, and ends the message.
func (r *jsReceiver) bury(m held, reason string, write func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.working), setupTimeout)
	defer cancel()
	if err := write(ctx); err != nil {
		r.tel.message(outcomeDeadFailed)
		r.health.bad(causeDead, errors.New("dead letters cannot be written"))
		r.set.Logger.Error("Cannot write a dead letter; the message stays in its stream", zap.String("stream", r.cfg.Stream), zap.Uint64("sequence", m.seq), zap.Error(err))
		r.mu.Lock()
		r.cons = nil // DEAD may have been deleted: make it again
		r.mu.Unlock()
		r.nak(m, r.cfg.Retry.Max)
		return
	}
	r.health.good(causeDead)
	r.settle(m, outcomeDead, func(ctx context.Context) error {
		_, err := r.nc.RequestWithContext(ctx, m.Reply(), []byte("+TERM "+reason))
		return err
	})
}
