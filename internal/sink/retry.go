// Waiting when the other side asks for it.

package sink

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RetryConfig says how long one request is repeated before its batch goes back to the stream. The message is kept in progress meanwhile.
type RetryConfig struct {
	Initial    time.Duration `mapstructure:"initial"`     // first delay; doubles, with jitter
	Max        time.Duration `mapstructure:"max"`         // longest delay, unless the other side asks for a longer one
	MaxElapsed time.Duration `mapstructure:"max_elapsed"` // no new attempt later than this after the first
}

// NewRetryConfig returns the defaults: 250ms, 15s, 1m.
func NewRetryConfig() RetryConfig {
	return RetryConfig{Initial: 250 * time.Millisecond, Max: 15 * time.Second, MaxElapsed: time.Minute}
}

// Validate checks the configuration.
func (c *RetryConfig) Validate() error {
	if c.Initial <= 0 || c.Max < c.Initial || c.MaxElapsed < 0 {
		return errors.New("retry: initial must be positive, max at least initial, max_elapsed not negative, e.g. 250ms, 15s, 1m")
	}
	return nil
}

// MaxRetryAfter is the longest wait that another side's Retry-After is believed.
const MaxRetryAfter = 5 * time.Minute

// RetryAfter reads the header Retry-After (RFC 9110, 10.2.3: seconds or a date); 0 if there is none that can be used.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	var d time.Duration
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), MaxRetryAfter)
}

// Gate holds all requests to one target back while it is busy. The zero value is open.
type Gate struct {
	mu    sync.Mutex
	until time.Time
}

// Pause closes the gate for d from now, or leaves it closed for longer.
func (g *Gate) Pause(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := time.Now().Add(d); t.After(g.until) {
		g.until = t
	}
}

// Wait returns when the gate is open, or the context's error.
func (g *Gate) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		d := time.Until(g.until)
		g.mu.Unlock()
		if d <= 0 {
			return ctx.Err()
		}
		if err := Sleep(ctx, d); err != nil {
			return err
		}
	}
}

// again is an error after which the same request may succeed.
type again struct {
	error
	reason string
	after  time.Duration
	busy   bool
}

func (a *again) Unwrap() error { return a.error }

// Again marks err as passing. Reason is a word for the metric. With busy all requests to the target wait, for after if the other side said so.
func Again(err error, reason string, after time.Duration, busy bool) error {
	return &again{err, reason, after, busy}
}

// IsAgain reports whether err was marked as passing.
func IsAgain(err error) bool {
	var a *again
	return errors.As(err, &a)
}

// Retry repeats attempt as long as its error is marked with Again and time is left, and returns its last error. gate and tel may be nil.
func Retry(ctx context.Context, c RetryConfig, gate *Gate, tel *Telemetry, attempt func(context.Context) error) error {
	start := time.Now()
	delay := c.Initial
	for {
		if gate != nil {
			if err := gate.Wait(ctx); err != nil {
				return err
			}
		}
		err := attempt(ctx)
		var a *again
		if err == nil || !errors.As(err, &a) {
			return err
		}
		wait := delay/2 + rand.N(delay/2+1)
		wait = max(wait, a.after)
		delay = min(2*delay, c.Max)
		if a.busy && gate != nil {
			gate.Pause(wait)
		}
		if ctx.Err() != nil || time.Since(start)+wait > c.MaxElapsed {
			return err
		}
		if tel != nil {
			tel.Retried(ctx, a.reason)
		}
		if err := Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// Sleep waits for d, or returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
