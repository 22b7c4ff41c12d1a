//go:build unix

package tapio

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that a client, a shell or a supervisor sends to a server. Those missing cannot be caught, are
// the kernel's answer to what a process itself does, or are used by the Go runtime (SIGURG).
var forwarded = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
	syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT,
}

// signals hands the signals that this process gets on to the server.
type signals struct {
	c     chan os.Signal
	done  chan struct{}
	abort chan struct{} // closed by a signal that would end the server when that is gone already
	once  sync.Once
}

// catchSignals begins to collect signals. A signal that was ignored when the process started stays ignored, and the server
// inherits that.
func catchSignals() *signals {
	s := &signals{c: make(chan os.Signal, 64), done: make(chan struct{}), abort: make(chan struct{})}
	for _, sig := range forwarded {
		if !signal.Ignored(sig) {
			signal.Notify(s.c, sig)
		}
	}
	// Caught and not looked at: a client that no longer reads must not kill the tap before the server noticed.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return s
}

// forward hands signals to the server until stop.
func (s *signals) forward(server *os.Process) {
	for {
		select {
		case <-s.done:
			return
		case sig := <-s.c:
			s.one(server, sig.(syscall.Signal))
		}
	}
}

func (s *signals) one(server *os.Process, sig syscall.Signal) {
	if fromTerminal(sig) {
		// The server has it too.
	} else if err := server.Signal(sig); errors.Is(err, os.ErrProcessDone) {
		switch sig {
		case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM:
			s.once.Do(func() { close(s.abort) })
		}
		return
	}
	if sig == syscall.SIGTSTP { // stop as well, so that a shell sees a stopped job
		signal.Reset(sig)
		_ = unix.Kill(os.Getpid(), sig)
		signal.Notify(s.c, sig)
	}
}

func (s *signals) stop() {
	signal.Stop(s.c)
	close(s.done)
}

// fromTerminal reports whether the terminal sent sig to the whole foreground process group, the server included. There is
// no telling for certain; a signal that a terminal sends, while we are in the foreground of one, is taken for its.
func fromTerminal(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGWINCH:
	default:
		return false
	}
	tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(tty)
	foreground, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}
