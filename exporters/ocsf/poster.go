// Posting events to a URL.

package ocsf

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type poster struct {
	cfg    *HTTPConfig
	retry  sink.RetryConfig
	tel    *sink.Telemetry
	gate   sink.Gate
	client *http.Client
	zips   sync.Pool
}

func newPoster(cfg *Config, tel *sink.Telemetry) *poster {
	return &poster{cfg: cfg.HTTP, retry: cfg.Retry, tel: tel, zips: sync.Pool{New: func() any { z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return z }}}
}

func (t *poster) start(ctx context.Context, _ component.Host) error {
	var tc *tls.Config
	if t.cfg.TLS != nil {
		var err error
		if tc, err = t.cfg.TLS.LoadTLSConfig(ctx); err != nil {
			return err
		}
	}
	if !t.cfg.Secret.IsZero() {
		if _, err := t.cfg.Secret.Read(); err != nil {
			return err
		}
	}
	t.client = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: tc, Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

func (t *poster) stop() error {
	if t.client != nil {
		t.client.CloseIdleConnections()
	}
	return nil
}

// deliver posts the events in requests of at most max_bytes. A request that is refused is halved until the event at fault is alone.
func (t *poster) deliver(ctx context.Context, events []output, done func(*output), refuse func(*output, string)) error {
	for len(events) > 0 {
		n, size := 1, len(events[0].body)
		for n < len(events) && size+len(events[n].body)+1 <= t.cfg.MaxBytes {
			size += len(events[n].body) + 1
			n++
		}
		if err := t.part(ctx, events[:n], done, refuse); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func (t *poster) part(ctx context.Context, events []output, done func(*output), refuse func(*output, string)) error {
	a, err := t.post(ctx, t.body(events))
	if err != nil {
		return err
	}
	status := a.Status
	reason := "http_" + strconv.Itoa(status)
	switch {
	case sink.IsPage(a.Body): // of a login or a proxy, whatever its status
	case status/100 == 2:
		for i := range events {
			done(&events[i])
		}
		return nil
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		if len(events) == 1 {
			refuse(&events[0], reason)
			return nil
		}
		half := len(events) / 2
		if err := t.part(ctx, events[:half], done, refuse); err != nil {
			return err
		}
		return t.part(ctx, events[half:], done, refuse)
	}
	return streams.WithReason(fmt.Errorf("%s answered %d: check http.endpoint and the credential", t.cfg.Endpoint, status), reason)
}

func (t *poster) body(events []output) []byte {
	var b bytes.Buffer
	for i := range events {
		if t.cfg.Format == array {
			b.WriteByte("[,"[min(i, 1)])
		}
		b.Write(events[i].body)
		if t.cfg.Format == ndjson {
			b.WriteByte('\n')
		}
	}
	if t.cfg.Format == array {
		b.WriteByte(']')
	}
	return b.Bytes()
}

// post sends one request until it is answered for good.
func (t *poster) post(ctx context.Context, plain []byte) (a sink.Answer, err error) {
	body := plain
	if t.cfg.Compression == gzipped {
		var b bytes.Buffer
		z := t.zips.Get().(*gzip.Writer)
		z.Reset(&b)
		_, _ = z.Write(plain)
		_ = z.Close()
		t.zips.Put(z)
		body = b.Bytes()
	}
	err = sink.Retry(ctx, t.retry, &t.gate, t.tel, func(ctx context.Context) error {
		begin := time.Now()
		a, err = t.once(ctx, body)
		outcome := "unanswered"
		if err == nil {
			outcome = "http_" + strconv.Itoa(a.Status)
		}
		t.tel.Request(ctx, len(body), len(plain), time.Since(begin), outcome)
		if s := a.Status; err == nil && (s == http.StatusRequestTimeout || s == http.StatusTooManyRequests || s >= 500) {
			return sink.Again(streams.WithReason(fmt.Errorf("%s answered %d", t.cfg.Endpoint, s), outcome), outcome, a.After, true)
		}
		return err
	})
	return a, err
}

func (t *poster) once(ctx context.Context, body []byte) (a sink.Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return a, errors.New("cannot make a request for http.endpoint")
	}
	req.Header.Set("Content-Type", map[string]string{ndjson: "application/x-ndjson", array: "application/json"}[t.cfg.Format])
	if t.cfg.Compression == gzipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if !t.cfg.Secret.IsZero() {
		secret, err := t.cfg.Secret.Read()
		if err != nil {
			return a, streams.WithReason(err, "secret_unreadable")
		}
		req.Header.Set(t.cfg.Header, t.cfg.Prefix+secret)
	}
	if a, err = sink.Send(t.client, req); err != nil {
		return a, fmt.Errorf("cannot reach %s: %w", t.cfg.Endpoint, err)
	}
	return a, nil
}
