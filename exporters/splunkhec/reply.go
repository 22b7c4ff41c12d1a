// What HEC answers and what is to be done about it. One table, since records are lost or repeated by it.

package splunkhec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// reply is an answer of HEC. Its text is not read: it can quote what was sent.
type reply struct {
	HTTP   int           `json:"-"`
	Code   *int          `json:"code"`
	AckID  *int64        `json:"ackId"`
	Number *int          `json:"invalid-event-number"` // of the event refused, from 0
	After  time.Duration `json:"-"`
	cookie bool          // it set a cookie
}

// code is -1 if the answer is not HEC's.
func (r *reply) code() int {
	if r.Code == nil {
		return -1
	}
	return *r.Code
}

const maxReply = 1 << 20

func readReply(resp *http.Response, into any) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return err
	}
	if json.Unmarshal(b, into) != nil {
		return errNotHEC
	}
	return nil
}

var errNotHEC = errors.New("the answer is not one of Splunk's HTTP Event Collector; is there a proxy or another service at the endpoint?")

// verdict is what an answer means for the request.
type verdict int

const (
	accepted      verdict = iota
	busy                  // the same request later; everybody else waits too
	misconfigured         // the operator has to mend it
	tooLarge              // in smaller parts
	badEvent              // some event, maybe named by its number, is the reason
	noAck                 // the token does not acknowledge
	newChannel            // the channel is no good; another will be
	onceMore              // the load balancer's cookie was missing and is there now
)

// Splunk's codes (Splunk 10.2, "HTTP Event Collector: possible error codes"; 23 to 27 as newer versions answer).
var codes = map[int]struct {
	verdict verdict
	text    string // for people: what is wrong and what to do
}{
	0:  {accepted, "success"},
	1:  {misconfigured, "the token is disabled: enable it in Splunk (Settings, Data inputs, HTTP Event Collector)"},
	2:  {misconfigured, "Splunk saw no token"},
	3:  {misconfigured, "Splunk does not understand the authorization; does a proxy change it?"},
	4:  {misconfigured, "Splunk does not know the token: compare it with Settings, Data inputs, HTTP Event Collector"},
	5:  {badEvent, "no data"},
	6:  {badEvent, "an event has a format that Splunk does not accept"},
	7:  {misconfigured, "the token may not write to the index, or there is no such index"},
	8:  {busy, "internal error of Splunk"},
	9:  {busy, "Splunk is busy"},
	10: {misconfigured, "the token wants acknowledgement and no channel was sent: set ack.mode to auto"},
	11: {newChannel, "Splunk does not accept the channel"},
	12: {badEvent, "an event is missing"},
	13: {badEvent, "an event is blank"},
	14: {noAck, "the token does not acknowledge"},
	15: {badEvent, "Splunk cannot handle an event's indexed fields"},
	16: {misconfigured, "a token in the query is not allowed"},
	17: {accepted, "healthy"},
	18: {busy, "Splunk's queues are full"},
	19: {busy, "Splunk's acknowledgement is not available"},
	20: {busy, "Splunk's queues are full and its acknowledgement is not available"},
	21: {misconfigured, "Splunk does not know the token"},
	22: {misconfigured, "the token is disabled"},
	23: {busy, "Splunk is shutting down"},
	24: {busy, "Splunk's queue is nearly full"},
	25: {busy, "Splunk's acknowledgement channel is nearly full"},
	26: {busy, "Splunk's queue is full"},
	27: {busy, "Splunk's acknowledgement channel is full"},
}

// judge says what an answer means. A 200 without Splunk's code 0 is not a success: a proxy or a login page answers 200 as well.
func (r *reply) judge() verdict {
	c, known := codes[r.code()]
	switch {
	case r.HTTP == http.StatusOK && (r.code() == 0 || r.code() == 24 || r.code() == 25): // 24 and 25 warn of what they accept
		return accepted
	case r.HTTP == http.StatusRequestEntityTooLarge:
		return tooLarge
	case r.HTTP == http.StatusTooManyRequests, r.HTTP == http.StatusRequestTimeout, r.HTTP >= 500:
		return busy
	case known && c.verdict != accepted:
		return c.verdict
	case r.HTTP == http.StatusBadRequest && r.cookie:
		return onceMore
	case r.HTTP == http.StatusBadRequest && r.Code != nil:
		return badEvent // a code from the future about what was sent
	}
	return misconfigured
}

// reason is the word for metrics and dead letters.
func (r *reply) reason() string {
	if r.Code != nil && *r.Code >= 0 && *r.Code < 1000 {
		return fmt.Sprintf("hec_%d", *r.Code)
	}
	return fmt.Sprintf("http_%d", r.HTTP)
}

// err describes the answer in our own words.
func (r *reply) err() error {
	text := "no answer of Splunk's HTTP Event Collector; is there a proxy or another service at the endpoint?"
	if r.Code != nil {
		text = "a code that this version does not know"
		if c, ok := codes[*r.Code]; ok {
			text = c.text
		}
	}
	return streams.WithReason(fmt.Errorf("HTTP %d, code %d: %s", r.HTTP, r.code(), text), r.reason())
}

func (r *reply) again(busy bool) error { return sink.Again(r.err(), r.reason(), r.After, busy) }
