// Package webhook is the exporter that posts records as JSON to any web service, signed.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type webhookExporter struct {
	cfg     *Config
	log     *zap.Logger
	tel     *sink.Telemetry
	filter  *sink.Filter
	done    *sink.Confirmed
	gate    sink.Gate
	gone    atomic.Bool // 410: nothing is sent until the next start
	http    *http.Client
	say     *sink.Complaints
	readers chan *sink.Reader
}

func newExporter(set exporter.Settings, cfg *Config) (*webhookExporter, error) {
	filter, err := cfg.Route.Compile()
	if err != nil {
		return nil, err
	}
	tel, err := sink.NewTelemetry(set.MeterProvider, set.ID.String())
	if err != nil {
		return nil, err
	}
	e := &webhookExporter{cfg: cfg, log: set.Logger, tel: tel, filter: filter, done: sink.NewConfirmed(0), readers: make(chan *sink.Reader, cfg.Connections)}
	for range cfg.Connections {
		e.readers <- sink.NewReader(filter, tel)
	}
	return e, nil
}

func (e *webhookExporter) start(ctx context.Context, host component.Host) (err error) {
	if _, err := e.credentials(); err != nil {
		return fmt.Errorf("cannot start the webhook exporter: %w", err)
	}
	if e.http, err = sink.NewHTTPClient(ctx, e.cfg.TLS, e.cfg.Networks, e.cfg.Connections); err != nil {
		return fmt.Errorf("cannot start the webhook exporter: %w", err)
	}
	e.say = sink.NewComplaints(e.log, host, "The webhook")
	return nil
}

func (e *webhookExporter) shutdown(context.Context) error {
	if e.http != nil {
		e.http.CloseIdleConnections()
	}
	return nil
}

type credentials struct {
	url, token string
	keys       [][]byte
}

// credentials are read anew for each batch, so that changed files count.
func (e *webhookExporter) credentials() (c credentials, err error) {
	if c.url = e.cfg.URL; c.url == "" {
		if c.url, err = e.cfg.URLSecret.Read(); err != nil {
			return c, err
		}
		if err := checkURL(c.url); err != nil {
			return c, fmt.Errorf("url_secret: %w", err)
		}
	}
	if !e.cfg.Token.IsZero() {
		if c.token, err = e.cfg.Token.Read(); err != nil {
			return c, err
		}
	}
	for _, s := range e.cfg.Signing {
		v, err := s.Read()
		if err != nil {
			return c, err
		}
		k, err := signingKey(v)
		if err != nil {
			return c, err
		}
		c.keys = append(c.keys, k)
	}
	return c, nil
}

var errGone = streams.WithReason(errors.New("the webhook answered 410 Gone: nothing is sent until mcpsiem starts again"), "http_410")

