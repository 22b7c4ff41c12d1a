// The way of one batch: requests, what was refused, and Splunk's acknowledgements.

package splunkhec

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// worker works on one batch at a time.
type worker struct {
	*hecExporter
	client *client
	reader *sink.Reader
	chunks chunker
}

// delivery is a batch in work.
type delivery struct {
	batch   *sink.Batch
	refused sink.Refusals
	pending []pending
}

// pending is a chunk that Splunk has accepted and not yet acknowledged.
type pending struct {
	chunk *chunk
	token string
	id    int64
}

func (w *worker) deliver(ctx context.Context, ld plog.Logs) error {
	d := &delivery{batch: w.done.Batch(ctx)}
	defer w.chunks.reset()
	skipped := 0
	for rec := range w.reader.Read(ctx, ld) {
		if d.batch.Has(rec) {
			skipped++
			continue
		}
		if !w.chunks.add(rec) {
			d.refused.Add(rec.Index, "event_too_large")
		}
	}
	var errs []error
	for _, ch := range w.chunks.chunks() {
		if err := w.send(ctx, d, ch); err != nil {
			errs = append(errs, err)
			if !errors.As(err, new(*misconfiguration)) { // that of one index says nothing about the others
				break
			}
		}
	}
	if err := w.await(ctx, d); err != nil {
		errs = append(errs, err)
	}
	w.tel.Skipped(ctx, skipped)
	if len(errs) > 0 {
		err := errors.Join(errs...)
		if ctx.Err() == nil {
			w.say.Fails(err)
		}
		return d.batch.Failed(err)
	}
	w.say.Works()
	d.batch.Done()
	d.refused.Count(ctx, w.tel)
	return d.refused.Err(ld)
}

// misconfiguration is an answer that only the operator can change.
type misconfiguration struct{ error }

func (m *misconfiguration) Unwrap() error { return m.error }

// send delivers a chunk, in parts if need be. A record is given up only if Splunk refused it alone: a number that it gave is a hint, and
// which of the other events it took with the refused one is not known, so all others are sent again.
func (w *worker) send(ctx context.Context, d *delivery, whole *chunk) error {
	t := &w.targets[whole.target]
	token, err := t.token.Read()
	if err != nil {
		return &misconfiguration{streams.WithReason(err, "token_unreadable")}
	}
	for todo := []*chunk{whole}; len(todo) > 0; {
		ch := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		r, err := w.request(ctx, ch, t, token)
		if err != nil {
			return err
		}
		n := len(ch.records)
		switch v := r.judge(); {
		case v == accepted && r.AckID != nil && w.cfg.Ack.Mode != ackOff:
			w.tel.Delivered(ctx, n, false)
			d.pending = append(d.pending, pending{ch, token, *r.AckID})
		case v == accepted:
			w.tel.Delivered(ctx, n, true)
			d.add(ch)
		case v == misconfigured && w.cfg.OnMisconfigured == wait:
			return &misconfiguration{r.err()}
		case v == misconfigured:
			for _, p := range ch.records {
				d.refused.Add(p.index, r.reason())
			}
		case n == 1: // tooLarge or badEvent
			d.refused.Add(ch.records[0].index, r.reason())
		case v == badEvent && r.Number != nil && *r.Number >= 0 && *r.Number < n:
			bad := *r.Number
			if bad+1 < n {
				todo = append(todo, ch.slice(bad+1, n))
			}
			if bad > 0 {
				todo = append(todo, ch.slice(0, bad))
			}
			todo = append(todo, ch.slice(bad, bad+1))
		default:
			todo = append(todo, ch.slice(n/2, n), ch.slice(0, n/2))
		}
	}
	return nil
}

func (d *delivery) add(ch *chunk) {
	for _, p := range ch.records {
		d.batch.Add(p.key)
	}
}

// request sends a chunk until Splunk says something about it that another try would not change.
func (w *worker) request(ctx context.Context, ch *chunk, t *target, token string) (r reply, err error) {
	path := ch.path(w.cfg, t)
	renewed := 0
	err = sink.Retry(ctx, w.cfg.Retry, &w.gate, w.tel, func(ctx context.Context) error {
		start := time.Now()
		var sent int
		r, sent, err = w.client.post(ctx, token, path, ch.body)
		if err != nil {
			w.tel.Request(ctx, sent, len(ch.body), time.Since(start), "unanswered")
			return err
		}
		outcome := "ok"
		v := r.judge()
		if v != accepted {
			outcome = r.reason()
		}
		w.tel.Request(ctx, sent, len(ch.body), time.Since(start), outcome)
		switch v {
		case busy:
			return r.again(true)
		case newChannel, noAck, onceMore:
			if renewed++; renewed > 3 {
				return &misconfiguration{r.err()}
			}
			if v == noAck {
				w.client.withoutChannel(token)
			} else if v == newChannel {
				w.client.forget(token)
			}
			return r.again(false)
		}
		return nil
	})
	return r, err
}

// firstPoll is the pause before the first question for acknowledgements; it doubles up to poll_interval.
const firstPoll = 100 * time.Millisecond

// await waits until Splunk has acknowledged everything that it accepted. What is not acknowledged in time is lost or never will be known: the
// error makes the batch come again, and then it takes another channel and connection.
func (w *worker) await(ctx context.Context, d *delivery) error {
	var errs []error
	for len(d.pending) > 0 {
		token := d.pending[0].token
		var mine, others []pending
		for _, p := range d.pending {
			if p.token == token {
				mine = append(mine, p)
			} else {
				others = append(others, p)
			}
		}
		d.pending = others
		if err := w.awaitToken(ctx, d, token, mine); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (w *worker) awaitToken(ctx context.Context, d *delivery, token string, left []pending) error {
	deadline := time.Now().Add(w.cfg.Ack.Timeout)
	for pause := firstPoll; ; pause = min(2*pause, w.cfg.Ack.PollInterval) {
		if err := sink.Sleep(ctx, min(pause, w.cfg.Ack.PollInterval)); err != nil {
			return err
		}
		ids := make([]int64, len(left))
		for i, p := range left {
			ids[i] = p.id
		}
		acks, r, err := w.client.acks(ctx, token, ids)
		if err == nil && acks == nil {
			switch r.judge() {
			case noAck: // the token was changed: what was accepted is all that can be known
				w.log.Warn("The token no longer acknowledges; accepted events count as delivered")
				for _, p := range left {
					d.add(p.chunk)
				}
				w.client.withoutChannel(token)
				return nil
			case newChannel:
				w.client.forget(token)
				return streams.WithReason(errors.New("the acknowledgement channel is no longer known to Splunk"), "ack_channel")
			case misconfigured, badEvent:
				w.client.forget(token)
				return &misconfiguration{fmt.Errorf("cannot ask for acknowledgements: %w", r.err())}
			}
		}
		rest := left[:0]
		for _, p := range left {
			if acks[strconv.FormatInt(p.id, 10)] {
				w.tel.Confirmed(ctx, len(p.chunk.records))
				d.add(p.chunk)
			} else {
				rest = append(rest, p)
			}
		}
		if left = rest; len(left) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			w.client.forget(token)
			w.tel.Retried(ctx, "ack_timeout")
			w.log.Warn("Splunk did not acknowledge in time; the events are sent again", zap.Int("requests", len(left)), zap.Duration("waited", w.cfg.Ack.Timeout))
			return streams.WithReason(errors.New("no acknowledgement by Splunk in time"), "ack_timeout")
		}
	}
}
