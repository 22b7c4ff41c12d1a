// Signs of life for messages in hand.

package jetstream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// heartbeat tells the server every interval that the messages added to it are being worked on.
type heartbeat struct {
	mu   sync.Mutex
	msgs map[jetstream.Msg]struct{} // guarded by mu
}

func newHeartbeat() *heartbeat { return &heartbeat{msgs: make(map[jetstream.Msg]struct{})} }

func (h *heartbeat) add(msgs ...jetstream.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range msgs {
		h.msgs[m] = struct{}{}
	}
}

func (h *heartbeat) remove(m jetstream.Msg) {
	h.mu.Lock()
	delete(h.msgs, m)
	h.mu.Unlock()
}

func (h *heartbeat) run(ctx context.Context, interval time.Duration) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		h.mu.Lock()
		for m := range h.msgs {
			_ = m.InProgress() // without a connection there is nobody to tell; the next one will
		}
		h.mu.Unlock()
	}
}
