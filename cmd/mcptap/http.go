package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/mcpsiem/mcpsiem/internal/tap"
	"github.com/mcpsiem/mcpsiem/internal/tapio"
)

type httpFlags struct {
	listen, upstream                      string
	cert, key                             string
	upstreamCA, upstreamCert, upstreamKey string
	upstreamInsecure, anywhere            bool
	preserveHost, rewriteEndpoint         bool
}

func httpCommand() *command {
	return &command{
		name: "http", args: "--listen HOST:PORT --upstream URL", short: "tap an MCP server that is reached over HTTP",
		long: `
Listens for MCP clients and passes what they send on to the server at URL, and its answers back. Knows
Streamable HTTP of every version and the old HTTP+SSE transport, HTTP/1.1 and HTTP/2. Bodies and headers
pass unchanged; paths do, too: in the client's configuration only scheme, host and port change.

The Host header becomes the upstream's, unless --preserve-host. If the server of an HTTP+SSE stream
announces an absolute address to post to, clients post past the tap; that is warned of and recorded,
and --rewrite-endpoint mends it by changing that one address.

Ends on SIGINT or SIGTERM with exit code 0; with 1 if it cannot listen, with 2 for wrong usage.`,
		example: `  mcptap http --listen 127.0.0.1:8931 --upstream https://mcp.example.com/mcp --name example
  mcptap http --listen 127.0.0.1:8932 --upstream http://127.0.0.1:3000 --name local --label team=blue
  mcptap http --listen 0.0.0.0:8443 --allow-non-loopback --tls-cert tap.pem --tls-key tap.key --upstream http://server:3000 --name shared
`,
		flags: func(f *flags) {
			h := &f.http
			f.str(&h.listen, "listen", "HOST:PORT", "", "where clients connect; a loopback address unless --allow-non-loopback")
			f.str(&h.upstream, "upstream", "URL", "", "the server: http, https, or h2c for HTTP/2 without TLS. Its path is not used")
			f.str(&h.cert, "tls-cert", "FILE", "", "PEM file of the certificate to serve clients with")
			f.str(&h.key, "tls-key", "FILE", "", "PEM file of its key")
			f.toggle(&h.anywhere, "allow-non-loopback", "let --listen be an address that other machines reach")
			f.str(&h.upstreamCA, "upstream-ca", "FILE", "", "PEM file of the authorities that may sign the server's certificate; without it the system's")
			f.str(&h.upstreamCert, "upstream-cert", "FILE", "", "PEM file of a client certificate for the server")
			f.str(&h.upstreamKey, "upstream-key", "FILE", "", "PEM file of its key")
			f.toggle(&h.upstreamInsecure, "upstream-insecure", "do not verify the server's certificate")
			f.toggle(&h.preserveHost, "preserve-host", "pass the client's Host header on")
			f.toggle(&h.rewriteEndpoint, "rewrite-endpoint", "point the absolute address that an HTTP+SSE server announces at the tap")
			f.addRecording("the upstream's host", "32MiB")
		},
		run: runHTTP,
	}
}

func runHTTP(f *flags, args []string) error {
	h, r := &f.http, &f.recording
	if len(args) > 0 {
		return usage("http takes no arguments")
	}
	u, err := url.Parse(h.upstream)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c" {
		return usage("--upstream must be an http, https or h2c URL")
	}
	if err := h.checkListen(); err != nil {
		return err
	}
	serverTLS, err := h.serverTLS()
	if err != nil {
		return err
	}
	upstreamTLS, err := h.clientTLS()
	if err != nil {
		return err
	}
	if r.name == "" {
		r.name = u.Hostname()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", h.listen)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	w := newWarnings(f)
	rec, err := r.recorder(slog.New(w))
	if err != nil {
		w.warn(err)
	}
	p := tapio.NewProxy(tapio.HTTP{
		Upstream: u, TLS: upstreamTLS, Warn: w.warn, PreserveHost: h.preserveHost, RewriteEndpoint: h.rewriteEndpoint,
		CaptureLimit: int(r.captureLimit), Buffer: int(r.buffer),
		Open: func(transport string) tap.Stream {
			if rec == nil {
				return nil
			}
			return rec.Open(tap.StreamInfo{
				Server: r.name, Transport: transport, Labels: r.labels, Tenant: r.tenant, Upstream: hostPort(u),
			})
		},
	})
	srv := p.Server(serverTLS)
	served := make(chan error, 1)
	go func() {
		if serverTLS != nil {
			served <- srv.ServeTLS(ln, "", "")
		} else {
			served <- srv.Serve(ln)
		}
	}()
	if !r.quiet {
		scheme := "http"
		if serverTLS != nil {
			scheme = "https"
		}
		fmt.Fprintf(f.stderr, "mcptap: tapping %s: clients connect to %s://%s%s\n", r.name, scheme, ln.Addr(), u.EscapedPath())
	}
	var failed error
	select {
	case <-ctx.Done():
		stop() // a second signal ends it at once
	case failed = <-served:
		failed = fmt.Errorf("cannot serve: %w", failed)
	}
	end, cancel := context.WithTimeout(context.Background(), r.shutdownTimeout)
	defer cancel()
	// Calls in flight get half of the time; streams never end by themselves.
	drain, cancelDrain := context.WithTimeout(end, r.shutdownTimeout/2)
	defer cancelDrain()
	if srv.Shutdown(drain) != nil {
		srv.Close()
	}
	if err := p.Close(end); err != nil {
		w.warn(err)
	}
	if rec != nil {
		if err := rec.Shutdown(end); err != nil {
			w.warn(err)
		}
	}
	if failed != nil && !errors.Is(failed, http.ErrServerClosed) {
		return failed
	}
	return nil
}

func (h *httpFlags) checkListen() error {
	if h.listen == "" {
		return usage("--listen is needed, e.g. 127.0.0.1:8931")
	}
	host, _, err := net.SplitHostPort(h.listen)
	if err != nil {
		return usage("--listen must be HOST:PORT, e.g. 127.0.0.1:8931")
	}
	ip := net.ParseIP(host)
	if h.anywhere || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return usage("--listen is not a loopback address: other machines could use the tap. Use 127.0.0.1, or --allow-non-loopback if that is meant")
}

func (h *httpFlags) serverTLS() (*tls.Config, error) {
	if h.cert == "" && h.key == "" {
		return nil, nil
	}
	c, err := tls.LoadX509KeyPair(h.cert, h.key)
	if err != nil {
		return nil, fmt.Errorf("cannot load --tls-cert and --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}, nil
}

func (h *httpFlags) clientTLS() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: h.upstreamInsecure}
	if h.upstreamCA != "" {
		pem, err := os.ReadFile(h.upstreamCA)
		if err != nil {
			return nil, fmt.Errorf("cannot read --upstream-ca: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("cannot use --upstream-ca: it holds no PEM certificate")
		}
	}
	if h.upstreamCert != "" || h.upstreamKey != "" {
		c, err := tls.LoadX509KeyPair(h.upstreamCert, h.upstreamKey)
		if err != nil {
			return nil, fmt.Errorf("cannot load --upstream-cert and --upstream-key: %w", err)
		}
		conf.Certificates = []tls.Certificate{c}
	}
	return conf, nil
}

// hostPort is the upstream's address with its port.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
		if port == "" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}
