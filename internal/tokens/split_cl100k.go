package tokens

// nextCL100k implements SplitCL100k.
func nextCL100k(b []byte, i int) int {
	c, n := classAt(b, i)
	j := i + n
	if c&letter != 0 {
		return run(b, j, letter)
	}
	if c&number != 0 {
		return upToThree(b, j)
	}
	if b[i] == '\'' {
		if k := contraction(b, i, true); k > i {
			return k
		}
	}
	var c2 uint8
	if j < len(b) && c&newline == 0 {
		var n2 int
		c2, n2 = classAt(b, j)
		if c2&letter != 0 {
			return run(b, j+n2, letter)
		}
	}
	if c&space == 0 || b[i] == ' ' && j < len(b) && c2&(letter|number|space) == 0 {
		i = runOther(b, j)
		for i < len(b) && (b[i] == '\r' || b[i] == '\n') {
			i++
		}
		return i
	}
	return whitespace(b, i, true)
}
