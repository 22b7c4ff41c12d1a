// Package mcp reads the Model Context Protocol's wire format, all versions of it, as a bystander must: one pass over the
// bytes, linear in time, bounded in memory, without an input that it fails on. Keys are case-sensitive; what another
// parser could read differently is reported as an Anomaly.
//
// It does not use encoding/json, which matches struct keys in any case, keeps the last of two duplicates silently and
// copies.
package mcp

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"
	"sync"
	"unicode/utf8"
)

// Limits bound what Parse and Split do with hostile input. The zero value stands for the defaults.
type Limits struct {
	MaxDepth int  // nesting up to which keys are checked and beyond which TooDeep is reported; default 512
	MaxBatch int  // members of a batch that become messages of their own; default 1000
	Partial  bool // the bytes are the head of a message that was cut: its end is no error
}

const (
	defaultMaxDepth = 512
	defaultMaxBatch = 1000
)

func (l Limits) withDefaults() Limits {
	if l.MaxDepth <= 0 {
		l.MaxDepth = defaultMaxDepth
	}
	if l.MaxBatch <= 0 {
		l.MaxBatch = defaultMaxBatch
	}
	return l
}

// section says which object the members at depth 2 belong to.
type section uint8

const (
	secNone section = iota
	secParams
	secResult
	secError
)

// scanner validates one JSON value and notes where a message's members lie. Its stack is one bit a level, so depth costs
// nothing; keys are kept for the open objects only.
type scanner struct {
	b     []byte
	m     *Message
	max   int      // Limits.MaxDepth
	bits  []uint64 // for each depth: 1 object, 0 array
	start []int32  // for each depth up to max: where its keys begin in keys
	keys  []keyHash
	table []uint64
	fold  []byte
}

// keyHash identifies a key within its object. The hash is keyed for the process, so equal hashes mean equal keys for all
// an attacker can do.
type keyHash struct{ exact, folded uint64 }

var (
	hashSeed = maphash.MakeSeed()
	scanners = sync.Pool{New: func() any { return new(scanner) }}
)

func getScanner() *scanner { return scanners.Get().(*scanner) }

func putScanner(s *scanner) {
	s.b, s.m = nil, nil
	if cap(s.keys) > 4096 || cap(s.table) > 16384 || cap(s.bits) > 4096 {
		return // one hostile message must not keep its memory
	}
	scanners.Put(s)
}

// errKind is why a scan ended early.
type errKind uint8

const (
	scanOK      errKind = iota
	scanEOF             // the bytes ended within the value
	scanInvalid         // not JSON
)

// value scans the value that begins at i (white space allowed) and returns the index after it. With record, the members of
// a message are noted in s.m.
func (s *scanner) value(i int, record bool) (int, errKind) {
	b := s.b
	depth := 0
	sec := secNone
	var slots [3]slot // for depth 0, 1, 2: the slot whose value is open, or slotNone
	slots[1], slots[2] = slotNone, slotNone
	s.keys = s.keys[:0]

value:
	i = skipSpace(b, i)
	if i >= len(b) {
		return i, scanEOF
	}
	if record && depth <= 2 && depth > 0 {
		if sl := slots[depth]; sl != slotNone {
			s.m.spans[sl] = span{int32(i), int32(i)}
		}
	}
	switch c := b[i]; c {
	case '{':
		depth++
		s.push(depth, true)
		i = skipSpace(b, i+1)
		if i < len(b) && b[i] == '}' {
			i++
			goto closed
		}
		goto key
	case '[':
		depth++
		s.push(depth, false)
		if record && depth <= 2 {
			slots[depth] = slotNone
		}
		i = skipSpace(b, i+1)
		if i < len(b) && b[i] == ']' {
			i++
			goto closed
		}
		goto value
	case '"':
		end, fl, e := scanString(b, i+1)
		if fl != 0 {
			s.note(fl)
		}
		if e != scanOK {
			return end, e
		}
		i = end
	case 't':
		var e errKind
		if i, e = literal(b, i, "true"); e != scanOK {
			return i, e
		}
	case 'f':
		var e errKind
		if i, e = literal(b, i, "false"); e != scanOK {
			return i, e
		}
	case 'n':
		var e errKind
		if i, e = literal(b, i, "null"); e != scanOK {
			return i, e
		}
	default:
		var e errKind
		if i, e = scanNumber(b, i); e != scanOK {
			return i, e
		}
	}

after:
	if depth == 0 {
		return i, scanOK
	}
	if record && depth <= 2 {
		if sl := slots[depth]; sl != slotNone {
			s.m.spans[sl].end = int32(i)
			if depth == 1 {
				sec = secNone
			}
		}
	}
	i = skipSpace(b, i)
	if i >= len(b) {
		return i, scanEOF
	}
	if s.isObject(depth) {
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
			goto key
		case '}':
			i++
			goto closed
		}
		return i, scanInvalid
	}
	switch b[i] {
	case ',':
		i++
		goto value
	case ']':
		i++
		goto closed
	}
	return i, scanInvalid

