package tokens

// nextGPT2 implements SplitGPT2.
func nextGPT2(b []byte, i int) int {
	if k := contraction(b, i, false); k > i {
		return k
	}
	c, n := classAt(b, i)
	j := i + n
	if b[i] == ' ' && j < len(b) {
		if c2, n2 := classAt(b, j); c2&space == 0 {
			c, j = c2, j+n2
		}
	}
	switch {
	case c&letter != 0:
		return run(b, j, letter)
	case c&number != 0:
		return run(b, j, number)
	case c&space == 0:
		return runOther(b, j)
	}
	return whitespace(b, i, false)
}
