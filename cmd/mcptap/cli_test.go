//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCommandLine(t *testing.T) {
	f := func(code int, want string, args ...string) {
		t.Helper()
		cmd := tapCommand(t, args...)
		cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+t.TempDir())
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run()
		if cmd.ProcessState.ExitCode() != code || !strings.Contains(out.String(), want) {
			t.Fatalf("%q: exit %d, %s", args, cmd.ProcessState.ExitCode(), out.String())
		}
	}
	f(exitUsage, "Commands:")
	f(exitOK, "Exit codes:", "help")
	f(exitOK, "Exit codes:", "--help")
	f(exitOK, "mcptap", "version")
	f(exitUsage, "no command of that name", "nonsense")
	for _, c := range commands() {
		f(exitOK, "Examples:", c.name, "--help")
		f(exitOK, "Usage: mcptap "+c.name, "help", c.name)
		f(exitUsage, "there is no flag --nonsense", c.name, "--nonsense")
	}
	f(exitUsage, "which server", "stdio", "--name", "x")
	f(exitUsage, "--name needs a value", "stdio", "--name")
	f(exitUsage, "KEY=VALUE", "stdio", "--label", "x", "--", "true")
	f(exitUsage, "a size such as", "stdio", "--spool-max", "lots", "--", "true")
	f(exitUsage, "a duration such as", "stdio", "--flush-interval", "-1s", "--", "true")
	f(7, "hello", "stdio", "--quiet", "sh", "-c", "echo hello; exit 7")
	f(exitNotFound, "cannot run the server", "stdio", "--", "no-such-command-anywhere")
	f(exitCannotRun, "cannot run the server", "stdio", "--", t.TempDir())
	f(0, "endpoint", "stdio", "--endpoint", "nonsense", "--", "echo", "passes")
	f(0, "passes", "stdio", "--endpoint", "nonsense", "--", "echo", "passes")
	f(0, "passes", "stdio", "--state-dir", "/dev/null/x", "--", "echo", "passes")

	f(exitUsage, "--listen is needed", "http", "--upstream", "http://x")
	f(exitUsage, "--upstream must be", "http", "--listen", "127.0.0.1:0")
	f(exitUsage, "--upstream must be", "http", "--listen", "127.0.0.1:0", "--upstream", "ftp://x")
	f(exitUsage, "HOST:PORT", "http", "--listen", "8080", "--upstream", "http://x")
	for _, a := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
		f(exitUsage, "not a loopback address", "http", "--listen", a, "--upstream", "http://x")
	}
	f(exitFailure, "cannot load --tls-cert", "http", "--listen", "127.0.0.1:0", "--upstream", "http://x", "--tls-cert", "missing")
	f(exitFailure, "cannot read --upstream-ca", "http", "--listen", "127.0.0.1:0", "--upstream", "https://x", "--upstream-ca", "missing")
	f(exitFailure, "cannot listen", "http", "--listen", "127.0.0.1:1", "--upstream", "http://x", "--allow-non-loopback", "--listen", "192.0.2.1:1")

	f(exitUsage, "which FILE", "wrap")
	f(exitFailure, "cannot find", "wrap", "--tap", "/x/mcptap", "missing")
	f(exitUsage, "which shell", "completion", "csh")
}

func TestEnvironment(t *testing.T) {
	t.Setenv("MCPTAP_NAME", "from-env")
	t.Setenv("MCPTAP_CAPTURE_LIMIT", "1KiB")
	t.Setenv("MCPTAP_SPOOL_MAX", "nonsense")
	f := newFlags(stdioCommand())
	var out bytes.Buffer
	f.stderr = &out
	rest, err := f.parse([]string{"--tenant=a=b", "-label", "x=1", "--label", "y=2", "--", "cmd", "--name", "z"})
	r := f.recording
	if err != nil || r.name != "from-env" || r.captureLimit != 1024 || r.tenant != "a=b" || r.labels["y"] != "2" || strings.Join(rest, " ") != "cmd --name z" {
		t.Fatalf("%+v, %q, %v", r, rest, err)
	}
	if r.spoolMax != 256<<20 || !strings.Contains(out.String(), "MCPTAP_SPOOL_MAX is ignored") {
		t.Fatalf("spool %d, said %q", r.spoolMax, out.String())
	}
	f = newFlags(stdioCommand())
	if _, err := f.parse([]string{"--name", "from-flag"}); err != nil || f.recording.name != "from-flag" {
		t.Fatal(f.recording.name, err)
	}
}

