// Package sinktest holds what tests of several exporters share: records, a running exporter, and a contract on services that misbehave.
package sinktest

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// HTTP is an exporter that speaks HTTP, as the contract needs it.
type HTTP struct {
	// Open starts an exporter to a base URL, with a timeout of Timeout and hardly any repetitions.
	Open func(t *testing.T, url string) func(context.Context, plog.Logs) error
	// Good is the service as it should be.
	Good http.Handler
	// Batch is a batch for it.
	Batch plog.Logs
	// Secrets must be in no error and must not be sent elsewhere.
	Secrets []string
	// AnyBody is set where any answer with 2xx counts that is no page.
	AnyBody bool
}

// Timeout is what an exporter under the contract should wait for an answer.
const Timeout = 300 * time.Millisecond

// conduct is how a service treats a request after its header was read. It may keep the connection until stop is closed.
type conduct struct {
	name string
	ok   bool // a full answer with 2xx that is no page
	do   func(c net.Conn, r *http.Request, elsewhere string, stop <-chan struct{})
}

func says(name string, status int, header, body string) conduct {
	return conduct{name, status/100 == 2 && !strings.Contains(name, "page") && name != "gzip that is none", func(c net.Conn, _ *http.Request, elsewhere string, _ <-chan struct{}) {
		h := strings.ReplaceAll(header, "ELSEWHERE", elsewhere)
		fmt.Fprintf(c, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s", status, len(body), h, body)
	}}
}

func writes(name, text string) conduct {
	return conduct{name, false, func(c net.Conn, _ *http.Request, _ string, _ <-chan struct{}) { _, _ = io.WriteString(c, text) }}
}

// endless writes text again and again.
func endless(name, first, text string, pause time.Duration) conduct {
	return conduct{name, false, func(c net.Conn, _ *http.Request, _ string, stop <-chan struct{}) {
		_, err := io.WriteString(c, first)
		for err == nil {
			select {
			case <-stop:
				return
			case <-time.After(pause):
			}
			_, err = io.WriteString(c, text)
		}
	}}
}

func zip(b []byte) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.String()
}

const (
	page     = "<!DOCTYPE html>\n<html><head><title>planted-answer</title></head><body>Please log in</body></html>"
	html     = "Content-Type: text/html; charset=utf-8\r\n"
	jsonType = "Content-Type: application/json\r\n"
)

func conducts() []conduct {
	all := []conduct{
		{"no answer", false, func(_ net.Conn, _ *http.Request, _ string, stop <-chan struct{}) { <-stop }},
		{"reset", false, func(c net.Conn, _ *http.Request, _ string, _ <-chan struct{}) { abort(c) }},
		{"reset after the request", false, func(c net.Conn, r *http.Request, _ string, _ <-chan struct{}) {
			_, _ = io.Copy(io.Discard, r.Body)
			abort(c)
		}},
		{"reset within the answer", false, func(c net.Conn, r *http.Request, _ string, _ <-chan struct{}) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"errors\":false,")
			abort(c)
		}},
		writes("closed", ""),
		writes("half a status line", "HTTP/1.1 20"),
		writes("half a header", "HTTP/1.1 200 OK\r\nContent-Ty"),
		writes("an answer that ends early", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{}"),
		writes("a chunk that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nplanted-answer\r\n"),
		writes("another protocol", "SSH-2.0-planted-answer\r\n"),
		endless("a header byte by byte", "HTTP/1.1 200 OK\r\nX-Planted: ", "a", 20*time.Millisecond),
		endless("a header without an end", "HTTP/1.1 200 OK\r\n", "X-Planted: "+strings.Repeat("a", 4000)+"\r\n", 0),
		endless("a body byte by byte", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", " ", 20*time.Millisecond),
		says("a page with 200", 200, html, page),
		says("a page with 200, compressed", 200, html+"Content-Encoding: gzip\r\n", zip([]byte(page))),
		says("a page with 200 that says it is JSON", 200, jsonType, page),
		says("gzip that is none", 200, jsonType+"Content-Encoding: gzip\r\n", "planted-answer"),
		says("much from little", 200, jsonType+"Content-Encoding: gzip\r\n", zip(bytes.Repeat([]byte(" "), 64<<20))),
		says("JSON of something else", 200, jsonType, `{"planted-answer":[1,2,3]}`),
		says("a page with 400", 400, html, page),
		says("plain HTTP to a TLS port, says Go", 400, "Content-Type: text/plain\r\n", "Client sent an HTTP request to an HTTPS server.\n"),
		says("plain HTTP to a TLS port, says nginx", 400, html, "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n</html>"),
		says("a compressed page with 503", 503, html+"Content-Encoding: gzip\r\n", zip([]byte(page))),
		says("too many requests", 429, html+"Retry-After: soon\r\n", page),
	}
	for _, code := range []int{401, 403, 404, 405, 407, 408, 500, 502, 503, 504, 511} {
		all = append(all, says(fmt.Sprintf("a page with %d", code), code, html, page))
	}
	for _, code := range []int{301, 302, 303, 307, 308} {
		all = append(all, says(fmt.Sprintf("a redirection with %d", code), code, "Location: ELSEWHERE/planted\r\n", ""))
	}
	return all
}

