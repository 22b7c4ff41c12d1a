// Expressions that a template engine would evaluate, in arguments of calls.
package signal

import "bytes"

// openers are how template engines mark an expression, with what ends it.
var openers = []struct{ open, end string }{{"{{", "}}"}, {"${", "}"}, {"#{", "}"}, {"<%", "%>"}, {"{%", "%}"}, {"*{", "}"}, {"@{", "}"}, {"[[${", "]]"}}

// gadgets are what an expression reaches for when it is there to break out of its template.
var gadgets = [][]byte{[]byte("__"), []byte("java."), []byte("runtime"), []byte("process"), []byte("popen"), []byte("system"), []byte("exec"), []byte("eval"), []byte("import"), []byte("require("), []byte("constructor"), []byte("config"), []byte("request"), []byte("self."), []byte("class"),
	[]byte("jndi:"), []byte("phpinfo"), []byte("file."), []byte("file("), []byte("os."), []byte("env:"), []byte("session"), []byte("lipsum"), []byte("cycler"), []byte("subprocess"), []byte("getattr")}

// TemplateExpression scores how much an argument looks like one with an expression put in that a template engine would evaluate: 0.9 for what
// calculates, calls or reaches for the engine's insides, 0.3 for the mere name of a variable, as templates have them. It reads the
// text once, and at most 512 bytes of each expression.
func TemplateExpression(b []byte) (score float64) {
	for i := 0; i+3 < len(b); i++ {
		switch b[i] {
		case '{', '$', '#', '<', '*', '@', '[':
		default:
			continue
		}
		for _, o := range openers {
			if !bytes.HasPrefix(b[i:], []byte(o.open)) {
				continue
			}
			in := b[i+len(o.open):]
			in = in[:min(len(in), 512)]
			e := bytes.Index(in, []byte(o.end))
			if e <= 0 {
				continue
			}
			score = max(score, expression(in[:e], o.open))
			if score >= 0.9 {
				return score
			}
			i += len(o.open) + e - 1
			break
		}
	}
	return score
}

// expression scores what stands between the marks.
func expression(in []byte, open string) float64 {
	in = bytes.Trim(in, " \t\n=-~!#")
	if len(in) == 0 {
		return 0
	}
	for _, g := range gadgets {
		if containsFold(in, g) {
			return 0.9
		}
	}
	digits, op, letters := 0, false, false
	for k, c := range in {
		switch {
		case c-'0' < 10:
			digits++
		case letter(c):
			letters = true
		case c == '*' || c == '+' || c == '/' || c == '%':
			op = op || k > 0 && k < len(in)-1
		case c == '(':
			if k > 0 && (letter(in[k-1]) || in[k-1]-'0' < 10) {
				return 0.85 // a call
			}
		}
	}
	switch {
	case digits > 1 && op && !letters:
		return 0.9 // it calculates
	case digits > 0 && op && (bytes.ContainsAny(in, "'\"")):
		return 0.85 // {{7*'7'}}
	case open == "<%" && letters:
		return 0.5
	case letters:
		return 0.3 // a variable
	}
	return 0
}

// runners are what a download is piped into.
var runners = [][]byte{[]byte("bash"), []byte("sh"), []byte("zsh"), []byte("dash"), []byte("ksh"), []byte("python"), []byte("python3"), []byte("perl"), []byte("ruby"), []byte("node"), []byte("php"), []byte("iex"), []byte("invoke-expression")}

// FetchAndRun says that one line of b fetches something and hands it to an interpreter: curl ... | sh.
func FetchAndRun(b []byte) bool {
	fetched := -1
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\n':
			fetched = -1
		case (c == 'c' || c == 'C' || c == 'w' || c == 'W' || c == 'i' || c == 'I') && (i == 0 || !letter(b[i-1])):
			if i+1 < len(b) {
				switch b[i+1] | 0x20 { // the second letter of those below
				case 'u', 'g', 'w', 'n':
				default:
					continue
				}
			}
			for _, f := range []string{"curl ", "wget ", "iwr ", "invoke-webrequest "} {
				if len(b)-i > len(f) && bytes.EqualFold(b[i:i+len(f)], []byte(f)) {
					fetched = i
				}
			}
		case (c == '|' || c == '(' && i > 0 && (b[i-1] == '$' || b[i-1] == '<')) && i+1 < len(b):
			if c == '|' && (fetched < 0 || i-fetched > 400) {
				continue
			}
			if c == '|' && runner(b[i+1:]) {
				return true
			}
			if c == '(' && substituted(b, i) {
				return true
			}
		}
	}
	return false
}

// runner says that b begins with an interpreter, perhaps behind sudo.
func runner(b []byte) bool {
	b = bytes.TrimLeft(b[:min(len(b), 64)], " \t")
	for _, p := range []string{"sudo ", "/bin/", "/usr/bin/env ", "/usr/bin/"} {
		if len(b) > len(p) && string(b[:len(p)]) == p {
			b = bytes.TrimLeft(b[len(p):], " ")
		}
	}
	for _, r := range runners {
		if len(b) >= len(r) && bytes.EqualFold(b[:len(r)], r) && (len(b) == len(r) || !letter(b[len(r)])) {
			if rest := b[len(r):]; bytes.HasPrefix(rest, []byte(" -m")) || bytes.HasPrefix(rest, []byte(" -c")) || bytes.HasPrefix(rest, []byte(" -e")) {
				return false // a program of its own reads what was fetched
			}
			return true
		}
	}
	return false
}

// substituted says that the substitution whose parenthesis is at i holds a download and stands behind an interpreter: sh -c "$(curl ...)", bash <(curl ...).
func substituted(b []byte, i int) bool {
	in := bytes.TrimLeft(b[i+1:min(len(b), i+32)], " ")
	if !bytes.HasPrefix(in, []byte("curl ")) && !bytes.HasPrefix(in, []byte("wget ")) {
		return false
	}
	before := b[max(0, i-24) : i-1]
	for _, r := range [][]byte{[]byte("sh -c"), []byte("bash"), []byte("eval"), []byte("sh <"), []byte("source"), []byte("python -c")} {
		if bytes.Contains(before, r) {
			return true
		}
	}
	return bytes.HasSuffix(bytes.TrimRight(before, " "), []byte(" sh")) || string(bytes.TrimSpace(before)) == "sh"
}
