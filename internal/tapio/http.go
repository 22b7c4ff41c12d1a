package tapio

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/tap"
)

// HTTP says what an HTTP tap stands in front of.
type HTTP struct {
	// Upstream is the server's origin: scheme http, https or h2c (HTTP/2 without TLS), and host. A path is ignored: the path
	// of each request passes unchanged.
	Upstream *url.URL
	TLS      *tls.Config // towards an https upstream; nil means the system's roots

	// Open gives the stream for a transport (event.TransportHTTP or, once a legacy stream is seen, event.TransportSSE).
	// nil records nothing.
	Open func(transport string) tap.Stream
	// Warn tells the operator of what is wrong with the recording, without content.
	Warn func(error)

	PreserveHost    bool // pass the client's Host header instead of the upstream's
	RewriteEndpoint bool // point a legacy stream's absolute endpoint address at the tap: the only change a tap ever makes

	CaptureLimit int // bytes kept of one body or event; 0 means DefaultCaptureLimit
	Buffer       int // bytes of copies that may wait to be looked at; 0 means DefaultHTTPBuffer
}

// DefaultHTTPBuffer is for all exchanges together, bytes.
const DefaultHTTPBuffer = 32 << 20

// Proxy is an HTTP tap. It forwards every request to its upstream and every response back, flushing as bytes come, and hands
// copies of the bodies to its streams.
type Proxy struct {
	cfg       HTTP
	scheme    string
	transport *http.Transport
	queue     *queue
	recorded  chan struct{}
	exchanges atomic.Uint64
	buffers   sync.Pool

	// used by the recording goroutine only
	streams   map[string]tap.Stream
	endpoints map[string]int // addresses announced by open legacy streams
	bypass    bool
}

// NewProxy starts an HTTP tap's recording; Close ends it.
func NewProxy(cfg HTTP) *Proxy {
	if cfg.CaptureLimit <= 0 {
		cfg.CaptureLimit = DefaultCaptureLimit
	}
	if cfg.Buffer <= 0 {
		cfg.Buffer = DefaultHTTPBuffer
	}
	if cfg.Warn == nil {
		cfg.Warn = func(error) {}
	}
	p := &Proxy{
		cfg: cfg, scheme: cfg.Upstream.Scheme, queue: newQueue(cfg.Buffer), recorded: make(chan struct{}),
		streams: map[string]tap.Stream{}, endpoints: map[string]int{},
		buffers: sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }},
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	if p.scheme == "h2c" {
		p.scheme = "http"
		protocols.SetHTTP1(false)
		protocols.SetUnencryptedHTTP2(true)
	}
	p.transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       cfg.TLS,
		TLSHandshakeTimeout:   15 * time.Second,
		Protocols:             protocols,
		DisableCompression:    true, // else Accept-Encoding would be ours
		MaxIdleConnsPerHost:   4096,
		IdleConnTimeout:       60 * time.Second,
		ExpectContinueTimeout: 5 * time.Second,
		WriteBufferSize:       16 << 10,
		ReadBufferSize:        16 << 10,
	}
	go func() {
		defer close(p.recorded)
		p.queue.run()
	}()
	return p
}

// Server is an http.Server for the tap, with the limits and protocols that it needs. conf may be nil.
func (p *Proxy) Server(conf *tls.Config) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:                      p,
		TLSConfig:                    conf,
		Protocols:                    protocols,
		ReadHeaderTimeout:            time.Minute,
		IdleTimeout:                  24 * time.Hour, // a client reuses a connection when it likes
		DisableGeneralOptionsHandler: true,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: 1000},
		ErrorLog:                     log.New(io.Discard, "", 0), // its lines may hold what clients send
	}
}

// Close waits until all that passed is recorded, or ctx ends, and closes the streams. Nothing may be served any more.
func (p *Proxy) Close(ctx context.Context) error {
	p.queue.put(piece{do: func() {
		for _, s := range p.streams {
			s.Close(nil)
		}
	}})
	p.queue.close()
	p.transport.CloseIdleConnections()
	select {
	case <-p.recorded:
		return nil
	case <-ctx.Done():
		return errors.New("not everything could be recorded before the end")
	}
}

func (p *Proxy) streamOf(transport string) tap.Stream {
	s, ok := p.streams[transport]
	if !ok {
		if p.cfg.Open != nil {
			s = p.cfg.Open(transport)
		}
		if s == nil {
			s = nowhere{}
		}
		p.streams[transport] = s
	}
	return s
}

