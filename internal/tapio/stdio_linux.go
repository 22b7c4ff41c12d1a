package tapio

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dieWithTap makes the server die with the tap: a client that kills what it started (SIGKILL, which cannot be forwarded)
// kills the server, as it would without a tap.
func dieWithTap(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }

func closeOnExecPipe(p *[2]int) error { return unix.Pipe2(p[:], unix.O_CLOEXEC) }

func closeOnExecSocketpair() ([2]int, error) {
	return unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
}

func dupTo(from, to int) error { return unix.Dup3(from, to, 0) }

// raise ends the process by sig. The runtime catches signals of its own accord, some beyond what os/signal resets, so the
// default action is asked for directly; an all-zero sigaction has the same meaning on every architecture.
func raise(sig syscall.Signal) {
	signal.Reset(sig)
	var dfl [64]byte
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&dfl)), 0, 8, 0, 0)
	_ = unix.Kill(os.Getpid(), sig)
}
