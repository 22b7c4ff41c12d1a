package textscore

import (
	"math/bits"
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
	loose    bool // prose between pieces of data
	mood     mood
	before   edge
}

// mood is how a segment begins.
type mood uint32

const (
	states   mood = iota // none of these
	orders               // with an action
	asks                 // with "please" and an action
	obliges              // somebody, perhaps the reader, must
	mentions             // it has an action somewhere
	moods
)

// edge is what stands beside a segment.
type edge uint32

const (
	atSentence edge = iota
	atEnd           // the text begins or ends
	atLine
	atQuote // of a value
	atData  // a bracket, a comma, a number
	atTag
	atColon
)

// surroundings is what kind of text a segment is in, known when all of it was read.
type surroundings uint32

const (
	alone  surroundings = iota // nothing else
	prose                      // sentences
	field                      // either of these, as one value of many
	mixed                      // sentences and data
	inData                     // data, but for a sentence or two
	kindsOfText
)

// around says in what kind of text the segments of the text just read stand.
func (s *scanner) around() surroundings {
	switch {
	case s.lines == 0 && s.member:
		return field
	case s.lines == 0 && s.count <= 1:
		return alone
	case s.lines == 0:
		return prose
	case s.lines > 3*s.count:
		return inData
	}
	return mixed
}

// placed is the feature of a segment in surroundings.
func (seg *segment) placed(k surroundings) uint32 {
	return mix(spaceAround, uint32(k), uint32(seg.mood), b2u(seg.loose))
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
	signs  uint32 // what kinds of targets are named
	start  edge   // what stands before the current segment
	header Class  // the last header, as long as it counts
	under  int    // for how many segments it still does
	emit   func(*segment)
	member bool     // the text is one value of many
	all    bool     // each segment is looked at, whether it could order anything or not
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
	spaceAround
	spaceTogether
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
	s.start, s.header, s.under = atEnd, Other, 0
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
					s.line, s.start = true, atLine
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
			if e, ok := breakAt(text, i); ok {
				s.mark(c)
				s.close(i)
				s.start = e
				i++
				continue
			}
			s.sign(text, i)
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
		s.finish()
	}
}

// breaks says whether the line that ended before i, of length bytes, ends a segment: not where a long line was wrapped.
func breaks(b []byte, i, length int) bool {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i == len(b) || length < 50 || kinds[b[i]] != isLetter
}

// breakAt says whether the sign at i separates pieces of data: a quote where a value begins or ends, a bracket beside another or beside
// a quote, a tag. And what the segment behind it then begins at.
func breakAt(b []byte, i int) (edge, bool) {
	switch c := b[i]; c {
	case '"':
		if q := after(b, i+1); q == ',' || q == ':' || q == '}' || q == ']' {
			return atData, true
		}
		if p := before(b, i); p == ':' || p == ',' || p == '{' || p == '[' {
			return atQuote, true
		}
	case '{', '[':
		switch after(b, i+1) {
		case '"', '\'', '{', '[', '}', ']':
			return atData, true
		}
	case '}', ']':
		switch after(b, i+1) {
		case ',', '}', ']':
			return atData, true
		}
		switch before(b, i) {
		case '"', '\'', '}', ']', '{', '[':
			return atData, true
		}
	case '<':
		if i+1 < len(b) && (b[i+1] == '/' || b[i+1] == '!') {
			return atTag, true
		}
	case '>':
		for k := i - 1; k >= 0 && k > i-32; k-- {
			if b[k] == '<' {
				return atTag, true
			}
			if b[k] == '\n' {
				break
			}
		}
	}
	return 0, false
}

// after is the first byte from i on that is no blank, 0 at the end; it looks a few bytes far.
func after(b []byte, i int) byte {
	for k := i; k < len(b) && k < i+8; k++ {
		if b[k] != ' ' && b[k] != '\\' && b[k] != '\n' && b[k] != '\t' {
			return b[k]
		}
	}
	return 0
}

