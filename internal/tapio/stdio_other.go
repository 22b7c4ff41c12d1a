//go:build !unix

package tapio

import (
	"errors"
	"os"
)

// Run is not available here: it needs Unix process and descriptor semantics. Tapping HTTP works.
func (s *Stdio) Run() (Exit, error) {
	return Exit{}, &StartError{ExitCannotRun, errors.New("cannot wrap a stdio server on this system: use mcptap http")}
}

// StdFiles gives the process's stdin and stdout.
func StdFiles() (in, out *os.File, err error) { return os.Stdin, os.Stdout, nil }

// DieLike ends this process with the server's exit code.
func DieLike(e Exit) { os.Exit(e.Code) }
