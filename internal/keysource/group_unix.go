//go:build unix

package keysource

import (
	"os/exec"
	"syscall"
)

// endTogether lets what a program starts end with it.
func endTogether(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
}
