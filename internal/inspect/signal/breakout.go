// Values that break out of what they are put into: a query, a directory filter, a header, a page.
package signal

import "bytes"

// maxBreakout is how much of a value is looked at.
const maxBreakout = 1024

// Breakout scores how much a value looks like one that ends the text of a query and goes on as a query of its own: a quote and then an
// operator, as in x' OR 'a'='a, or a parenthesis of a directory filter, as in *)(uid=*. It reads the value once.
func Breakout(b []byte) (score float64) {
	b = b[:min(len(b), maxBreakout)]
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\'', '"':
			score = max(score, afterQuote(b[i+1:], b[i]))
		case ')':
			rest := bytes.TrimLeft(b[i+1:], " ")
			if len(rest) < 2 || rest[0] != '(' {
				continue
			}
			switch rest[1] {
			case '&', '|', '!':
				score = max(score, 0.85)
			default:
				k := 1
				for k < len(rest) && (letter(rest[k]) || rest[k] == '-') {
					k++
				}
				if k > 1 && k < len(rest) && rest[k] == '=' && i > 0 && (b[i-1] == '*' || i < 24) {
					score = max(score, 0.85)
				}
			}
		}
	}
	return score
}

// afterQuote scores what stands behind a quote that could have ended the text of a query.
func afterQuote(b []byte, quote byte) float64 {
	b = bytes.TrimLeft(b, " )\t\n")
	if len(b) == 0 {
		return 0
	}
	if bytes.HasPrefix(b, []byte("||")) || bytes.HasPrefix(b, []byte("&&")) || b[0] == ';' {
		rest := bytes.TrimLeft(b, "|&; ")
		// a script goes on: '; return true; var x='
		for _, w := range []string{"return ", "this.", "sleep(", "var ", "while(", "1==1", "1=1", "true", "db."} {
			if len(rest) >= len(w) && bytes.EqualFold(rest[:len(w)], []byte(w)) {
				return 0.85
			}
		}
		return 0
	}
	k := 0
	for k < len(b) && letter(b[k]) {
		k++
	}
	switch string(bytes.ToLower(b[:min(k, 10)])) {
	case "or", "and", "having", "where", "xor":
		// an operand and a comparison, or a call
		rest := b[k:min(len(b), k+48)]
		if len(rest) < 2 || letter(rest[0]) {
			return 0
		}
		t := bytes.TrimLeft(rest, " (!")
		for i, c := range t {
			switch {
			case c == '=' || c == '<' || c == '>', c == '(' && i > 2 && (letter(t[i-1])):
				return 0.85
			case letter(c), c-'0' < 10, c == '\'', c == '"', c == ' ', c == '_', c == '.', c == '-':
				continue
			}
			break
		}
	case "union", "order", "group", "limit", "procedure":
		if bytes.IndexByte(b[k:], ' ') == 0 {
			return 0.8
		}
	}
	return 0
}

// Operator says that a member's name is one of a query language for documents that compares or computes: {"$ne": null} where a user's name
// belongs matches everybody.
func Operator(name []byte) bool {
	switch string(name) {
	case "$ne", "$gt", "$gte", "$lt", "$lte", "$nin", "$in", "$regex", "$exists", "$where", "$not", "$or", "$expr", "$function", "$accumulator":
		return true
	}
	return false
}

// ScriptOperator says that a member of a filter holds JavaScript that the database runs.
func ScriptOperator(name []byte) bool {
	switch string(name) {
	case "$where", "$function", "$accumulator":
		return true
	}
	return false
}

// Plain says that the value of an argument of this name is one word or number and no query: a user, a password, an id.
func Plain(name []byte) bool {
	switch p := promised(name); p {
	case label, ident, host, address:
		return true
	}
	switch string(bytes.ToLower(name[:min(len(name), 32)])) {
	case "user", "login", "password", "passwd", "pass", "token", "email", "mail", "account", "pin", "otp", "key", "apikey", "api_key", "secret":
		return true
	}
	return false
}

