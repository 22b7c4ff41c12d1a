// Requests to the Events API v2, and what their answers mean.

package pagerduty

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	pd "github.com/PagerDuty/go-pagerduty"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// client speaks through PagerDuty's own library, whose errors quote bodies: what counts is what wire notes of each request.
type client struct {
	pd      *pd.Client
	http    *http.Client
	timeout time.Duration
	tel     *sink.Telemetry
}

type answerKey struct{}

type noted struct {
	answer sink.Answer
	err    error
	sent   int
}

// wire sends the library's requests.
type wire struct{ http *http.Client }

func (w wire) Do(req *http.Request) (*http.Response, error) {
	n := req.Context().Value(answerKey{}).(*noted)
	n.sent = int(req.ContentLength)
	n.answer, n.err = sink.Send(w.http, req)
	if n.err != nil {
		return nil, n.err
	}
	return &http.Response{
		StatusCode: n.answer.Status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(n.answer.Body)), Request: req,
	}, nil
}

func newClient(c *Config, h *http.Client, tel *sink.Telemetry) *client {
	p := pd.NewClient("", pd.WithV2EventsAPIEndpoint(c.endpoint()))
	p.HTTPClient = wire{h}
	return &client{pd: p, http: h, timeout: c.Timeout, tel: tel}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// refusal is an answer that another try would not change.
type refusal struct{ reason string }

func (r *refusal) Error() string { return "PagerDuty refused an event: " + r.reason }

// enqueue sends an event once.
func (c *client) enqueue(ctx context.Context, ev *pd.V2Event) error {
	return c.send(ctx, func(ctx context.Context) { _, _ = c.pd.ManageEventWithContext(ctx, ev) })
}

func (c *client) enqueueChange(ctx context.Context, ev pd.ChangeEvent) error {
	return c.send(ctx, func(ctx context.Context) { _, _ = c.pd.CreateChangeEventWithContext(ctx, ev) })
}

func (c *client) send(ctx context.Context, call func(context.Context)) error {
	var n noted
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, answerKey{}, &n), c.timeout)
	defer cancel()
	call(ctx)
	outcome, err := n.judge()
	c.tel.Request(ctx, n.sent, n.sent, time.Since(start), outcome)
	return err
}

// errKey says nothing of the event: it waits until the key is mended.
var errKey = streams.WithReason(errors.New("the integration key belongs to no Events API V2 integration of this region: mend it in its file, which is read anew"), "pagerduty_routing_key")

// judge says what an answer means. 202 is that PagerDuty took the event, not that it worked on it.
func (n *noted) judge() (outcome string, err error) {
	if n.err != nil {
		return "unanswered", streams.WithReason(n.err, "unanswered")
	}
	status := n.answer.Status
	if status == 0 {
		return "none", errors.New("BUG: no request was made")
	}
	reason := fmt.Sprintf("http_%d", status)
	says := streams.WithReason(fmt.Errorf("PagerDuty answered HTTP %d", status), reason)
	var body struct {
		Status  string   `json:"status"`
		Message string   `json:"message"`
		Errors  []string `json:"errors"`
	}
	_ = json.Unmarshal(n.answer.Body, &body)
	switch {
	case status == http.StatusAccepted && body.Status == "success":
		return "ok", nil
	case status == http.StatusTooManyRequests:
		return reason, sink.Again(says, reason, n.answer.After, true)
	case status == http.StatusRequestTimeout, status >= 500:
		return reason, sink.Again(says, reason, n.answer.After, false)
	case status == http.StatusBadRequest && !sink.IsPage(n.answer.Body):
		for _, x := range append(body.Errors, body.Message) {
			if x = strings.ToLower(x); strings.Contains(x, "routing_key") || strings.Contains(x, "routing key") {
				return "pagerduty_routing_key", errKey
			}
		}
		return reason, &refusal{"pagerduty_400"}
	case status == http.StatusRequestEntityTooLarge && !sink.IsPage(n.answer.Body):
		return reason, &refusal{"pagerduty_413"}
	}
	// A 2xx that is not PagerDuty's, a redirection, a refusal of a proxy: the operator has to look.
	return "not_pagerduty", streams.WithReason(fmt.Errorf("what answers is not PagerDuty's Events API (HTTP %d): look at region, endpoint and proxies", status), "not_pagerduty")
}
