// Package decay keeps counts and averages that forget: what happened one half-life ago weighs half. Time is event time, so that replay gives the same.
package decay

import (
	"math"
	"time"
)

// Count is a decaying sum. The zero value is 0; JSON keeps it in snapshots.
type Count struct {
	V  float64 `json:"v,omitempty"`
	At int64   `json:"a,omitempty"` // ns
}

// Add adds weight at the time now and returns the sum. What comes late weighs as much less.
func (c *Count) Add(weight float64, now int64, halfLife time.Duration) float64 {
	if now >= c.At {
		c.V = c.V*factor(now-c.At, halfLife) + weight
		c.At = now
	} else {
		c.V += weight * factor(c.At-now, halfLife)
	}
	return c.V
}

// Value is the sum at the time now.
func (c Count) Value(now int64, halfLife time.Duration) float64 {
	if now <= c.At {
		return c.V
	}
	return c.V * factor(now-c.At, halfLife)
}

// factor is what remains after d ns.
func factor(d int64, halfLife time.Duration) float64 {
	if d == 0 {
		return 1
	}
	return math.Exp2(-float64(d) / float64(halfLife))
}

// Spread is the decaying mean and deviation of a series. The zero value is empty; JSON keeps it in snapshots.
type Spread struct {
	N    float64 `json:"n,omitempty"` // weight of what was added
	Mean float64 `json:"m,omitempty"`
	Var  float64 `json:"s,omitempty"`
	At   int64   `json:"a,omitempty"` // ns
}

// Add adds x at the time now.
func (s *Spread) Add(x float64, now int64, halfLife time.Duration) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return
	}
	if now > s.At {
		s.N *= factor(now-s.At, halfLife)
		s.At = now
	}
	s.N++
	d := x - s.Mean
	s.Mean += d / s.N
	s.Var += (d*(x-s.Mean) - s.Var) / s.N
}

// Deviation is the standard deviation.
func (s *Spread) Deviation() float64 { return math.Sqrt(max(s.Var, 0)) }

// Window counts what happened in the last length or at least the last half of it, in two buckets of event time.
type Window struct {
	Bucket int64 `json:"b,omitempty"`
	Now    int   `json:"n,omitempty"`
	Before int   `json:"p,omitempty"`
}

// Add counts one more at the time now and returns how many there were.
func (w *Window) Add(now int64, length time.Duration) int {
	b := now / max(int64(length)/2, 1)
	switch {
	case b == w.Bucket+1:
		w.Bucket, w.Before, w.Now = b, w.Now, 0
	case b > w.Bucket+1:
		w.Bucket, w.Before, w.Now = b, 0, 0
	}
	w.Now++
	return w.Now + w.Before
}
