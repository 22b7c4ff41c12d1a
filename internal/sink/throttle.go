// Storms: the first alerts of a window of time go each on its own, the others as one with their number.

package sink

import (
	"hash/fnv"
	"slices"
)

// Window is what one window of a throttle remembers. It is plain data, to be kept as JSON, and a function of what was put into it.
type Window struct {
	Admitted []string       `json:"a,omitempty"` // keys that go on their own
	Withheld int            `json:"n,omitempty"` // records in the digest
	Seen     []uint64       `json:"s,omitempty"` // hashes of the records withheld, the first seenLimit
	Rules    map[string]int `json:"r,omitempty"` // records withheld by rule, the first ruleLimit rules; the others under the empty name
	Said     int            `json:"d,omitempty"` // the number in the digest as last sent
}

const (
	seenLimit = 1024
	ruleLimit = 20
)

// Admit reports whether an alert with this key goes on its own: it is one of the first limit keys of the window.
func (w *Window) Admit(key string, limit int) bool {
	if slices.Contains(w.Admitted, key) {
		return true
	}
	if len(w.Admitted) >= limit {
		return false
	}
	w.Admitted = append(w.Admitted, key)
	return true
}

// Withhold counts a record into the digest, one that comes again not twice (of the first 1024). It reports whether the digest is to be sent: at
// each of the first five records, and then whenever the number grew by a fifth, so that 10,000 records make some 45 requests.
func (w *Window) Withhold(id, rule string) bool {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	sum := h.Sum64()
	if !slices.Contains(w.Seen, sum) {
		if len(w.Seen) < seenLimit {
			w.Seen = append(w.Seen, sum)
		}
		w.Withheld++
		if w.Rules == nil {
			w.Rules = map[string]int{}
		}
		if _, ok := w.Rules[rule]; !ok && len(w.Rules) >= ruleLimit {
			rule = ""
		}
		w.Rules[rule]++
	}
	return w.Due()
}

// Due reports whether the number has grown enough since the digest was last sent.
func (w *Window) Due() bool {
	return w.Withheld > w.Said && (w.Withheld <= 5 || w.Withheld*5 >= w.Said*6)
}
