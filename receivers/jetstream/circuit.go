// A pause when the pipeline takes nothing.

package jetstream

import (
	"context"
	"sync"
	"time"
)

// circuit lets workers fetch until a number of transient failures came in a row. Then it is open: nobody fetches for a pause, after
// which one worker tries one batch while the others wait. Its failure doubles the pause, its success ends it.
type circuit struct {
	cfg    CircuitConfig
	opened func(pause time.Duration) // called when a pause begins
	closed func()                    // called at the first success after a failure

	mu       sync.Mutex // guards everything below
	failures int
	pause    time.Duration
	until    time.Time
	probing  bool
}

// wait returns when the caller may fetch, with whether it is the one that probes; false for ok when ctx ended. A prober has to
// call success, failure or release.
func (c *circuit) wait(ctx context.Context) (probe, ok bool) {
	for ctx.Err() == nil {
		c.mu.Lock()
		if c.failures < c.cfg.Failures {
			c.mu.Unlock()
			return false, true
		}
		left := time.Until(c.until)
		if left <= 0 && !c.probing {
			c.probing = true
			c.mu.Unlock()
			return true, true
		}
		c.mu.Unlock()
		sleep(ctx, min(max(left, 10*time.Millisecond), 250*time.Millisecond))
	}
	return false, false
}

// release gives the probe back unused.
func (c *circuit) release() {
	c.mu.Lock()
	c.probing = false
	c.mu.Unlock()
}

func (c *circuit) success() {
	c.mu.Lock()
	was := c.failures
	c.failures, c.pause, c.probing = 0, 0, false
	c.mu.Unlock()
	if was > 0 {
		c.closed()
	}
}

func (c *circuit) failure() {
	c.mu.Lock()
	c.failures++
	open := c.failures >= c.cfg.Failures && (c.probing || c.failures == c.cfg.Failures)
	c.probing = false
	if open {
		c.pause = min(max(2*c.pause, c.cfg.Pause), c.cfg.MaxPause)
		c.until = time.Now().Add(c.pause)
	}
	pause := c.pause
	c.mu.Unlock()
	if open {
		c.opened(pause)
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
