// Requests: authentication, several hosts, bounded answers.

package elastic

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Client speaks to one cluster over any of its hosts. Safe for concurrent use.
type Client struct {
	auth    Auth
	timeout time.Duration
	http    *http.Client

	mu    sync.Mutex
	hosts []host
	next  int
}

type host struct {
	url   string
	fails int
	until time.Time // left out until then
}

// Longest time that a host which does not answer is left out.
const maxHostDown = 30 * time.Second

// NewClient makes a client. t may be nil. timeout bounds one request.
func NewClient(endpoints []string, auth Auth, t *tls.Config, timeout time.Duration, connections int) *Client {
	c := &Client{
		auth: auth, timeout: timeout,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
				TLSClientConfig:     t,
				TLSHandshakeTimeout: 10 * time.Second,
				MaxIdleConnsPerHost: connections,
				IdleConnTimeout:     90 * time.Second,
			},
			// The credential must not follow a redirection.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, e := range endpoints {
		c.hosts = append(c.hosts, host{url: strings.TrimRight(e, "/")})
	}
	return c
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// pick is the next host that is not left out, or the one whose time ends first.
func (c *Client) pick() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	best := -1
	for i := range c.hosts {
		h := (c.next + i) % len(c.hosts)
		if !c.hosts[h].until.After(now) {
			best = h
			break
		}
		if best < 0 || c.hosts[h].until.Before(c.hosts[best].until) {
			best = h
		}
	}
	c.next = best + 1
	return best
}

// mark notes whether a host answered.
func (c *Client) mark(h int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		c.hosts[h].fails, c.hosts[h].until = 0, time.Time{}
		return
	}
	c.hosts[h].fails++
	d := min(time.Second<<min(c.hosts[h].fails-1, 5), maxHostDown)
	c.hosts[h].until = time.Now().Add(d)
}

// others reports whether a host is there that is not left out.
func (c *Client) others() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for i := range c.hosts {
		if !c.hosts[i].until.After(now) {
			return true
		}
	}
	return false
}

// errCredential is an error that only the operator can mend.
type errCredential struct{ error }

func (e *errCredential) Unwrap() error { return e.error }

func (a Auth) header() (string, error) {
	switch {
	case !a.APIKey.IsZero():
		k, err := a.APIKey.Read()
		if err != nil {
			return "", &errCredential{fmt.Errorf("api_key: %w", err)}
		}
		if strings.Contains(k, ":") { // id:key, not encoded yet
			k = base64.StdEncoding.EncodeToString([]byte(k))
		}
		return "ApiKey " + k, nil
	case a.Username != "":
		p, err := a.Password.Read()
		if err != nil {
			return "", &errCredential{fmt.Errorf("password: %w", err)}
		}
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Username+":"+p)), nil
	}
	return "", nil
}

// Answer is an answer.
type Answer struct {
	HTTP   int
	Header http.Header
	Body   []byte
}

const (
	ndjson   = "application/x-ndjson"
	jsonType = "application/json"
	// maxAnswer bounds what is read of an answer, bytes.
	maxAnswer = 32 << 20
)

// Do makes one request over one host and reads the answer, at most 32 MiB of it. Errors hold neither content nor credential; those that pass are
// marked for sink.Retry.
func (c *Client) Do(ctx context.Context, method, path, contentType, encoding string, body []byte, header ...string) (Answer, error) {
	auth, err := c.auth.header()
	if err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	h := c.pick()
	c.mu.Lock()
	base := c.hosts[h].url
	c.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, errors.New("cannot make a request")
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("User-Agent", "mcpsiem")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, c.failed(h, err)
	}
	defer resp.Body.Close()
	a := Answer{HTTP: resp.StatusCode, Header: resp.Header}
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return a, c.failed(h, err)
	}
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		c.mark(h, false)
	default:
		c.mark(h, true)
	}
	return a, nil
}

// failed marks a host that did not answer.
func (c *Client) failed(h int, err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	c.mark(h, false)
	return sink.Unanswered(err, !c.others())
}
