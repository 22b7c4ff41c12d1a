//go:build unix

package tapio

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pumpBuffer is how much a pump moves at once, bytes: what a Linux pipe holds.
const pumpBuffer = 64 << 10

// errGone says that the reader of a pump's destination is gone.
var errGone = errors.New("the reader is gone")

// pump forwards src to dst until one of them ends, and leaves a copy of each piece in box: before the piece goes out, so that
// an answer cannot overtake its request there, and without waking anybody until it is out. It reads
// nothing before the last bytes are written, so a stalled reader stalls the writer.
//
// It waits with poll(2) rather than in read(2) for two reasons: it notices at once when the reader of dst is gone, as the
// writer of src would without a tap; and stop (an fd that hangs up) can end it, after which it forwards what src holds at
// that moment, drain bytes at most, and returns. It leaves closing to the caller. The error is io.EOF where src ended.
func pump(dst, src, stop, drain int, box *mailbox, w way) error {
	buf := make([]byte, pumpBuffer)
	fds := []unix.PollFd{
		{Fd: int32(src), Events: unix.POLLIN},
		{Fd: int32(dst)}, // errors and hang-ups only
		{Fd: int32(stop)},
	}
	timeout := -1
	for {
		n, err := unix.Poll(fds, timeout)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err != nil:
			return os.NewSyscallError("poll", err)
		case n == 0: // stopped, and src is empty
			return nil
		}
		if fds[1].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
			return errGone
		}
		if fds[2].Revents != 0 {
			fds[2].Fd = -1
			timeout = 0
		}
		if timeout == 0 && drain <= 0 {
			return nil
		}
		if fds[0].Revents == 0 {
			continue
		}
		n, err = unix.Read(src, buf)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return io.EOF
		}
		if timeout == 0 {
			drain -= n
		}
		box.put(w, buf[:n], time.Now())
		err = writeAll(dst, buf[:n])
		box.wake()
		if err != nil {
			return err
		}
	}
}

// writeAll writes b, waiting as long as it takes.
func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if n > 0 {
			b = b[n:]
		}
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN: // the descriptor was handed to us in non-blocking mode
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
				return os.NewSyscallError("poll", err)
			}
		case unix.EPIPE:
			return errGone
		default:
			return os.NewSyscallError("write", err)
		}
	}
	return nil
}