// before is the same backwards.
func before(b []byte, i int) byte {
	for k := i - 1; k >= 0 && k > i-8; k-- {
		if b[k] != ' ' && b[k] != '\\' && b[k] != '\n' && b[k] != '\t' {
			return b[k]
		}
	}
	return 0
}

// Kinds of targets.
const (
	signMail = 1 << iota
	signURL
	signMoney
	signPath
	signID
	signQuoted
)

// sign notes what the sign at i is a part of.
func (s *scanner) sign(b []byte, i int) {
	switch b[i] {
	case '@':
		s.signs |= signMail
	case '/':
		if i > 0 && b[i-1] == '/' && i > 1 && b[i-2] == ':' {
			s.signs |= signURL
		} else if i == 0 || b[i-1] == ' ' || b[i-1] == '~' || b[i-1] == '\'' {
			s.signs |= signPath
		}
	case '$':
		s.signs |= signMoney
	case '#', '_':
		s.signs |= signID
	case '"':
		s.signs |= signQuoted
	}
}

func (s *scanner) begin(at int) {
	s.cur.loose, s.cur.mood, s.signs, s.start = false, states, 0, atSentence
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
	seg.before = s.start
	if seg.words < minWords {
		if s.marks+uint32(s.digits) > 0 || seg.before >= atQuote && seg.words > 0 {
			s.lines++
		}
		s.heads()
		e := s.start
		s.begin(i)
		if seg.words == 0 {
			s.start = e
		}
		return
	}
	seg.loose = s.isLoose(i)
	if seg.acts = s.orders(); seg.acts {
		s.features(i)
	}
	if s.under > 0 {
		s.under--
	}
	if s.held {
		s.finish()
	}
	if s.data() {
		s.lines++
	}
	s.cur, s.last = s.last, s.cur
	s.held = true
	s.line = false
	s.begin(i)
}

// heads notes a header: "IMPORTANT", "[system]", "Note to the AI:".
func (s *scanner) heads() {
	for i := range s.words {
		if c := s.words[i].class; headers&(1<<c) != 0 {
			s.header, s.under = c, 3
			return
		}
	}
}

const headers = 1<<Power | 1<<Machine | 1<<Orders | 1<<User | 1<<Secret | 1<<Tools | 1<<Done | 1<<Task

// isLoose says that the current segment, which ends before i, stands between pieces of data without being one: behind a bracket, or
// before one, and in no quotes.
func (s *scanner) isLoose(i int) bool {
	if s.data() || s.start == atQuote || s.start == atTag {
		return false
	}
	for k := i; k < len(s.text) && k < i+8; k++ {
		if c := s.text[k]; c == '{' || c == '[' {
			if _, ok := breakAt(s.text, k); ok {
				return true
			}
		}
		if s.text[k] > ' ' {
			break
		}
	}
	k := s.cur.from
	for k < i && kinds[s.text[k]] >= isGap && kinds[s.text[k]] != isDigit && kinds[s.text[k]] != isHigh {
		k++
	}
	for n := 0; n < 8 && k > 0; n++ {
		k--
		switch c := s.text[k]; c {
		case '}', ']':
			_, ok := breakAt(s.text, k)
			return ok
		case ' ', '\n', ',', '\\':
		default:
			return false
		}
	}
	return false
}

// orders says whether the words of the current segment could order anything: one of them begins it or is asked for and names an action,
// or sets aside, conceals or speaks to the reader. What cannot is not looked at further, which is most of all text.
func (s *scanner) orders() bool {
	var has uint64
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
	return has&commands != 0 || has&actions != 0 && has&addresses != 0 || s.cur.loose || s.all || s.under > 0 && has&actions != 0
}

