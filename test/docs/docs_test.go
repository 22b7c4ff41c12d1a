// Package docs holds the documentation to the programs: what is marked as runnable is run, every command and flag that is named exists, every
// link leads somewhere.
package docs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const root = "../.."

func bin(t *testing.T, name string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join(root, "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("build first: make build (%v)", err)
	}
	return p
}

// page is a Markdown file.
type page struct {
	path  string // from the repository's root
	lines []string
}

func pages(t *testing.T) []page {
	t.Helper()
	var out []page
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == ".git" || d.Name() == "data") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".md") {
			return nil
		}
		b, err := os.ReadFile(filepath.Join(root, path))
		if errors.Is(err, fs.ErrNotExist) { // somebody is moving it
			return nil
		}
		out = append(out, page{path, strings.Split(string(b), "\n")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 40 {
		t.Fatalf("only %d pages", len(out))
	}
	return out
}

// block is a fenced block.
type block struct {
	info string // what follows the backticks
	line int    // of the first line in it, from 1
	text []string
}

func (p page) blocks() (out []block) {
	in := false
	for i, l := range p.lines {
		trimmed := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(trimmed, "```") && in:
			in = false
		case strings.HasPrefix(trimmed, "```"):
			in = true
			out = append(out, block{info: strings.TrimPrefix(trimmed, "```"), line: i + 2})
		case in:
			b := &out[len(out)-1]
			b.text = append(b.text, l)
		}
	}
	return out
}

const (
	runnable   = "sh run"            // is run, and must succeed
	background = "sh run background" // is left running; what follows waits for mcpsiem
)

// TestRun runs what pages mark as runnable, each page in an empty state folder of its own, block by block in one shell. The one thing that differs from
// what a reader does is that ports are picked, so that it can run beside another mcpsiem.
func TestRun(t *testing.T) {
	ran := 0
	for _, p := range pages(t) {
		if !slices.ContainsFunc(p.blocks(), func(b block) bool { return b.info == runnable }) {
			continue
		}
		ran++
		t.Run(strings.ReplaceAll(p.path, "/", "_"), func(t *testing.T) { runPage(t, p) })
	}
	if ran < 2 {
		t.Errorf("only %d pages have something to run", ran)
	}
}

