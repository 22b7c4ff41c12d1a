package textscore

// What names and parameters of a tool say beside its description.

// features appends what is known of the tool as a whole. harms says that its name is one of something that harms: then whatever its
// description says is looked at.
func (t *Tool) features(dst []uint32) (out []uint32, harms bool) {
	var seen [classes]bool
	harm, guard := false, false
	eachPart(t.Name, func(p []byte) {
		h := hashWord(p)
		c := classify(h)
		harm = harm || c == Harm
		guard = guard || c == Guard
		if c != Other && !seen[c] {
			seen[c] = true
			dst = append(dst, mix(spaceName, uint32(c), 0, 0))
		}
	})
	dst = append(dst, mix(spaceShape, 23, b2u(harm), b2u(guard)))
	clear(seen[:])
	for i, name := range t.Names {
		if i == 32 {
			break
		}
		eachPart(name, func(p []byte) {
			if c := classify(hashWord(p)); c != Other && !seen[c] {
				seen[c] = true
				dst = append(dst, mix(spaceParam, uint32(c), 0, 0))
			}
		})
	}
	return dst, harm
}

// eachPart calls f for each word of a name, in lower case: of snake_case, kebab-case and CamelCase.
func eachPart(name []byte, f func([]byte)) {
	var buf [64]byte
	n := 0
	flush := func() {
		if n > 0 {
			f(buf[:n])
		}
		n = 0
	}
	for i, c := range name[:min(len(name), 256)] {
		switch kinds[c] {
		case isUpper:
			if i > 0 && kinds[name[i-1]] != isUpper {
				flush()
			}
			c |= 0x20
		case isLetter, isHigh:
		default:
			flush()
			continue
		}
		if n < len(buf) {
			buf[n] = c
			n++
		}
	}
	flush()
}
