package class

// Payment cards: issuer ranges and lengths of ISO/IEC 7812 as the networks publish them, and the Luhn check digit.
var Card = Class{Name: "card", Tags: PCI | PII, Words: []string{"card", "visa", "mastercard", "amex", "credit", "debit", "carte", "tarjeta", "kreditkarte", "ccn"},
	Keys: []string{"card_number", "credit_card_number", "cardnumber", "credit_card", "pan", "cc_number", "ccnumber"}, KeyValue: func(v []byte) bool { return countDigits(v) >= 12 }}

// CardSecurity is the code on the card, and its PIN: known only by name.
var CardSecurity = Class{Name: "card_security", Tags: PCI, Keys: []string{"cvv", "cvc", "cvv2", "cvc2", "cid", "card_cvv", "card_cvc", "card_pin", "security_code", "card_security_code"}, KeyValue: func(v []byte) bool {
	return len(v) >= 3 && len(v) <= 6 && all(v, cDigit)
}}

func (t *Text) cardAt(i, j, total int, singles bool) bool {
	g := t.groups
	if i != j && !singles {
		first := g[i].end - g[i].start
		if first != 4 || g[j].sep == 'x' {
			return false
		}
		for k := i + 1; k <= j; k++ {
			n := g[k].end - g[k].start
			if g[k].sep == 'x' || g[k].sep == '/' || g[k].sep != g[i+1].sep {
				return false
			}
			if n == 4 || k == j && n <= 4 {
				continue
			}
			if total == 15 && (k == i+1 && n == 6 || k == j && n == 5) || total == 14 && k == i+1 && n == 6 {
				continue
			}
			return false
		}
		if j+1 < len(g) && g[j+1].sep == g[j].sep && g[j+1].end-g[j+1].start == 4 && total < 16 {
			return false // the number goes on
		}
	}
	if i > 0 && g[i].sep == '.' || j+1 < len(g) && g[j+1].sep == '.' {
		return false
	}
	if singles && i != j && (i > 0 || j+1 < len(g)) {
		return false
	}
	var buf [maxDigits]byte
	d := t.compact(buf[:0], i, j)
	if !issuer(d) || !Luhn(d) || same(d) {
		return false
	}
	if len(d) < 14 || len(d) > 16 { // few cards, many other numbers
		return t.Strong || t.context(idCard, g[i].start, g[j].end) || j > i
	}
	return true
}

// issuer says whether a network issues numbers with this beginning and length.
func issuer(d []byte) bool {
	n := len(d)
	p := func(k int) int {
		v := 0
		for _, c := range d[:k] {
			v = v*10 + int(c-'0')
		}
		return v
	}
	switch d[0] {
	case '4': // Visa
		return n == 13 || n == 16 || n == 19
	case '5':
		if q := p(2); q >= 51 && q <= 55 { // Mastercard
			return n == 16
		}
		q := p(2)
		return n >= 12 && (q == 50 || q >= 56) // Maestro
	case '2':
		if q := p(4); q >= 2221 && q <= 2720 { // Mastercard
			return n == 16
		}
		q := p(4)
		return n == 16 && q >= 2200 && q <= 2204 // Mir
	case '3':
		switch q := p(2); {
		case q == 34 || q == 37: // American Express
			return n == 15
		case q == 36 || q == 38 || q == 39: // Diners Club
			return n >= 14 && n <= 19
		}
		switch q := p(3); {
		case q >= 300 && q <= 305 || q == 309:
			return n == 14 || n == 16
		}
		q := p(4)
		return q >= 3528 && q <= 3589 && n >= 15 && n <= 19 // JCB
	case '6':
		q := p(4)
		switch {
		case q == 6011 || q >= 6440 && q <= 6599: // Discover
			return n >= 16
		case q/100 == 62 || q/100 == 81: // UnionPay
			return n >= 16
		case q == 6521 || q == 6522 || q == 6082 || q/100 == 60: // RuPay
			return n == 16
		}
		switch p(2) { // Maestro
		case 63, 67, 69, 61, 66, 68:
			return n >= 12
		}
	case '8':
		return p(2) == 81 && n == 16
	}
	return false
}

// Luhn is the check of ISO/IEC 7812-1 annex B over ASCII digits.
func Luhn(d []byte) bool {
	sum := 0
	double := false
	for i := len(d) - 1; i >= 0; i-- {
		v := int(d[i] - '0')
		if double {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
		double = !double
	}
	return sum%10 == 0
}

func same(d []byte) bool {
	for _, c := range d {
		if c != d[0] {
			return false
		}
	}
	return true
}

func countDigits(b []byte) (n int) {
	for _, c := range b {
		if isDigit(c) {
			n++
		}
	}
	return n
}
