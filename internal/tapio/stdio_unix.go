//go:build unix

package tapio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/tap"
	"golang.org/x/sys/unix"
)

// Run starts the server, forwards until it has exited and all it wrote is with the client, and says how it ended. An error
// is a *StartError or means that the pipes could not be made; the server does not run then.
func (s *Stdio) Run() (Exit, error) {
	s.setDefaults()
	signals := catchSignals()
	defer signals.stop()

	ends, err := s.makeEnds()
	if err != nil {
		return Exit{}, &StartError{ExitCannotRun, fmt.Errorf("cannot make the server's pipes: %w", err)}
	}
	defer ends.close()
	server, exited, err := s.start(ends)
	if err != nil {
		return Exit{}, err
	}
	go signals.forward(server)

	box := newMailbox(s.Buffer)
	var pumps sync.WaitGroup
	var clientLeft atomic.Bool // the client closed its end, or is gone
	pumps.Go(func() {
		err := pump(int(ends.toServer.Fd()), int(s.In.Fd()), int(ends.stopped.Fd()), 0, box, up)
		clientLeft.Store(errors.Is(err, io.EOF))
		// Whichever end closed, the other one learns it now, as it would without a tap.
		ends.toServer.Close()
		s.In.Close()
	})
	pumps.Go(func() {
		_ = pump(int(s.Out.Fd()), int(ends.fromServer.Fd()), int(ends.stopped.Fd()), drainLimit, box, down)
		ends.fromServer.Close()
		s.Out.Close()
	})
	opened := make(chan tap.Stream, 1)
	go func() { opened <- s.record(server.Pid, box) }()

	exit := <-exited
	ends.stop.Close()
	forwarded := make(chan struct{})
	go func() {
		pumps.Wait()
		close(forwarded)
	}()
	select {
	case <-forwarded:
	case <-signals.abort: // the client does not read what is left and wants an end
	}
	box.close()

	// From here on the client sees a server that is gone. What is left must not keep it waiting.
	ctx, cancel := context.WithTimeout(context.Background(), s.ShutdownTimeout)
	defer cancel()
	go func() {
		select {
		case <-signals.abort:
			cancel()
		case <-ctx.Done():
		}
	}()
	select {
	case stream := <-opened:
		if stream != nil {
			stream.Close(&tap.Exit{Code: exit.status(), ClientLeft: clientLeft.Load()})
		}
	case <-ctx.Done():
		s.Warn(errors.New("not everything could be recorded before the end"))
	}
	if s.Finish != nil {
		if err := s.Finish(ctx); err != nil {
			s.Warn(err)
		}
	}
	return exit, nil
}

// drainLimit bounds what is still forwarded after the server's exit, bytes: what a pipe can hold. Whatever else holds the
// server's stdout open can write on for ever.
const drainLimit = 1 << 20

// ends are the connections to the server.
type ends struct {
	serverIn, serverOut  *os.File // the server's own; closed here once it runs
	toServer, fromServer *os.File
	stopped, stop        *os.File // stopped hangs up when stop is closed
}

func (e *ends) close() {
	for _, f := range []*os.File{e.serverIn, e.serverOut, e.stopped, e.stop} {
		if f != nil {
			f.Close()
		}
	}
}

func (s *Stdio) makeEnds() (*ends, error) {
	e := &ends{}
	for _, m := range []struct {
		read, write **os.File
		like        *os.File
	}{{&e.serverIn, &e.toServer, s.In}, {&e.fromServer, &e.serverOut, s.Out}, {&e.stopped, &e.stop, nil}} {
		r, w, err := pipeLike(m.like)
		if err != nil {
			e.close()
			for _, f := range []*os.File{e.toServer, e.fromServer} {
				if f != nil {
					f.Close()
				}
			}
			return nil, err
		}
		*m.read, *m.write = os.NewFile(uintptr(r), "pipe"), os.NewFile(uintptr(w), "pipe")
	}
	return e, nil
}

