package flow

import (
	"github.com/mcpsiem/mcpsiem/detectors/generation"
)

// Known are the destinations that somebody uses, and since when. The zero value knows none; JSON keeps it in snapshots.
type Known struct {
	Since int64                 `json:"f,omitempty"` // when the first of them was used, ns
	At    generation.Map[int64] `json:"k,omitzero"`  // when each came up, ns
}

// Learn notes the destinations at the time now and names one that is new: that came up not longer than recent ago, when others had been used
// for learn or longer. Empty if none is. Of more than twice limit destinations those that were not used for longest are forgotten.
func (k *Known) Learn(destinations []string, now, learn, recent int64, limit int) (fresh string) {
	if k.Since == 0 && len(destinations) > 0 {
		k.Since = now
	}
	for _, n := range destinations {
		h := generation.Hash(n)
		at, ok := k.At.Get(h, limit)
		if !ok {
			at = now
			k.At.Put(h, at, limit)
		}
		if fresh == "" && at-k.Since >= learn && now-at <= recent {
			fresh = n
		}
	}
	return fresh
}

// All says that each of the destinations, of which there is at least one, came up before a time. limit is that of Learn.
func (k *Known) All(destinations []string, before int64, limit int) bool {
	for _, n := range destinations {
		if at, ok := k.At.Get(generation.Hash(n), limit); !ok || at > before {
			return false
		}
	}
	return len(destinations) > 0
}
