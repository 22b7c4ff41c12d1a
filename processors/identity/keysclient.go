package identity

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// keysClient makes the client that fetches an issuer's keys. It follows no redirect away from https.
func keysClient(ctx context.Context, c *IssuerConfig) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.IdleConnTimeout = 1, 10*time.Second
	t.DisableKeepAlives = true // one request in minutes: a kept connection would only go stale
	if c.TLS != nil {
		conf, err := c.TLS.LoadTLSConfig(ctx)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig = conf
	}
	return &http.Client{
		Transport: t,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > 3 || (req.URL.Scheme != "https" && !loopback(req.URL.Hostname())) {
				return errors.New("refused a redirect")
			}
			return nil
		},
	}, nil
}