// record opens the stream and feeds it until the mailbox is closed. It returns nil if there is no stream.
func (s *Stdio) record(pid int, box *mailbox) tap.Stream {
	stream, err := s.Open(pid)
	if err != nil {
		s.Warn(err)
	}
	if err != nil || stream == nil {
		box.discard()
		return nil
	}
	readLines(box, s.CaptureLimit, stream)
	return stream
}

// start starts the server with its ends, which are closed here. Linux ties the parent-death signal to the thread that starts
// a process, so that thread does nothing else until the server is gone.
func (s *Stdio) start(e *ends) (*os.Process, <-chan Exit, error) {
	type started struct {
		p   *os.Process
		err error
	}
	ready := make(chan started)
	exited := make(chan Exit, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p, err := s.exec(e)
		e.serverIn.Close()
		e.serverOut.Close()
		ready <- started{p, err}
		if err == nil {
			exited <- wait(p)
		}
	}()
	r := <-ready
	if r.err != nil {
		e.toServer.Close()
		e.fromServer.Close()
	}
	return r.p, exited, r.err
}

func (s *Stdio) exec(e *ends) (*os.Process, error) {
	path, err := lookPath(s.Command[0])
	if err != nil {
		return nil, err
	}
	attr := &os.ProcAttr{Files: []*os.File{e.serverIn, e.serverOut, s.Err}, Sys: &syscall.SysProcAttr{}}
	dieWithTap(attr.Sys)
	p, err := os.StartProcess(path, s.Command, attr)
	if errors.Is(err, syscall.ENOEXEC) { // a script without #!, which execvp hands to the shell
		args := append([]string{"/bin/sh", path}, s.Command[1:]...)
		p, err = os.StartProcess("/bin/sh", args, attr)
	}
	if err != nil {
		code := ExitCannotRun
		if errors.Is(err, fs.ErrNotExist) {
			code = ExitNotFound
		}
		return nil, &StartError{code, fmt.Errorf("cannot run the server: %w", err)}
	}
	return p, nil
}

// lookPath finds a command as execvp does, the current folder included where PATH says so.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || errors.Is(err, exec.ErrDot) {
		return path, nil
	}
	code := ExitCannotRun
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = ExitNotFound
	}
	return "", &StartError{code, fmt.Errorf("cannot run the server: %w", err)}
}

func wait(p *os.Process) Exit {
	state, err := p.Wait()
	if err != nil {
		return Exit{Code: 1}
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return Exit{Code: -1, Signal: int(ws.Signal())}
	}
	return Exit{Code: state.ExitCode()}
}

// pipeLike makes a connection of the kind that f is, a pipe or a stream socket, for the server to hold one end of.
// Data flows from write to read. nil asks for a pipe.
func pipeLike(f *os.File) (read, write int, err error) {
	var st unix.Stat_t
	if f != nil && unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		pair, err := closeOnExecSocketpair()
		return pair[0], pair[1], err
	}
	var p [2]int
	err = closeOnExecPipe(&p)
	return p[0], p[1], err
}

// StdFiles takes over the process's stdin and stdout: the descriptors 0 and 1 become the null device, so that closing the
// files that are returned really closes what the client holds the other ends of.
func StdFiles() (in, out *os.File, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the null device: %w", err)
	}
	defer null.Close()
	move := func(fd int, name string) (*os.File, error) {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, fmt.Errorf("cannot take over %s: %w", name, err)
		}
		if err := dupTo(int(null.Fd()), fd); err != nil {
			return nil, fmt.Errorf("cannot take over %s: %w", name, err)
		}
		return os.NewFile(uintptr(n), name), nil
	}
	if in, err = move(0, "stdin"); err != nil {
		return nil, nil, err
	}
	out, err = move(1, "stdout")
	return in, out, err
}

// DieLike ends this process the way the server ended: with its exit code, or by its signal.
func DieLike(e Exit) {
	if e.Signal == 0 {
		os.Exit(e.Code)
	}
	// What the tap holds in memory is not for a core file.
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	raise(syscall.Signal(e.Signal))
	time.Sleep(100 * time.Millisecond)
	os.Exit(128 + e.Signal)
}