// Line says that the value of an argument of this name is one short line that people see: a subject, a title, a name.
func Line(name []byte) bool {
	last := name
	if i := bytes.LastIndexAny(name, "_-."); i >= 0 {
		last = name[i+1:]
	}
	switch string(bytes.ToLower(last[:min(len(last), 32)])) {
	case "subject", "title", "name", "label", "headline", "displayname", "nickname", "heading", "firstname", "lastname", "filename", "username", "from", "to", "cc", "bcc", "recipient", "header", "headers", "location", "redirect", "referer", "agent":
		return true
	}
	return false
}

// InLine scores how much such a line holds what lines do not: a header of its own behind a line break, or markup that runs.
func InLine(b []byte) (score float64) {
	b = b[:min(len(b), maxBreakout)]
	for i, c := range b {
		switch c {
		case '\n', '%':
			rest := b[i+1:]
			if c == '%' {
				if len(rest) < 2 || rest[0] != '0' || rest[1]|0x20 != 'a' && rest[1]|0x20 != 'd' {
					continue
				}
				rest = rest[2:]
				if len(rest) > 2 && rest[0] == '%' && rest[1] == '0' {
					rest = rest[3:]
				}
			}
			k := 0
			for k < len(rest) && (letter(rest[k]) || rest[k] == '-') {
				k++
			}
			if k > 1 && k < len(rest) && rest[k] == ':' {
				score = max(score, 0.85)
			}
		case '<':
			score = max(score, runs(b[i+1:]))
		}
	}
	if i := indexFold(b, []byte("javascript:")); i == 0 {
		score = max(score, 0.8)
	}
	return score
}

// runs says whether markup that begins here runs a script.
func runs(b []byte) float64 {
	b = b[:min(len(b), 200)]
	if len(b) > 6 && bytes.EqualFold(b[:6], []byte("script")) && (b[6] == '>' || b[6] == ' ') {
		return 0.85
	}
	k := 0
	for k < len(b) && letter(b[k]) {
		k++
	}
	if k == 0 {
		return 0
	}
	for i := k; i+3 < len(b) && b[i] != '>'; i++ {
		if (b[i] == ' ' || b[i] == '/' || b[i] == '\'' || b[i] == '"') && b[i+1]|0x20 == 'o' && b[i+2]|0x20 == 'n' {
			j := i + 3
			for j < len(b) && letter(b[j]) {
				j++
			}
			if j > i+5 && j < len(b) && b[j] == '=' {
				return 0.85
			}
		}
	}
	return 0
}

// indexFold is where sub, in lower case, is in s without regard to case.
func indexFold(s, sub []byte) int {
	for i := 0; i+len(sub) <= len(s); i++ {
		if bytes.EqualFold(s[i:i+len(sub)], sub) {
			return i
		}
	}
	return -1
}

// RunsOption says that b begins with an option by which a program that is not meant for it runs another: git, tar, ssh, rsync, find.
func RunsOption(b []byte) bool {
	if len(b) < 6 || b[0] != '-' {
		return false
	}
	for _, o := range []string{"--upload-pack=", "--receive-pack=", "--open-files-in-pager=", "--exec=", "--checkpoint-action=", "--to-command=", "--use-compress-program=", "--rsh=", "--rsync-path=", "--post-file=", "--eval=", "-oProxyCommand=", "-oLocalCommand=", "--info-script=", "--config=core.", "-ccore."} {
		if bytes.HasPrefix(b, []byte(o)) {
			return true
		}
	}
	return false
}

// Serialized says that b begins like an object that a program would rebuild, and run code by that: of Java, PHP, .NET, Python.
func Serialized(b []byte) bool {
	for _, p := range []string{"rO0AB", "AAEAAAD/////", "\xac\xed\x00\x05", "O:8:\"stdClass\"", "gASV", "!!python/object", "!!java", "YToyOnt"} {
		if bytes.HasPrefix(b, []byte(p)) {
			return true
		}
	}
	return false
}
