package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// parentCommand names the program that started the tap; "" if that is not known.
func parentCommand() string {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", os.Getppid())
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(k.Proc.P_comm[:])
}
