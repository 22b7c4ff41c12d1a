package mcpconfig

import (
	"bytes"
	"fmt"
	"strings"
)

// This file shows what an edit does without showing what the file hides: of a string it shows only server commands, kinds of
// servers and arguments that look harmless; every other string, and every comment, is masked.

const masked = "***"

// mask hides what a diff does not need.
func mask(src []byte) []byte {
	root, comments, err := parse(src)
	if err != nil {
		return []byte(masked + "\n")
	}
	var edits []edit
	for _, c := range comments {
		with := "// " + masked
		if src[c[0]+1] == '*' {
			with = "/* " + masked + " */"
		}
		edits = append(edits, edit{c[0], c[1], with})
	}
	shown := map[*node]string{}
	for _, e := range servers(root) {
		for _, m := range e.value.members {
			switch m.name {
			case "command", "type", "transport":
				if m.value.kind == text {
					shown[m.value] = stringAt(src, m.value)
				}
			case "args":
				previous := ""
				for _, a := range m.value.items {
					if a.kind == text {
						s := stringAt(src, a)
						shown[a] = maskArg(previous, s)
						previous = s
					}
				}
			}
		}
	}
	var walk func(n *node)
	walk = func(n *node) {
		if n.kind == text {
			if s, ok := shown[n]; !ok {
				edits = append(edits, edit{n.start, n.end, quote(masked)})
			} else if s != stringAt(src, n) {
				edits = append(edits, edit{n.start, n.end, quote(s)})
			}
		}
		for _, m := range n.members {
			walk(m.value)
		}
		for _, i := range n.items {
			walk(i)
		}
	}
	walk(root)
	return apply(src, edits)
}

var secretWords = []string{"key", "token", "secret", "pass", "auth", "cred", "bearer", "cookie", "header", "env", "dsn", "conn"}

// maskArg masks an argument that may hold a secret, by what it looks like or what stands before it.
func maskArg(previous, arg string) string {
	if i := strings.IndexAny(arg, "="); i >= 0 {
		return arg[:i+1] + masked
	}
	if i := strings.Index(arg, ": "); i >= 0 {
		return arg[:i+2] + masked
	}
	if strings.HasPrefix(previous, "-") && !strings.HasPrefix(arg, "-") {
		p := strings.ToLower(previous)
		for _, w := range secretWords {
			if strings.Contains(p, w) {
				return masked
			}
		}
	}
	if i := strings.Index(arg, "://"); i >= 0 {
		rest := arg[i+3:]
		host, _, _ := strings.Cut(rest, "/")
		if strings.Contains(host, "@") || strings.ContainsAny(rest, "?#") {
			return arg[:i+3] + masked
		}
		return arg
	}
	if looksRandom(arg) {
		return masked
	}
	return arg
}

// looksRandom takes long words of mixed characters for keys.
func looksRandom(s string) bool {
	if len(s) < 20 || strings.ContainsAny(s, "/ @\\") {
		return false
	}
	digits := 0
	for _, c := range s {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	return digits >= 3
}

// Diff is the change from old to next as a unified diff, values masked; "" if there is none.
func Diff(path string, old, next []byte) string {
	if bytes.Equal(old, next) {
		return ""
	}
	a, b := splitLines(mask(old)), splitLines(mask(next))
	script := compare(a, b)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", path, path)
	const context = 3
	for i := 0; i < len(script); {
		if script[i].op == ' ' {
			i++
			continue
		}
		from := max(0, i-context)
		to, quiet := i, 0
		for to < len(script) && quiet <= 2*context {
			if script[to].op == ' ' {
				quiet++
			} else {
				quiet = 0
			}
			to++
		}
		to -= max(0, quiet-context)
		writeHunk(&out, script[from:to])
		i = to
	}
	return out.String()
}

func writeHunk(out *strings.Builder, script []diffLine) {
	var olds, news int
	for _, l := range script {
		if l.op != '+' {
			olds++
		}
		if l.op != '-' {
			news++
		}
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", script[0].a+1, olds, script[0].b+1, news)
	for _, l := range script {
		out.WriteByte(l.op)
		out.WriteString(l.text)
		if !strings.HasSuffix(l.text, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

func splitLines(b []byte) []string {
	s := strings.SplitAfter(string(b), "\n")
	if s[len(s)-1] == "" {
		s = s[:len(s)-1]
	}
	return s
}

// diffLine is a line that is kept (' '), deleted ('-') or added ('+'), and where it stands in both files, from 0.
type diffLine struct {
	op   byte
	text string
	a, b int
}

// compare finds a script from a to b. Wrapping keeps all lines but those of a server's command and arguments, and adds none
// or few, so a line that changed is looked for nearby only.
func compare(a, b []string) (script []diffLine) {
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		if i < len(a) && j < len(b) && a[i] == b[j] {
			script = append(script, diffLine{' ', a[i], i, j})
			i++
			j++
			continue
		}
		di, dj := resync(a[i:], b[j:])
		for k := range di {
			script = append(script, diffLine{'-', a[i+k], i + k, j})
		}
		for k := range dj {
			script = append(script, diffLine{'+', b[j+k], i + di, j + k})
		}
		i += di
		j += dj
	}
	return script
}

// resync finds how many lines of both to pass until they are equal again, three lines long or to the end.
func resync(a, b []string) (int, int) {
	const reach = 60
	same := func(i, j int) bool {
		for k := range 3 {
			if i+k == len(a) && j+k == len(b) {
				return true
			}
			if i+k >= len(a) || j+k >= len(b) || a[i+k] != b[j+k] {
				return false
			}
		}
		return true
	}
	for sum := 1; sum <= 2*reach; sum++ {
		for i := range sum + 1 {
			if j := sum - i; i <= len(a) && j <= len(b) && same(i, j) {
				return i, j
			}
		}
	}
	return len(a), len(b)
}
