//go:build unix && !linux

package tapio

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithTap does nothing here: there is no parent-death signal. A server whose tap was killed sees its stdin end.
func dieWithTap(*syscall.SysProcAttr) {}

func closeOnExecPipe(p *[2]int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return nil
}

func closeOnExecSocketpair() ([2]int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(p[0])
		unix.CloseOnExec(p[1])
	}
	return p, err
}

func dupTo(from, to int) error { return unix.Dup2(from, to) }

// raise ends the process by sig, unless it is one that the Go runtime answers with a crash report; the caller's exit code
// speaks then.
func raise(sig syscall.Signal) {
	switch sig {
	case syscall.SIGQUIT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGFPE, syscall.SIGBUS, syscall.SIGSEGV, syscall.SIGSYS:
		return
	}
	signal.Reset(sig)
	_ = unix.Kill(os.Getpid(), sig)
}