func abort(c net.Conn) {
	if tc, ok := c.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	c.Close()
}

// Holds checks that whatever the other side or something on the way does, the batch neither counts as delivered nor becomes a dead letter, that nothing
// secret gets into an error or to another host, and that the batch is delivered when the service is good again.
func (h HTTP) Holds(t *testing.T) {
	for _, x := range conducts() {
		if x.ok && h.AnyBody {
			continue
		}
		t.Run(x.name, func(t *testing.T) { h.one(t, x) })
	}
	none := httptest.NewServer(nil)
	none.Close()
	secure := httptest.NewTLSServer(h.Good)
	defer secure.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := httptest.NewServer(h.Good)
	defer plain.Close()
	for name, url := range map[string]string{
		"nobody listens": none.URL, "a name that nothing has": "http://planted.invalid:9", "a certificate that nobody trusts": secure.URL,
		"plain HTTP to a TLS port": strings.Replace(secure.URL, "https:", "http:", 1), "TLS to a port without": strings.Replace(plain.URL, "http:", "https:", 1),
	} {
		t.Run(name, func(t *testing.T) { h.held(t, h.Open(t, url)(delivery(false), h.Batch)) })
	}
}

func delivery(redelivered bool) context.Context {
	return streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, Durable: "hostile", First: 1, Last: 1, Redelivered: redelivered})
}

func (h HTTP) held(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("counts as delivered")
	}
	if streams.Permanent(err) {
		t.Errorf("becomes a dead letter: %v", err)
	}
	for _, s := range append(h.Secrets, "planted-answer", "planted-content") {
		if text := err.Error() + streams.Reason(err); strings.Contains(text, s) {
			t.Errorf("%q is in %q", s, text)
		}
	}
}

func (h HTTP) one(t *testing.T, x conduct) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request went to another host") }))
	defer elsewhere.Close()
	var bad atomic.Bool
	bad.Store(true)
	var seen atomic.Int64
	stop := make(chan struct{})
	var conns sync.WaitGroup
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !bad.Load() {
			h.Good.ServeHTTP(w, r)
			return
		}
		seen.Add(1)
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conns.Add(1)
		defer conns.Done()
		defer c.Close()
		x.do(c, r, elsewhere.URL, stop)
		if tc, ok := c.(*net.TCPConn); ok { // what is unread would make it a reset
			_ = tc.CloseWrite()
			_ = c.SetReadDeadline(time.Now().Add(Timeout))
			_, _ = io.Copy(io.Discard, c)
		}
	}))
	defer front.Close()
	consume := h.Open(t, front.URL)
	h.held(t, consume(delivery(false), h.Batch))
	if seen.Load() == 0 {
		t.Error("no request was made")
	}
	bad.Store(false)
	close(stop)
	var err error
	for range 100 {
		if err = consume(delivery(true), h.Batch); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("the service is good again: %v", err)
	}
	conns.Wait()
}
