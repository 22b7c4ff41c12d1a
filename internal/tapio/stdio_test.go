//go:build unix

package tapio

// Each scripted conversation runs twice, with the tap and without it, and what the client can see must be the same.

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"golang.org/x/sys/unix"
)

// proc is a server as its client sees it, tapped or not.
type proc struct {
	*exec.Cmd
	in     *os.File
	out    *os.File
	stderr bytes.Buffer
	report string
}

// spawn starts the server that role describes. socket chooses what its stdin and stdout are, as Node.js clients do.
func spawn(t testing.TB, tapped bool, role string, socket bool, env ...string) *proc {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &proc{Cmd: exec.Command(self), report: filepath.Join(t.TempDir(), "report")}
	p.Env = append(os.Environ(), append(env, "TAPIO_ROLE="+role)...)
	if tapped {
		p.Args = append(p.Args, self)
		p.Env = append(p.Env, "TAPIO_ROLE=tap", "TAPIO_SERVER="+role, "TAPIO_REPORT="+p.report)
	}
	pipe := func() (r, w *os.File) {
		if !socket {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return r, w
		}
		fds, err := closeOnExecSocketpair()
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket")
	}
	var childIn, childOut *os.File
	childIn, p.in = pipe()
	p.out, childOut = pipe()
	p.Stdin, p.Stdout, p.Stderr = childIn, childOut, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	childIn.Close()
	childOut.Close()
	t.Cleanup(func() {
		p.in.Close()
		p.out.Close()
		if p.ProcessState == nil {
			p.Process.Kill()
			p.Wait()
		}
	})
	return p
}

// seen is all that a client learns.
type seen struct {
	Out, Err string
	Code     int
	Signal   syscall.Signal
}

func (p *proc) end(t testing.TB, out []byte) seen {
	t.Helper()
	done := make(chan struct{})
	go func() {
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			p.Process.Kill()
		}
	}()
	_ = p.Wait()
	close(done)
	ws := p.ProcessState.Sys().(syscall.WaitStatus)
	s := seen{Out: string(out), Err: p.stderr.String(), Code: p.ProcessState.ExitCode()}
	if ws.Signaled() {
		s.Signal = ws.Signal()
	}
	return s
}