const (
	actions   uint64 = 1<<Tell | 1<<Pay | 1<<Grant | 1<<Destroy | 1<<Change | 1<<Make | 1<<Reach | 1<<Shape | 1<<Guard | 1<<Harm
	commands  uint64 = 1<<Ignore | 1<<Secret | 1<<Please | 1<<Machine | 1<<Harm | 1<<Best
	addresses uint64 = 1<<You | 1<<Answer | 1<<Orders | 1<<Always | 1<<First | 1<<Not | 1<<User | 1<<Tools | 1<<Power | 1<<Code | 1<<Done
)

// features adds what the words of the current segment, which ends before byte end, say.
func (s *scanner) features(end int) {
	seg := &s.cur
	w := s.words
	var seen uint64
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
		if seen&(1<<c) == 0 {
			for m := seen & telling; m != 0 && telling&(1<<c) != 0; m &= m - 1 {
				o := uint32(bits.TrailingZeros64(m))
				seg.feats = append(seg.feats, mix(spaceTogether, min(o, uint32(c)), max(o, uint32(c)), 0))
			}
			seen |= 1 << c
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
	verb := s.begins(seg)
	a := s.after(end)
	seg.shape = append(seg.shape,
		mix(spaceShape, 8, uint32(seg.mood), uint32(verb)), mix(spaceShape, 9, uint32(seg.mood), 0),
		mix(spaceShape, 10, uint32(seg.before)*16+uint32(a), uint32(seg.mood)), mix(spaceShape, 11, uint32(seg.before)*16+uint32(a), 0),
		mix(spaceShape, 12, s.signs, 0), mix(spaceShape, 13, b2u(s.signs != 0 || s.digits > 1), uint32(verb)))
	if s.under > 0 {
		seg.shape = append(seg.shape, mix(spaceShape, 14, uint32(s.header), 0), mix(spaceShape, 15, uint32(s.header), uint32(seg.mood)))
	}
	seg.shape = append(seg.shape, mix(spaceShape, 4, b2u(data), min(uint32(s.digits)/3, 3)), mix(spaceShape, 5, min(uint32(s.upper)*4/uint32(len(w)), 3), 0), mix(spaceShape, 6, b2u(s.line), 0))
}

// telling are the classes of which it counts that they come together.
const telling = actions | commands | 1<<You | 1<<Me | 1<<User | 1<<Answer | 1<<Orders | 1<<Prior | 1<<Tools | 1<<First | 1<<Always | 1<<Not | 1<<Data | 1<<Out | 1<<Power | 1<<Code | 1<<Human | 1<<Money | 1<<Device | 1<<Access | 1<<Record | 1<<Task | 1<<Done

// begins finds how the current segment begins: its mood and the class of its first action. What introduces a sentence is passed over.
func (s *scanner) begins(seg *segment) Class {
	please, must := false, false
	for i := range s.words {
		c := s.words[i].class
		switch {
		case actions&(1<<c) != 0:
			switch {
			case i > 5 && !please && !must:
				seg.mood = mentions
			case please:
				seg.mood = asks
			case must:
				seg.mood = obliges
			default:
				seg.mood = orders
				for k := range i {
					if d := s.words[k].class; d == Other && i > 1 || d == Is || d == Me || d == Human {
						seg.mood = mentions
					}
				}
			}
			return c
		case c == Please:
			please = true
		case c == Always, c == You:
			must = true
		}
	}
	return Other
}

// after is what stands behind byte i, where the current segment ends.
func (s *scanner) after(i int) edge {
	k := i
	for k < len(s.text) && s.text[k] == ' ' {
		k++
	}
	if k >= len(s.text) {
		return atEnd
	}
	switch s.text[k] {
	case '\n':
		return atLine
	case '"':
		return atQuote
	case '{', '[', '}', ']', ',':
		return atData
	case '<':
		return atTag
	}
	return atSentence
}

// data says that the current segment looks like data rather than prose.
func (s *scanner) data() bool { return s.marks*3 > uint32(len(s.words)) }

// finish hands the segment held back to emit.
func (s *scanner) finish() {
	seg := &s.last
	s.count++
	s.held = false
	if seg.acts {
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
