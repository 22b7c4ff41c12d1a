package chdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"go.uber.org/goleak"
)

const envParent = "MCPSIEM_CHDB_TEST_PARENT"

func TestMain(m *testing.M) {
	Main()
	if dir := os.Getenv(envParent); dir != "" {
		parent(dir)
	}
	goleak.VerifyTestMain(m)
}

// parent starts a server, says where it is and waits to be killed.
func parent(dir string) {
	s, err := Start(context.Background(), Options{Dir: dir, Lib: os.Getenv(EnvLib)})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(s.PID(), s.HTTPAddr(), s.Password(UserAdmin))
	select {}
}

func startServer(t *testing.T, o Options) *Server {
	t.Helper()
	lib, err := Ensure(t.Context(), EnsureOptions{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	o.Lib = lib
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// httpQuery runs a query over HTTP and returns the answer or the error's text.
func httpQuery(addr, user, password, query, params string) string {
	req, _ := http.NewRequest(http.MethodPost, "http://"+addr+"/?"+params, strings.NewReader(query))
	if user != "" {
		req.Header.Set("X-ClickHouse-User", user)
		req.Header.Set("X-ClickHouse-Key", password)
	}
	c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b))
}

func (s *Server) query(user, query string) string {
	return httpQuery(s.HTTPAddr(), user, s.Password(user), query, "")
}

func mustEmpty(t *testing.T, s *Server, user, query string) {
	t.Helper()
	if got := s.query(user, query); got != "" {
		t.Fatalf("%s: %s", query, got)
	}
}

func TestServer(t *testing.T) {
	s := startServer(t, Options{})
	mustEmpty(t, s, UserAdmin, "CREATE DATABASE mcpsiem")
	mustEmpty(t, s, UserAdmin, "CREATE TABLE mcpsiem.t (a UInt64) ENGINE = ReplacingMergeTree ORDER BY a")
	mustEmpty(t, s, UserPipeline, "INSERT INTO mcpsiem.t SELECT number FROM numbers(10)")
	mustEmpty(t, s, UserPipeline, "INSERT INTO mcpsiem.t SELECT number FROM numbers(10)")

	f := func(user, query, params, want string) {
		t.Helper()
		if got := httpQuery(s.HTTPAddr(), user, s.Password(user), query, params); !strings.Contains(got, want) {
			t.Errorf("%s %q: %.200s, want %s", user, query, got, want)
		}
	}
	f(UserAnalyst, "SELECT count() FROM mcpsiem.t", "", "10") // final by profile
	f(UserAnalyst, "SELECT count() FROM mcpsiem.t", "final=0", "READONLY")
	f(UserAnalyst, "SELECT count() FROM mcpsiem.t", "max_execution_time=65", "10") // what clickhouse-go sends for a deadline of 60 s, the one of Grafana's data source
	f(UserAnalyst, "SELECT count() FROM mcpsiem.t", "max_execution_time=600", "SETTING_CONSTRAINT_VIOLATION")
	f(UserAnalyst, "SELECT count() FROM mcpsiem.t", "max_memory_usage=0", "READONLY")
	f(UserAnalyst, "EXPLAIN PIPELINE SELECT sum(number) FROM numbers_mt(10000000)", "", "AggregatingTransform × 2") // on both cores
	f(UserAnalyst, "SELECT name FROM system.tables WHERE database = 'mcpsiem'", "", "t")
	f(UserAnalyst, "INSERT INTO mcpsiem.t VALUES (1)", "", "ACCESS_DENIED")
	f(UserAnalyst, "SELECT * FROM file('/etc/hostname', 'LineAsString')", "", "(")
	f(UserAnalyst, "SELECT * FROM url('http://127.0.0.1:1', 'LineAsString')", "", "(")
	f(UserAnalyst, "SELECT query FROM system.processes", "", "ACCESS_DENIED")
	f(UserPipeline, "DROP TABLE mcpsiem.t", "", "ACCESS_DENIED")
	f(UserPipeline, "SELECT * FROM file('/etc/hostname', 'LineAsString')", "", "ACCESS_DENIED")
	f(UserAdmin, "SELECT * FROM file('/etc/hostname', 'LineAsString')", "", "ACCESS_DENIED")
	f(UserAdmin, "SYSTEM SHUTDOWN", "", "ACCESS_DENIED")
	f(userSupervisor, "SELECT * FROM mcpsiem.t", "", "ACCESS_DENIED")
	for _, u := range users {
		if got := httpQuery(s.HTTPAddr(), u, "", "SELECT 1", ""); !strings.Contains(got, "AUTHENTICATION_FAILED") {
			t.Errorf("%s without a password: %.100s", u, got)
		}
	}
}

func TestNobodyGetsInAsDefault(t *testing.T) {
	s := startServer(t, Options{})
	pid := s.PID()
	for range 3 {
		for _, q := range []string{"SYSTEM STOP LISTEN TCP", "SELECT count() FROM numbers(1000000000)", "SYSTEM START LISTEN HTTP", "CREATE TABLE t (a UInt8) ENGINE = Memory"} {
			if got := httpQuery(s.HTTPAddr(), "", "", q, "max_sessions_for_user=100"); !strings.Contains(got, "USER_SESSION_LIMIT_EXCEEDED") {
				t.Errorf("%s over HTTP: %.200s", q, got)
			}
			c, err := ch.Dial(t.Context(), ch.Options{Address: s.TCPAddr(), User: "default"})
			if err != nil {
				continue
			}
			if err := c.Do(t.Context(), ch.Query{Body: q}); err == nil {
				t.Errorf("%s over the native protocol", q)
			}
			c.Close()
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.PID() != pid {
		t.Error("it took the engine down")
	}
}

// What clients do wrong must not take the engine down.
func TestBadClientsAreSurvived(t *testing.T) {
	s := startServer(t, Options{})
	mustEmpty(t, s, UserAdmin, "CREATE DATABASE mcpsiem")
	mustEmpty(t, s, UserAdmin, "CREATE TABLE mcpsiem.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	pid := s.PID()
	for range 20 {
		for _, o := range []ch.Options{{User: "nobody"}, {User: UserAnalyst, Password: "wrong"}, {User: UserAnalyst, Password: s.Password(UserAnalyst), Database: "nosuch"}} {
			o.Address = s.TCPAddr()
			if c, err := ch.Dial(t.Context(), o); err == nil {
				c.Close()
				t.Fatal("let in")
			}
		}
		for _, addr := range []string{s.TCPAddr(), s.HTTPAddr()} {
			for _, hello := range []string{"", "\x00", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("\xff", 100000), "POST /?query=SELECT+number+FROM+numbers(10000000) HTTP/1.1\r\nContent-Length: 9\r\n\r\n"} {
				c, err := net.Dial("tcp4", addr)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(c, hello)
				_ = c.(*net.TCPConn).SetLinger(0) // RST
				c.Close()
			}
		}
		// hang up in the middle of a result
		req, _ := http.NewRequest(http.MethodPost, "http://"+s.HTTPAddr()+"/", strings.NewReader("SELECT number FROM numbers(10000000)"))
		req.SetBasicAuth(UserAnalyst, s.Password(UserAnalyst))
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
			_, _ = resp.Body.Read(make([]byte, 10))
			resp.Body.Close()
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	time.Sleep(time.Second)
	mustEmpty(t, s, UserPipeline, "INSERT INTO mcpsiem.t VALUES (1)")
	if s.PID() != pid || s.Restarts() != 0 {
		t.Errorf("the engine was restarted %d times", s.Restarts())
	}
}

func TestFilesArePrivate(t *testing.T) {
	s := startServer(t, Options{})
	for _, name := range []string{"config.xml", "users.xml", "secrets.json"} {
		st, err := os.Stat(filepath.Join(s.opts.Dir, name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, st.Mode(), err)
		}
	}
	src, _ := os.ReadFile(filepath.Join(s.opts.Dir, "users.xml"))
	env, _ := os.ReadFile("/proc/" + strconv.Itoa(s.PID()) + "/environ")
	args, _ := os.ReadFile("/proc/" + strconv.Itoa(s.PID()) + "/cmdline")
	for _, u := range users {
		for _, where := range [][]byte{src, env, args} {
			if strings.Contains(string(where), s.Password(u)) {
				t.Errorf("the password of %s is readable", u)
			}
		}
	}
	for _, l := range listening(t, s.PID()) {
		if !strings.HasPrefix(l, "0100007F:") {
			t.Errorf("listens on %s", l)
		}
	}
}

// listening returns the local addresses, in hex, of listening sockets on the server's ports.
func listening(t *testing.T, pid int) []string {
	var out []string
	for _, f := range []string{"tcp", "tcp6"} {
		src, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, f))
		if err != nil {
			continue
		}
		inodes := map[string]bool{}
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			if l, err := os.Readlink(fd); err == nil {
				inodes[strings.TrimSuffix(strings.TrimPrefix(l, "socket:["), "]")] = true
			}
		}
		for _, line := range strings.Split(string(src), "\n")[1:] {
			c := strings.Fields(line)
			if len(c) > 9 && c[3] == "0A" && inodes[c[9]] {
				out = append(out, c[1])
			}
		}
	}
	return out
}

func TestLogsHoldNoContent(t *testing.T) {
	s := startServer(t, Options{})
	const planted = "PLANTED-c0ffee"
	for _, u := range []string{UserAdmin, UserAnalyst, UserPipeline} {
		s.query(u, "SELECT toUInt8('"+planted+"')")
		s.query(u, "SELECT "+planted)
		s.query(u, "INSERT INTO mcpsiem.nothing VALUES ('"+planted+"')")
		httpQuery(s.HTTPAddr(), u, s.Password(u), "", "query="+planted)
	}
	if c, err := ch.Dial(t.Context(), ch.Options{Address: s.TCPAddr(), User: UserAdmin, Password: s.Password(UserAdmin)}); err == nil {
		_ = c.Do(t.Context(), ch.Query{Body: "SELECT throwIf(1, '" + planted + "')"})
		c.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	logs, _ := filepath.Glob(filepath.Join(s.opts.Dir, "log", "*"))
	if len(logs) == 0 {
		t.Fatal("no log file to look into")
	}
	for _, l := range logs {
		if b, _ := os.ReadFile(l); strings.Contains(string(b), planted) {
			i := strings.Index(string(b), planted)
			t.Errorf("%s holds a query: %.300s", l, b[max(0, i-200):])
		}
	}
}

func TestStopAndStartKeepsDataAndPasswords(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, Options{Dir: dir})
	mustEmpty(t, s, UserAdmin, "CREATE DATABASE mcpsiem")
	mustEmpty(t, s, UserAdmin, "CREATE TABLE mcpsiem.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	mustEmpty(t, s, UserPipeline, "INSERT INTO mcpsiem.t SELECT number FROM numbers(10)")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %v", time.Since(began))
	if time.Since(began) > stopPatience {
		t.Error("it did not end in order")
	}
	again := startServer(t, Options{Dir: dir})
	if again.Password(UserAdmin) != s.Password(UserAdmin) {
		t.Error("the passwords changed")
	}
	if got := again.query(UserAnalyst, "SELECT count() FROM mcpsiem.t"); got != "10" {
		t.Errorf("after a restart: %s", got)
	}
}

// What the Go half of the child hands to the engine must outlive its garbage collections, of which there is one every two minutes at least.
func TestEngineOutlivesCollections(t *testing.T) {
	s := startServer(t, Options{})
	pid := s.PID()
	for range 10 {
		fmt.Fprintln(s.child.stdin) // each line is a collection
		time.Sleep(50 * time.Millisecond)
	}
	if got := s.query(UserAdmin, "SELECT 1"); got != "1" || s.PID() != pid || s.Restarts() != 0 {
		t.Fatalf("answer %q, process %d of %d, %d restarts", got, s.PID(), pid, s.Restarts())
	}
}

func TestKilledEngineComesBack(t *testing.T) {
	s := startServer(t, Options{})
	mustEmpty(t, s, UserAdmin, "CREATE DATABASE mcpsiem")
	mustEmpty(t, s, UserAdmin, "CREATE TABLE mcpsiem.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	for i := 1; i <= 3; i++ {
		mustEmpty(t, s, UserPipeline, fmt.Sprintf("INSERT INTO mcpsiem.t SELECT %d", i))
		if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return s.Restarts() == i })
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.query(UserAnalyst, "SELECT count() FROM mcpsiem.t"); got != strconv.Itoa(i) {
			t.Fatalf("after kill %d: %s rows", i, got)
		}
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

// A parent that is killed takes its engine with it, and the next one finds all that was acknowledged.
func TestKilledParentLeavesNoOrphan(t *testing.T) {
	lib, err := Ensure(t.Context(), EnsureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envParent+"="+dir, EnvLib+"="+lib)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	part := strings.Fields(line)
	pid, err := strconv.Atoi(part[0])
	if err != nil {
		t.Fatal(line)
	}
	for _, q := range []string{"CREATE DATABASE mcpsiem", "CREATE TABLE mcpsiem.t (a UInt64) ENGINE = MergeTree ORDER BY a", "INSERT INTO mcpsiem.t VALUES (1)"} {
		if got := httpQuery(part[1], UserAdmin, part[2], q, ""); got != "" {
			t.Fatal(got)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	s := startServer(t, Options{Dir: dir}) // waits for the orphan
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) && !zombie(pid) {
		t.Errorf("the engine %d outlives its parent: %v", pid, err)
	}
	if got := s.query(UserAnalyst, "SELECT count() FROM mcpsiem.t"); got != "1" {
		t.Errorf("after the crash: %s", got)
	}
}

// zombie reports whether a process ended and only waits for an init process to collect it.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

func TestStartFails(t *testing.T) {
	lib, err := Ensure(t.Context(), EnsureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := l.Addr().(*net.TCPAddr).Port
	bad := filepath.Join(t.TempDir(), "bad.so")
	if err := os.WriteFile(bad, []byte("no library"), 0o700); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "secrets.json"), []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(o Options, want string) {
		t.Helper()
		if o.Dir == "" {
			o.Dir = t.TempDir()
		}
		_, err := Start(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(Options{Lib: lib, TCPPort: busy}, "another program listens")
	f(Options{Lib: lib, HTTPPort: busy}, "another program listens")
	f(Options{Lib: bad}, "cannot be loaded")
	f(Options{Lib: lib, Dir: broken}, "not a JSON object")
	f(Options{}, "no library")
}

func TestExplain(t *testing.T) {
	s := &Server{tcp: 1, http: 2, opts: Options{Dir: "/d", Lib: "/l"}}
	f := func(stderr, want string) {
		t.Helper()
		if got := s.explain(errors.New("exit status 1"), stderr).Error(); !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("Code: 210. DB::NetException: secret (NETWORK_ERROR)", "another program listens")
	f("Code: 243. DB::Exception: secret (NOT_ENOUGH_SPACE)", "free room")
	f("std::filesystem: No space left on device", "free room")
	f("Code: 60. DB::Exception: Table secret does not exist. (UNKNOWN_TABLE)", "UNKNOWN_TABLE")
	f("secret\npanic: runtime error: index out of range [1] with length 1\n\ngoroutine 1 [running]:\n", "index out of range [1] with length 1")
	f("secret (not a name)", "see /d/log")
	f("", "see /d/log")
}

func TestOneServerPerFolder(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, Options{Dir: dir})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, Options{Dir: dir, Lib: s.opts.Lib}); err == nil || !strings.Contains(err.Error(), "another mcpsiem") {
		t.Fatalf("a second server in one folder: %v", err)
	}
}
