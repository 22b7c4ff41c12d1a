// Requests to HEC.

package splunkhec

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

const (
	pathEvent  = "/services/collector/event"
	pathRaw    = "/services/collector/raw"
	pathAck    = "/services/collector/ack"
	pathHealth = "/services/collector/health"

	headerChannel = "X-Splunk-Request-Channel"
)

// client is one worker's way to HEC: a connection, the cookies by which a load balancer keeps it on one node, and the channels whose
// acknowledgements that node knows.
type client struct {
	cfg      *Config
	http     *http.Client
	zip      *gzip.Writer
	zipped   bytes.Buffer
	channels map[string]string // by token
	plain    map[string]bool   // tokens that do not acknowledge and refuse a channel
}

func newClient(cfg *Config, t *tls.Config) *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic("BUG: a cookie jar without options cannot fail: " + err.Error())
	}
	zip, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic("BUG: gzip refuses its own level: " + err.Error())
	}
	return &client{
		cfg: cfg,
		http: &http.Client{
			Jar: jar,
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
				TLSClientConfig:     t,
				TLSHandshakeTimeout: 10 * time.Second,
				MaxIdleConnsPerHost: 2,
				IdleConnTimeout:     90 * time.Second,
				ForceAttemptHTTP2:   false, // one request at a time
			},
			// The token must not follow a redirection.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		zip:      zip,
		channels: map[string]string{},
		plain:    map[string]bool{},
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

func (c *client) channel(token string) string {
	ch, ok := c.channels[token]
	if !ok {
		ch = uuid.NewString()
		c.channels[token] = ch
	}
	return ch
}

// forget makes the next request with this token take a new channel, and the next connection a new node.
func (c *client) forget(token string) {
	delete(c.channels, token)
	c.http.CloseIdleConnections()
}

// withoutChannel sends no channel with this token from now on.
func (c *client) withoutChannel(token string) { c.plain[token] = true }

func (c *client) url(path string) string { return strings.TrimRight(c.cfg.Endpoint, "/") + path }

// do sends one request and reads the answer into `into`. Errors hold no content and no token: net/http's name the URL, which has neither.
func (c *client) do(ctx context.Context, method, url, token string, body []byte, encoding string, into any) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("cannot make a request")
	}
	req.Header.Set("Authorization", "Splunk "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "mcpsiem")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	if c.cfg.Ack.Mode != ackOff && !c.plain[token] {
		req.Header.Set(headerChannel, c.channel(token))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, sink.Unanswered(err, true)
	}
	defer resp.Body.Close()
	err = readReply(resp, into)
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxReply)) // else the connection is not used again
	if err != nil && !errors.Is(err, errNotHEC) {
		return nil, sink.Unanswered(err, true)
	}
	return resp, err
}

// post sends a chunk.
func (c *client) post(ctx context.Context, token, path string, body []byte) (r reply, sent int, err error) {
	encoding := ""
	if c.cfg.Compression == gzipped {
		c.zipped.Reset()
		c.zip.Reset(&c.zipped)
		if _, err := c.zip.Write(body); err != nil {
			return r, 0, errors.New("cannot compress a batch")
		}
		if err := c.zip.Close(); err != nil {
			return r, 0, errors.New("cannot compress a batch")
		}
		body, encoding = c.zipped.Bytes(), gzipped
	}
	resp, err := c.do(ctx, http.MethodPost, c.url(path), token, body, encoding, &r)
	if err != nil && !errors.Is(err, errNotHEC) {
		return r, len(body), err
	}
	if errors.Is(err, errNotHEC) {
		r = reply{}
	}
	r.HTTP, r.cookie = resp.StatusCode, len(resp.Cookies()) > 0
	r.After = sink.RetryAfter(resp.Header, time.Now())
	return r, len(body), nil
}

// acks asks which of the ids are acknowledged. The question goes uncompressed: some nodes misread a compressed one as a success.
func (c *client) acks(ctx context.Context, token string, ids []int64) (map[string]bool, reply, error) {
	body := []byte(`{"acks":[`)
	for i, id := range ids {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, "%d", id)
	}
	body = append(body, "]}"...)
	var out struct {
		Acks map[string]bool `json:"acks"`
		reply
	}
	resp, err := c.do(ctx, http.MethodPost, c.url(pathAck)+"?channel="+url.QueryEscape(c.channel(token)), token, body, "", &out)
	if err != nil && !errors.Is(err, errNotHEC) {
		return nil, reply{}, err
	}
	out.reply.HTTP = resp.StatusCode
	if resp.StatusCode != http.StatusOK || err != nil {
		return nil, out.reply, nil
	}
	return out.Acks, out.reply, nil
}