key:
	{
		if i >= len(b) {
			return i, scanEOF
		}
		if b[i] != '"' {
			return i, scanInvalid
		}
		end, fl, e := scanString(b, i+1)
		if fl != 0 {
			s.note(fl)
		}
		if e != scanOK {
			return end, e
		}
		k := b[i+1 : end-1]
		if fl&strEscaped != 0 {
			k = AppendText(nil, b[i:end])
		}
		i = end
		if depth <= s.max {
			s.addKey(k, depth, record && (depth == 1 || sec == secParams))
		}
		if record && depth <= 2 {
			sl, variant := lookup(k, depth, sec)
			if variant {
				s.m.Anomalies |= CaseVariantKey
			}
			slots[depth] = sl
			if depth == 1 {
				sec = sectionOf(sl)
				if sec != secNone {
					s.m.clearSection(sec) // of two params the last one counts, and none of the first one's members
				}
			}
		}
		i = skipSpace(b, i)
		if i >= len(b) {
			return i, scanEOF
		}
		if b[i] != ':' {
			return i, scanInvalid
		}
		i++
		goto value
	}

closed:
	s.pop(depth)
	depth--
	goto after
}

func (s *scanner) note(f strFlag) {
	if s.m == nil {
		return
	}
	if f&strBadUTF8 != 0 {
		s.m.Anomalies |= InvalidUTF8
	}
	if f&strLone != 0 {
		s.m.Anomalies |= LoneSurrogate
	}
}

func (s *scanner) push(depth int, object bool) {
	w, bit := depth>>6, uint64(1)<<(depth&63)
	if w == len(s.bits) {
		s.bits = append(s.bits, 0)
	}
	if object {
		s.bits[w] |= bit
	} else {
		s.bits[w] &^= bit
	}
	if depth > s.max {
		if s.m != nil {
			s.m.Anomalies |= TooDeep
		}
		return
	}
	if depth >= len(s.start) {
		s.start = append(s.start, make([]int32, depth+1-len(s.start))...)
	}
	s.start[depth] = int32(len(s.keys))
}

func (s *scanner) isObject(depth int) bool { return s.bits[depth>>6]&(1<<(depth&63)) != 0 }

// smallObject is the number of keys up to which each new one is compared with all before it.
const smallObject = 16

func (s *scanner) addKey(k []byte, depth int, folded bool) {
	if s.m == nil || s.m.Anomalies.Has(DuplicateKey|CaseVariantKey) {
		return
	}
	h := keyHash{exact: maphash.Bytes(hashSeed, k)}
	if folded {
		h.folded = s.foldHash(k)
	}
	if open := s.keys[s.start[depth]:]; len(open) < smallObject {
		for _, o := range open {
			if o.exact == h.exact {
				s.m.Anomalies |= DuplicateKey
			} else if folded && o.folded == h.folded {
				s.m.Anomalies |= CaseVariantKey
			}
		}
	}
	s.keys = append(s.keys, h)
}

// foldHash hashes k with its letters in one case, by the folding that encoding/json applies: ASCII letters, and the two
// letters outside ASCII that fold into it.
func (s *scanner) foldHash(k []byte) uint64 {
	f := s.fold[:0]
	for i := 0; i < len(k); i++ {
		c := k[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == 0xc5 && i+1 < len(k) && k[i+1] == 0xbf: // ſ
			c = 's'
			i++
		case c == 0xe2 && i+2 < len(k) && k[i+1] == 0x84 && k[i+2] == 0xaa: // Kelvin sign
			c = 'k'
			i += 2
		}
		f = append(f, c)
	}
	s.fold = f
	h := maphash.Bytes(hashSeed, f)
	if cap(s.fold) > 4096 {
		s.fold = nil
	}
	return h
}

