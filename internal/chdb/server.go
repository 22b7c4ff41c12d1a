// Package chdb runs ClickHouse without a server package: the engine from libchdb in a child process of this very binary, as a
// real server on loopback.
package chdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ClickHouse/ch-go"
)

// Options describes an embedded server.
type Options struct {
	Dir         string // data, configuration and logs; one server at a time
	TCPPort     int    // native protocol, 127.0.0.1; 0 picks a free one
	HTTPPort    int    // HTTP, 127.0.0.1; 0 picks a free one
	SecretsFile string // JSON object user -> password, mode 0600, made where missing; default Dir/secrets.json
	MemoryLimit int64  // bytes for the whole engine; default 1.5 GiB
	Lib         string // from Ensure
	Exe         string // program that calls Main first; default: this one
	Accounts    []Account

	// Log hears of restarts and failures; never of content. Nil for none.
	Log func(msg string)
}

// Server is a running engine. It is restarted whenever its process ends, until Stop; ports and passwords stay.
type Server struct {
	opts      Options
	cfg       string
	tcp, http int
	secrets   map[string]string
	lock      *os.File // held by the child as well, so that a new server waits for an orphan's end

	stop    context.CancelFunc
	stopped chan struct{} // closed when the supervisor ended

	// mu guards everything below.
	mu       sync.Mutex
	child    *child
	restarts int
	lastErr  error
	ready    chan struct{} // closed while the engine answers; replaced when it does not
	isReady  bool
}

// child is one process of the engine.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *tail
	done   chan struct{} // closed when the process ended
	err    error         // why; valid after done
}

const (
	startPatience = 60 * time.Second // a big data folder loads slowly
	maxBackoff    = 15 * time.Second
	steadyTime    = 10 * time.Second // an engine that lasted so long is restarted at once
	lockPatience  = stopPatience + 10*time.Second
)

// Start starts the engine and returns when it answers. ctx bounds the start alone.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Lib == "" {
		return nil, errors.New("cannot start ClickHouse: no library given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return nil, errors.New("cannot start ClickHouse: it needs a folder")
	}
	o.Dir = dir
	if o.Exe == "" {
		if o.Exe, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("cannot start ClickHouse: %w", err)
		}
	}
	if o.SecretsFile == "" {
		o.SecretsFile = filepath.Join(o.Dir, "secrets.json")
	}
	if o.MemoryLimit == 0 {
		o.MemoryLimit = 3 << 29
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	for _, d := range []string{o.Dir, filepath.Join(o.Dir, "log")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("cannot make ClickHouse's folder: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock ClickHouse's folder: %w", err)
	}
	lctx, cancel := context.WithTimeout(ctx, lockPatience)
	err = flock(lctx, lock)
	cancel()
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("cannot lock ClickHouse's folder %s: another mcpsiem uses it: %w", o.Dir, err)
	}
	s := &Server{opts: o, lock: lock, ready: make(chan struct{}), stopped: make(chan struct{})}
	if err := s.prepare(); err != nil {
		lock.Close()
		return nil, err
	}
	c, err := s.spawn()
	if err == nil {
		if err = s.awaitReady(ctx, c); err != nil {
			s.end(c)
		}
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	s.setReady(c)
	sctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.supervise(sctx, c)
	return s, nil
}

func (s *Server) prepare() error {
	var err error
	if s.tcp, err = choosePort(s.opts.TCPPort, 0); err != nil {
		return err
	}
	if s.http, err = choosePort(s.opts.HTTPPort, s.tcp); err != nil {
		return err
	}
	if s.secrets, err = loadSecrets(s.opts.SecretsFile); err != nil {
		return err
	}
	s.cfg, err = writeConfig(s.opts, s.tcp, s.http, s.secrets)
	return err
}

func (s *Server) dial(ctx context.Context) (*ch.Client, error) {
	return ch.Dial(ctx, ch.Options{Address: s.TCPAddr(), User: userSupervisor, Password: s.secrets[userSupervisor],
		DialTimeout: time.Second, HandshakeTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second})
}

