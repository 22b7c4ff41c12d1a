// Package baseline says what is usual at an hour of the week, robustly: by medians, so that a spike does not become the measure of the next.
package baseline

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// Weeks is how far back a baseline looks, and so how fast it forgets.
const (
	Weeks = 4
	hours = Weeks * 7 * 24
	hour  = int64(3600e9)
)

// Hours are totals by hour, of the last four weeks. The zero value is empty.
type Hours struct {
	First, Last int64 // hours since 1970 of the first and the latest total
	Total       [hours]float32
	limits      Limits
	judged      int64 // the hour that limits are for
}

// Limits are what is usual in an hour.
type Limits struct {
	Known   bool    // there is enough to judge by
	Median  float64 // of the same hour: in other weeks, else on other days
	Spread  float64 // median absolute deviation of the same, scaled to a standard deviation
	Typical float64 // median of all hours with anything at all
	High    float64 // what 99 in 100 hours with anything stay below
	Idle    bool    // nothing was ever seen at this hour, on three days at least
}

// Support is what must be known before anything is judged.
type Support struct {
	Days   int // since the first total
	Active int // hours with anything at all
}

// Add counts n at the time now, ns, and returns the hour's total so far. Of an hour that is long over, nothing is counted and ok is false.
func (h *Hours) Add(now int64, n float64) (total float64, ok bool) {
	at := floor(now, hour)
	switch {
	case h.First == 0 && h.Last == 0:
		h.First, h.Last = at, at
	case at > h.Last:
		if at-h.Last >= hours {
			h.Total = [hours]float32{}
		} else {
			for k := h.Last + 1; k <= at; k++ {
				h.Total[slot(k)] = 0
			}
		}
		h.Last = at
	case at <= h.Last-hours || at < h.First:
		return 0, false
	}
	t := &h.Total[slot(at)]
	*t = float32(min(float64(*t)+n, math.MaxFloat32/4))
	return float64(*t), true
}

// Limits are what is usual at the hour of now, by what was seen before that hour.
func (h *Hours) Limits(now int64, s Support) Limits {
	at := floor(now, hour)
	if h.judged == at && at != 0 {
		return h.limits
	}
	h.judged, h.limits = at, h.compute(at, s)
	return h.limits
}

func (h *Hours) compute(at int64, s Support) (l Limits) {
	from := max(h.First, at-hours+1)
	var all []float64
	for k := from; k < at; k++ {
		if v := h.value(k); v > 0 {
			all = append(all, v)
		}
	}
	if at-h.First < int64(s.Days)*24 || len(all) < max(s.Active, 1) {
		return l
	}
	l.Known = true
	slices.Sort(all)
	l.Typical = median(all)
	l.High = all[(len(all)*99)/100]
	same := h.same(at, from, 7*24)
	if len(same) < 6 { // less than two other weeks: other days, and the hours beside
		same = h.same(at, from, 24)
	}
	slices.Sort(same)
	l.Median = median(same)
	l.Idle = len(same) >= 6 && same[len(same)-1] == 0
	for i, v := range same {
		same[i] = math.Abs(v - l.Median)
	}
	slices.Sort(same)
	l.Spread = 1.4826 * median(same)
	return l
}

// same are the totals at the same hour every so many hours before, with the hours beside it.
func (h *Hours) same(at, from, every int64) (out []float64) {
	for k := at - every; k+1 >= from; k -= every {
		for d := int64(-1); d <= 1; d++ {
			if k+d >= from && k+d < at {
				out = append(out, h.value(k+d))
			}
		}
	}
	return out
}

// value is an hour's total; hours after the latest are empty.
func (h *Hours) value(k int64) float64 {
	if k > h.Last || k <= h.Last-hours {
		return 0
	}
	return float64(h.Total[slot(k)])
}

func slot(k int64) int64 { return ((k % hours) + hours) % hours }

func floor(a, n int64) int64 {
	q := a / n
	if a < 0 && a%n != 0 {
		q--
	}
	return q
}

// median of a sorted list; 0 of none.
func median(s []float64) float64 {
	n := len(s)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

var errBaseline = errors.New("damaged baseline")

// MarshalBinary writes the hours that are not empty.
func (h *Hours) MarshalBinary() ([]byte, error) {
	b := binary.AppendVarint(nil, h.First)
	b = binary.AppendVarint(b, h.Last)
	for i, v := range h.Total {
		if v != 0 {
			b = binary.LittleEndian.AppendUint16(b, uint16(i))
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b, nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (h *Hours) UnmarshalBinary(b []byte) error {
	*h = Hours{}
	var n int
	if h.First, n = binary.Varint(b); n <= 0 {
		return errBaseline
	}
	b = b[n:]
	if h.Last, n = binary.Varint(b); n <= 0 {
		return errBaseline
	}
	for b = b[n:]; len(b) >= 6; b = b[6:] {
		i := binary.LittleEndian.Uint16(b)
		v := math.Float32frombits(binary.LittleEndian.Uint32(b[2:]))
		if int(i) >= hours || !(v > 0 && v < math.MaxFloat32) {
			return errBaseline
		}
		h.Total[i] = v
	}
	if len(b) != 0 {
		return errBaseline
	}
	return nil
}

// MarshalText makes it part of a state that is kept as JSON.
func (h *Hours) MarshalText() ([]byte, error) {
	b, err := h.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return appendBase64(b), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *Hours) UnmarshalText(t []byte) error {
	b, err := decodeBase64(t)
	if err != nil {
		return errBaseline
	}
	return h.UnmarshalBinary(b)
}
