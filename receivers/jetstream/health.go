// What the receiver reports as its status.

package jetstream

import (
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// cause is one thing that can be wrong independently of the others.
type cause string

const (
	causeConnection cause = "connection"
	causeSetup      cause = "setup"
	causePipeline   cause = "pipeline"
	causeDead       cause = "dead letters"
)

// health reports a recoverable error for each cause that begins, and OK when none is left.
type health struct {
	host component.Host
	mu   sync.Mutex
	sick map[cause]bool // guarded by mu
}

func (h *health) bad(c cause, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sick == nil {
		h.sick = make(map[cause]bool)
	}
	if h.host == nil || h.sick[c] {
		return
	}
	h.sick[c] = true
	componentstatus.ReportStatus(h.host, componentstatus.NewRecoverableErrorEvent(err))
}

func (h *health) good(c cause) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.sick[c] {
		return
	}
	delete(h.sick, c)
	if len(h.sick) == 0 {
		componentstatus.ReportStatus(h.host, componentstatus.NewEvent(componentstatus.StatusOK))
	}
}
