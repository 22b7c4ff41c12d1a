// The check at the start: it says what is wrong before the first event has to wait.

package splunkhec

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// check asks whether HEC is healthy and whether it takes the tokens. It makes no event: a request without data is refused as such only after
// its token was accepted.
func (e *hecExporter) check(ctx context.Context, c *client) error {
	token, err := e.targets[len(e.targets)-1].token.Read()
	if err != nil {
		return err
	}
	var r reply
	resp, err := c.do(ctx, http.MethodGet, c.url(pathHealth), token, nil, "", &r)
	if err != nil && !errors.Is(err, errNotHEC) {
		return fmt.Errorf("cannot reach Splunk at %s: %w", e.cfg.Endpoint, err)
	}
	r.HTTP = resp.StatusCode
	switch {
	case r.HTTP == http.StatusNotFound:
		return fmt.Errorf("there is no HTTP Event Collector at %s: it has a port of its own, 8088 by default, and has to be turned on in Splunk", e.cfg.Endpoint)
	case r.HTTP == http.StatusOK: // 17, healthy; others that speak HEC answer without a code
	default:
		return fmt.Errorf("cannot use Splunk at %s: %w", e.cfg.Endpoint, r.err())
	}
	seen := map[string]bool{}
	for i := range e.targets {
		if token, err = e.targets[i].token.Read(); err != nil {
			return err
		}
		if seen[token] {
			continue
		}
		seen[token] = true
		r := reply{}
		if resp, err = c.do(ctx, http.MethodPost, c.url(pathEvent), token, nil, "", &r); err != nil {
			return fmt.Errorf("cannot check a token with Splunk at %s: %w", e.cfg.Endpoint, err)
		}
		r.HTTP = resp.StatusCode
		if r.code() != 5 && r.code() != 0 {
			name := "the token"
			if i < len(e.targets)-1 {
				name = fmt.Sprintf("the token of targets[%d]", i)
			}
			return fmt.Errorf("%s is refused by Splunk at %s: %w", name, e.cfg.Endpoint, r.err())
		}
	}
	return nil
}
