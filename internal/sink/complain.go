// What an operator hears of a target that does not take records.

package sink

import (
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Complaints logs what is wrong with a target, at most once a minute for each reason, and keeps the component's status. Safe for concurrent
// use.
type Complaints struct {
	log    *zap.Logger
	target string
	host   component.Host

	mu     sync.Mutex // guards what follows
	said   map[string]time.Time
	broken bool
}

// NewComplaints makes complaints about a target, named as in `PagerDuty does not take events`.
func NewComplaints(log *zap.Logger, host component.Host, target string) *Complaints {
	return &Complaints{log: log, target: target, host: host, said: map[string]time.Time{}}
}

// Fails says that records wait in the stream because of err. Its reason is that of streams.WithReason.
func (c *Complaints) Fails(err error) {
	reason := streams.Reason(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.said[reason]) > time.Minute {
		c.said[reason] = now
		c.log.Error(c.target+" does not take records; they wait in the stream", zap.String("reason", reason), zap.Error(err))
	}
	c.broken = true
	componentstatus.ReportStatus(c.host, componentstatus.NewRecoverableErrorEvent(errors.New(c.target+" does not take records: "+reason)))
}

// Works says that it takes records.
func (c *Complaints) Works() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		c.broken = false
		clear(c.said)
		componentstatus.ReportStatus(c.host, componentstatus.NewEvent(componentstatus.StatusOK))
	}
}
