package decode

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// pairAge is the time between a request and its response, by their own clocks, beyond which they are strangers.
const pairAge = int64(time.Hour)

// pairing remembers requests, so that responses which come as single records get their method, tool and exchange. It is best
// effort: a response that comes before its request, through another worker, after a restart or after the table was full is an
// orphan. Entries are not used up by their response, so that a batch which is sent again pairs the same way.
type pairing struct {
	requests *lru.Cache[pairKey, pairedRequest]
}

// pairKey is where a JSON-RPC id is unique: ids of the two directions are apart.
type pairKey struct {
	sender, source, conversation, direction, id, idType string
}

type pairedRequest struct {
	id, exchange, method, tool, resource, prompt, call string
	time                                               int64
}

func newPairing(size int) (*pairing, error) {
	c, err := lru.New[pairKey, pairedRequest](size)
	return &pairing{c}, err
}

// pair completes an event that is a single message. source tells apart the streams of one sender.
func (p *pairing) pair(e *event.Event, sender, source string) {
	conv := e.ConversationID
	if conv == "" {
		conv = e.SessionID
	}
	k := pairKey{sender, source, conv, e.Direction, e.RequestID, e.RequestIDType}
	switch e.Kind {
	case event.KindRequest:
		if e.ExchangeID == "" {
			e.ExchangeID = e.ID
		}
		if e.ExchangeStart == 0 {
			e.ExchangeStart = e.Time
		}
		p.requests.Add(k, pairedRequest{e.ID, e.ExchangeID, e.Method, e.Tool, e.ResourceURI, e.Prompt, e.CallID, e.ExchangeStart})
	case event.KindResponse, event.KindError:
		found := false
		var r pairedRequest
		if e.RequestID != "" {
			for _, d := range []string{event.ClientToServer, event.ServerToClient} {
				if e.Direction != "" && d != opposite(e.Direction) {
					continue
				}
				k.direction = d
				if r, found = p.requests.Get(k); found {
					break
				}
			}
		}
		found = found && e.Time-r.time <= pairAge && r.time-e.Time <= int64(time.Minute) && (e.ExchangeID == "" || e.ExchangeID == r.exchange)
		if found {
			e.ExchangeID, e.ExchangeStart = r.exchange, r.time
			fill(&e.Method, r.method)
			fill(&e.Tool, r.tool)
			fill(&e.ResourceURI, r.resource)
			fill(&e.Prompt, r.prompt)
			fill(&e.CallID, r.call)
			if e.Direction == "" {
				e.Direction = opposite(k.direction)
			}
			if e.DurationNanos == 0 && e.Time > r.time {
				e.DurationNanos = e.Time - r.time
			}
		}
		if e.Direction == "" {
			e.Direction = event.ServerToClient
		}
		if e.ExchangeID == "" { // its own, so that it is a row by itself
			e.ExchangeID, e.Outcome = e.ID, event.OutcomeOrphan
		}
	}
}

func fill(to *string, s string) {
	if *to == "" {
		*to = s
	}
}
