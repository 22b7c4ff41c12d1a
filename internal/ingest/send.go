package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
)

const (
	firstWait = 250 * time.Millisecond
	maxWait   = 30 * time.Second
)

// errTooLarge says that the collector refused the size of a request.
var errTooLarge = errors.New("the collector takes no request of this size")

// send sends a batch until the collector has taken it. What is too large for it is sent in halves.
func (s *run) send(ctx context.Context, ld plog.Logs, lines []int64) error {
	body, err := encode(ld)
	if err != nil {
		return &Error{lines[0], err}
	}
	rejected, err := s.deliver(ctx, body)
	if errors.Is(err, errTooLarge) {
		if len(lines) == 1 {
			s.counts.Bad++
			if s.o.Bad != nil {
				s.o.Bad(BadLine{lines[0], errTooLarge.Error()})
			}
			if s.o.Strict {
				return &Error{lines[0], err}
			}
			return nil
		}
		half := len(lines) / 2
		if err := s.send(ctx, slice(ld, 0, half), lines[:half]); err != nil {
			return err
		}
		return s.send(ctx, slice(ld, half, len(lines)), lines[half:])
	}
	if err != nil {
		return &Error{lines[0], err}
	}
	s.counts.Sent += int64(len(lines))
	s.counts.Rejected += rejected
	recs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	for i := range recs.Len() {
		if b := recs.At(i).Body(); b.Type() == pcommon.ValueTypeBytes {
			s.counts.Bytes += int64(b.Bytes().Len())
		} else {
			s.counts.Bytes += int64(len(b.Str()))
		}
	}
	return nil
}

// slice copies the records from..to of a batch.
func slice(ld plog.Logs, from, to int) plog.Logs {
	out := plog.NewLogs()
	ld.CopyTo(out)
	i := -1
	out.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().RemoveIf(func(plog.LogRecord) bool {
		i++
		return i < from || i >= to
	})
	return out
}

func encode(ld plog.Logs) ([]byte, error) {
	b, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	if err != nil {
		return nil, errors.New("cannot encode a batch")
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return z.Bytes(), nil
}

// deliver posts a request until it is answered for good. Retried: no answer, 429, 502, 503, 504 (OTLP/HTTP specification).
func (s *run) deliver(ctx context.Context, body []byte) (rejected int64, err error) {
	deadline := time.Now().Add(s.o.RetryFor)
	wait := firstWait
	for {
		var after time.Duration
		var final bool
		rejected, after, final, err = s.post(ctx, body)
		if final {
			return rejected, err
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		pause := max(after, wait/2+rand.N(wait/2+1))
		if time.Now().Add(pause).After(deadline) {
			return 0, fmt.Errorf("gave up after %s: %w", s.o.RetryFor, err)
		}
		if err := s.o.sleep(ctx, pause); err != nil {
			return 0, err
		}
		wait = min(2*wait, maxWait)
	}
}

// post makes one attempt. final tells that another would change nothing.
func (s *run) post(ctx context.Context, body []byte) (rejected int64, after time.Duration, final bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, 0, true, fmt.Errorf("cannot send: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "gzip")
	if s.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.o.Token)
	}
	resp, err := s.o.Client.Do(req)
	if err != nil {
		return 0, 0, ctx.Err() != nil, fmt.Errorf("cannot send: %w", err)
	}
	defer resp.Body.Close()
	answer, readErr := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // never shown: it may quote what was sent
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted:
		if readErr != nil {
			return 0, 0, false, fmt.Errorf("cannot read the collector's answer: %w", readErr)
		}
		r := plogotlp.NewExportResponse()
		if r.UnmarshalProto(answer) == nil {
			rejected = r.PartialSuccess().RejectedLogRecords()
		}
		return rejected, 0, true, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			after = min(time.Duration(n)*time.Second, time.Minute)
		}
		return 0, after, false, fmt.Errorf("the collector cannot take more now (HTTP status %d)", resp.StatusCode)
	case http.StatusRequestEntityTooLarge:
		return 0, 0, true, errTooLarge
	case http.StatusUnauthorized, http.StatusForbidden:
		return 0, 0, true, fmt.Errorf("the collector refused the token (HTTP status %d)", resp.StatusCode)
	}
	return 0, 0, true, fmt.Errorf("the collector refused the request (HTTP status %d)", resp.StatusCode)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
