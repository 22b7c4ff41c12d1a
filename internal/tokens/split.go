package tokens

// Split is the rule by which text is cut into pieces before merging; it belongs to an encoding as much as its ranks do.
//
// Each rule is a regular expression in the reference. Here each is a function next(b, i) that returns the end of the piece that
// starts at b[i], for valid UTF-8 and i < len(b). Each code point is looked at a bounded number of times, so cutting is linear.
type Split uint8

const (
	// SplitO200k is the rule of o200k_base:
	//
	//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
	//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
	//	\p{N}{1,3}
	//	 ?[^\s\p{L}\p{N}]+[\r\n/]*
	//	\s*[\r\n]+
	//	\s+(?!\S)
	//	\s+
	SplitO200k Split = iota + 1
	// SplitCL100k is the rule of cl100k_base:
	//
	//	'(?i:[sdmt]|ll|ve|re)
	//	[^\r\n\p{L}\p{N}]?+\p{L}++
	//	\p{N}{1,3}+
	//	 ?[^\s\p{L}\p{N}]++[\r\n]*+
	//	\s++$
	//	\s*[\r\n]
	//	\s+(?!\S)
	//	\s
	SplitCL100k
	// SplitGPT2 is the rule of r50k_base and p50k_base:
	//
	//	'(?:[sdmt]|ll|ve|re)
	//	 ?\p{L}++
	//	 ?\p{N}++
	//	 ?[^\s\p{L}\p{N}]++
	//	\s++$
	//	\s+(?!\S)
	//	\s
	SplitGPT2
)

var splitNames = map[string]Split{"o200k": SplitO200k, "cl100k": SplitCL100k, "gpt2": SplitGPT2}

// ParseSplit reads the name of a rule as configuration has it: o200k, cl100k or gpt2.
func ParseSplit(name string) (Split, bool) {
	s, ok := splitNames[name]
	return s, ok
}

func (s Split) valid() bool { return s >= SplitO200k && s <= SplitGPT2 }

// run returns the end of the run of code points from i whose class meets mask.
func run(b []byte, i int, mask uint8) int {
	for i < len(b) {
		c, n := classAt(b, i)
		if c&mask == 0 {
			break
		}
		i += n
	}
	return i
}

// runOther returns the end of the run of [^\s\p{L}\p{N}] from i.
func runOther(b []byte, i int) int {
	for i < len(b) {
		c, n := classAt(b, i)
		if c&(letter|number|space) != 0 {
			break
		}
		i += n
	}
	return i
}

// upToThree returns the end of \p{N}{1,3}, whose first code point ends at i.
func upToThree(b []byte, i int) int {
	for k := 0; k < 2 && i < len(b); k++ {
		c, n := classAt(b, i)
		if c&number == 0 {
			break
		}
		i += n
	}
	return i
}

// contraction returns the end of '(s|t|re|ve|m|ll|d) at i, or i. With fold it ignores case, and so takes U+017F for s.
func contraction(b []byte, i int, fold bool) int {
	if i+1 >= len(b) || b[i] != '\'' {
		return i
	}
	c, d := b[i+1], byte(0)
	if i+2 < len(b) {
		d = b[i+2]
	}
	if fold {
		if c == 0xC5 && d == 0xBF {
			return i + 3
		}
		if ascii[c&0x7F] == upper && c < 0x80 {
			c |= 0x20
		}
		if ascii[d&0x7F] == upper && d < 0x80 {
			d |= 0x20
		}
	}
	switch c {
	case 's', 't', 'm', 'd':
		return i + 2
	case 'r', 'v':
		if d == 'e' {
			return i + 3
		}
	case 'l':
		if d == 'l' {
			return i + 3
		}
	}
	return i
}

// whitespace returns the end of a piece that starts with White_Space at i, where no rule that takes a single leading space
// applies: up to the last newline of the run if newlines is set and it has one, else the run without its last code point, which
// is left to lead the next piece (the reference's \s+(?!\S)); the whole run at the end of the text or if it is one code point.
//
// The reference's newer \s++$ takes a whole run at the end of the text, newlines or not. That makes one piece of two, and no
// different tokens, since no built-in encoding has a token that goes on after its last newline with other white space; a test
// says so.
func whitespace(b []byte, i int, newlines bool) int {
	j, last, afterNewline := i, i, 0
	for j < len(b) {
		c, n := classAt(b, j)
		if c&space == 0 {
			break
		}
		last = j
		j += n
		if c&newline != 0 {
			afterNewline = j
		}
	}
	switch {
	case newlines && afterNewline > 0:
		return afterNewline
	case j == len(b) || last == i:
		return j
	}
	return last
}
