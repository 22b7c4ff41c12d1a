package class

// group is one run of digits in a chain like "4111 1111 1111 1111"; sep is the separator before it: one of " -./_", n for a line
// break, x for anything longer, 0 for the first.
type group struct {
	start, end int
	sep        byte
}

const maxWindow = 9 // groups in one value

// number collects the chain of digit groups that begins with the word start..end, finds values in it and returns where it ends.
func (t *Text) number(start, end int) int {
	b := t.B
	t.groups = append(t.groups[:0], group{start, end, 0})
	i := end
	for i < len(b) {
		p := i
		for p < len(b) && p-i < 3 && isGroupSep(b[p]) {
			p++
		}
		if p == i || p == len(b) || !isDigit(b[p]) {
			break
		}
		sep := byte('x')
		if p-i == 1 {
			switch sep = b[i]; sep {
			case '\t':
				sep = ' '
			case '\n', '\r':
				sep = 'n'
			case '(', ')':
				sep = 'x'
			}
		}
		q := p
		for q < len(b) && isDigit(b[q]) {
			q++
		}
		if q < len(b) && isLetter(b[q]) && !(b[q] == 'x' && q+1 < len(b) && isDigit(b[q+1])) {
			t.chain()
			return p // a word of its own
		}
		t.groups = append(t.groups, group{p, q, sep})
		i = q
	}
	t.chain()
	return i
}

func isGroupSep(c byte) bool {
	switch c {
	case ' ', '-', '.', '/', '(', ')', '_', '\n', '\r', '\t':
		return true
	}
	return false
}

// chain finds values in the groups, the longest first at each group.
func (t *Text) chain() {
	g := t.groups
	for i := 0; i < len(g); {
		if j, c := t.valueAt(i); j > i {
			if c != None {
				from := g[i].start
				to := g[j-1].end
				if c == idPhone {
					from, to = t.phoneEdges(from, to)
				}
				t.add(from, to, c)
			}
			i = j
			continue
		}
		i++
	}
}

// valueAt finds a value that begins with group i: the index after its last group and its class. A class of None with j > i says that
// the groups are something harmless, as an address of this machine.
func (t *Text) valueAt(i int) (int, ID) {
	g := t.groups
	first := g[i].end - g[i].start
	// cards, and other numbers by their tables
	total := 0
	singles := true
	s := t.s
	best, bestClass := 0, None
	for j := i; j < len(g) && j < i+maxDigits; j++ {
		n := g[j].end - g[j].start
		total += n
		if total > maxDigits {
			break
		}
		if n != 1 {
			singles = false
		}
		if j-i >= maxWindow && !singles {
			break
		}
		if singles && j > i && (i > 0 || len(g) > maxDigits) { // digits one by one are a value only alone
			break
		}
		if j > i && g[j].sep == 'x' {
			break
		}
		if j == i+1 && !singles && first != 4 { // no card and no other number begins like this?
			if first > 15 || n > 15 || s.starts[g[j].sep][(first*16+n)/64]>>((first*16+n)%64)&1 == 0 {
				break
			}
		}
		if total < 6 {
			continue
		}
		if total >= 12 && total <= 19 && t.cardAt(i, j, total, singles) {
			best, bestClass = j+1, idCard
			continue
		}
		if bestClass == idCard {
			continue
		}
		if j > i && !singles { // is any rule grouped like this?
			second := g[i+1].end - g[i+1].start
			if first > 15 || second > 15 || s.shapes[total][(first*16+second)/64]>>((first*16+second)%64)&1 == 0 {
				continue
			}
		}
		for _, r := range s.digits[total] {
			if t.digitRule(r, i, j, first, total, singles) {
				best, bestClass = j+1, r.class
				break
			}
		}
	}
	if best > 0 {
		return best, bestClass
	}
	if j, c := t.ipv4(i); j > i {
		return j, c
	}
	if !t.Strong {
		if j := t.birthDate(i); j > i {
			return j, idBirthDate
		}
		if j := t.phone(i); j > i {
			return j, idPhone
		}
	}
	return i, None
}

func (t *Text) digitRule(r digitRef, i, j, first, total int, singles bool) bool {
	g := t.groups
	rule := r.rule
	near := false
	switch {
	case i == j || singles && j > i && (j+1 == len(g)) && i == 0:
		if !rule.Plain {
			if !rule.PlainWords || t.Strong {
				return false
			}
			near = true
		}
	default:
		ok := false
		for _, p := range rule.Groups {
			if groupLen(p[0]) == first && t.grouped(p, i, j) {
				ok = true
				break
			}
		}
		if !ok {
			for _, p := range rule.Loose {
				if groupLen(p[0]) == first && t.grouped(p, i, j) {
					ok, near = true, true
					break
				}
			}
		}
		if !ok || near && t.Strong {
			return false
		}
	}
	if !t.bounded(i, j) {
		return false
	}
	var buf [maxDigits]byte
	d := t.compact(buf[:0], i, j)
	if rule.Check != nil && !rule.Check(d) {
		return false
	}
	return !near || t.context(r.class, g[i].start, g[j].end)
}

// grouped says whether groups i to j are grouped like pattern: digits give lengths (a: 10, b: 11 ...), the rest separators.
func (t *Text) grouped(pattern string, i, j int) bool {
	g := t.groups
	p := 0
	for k := i; k <= j; k++ {
		if k > i {
			if p >= len(pattern) || pattern[p] != g[k].sep {
				return false
			}
			p++
		}
		if p >= len(pattern) {
			return false
		}
		if groupLen(pattern[p]) != g[k].end-g[k].start {
			return false
		}
		p++
	}
	return p == len(pattern)
}

// groupLen reads a length in a grouping: a digit, or a for 10 and so on.
func groupLen(c byte) int {
	if c >= 'a' {
		return int(c-'a') + 10
	}
	return int(c - '0')
}

// bounded says that groups i to j are no part of a longer number like a version or a decimal.
func (t *Text) bounded(i, j int) bool {
	g := t.groups
	if i > 0 && (g[i].sep == '-' || g[i].sep == '.' || g[i].sep == '/') {
		return false
	}
	if j+1 < len(g) && (g[j+1].sep == '-' || g[j+1].sep == '.' || g[j+1].sep == '/') {
		return false
	}
	return true
}

func (t *Text) compact(buf []byte, i, j int) []byte {
	for k := i; k <= j; k++ {
		buf = append(buf, t.B[t.groups[k].start:t.groups[k].end]...)
	}
	return buf
}
