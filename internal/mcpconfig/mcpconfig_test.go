package mcpconfig

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

var options = Options{Tap: "/opt/mcptap", Flags: []string{"--label=team=blue"}}

// TestGolden wraps each file of testdata and compares file, report and diff; unwrapping gives the file again.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, servers, err := Wrap(src, options)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var report strings.Builder
		for _, s := range servers {
			fmt.Fprintf(&report, "%s %s: %s; %s\n", s.Where, s.Name, s.Action, s.Reason)
		}
		diff := Diff(name, src, got)
		for ext, content := range map[string]string{".wrapped": string(got), ".report": report.String(), ".diff": diff} {
			golden := strings.TrimSuffix(name, ".json") + ext
			if *update {
				if err := os.WriteFile(golden, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || string(want) != content {
				t.Fatalf("%s: got\n%s\nwant\n%s", golden, content, want)
			}
		}
		if strings.Contains(diff, "secret") {
			t.Fatalf("%s: the diff shows a secret:\n%s", name, diff)
		}
		back, _, err := Unwrap(got, Options{})
		if err != nil || !bytes.Equal(back, src) {
			t.Fatalf("%s: unwrapped to\n%s", name, back)
		}
		again, _, err := Wrap(got, options)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%s: wrapped twice:\n%s", name, again)
		}
	}
}

func TestOnlyExcept(t *testing.T) {
	src := `{"mcpServers":{"a":{"command":"x"},"b":{"command":"y"}}}`
	f := func(o Options, want string) {
		t.Helper()
		o.Tap = "mcptap"
		got, _, err := Wrap([]byte(src), o)
		if err != nil || string(got) != want {
			t.Fatalf("got %s, %v", got, err)
		}
	}
	a := `{"mcpServers":{"a":{"command":"mcptap", "args": ["stdio", "--name", "a", "--no-args", "--", "x"]},"b":{"command":"y"}}}`
	f(Options{Only: []string{"a"}}, a)
	f(Options{Except: []string{"b"}}, a)
	f(Options{Only: []string{}}, src)
	f(Options{Only: []string{"a"}, Except: []string{"a"}}, src)
}

func TestSyntaxErrors(t *testing.T) {
	f := func(src, want string) {
		t.Helper()
		_, _, err := Wrap([]byte(src), options)
		var se *SyntaxError
		if !errors.As(err, &se) || err.Error() != want {
			t.Fatalf("%q: got %v, want %s", src, err, want)
		}
	}
	f("", "line 1, column 1: the file ends too early")
	f("{", "line 1, column 2: the file ends too early")
	f("{\n \"secret\" 1}", "line 2, column 11: a colon is expected")
	f("{\n \"a\": secret}", "line 2, column 7: a value is expected")
	f("{\"a\": 1 \"b\"", "line 1, column 9: a comma or closing bracket is expected")
	f("{a: 1}", "line 1, column 2: a key in double quotes is expected")
	f("{} x", "line 1, column 4: something follows the value")
	f("[01]", "line 1, column 2: a value is expected")
	f("[\"\\x\"]", "line 1, column 4: an unknown escape in a string")
	f("[\"\n\"]", "line 1, column 3: a control character in a string")
	f("[1] / 2", "line 1, column 6: a comment begins with // or /*")
	f("[1] /* 2", "line 1, column 9: the file ends too early")
	f(strings.Repeat("[", 1000), "line 1, column 202: nested too deeply")
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	src, err := os.ReadFile("testdata/claude_desktop.json")
	if err != nil {
		t.Fatal(err)
	}
	real, link := filepath.Join(dir, "real.json"), filepath.Join(dir, "link.json")
	check := func(want []byte, entries int) {
		t.Helper()
		got, err := os.ReadFile(real)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %s, %v", got, err)
		}
		info, err := os.Stat(real)
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Fatalf("mode %v, %v", info.Mode(), err)
		}
		if l, err := os.Lstat(link); err != nil || l.Mode()&os.ModeSymlink == 0 {
			t.Fatal("the link is gone")
		}
		es, _ := os.ReadDir(dir)
		if len(es) != entries {
			t.Fatalf("left behind: %v", es)
		}
	}
	if err := os.WriteFile(real, src, 0o640); err != nil {
		t.Fatal(err)
	}
	os.Chmod(real, 0o640)
	if err := os.Symlink("real.json", link); err != nil {
		t.Fatal(err)
	}
	wrapped, _, _ := Wrap(src, options)

	r, err := WrapFile(link, options, true)
	if err != nil || !r.Changed || r.Diff == "" {
		t.Fatal(r, err)
	}
	check(src, 2)
	if r, err = WrapFile(link, options, false); err != nil || !r.Changed || r.Backup == "" {
		t.Fatal(r, err)
	}
	check(wrapped, 3)
	if r, err = WrapFile(link, options, false); err != nil || r.Changed {
		t.Fatal(r, err)
	}
	check(wrapped, 3)
	if r, err = UnwrapFile(link, Options{}, false); err != nil || r.Backup == "" {
		t.Fatal(r, err)
	}
	check(src, 2)

	// the file changes between: a new server, which a second wrap wraps as well
	WrapFile(link, options, false)
	changed := bytes.Replace(wrapped, []byte(`"globalShortcut"`), []byte(`"servers": {"new": {"command": "n"}}, "globalShortcut"`), 1)
	os.WriteFile(real, changed, 0o640)
	if r, err = WrapFile(link, options, false); err != nil || !r.Changed {
		t.Fatal(r, err)
	}
	plain := bytes.Replace(src, []byte(`"globalShortcut"`), []byte(`"servers": {"new": {"command": "n"}}, "globalShortcut"`), 1)
	if r, err = UnwrapFile(link, Options{Only: []string{"new"}}, false); err != nil || r.Backup != "" {
		t.Fatal(r, err)
	}
	check(changed, 3)
	if r, err = UnwrapFile(link, Options{}, false); err != nil || r.Backup != "" {
		t.Fatal(r, err)
	}
	check(plain, 3)

	for _, name := range []string{filepath.Join(dir, "missing"), dir} {
		if _, err := WrapFile(name, options, false); err == nil {
			t.Fatalf("%s: no error", name)
		}
	}
	os.WriteFile(real, []byte("{}"), 0o640)
	if _, err := WrapFile(real, options, false); !errors.Is(err, ErrNoServers) {
		t.Fatal(err)
	}
	if _, err := WrapFile(real, Options{Tap: "/bin/other"}, false); err == nil {
		t.Fatal("a tap of another name is accepted")
	}
}

