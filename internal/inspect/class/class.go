// Package class knows the kinds of sensitive data: how each looks, what proves it, and where it is at home.
//
// A class is one row of Classes. A Scanner compiled from rows looks at a text once: one automaton finds all literals (secret
// prefixes, context words, names of settings), one pass over the words finds numbers and identifiers. Each candidate is then
// decided by its validator in time bounded by its length, so that a scan is linear in the text. No regular expressions.
package class

// ID is the position of a class in the scanner's list.
type ID uint16

// None is no class.
const None ID = 0xffff

// Tag says which regime a class falls under.
type Tag uint8

const (
	PII    Tag = 1 << iota // personal data
	PHI                    // health data
	PCI                    // cardholder and account data
	Secret                 // credentials
)

// Class is one kind of sensitive data. The triggers say when Scanner asks; exactly the matching ones are set.
type Class struct {
	Name         string // placeholder and attribute name: lower case, digits, underscores
	Tags         Tag
	Identity     bool   // says who or where someone is: kept in the attributes of a record that are there to say so
	Jurisdiction string // ISO 3166 alpha-2 of the issuing country, EU, or "" anywhere

	// Words are what people write near a value of the class. A rule that NeedsWords matches only near one of them (or
	// under a key that contains one); for the others words are not used.
	Words []string
	// Keys are names of members, as lower-case words joined by _, under which a scalar value as a whole is of the class.
	Keys []string
	// KeyValue decides whether a value under one of Keys is of the class; nil takes any.
	KeyValue func(v []byte) bool

	Literals []Literal   // literal triggers
	Digits   []DigitRule // numbers, possibly grouped
	Tokens   []TokenRule // words that hold digits and letters
}

// Literal asks Match wherever Text occurs. Match returns the span of the value, ok false for none. It must not look at more
// than a bounded stretch, or use Text.run, whose cost is shared by all literals.
type Literal struct {
	Text     string
	AnyCase  bool // else the case must match
	Match    func(t *Text, start, end int) (from, to int, ok bool)
	WordOnly bool // a letter or digit before it disqualifies
}

// DigitRule matches a number of one length.
type DigitRule struct {
	Digits     int
	Groups     []string // groupings that need no words, e.g. "3-2-4"
	Loose      []string // groupings that need words
	Check      func(d []byte) bool
	Plain      bool // ungrouped digits need no words
	PlainWords bool // ungrouped digits match near words
}

// TokenRule matches a word of letters and digits of a length between Min and Max.
type TokenRule struct {
	Min, Max   int
	Check      func(tok []byte) bool // tok is upper-cased
	NeedsWords bool
}

// Span is a value found in a text: bytes Start to End.
type Span struct {
	Start, End int
	Class      ID
}

// TagNames lists the tags of the class in lower case.
func (c *Class) TagNames() (out []string) {
	for i, n := range []string{"pii", "phi", "pci", "secret"} {
		if c.Tags&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// Leaks says whether a value of the class in content is a leaked credential. The handles that the protocol itself hands back and
// forth, sessions and states, are secret but not leaks.
func (c *Class) Leaks() bool {
	return c.Tags&Secret != 0 && c.Name != "request_state" && c.Name != "session_id"
}
