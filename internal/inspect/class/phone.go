package class

// Phone numbers: international form with a country calling code (ITU-T E.164), the North American form, or any plausible grouping near a word
// that says so. Extensions belong to the number.
var Phone = Class{Name: "phone", Tags: PII, Identity: true,
	Words: []string{"phone", "telephone", "tel", "tel.", "mobile", "cell", "fax", "call", "whatsapp", "sms", "office", "contact", "dial", "telefon", "telefono", "téléphone", "téléfono", "handy", "reach"},
	Keys:  []string{"phone", "phone_number", "mobile", "mobile_number", "telephone", "tel", "cell", "cell_phone", "fax", "fax_number", "msisdn", "home_phone", "work_phone", "contact_number"},
	KeyValue: func(v []byte) bool {
		n := countDigits(v)
		return n >= 6 && n <= 18 && n*2 >= len(v)
	}}

// callingCodes of one and two digits; three-digit codes begin with the rest of 2x, 3x, 4x, 5x, 6x, 8x, 9x.
var callingCodes = func() (two [100]bool) {
	for _, c := range []int{20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 62, 63, 64, 65, 66,
		81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98} {
		two[c] = true
	}
	return two
}()

func callingCode(d []byte) bool {
	if d[0] == '1' || d[0] == '7' {
		return true
	}
	if d[0] == '0' {
		return false
	}
	two := int(d[0]-'0')*10 + int(d[1]-'0')
	if callingCodes[two] {
		return true
	}
	switch two { // 21x, 22x, 23x, 24x, 25x, 26x, 29x, 35x, 37x, 38x, 42x, 50x, 59x, 67x, 68x, 69x, 80x, 85x, 87x, 88x, 96x, 97x, 99x
	case 21, 22, 23, 24, 25, 26, 29, 35, 37, 38, 42, 50, 59, 67, 68, 69, 80, 85, 87, 88, 96, 97, 99:
		return true
	}
	return false
}

// phone returns the index after the last group of a phone number that begins with group i, or i.
func (t *Text) phone(i int) int {
	g := t.groups
	b := t.B
	start := g[i].start
	plus := start > 0 && b[start-1] == '+' || start > 1 && b[start-1] == '(' && b[start-2] == '+'
	paren := start > 0 && b[start-1] == '('
	if i > 0 && !plus && g[i].sep != ' ' && g[i].sep != 'n' && g[i].sep != 'x' {
		return i
	}
	if start > 0 && !plus && !paren && (b[start-1] == '#' || b[start-1] == '$' || b[start-1] == '.' || b[start-1] == '_' || b[start-1] == '=') {
		return i
	}
	length := func(k int) int { return g[k].end - g[k].start }
	if plus {
		total := 0
		for j := i; j < len(g) && j < i+8; j++ {
			if j > i && (g[j].sep == 'n' || g[j].sep == '/' || g[j].sep == '_') {
				return t.phoneEnd(i, j, total, true)
			}
			if total+length(j) > 15 {
				return t.phoneEnd(i, j, total, true)
			}
			total += length(j)
		}
		return t.phoneEnd(i, min(len(g), i+8), total, true)
	}
	// North America: [1] 3 3 4, also with the international prefix 00 or 001
	k := i
	if k < len(g) && (length(k) == 1 && b[g[k].start] == '1' || length(k) == 3 && string(b[g[k].start:g[k].end]) == "001") {
		k++
	}
	if k+2 < len(g) && length(k) == 3 && length(k+1) == 3 && length(k+2) == 4 {
		s1, s2 := g[k+1].sep, g[k+2].sep
		ok := (s2 == '-' || s2 == '.') && (s1 == s2 || s1 == 'x' || b[g[k+1].start-1] == ')') ||
			b[g[k+1].start-1] == ' ' && s1 == 'x' && s2 == '-' || k > i && s1 == s2 ||
			g[k].start > 0 && b[g[k].start-1] == '(' && s2 != 'n'
		if ok && t.tailFree(k+2) && (k > i || b[g[k].start] >= '2' || s1 == 'x' || b[g[k+1].start-1] == ')' || t.context(idPhone, start, g[k+2].end)) {
			return k + 3
		}
	}
	if k == i && length(i) == 3 && i+1 < len(g) && length(i+1) == 7 && paren { // (022)4983177
		return i + 2
	}
	// anything plausible beside a word
	if !t.context(idPhone, start, g[i].end+12) {
		return i
	}
	total := 0
	j := i
	for j < len(g) && j < i+6 {
		if j > i && (g[j].sep == 'n' || g[j].sep == '_' || g[j].sep == '/') || total+length(j) > 14 {
			break
		}
		total += length(j)
		j++
	}
	if total == 8 && j-i == 3 && length(i) == 4 || j-i == 1 && total < 7 || j < len(g) && g[j].sep == '/' { // a date, a small number
		return i
	}
	if j-i == 4 && g[i+1].sep == '.' && g[i+3].sep == '.' { // an address
		return i
	}
	return t.phoneEnd(i, j, total, false)
}

func (t *Text) tailFree(j int) bool {
	return j+1 >= len(t.groups) || t.groups[j+1].sep != '-' && t.groups[j+1].sep != '.'
}

func (t *Text) phoneEnd(i, j, total int, plus bool) int {
	if j <= i {
		return i
	}
	if plus {
		if total < 7 || total > 15 {
			return i
		}
		var buf [maxDigits]byte
		d := t.compact(buf[:0], i, j-1)
		if !callingCode(d) && d[0] != '1' {
			return i
		}
		return j
	}
	if total < 6 || total > 14 {
		return i
	}
	return j
}

// phoneEdges takes the sign, the parentheses and the extension into the span.
func (t *Text) phoneEdges(from, to int) (int, int) {
	b := t.B
	if from > 0 && b[from-1] == '(' {
		from--
	}
	if from > 0 && b[from-1] == '+' {
		from--
	}
	e := to
	if e < len(b) && b[e] == ' ' {
		e++
	}
	for _, x := range []string{"extension", "ext.", "ext", "x"} {
		if len(b)-e > len(x) && string(b[e:e+len(x)]) == x {
			e += len(x)
			if e < len(b) && b[e] == ' ' {
				e++
			}
			d := e
			for d < len(b) && d-e < 6 && isDigit(b[d]) {
				d++
			}
			if d > e {
				to = d
			}
			break
		}
	}
	return from, to
}
