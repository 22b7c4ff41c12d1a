// The way of one batch: requests, their answers document by document, and what was refused.

package elastic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// worker works on one batch at a time.
type worker struct {
	*elasticExporter
	reader *sink.Reader
	chunks chunker
	zip    *gzip.Writer
	zipped bytes.Buffer
}

// delivery is a batch in work.
type delivery struct {
	batch     *sink.Batch
	refused   sink.Refusals
	ambiguous bool  // some of it may be stored by an earlier try that was not heard of
	wrong     error // the operator has to mend something; what it concerns comes again
}

func (w *worker) deliver(ctx context.Context, ld plog.Logs) error {
	o, known := streams.OriginFrom(ctx)
	d := &delivery{batch: w.done.Batch(ctx), ambiguous: known && o.Redelivered}
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
	w.tel.Skipped(ctx, skipped)
	var err error
	for _, ch := range w.chunks.chunks() {
		if err = w.send(ctx, d, ch); err != nil {
			break
		}
	}
	if err == nil {
		err = d.wrong
	}
	if err != nil {
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

// send delivers a chunk, in parts if need be. What only the operator can mend is noted, and the rest goes on; an error is one after which going on
// makes no sense.
func (w *worker) send(ctx context.Context, d *delivery, whole *chunk) error {
	for todo := []*chunk{whole}; len(todo) > 0; {
		ch := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		left, r, err := w.request(ctx, d, ch)
		if errors.As(err, new(*errCredential)) {
			err = streams.WithReason(err, "credential")
			if w.cfg.OnMisconfigured == wait {
				d.wrong = err
				return nil
			}
			w.giveUp(d, left, streams.Reason(err))
			continue
		}
		if err != nil && !sink.IsAgain(err) && ctx.Err() == nil { // of prepare
			if w.cfg.OnMisconfigured == wait {
				d.wrong = err
				return nil
			}
			w.giveUp(d, left, streams.Reason(err))
			continue
		}
		if err != nil {
			return err
		}
		if left == nil {
			continue
		}
		n := len(left.records)
		switch v := r.judge(n); {
		case v == misconfigured && w.cfg.OnMisconfigured == wait:
			d.wrong = r.err()
		case v == misconfigured, n == 1 && left.alone:
			w.giveUp(d, left, r.reason())
		case n == 1: // once more: a proxy may have been to blame
			left.alone = true
			todo = append(todo, left)
		default: // split, or one of them spoils it
			todo = append(todo, left.slice(n/2, n), left.slice(0, n/2))
		}
	}
	return nil
}

func (w *worker) giveUp(d *delivery, ch *chunk, reason string) {
	for _, p := range ch.records {
		d.refused.Add(p.index, reason)
	}
}

// request sends a chunk until each of its documents has an answer that another try would not change. If left is not nil, the last answer was about the
// request as a whole, and left is what it concerns.
func (w *worker) request(ctx context.Context, d *delivery, ch *chunk) (left *chunk, r reply, err error) {
	left = ch
	err = sink.Retry(ctx, w.cfg.Retry, &w.gate, w.tel, func(ctx context.Context) error {
		if err := w.prepare(ctx, ch.target); err != nil {
			return err
		}
		if d.ambiguous {
			there, err := w.present(ctx, left)
			if err != nil {
				return err
			}
			n := len(left.records)
			left = left.pick(func(i int) bool {
				if !there[left.records[i].id] {
					return true
				}
				d.batch.Add(left.records[i].key)
				return false
			})
			if left == nil {
				w.tel.Skipped(ctx, n)
				return nil
			}
			w.tel.Skipped(ctx, n-len(left.records))
		}
		path, required := w.bulkPath(ch.target)
		var err error
		if r, err = w.bulk(ctx, path, left); err != nil {
			d.ambiguous = true
			return err
		}
		n := len(left.records)
		if required && r.HTTP == http.StatusBadRequest && r.Error.word() == "illegal_argument_exception" {
			w.withoutParameter() // a server that does not know it
			return r.again(false)
		}
		switch r.judge(n) {
		case stored:
			again, reason := w.items(ctx, d, left, &r)
			if left = again; left == nil {
				return nil
			}
			return sink.Again(streams.WithReason(fmt.Errorf("%d of %d documents have to wait: %s", len(left.records), n, reason), reason), reason, r.After, true)
		case busy:
			if r.HTTP >= 500 || r.HTTP == http.StatusOK || r.HTTP == http.StatusRequestTimeout {
				d.ambiguous = true
			}
			return r.again(true)
		}
		return nil
	})
	return left, r, err
}

// items goes through the answers to a chunk's documents and returns those that have to be sent again.
func (w *worker) items(ctx context.Context, d *delivery, ch *chunk, r *reply) (again *chunk, reason string) {
	if r.allOK > 0 {
		for _, p := range ch.records {
			d.batch.Add(p.key)
		}
		w.tel.Delivered(ctx, len(ch.records), true)
		return nil, ""
	}
	var nStored, nBefore int
	again = ch.pick(func(i int) bool {
		it, p := &r.Items[i].Create, ch.records[i]
		v := it.judge()
		if v == elsewhere && w.cfg.OnFailureStore == accept {
			v = stored
		}
		switch v {
		case stored:
			nStored++
			d.batch.Add(p.key)
		case before:
			nBefore++
			d.batch.Add(p.key)
		case busy:
			reason = it.reason()
			d.ambiguous = d.ambiguous || it.Status != http.StatusTooManyRequests
			return true
		case misconfigured:
			if w.cfg.OnMisconfigured == wait {
				d.wrong = streams.WithReason(describe(it.Status, it.Error), it.reason())
				break
			}
			d.refused.Add(p.index, it.reason())
		default:
			d.refused.Add(p.index, it.reason())
		}
		return false
	})
	w.tel.Delivered(ctx, nStored, true)
	w.tel.Skipped(ctx, nBefore)
	return again, reason
}

// bulk makes one request.
func (w *worker) bulk(ctx context.Context, path string, ch *chunk) (r reply, err error) {
	body, encoding := ch.body, ""
	if w.cfg.Compression == gzipped {
		if body, err = w.compress(ch.body); err != nil {
			return r, err
		}
		encoding = gzipped
	}
	start := time.Now()
	a, err := w.client.Do(ctx, http.MethodPost, path, ndjson, encoding, body)
	if err != nil {
		w.tel.Request(ctx, len(body), len(ch.body), time.Since(start), "unanswered")
		return r, err
	}
	r = reply{HTTP: a.HTTP, After: sink.RetryAfter(a.Header, w.now())}
	r.readBulk(a.Body, len(ch.records))
	outcome := "ok"
	if v := r.judge(len(ch.records)); v != stored {
		outcome = r.reason()
	}
	w.tel.Request(ctx, len(body), len(ch.body), time.Since(start), outcome)
	return r, nil
}

func (w *worker) compress(body []byte) ([]byte, error) {
	w.zipped.Reset()
	if w.zip == nil {
		var err error
		if w.zip, err = gzip.NewWriterLevel(nil, gzip.BestSpeed); err != nil {
			panic("BUG: gzip refuses its own level: " + err.Error())
		}
	}
	w.zip.Reset(&w.zipped)
	if _, err := w.zip.Write(body); err != nil {
		return nil, errors.New("cannot compress a batch")
	}
	if err := w.zip.Close(); err != nil {
		return nil, errors.New("cannot compress a batch")
	}
	return w.zipped.Bytes(), nil
}
