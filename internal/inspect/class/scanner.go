package class

import (
	"bytes"
	"fmt"
	"math/bits"
	"sort"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/inspect/lit"
)

// Scanner is compiled once and safe for concurrent use; the state of a scan is in Text.
type Scanner struct {
	Classes []Class
	byName  map[string]ID
	auto    *lit.Automaton
	acts    []action
	digits  [maxDigits + 1][]digitRef
	tokens  [maxToken + 1][]tokenRef
	shapes  [maxDigits + 1][4]uint64 // digits -> set of lengths of the first two groups, first*16+second
	words   []uint64                 // class -> bit of its words; 0 if it has none
	starts  [256][4]uint64           // separator -> set of lengths of the two groups around it that begin a number
	keys    map[string]ID
	keyWord map[string]uint64
}

type actionKind uint8

const (
	actLiteral actionKind = 1 << iota
	actWord
	actAssign
	actMark
)

type action struct {
	kind   actionKind
	text   string
	refs   []literalRef
	words  uint64 // context bits that the word sets
	assign *settingWord
	marks  []uint16
}

type literalRef struct {
	class ID
	lit   *Literal
}

type digitRef struct {
	class ID
	rule  *DigitRule
}

type tokenRef struct {
	class ID
	rule  *TokenRule
}

const (
	maxDigits = 20
	maxToken  = 34
	near      = 72 // bytes between a context word and a value
)

// NewScanner compiles classes. marks are further literals, found in the same pass and reported in Text.Marks by position in the
// list; they match in any case.
func NewScanner(classes []Class, marks []string) (*Scanner, error) {
	s := &Scanner{Classes: classes, byName: map[string]ID{}, keys: map[string]ID{}, keyWord: map[string]uint64{}, words: make([]uint64, len(classes))}
	index := map[string]int{}
	var literals []string
	act := func(text string) *action {
		low := strings.ToLower(text)
		i, ok := index[low]
		if !ok {
			i = len(literals)
			index[low] = i
			literals = append(literals, low)
			s.acts = append(s.acts, action{text: low})
		}
		return &s.acts[i]
	}
	nextWords := 0
	wordSets := map[string]uint64{}
	for i := range classes {
		c := &classes[i]
		id := ID(i)
		if _, dup := s.byName[c.Name]; dup {
			return nil, fmt.Errorf("cannot compile classes: two are called %s", c.Name)
		}
		s.byName[c.Name] = id
		for j := range c.Literals {
			l := &c.Literals[j]
			a := act(l.Text)
			a.kind |= actLiteral
			a.refs = append(a.refs, literalRef{id, l})
		}
		for j := range c.Digits {
			r := &c.Digits[j]
			s.digits[r.Digits] = append(s.digits[r.Digits], digitRef{id, r})
			for _, p := range append(append([]string{}, r.Groups...), r.Loose...) {
				a, b := groupLen(p[0]), groupLen(p[2])
				s.shapes[r.Digits][(a*16+b)/64] |= 1 << ((a*16 + b) % 64)
				s.starts[p[1]][(a*16+b)/64] |= 1 << ((a*16 + b) % 64)
			}
		}
		for j := range c.Tokens {
			r := &c.Tokens[j]
			for n := r.Min; n <= r.Max; n++ {
				s.tokens[n] = append(s.tokens[n], tokenRef{id, r})
			}
		}
		if len(c.Words) > 0 {
			set := strings.Join(c.Words, "\x00")
			if wordSets[set] == 0 {
				if nextWords == 64 {
					return nil, fmt.Errorf("cannot compile classes: more than 64 sets of context words")
				}
				wordSets[set] = 1 << nextWords
				nextWords++
			}
			s.words[i] = wordSets[set]
			for _, w := range c.Words {
				a := act(w)
				a.kind |= actWord
				a.words |= s.words[i]
				s.keyWord[strings.NewReplacer(" ", "_", "-", "_", ".", "", "'", "").Replace(strings.ToLower(w))] |= s.words[i]
			}
		}
		for _, k := range c.Keys {
			s.keys[k] = id
		}
	}
	for i := range settingWords {
		a := act(settingWords[i].text)
		a.kind |= actAssign
		a.assign = &settingWords[i]
	}
	for i, m := range marks {
		a := act(m)
		a.kind |= actMark
		a.marks = append(a.marks, uint16(i))
	}
	var err error
	s.auto, err = lit.Compile(literals)
	return s, err
}

// ID returns the class of a name.
func (s *Scanner) ID(name string) (ID, bool) {
	id, ok := s.byName[name]
	return id, ok
}

// Known says whether name is a class.
func (s *Scanner) Known(name string) bool {
	_, ok := s.byName[name]
	return ok
}

// Mark is an occurrence of one of the scanner's marks.
type Mark struct {
	Mark uint16
	End  int32
}

