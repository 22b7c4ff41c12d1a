package tapio

import (
	"context"
	"os"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/tap"
)

// Defaults.
const (
	DefaultCaptureLimit    = 8 << 20 // bytes kept of one message
	DefaultBuffer          = 8 << 20 // bytes that may lie between forwarding and framing
	DefaultShutdownTimeout = 2 * time.Second
)

// Exit codes of a shell for a command that cannot be run, as Stdio.Run gives them.
const (
	ExitCannotRun = 126
	ExitNotFound  = 127
)

// Stdio runs an MCP server as a child process and stands between it and the client.
type Stdio struct {
	Command []string // the server and its arguments; looked up in PATH as execvp does

	// In and Out are the client's ends: what the client writes, what it reads. They are closed when the server, or the
	// client, closes its end of them. Err is handed to the server as it is.
	In, Out, Err *os.File

	// Open gives the stream that takes the copies. It is called on its own goroutine once the server runs, and traffic does
	// not wait for it. On an error traffic flows unrecorded.
	Open func(pid int) (tap.Stream, error)
	// Finish brings out what the stream recorded; it is called after Stream.Close, with the rest of ShutdownTimeout.
	Finish func(context.Context) error
	// Warn tells the operator, without content, why traffic is not recorded; at most once a cause.
	Warn func(error)

	CaptureLimit    int           // bytes kept of one line; 0 means DefaultCaptureLimit
	Buffer          int           // bytes between forwarding and framing; 0 means DefaultBuffer
	ShutdownTimeout time.Duration // for all that follows the server's exit; 0 means DefaultShutdownTimeout
}

// Exit is how a server ended.
type Exit struct {
	Code   int // its exit code; -1 if a signal ended it
	Signal int // the signal that ended it; 0 if none
}

// status is the exit as Stream.Close takes it.
func (e Exit) status() int {
	if e.Signal != 0 {
		return -e.Signal
	}
	return e.Code
}

// StartError says that the server could not be started.
type StartError struct {
	Code int // ExitCannotRun or ExitNotFound
	Err  error
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

func (s *Stdio) setDefaults() {
	if s.CaptureLimit <= 0 {
		s.CaptureLimit = DefaultCaptureLimit
	}
	if s.Buffer <= 0 {
		s.Buffer = DefaultBuffer
	}
	if s.ShutdownTimeout <= 0 {
		s.ShutdownTimeout = DefaultShutdownTimeout
	}
	if s.Warn == nil {
		s.Warn = func(error) {}
	}
}
