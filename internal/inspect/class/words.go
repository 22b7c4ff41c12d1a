package class

// scanWords walks the words of the text: numbers, identifiers, addresses. Letters-only words cost a table look-up a byte.
func (t *Text) scanWords() {
	b := t.B
	for i := 0; i < len(b); {
		c := chars[b[i]]
		if c&Base62 == 0 {
			switch b[i] {
			case '@':
				if from, to, ok := t.email(i); ok {
					t.add(from, to, idEmail)
				}
			case ':':
				if !t.Strong {
					i = t.colons(i)
					continue
				}
			}
			i++
			continue
		}
		start := i
		var h Charset
		for i < len(b) {
			if c = chars[b[i]]; c&Base62 == 0 {
				break
			}
			h |= c
			i++
		}
		if h&cDigit == 0 {
			if !t.Strong && isUpper(b[start]) && i-start > 1 {
				if to, ok := t.given(start, i); ok {
					t.add(start, to, idPerson)
					i = to
				}
			}
			continue
		}
		if h&^cDigit == 0 {
			i = t.number(start, i)
			continue
		}
		t.token(start, i)
	}
}

// token looks at a word of letters and digits.
func (t *Text) token(start, end int) {
	n := end - start
	b := t.B
	// letters before digits, as in card4111...: the digits may be a number of their own
	if isLetter(b[start]) {
		d := start
		for isLetter(b[d]) {
			d++
		}
		if d-start >= 3 && end-d >= 12 && all(b[d:end], cDigit) {
			t.number(d, end)
		}
	}
	if n == 4 && start >= 7 && (b[start-1] == '-' || b[start-1] == '+') && all(b[start-7:start-1], cDigit) && (start == 7 || !isWord(b[start-8])) {
		d := append(append(append(t.buf[:0], b[start-7:start-1]...), 'A'), b[start:end]...)
		d[10] &^= 0x20 & (d[10] >> 1) // upper case
		if hetu(d) {
			t.add(start-7, end, idHetu)
			return
		}
	}
	if n >= 26 && n <= 52 {
		if c, ok := t.wallet(start, end); ok {
			t.add(start, end, c)
			return
		}
	}
	if from, to, ok := t.iban(start, end); ok {
		t.add(from, to, idIBAN)
		return
	}
	if n > maxToken {
		return
	}
	rules := t.s.tokens[n]
	if len(rules) == 0 {
		return
	}
	t.buf = append(t.buf[:0], b[start:end]...)
	for i, c := range t.buf {
		if isLower(c) {
			t.buf[i] = c - 32
		}
	}
	for _, r := range rules {
		if !r.rule.Check(t.buf) {
			continue
		}
		if r.rule.NeedsWords && !t.context(r.class, start, end) {
			continue
		}
		if t.Strong && r.rule.NeedsWords {
			continue
		}
		t.add(start, end, r.class)
		return
	}
}
