package tapio

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/tap"
)

// collector is a tap.Stream that keeps what it is given.
type collector struct {
	mu      sync.Mutex
	frames  []tap.Frame
	errors  []transportError
	gone    []uint64
	lost    map[string]int
	closed  bool
	exit    *tap.Exit
	changed chan struct{}
}

type transportError struct {
	class string
	frame tap.Frame
}

func newCollector() *collector {
	return &collector{lost: map[string]int{}, changed: make(chan struct{})}
}

// note wakes waiters; mu is held.
func (c *collector) note() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *collector) Frame(f tap.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, f)
	c.note()
}

func (c *collector) TransportError(class string, f tap.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errors = append(c.errors, transportError{class, f})
	c.note()
}

func (c *collector) ClientGone(n uint64, _ time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = append(c.gone, n)
	c.note()
}

func (c *collector) Lost(direction string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost[direction] += n
	c.note()
}

func (c *collector) Close(exit *tap.Exit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.exit = true, exit
	c.note()
}

// wait waits until ok, called under the lock, holds.
func (c *collector) wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		done, changed := ok(), c.changed
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Fatalf("%s: not seen; have %d frames, %d errors %v, gone %v, lost %v", what, len(c.frames), len(c.errors), c.classes(), c.gone, c.lost)
		}
	}
}

func (c *collector) classes() (s []string) {
	for _, e := range c.errors {
		s = append(s, e.class)
	}
	return s
}

func (c *collector) data(direction string) (s []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		if f.Direction == direction {
			s = append(s, string(f.Data))
		}
	}
	return s
}

// check holds every frame against its own hash, size and times.
func (c *collector) check(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, f := range c.frames {
		if err := checkFrame(f); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
}

func checkFrame(f tap.Frame) error {
	switch {
	case f.Truncated != (f.Size > int64(len(f.Data))):
		return fmt.Errorf("truncated %v, size %d, %d bytes of data", f.Truncated, f.Size, len(f.Data))
	case !f.Truncated && f.SHA256 != sha256.Sum256(f.Data):
		return fmt.Errorf("wrong hash")
	case f.At.IsZero() || f.FirstByte.After(f.At):
		return fmt.Errorf("first byte at %v, last at %v", f.FirstByte, f.At)
	}
	return nil
}

func sum(s string) [32]byte { return sha256.Sum256([]byte(s)) }