// nowhere takes what is not recorded.
type nowhere struct{}

func (nowhere) Frame(tap.Frame)                  {}
func (nowhere) TransportError(string, tap.Frame) {}
func (nowhere) ClientGone(uint64, time.Time)     {}
func (nowhere) Lost(string, int)                 {}
func (nowhere) Close(*tap.Exit)                  {}
func (p *Proxy) after(x *exchange, f func())     { p.queue.put(piece{do: f}) }
func (p *Proxy) finish(b *body, o op)            { p.queue.put(piece{body: b, op: o, at: time.Now()}) }
func (p *Proxy) fail(x *exchange, class string)  { p.after(x, func() { x.fail(class, tap.Frame{}) }) }
func (p *Proxy) clientGone(x *exchange, at time.Time) {
	p.after(x, func() { x.stream().ClientGone(x.info.Exchange, at) })
}

func (p *Proxy) warnBypass() {
	if !p.bypass {
		p.bypass = true
		p.cfg.Warn(errors.New("the server announces an absolute endpoint address, so clients post past this tap: what they send is not recorded. Use --rewrite-endpoint, or have the server announce a path"))
	}
}

// ServeHTTP forwards one exchange.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.newExchange(r)
	x.exposed()
	if r.ProtoMajor == 1 {
		// An answer may come before the request is all read; it fails only where there is no such connection.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	out, sent := p.outgoing(x, r)
	res, err := p.transport.RoundTrip(out)
	if sent != nil {
		defer sent.done()
	}
	if err != nil {
		p.noResponse(w, r, x, err)
		return
	}
	defer res.Body.Close()
	p.respond(w, r, x, res)
}

