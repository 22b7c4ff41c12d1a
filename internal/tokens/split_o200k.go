package tokens

// nextO200k implements SplitO200k.
func nextO200k(b []byte, i int) int {
	c, n := classAt(b, i)
	if c&letter != 0 {
		return o200kWord(b, i)
	}
	j := i + n
	if c&number != 0 {
		return upToThree(b, j)
	}
	var c2 uint8
	if j < len(b) && c&newline == 0 {
		// Anything but a newline, letter or number may lead a word.
		var n2 int
		c2, n2 = classAt(b, j)
		if c2&(letter|mark) != 0 {
			if c&mark != 0 && c2&upper != 0 {
				return o200kMark(b, j)
			}
			return o200kWord(b, j)
		}
		_ = n2
	}
	switch {
	case c&mark != 0: // a word by itself
		return contraction(b, j, true)
	case c == 0:
		return o200kOther(b, j)
	case b[i] == ' ' && j < len(b) && c2 == 0:
		return o200kOther(b, j)
	}
	return whitespace(b, i, true)
}

// o200kWord returns the end of a word without its leading character: b[i] is a letter or mark. The reference takes as many
// capitals as it can, then needs a small letter; where none follows it steps back to the last capital that is small as well
// (caseless or mark) and ends after it; where there is none either, its second alternative takes the capitals.
func o200kWord(b []byte, i int) int {
	both := 0
	for i < len(b) {
		c, n := classAt(b, i)
		if c&capital == 0 {
			if c&lower != 0 {
				return contraction(b, run(b, i+n, small), true)
			}
			break
		}
		i += n
		if c&(caseless|mark) != 0 {
			both = i
		}
	}
	if both > 0 {
		i = both
	}
	return contraction(b, i, true)
}

// o200kMark returns the end of a piece that starts with a mark before the capital b[i]. The mark leads the word if the first
// alternative can match behind it; otherwise that alternative matches the mark alone, before the second is tried.
func o200kMark(b []byte, i int) int {
	j := run(b, i, upper)
	if j < len(b) {
		if c, _ := classAt(b, j); c&(letter|mark) != 0 {
			return o200kWord(b, i)
		}
	}
	return i
}

// o200kOther returns the end of [^\s\p{L}\p{N}]+[\r\n/]* whose first code point was looked at.
func o200kOther(b []byte, i int) int {
	i = runOther(b, i)
	for i < len(b) && (b[i] == '\r' || b[i] == '\n' || b[i] == '/') {
		i++
	}
	return i
}