func runPage(t *testing.T, p page) {
	work := t.TempDir()
	programs := filepath.Join(work, "programs")
	state := filepath.Join(work, "state")
	if err := os.MkdirAll(programs, 0o700); err != nil {
		t.Fatal(err)
	}
	wrapper := func(name, text string) {
		if err := os.WriteFile(filepath.Join(programs, name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	wrapper("mcpsiem", fmt.Sprintf("if [ \"$1\" = up ]; then shift; exec %[1]s up --any-port \"$@\"; fi\nexec %[1]s \"$@\"\n", bin(t, "mcpsiem")))
	wrapper("mcptap", fmt.Sprintf("MCPTAP_ENDPOINT=http://$(sed -n 's/.*\"otlp_http\": \"\\(.*\\)\",/\\1/p' \"$MCPSIEM_STATE/endpoints.json\")\nexport MCPTAP_ENDPOINT\nexec %s \"$@\"\n", bin(t, "mcptap")))

	var s strings.Builder
	s.WriteString("set -euo pipefail\ntrap 'mcpsiem down >/dev/null 2>&1 || true' EXIT\n" +
		"ready() { for _ in $(seq 1200); do if [ -f \"$MCPSIEM_STATE/endpoints.json\" ]; then return; fi; sleep 0.1; done; echo not ready; exit 1; }\n")
	for _, b := range p.blocks() {
		text := strings.Join(b.text, "\n")
		switch b.info {
		case background:
			fmt.Fprintf(&s, "echo '== %s:%d'\n{\n%s\n} > up.log 2>&1 &\nready\n", p.path, b.line, text)
		case runnable:
			fmt.Fprintf(&s, "echo '== %s:%d'\n%s\n", p.path, b.line, text)
		}
	}
	cmd := exec.Command("timeout", "240", "bash", "-c", s.String()) // pages wait in loops
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"), "MCPSIEM_STATE="+state,
		"MCPTAP_STATE_DIR="+state, "MCPTAP_TOKEN_FILE="+filepath.Join(state, "secrets", "otlp.token"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v; the last place named is where:\n%s", p.path, err, out)
	}
}

// command is one command's help, read once.
type command struct {
	subs  []string
	flags map[string]bool
}

var (
	subLine  = regexp.MustCompile(`^  ([a-z][a-z0-9-]*)\s+\S`)
	flagName = regexp.MustCompile(`--([a-z][a-z0-9-]*)`)
)

// programs know their commands and flags by asking for help.
type programs struct {
	t     *testing.T
	known map[string]*command
}

func (p *programs) get(path ...string) *command {
	key := strings.Join(path, " ")
	if c := p.known[key]; c != nil {
		return c
	}
	args := append(slices.Clone(path[1:]), "--help")
	if path[0] == "mcptap" {
		args = append([]string{"help"}, path[1:]...)
	}
	out, err := exec.Command(bin(p.t, path[0]), args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s: %v", key, err)
	}
	c := &command{flags: map[string]bool{"help": true}}
	commands := false
	for _, l := range strings.Split(string(out), "\n") {
		if l != "" && !unicode.IsSpace(rune(l[0])) {
			title := strings.ToLower(l)
			commands = strings.HasSuffix(title, ":") && !strings.HasPrefix(title, "usage") && !strings.HasPrefix(title, "examples") && !strings.HasPrefix(title, "flags") && !strings.HasPrefix(title, "global flags")
		}
		if m := subLine.FindStringSubmatch(l); m != nil && commands {
			c.subs = append(c.subs, m[1])
		}
		for _, m := range flagName.FindAllStringSubmatch(l, -1) {
			c.flags[m[1]] = true
		}
	}
	if path[0] == "mcptap" && len(path) == 1 {
		c.subs = []string{"stdio", "http", "wrap", "unwrap", "completion", "version", "help"}
	}
	if path[0] == "mcpsiem" && len(path) == 1 {
		c.flags["version"] = true
		c.subs = append(c.subs, "help")
	}
	p.known[key] = c
	return c
}

var (
	span  = regexp.MustCompile("`([^`]+)`")
	start = regexp.MustCompile(`(?:^|[|;&(]\s*|\bif |\bdo |-- |\s-u mcpsiem \S+ )\s*(?:\./)?(?:bin/)?(mcpsiem|mcptap)\s+(.*)$`)
)

// words splits a command line as far as the command goes; quoted text is one word.
func words(line string) []string {
	var out []string
	var w strings.Builder
	var quote rune
	flush := func() {
		if w.Len() > 0 {
			out = append(out, w.String())
			w.Reset()
		}
	}
	for _, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
			w.WriteRune(r)
		case r == '"' || r == '\'':
			quote = r
			w.WriteRune(r)
		case r == '|' || r == ';' || r == '&' || r == '>' || r == ')' || r == '#' && w.Len() == 0:
			flush()
			return out
		case unicode.IsSpace(r):
			flush()
		default:
			w.WriteRune(r)
		}
	}
	flush()
	return out
}

var subName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// check says what is wrong with a command line of program, or nothing.
func (p *programs) check(program, line string) string {
	path := []string{program}
	c := p.get(program)
	args := words(line)
	if len(args) > 0 && args[0] == "help" {
		args = args[1:]
	}
	walking := true
	for i, a := range args {
		switch {
		case a == "--":
			return ""
		case strings.HasPrefix(a, "--") || strings.HasPrefix(a, "[--"):
			m := flagName.FindStringSubmatch(a)
			if m != nil && !c.flags[m[1]] {
				return fmt.Sprintf("%s has no flag --%s", strings.Join(path, " "), m[1])
			}
			walking = walking && i == 0 && strings.Contains(a, "=")
		case walking && slices.Contains(c.subs, a):
			path = append(path, a)
			c = p.get(path...)
		case walking && len(c.subs) > 0 && len(path) <= 2 && subName.MatchString(a):
			if program == "mcpsiem" && (len(path) == 1 || a != strings.ToUpper(a)) {
				return fmt.Sprintf("%s has no command %s", strings.Join(path, " "), a)
			}
			return ""
		default:
			walking = false
		}
	}
	return ""
}

// TestCommands checks every command that any page names, in code.
func TestCommands(t *testing.T) {
	p := &programs{t, map[string]*command{}}
	checked := 0
	for _, pg := range pages(t) {
		fenced := false
		for i, l := range pg.lines {
			if strings.HasPrefix(strings.TrimSpace(l), "```") {
				fenced = !fenced
				continue
			}
			var lines []string
			if fenced || strings.HasPrefix(l, "    ") {
				lines = []string{l}
			} else {
				for _, m := range span.FindAllStringSubmatch(l, -1) {
					lines = append(lines, m[1])
				}
			}
			for _, line := range lines {
				m := start.FindStringSubmatch(strings.TrimSpace(strings.TrimPrefix(line, "$ ")))
				if m == nil {
					continue
				}
				checked++
				if wrong := p.check(m[1], m[2]); wrong != "" {
					t.Errorf("%s:%d: %s: %s", pg.path, i+1, strings.TrimSpace(line), wrong)
				}
			}
		}
	}
	if checked < 150 {
		t.Errorf("only %d commands were found", checked)
	}
}

// TestCheck: what TestCommands would let through proves nothing, so this is what it must not.
func TestCheck(t *testing.T) {
	p := &programs{t, map[string]*command{}}
	f := func(program, line string, ok bool) {
		t.Helper()
		if wrong := p.check(program, line); (wrong == "") != ok {
			t.Errorf("%s %s: %q", program, line, wrong)
		}
	}
	f("mcpsiem", "up --any-port", true)
	f("mcpsiem", "up --any-prot", false)
	f("mcpsiem", "findings list --severity high | head --lines 3", true)
	f("mcpsiem", "findings lst", false)
	f("mcpsiem", "fly", false)
	f("mcpsiem", "query \"SELECT '--nonsense'\"", true)
	f("mcpsiem", "--version", true)
	f("mcptap", "stdio --name x -- cat --nonsense", true)
	f("mcptap", "stdio --nam x", false)
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks follows every relative link, to the heading where one is named.
func TestLinks(t *testing.T) {
	all := pages(t)
	byPath := map[string]page{}
	for _, p := range all {
		byPath[p.path] = p
	}
	n := 0
	for _, p := range all {
		fenced := false
		for i, l := range p.lines {
			if strings.HasPrefix(strings.TrimSpace(l), "```") {
				fenced = !fenced
			}
			if fenced {
				continue
			}
			for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(l, ""), -1) {
				to, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
					continue
				}
				n++
				target := p.path
				if to != "" {
					target = filepath.Join(filepath.Dir(p.path), to)
				}
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s:%d: %s leads nowhere", p.path, i+1, m[1])
					continue
				}
				if q, ok := byPath[target]; ok && anchor != "" && !slices.Contains(q.anchors(), anchor) {
					t.Errorf("%s:%d: %s has no heading %s", p.path, i+1, target, anchor)
				}
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d links", n)
	}
}

// anchors are the headings of a page as GitHub names them.
func (p page) anchors() (out []string) {
	fenced := false
	for _, l := range p.lines {
		if strings.HasPrefix(l, "```") {
			fenced = !fenced
		}
		if fenced || !strings.HasPrefix(l, "#") {
			continue
		}
		var b strings.Builder
		for _, r := range strings.ToLower(strings.TrimSpace(strings.TrimLeft(l, "#"))) {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				b.WriteRune(r)
			case r == ' ':
				b.WriteByte('-')
			}
		}
		out = append(out, b.String())
	}
	return out
}
