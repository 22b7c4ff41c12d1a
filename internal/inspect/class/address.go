package class

// Postal addresses in text: a number and capitalised words before a word for street, a street in one word before a number, post boxes,
// units.

var addressLiterals = func() (out []Literal) {
	for _, s := range []string{" street", " st.", " st,", " avenue", " ave", " road", " rd", " boulevard", " blvd", " lane", " drive", " court", " place", " square", " terrace", " parkway", " highway", " close", " crescent", " plaza", " alley", " trail"} {
		out = append(out, Literal{Text: s, AnyCase: true, Match: streetAfterNumber})
	}
	for _, s := range []string{"straße ", "strasse ", "str. ", "gasse ", "weg ", "platz ", "allee ", "gatan ", "gade ", "vej ", "laan ", "straat ", "katu ", "utca "} {
		out = append(out, Literal{Text: s, AnyCase: true, Match: streetBeforeNumber})
	}
	for _, s := range []string{"p.o. box ", "po box ", "apt. ", "apt ", "suite ", "unit ", "postfach ", "psc "} {
		out = append(out, Literal{Text: s, AnyCase: true, WordOnly: true, Match: unit})
	}
	for _, s := range []string{"rue ", "avenue de", "calle ", "avenida ", "via ", "piazza ", "rua ", "ulica ", "ul. "} {
		out = append(out, Literal{Text: s, AnyCase: true, WordOnly: true, Match: romanceStreet})
	}
	return out
}()

func streetAfterNumber(t *Text, start, end int) (int, int, bool) {
	b := t.B
	if end < len(b) && isWord(b[end]) {
		return 0, 0, false
	}
	// back over up to five capitalised words to a number
	i, words := start, 0
	for words < 5 && i > 0 && start-i < 48 {
		w := i
		for w > 0 && i-w < 24 && (chars[b[w-1]]&(Base62|cHigh|cDash|cDot) != 0 || b[w-1] == '\'') {
			w--
		}
		if w == i {
			return 0, 0, false
		}
		if isDigit(b[w]) && countDigits(b[w:i]) <= 6 && i-w <= 7 && words > 0 {
			return w, t.rest(end), w == 0 || !isWord(b[w-1])
		}
		if !isUpper(b[w]) && b[w] < 0x80 && !isDigit(b[w]) && isUpper(b[start+1]) {
			return 0, 0, false
		}
		words++
		if w == 0 || b[w-1] != ' ' {
			return 0, 0, false
		}
		i = w - 1
	}
	return 0, 0, false
}

// rest takes a unit, town, state and postal code behind a street: up to three more parts that begin with a capital or hold digits.
func (t *Text) rest(at int) int {
	b := t.B
	end := at
	if end < len(b) && b[end] == '.' {
		end++
	}
	for range 4 {
		i := end
		for i < len(b) && i-end < 3 && (b[i] == ',' || b[i] == ' ' || b[i] == '\n') {
			i++
		}
		if i == end || i >= len(b) || !isUpper(b[i]) && !isDigit(b[i]) {
			return end
		}
		e := i
		digits := 0
		for e < len(b) && e-i < 24 && (chars[b[e]]&(Base62|cHigh|cDash|cDot) != 0) {
			if isDigit(b[e]) {
				digits++
			}
			e++
		}
		if b[e-1] == '.' && e-i > 5 {
			return e - 1
		}
		if !(digits > 0 || e-i == 2 && isUpper(b[i+1]) || b[end] == ',' || b[end] == '\n' || b[i] == 'A' && hasPrefix(b[i:], "Apt") || hasPrefix(b[i:], "Suite")) {
			return end
		}
		if common[string(b[i:e])] {
			return end
		}
		end = e
	}
	return end
}

func streetBeforeNumber(t *Text, start, end int) (int, int, bool) {
	b := t.B
	if end >= len(b) || !isDigit(b[end]) {
		return 0, 0, false
	}
	from := start
	for from > 0 && start-from < 32 && chars[b[from-1]]&(cLetter|cHigh|cDash) != 0 {
		from--
	}
	e := end
	for e < len(b) && e-end < 6 && chars[b[e]]&Base62 != 0 {
		e++
	}
	if from == start || !isUpper(b[from]) {
		return 0, 0, false
	}
	return from, t.rest(e), true
}

func unit(t *Text, start, end int) (int, int, bool) {
	b := t.B
	e := end
	for e < len(b) && e-end < 7 && chars[b[e]]&(Base62) != 0 {
		e++
	}
	if countDigits(b[end:e]) == 0 || e-end > 6 {
		return 0, 0, false
	}
	return start, t.rest(e), isUpper(b[start])
}

func romanceStreet(t *Text, start, end int) (int, int, bool) {
	b := t.B
	if !isUpper(b[start]) {
		return 0, 0, false
	}
	i := end
	for words := 0; words < 5 && i < len(b); words++ {
		e := i
		for e < len(b) && e-i < 24 && (chars[b[e]]&(Base62|cHigh|cDash) != 0 || b[e] == '\'') {
			e++
		}
		if e == i {
			return 0, 0, false
		}
		if isDigit(b[i]) {
			return start, t.rest(e), words > 0
		}
		if e >= len(b) || b[e] != ' ' && b[e] != ',' {
			return 0, 0, false
		}
		i = e + 1
		if b[e] == ',' && i < len(b) && b[i] == ' ' {
			i++
		}
	}
	return 0, 0, false
}
