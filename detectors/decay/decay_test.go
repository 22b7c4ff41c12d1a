package decay

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const hour = int64(time.Hour)

func TestCount(t *testing.T) {
	var c Count
	c.Add(8, 1, time.Hour)
	if v := c.Value(1+2*hour, time.Hour); math.Abs(v-2) > 1e-9 {
		t.Error(v)
	}
	if v := c.Add(1, 1+3*hour, time.Hour); math.Abs(v-2) > 1e-9 {
		t.Error(v)
	}
	if v := c.Add(4, 1+hour, time.Hour); math.Abs(v-3) > 1e-9 { // two hours late
		t.Error(v)
	}
}

func TestSpread(t *testing.T) {
	var s Spread
	for i := range 1000 {
		s.Add(float64(10+i%3), 5, time.Hour)
	}
	s.Add(math.NaN(), 5, time.Hour)
	if math.Abs(s.Mean-11) > 0.01 || math.Abs(s.Deviation()-math.Sqrt(2./3)) > 0.01 {
		t.Errorf("%g %g", s.Mean, s.Deviation())
	}
	for i := range 100 {
		s.Add(50, int64(i)*hour, time.Hour)
	}
	if math.Abs(s.Mean-50) > 0.1 || s.N > 3 {
		t.Errorf("does not forget: %+v", s)
	}
}

func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		var at []int64
		now := int64(1e18)
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			now += rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "step")
			at = append(at, now)
			got := w.Add(now, time.Minute)
			least, most := 0, 0
			for _, a := range at {
				if now-a < int64(30*time.Second) {
					least++
				}
				if now-a <= int64(time.Minute) {
					most++
				}
			}
			if got < least || got > most {
				t.Fatalf("%d, want %d to %d", got, least, most)
			}
		}
	})
}
