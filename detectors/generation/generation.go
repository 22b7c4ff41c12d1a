// Package generation is a map of bounded size for the states of detectors: what was not used for as long as it took to fill the map anew is forgotten.
package generation

import "github.com/mcpsiem/mcpsiem/internal/event"

// Map holds up to twice its limit of values. The zero value is empty; it is kept in snapshots as JSON.
type Map[V any] struct {
	Now    map[uint64]V `json:"n,omitempty"`
	Before map[uint64]V `json:"b,omitempty"`
}

// Get finds a value and keeps it from being forgotten soon.
func (m *Map[V]) Get(key uint64, limit int) (v V, ok bool) {
	if v, ok = m.Now[key]; ok {
		return v, true
	}
	if v, ok = m.Before[key]; ok {
		m.Put(key, v, limit)
	}
	return v, ok
}

// Put sets a value. When limit are in use, those that were not used since the last time are forgotten.
func (m *Map[V]) Put(key uint64, v V, limit int) {
	if _, ok := m.Now[key]; !ok && len(m.Now) >= limit {
		m.Before, m.Now = m.Now, nil
	}
	if m.Now == nil {
		m.Now = map[uint64]V{}
	}
	m.Now[key] = v
}

// Len is how many values there are at most; one that is about to be forgotten counts twice.
func (m *Map[V]) Len() int { return len(m.Now) + len(m.Before) }

// Hash makes a key of names. Two lists of names have the same key by chance only, one time in 2^64.
func Hash(parts ...string) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for _, p := range parts {
		for i := range len(p) {
			h = (h ^ uint64(p[i])) * prime
		}
		h = (h ^ 0xff) * prime // a byte that is in no UTF-8
		h ^= uint64(len(p)) * 0x9e3779b97f4a7c15
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

// Server is the configured name of an event's server, or the best stand-in that does not rest on the server's own claims.
func Server(e *event.Event) string {
	switch {
	case e.Server != "":
		return e.Server
	case e.ServerAddress != "":
		return e.ServerAddress
	}
	return e.Command
}
