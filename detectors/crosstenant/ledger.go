package crosstenant

import (
	"encoding/binary"
	"errors"

	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

// entry is what is known of one fingerprint: who has been seen with it.
type entry struct {
	tenant    uint32 // hash of the one tenant; several: of nobody in particular
	principal uint32 // hash of the one principal
	last      uint32 // minutes since 1970
	from      uint16 // hash of the exchange that it was last seen in
	support   uint8  // different exchanges, up to 255
}

// several stands in for more than one owner: the content is shared.
const several = 1

// ownerHash is never several.
func ownerHash(h uint64) uint32 {
	o := uint32(h ^ h>>32)
	if o <= several {
		o += 2
	}
	return o
}

// ledger holds up to twice limit entries: what was not seen for as long as it took to fill it anew is forgotten.
type ledger struct {
	limit       int
	now, before map[uint64]entry
}

func (l *ledger) get(f uint64) (entry, bool) {
	e, ok := l.now[f]
	if !ok {
		e, ok = l.before[f]
	}
	return e, ok
}

func (l *ledger) put(f uint64, e entry) {
	if _, ok := l.now[f]; !ok && len(l.now) >= l.limit {
		l.before, l.now = l.now, nil
	}
	if l.now == nil {
		l.now = map[uint64]entry{}
	}
	l.now[f] = e
}

// seen notes that the owner was seen with the fingerprint.
func (l *ledger) seen(f uint64, o owner) {
	e, ok := l.get(f)
	if !ok {
		l.put(f, entry{tenant: o.tenant, principal: o.principal, last: o.minute, from: o.exchange, support: 1})
		return
	}
	if e.tenant != o.tenant {
		e.tenant = several
	}
	if e.principal != o.principal {
		e.principal = several
	}
	if e.from != o.exchange && e.support < 255 {
		e.support++
	}
	e.last, e.from = max(e.last, o.minute), o.exchange
	l.put(f, e)
}

const entrySize = 8 + 4 + 4 + 4 + 2 + 1

func (l *ledger) append(b []byte) []byte {
	for _, m := range []map[uint64]entry{l.now, l.before} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m)))
		for f, e := range m {
			b = binary.LittleEndian.AppendUint64(b, f)
			b = binary.LittleEndian.AppendUint32(b, e.tenant)
			b = binary.LittleEndian.AppendUint32(b, e.principal)
			b = binary.LittleEndian.AppendUint32(b, e.last)
			b = binary.LittleEndian.AppendUint16(b, e.from)
			b = append(b, e.support)
		}
	}
	return b
}

var errState = errors.New("damaged state")

func (l *ledger) read(b []byte) error {
	for _, m := range []*map[uint64]entry{&l.now, &l.before} {
		if len(b) < 4 {
			return errState
		}
		n := int(binary.LittleEndian.Uint32(b))
		if b = b[4:]; n > len(b)/entrySize {
			return errState
		}
		*m = make(map[uint64]entry, n)
		for range n {
			(*m)[binary.LittleEndian.Uint64(b)] = entry{
				tenant: binary.LittleEndian.Uint32(b[8:]), principal: binary.LittleEndian.Uint32(b[12:]), last: binary.LittleEndian.Uint32(b[16:]),
				from: binary.LittleEndian.Uint16(b[20:]), support: b[22],
			}
			b = b[entrySize:]
		}
	}
	if len(b) > 0 {
		return errState
	}
	return nil
}

// owner is who an event is for.
type owner struct {
	tenant, principal uint32
	minute            uint32
	exchange          uint16
}

// How many fingerprints of a kind of one event are followed: the smallest, as everywhere, so that equal content is sampled equally.
var follow = [...]int{shingle.Value: 12, shingle.Identifier: 12, shingle.Run: 6, shingle.Person: 8, shingle.Organisation: 8}

const kinds = len(follow)

// sample picks the fingerprints to follow.
func sample(dst []uint64, all []uint64) []uint64 {
	var n [kinds]int
	for _, f := range all {
		k := shingle.KindOf(f)
		if int(k) < kinds && n[k] < follow[k] {
			n[k]++
			dst = append(dst, f)
		}
	}
	return dst
}
