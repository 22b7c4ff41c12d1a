package transition

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// table is decaying counts of bounded number. Instead of letting each count decay, what is added grows with time, so that a count costs
// nothing while it rests.
type table struct {
	zero   int64 // time at which 1 weighs 1, ns
	counts map[uint64]float32
}

// steps is after how many half-lives the counts are scaled back, long before a float32 ends.
const steps = 60

// add adds 1 at the time now. Of more than limit counts the smaller half is dropped.
func (t *table) add(key uint64, now int64, halfLife time.Duration, limit int) {
	if t.counts == nil {
		t.counts = map[uint64]float32{}
	}
	if t.zero == 0 {
		t.zero = now
	}
	if now-t.zero > steps*int64(halfLife) {
		f := float32(t.unit(now, halfLife))
		for k, v := range t.counts {
			if v /= f; v < 1e-6 {
				delete(t.counts, k)
			} else {
				t.counts[k] = v
			}
		}
		t.zero = now
	}
	if _, ok := t.counts[key]; !ok && len(t.counts) >= limit {
		t.halve()
	}
	t.counts[key] += float32(t.unit(now, halfLife))
}

// unit is what 1 weighs at the time now.
func (t *table) unit(now int64, halfLife time.Duration) float64 {
	return math.Exp2(min(float64(now-t.zero)/float64(halfLife), 2*steps))
}

// get is a count as it is worth at the time now.
func (t *table) get(key uint64, unit float64) float64 { return float64(t.counts[key]) / unit }

type pair struct {
	key   uint64
	count float32
}

// sorted are the counts in an order that depends on them alone.
func (t *table) sorted() []pair {
	out := make([]pair, 0, len(t.counts))
	for k, v := range t.counts {
		out = append(out, pair{k, v})
	}
	slices.SortFunc(out, func(a, b pair) int { return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.key, b.key)) })
	return out
}

func (t *table) halve() {
	all := t.sorted()
	for _, p := range all[:len(all)/2] {
		delete(t.counts, p.key)
	}
}

var errTable = errors.New("cannot read counts")

// appendTo writes the table.
func (t *table) appendTo(b []byte) []byte {
	b = binary.AppendVarint(b, t.zero)
	b = binary.AppendUvarint(b, uint64(len(t.counts)))
	for _, p := range t.sorted() {
		b = binary.LittleEndian.AppendUint64(b, p.key)
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(p.count))
	}
	return b
}

// read reads what appendTo wrote and returns the rest.
func (t *table) read(b []byte) ([]byte, error) {
	zero, n := binary.Varint(b)
	if n <= 0 {
		return nil, errTable
	}
	b = b[n:]
	count, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, errTable
	}
	b = b[n:]
	if count > uint64(len(b))/12 {
		return nil, errTable
	}
	t.zero, t.counts = zero, make(map[uint64]float32, count)
	for range count {
		t.counts[binary.LittleEndian.Uint64(b)] = math.Float32frombits(binary.LittleEndian.Uint32(b[8:]))
		b = b[12:]
	}
	return b, nil
}
