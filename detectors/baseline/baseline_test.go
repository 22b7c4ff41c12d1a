package baseline

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var monday = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// office fills four weeks of office hours, about 1000 an hour from 9 to 17 on weekdays.
func office(h *Hours, days int, from time.Time) {
	rng := rand.New(rand.NewPCG(1, 2))
	for d := range days {
		day := from.AddDate(0, 0, d)
		if w := day.Weekday(); w == time.Saturday || w == time.Sunday {
			continue
		}
		for hr := 9; hr < 17; hr++ {
			h.Add(day.Add(time.Duration(hr)*time.Hour).UnixNano(), 800+400*rng.Float64())
		}
	}
}

func TestLimits(t *testing.T) {
	var h Hours
	office(&h, 28, monday)
	next := monday.AddDate(0, 0, 28)
	s := Support{Days: 3, Active: 8}
	noon := h.Limits(next.Add(12*time.Hour).UnixNano(), s)
	if !noon.Known || noon.Median < 800 || noon.Median > 1200 || noon.Spread <= 0 || noon.Spread > 300 || noon.Idle {
		t.Errorf("noon: %+v", noon)
	}
	night := h.Limits(next.Add(3*time.Hour).UnixNano(), s)
	if !night.Idle || night.Median != 0 || night.Typical < 800 {
		t.Errorf("night: %+v", night)
	}
	sunday := h.Limits(next.AddDate(0, 0, 6).Add(12*time.Hour).UnixNano(), s)
	if !sunday.Idle {
		t.Errorf("sunday: %+v", sunday)
	}
}

func TestColdStart(t *testing.T) {
	var h Hours
	s := Support{Days: 3, Active: 8}
	if h.Limits(monday.UnixNano(), s).Known {
		t.Error("nothing is known of nothing")
	}
	office(&h, 2, monday)
	if h.Limits(monday.AddDate(0, 0, 2).UnixNano(), s).Known {
		t.Error("two days are enough")
	}
	office(&h, 4, monday)
	if l := h.Limits(monday.AddDate(0, 0, 4).Add(12*time.Hour).UnixNano(), s); !l.Known || l.Median == 0 {
		t.Errorf("four days are not enough: %+v", l)
	}
}

// A spike does not become the measure.
func TestRobust(t *testing.T) {
	var h Hours
	office(&h, 28, monday)
	before := h.Limits(monday.AddDate(0, 0, 28).Add(12*time.Hour).UnixNano(), Support{})
	h.Add(monday.AddDate(0, 0, 21).Add(12*time.Hour).UnixNano(), 1e6)
	h.judged = 0
	after := h.Limits(monday.AddDate(0, 0, 28).Add(12*time.Hour).UnixNano(), Support{})
	if after.Median > before.Median*1.2 {
		t.Errorf("median %g became %g", before.Median, after.Median)
	}
}

func TestForgets(t *testing.T) {
	var h Hours
	h.Add(monday.UnixNano(), 5)
	if _, ok := h.Add(monday.AddDate(0, 0, 40).UnixNano(), 1); !ok {
		t.Error("refused")
	}
	if _, ok := h.Add(monday.UnixNano(), 5); ok {
		t.Error("what is long over is counted")
	}
	if h.Limits(monday.AddDate(0, 0, 40).UnixNano(), Support{}).Known {
		t.Error("remembers what was six weeks ago")
	}
}

func TestSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Hours
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			h.Add(rapid.Int64Range(0, 5e18).Draw(t, "at"), rapid.Float64Range(0, 1e12).Draw(t, "v"))
		}
		b, err := json.Marshal(&h)
		if err != nil {
			t.Fatal(err)
		}
		var r Hours
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		if r.Total != h.Total || r.First != h.First || r.Last != h.Last {
			t.Fatal("changed by a snapshot")
		}
	})
}

func FuzzHours(f *testing.F) {
	f.Add([]byte{2, 4, 0, 0, 0, 0, 128, 63})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Hours
		if h.UnmarshalBinary(b) != nil {
			return
		}
		h.Limits(1e18, Support{})
		h.Add(1e18, 1)
	})
}