// choosePort checks that a port is free, or finds one that is and is not taken already.
func choosePort(port, taken int) (int, error) {
	for {
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return 0, fmt.Errorf("cannot start ClickHouse on 127.0.0.1:%d: another program listens there; choose another port: %w", port, err)
		}
		got := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if got != taken {
			return got, nil
		}
		if port != 0 {
			return 0, fmt.Errorf("cannot start ClickHouse: port %d is given for both protocols", port)
		}
	}
}

func (s *Server) spawn() (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start ClickHouse: %w", err)
	}
	defer r.Close()
	c := &child{stdin: w, stderr: &tail{}, done: make(chan struct{})}
	c.cmd = exec.Command(s.opts.Exe)
	// Nothing of this process's environment is the engine's business, and much of it may be secret.
	c.cmd.Env = []string{envServe + "=" + s.cfg, EnvLib + "=" + s.opts.Lib, "TZ=UTC", "HOME=" + s.opts.Dir, "PATH=" + os.Getenv("PATH")}
	c.cmd.Dir = s.opts.Dir
	c.cmd.Stdin = r
	c.cmd.Stderr = c.stderr
	c.cmd.Stdout = c.stderr
	c.cmd.ExtraFiles = []*os.File{s.lock}
	// A group of its own: Ctrl-C must reach the pipeline first, which then stops the engine last.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("cannot start ClickHouse: %w", err)
	}
	go func() {
		err := c.cmd.Wait()
		c.err = s.explain(err, c.stderr.String())
		close(c.done)
	}()
	fmt.Fprintf(w, "127.0.0.1:%d %s\n", s.http, s.secrets[userSupervisor])
	return c, nil
}

// explain turns the end of a child into an error that says what to do. Of the engine's own words only the error's name is kept.
func (s *Server) explain(err error, stderr string) error {
	reason := ""
	switch {
	case strings.Contains(stderr, "NETWORK_ERROR") || strings.Contains(stderr, "Address already in use"):
		reason = fmt.Sprintf("it cannot listen on 127.0.0.1:%d and :%d; another program listens there", s.tcp, s.http)
	case strings.Contains(stderr, "NOT_ENOUGH_SPACE") || strings.Contains(stderr, "No space left on device"):
		reason = "the disk is full: free room on the disk of " + s.opts.Dir
	case strings.Contains(stderr, "cannot load the ClickHouse library"), strings.Contains(stderr, "cannot use the ClickHouse library"):
		reason = "the library " + s.opts.Lib + " cannot be loaded; delete it to have it fetched anew"
	default:
		if i, j := strings.LastIndex(stderr, "("), strings.LastIndex(stderr, ")"); i >= 0 && i < j && isErrorName(stderr[i+1:j]) {
			reason = stderr[i+1 : j]
		}
	}
	if reason == "" {
		reason = goFault(stderr)
	}
	if reason == "" {
		reason = "see " + filepath.Join(s.opts.Dir, "log")
	}
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("ClickHouse ended (%w): %s", err, reason)
}