// noResponse answers for an upstream that did not.
func (p *Proxy) noResponse(w http.ResponseWriter, r *http.Request, x *exchange, err error) {
	if r.Context().Err() != nil {
		p.clientGone(x, time.Now())
		panic(http.ErrAbortHandler)
	}
	class := errorClass(err)
	p.fail(x, class)
	if class == "reset" {
		panic(http.ErrAbortHandler) // it hung up without a word; so do we
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = io.WriteString(w, "mcptap: no response from the MCP server ("+class+")\n")
}

// outgoing makes the request for the upstream. It takes over r's header map.
func (p *Proxy) outgoing(x *exchange, r *http.Request) (*http.Request, *requestBody) {
	h := r.Header
	trailers := false
	for _, v := range h["Te"] {
		for t := range strings.SplitSeq(v, ",") {
			trailers = trailers || strings.EqualFold(strings.TrimSpace(t), "trailers")
		}
	}
	dropHopByHop(h)
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // keeps Go from sending its own
	}
	if p.cfg.RewriteEndpoint && r.Method == http.MethodGet {
		h["Accept-Encoding"] = []string{"identity"}
	}
	u := *r.URL
	u.Scheme, u.Host, u.User = p.scheme, p.cfg.Upstream.Host, nil
	out := (&http.Request{
		Method: r.Method, URL: &u, Header: h, Host: u.Host, ContentLength: r.ContentLength, Trailer: r.Trailer,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(r.Context())
	if p.cfg.PreserveHost {
		out.Host = r.Host
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return out, nil
	}
	b := &requestBody{
		p: p, src: r.Body, want: r.ContentLength,
		copy: x.newBody(event.ClientToServer, requestKind(r), strings.Join(r.Header["Content-Encoding"], ","), 0),
	}
	out.Body = bodyReader{b, new(atomic.Bool)}
	out.GetBody = b.again
	return out, b
}

var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// dropHopByHop removes what RFC 9110 section 7.6.1 keeps to one connection.
func dropHopByHop(h http.Header) {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// respond forwards the response.
func (p *Proxy) respond(w http.ResponseWriter, r *http.Request, x *exchange, res *http.Response) {
	if !x.named {
		x.sessionFrom(res.Header.Get("Mcp-Session-Id"))
	}
	x.challengedBy(res)
	dropHopByHop(res.Header)
	h := w.Header()
	// Go's server adds these two of its own accord where they are missing; a nil value keeps it from that.
	h["Date"], h["Content-Type"] = nil, nil
	for k, v := range res.Header {
		h[k] = v
	}
	announced := len(res.Trailer)
	for k := range res.Trailer {
		h.Add("Trailer", k)
	}
	body := x.newBody(event.ServerToClient, responseKind(x, res), strings.Join(res.Header["Content-Encoding"], ","), res.StatusCode)
	src := io.Reader(res.Body)
	if p.cfg.RewriteEndpoint && body.kind == kindEvents && r.Method == http.MethodGet && body.dec == nil {
		src = &endpointRewriter{src: res.Body, upstream: p.cfg.Upstream, to: originOf(r)}
	}
	w.WriteHeader(res.StatusCode)
	rc := http.NewResponseController(w)
	if res.ContentLength < 0 {
		_ = rc.Flush()
	}
	err := p.copyBody(w, rc, src, res.ContentLength, body)
	gone := r.Context().Err() != nil || errors.As(err, new(*writeError))
	switch {
	case err == nil:
		p.finish(body, opEnd)
	default:
		p.finish(body, opCut)
		if gone {
			p.clientGone(x, time.Now())
		} else {
			p.fail(x, errorClass(err))
		}
	}
	if body.kind == kindEvents {
		p.after(x, x.over)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // what broke off on one side breaks off on the other
	}
	for k, v := range res.Trailer {
		if len(res.Trailer) != announced {
			k = http.TrailerPrefix + k
		}
		h[k] = v
	}
}

// sessionFrom sets the session of an initialize exchange, which only its response names. Frames of the request may be in the
// making, so the change is made where they are made.
func (x *exchange) sessionFrom(id string) {
	if id != "" {
		x.p.after(x, func() {
			if x.info.SessionID == "" {
				x.info.SessionID = id
			}
		})
	}
}

// writeError says that the client's side broke.
type writeError struct{ err error }

func (e *writeError) Error() string { return "cannot write to the client: " + e.err.Error() }

// copyBody forwards a response body and flushes what comes as it comes, unless it completes the body.
func (p *Proxy) copyBody(w http.ResponseWriter, rc *http.ResponseController, src io.Reader, length int64, bd *body) error {
	bp := p.buffers.Get().(*[]byte)
	defer p.buffers.Put(bp)
	buf := *bp
	done := int64(0)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			done += int64(n)
			if bd.kind != kindIgnore {
				p.queue.copyOf(bd, buf[:n], time.Now())
			}
			if _, err := w.Write(buf[:n]); err != nil {
				return &writeError{err}
			}
			if done != length && err == nil {
				if err := rc.Flush(); err != nil {
					return &writeError{err}
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// requestBody forwards a request body and copies it. A small body that was read in full can be sent once more: where the
// upstream closes an idle connection just when a request goes out on it, the request is repeated on a new one, which is only
// done when nothing of it was received.
type requestBody struct {
	p    *Proxy
	src  io.Reader
	want int64 // Content-Length, or -1
	copy *body

	mu    sync.Mutex // guards everything below
	n     int64
	kept  []byte
	ended bool
	whole bool // src is read to its end
}

// keepForReplay is the largest body that can be repeated, bytes.
const keepForReplay = 64 << 10

type bodyReader struct {
	*requestBody
	closed *atomic.Bool
}

func (b bodyReader) Close() error {
	b.closed.Store(true)
	return nil // the server closes the body itself
}

var errClosedBody = errors.New("read of a closed request body")

func (b bodyReader) Read(buf []byte) (int, error) {
	if b.closed.Load() {
		return 0, errClosedBody
	}
	n, err := b.src.Read(buf)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n += int64(n)
	if b.copy.kind != kindIgnore {
		b.p.queue.copyOf(b.copy, buf[:n], time.Now())
	}
	if b.n <= keepForReplay {
		b.kept = append(b.kept, buf[:n]...)
	} else {
		b.kept = nil
	}
	b.whole = b.whole || err == io.EOF || b.n == b.want
	// The record of a request is complete before its last byte is with the server, so it precedes that of the answer.
	if b.whole {
		b.end(opEnd)
	} else if err != nil {
		b.end(opCut)
	}
	return n, err
}

// end finishes the copy; mu is held.
func (b *requestBody) end(o op) {
	if !b.ended {
		b.ended = true
		b.p.finish(b.copy, o)
	}
}

// done is called when the exchange is over.
func (b *requestBody) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end(opCut)
}

func (b *requestBody) again() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.whole || b.n > keepForReplay {
		return nil, errors.New("the request body is gone")
	}
	return io.NopCloser(strings.NewReader(string(b.kept))), nil
}