func (p *proc) recorded(t testing.TB) report {
	t.Helper()
	b, err := os.ReadFile(p.report)
	if err != nil {
		t.Fatalf("no report: %v; stderr %q", err, p.stderr.String())
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	for i, f := range r.Frames {
		if err := checkFrame(f); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	return r
}

func (r report) lines(direction string) []string {
	s := []string{}
	for _, f := range r.Frames {
		if f.Direction == direction {
			s = append(s, string(f.Data))
		}
	}
	return s
}

func lines(s string) []string {
	l := strings.Split(s, "\n")
	if l[len(l)-1] == "" {
		l = l[:len(l)-1]
	}
	for i := range l {
		l[i] = strings.TrimSuffix(l[i], "\r")
	}
	return l
}

// TestConversations sends input at once, closes stdin and reads to the end.
func TestConversations(t *testing.T) {
	f := func(role, input string, wantCode int, wantSignal syscall.Signal) {
		t.Helper()
		for _, socket := range []bool{false, true} {
			var got [2]seen
			for i, tapped := range []bool{false, true} {
				p := spawn(t, tapped, role, socket)
				go func() {
					io.WriteString(p.in, input)
					p.in.Close()
				}()
				out, _ := io.ReadAll(p.out)
				got[i] = p.end(t, out)
				if !tapped {
					continue
				}
				r := p.recorded(t)
				if want := lines(got[i].Out); !slices.Equal(r.lines(event.ServerToClient), want) {
					t.Fatalf("%s: recorded %.200q from the server, want %.200q", role, r.lines(event.ServerToClient), want)
				}
				want := wantCode
				if wantSignal != 0 {
					want = -int(wantSignal)
				}
				if !r.Closed || r.Exit == nil || r.Exit.Code != want {
					t.Fatalf("%s: closed %v with %v, want %d", role, r.Closed, r.Exit, want)
				}
				if len(r.Lost) > 0 {
					t.Fatalf("%s: lost %v", role, r.Lost)
				}
			}
			if got[0] != got[1] {
				t.Fatalf("%s (socket %v): with the tap %.300q, without %.300q", role, socket, fmt.Sprint(got[1]), fmt.Sprint(got[0]))
			}
			if wantSignal != 0 && got[1].Signal != wantSignal || wantSignal == 0 && got[1].Code != wantCode {
				t.Fatalf("%s: ended with %d, signal %v", role, got[1].Code, got[1].Signal)
			}
		}
	}
	f("echo", "", 0, 0)
	f("echo", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n[{},{}]\n", 0, 0)
	f("echo", "a\r\n\n\xEF\xBB\xBF{}\n\xff\xfe\x00\nno end", 0, 0)
	f("cat", strings.Repeat("0123456789\n", 100_000), 0, 0)
	f("err to stderr;say out;err again;exit 3", "", 3, 0)
	f(`raw "no line end";exit 255`, "", 255, 0)
	f("exit 1", "never read\n", 1, 0)
	f("say x;kill 9", "", -1, syscall.SIGKILL)
	f("say x;kill 15", "", -1, syscall.SIGTERM)
	f("kill 6", "", -1, syscall.SIGABRT)
	f("kill 10", "", -1, syscall.Signal(10))
	f("closeout;echo;exit 4", "a\nb\n", 4, 0)
	f("closein;say still here;exit 5", "", 5, 0)
	if raceEnabled {
		return
	}
	f("kill 11", "", -1, syscall.SIGSEGV)
}

func TestLongLines(t *testing.T) {
	const size = 50 << 20
	p := spawn(t, true, fmt.Sprintf("flood %d;raw \"\\n\";say small", size), false, "TAPIO_BUFFER=134217728")
	h := sha256.New()
	n, err := io.Copy(h, p.out)
	if err != nil || n != size+7 {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	p.in.Close()
	if s := p.end(t, nil); s.Code != 0 {
		t.Fatalf("ended with %v", s)
	}
	r := p.recorded(t)
	if len(r.Frames) != 2 || string(r.Frames[1].Data) != "small" {
		t.Fatalf("%d frames, lost %v", len(r.Frames), r.Lost)
	}
	want := sha256.Sum256(bytes.Repeat([]byte("0123456789abcdef"), size/16))
	if f := r.Frames[0]; f.Size != size || len(f.Data) != DefaultCaptureLimit || f.SHA256 != want {
		t.Fatalf("size %d, %d kept, hash right: %v", f.Size, len(f.Data), f.SHA256 == want)
	}
}

// TestTinyBuffer makes framing fall behind: every byte passes, and what was not framed is counted.
func TestTinyBuffer(t *testing.T) {
	p := spawn(t, true, "cat", false, "TAPIO_BUFFER=100")
	line := strings.Repeat("z", 59) + "\n"
	const n = 20000
	go func() {
		io.WriteString(p.in, strings.Repeat(line, n))
		p.in.Close()
	}()
	out, _ := io.ReadAll(p.out)
	if string(out) != strings.Repeat(line, n) {
		t.Fatalf("got %d bytes of %d, or others", len(out), n*len(line))
	}
	p.end(t, nil)
	r := p.recorded(t)
	for _, d := range []string{event.ClientToServer, event.ServerToClient} {
		if got := len(r.lines(d)) + r.Lost[d]; got != n || r.Lost[d] == 0 {
			t.Fatalf("%s: %d framed + lost, of which %d lost, want %d", d, got, r.Lost[d], n)
		}
	}
}

func TestSignals(t *testing.T) {
	for _, tapped := range []bool{false, true} {
		p := spawn(t, tapped, "sigs", false)
		buf := make([]byte, 64)
		read := func(want string) {
			t.Helper()
			n, err := p.out.Read(buf)
			if err != nil || string(buf[:n]) != want {
				t.Fatalf("tapped %v: read %q, %v; want %q", tapped, buf[:n], err, want)
			}
		}
		read("ready\n")
		for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH} {
			if err := p.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			read(strconv.Itoa(int(sig)) + "\n")
		}
		p.Process.Signal(syscall.SIGTERM)
		if s := p.end(t, nil); s.Code != 0 {
			t.Fatalf("tapped %v: ended with %v", tapped, s)
		}
	}
}

// TestStopContinue stops tap and server with SIGTSTP and wakes them with SIGCONT.
func TestStopContinue(t *testing.T) {
	p := spawn(t, true, "pid;echo", false)
	buf := make([]byte, 64)
	n, _ := p.out.Read(buf)
	server, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err)
	}
	// A stop by SIGTSTP does nothing in an orphaned process group, which a test may well run in; then the server just runs on.
	p.Process.Signal(syscall.SIGTSTP)
	time.Sleep(100 * time.Millisecond)
	p.Process.Signal(syscall.SIGCONT)
	io.WriteString(p.in, "hello\n")
	n, _ = p.out.Read(buf)
	if string(buf[:n]) != "re:hello\n" {
		t.Fatalf("got %q", buf[:n])
	}
	if err := unix.Kill(server, 0); err != nil {
		t.Fatalf("the server is gone: %v", err)
	}
	p.in.Close()
	if s := p.end(t, nil); s.Code != 0 {
		t.Fatalf("ended with %v", s)
	}
}

func TestKilledByDefault(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL} {
		if signal.Ignored(sig) { // as under nohup: children inherit that
			continue
		}
		p := spawn(t, true, "pid;line", false)
		buf := make([]byte, 64)
		n, _ := p.out.Read(buf)
		server, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
		if err != nil {
			t.Fatal(err)
		}
		q := spawn(t, false, "pid;line", false)
		q.out.Read(buf)
		p.Process.Signal(sig)
		q.Process.Signal(sig)
		a, b := p.end(t, nil), q.end(t, nil)
		if a.Signal != b.Signal || a.Code != b.Code {
			t.Fatalf("%v: tapped %+v, untapped %+v", sig, a, b)
		}
		for i := 0; unix.Kill(server, 0) == nil; i++ { // SIGKILL reaches the server through the kernel, a moment later
			if i > 500 {
				t.Fatalf("%v: the server outlives its tap", sig)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// TestHalfClose closes one direction and asserts when the other side notices.
func TestHalfClose(t *testing.T) {
	for _, socket := range []bool{false, true} {
		for _, tapped := range []bool{false, true} {
			name := fmt.Sprintf("socket %v, tapped %v", socket, tapped)

			// the server closes its stdout and lives on: the client reads the end at once
			p := spawn(t, tapped, "say a;closeout;line;exit 7", socket)
			if out, _ := io.ReadAll(p.out); string(out) != "a\n" {
				t.Fatalf("%s: got %q", name, out)
			}
			if _, err := io.WriteString(p.in, "go\n"); err != nil {
				t.Fatalf("%s: the server's stdin is closed too: %v", name, err)
			}
			if s := p.end(t, nil); s.Code != 7 {
				t.Fatalf("%s: ended with %v", name, s)
			}

			// the server closes its stdin and lives on: the client's write fails
			p = spawn(t, tapped, "closein;say closed;sleep 60000", socket)
			buf := make([]byte, 64)
			p.out.Read(buf)
			waitFor(t, name+": a write fails", func() bool {
				_, err := io.WriteString(p.in, "x\n")
				return err != nil
			})
			if err := p.Process.Signal(syscall.Signal(0)); err != nil {
				t.Fatalf("%s: the server is gone: %v", name, err)
			}
			p.Process.Kill()
			p.end(t, nil)

			// the client closes its reading end: the server's next write fails
			p = spawn(t, tapped, "line;sigpipe", socket)
			p.out.Close()
			io.WriteString(p.in, "go\n")
			if s := p.end(t, nil); s.Code != 55 || s.Err != "write failed\n" {
				t.Fatalf("%s: ended with %v", name, s)
			}

			// the same with a server that does not handle it: it dies of SIGPIPE
			p = spawn(t, tapped, "line;flood 100000000", socket)
			p.out.Close()
			io.WriteString(p.in, "go\n")
			if s := p.end(t, nil); s.Signal != syscall.SIGPIPE {
				t.Fatalf("%s: ended with %v", name, s)
			}
		}
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal(what + ": not seen")
}

// TestBackPressure lets the client stall: the server can write a bounded amount, which the tap raises by no more than
// another pipe and its own buffer.
func TestBackPressure(t *testing.T) {
	blockedAt := func(tapped bool) int {
		p := spawn(t, tapped, "count;exit 0", false)
		waitFor(t, "the server blocks", func() bool {
			return p.ProcessState != nil || readable(p)
		})
		time.Sleep(800 * time.Millisecond)
		p.Process.Kill()
		p.end(t, nil)
		n, err := strconv.Atoi(strings.TrimSpace(p.stderr.String()))
		if err != nil {
			t.Fatalf("tapped %v: %v", tapped, err)
		}
		return n
	}
	without, with := blockedAt(false), blockedAt(true)
	if with > 2*without+pumpBuffer+8192 {
		t.Fatalf("a stalled client lets the server write %d bytes, %d without the tap", with, without)
	}
}

func readable(p *proc) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.out.Fd()), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// TestWhoLeft: an exit that the client asked for, by closing stdin, is told from one that it did not.
func TestWhoLeft(t *testing.T) {
	for role, closes := range map[string]bool{"line;exit 0": false, "echo": true} {
		p := spawn(t, true, role, false)
		io.WriteString(p.in, "a line\n")
		if closes {
			p.in.Close()
		}
		out, _ := io.ReadAll(p.out)
		p.end(t, out)
		if r := p.recorded(t); r.Exit == nil || r.Exit.ClientLeft != closes {
			t.Errorf("%s: %+v", role, r.Exit)
		}
	}
}

// TestServerGoneClientStalled: the server exits with output undelivered, the client does not read and asks for an end.
func TestServerGoneClientStalled(t *testing.T) {
	p := spawn(t, true, "flood 120000;exit 0", false)
	time.Sleep(300 * time.Millisecond)
	p.Process.Signal(syscall.SIGTERM)
	start := time.Now()
	if s := p.end(t, nil); s.Code != 0 {
		t.Fatalf("ended with %v", s)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Fatalf("took %v", d)
	}
}

func TestNoRecording(t *testing.T) {
	p := spawn(t, true, "echo;exit 3", false, "TAPIO_FAIL=1")
	io.WriteString(p.in, "hello\n")
	p.in.Close()
	out, _ := io.ReadAll(p.out)
	if s := p.end(t, out); s.Out != "re:hello\n" || s.Code != 3 || s.Err != "tap: no recording\n" {
		t.Fatalf("got %+v", s)
	}
}

func TestCannotStart(t *testing.T) {
	dir := t.TempDir()
	notExecutable := filepath.Join(dir, "plain")
	noShebang := filepath.Join(dir, "script")
	os.WriteFile(notExecutable, []byte("x"), 0o644)
	os.WriteFile(noShebang, []byte("echo hi\nexit 9\n"), 0o755)
	f := func(command string, code int, out string) {
		t.Helper()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, command)
		cmd.Env = append(os.Environ(), "TAPIO_ROLE=tap", "TAPIO_SERVER=none")
		got, err := cmd.Output()
		if cmd.ProcessState.ExitCode() != code || string(got) != out {
			t.Fatalf("%s: exit %d, out %q, %v", command, cmd.ProcessState.ExitCode(), got, err)
		}
	}
	f("no-such-command-anywhere", ExitNotFound, "")
	f(filepath.Join(dir, "missing"), ExitNotFound, "")
	f(notExecutable, ExitCannotRun, "")
	f(dir, ExitCannotRun, "")
	f(noShebang, 9, "hi\n")
}
