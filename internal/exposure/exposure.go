// Package exposure says what the headers and the URL of an HTTP request tell about who reaches a server.
package exposure

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Signals, each 0 or 1.
const (
	ForeignOrigin = "transport.foreign_origin" // a web page of elsewhere calls a server of this machine
	Rebinding     = "transport.rebinding"      // so, under a name of the page's that resolves to this machine
	ProxyCommand  = "transport.proxy_command"  // the query holds a command for a proxy to start
)

// Signals lists them.
var Signals = []string{ForeignOrigin, Rebinding, ProxyCommand}

// maxQuery is how much of a query is read, bytes.
const maxQuery = 8192

// Judge names the signals of a request: header returns a header by its lower-case name, uri is the request's, client the peer's address with or
// without a port.
func Judge(header func(string) string, uri, client string) (out []string) {
	if origin := header("origin"); origin != "" && origin != "null" {
		o, h := hostOf(origin), hostOnly(header("host"))
		forwarded := header("x-forwarded-for") != "" || header("forwarded") != "" || header("via") != ""
		switch {
		case o == "" || loopback(o) || forwarded:
		case loopback(h):
			out = append(out, ForeignOrigin)
		case h != "" && strings.EqualFold(o, h) && loopback(hostOnly(client)):
			if _, err := netip.ParseAddr(h); err != nil {
				out = append(out, Rebinding)
			}
		}
	}
	if i := strings.IndexByte(uri, '?'); i >= 0 {
		q := uri[i+1:]
		if q, err := url.ParseQuery(q[:min(len(q), maxQuery)]); err == nil {
			if q.Get("command") != "" && (q.Has("args") || q.Get("transportType") == "stdio" || q.Has("env")) {
				out = append(out, ProxyCommand)
			}
		}
	}
	return out
}

// hostOf is the host of an origin.
func hostOf(origin string) string {
	_, rest, ok := strings.Cut(origin, "://")
	if !ok || len(rest) > 255 {
		return ""
	}
	return hostOnly(rest)
}

// hostOnly is a host without its port.
func hostOnly(s string) string {
	if h, _, err := net.SplitHostPort(s); err == nil {
		s = h
	}
	return strings.TrimSuffix(strings.Trim(s, "[]"), ".")
}

func loopback(h string) bool {
	if strings.EqualFold(h, "localhost") || len(h) > 10 && strings.EqualFold(h[len(h)-10:], ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(h)
	return err == nil && a.Unmap().IsLoopback()
}
