package tapio

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"pgregory.net/rapid"
)

func TestLines(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		for cut := 0; cut <= len(in); cut++ {
			c := newCollector()
			l := &lineFramer{direction: event.ClientToServer, limit: 100, stream: c}
			at := time.Now()
			l.feed([]byte(in[:cut]), at)
			l.feed([]byte(in[cut:]), at.Add(time.Millisecond))
			l.end(at.Add(time.Millisecond))
			if got := c.data(event.ClientToServer); !slices.Equal(got, want) {
				t.Fatalf("%q cut at %d: got %q, want %q", in, cut, got, want)
			}
			c.check(t)
		}
	}
	f("")
	f("a\n", "a")
	f("a\nb", "a", "b")
	f("a\r\nb\r\n", "a", "b")
	f("a\rb\n", "a\rb")
	f("a\r\r\n", "a\r")
	f("a\r", "a\r")
	f("\r\n", "")
	f("\n\n", "", "")
	f("\xEF\xBB\xBF{}\n", "\xEF\xBB\xBF{}")
	f("\xff\x00\n{", "\xff\x00", "{")
}

func TestLineLimit(t *testing.T) {
	long := strings.Repeat("0123456789", 30)
	for cut := 0; cut <= len(long)+4; cut++ {
		c := newCollector()
		l := &lineFramer{direction: "d", limit: 100, stream: c}
		in := []byte(long + "\r\nx\n")
		l.feed(in[:cut], time.Now())
		l.feed(in[cut:], time.Now())
		if len(c.frames) != 2 || string(c.frames[1].Data) != "x" {
			t.Fatalf("cut %d: got %q", cut, c.data("d"))
		}
		f := c.frames[0]
		if !f.Truncated || f.Size != 300 || string(f.Data) != long[:100] || f.SHA256 != sha256.Sum256([]byte(long)) {
			t.Fatalf("cut %d: truncated %v, size %d, data %q", cut, f.Truncated, f.Size, f.Data)
		}
	}
}

// TestLinesUnderLoss drops random pieces and asserts that what is framed is a line of the input, in order, whole or marked as
// cut with the true size, and that framed and lost make up all lines.
func TestLinesUnderLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "lines")
		var in []byte
		var lines []string
		for i := range n {
			l := fmt.Sprintf("<%d%s>", i, strings.Repeat("x", rapid.IntRange(0, 12).Draw(t, "len")))
			lines = append(lines, l)
			in = append(append(in, l...), '\n')
		}
		box := newMailbox(rapid.IntRange(1, 60).Draw(t, "limit"))
		c := newCollector()
		stalled, done := make(chan struct{}), make(chan struct{})
		go func() {
			<-stalled
			readLines(box, 1000, c)
			close(done)
		}()
		stall := rapid.IntRange(0, 50).Draw(t, "stall")
		for i := 0; len(in) > 0; i++ {
			if i == stall {
				close(stalled)
			}
			k := min(len(in), rapid.IntRange(1, 25).Draw(t, "piece"))
			box.put(up, in[:k], time.Now())
			box.put(down, []byte("x\n"), time.Now())
			box.wake()
			in = in[k:]
			if stall < i && rapid.Bool().Draw(t, "yield") {
				runtime.Gosched()
			}
			if len(in) == 0 && i < stall {
				close(stalled)
			}
		}
		box.close()
		<-done
		at, got := 0, 0
		for _, g := range c.frames {
			if g.Direction != event.ClientToServer {
				continue
			}
			got++
			is := func(line string) bool {
				if g.Truncated {
					return strings.HasPrefix(line, string(g.Data)) && g.Size == int64(len(line)) && g.SHA256 == [32]byte{}
				}
				return line == string(g.Data) && g.Size == int64(len(line))
			}
			for at < len(lines) && !is(lines[at]) {
				at++
			}
			if at == len(lines) {
				t.Fatalf("%q (cut %v, size %d) is no line of the input, or out of order", g.Data, g.Truncated, g.Size)
			}
			at++
		}
		if got+c.lost[event.ClientToServer] != n {
			t.Fatalf("%d framed + %d lost != %d lines", got, c.lost[event.ClientToServer], n)
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\r\nb\n\nc"), 1, 3)
	f.Add([]byte(strings.Repeat("x", 50)+"\r\r\n"), 7, 10)
	f.Fuzz(func(t *testing.T, in []byte, step, limit int) {
		step, limit = max(1, step), min(max(0, limit), 1<<16)
		c := newCollector()
		l := &lineFramer{direction: "d", limit: limit, stream: c}
		for rest := in; len(rest) > 0; {
			n := min(step, len(rest))
			l.feed(rest[:n], time.Now())
			rest = rest[n:]
		}
		l.end(time.Now())
		want := bytes.Split(in, []byte("\n"))
		if len(want[len(want)-1]) == 0 {
			want = want[:len(want)-1]
		}
		if len(want) != len(c.frames) {
			t.Fatalf("%d frames, want %d", len(c.frames), len(want))
		}
		for i, w := range want {
			if i < len(want)-1 || in[len(in)-1] == '\n' {
				w = bytes.TrimSuffix(w, []byte("\r"))
			}
			g := c.frames[i]
			if g.Size != int64(len(w)) || g.SHA256 != sha256.Sum256(w) || !bytes.Equal(g.Data, w[:min(len(w), limit)]) {
				t.Fatalf("frame %d: %q of %d bytes, want %q", i, g.Data, g.Size, w)
			}
		}
	})
}
