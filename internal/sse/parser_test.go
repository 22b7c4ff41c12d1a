package sse

// The parser is held against the examples of the standard, against a plain whole-input reading of it, and against every way
// of cutting the same bytes.

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// show renders an event so that two runs can be compared.
func show(e Event) string {
	s := fmt.Sprintf("%s|%q|%v|%q|%q|%d|%v", e.Type, e.ID, e.HasID, e.LastID, e.Data, e.Size, e.Truncated)
	if e.Truncated {
		s += fmt.Sprintf("|%x", e.SHA256)
	}
	return s
}

func parse(limit int, chunks ...[]byte) (events []string, retry time.Duration) {
	p := Parser{Limit: limit}
	for _, c := range chunks {
		c = slices.Clone(c)
		p.Feed(c, func(e Event) { events = append(events, show(e)) })
		for i := range c { // the parser must not have kept the chunk
			c[i] = '#'
		}
	}
	return events, p.Retry
}

// reference reads the whole input at once, sentence by sentence as the standard has it.
func reference(limit int, in []byte) (events []string, retry time.Duration) {
	in = bytes.TrimPrefix(in, []byte("\xEF\xBB\xBF"))
	var typ, lastID string
	var data []byte
	any, hasID := false, false
	for len(in) > 0 {
		i := bytes.IndexAny(in, "\r\n")
		if i < 0 {
			break
		}
		line := string(in[:i])
		if in[i] == '\r' && i+1 < len(in) && in[i+1] == '\n' {
			i++
		}
		in = in[i+1:]
		if line == "" {
			if any {
				d := bytes.TrimSuffix(data, []byte("\n"))
				e := Event{Type: typ, LastID: lastID, Size: int64(len(d)), Data: d, HasID: hasID}
				if typ == "" {
					e.Type = "message"
				}
				if hasID {
					e.ID = lastID
				}
				if len(d) > limit {
					e.Truncated, e.Data, e.SHA256 = true, d[:limit], sha256.Sum256(d)
				}
				events = append(events, show(e))
			}
			typ, data, any, hasID = "", nil, false, false
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			typ = value[:min(len(value), MaxType)]
		case "data":
			data = append(append(data, value...), '\n')
			any = true
		case "id":
			if !strings.Contains(value, "\x00") && len(value) <= MaxID {
				lastID, hasID = value, true
			}
		case "retry":
			if value != "" && len(value) <= maxRetry && strings.Trim(value, "0123456789") == "" {
				if n, err := strconv.ParseInt(value, 10, 64); err == nil && n < int64(24*time.Hour*365/time.Millisecond) {
					retry = time.Duration(n) * time.Millisecond
				}
			}
		}
	}
	return events, retry
}

func TestParser(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		got, _ := parse(1<<20, []byte(in))
		if !slices.Equal(got, want) {
			t.Fatalf("%q: got %q, want %q", in, got, want)
		}
	}
	ev := func(typ, data string) string {
		return show(Event{Type: typ, Data: []byte(data), Size: int64(len(data))})
	}
	// the standard's own examples
	f("data: YHOO\ndata: +2\ndata: 10\n\n", ev("message", "YHOO\n+2\n10"))
	f(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
		show(Event{Type: "message", ID: "1", HasID: true, LastID: "1", Data: []byte("first event"), Size: 11}),
		show(Event{Type: "message", HasID: true, Data: []byte("second event"), Size: 12}),
		ev("message", " third event"))
	f("data\n\ndata\ndata\n\ndata:", ev("message", ""), ev("message", "\n"))
	f("data:test\n\ndata: test\n\n", ev("message", "test"), ev("message", "test"))
	// line ends
	f("data: a\r\rdata: b\n\ndata: c\r\n\r\n", ev("message", "a"), ev("message", "b"), ev("message", "c"))
	f("data: a\r\n\ndata: b\n\r\n", ev("message", "a"), ev("message", "b"))
	// byte order mark: one, at the start only
	f("\xEF\xBB\xBFdata: a\n\n", ev("message", "a"))
	f("\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n")
	f("\xEF\xBBdata: a\n\ndata: b\n\n", ev("message", "b"))
	f("\n\xEF\xBB\xBFdata: a\n\n")
	// types
	f("event: endpoint\ndata: /m?s=1\n\n", ev("endpoint", "/m?s=1"))
	f("event: x\nevent:\ndata: a\n\n", ev("message", "a"))
	f("event: x\n\ndata: a\n\n", ev("message", "a"))
	// ids
	f("id: 7\n\ndata: a\n\n", show(Event{Type: "message", LastID: "7", Data: []byte("a"), Size: 1}))
	f("id: 7\ndata:\n\n", show(Event{Type: "message", ID: "7", HasID: true, LastID: "7"}))
	f("id: a\x00b\ndata: a\n\n", ev("message", "a"))
	f("id: "+strings.Repeat("x", MaxID+1)+"\ndata: a\n\n", ev("message", "a"))
	// lines that mean nothing
	f("Data: a\n\n")
	f(" data: a\n\n")
	f("datas: a\n\n")
	f("dat\n\n")
	f(": data: a\n\n")
	f(":\n\n")
	f("unknown: "+strings.Repeat("y", 1<<20)+"\ndata: a\n\n", ev("message", "a"))
	// an event that the stream's end cuts is no event
	f("data: a\n")
	f("data: a")
	f("")
}

