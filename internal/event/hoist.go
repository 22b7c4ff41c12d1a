package event

import (
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// minHoist is the least number of records for which sharing is worth the walk.
const minHoist = 4

// Hoist moves each attribute that all records of a resource have alike to the resource, where readers of a batch decode it
// once and not with every record. Decode gives the same events before and after. Attributes that the resource has keep their
// place, since a record's own win over them.
func Hoist(ld plog.Logs) {
	for _, rl := range ld.ResourceLogs().All() {
		n := 0
		for _, sl := range rl.ScopeLogs().All() {
			n += sl.LogRecords().Len()
		}
		if n >= minHoist {
			hoist(rl)
		}
	}
}

// candidate is an attribute that all records looked at so far have alike.
type candidate struct {
	key   string
	value pcommon.Value
	seen  bool
}

func hoist(rl plog.ResourceLogs) {
	res := rl.Resource().Attributes()
	var shared []candidate
	first := true
	for _, sl := range rl.ScopeLogs().All() {
		for _, lr := range sl.LogRecords().All() {
			m := lr.Attributes()
			if first {
				first = false
				shared = make([]candidate, 0, m.Len())
				for k, v := range m.All() {
					if _, taken := res.Get(k); !taken {
						shared = append(shared, candidate{key: k, value: v})
					}
				}
				continue
			}
			shared = agree(shared, m)
			if len(shared) == 0 {
				return
			}
		}
	}
	// The values live in the first record, from which they are about to go.
	for _, c := range shared {
		c.value.CopyTo(res.PutEmpty(c.key))
	}
	for _, sl := range rl.ScopeLogs().All() {
		for _, lr := range sl.LogRecords().All() {
			next := 0
			lr.Attributes().RemoveIf(func(k string, _ pcommon.Value) bool {
				i := indexFrom(shared, k, next)
				if i >= 0 {
					next = i + 1
				}
				return i >= 0
			})
		}
	}
}

// agree returns the candidates that m has with the same value.
func agree(shared []candidate, m pcommon.Map) []candidate {
	next := 0
	for k, v := range m.All() {
		if i := indexFrom(shared, k, next); i >= 0 {
			next = i + 1
			shared[i].seen = shared[i].value.Equal(v)
		}
	}
	kept := shared[:0]
	for _, c := range shared {
		if c.seen {
			c.seen = false
			kept = append(kept, c)
		}
	}
	return kept
}

// indexFrom finds a key, trying next first: records of one source have their attributes in the same order.
func indexFrom(shared []candidate, k string, next int) int {
	if next < len(shared) && shared[next].key == k {
		return next
	}
	return slices.IndexFunc(shared, func(c candidate) bool { return c.key == k })
}