func (e *webhookExporter) consume(ctx context.Context, ld plog.Logs) error {
	var r *sink.Reader
	select {
	case r = <-e.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { e.readers <- r }()
	var (
		batch   = e.done.Batch(ctx)
		refused sink.Refusals
		todo    [][]item
		chunk   []item
		size    int
		skipped int
	)
	limit := e.cfg.MaxBytes - 64 // of what is around the records
	for rec := range r.Read(ctx, ld) {
		if batch.Has(rec) {
			skipped++
			continue
		}
		b, ok := encode(rec, limit)
		if !ok {
			refused.Add(rec.Index, "record_too_large")
			continue
		}
		if len(chunk) > 0 && (len(chunk) >= e.cfg.MaxRecords || size+len(b)+1 > limit || e.cfg.Body == bodyRecord) {
			todo, chunk, size = append(todo, chunk), nil, 0
		}
		chunk = append(chunk, item{rec.Key(), rec.Index, b})
		size += len(b) + 1
	}
	if len(chunk) > 0 {
		todo = append(todo, chunk)
	}
	e.tel.Skipped(ctx, skipped)
	if err := e.deliver(ctx, todo, batch, &refused); err != nil {
		if ctx.Err() == nil {
			e.say.Fails(err)
		}
		return batch.Failed(err)
	}
	e.say.Works()
	batch.Done()
	refused.Count(ctx, e.tel)
	return refused.Err(ld)
}

// deliver sends chunks. One that is refused is sent in halves until the record that is to blame is alone.
func (e *webhookExporter) deliver(ctx context.Context, todo [][]item, batch *sink.Batch, refused *sink.Refusals) error {
	if len(todo) == 0 {
		return nil
	}
	c, err := e.credentials()
	if err != nil {
		return streams.WithReason(err, "secret_unreadable")
	}
	for len(todo) > 0 {
		ch := todo[0]
		todo = todo[1:]
		err := sink.Retry(ctx, e.cfg.Retry, &e.gate, e.tel, func(ctx context.Context) error { return e.post(ctx, c, ch) })
		var no *refusal
		switch {
		case err == nil:
			e.tel.Delivered(ctx, len(ch), false)
			for _, x := range ch {
				batch.Add(x.key)
			}
		case errors.As(err, &no) && len(ch) > 1 && !no.whole:
			todo = append([][]item{ch[:len(ch)/2], ch[len(ch)/2:]}, todo...)
		case errors.As(err, &no):
			for _, x := range ch {
				refused.Add(x.index, no.reason)
			}
		default:
			return err
		}
	}
	return nil
}

// refusal is an answer that another try would not change. A whole one has nothing to do with the records.
type refusal struct {
	reason string
	whole  bool
}

func (r *refusal) Error() string { return "the webhook refused records: " + r.reason }

func (e *webhookExporter) post(ctx context.Context, c credentials, ch []item) error {
	if e.gone.Load() {
		return errGone
	}
	b, contentType := body(e.cfg.Body, ch)
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(b))
	if err != nil {
		return errors.New("cannot make a request")
	}
	for k, v := range e.cfg.Headers {
		req.Header.Set(k, v)
	}
	id, now := batchID(ch), time.Now()
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "mcpsiem")
	req.Header.Set(headerID, id)
	req.Header.Set(headerKey, id)
	req.Header.Set(headerTimestamp, strconv.FormatInt(now.Unix(), 10))
	if len(c.keys) > 0 {
		req.Header.Set(headerSignature, sign(c.keys, id, now.Unix(), b))
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	a, err := sink.Send(e.http, req)
	outcome := "unanswered"
	if err == nil {
		outcome, err = e.judge(a)
	}
	e.tel.Request(ctx, len(b), len(b), time.Since(now), outcome)
	return err
}

func (e *webhookExporter) judge(a sink.Answer) (outcome string, err error) {
	page := sink.IsPage(a.Body) // of a login or a proxy: no receipt, and no word about the records
	if a.Status >= 200 && a.Status < 300 && !page {
		return "ok", nil
	}
	reason := fmt.Sprintf("http_%d", a.Status)
	says := streams.WithReason(fmt.Errorf("the webhook answered HTTP %d", a.Status), reason)
	switch {
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable:
		return reason, sink.Again(says, reason, a.After, true)
	case a.Status >= 500, a.Status == http.StatusRequestTimeout, a.Status == http.StatusTooEarly:
		return reason, sink.Again(says, reason, a.After, false)
	case a.Status == http.StatusGone:
		e.gone.Store(true)
		return reason, errGone
	case page, a.Status < 400, a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden, a.Status == http.StatusNotFound, a.Status == http.StatusMethodNotAllowed, a.Status == http.StatusProxyAuthRequired:
		if e.cfg.OnMisconfigured == deadLetter {
			return reason, &refusal{"webhook_" + strconv.Itoa(a.Status), true}
		}
		return reason, says
	}
	return reason, &refusal{"webhook_" + strconv.Itoa(a.Status), false}
}