func TestRetry(t *testing.T) {
	f := func(in string, want time.Duration) {
		t.Helper()
		if _, got := parse(10, []byte(in)); got != want {
			t.Fatalf("%q: got %v, want %v", in, got, want)
		}
	}
	f("retry: 1500\n", 1500*time.Millisecond)
	f("retry: 15a\n", 0)
	f("retry: -1\n", 0)
	f("retry:\n", 0)
	f("retry: 5\nretry: x\n", 5*time.Millisecond)
	f("retry: 99999999999999999999999\n", 0)
}

func TestLimit(t *testing.T) {
	long := strings.Repeat("ab", 500)
	f := func(limit int, in, data string) {
		t.Helper()
		got, _ := parse(limit, []byte(in))
		e := Event{Type: "message", Data: []byte(data), Size: int64(len(data))}
		if len(data) > limit {
			e.Data, e.Truncated, e.SHA256 = []byte(data[:limit]), true, sha256.Sum256([]byte(data))
		}
		if !slices.Equal(got, []string{show(e)}) {
			t.Fatalf("limit %d: got %q, want %q", limit, got, show(e))
		}
	}
	f(1000, "data: "+long+"\n\n", long)
	f(999, "data: "+long+"\n\n", long)
	f(0, "data: "+long+"\n\n", long)
	f(1000, "data: "+long+"\ndata:\n\n", long+"\n")
	f(1001, "data: "+long+"\ndata:\n\n", long+"\n")
	f(3, "data: ab\ndata: cd\n\n", "ab\ncd")
}

const sample = "\xEF\xBB\xBF: hi\r\nretry: 10\r\nid: 1\r\ndata:\r\n\r\nevent: message\rid: 2\rdata: {\"a\":\rdata: 1}\r\r" +
	"data\ndata: x\n\nid\ndatax: 1\ndata: last é\n\nevent: endpoint\ndata:  /p?q=1\n\n: bye\n\ndata: cut"

// TestEveryCut cuts the same bytes once at every place, and into single bytes.
func TestEveryCut(t *testing.T) {
	in := []byte(sample)
	for _, limit := range []int{0, 3, 1 << 20} {
		want, retry := reference(limit, in)
		if len(want) != 5 {
			t.Fatalf("reference found %d events: %q", len(want), want)
		}
		for i := 0; i <= len(in); i++ {
			if got, r := parse(limit, in[:i], in[i:]); !slices.Equal(got, want) || r != retry {
				t.Fatalf("cut at %d: got %q, want %q", i, got, want)
			}
		}
		var single [][]byte
		for i := range in {
			single = append(single, in[i:i+1])
		}
		if got, _ := parse(limit, single...); !slices.Equal(got, want) {
			t.Fatalf("byte by byte: got %q, want %q", got, want)
		}
	}
}

func TestDiscard(t *testing.T) {
	p := Parser{Limit: 100}
	var got []string
	emit := func(e Event) { got = append(got, string(e.Data)) }
	p.Feed([]byte("data: a\ndata: b"), emit)
	p.Discard()
	p.Feed([]byte("lost tail\ndata: c\n\ndata: d\n\n"), emit)
	if !slices.Equal(got, []string{"c", "d"}) {
		t.Fatalf("got %q", got)
	}
}

// cutUp splits in at places that cuts decides.
func cutUp(in, cuts []byte) (chunks [][]byte) {
	for i := 0; len(in) > 0; i++ {
		n := len(in)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)]))
		}
		chunks = append(chunks, in[:n])
		in = in[n:]
		if n == 0 && i > len(cuts) {
			chunks = append(chunks, in)
			break
		}
	}
	return chunks
}

func TestAnyChunking(t *testing.T) {
	piece := rapid.SampledFrom([]string{"data", "event", "id", "retry", ":", ": ", " ", "\n", "\r", "\r\n", "\n\n", "\x00", "\xEF", "\xEF\xBB\xBF",
		"message", "endpoint", "{}", "1", "é", "data: x\n\n", "id: 5\n", "datadata", "d"})
	rapid.Check(t, func(t *rapid.T) {
		in := []byte(strings.Join(rapid.SliceOf(piece).Draw(t, "pieces"), ""))
		cuts := rapid.SliceOfN(rapid.ByteRange(0, 9), 0, 8).Draw(t, "cuts")
		limit := rapid.IntRange(0, 12).Draw(t, "limit")
		want, wantRetry := reference(limit, in)
		got, gotRetry := parse(limit, cutUp(in, cuts)...)
		if !slices.Equal(got, want) || gotRetry != wantRetry {
			t.Fatalf("%q cut %v limit %d: got %q %v, want %q %v", in, cuts, limit, got, gotRetry, want, wantRetry)
		}
	})
}

func FuzzParser(f *testing.F) {
	f.Add([]byte(sample), []byte{1}, 10)
	f.Add([]byte("data: a\r\n\r\n"), []byte{9, 1}, 0)
	f.Add([]byte("id: \x00\ndata\n\n"), []byte{3}, 100)
	f.Fuzz(func(t *testing.T, in, cuts []byte, limit int) {
		limit = min(max(limit, 0), 1<<16)
		want, wantRetry := reference(limit, in)
		got, gotRetry := parse(limit, cutUp(in, cuts)...)
		if !slices.Equal(got, want) || gotRetry != wantRetry {
			t.Fatalf("got %q %v, want %q %v", got, gotRetry, want, wantRetry)
		}
	})
}