func TestReplaceNoticesChange(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	os.WriteFile(name, []byte("one"), 0o600)
	f, err := load(name)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(name, []byte("two"), 0o600)
	if err := f.replace([]byte("three")); err == nil {
		t.Fatal("another program's change is overwritten")
	}
	if b, _ := os.ReadFile(name); string(b) != "two" {
		t.Fatalf("got %q", b)
	}
}

// genServer draws a server as somebody may have written it.
func genFile(t *rapid.T) []byte {
	space := rapid.SampledFrom([]string{"", " ", "\n  ", "\r\n\t", " // note\n", "/* , */"})
	sp := func() string { return space.Draw(t, "space") }
	str := func() string {
		return rapid.SampledFrom([]string{`""`, `"a"`, `"--"`, `"stdio"`, `"--name"`, `"--no-args"`, `"\u00e9\"\\"`, `"mcp"`, `"x,]}"`, `"https://h/p"`}).Draw(t, "string")
	}
	list := func(open, end string, n int, element func(i int) string) string {
		var b strings.Builder
		b.WriteString(open + sp())
		for i := range n {
			if i > 0 {
				b.WriteString(sp() + "," + sp())
			}
			b.WriteString(element(i))
		}
		b.WriteString(sp())
		if n > 0 && rapid.Bool().Draw(t, "trailing") {
			b.WriteString("," + sp())
		}
		return b.String() + end
	}
	server := func() string {
		members := []string{`"command"` + sp() + ":" + sp() + str()}
		if rapid.Bool().Draw(t, "args") {
			members = append(members, `"args":`+sp()+list("[", "]", rapid.IntRange(0, 4).Draw(t, "n"), func(int) string { return str() }))
		}
		if rapid.Bool().Draw(t, "env") {
			members = append(members, `"env": {"K": `+str()+`}`)
		}
		if rapid.Bool().Draw(t, "url") {
			members[0] = `"url": "http://x"`
		}
		members = rapid.Permutation(members).Draw(t, "order")
		return list("{", "}", len(members), func(i int) string { return members[i] })
	}
	all := func() string {
		return list("{", "}", rapid.IntRange(0, 3).Draw(t, "servers"), func(int) string { return str() + ":" + sp() + server() })
	}
	return []byte(sp() + list("{", "}", rapid.IntRange(1, 3).Draw(t, "shapes"), func(int) string {
		switch rapid.IntRange(0, 4).Draw(t, "shape") {
		case 0:
			return `"mcpServers":` + all()
		case 1:
			return `"projects": {"p": {"x": 1, "mcpServers": ` + all() + `}}`
		case 2:
			return `"servers": ` + all()
		case 3:
			return `"mcp": {"servers":` + all() + `}`
		}
		return `"n": [1, -2.5e+3, true, null, ` + str() + `]`
	}) + sp())
}

func TestUnwrapInvertsWrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkInverse(t, genFile(t))
	})
}

type fataler interface {
	Fatalf(string, ...any)
}

func checkInverse(t fataler, src []byte) {
	wrapped, servers, err := Wrap(src, options)
	if err != nil {
		var se *SyntaxError
		if !errors.As(err, &se) {
			t.Fatalf("%v", err)
		}
		return
	}
	n := 0
	for _, s := range servers {
		switch s.Action {
		case Already:
			return // then unwrapping takes out more than wrapping put in
		case Wrapped:
			n++
		}
	}
	back, undone, err := Unwrap(wrapped, Options{})
	if err != nil || !bytes.Equal(back, src) {
		t.Fatalf("%q wrapped to %q, unwrapped to %q, %v", src, wrapped, back, err)
	}
	for _, s := range undone {
		if s.Action == Unwrapped {
			n--
		}
	}
	if n != 0 {
		t.Fatalf("%q: %d more wrapped than unwrapped", src, n)
	}
	if again, _, err := Wrap(wrapped, options); err != nil || !bytes.Equal(again, wrapped) {
		t.Fatalf("%q: wrapped twice: %q, %v", src, again, err)
	}
}

func FuzzWrap(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, name := range files {
		b, _ := os.ReadFile(name)
		f.Add(b)
	}
	f.Add([]byte(`{"servers":{"a":{"command":"mcptap","args":["stdio","--"]}}}`))
	f.Add([]byte(`{"servers":{"a":{"args":[] /* c */, "command":"x","command":"y"}}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		checkInverse(t, src)
		if out, _, err := Unwrap(src, Options{}); err == nil {
			if _, _, err := parse(out); err != nil {
				t.Fatalf("unwrapping %q made %q: %v", src, out, err)
			}
			Diff("f", src, out)
		}
	})
}
