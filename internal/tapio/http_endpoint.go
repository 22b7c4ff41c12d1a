package tapio

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
)

// endpointRewriter points the absolute address in a legacy stream's first event at the tap. Everything else passes as it is,
// and so does a first event that is no such address, or longer than rewriteLimit.
type endpointRewriter struct {
	src      io.Reader
	upstream *url.URL
	to       string // origin of the tap as the client knows it

	head []byte // what is read but not yet passed
	done bool   // the first event is settled
	err  error
}

const rewriteLimit = 16 << 10

// originOf is the tap's origin as the client sees it.
func originOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (e *endpointRewriter) Read(p []byte) (int, error) {
	for !e.done {
		n, err := e.src.Read(p)
		e.head = append(e.head, p[:n]...)
		e.err = err
		if end := firstEventEnd(e.head); end >= 0 || err != nil || len(e.head) > rewriteLimit {
			e.done = true
			if end >= 0 {
				e.head = append(e.rewrite(e.head[:end]), e.head[end:]...)
			}
		}
	}
	if len(e.head) > 0 {
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	if e.err != nil {
		return 0, e.err
	}
	return e.src.Read(p)
}

// firstEventEnd is the index behind the first blank line that follows a field, or -1.
func firstEventEnd(b []byte) int {
	content := false
	for at := 0; at < len(b); {
		i := bytes.IndexAny(b[at:], "\r\n")
		if i < 0 {
			return -1
		}
		end := at + i + 1
		if b[at+i] == '\r' {
			if end == len(b) {
				return -1 // an LF may follow
			}
			if b[end] == '\n' {
				end++
			}
		}
		if i == 0 && content {
			return end
		}
		content = content || i > 0 && b[at] != ':'
		at = end
	}
	return -1
}

func (e *endpointRewriter) rewrite(event []byte) []byte {
	if !bytes.Contains(event, []byte("endpoint")) {
		return event
	}
	i := bytes.Index(event, []byte("data:"))
	if i < 0 {
		return event
	}
	line := event[i+len("data:"):]
	if n := bytes.IndexAny(line, "\r\n"); n >= 0 {
		line = line[:n]
	}
	u, err := url.Parse(string(bytes.TrimSpace(line)))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return event
	}
	origin := []byte(u.Scheme + "://" + u.Host)
	return bytes.Replace(event, origin, []byte(e.to), 1)
}