// goFault is what Go's runtime says of a fault of its own in the child, which the engine's log does not know; it holds no content.
func goFault(stderr string) string {
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "panic: runtime error: ") || strings.HasPrefix(line, "fatal error: ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func isErrorName(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}

// awaitReady waits until the engine answers on both protocols.
func (s *Server) awaitReady(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		if s.Ping(ctx) == nil {
			return nil
		}
		select {
		case <-c.done:
			return c.err
		case <-ctx.Done():
			return fmt.Errorf("cannot start ClickHouse: no answer on %s: %w", s.TCPAddr(), ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Ping asks the engine for a sign of life over the native protocol, and whether it listens on HTTP.
func (s *Server) Ping(ctx context.Context) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Ping(ctx); err != nil {
		return err
	}
	h, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp4", s.HTTPAddr())
	if err != nil {
		return err
	}
	return h.Close()
}

func (s *Server) setReady(c *child) {
	fmt.Fprintln(c.stdin)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.child = c
	if !s.isReady {
		s.isReady = true
		close(s.ready)
	}
}

func (s *Server) setDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastErr = err
	s.child = nil
	if s.isReady {
		s.isReady = false
		s.ready = make(chan struct{})
	}
}

// supervise restarts the engine whenever it ends, more and more slowly while it keeps failing.
func (s *Server) supervise(ctx context.Context, c *child) {
	defer close(s.stopped)
	defer s.lock.Close()
	backoff := 100 * time.Millisecond
	for {
		up := time.Now()
		select {
		case <-ctx.Done():
			s.end(c)
			return
		case <-c.done:
		}
		c.stdin.Close()
		s.setDown(c.err)
		s.opts.Log(c.err.Error())
		if time.Since(up) > steadyTime {
			backoff = 100 * time.Millisecond
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, maxBackoff)
			next, err := s.spawn()
			if err == nil {
				if err = s.awaitReady(ctx, next); err == nil {
					c = next
					break
				}
				s.end(next)
			}
			if ctx.Err() != nil {
				return
			}
			s.setDown(err)
			s.opts.Log(err.Error())
		}
		s.mu.Lock()
		s.restarts++
		s.mu.Unlock()
		s.setReady(c)
		s.opts.Log("ClickHouse restarted")
	}
}

// end ends a child in order, or by force where it does not go.
func (s *Server) end(c *child) {
	c.stdin.Close()
	select {
	case <-c.done:
	case <-time.After(stopPatience + 2*time.Second):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// Stop ends the engine in order and returns when its process is gone. If ctx ends first, the process is killed; what it
// acknowledged is on disk either way.
func (s *Server) Stop(ctx context.Context) error {
	s.stop()
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	c := s.child
	s.mu.Unlock()
	if c != nil {
		_ = c.cmd.Process.Kill()
	}
	<-s.stopped
	return ctx.Err()
}

// SetAccounts replaces the accounts beside the engine's own. The engine reads accounts only as it starts (SYSTEM RELOAD USERS changes nothing in its local mode), so its process is replaced by
// one on the same ports: about a second, in which connections break and clients come again. It returns when the engine answers.
func (s *Server) SetAccounts(ctx context.Context, accounts []Account) error {
	o := s.opts
	o.Accounts = accounts
	if _, err := writeConfig(o, s.tcp, s.http, s.secrets); err != nil {
		return err
	}
	s.mu.Lock()
	c, before := s.child, s.restarts
	s.mu.Unlock()
	if c != nil { // else it is being restarted anyway
		s.opts.Log("ClickHouse restarts for changed accounts")
		s.end(c)
	}
	for {
		s.mu.Lock()
		done := s.restarts > before && s.isReady
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot see ClickHouse answer with its changed accounts: %w", ctx.Err())
		case <-s.stopped:
			return errors.New("ClickHouse is stopped")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// WaitReady returns when the engine answers.
func (s *Server) WaitReady(ctx context.Context) error {
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-s.stopped:
		return errors.New("ClickHouse is stopped")
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		return errors.Join(ctx.Err(), s.lastErr)
	}
}

// TCPAddr is host:port of the native protocol.
func (s *Server) TCPAddr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.tcp)) }

// HTTPAddr is host:port of the HTTP protocol.
func (s *Server) HTTPAddr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.http)) }

// Password is the password of one of the User accounts.
func (s *Server) Password(user string) string { return s.secrets[user] }

// PID is the process id of the engine, 0 while it is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return 0
	}
	return s.child.cmd.Process.Pid
}

// Restarts counts how often the engine was started again.
func (s *Server) Restarts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}

// tail keeps the end of what a child says.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailSize = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b)
	if n := t.buf.Len() - tailSize; n > 0 {
		t.buf.Next(n)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
