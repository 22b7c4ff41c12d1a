package textscore

import (
	"unicode"
	"unicode/utf8"

	"github.com/mcpsiem/mcpsiem/internal/inspect/view"
)

// Limits of a segment, in words. What is longer is cut; what is shorter orders nothing.
const (
	minWords = 3
	maxWords = 64
	maxWord  = 24 // bytes of a word that count
)

// segment is a sentence or a line of a text, as features.
type segment struct {
	feats    []uint32 // hashed; each counts 1/sqrt(len(feats))
	shape    []uint32 // what is known of its form and place; each counts 1
	from, to int      // bytes of the text
	words    int
	acts     bool // it could order something
}

// scanner cuts texts into segments. It allocates only to grow.
type scanner struct {
	folded view.View
	words  []word
	buf    []byte // the current word
	said   []byte // the words of the current segment that differ from the text
	text   []byte
	cur    segment
	last   segment // held back until it is known whether another follows
	held   bool
	count  int  // segments so far
	lines  int  // lines that looked like data so far
	line   bool // the current segment began a line
	single int  // words of one letter in a row, spaced alike
	gap    byte
	digits int
	upper  int
	cut    bool // the segment is as long as one may be
	marks  uint32
	emit   func(*segment)
	extra  []uint32 // shape features of all segments of the text
}

// Hash spaces of features.
const (
	spaceWord = iota + 1
	spacePair
	spaceTriple
	spaceChars
	spaceClass
	spaceClasses
	spaceClasses3
	spaceShape
	spaceName
	spaceParam
	spaceMixed
)

// mix makes a feature's index.
func mix(space uint32, a, b, c uint32) uint32 {
	h := a*0x9E3779B1 + b*0x85EBCA77 + c*0xC2B2AE3D + space*0x27D4EB2F
	h ^= h >> 15
	h *= 0x2C1B3C6D
	return h >> (32 - Bits)
}

// scan cuts text into segments and hands each to emit, in order, valid until emit returns. folded says that look-alikes and invisible
// characters are dealt with already.
func (s *scanner) scan(text []byte, folded bool, extra []uint32, emit func(*segment)) {
	if !folded {
		var h view.Hidden
		src := view.View{B: text}
		if view.Fold(&s.folded, &src, &h) {
			text = s.folded.B
		}
	}
	s.emit, s.extra, s.text = emit, extra, text
	s.count, s.lines, s.held, s.line = 0, 0, false, true
	s.begin(0)
	n := len(text)
	for i := 0; i < n; {
		c := text[i]
		if kinds[c] <= isUpper && len(s.buf) == 0 { // most words are letters only
			h, j := uint32(2166136261), i
			for j < n && kinds[text[j]] <= isUpper {
				h = (h ^ uint32(text[j]|0x20)) * 16777619
				j++
			}
			sign := byte('\n')
			if j < n {
				sign = text[j]
			}
			if k := kinds[sign]; (k == isGap || k == isStop) && leet(sign) == 0 && j-i <= maxWord {
				if kinds[c] == isUpper {
					s.upper++
				}
				s.add(word{h, classify(h), uint32(i), uint8(j - i), false}, j, sign)
				i = j
				continue
			}
		}
		switch kinds[c] {
		case isLetter:
			s.buf = append(s.buf, c)
			i++
		case isUpper:
			if len(s.buf) == 0 {
				s.upper++
			}
			s.buf = append(s.buf, c|0x20)
			i++
		case isDigit:
			if len(s.buf) > 0 && leetAt(text, i) {
				s.buf = append(s.buf, leet(c))
			} else if len(s.buf) == 0 && (c == '1' || c == '0') && i+1 < n && asciiLetter(text[i+1]) {
				s.buf = append(s.buf, leet(c))
			} else {
				s.digits++
				s.end(i, ' ')
			}
			i++
		case isQuote:
			i++
		case isHigh:
			r, k := utf8.DecodeRune(text[i:])
			switch {
			case ideograph(r):
				s.end(i, ' ')
				i += s.ideographs(text[i:])
				if s.cut {
					s.cut = false
					s.close(i)
				}
			case unicode.IsLetter(r) || unicode.IsMark(r):
				s.buf = lower(s.buf, r)
				i += k
			case r == '。' || r == '！' || r == '？' || r == '；':
				s.end(i, '.')
				i += k
				s.close(i)
			default:
				s.end(i, ' ')
				i += k
			}
		case isStop:
			if c == '!' && len(s.buf) > 0 && i+1 < n && asciiLetter(text[i+1]) && leetAt(text, i) {
				s.buf = append(s.buf, 'i')
				i++
				continue
			}
			s.end(i, c)
			i++
			switch {
			case c == '\n':
				if breaks(text, i, i-1-s.cur.from) {
					s.close(i)
					s.line = true
				}
			case c == '.' && i < n && text[i] != ' ' && text[i] != '\n' && text[i] != '"' && text[i] != '\'' && text[i] != '\\' && text[i] != ')' && text[i] != '<':
				// a name, a number, an address
			default:
				s.mark(c)
				s.close(i)
			}
		default:
			if (c == '$' || c == '@') && len(s.buf) > 0 && leetAt(text, i) && c == '$' {
				s.buf = append(s.buf, 's')
				i++
				continue
			}
			s.end(i, c)
			i++
			if c == '\\' && i < n && (text[i] == 'n' || text[i] == 'r' || text[i] == 't') { // an escape that is shown
				if text[i] == 'n' {
					i++
					s.close(i)
					s.line = true
				} else {
					i++
				}
			} else if c != ' ' && c != ',' {
				s.mark(c)
			}
		}
	}
	s.end(n, '\n')
	s.close(n)
	if s.held {
		s.finish(true)
	}
}