// Text is one text to scan, and the scratch space of the scan. Reuse it; Spans and Marks are valid until the next Scan.
type Text struct {
	B      []byte
	Key    Key  // what the name of the member says about the text
	Strong bool // only what proves itself: no words, no settings, no phone numbers
	Spans  []Span
	Marks  []Mark

	s      *Scanner
	hits   []lit.Hit
	places [64][]int32 // context bit -> ends of its words
	used   uint64
	groups []group
	memo   []memo
	tries  attempts
	buf    []byte
	noEnd  [4]bool
}

type memo struct {
	set      Charset
	from, to int
}

// Scan fills t.Spans with every value found in t.B, unsorted and possibly overlapping, and t.Marks.
func (s *Scanner) Scan(t *Text) {
	t.s = s
	t.Spans, t.Marks, t.hits = t.Spans[:0], t.Marks[:0], t.hits[:0]
	for u := t.used; u != 0; u &= u - 1 {
		i := bits.TrailingZeros64(u)
		t.places[i] = t.places[i][:0]
	}
	t.used = 0
	t.memo = t.memo[:0]
	t.tries = attempts{}
	t.noEnd = [4]bool{}
	t.hits = s.auto.Scan(t.B, t.hits)
	// Words first: values may come before or after them.
	for _, h := range t.hits {
		a := &s.acts[h.Lit]
		if a.kind&actWord != 0 {
			t.word(a, int(h.End))
		}
		if a.kind&actMark != 0 {
			for _, m := range a.marks {
				t.Marks = append(t.Marks, Mark{m, h.End})
			}
		}
	}
	done := 0 // values of literals do not nest: what is inside the last one is not asked again
	for _, h := range t.hits {
		a := &s.acts[h.Lit]
		end := int(h.End)
		start := end - len(a.text)
		if a.kind&actLiteral != 0 && start >= done {
			for _, r := range a.refs {
				if !r.lit.AnyCase && string(t.B[start:end]) != r.lit.Text {
					continue
				}
				if r.lit.WordOnly && start > 0 && isWord(t.B[start-1]) {
					continue
				}
				if from, to, ok := r.lit.Match(t, start, end); ok {
					t.add(from, to, r.class)
					done = to
					break
				}
			}
		}
		if a.kind&actAssign != 0 && !t.Strong && start >= done {
			if from, to, ok := t.setting(a.assign, start, end); ok {
				t.add(from, to, idSecret)
			}
		}
	}
	t.scanWords()
}

func (t *Text) add(from, to int, c ID) {
	if from < to {
		t.Spans = append(t.Spans, Span{from, to, c})
	}
}

func (t *Text) word(a *action, end int) {
	start := end - len(a.text)
	if isWord(a.text[0]) && start > 0 && isWord(t.B[start-1]) && !(isLower(t.B[start-1]) && isUpper(t.B[start])) {
		return
	}
	if end < len(t.B) && isLetter(t.B[end]) && t.B[end]|0x20 != 's' {
		return
	}
	for w := a.words; w != 0; w &= w - 1 {
		i := bits.TrailingZeros64(w)
		t.places[i] = append(t.places[i], int32(end))
		t.used |= 1 << i
	}
}

func isLower(c byte) bool { return c-'a' < 26 }
func isUpper(c byte) bool { return c-'A' < 26 }

// context says whether one of the class's words stands near bytes from to of the text, or in the key.
func (t *Text) context(c ID, from, to int) bool {
	w := t.s.words[c]
	if w == 0 || t.Strong {
		return false
	}
	if t.Key.Words&w != 0 {
		return true
	}
	if t.used&w == 0 {
		return false
	}
	p := t.places[bits.TrailingZeros64(w)]
	i := sort.Search(len(p), func(i int) bool { return int(p[i]) >= from-near })
	return i < len(p) && int(p[i]) <= to+near/2
}

// run returns the end of the stretch of bytes of set that from is in. Each stretch is walked once for each set, whoever asks.
func (t *Text) run(from int, set Charset) int {
	slot := -1
	for i := range t.memo {
		if m := &t.memo[i]; m.set == set {
			if from >= m.from && from < m.to {
				return m.to
			}
			slot = i
			break
		}
	}
	i := from
	for i < len(t.B) && chars[t.B[i]]&set != 0 {
		i++
	}
	if slot < 0 {
		t.memo = append(t.memo, memo{set, from, i})
	} else {
		t.memo[slot] = memo{set, from, i}
	}
	return i
}

// attempts counts the settings that ended at one place without being secrets: a few are looked at, so that a long value full of
// names costs no more than a short one.
type attempts struct{ end, n int }

func (a *attempts) another(end int) bool {
	if a.end != end {
		*a = attempts{end: end}
	}
	a.n++
	return a.n <= 4
}

// until returns the position of the next occurrence of sub, or -1; slot remembers that there is none.
func (t *Text) until(from int, sub string, slot int) int {
	if t.noEnd[slot] {
		return -1
	}
	i := bytes.Index(t.B[from:], []byte(sub))
	if i < 0 {
		t.noEnd[slot] = true
		return -1
	}
	return from + i
}

// Size is the number of states of the scanner's automaton and the bytes of its table.
func (s *Scanner) Size() (states, bytes int) { return s.auto.Size() }
