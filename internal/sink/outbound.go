// Requests to a web service, and which networks they may go to.

package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Networks says where requests may go. It is checked on the address that a connection is made to, so after names were resolved.
type Networks struct {
	// DenyPrivate refuses addresses that are not of the public internet: loopback, private, link-local (metadata services), shared,
	// multicast and reserved ones. Proxies of the environment are not used then.
	DenyPrivate bool `mapstructure:"deny_private"`
	// Allow lists prefixes that may be reached all the same, e.g. 10.1.0.0/16.
	Allow []string `mapstructure:"allow"`
}

// notPublic are the prefixes of the IANA special-purpose registries (RFC 6890) that are not globally reachable, or that lead to other addresses.
var notPublic = func() (out []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/127", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// Validate checks the prefixes.
func (n *Networks) Validate() error {
	for _, s := range n.Allow {
		if _, err := netip.ParsePrefix(s); err != nil {
			return fmt.Errorf("networks.allow: %q is no prefix like 10.1.0.0/16 or 127.0.0.1/32", s)
		}
	}
	return nil
}

// Takes reports whether a connection to the address may be made.
func (n *Networks) Takes(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !n.DenyPrivate {
		return true
	}
	for _, s := range n.Allow {
		if p, err := netip.ParsePrefix(s); err == nil && p.Contains(a) {
			return true
		}
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

var errNetwork = errors.New("the address is not of the public internet; if it is meant, set networks.allow")

// NewHTTPClient makes a client for one service. It follows no redirection: credentials, signatures and content must not go elsewhere.
func NewHTTPClient(ctx context.Context, t *configtls.ClientConfig, n Networks, connections int) (*http.Client, error) {
	var tc *tls.Config
	if t != nil {
		var err error
		if tc, err = t.LoadTLSConfig(ctx); err != nil {
			return nil, err
		}
	}
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	proxy := http.ProxyFromEnvironment
	if n.DenyPrivate {
		proxy = nil
		d.Control = func(_, address string, _ syscall.RawConn) error {
			if ap, err := netip.ParseAddrPort(address); err != nil || !n.Takes(ap.Addr()) {
				return errNetwork
			}
			return nil
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: proxy, DialContext: d.DialContext, TLSClientConfig: tc, TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: max(connections, 1), IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// Answer of a service.
type Answer struct {
	Status int
	After  time.Duration // of Retry-After
	Body   []byte        // its first maxAnswer bytes; never to be logged
}

const maxAnswer = 64 << 10

// Send sends a request and reads the answer. An error is marked with Again where another try may succeed, and names neither address nor
// content: both may be secret.
func Send(c *http.Client, req *http.Request) (Answer, error) {
	resp, err := c.Do(req)
	if err != nil {
		return Answer{}, Unanswered(err, true)
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, After: RetryAfter(resp.Header, time.Now())}
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return a, Unanswered(err, true)
	}
	return a, nil
}

// Unanswered says of an error of net/http why there is no answer: an error that passes, marked with Again, in words that quote neither address nor
// answer. With busy all requests to the target wait. A request that was cancelled does not pass.
func Unanswered(err error, busy bool) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var nerr net.Error
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var name *net.DNSError
	var op *net.OpError
	again := func(reason string, err error) error {
		return Again(streams.WithReason(err, reason), reason, 0, busy)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, errNetwork):
		return again("network_denied", errNetwork)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &nerr) && nerr.Timeout():
		return again("timeout", errors.New("no answer in time"))
	case errors.As(err, &cert):
		return again("tls", errors.New("its certificate is not trusted: set tls.ca_file, or tls.server_name_override"))
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, new(tls.RecordHeaderError)):
		return again("tls", errors.New("it does not speak TLS: is the address https where it should be http?"))
	case errors.As(err, &alert):
		return again("tls", fmt.Errorf("it refuses the TLS connection: %w", alert))
	case errors.As(err, &name):
		return again("network", errors.New("the name of its host does not resolve"))
	case errors.As(err, &op):
		var no syscall.Errno
		if errors.As(err, &no) {
			return again("network", fmt.Errorf("cannot %s: %w", op.Op, no))
		}
		return again("network", fmt.Errorf("cannot %s: the connection failed", op.Op))
	}
	return again("network", errors.New("the connection broke, or the answer is not HTTP"))
}

// IsPage reports whether an answer is a page for people: of a login, a proxy, or a TLS port that was spoken to without. No service that takes records
// says anything about them with one.
func IsPage(body []byte) bool {
	b := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 256)]))
	return bytes.HasPrefix(b, []byte("<!doctype html")) || bytes.HasPrefix(b, []byte("<html")) || bytes.HasPrefix(b, []byte("client sent an http request to an https server"))
}