// breaks says whether the line that ended before i, of length bytes, ends a segment: not where a long line was wrapped.
func breaks(b []byte, i, length int) bool {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i == len(b) || length < 50 || kinds[b[i]] != isLetter
}

func (s *scanner) begin(at int) {
	s.cur.feats, s.cur.shape = s.cur.feats[:0], s.cur.shape[:0]
	s.cur.from, s.cur.words, s.cur.acts = at, 0, false
	s.words, s.said = s.words[:0], s.said[:0]
	s.buf = s.buf[:0]
	s.single, s.digits, s.upper, s.marks = 0, 0, 0, 0
}

// mark notes a sign: what data looks like.
func (s *scanner) mark(c byte) {
	switch c {
	case '{', '}', '[', ']', '"', ':', '=', '|', '<', '>', '/', '_', '#', '\\', '*':
		s.marks++
	}
}

// end ends a word before byte i, where sign stands.
func (s *scanner) end(i int, sign byte) {
	n := len(s.buf)
	if n == 0 {
		if s.single > 0 && sign != s.gap {
			s.single = 0
		}
		return
	}
	b := s.buf[:min(n, maxWord)]
	h := hashWord(b)
	w := word{h, classify(h), uint32(len(s.said)), uint8(len(b)), true}
	s.said = append(s.said, b...)
	s.buf = s.buf[:0]
	s.add(w, i, sign)
}

// add adds a word that ends before byte i, where sign stands.
func (s *scanner) add(w word, i int, sign byte) {
	s.words = append(s.words, w)
	if w.n == 1 {
		// letters set apart: one word
		if s.single > 0 && s.gap == sign {
			s.single++
		} else {
			s.single, s.gap = 1, sign
		}
		if s.single >= 4 {
			s.joinLetters()
		}
	} else {
		s.single = 0
	}
	if len(s.words) >= maxWords {
		s.close(i)
	}
}

// joinLetters makes one word of the last letters.
func (s *scanner) joinLetters() {
	k := len(s.words) - s.single
	if k < 0 {
		return
	}
	from := len(s.said)
	for i := range s.words[k:] {
		s.said = append(s.said, s.bytes(&s.words[k+i])[0]|0x20)
	}
	h := hashWord(s.said[from:])
	if c := classify(h); c != Other && c != Is && c != Me {
		s.words = append(s.words[:k], word{h, c, uint32(from), uint8(len(s.said) - from), true})
		s.single = 0
		return
	}
	s.said = s.said[:from]
	if s.single >= maxWord {
		s.single = 0
	}
}

// bytes are those of a word; its letters may be capitals.
func (s *scanner) bytes(w *word) []byte {
	if w.side {
		return s.said[w.at : w.at+uint32(w.n)]
	}
	return s.text[w.at : w.at+uint32(w.n)]
}

// ideographs adds the words that a run of ideographs begins with, and returns how many bytes they take.
func (s *scanner) ideographs(b []byte) int {
	var at [5]int
	k := 0
	for k < 4 {
		r, n := utf8.DecodeRune(b[at[k]:])
		if n == 0 || !ideograph(r) {
			break
		}
		at[k+1] = at[k] + n
		k++
	}
	for n := k; n >= 1; n-- {
		h := hashWord(b[:at[n]])
		if c := classify(h); c != Other || n == 1 {
			s.words = append(s.words, word{h, c, uint32(len(s.said)), uint8(at[n]), true})
			s.said = append(s.said, b[:at[n]]...)
			if len(s.words) >= maxWords {
				s.cut = true
			}
			return at[n]
		}
	}
	return at[1]
}

