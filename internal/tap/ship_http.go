package tap

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// verdict is what an attempt to send came to.
type verdict struct {
	what       sendResult
	status     int
	retryAfter time.Duration
	rejected   int64 // of an accepted batch
}

type sendResult uint8

const (
	sendOK          sendResult = iota
	sendAgain                  // network, 429, 502-504 (OTLP's retryable codes), or a misconfiguration that someone will mend
	sendServerError            // 500 and other 5xx
	sendRefused                // the batch itself is not wanted
)

// poster sends batches to the collector's OTLP/HTTP receiver.
type poster struct {
	url    string
	client *http.Client
	log    *quietLog
	source func() (string, error) // of the token; nil for none
	mu     sync.Mutex             // guards token and have
	token  string
	have   bool
}

func (t TLSConfig) load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read the collector's CA: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use the collector's CA file %s: it holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot load the client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

func newPoster(cfg Config, tlsc *tls.Config, log *quietLog) (*poster, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("cannot use the collector endpoint: it must be a URL like http://127.0.0.1:4318")
	}
	u = u.JoinPath("v1", "logs")
	p := &poster{url: u.String(), log: log, source: cfg.Token}
	if p.source == nil && cfg.TokenFile != "" {
		p.source = func() (string, error) {
			b, err := os.ReadFile(cfg.TokenFile)
			return strings.TrimSpace(string(b)), err
		}
	}
	p.client = &http.Client{
		Timeout: cfg.SendTimeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     tlsc,
			TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{}, // one connection, no HTTP/2 buffers
			TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConns:        1,
			MaxIdleConnsPerHost: 1,
			MaxConnsPerHost:     1,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes nowhere else
	}
	return p, nil
}

func (p *poster) close() { p.client.CloseIdleConnections() }

func (p *poster) bearer() string {
	if p.source == nil {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.have {
		t, err := p.source()
		if err != nil {
			p.log.warn("cannot read the collector token", "error", err)
			return ""
		}
		p.token, p.have = t, true
	}
	return p.token
}

func (p *poster) forgetToken() {
	p.mu.Lock()
	p.have = false
	p.mu.Unlock()
}

// send makes one attempt.
func (p *poster) send(ctx context.Context, data []byte) verdict {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(data))
	if err != nil {
		return verdict{what: sendAgain}
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "zstd")
	req.Header.Set("User-Agent", "mcptap")
	if t := p.bearer(); t != "" {
		req.Header.Set("Authorization", "Bearer "+t)
	}
	res, err := p.client.Do(req)
	if err != nil {
		if ctx.Err() == nil {
			var ue *url.Error
			if errors.As(err, &ue) { // which repeats the URL
				err = ue.Err
			}
			p.log.warn("cannot reach the collector; events wait", "error", err)
		}
		return verdict{what: sendAgain}
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	res.Body.Close()
	v := verdict{status: res.StatusCode, retryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	switch c := res.StatusCode; {
	case c >= 200 && c < 300:
		v.what = sendOK
		v.rejected = rejectedRecords(body)
		return v
	case c == 401 || c == 403:
		p.forgetToken()
		v.what = sendAgain
		p.log.warn("collector does not accept the tap's token; events wait", "status", c)
		return v
	case c < 400 || c == 404 || c == 405 || c == 407: // not a receiver's answer to this batch: the address is wrong
		v.what = sendAgain
		p.log.warn("collector endpoint does not take logs; events wait", "status", c)
		return v
	case c == 408 || c == 429 || c == 502 || c == 503 || c == 504:
		v.what = sendAgain
		p.log.warn("collector is not ready; events wait", "status", c)
		return v
	case c >= 500:
		v.what = sendServerError
		return v
	}
	v.what = sendRefused
	return v
}

// retryAfter reads RFC 9110's Retry-After, at most 5 minutes.
func retryAfter(h string, now time.Time) time.Duration {
	if h == "" {
		return 0
	}
	var d time.Duration
	if n, err := strconv.Atoi(h); err == nil {
		d = time.Duration(min(max(n, 0), 300)) * time.Second
	} else if t, err := http.ParseTime(h); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), 5*time.Minute)
}

// rejectedRecords reads ExportLogsServiceResponse.partial_success.rejected_log_records, fields 1 and 1 (OTLP 1.x). What it cannot
// read rejects nothing.
func rejectedRecords(b []byte) int64 {
	if p, ok := field1(b, 2); ok {
		if v, ok := field1(p, 0); ok {
			n, _ := binary.Uvarint(v)
			return int64(min(n, 1<<31))
		}
	}
	return 0
}

// field1 finds field 1 of a protobuf message, of the given wire type.
func field1(b []byte, wire uint64) ([]byte, bool) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, false
		}
		b = b[n:]
		var size uint64
		switch tag & 7 {
		case 0:
			_, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, false
			}
			size = uint64(n)
		case 1:
			size = 8
		case 2:
			l, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, false
			}
			b, size = b[n:], l
		case 5:
			size = 4
		default:
			return nil, false
		}
		if size > uint64(len(b)) {
			return nil, false
		}
		if tag == 1<<3|wire {
			return b[:size], true
		}
		b = b[size:]
	}
	return nil, false
}
