package identity

import (
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// conversations gives events a conversation where their source did not. A session or a process bounds one for certain;
// without either, it is inferred from the trace, or from a pause in what one principal says to one server through one client.
type conversations struct {
	idle int64 // ns
	mu   sync.Mutex
	open *simplelru.LRU[convKey, *conversation] // guarded by mu
}

type convKey struct{ tenant, principal, client, server, host string }

// conversation is one that is inferred from pauses. Events come roughly in order; first and last hold the span seen so far.
type conversation struct {
	id          string
	first, last int64 // ns since 1970
}

func (c *conversations) init(size int, idle time.Duration) (err error) {
	c.idle = int64(idle)
	c.open, err = simplelru.NewLRU[convKey, *conversation](size, nil)
	return err
}

// of returns the conversation of an event at ns and whether it is inferred.
func (c *conversations) of(v *view, id *identified, lr plog.LogRecord, at int64) (string, bool) {
	if v.conversation != "" && !v.conversationInferred {
		return v.conversation, false
	}
	if v.sessionID != "" {
		return event.SourceID("session", id.tenant, v.server, v.sessionID), false
	}
	if v.transport == event.TransportStdio && v.pid != 0 && v.tapID != "" {
		return event.SourceID("process", id.tenant, v.tapID, strconv.FormatInt(v.tapEpoch, 10), strconv.FormatInt(v.pid, 10)), false
	}
	k := convKey{id.tenant, id.principal.id, v.clientName, v.server, ""}
	if !id.known { // nobody in particular: at least keep hosts and credentials apart
		k.principal = id.fingerprint
		k.host = hostOf(v.clientAddr) + "/" + v.host
	}
	if t := lr.TraceID(); !t.IsEmpty() {
		return event.SourceID("trace", k.tenant, k.principal, k.client, k.server, k.host, t.String()), true
	}
	if v.conversation != "" {
		return v.conversation, true
	}
	if v.server == "" && !id.known && id.fingerprint == "" {
		return "", false // nothing to tell one from another
	}
	return c.pause(k, at), true
}

func (c *conversations) pause(k convKey, at int64) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.open.Get(k)
	switch {
	case ok && at >= o.first-c.idle && at <= o.last+c.idle:
		o.first, o.last = min(o.first, at), max(o.last, at)
		return o.id
	case ok && at < o.first: // an old straggler begins nothing that others would join
		return convID(k, at-at%c.idle)
	}
	o = &conversation{id: convID(k, at), first: at, last: at}
	c.open.Add(k, o)
	return o.id
}

func convID(k convKey, at int64) string {
	return event.SourceID("conversation", k.tenant, k.principal, k.client, k.server, k.host, strconv.FormatInt(at, 10))
}
