// Package recent counts different values in a sliding window of event time, in bounded memory.
package recent

import (
	"slices"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Set is the values seen lately. The zero value is empty; it is kept in snapshots as JSON.
type Set struct {
	Values []Value `json:"v,omitempty"` // in the order in which they were first seen
}

// Value is one of a Set.
type Value struct {
	Text string `json:"t"` // the value, or a hash of a long one
	At   int64  `json:"a"` // when it was seen last, ns
}

// longest is how many bytes of a value are kept as they are.
const longest = 64

// Add notes the value at the time now and drops what was last seen window ns or more before it. Of more than limit values the one that was seen
// longest ago goes. It reports whether the value is new, or back.
func (s *Set) Add(value string, now, window int64, limit int) bool {
	if len(value) > longest {
		value = "#" + event.SourceID(value)
	}
	fresh := true
	for i := range s.Values {
		if v := &s.Values[i]; v.Text == value {
			fresh = v.At <= now-window
			v.At = max(v.At, now)
			break
		}
	}
	if fresh {
		s.Values = slices.DeleteFunc(s.Values, func(v Value) bool { return v.Text == value })
	}
	s.Values = slices.DeleteFunc(s.Values, func(v Value) bool { return v.At <= now-window })
	if fresh {
		if len(s.Values) >= limit {
			oldest := 0
			for i := range s.Values {
				if s.Values[i].At < s.Values[oldest].At {
					oldest = i
				}
			}
			s.Values = slices.Delete(s.Values, oldest, oldest+1)
		}
		s.Values = append(s.Values, Value{value, now})
	}
	return fresh
}

// Len is how many different values there are.
func (s *Set) Len() int { return len(s.Values) }

// Texts lists up to n of the values, in the order in which they were first seen.
func (s *Set) Texts(n int) []string {
	out := make([]string, 0, min(n, len(s.Values)))
	for _, v := range s.Values[:min(n, len(s.Values))] {
		out = append(out, v.Text)
	}
	return out
}