func TestSizes(t *testing.T) {
	f := func(s string, want int64) {
		t.Helper()
		if got, err := parseSize(s); got != want || (err == nil) != (want > 0) {
			t.Fatalf("%s: got %d, %v", s, got, err)
		}
	}
	f("1", 1)
	f("10B", 10)
	f("2K", 2048)
	f("2KiB", 2048)
	f("3MiB", 3<<20)
	f("1G", 1<<30)
	f("0", 0)
	f("-1", 0)
	f("1.5M", 0)
	f("MiB", 0)
	f("", 0)
	f("9999999999G", 0)
}

// TestCompletionScripts has the shells that are here read the scripts.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out bytes.Buffer
		if code := run([]string{"completion", shell}, &out, &out); code != 0 {
			t.Fatal(code)
		}
		for _, want := range []string{"stdio", "unwrap", "capture-limit", "rewrite-endpoint"} {
			if !strings.Contains(out.String(), want) {
				t.Fatalf("%s: no %s", shell, want)
			}
		}
		if strings.Contains(out.String(), "no-args") {
			t.Fatalf("%s: a hidden flag is offered", shell)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		script := filepath.Join(t.TempDir(), "script")
		os.WriteFile(script, out.Bytes(), 0o600)
		if b, err := exec.Command(path, "-n", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", shell, err, b)
		}
	}
}

// TestWrapRuns wraps a configuration and runs what it then says.
func TestWrapRuns(t *testing.T) {
	dir := t.TempDir()
	mcptap := filepath.Join(dir, "mcptap")
	if err := os.Symlink(self(t), mcptap); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.json")
	src := "{\"mcpServers\": {\"a\": {\"command\": \"echo\", \"args\": [\"one two\"]}, \"b\": {\"command\": \"pwd\"}, \"c\": {\"url\": \"http://x\"}}}\n"
	os.WriteFile(file, []byte(src), 0o600)
	var out bytes.Buffer
	do := func(args ...string) string {
		t.Helper()
		out.Reset()
		if code := run(args, &out, &out); code != 0 {
			t.Fatalf("%q: exit %d, %s", args, code, out.String())
		}
		return out.String()
	}
	if s := do("wrap", "--dry-run", "--tap", mcptap, file); !strings.Contains(s, "+{\"mcpServers\"") || !strings.Contains(s, "dry run") {
		t.Fatal(s)
	}
	if s := do("wrap", "--tap", mcptap, "--state-dir", dir, file); !strings.Contains(s, "mcpServers a: wrapped") || !strings.Contains(s, "c: not wrapped (it is reached over HTTP") {
		t.Fatal(s)
	}
	b, _ := os.ReadFile(file)
	if n := strings.Count(string(b), mcptap); n != 2 {
		t.Fatalf("%s", b)
	}
	cmd := exec.Command(mcptap, "stdio", "--name", "b", "--state-dir="+dir, "--no-args", "--quiet", "--", "pwd")
	cmd.Env = append(os.Environ(), "MCPTAP_TEST_ROLE=tap")
	cmd.Dir = dir
	if got, err := cmd.Output(); err != nil || strings.TrimSpace(string(got)) != dir {
		t.Fatalf("%q, %v", got, err)
	}
	do("unwrap", file)
	if b, _ := os.ReadFile(file); string(b) != src {
		t.Fatalf("%s", b)
	}
}

// TestDeadCollector: a collector that takes connections and never answers costs no more than the shutdown timeout.
func TestDeadCollector(t *testing.T) {
	ln, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	start := time.Now()
	cmd := tapCommand(t, "stdio", "--endpoint", "http://"+ln.Addr().String(), "--state-dir", t.TempDir(), "--shutdown-timeout", "300ms", "--quiet", "--", "echo", "hello")
	out, err := cmd.Output()
	if err != nil || string(out) != "hello\n" {
		t.Fatal(string(out), err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Fatalf("took %v", d)
	}
}
