package engine

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/mcpsiem/mcpsiem/detectors/seqset"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// dedupe knows which events have been observed. Events of a tap are numbered, so all of a tap's run are a few ranges and are
// known exactly for as long as the run is; other ids are random and are kept for a while, in two generations.
//
// The tenant is part of what is remembered: a tenant cannot hide another's events by using their ids.
type dedupe struct {
	runs *lru[seqset.Set] // by tenant and id prefix
	key  []byte

	now, before map[idHash]struct{} // when now is full it becomes before
	half        int                 // size of a generation
}

// idHash stands for an id that is not a tap's: its first 128 bits mixed with the tenant.
type idHash [16]byte

const (
	maxRuns       = 65536 // runs of taps remembered
	maxRunsRanges = 256   // ranges remembered of a run; below the lowest, nothing is known to be a duplicate
)

func newDedupe(capacity int) *dedupe {
	return &dedupe{
		runs: newLRU[seqset.Set](maxRuns),
		now:  map[idHash]struct{}{}, before: map[idHash]struct{}{},
		half: max(capacity/2, 1),
	}
}

// add remembers the event and reports whether it is new. An event without an id is always new.
func (d *dedupe) add(e *event.Event) bool {
	if e.ID == "" {
		return true
	}
	var id idHash
	exact := len(e.ID) == 32
	if exact {
		_, err := hex.Decode(id[:], scratchBytes(e.ID, &d.key))
		exact = err == nil
	}
	if exact && e.TapSeq > 0 && binary.BigEndian.Uint64(id[8:]) == uint64(e.TapSeq) {
		d.key = part(d.key[:0], e.Tenant)
		d.key = append(d.key, id[:8]...)
		n := d.runs.get(d.key)
		if n == nil {
			n, _ = d.runs.add(string(d.key))
		}
		fresh := n.v.Add(uint64(e.TapSeq))
		n.v.Trim(maxRunsRanges)
		return fresh
	}
	id = hashID(e.Tenant, e.ID)
	if _, ok := d.now[id]; ok {
		return false
	}
	if _, ok := d.before[id]; ok {
		return false
	}
	if len(d.now) >= d.half {
		d.before, d.now = d.now, d.before
		clear(d.now)
	}
	d.now[id] = struct{}{}
	return true
}

// scratchBytes copies s into the scratch buffer, which hex.Decode reads from.
func scratchBytes(s string, scratch *[]byte) []byte {
	*scratch = append((*scratch)[:0], s...)
	return *scratch
}

// hashID is a hash of tenant and id that is the same in every process.
func hashID(tenant, id string) idHash {
	h := event.SourceID(tenant, id)
	var out idHash
	_, _ = hex.Decode(out[:], []byte(h)) // SourceID gives 32 hex digits
	return out
}