// pop checks the keys of a large object, with a hash table of its size, and forgets them.
func (s *scanner) pop(depth int) {
	if depth > s.max {
		return
	}
	from := s.start[depth]
	keys := s.keys[from:]
	if len(keys) > smallObject && s.m != nil {
		if !s.m.Anomalies.Has(DuplicateKey) && s.repeats(keys, func(k keyHash) uint64 { return k.exact }) {
			s.m.Anomalies |= DuplicateKey
		}
		// A duplicate also folds to the same hash: without one, the same hash is a variant.
		if keys[0].folded != 0 && !s.m.Anomalies.Has(DuplicateKey) && s.repeats(keys, func(k keyHash) uint64 { return k.folded }) {
			s.m.Anomalies |= CaseVariantKey
		}
	}
	s.keys = s.keys[:from]
}

// repeats reports whether two keys have one hash. It stops at the first, so that probing stays linear.
func (s *scanner) repeats(keys []keyHash, of func(keyHash) uint64) bool {
	n := 1 << bits.Len(uint(len(keys)*2))
	if cap(s.table) < n {
		s.table = make([]uint64, n)
	}
	t := s.table[:n]
	clear(t)
	mask := uint64(n - 1)
	for _, k := range keys {
		h := of(k) | 1
		for p := h >> 8 & mask; ; p = (p + 1) & mask {
			if t[p] == h {
				return true
			}
			if t[p] == 0 {
				t[p] = h
				break
			}
		}
	}
	return false
}

func skipSpace(b []byte, i int) int {
	for i < len(b) {
		switch b[i] {
		case ' ', '\n', '\r', '\t':
			i++
		default:
			return i
		}
	}
	return i
}

type strFlag uint8

const (
	strEscaped strFlag = 1 << iota
	strBadUTF8
	strLone
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// scanString scans a string whose opening quote precedes i and returns the index after its closing quote.
func scanString(b []byte, i int) (int, strFlag, errKind) {
	var fl strFlag
	for {
		for i+8 <= len(b) { // fast path: eight bytes of which none needs a look
			x := binary.LittleEndian.Uint64(b[i:])
			m := ((x - ones*0x20) | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones) | x) & highs
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) >> 3
			break
		}
		if i >= len(b) {
			return i, fl, scanEOF
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, fl, scanOK
		case c == '\\':
			fl |= strEscaped
			if i+1 >= len(b) {
				return len(b), fl, scanEOF
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				r, e := hex4(b, i+2)
				if e != scanOK {
					return i, fl, e
				}
				i += 6
				switch {
				case r >= 0xdc00 && r <= 0xdfff:
					fl |= strLone
				case r >= 0xd800 && r <= 0xdbff:
					if i+1 < len(b) && b[i] == '\\' && b[i+1] == 'u' {
						r2, e := hex4(b, i+2)
						if e != scanOK {
							return i, fl, e
						}
						if r2 >= 0xdc00 && r2 <= 0xdfff {
							i += 6
							continue
						}
					}
					fl |= strLone
				}
			default:
				return i, fl, scanInvalid
			}
		case c < 0x20:
			return i, fl, scanInvalid
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				fl |= strBadUTF8
			}
			i += n
		}
	}
}

func hex4(b []byte, i int) (rune, errKind) {
	var r rune
	for j := range 4 {
		if i+j >= len(b) {
			return 0, scanEOF
		}
		c := b[i+j]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, scanInvalid
		}
		r = r<<4 | rune(c)
	}
	return r, scanOK
}

func literal(b []byte, i int, want string) (int, errKind) {
	if len(b)-i >= len(want) {
		if string(b[i:i+len(want)]) == want {
			return i + len(want), scanOK
		}
		return i, scanInvalid
	}
	if string(b[i:]) == want[:len(b)-i] {
		return len(b), scanEOF
	}
	return i, scanInvalid
}

// scanNumber scans a number of RFC 8259. One that ends with the bytes is whole: the caller that knows them to be cut
// cannot tell either.
func scanNumber(b []byte, i int) (int, errKind) {
	digits := func() bool {
		from := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > from
	}
	fail := func() (int, errKind) {
		if i >= len(b) {
			return i, scanEOF
		}
		return i, scanInvalid
	}
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return fail()
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return fail()
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return fail()
		}
	}
	return i, scanOK
}

var bom = []byte{0xef, 0xbb, 0xbf}

// Valid reports whether b is one JSON value of RFC 8259. Like encoding/json it accepts strings that are not UTF-8.
func Valid(b []byte) bool {
	if len(b) > math.MaxInt32 {
		return false
	}
	s := getScanner()
	defer putScanner(s)
	s.b, s.m, s.max = b, nil, 0
	i, e := s.value(0, false)
	return e == scanOK && skipSpace(b, i) == len(b)
}

func trimBOM(b []byte) ([]byte, bool) {
	if bytes.HasPrefix(b, bom) {
		return b[len(bom):], true
	}
	return b, false
}
