//go:build unix

package tapio

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/tap"
)

// report is what the tap role writes to the file TAPIO_REPORT when it is done.
type report struct {
	Frames []tap.Frame
	Lost   map[string]int
	Closed bool
	Exit   *tap.Exit
}

// playRole runs the test binary as a tap around its arguments, or as a server.
func playRole(role string) int {
	if role == "tap" {
		return playTap()
	}
	if role == "proxy" { // what one would put there otherwise: Go's own reverse proxy, which records nothing
		u, err := url.Parse(os.Args[2])
		if err != nil {
			return 1
		}
		_ = http.ListenAndServe(os.Args[1], httputil.NewSingleHostReverseProxy(u))
		return 1
	}
	return playServer(role)
}

func playTap() int {
	os.Setenv("TAPIO_ROLE", os.Getenv("TAPIO_SERVER"))
	in, out, err := StdFiles()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c := newCollector()
	s := &Stdio{
		Command: os.Args[1:], In: in, Out: out, Err: os.Stderr,
		Open: func(int) (tap.Stream, error) {
			if os.Getenv("TAPIO_FAIL") != "" {
				return nil, errors.New("tap: no recording")
			}
			return c, nil
		},
		Warn: func(err error) { fmt.Fprintln(os.Stderr, err) },
	}
	if n, err := strconv.Atoi(os.Getenv("TAPIO_BUFFER")); err == nil {
		s.Buffer = n
	}
	exit, err := s.Run()
	var se *StartError
	if errors.As(err, &se) {
		fmt.Fprintln(os.Stderr, err)
		return se.Code
	}
	if file := os.Getenv("TAPIO_REPORT"); file != "" {
		c.mu.Lock()
		b, err := json.Marshal(report{c.frames, c.lost, c.closed, c.exit})
		c.mu.Unlock()
		if err != nil || os.WriteFile(file, b, 0o600) != nil {
			return 99
		}
	}
	DieLike(exit)
	return 98
}

// playServer is an MCP server of sorts; role is a list of steps: "echo", "exit 3", "kill 9", ...
func playServer(role string) int {
	in := bufio.NewReaderSize(os.Stdin, 1<<16)
	for step := range strings.SplitSeq(role, ";") {
		verb, arg, _ := strings.Cut(strings.TrimSpace(step), " ")
		n, _ := strconv.Atoi(arg)
		switch verb {
		case "echo": // answer each line until stdin ends
			for {
				line, err := in.ReadBytes('\n')
				if len(line) > 0 {
					os.Stdout.Write(append([]byte("re:"), line...))
				}
				if err != nil {
					break
				}
			}
		case "cat":
			io.Copy(os.Stdout, in)
		case "line": // wait for one line
			in.ReadBytes('\n')
		case "say":
			os.Stdout.WriteString(arg + "\n")
		case "raw":
			s, _ := strconv.Unquote(arg)
			os.Stdout.WriteString(s)
		case "err":
			os.Stderr.WriteString(arg + "\n")
		case "flood": // n bytes without a line end
			b := bytes.Repeat([]byte("0123456789abcdef"), 4096)
			for n > 0 {
				k := min(n, len(b))
				if _, err := os.Stdout.Write(b[:k]); err != nil {
					return 77
				}
				n -= k
			}
		case "count": // say how much can be written before it blocks for 300 ms
			b := make([]byte, 4096)
			wrote := make(chan int)
			go func() {
				for {
					k, err := os.Stdout.Write(b)
					if err != nil {
						return
					}
					wrote <- k
				}
			}()
			total := 0
			for blocked := false; !blocked; {
				select {
				case k := <-wrote:
					total += k
				case <-time.After(300 * time.Millisecond):
					blocked = true
				}
			}
			fmt.Fprintln(os.Stderr, total)
		case "closein":
			os.Stdin.Close()
		case "closeout":
			os.Stdout.Close()
		case "sleep":
			time.Sleep(time.Duration(n) * time.Millisecond)
		case "sigs": // say each signal, until TERM
			c := make(chan os.Signal, 100)
			signal.Notify(c, forwarded...)
			os.Stdout.WriteString("ready\n")
			for s := range c {
				if s == syscall.SIGTERM {
					break
				}
				fmt.Fprintln(os.Stdout, int(s.(syscall.Signal)))
			}
		case "sigpipe": // write until it fails, and say how
			signal.Ignore(syscall.SIGPIPE)
			for {
				if _, err := os.Stdout.Write([]byte("x\n")); err != nil {
					os.Stderr.WriteString("write failed\n")
					return 55
				}
				time.Sleep(time.Millisecond)
			}
		case "pid":
			fmt.Fprintln(os.Stdout, os.Getpid())
		case "exit":
			return n
		case "kill":
			raise(syscall.Signal(n))
			time.Sleep(time.Second)
			return 66
		default:
			os.Stderr.WriteString("unknown step " + verb + "\n")
			return 64
		}
	}
	return 0
}