// close ends a segment before byte i.
func (s *scanner) close(i int) {
	seg := &s.cur
	seg.to, seg.words = i, len(s.words)
	if seg.words < minWords {
		if s.marks+uint32(s.digits) > 0 {
			s.lines++
		}
		s.begin(i)
		return
	}
	if seg.acts = s.orders(); seg.acts {
		s.features()
	}
	if s.held {
		s.finish(false)
	}
	if s.data() {
		s.lines++
	}
	s.cur, s.last = s.last, s.cur
	s.held = true
	s.line = false
	s.begin(i)
}

// orders says whether the words of the current segment could order anything: one of them begins it or is asked for and names an action,
// or sets aside, conceals or speaks to the reader. What cannot is not looked at further, which is most of all text.
func (s *scanner) orders() bool {
	var has uint32
	for i, w := range s.words {
		c := w.class
		if c == Other {
			continue
		}
		has |= 1 << c
		if i < 3 && actions&(1<<c) != 0 {
			return true
		}
	}
	return has&commands != 0 || has&actions != 0 && has&addresses != 0
}

const (
	actions   = 1<<Act | 1<<Reach | 1<<Shape | 1<<Guard | 1<<Harm
	commands  = 1<<Ignore | 1<<Secret | 1<<Please | 1<<Machine | 1<<Harm | 1<<Best
	addresses = 1<<You | 1<<Answer | 1<<Orders | 1<<Always | 1<<First | 1<<Not | 1<<User | 1<<Tools | 1<<Power | 1<<Code | 1<<Done
)

// features adds what the words of the current segment say.
func (s *scanner) features() {
	seg := &s.cur
	w := s.words
	// runs of four characters, from word to word
	r := uint32('_')
	for i := range w {
		for _, c := range s.bytes(&w[i]) {
			if c-'A' < 26 {
				c |= 0x20
			}
			r = r<<8 | uint32(c)
			seg.feats = append(seg.feats, r*0x9E3779B1>>(32-Bits))
		}
		r = r<<8 | '_'
		seg.feats = append(seg.feats, r*0x9E3779B1>>(32-Bits))
	}
	var seen [classes]bool
	c1, c2 := uint32(99), uint32(99) // the last two classes that say something
	for i := range w {
		h, c := w[i].hash, w[i].class
		seg.feats = append(seg.feats, mix(spaceWord, h, 0, 0))
		if i > 0 {
			seg.feats = append(seg.feats, mix(spacePair, w[i-1].hash, h, 0))
			a, b := w[i-1], w[i]
			if a.class != Other && b.class == Other {
				seg.feats = append(seg.feats, mix(spaceMixed, uint32(a.class), h, 1))
			} else if a.class == Other && b.class != Other {
				seg.feats = append(seg.feats, mix(spaceMixed, a.hash, uint32(b.class), 2))
			}
		}
		if c == Other {
			continue
		}
		if !seen[c] {
			seen[c] = true
			seg.shape = append(seg.shape, mix(spaceClass, uint32(c), 0, 0))
		}
		if c1 != 99 {
			seg.feats = append(seg.feats, mix(spaceClasses, c1, uint32(c), 0), mix(spaceClasses, c1, uint32(c), 0))
			if c2 != 99 {
				seg.feats = append(seg.feats, mix(spaceClasses3, c2, c1, uint32(c)))
			}
		}
		c2, c1 = c1, uint32(c)
	}
	first := uint32(w[0].class)
	second := uint32(w[1].class)
	seg.shape = append(seg.shape, mix(spaceShape, 1, first, 0), mix(spaceShape, 2, first, second), mix(spaceShape, 3, uint32(min(len(w), 40)/6), 0))
	data := s.data()
	seg.shape = append(seg.shape, mix(spaceShape, 4, b2u(data), min(uint32(s.digits)/3, 3)), mix(spaceShape, 5, min(uint32(s.upper)*4/uint32(len(w)), 3), 0), mix(spaceShape, 6, b2u(s.line), 0))
}

// data says that the current segment looks like data rather than prose.
func (s *scanner) data() bool { return s.marks*3 > uint32(len(s.words)) }

// finish hands the segment held back to emit; alone says that no other follows.
func (s *scanner) finish(end bool) {
	seg := &s.last
	where := uint32(0)
	switch {
	case s.count == 0 && end:
		where = 1
	case s.count == 0:
		where = 2
	case end:
		where = 3
	}
	s.count++
	s.held = false
	if seg.acts {
		seg.shape = append(seg.shape, mix(spaceShape, 7, where, b2u(s.lines > 1)))
		seg.shape = append(seg.shape, s.extra...)
		s.emit(seg)
	}
}

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
