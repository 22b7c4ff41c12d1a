// Remote anchors: time stamping authorities, witnesses and buckets. Each has a goroutine of its own, so that one that is slow or away delays
// neither the sealing nor another; what became of each checkpoint is on record in seal_anchors.

package seal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/timestamp"
)

const (
	firstRetry = 10 * time.Second
	lastRetry  = 10 * time.Minute
)

// remote is one place outside.
type remote struct {
	kind, name, trust string
	interval, timeout time.Duration
	retry             time.Duration
	key               atomic.Pointer[seal.Key]
	send              func(ctx context.Context, c seal.SignedCheckpoint) (proof []byte, err error)
	done              func()

	mu   sync.Mutex
	next map[string]seal.SignedCheckpoint // the newest of each tenant that is to be sent
	wake chan struct{}
}

// offer gives the remote a tenant's newest checkpoint; one that waits is replaced, since the newer one covers it.
func (r *remote) offer(c seal.SignedCheckpoint) {
	r.mu.Lock()
	if old, ok := r.next[c.Tenant]; !ok || old.Checkpoint.Size < c.Checkpoint.Size {
		r.next[c.Tenant] = c
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *remote) take(due func(tenant string) bool) []seal.SignedCheckpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []seal.SignedCheckpoint
	for t, c := range r.next {
		if due(t) {
			out = append(out, c)
			delete(r.next, t)
		}
	}
	return out
}

// progress is how a tenant's checkpoints fare.
type progress struct {
	last   time.Time // sent
	again  time.Time // not before
	wait   time.Duration
	failed bool
}

// run sends until ctx ends. db is the goroutine's own.
func (r *remote) run(ctx context.Context, e *sealExtension, db *seal.DB) {
	defer db.Close()
	defer r.done()
	state := map[string]*progress{}
	log := e.set.Logger.With(zap.String("anchor", r.kind), zap.String("name", r.name))
	caughtUp := false
	tick := time.NewTicker(max(min(r.interval, r.retry)/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		if !caughtUp {
			caughtUp = r.catchUp(ctx, db) == nil
		}
		now := time.Now()
		for _, c := range r.take(func(t string) bool {
			s := state[t]
			return s == nil || !now.Before(s.again) && now.Sub(s.last) >= r.interval
		}) {
			if ctx.Err() != nil {
				return
			}
			s := state[c.Tenant]
			if s == nil {
				s = &progress{}
				state[c.Tenant] = s
			}
			call, cancel := context.WithTimeout(ctx, r.timeout)
			proof, err := r.send(call, c)
			cancel()
			if ctx.Err() != nil {
				return
			}
			a := seal.Anchor{Tenant: c.Tenant, Size: c.Checkpoint.Size, Kind: r.kind, Name: r.name, At: time.Now().UTC(), Outcome: seal.AnchorOK, Proof: proof, Trust: r.trust}
			if err != nil {
				a.Outcome, a.Proof, a.Trust = err.Error(), nil, ""
			}
			call, cancel = context.WithTimeout(ctx, r.timeout)
			kept := db.InsertAnchor(call, a)
			cancel()
			e.anchored.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", r.kind), attribute.String("name", r.name), attribute.Bool("ok", err == nil)))
			if err := errors.Join(err, kept); err != nil {
				s.wait = min(max(2*s.wait, r.retry), max(lastRetry, r.retry))
				s.again = time.Now().Add(s.wait)
				if !s.failed {
					s.failed = true
					log.Warn("A checkpoint is not anchored there; sealing goes on, and it is tried again", zap.Error(err))
				}
				r.offer(c)
				continue
			}
			if s.failed {
				log.Info("Checkpoints are anchored there again")
			}
			s.last, s.wait, s.failed = time.Now(), 0, false
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-tick.C:
		}
	}
}

// catchUp offers what was not sent before the last stop.
func (r *remote) catchUp(ctx context.Context, db *seal.DB) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	tenants, err := db.Tenants(ctx)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		newest, err := db.Checkpoints(ctx, t, "", 1)
		if err != nil {
			return err
		}
		for _, c := range newest {
			have, err := db.Anchors(ctx, t, fmt.Sprintf("size >= %d AND outcome = '%s' AND kind = '%s' AND name = %s", c.Checkpoint.Size, seal.AnchorOK, r.kind, seal.Literal(r.name)))
			if err != nil {
				return err
			}
			if len(have) == 0 {
				if c.Checkpoint, err = seal.OpenCheckpoint(c.Note, r.key.Load().Trust(t)); err == nil {
					r.offer(c)
				}
			}
		}
	}
	return nil
}

// newRemotes makes the remotes of a configuration. dir has the logs.
func newRemotes(ctx context.Context, cfg AnchorConfig, key *seal.Key, dir string) ([]*remote, error) {
	var out []*remote
	add := func(kind, name string, c RemoteConfig, trust string, with func(client *http.Client) func(context.Context, seal.SignedCheckpoint) ([]byte, error)) error {
		client, closeIdle, err := httpClient(ctx, c.TLS)
		if err != nil {
			return fmt.Errorf("anchors: %s: %w", name, err)
		}
		r := &remote{kind: kind, name: name, trust: trust, interval: c.Interval, timeout: c.Timeout, retry: c.Retry, send: with(client), done: closeIdle,
			next: map[string]seal.SignedCheckpoint{}, wake: make(chan struct{}, 1)}
		r.key.Store(key)
		out = append(out, r)
		return nil
	}
	for _, t := range cfg.TSA {
		var o timestamp.Options
		var ca []byte
		if t.CAFile != "" {
			var err error
			if ca, err = os.ReadFile(t.CAFile); err != nil {
				return nil, fmt.Errorf("cannot read anchors.tsa.ca_file: %w", err)
			}
			o.Roots = x509.NewCertPool()
			if !o.Roots.AppendCertsFromPEM(ca) {
				return nil, fmt.Errorf("cannot use anchors.tsa.ca_file %s: it has no certificate in PEM", t.CAFile)
			}
		}
		if t.Username != "" {
			b, err := os.ReadFile(t.PasswordFile)
			if err != nil {
				return nil, fmt.Errorf("cannot read anchors.tsa.password_file: %w", err)
			}
			o.Username, o.Password = t.Username, strings.TrimSpace(string(b))
		}
		err := add(seal.AnchorTSA, placeName(t.URL), t.RemoteConfig, string(ca), func(client *http.Client) func(context.Context, seal.SignedCheckpoint) ([]byte, error) {
			return func(ctx context.Context, c seal.SignedCheckpoint) ([]byte, error) {
				token, _, err := timestamp.Request(ctx, client, t.URL, c.Note, o)
				return token, err
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for _, w := range cfg.Witnesses {
		name, err := seal.WitnessName(w.Key)
		if err != nil {
			return nil, fmt.Errorf("anchors.witnesses: %w", err)
		}
		err = add(seal.AnchorWitness, name, w.RemoteConfig, w.Key, func(client *http.Client) func(context.Context, seal.SignedCheckpoint) ([]byte, error) {
			seen := map[string]uint64{} // what it has seen, by tenant
			return func(ctx context.Context, c seal.SignedCheckpoint) ([]byte, error) {
				tiles := seal.NewTiles(filepath.Join(dir, seal.FolderOf(c.Tenant)), c.Checkpoint.Size)
				line, _, err := seal.Cosign(ctx, client, w.URL, w.Key, min(seen[c.Tenant], c.Checkpoint.Size), c.Note, c.Checkpoint, tiles)
				if err == nil {
					seen[c.Tenant] = c.Checkpoint.Size
				}
				return line, err
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for _, b := range cfg.Buckets {
		secret, err := os.ReadFile(b.SecretKeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read anchors.buckets.secret_key_file: %w", err)
		}
		err = add(seal.AnchorBucket, placeName(b.Endpoint)+"/"+b.Bucket, b.RemoteConfig, "", func(client *http.Client) func(context.Context, seal.SignedCheckpoint) ([]byte, error) {
			p := &bucket{BucketConfig: b, client: client, secret: strings.TrimSpace(string(secret))}
			return p.put
		})
		if err != nil {
			return nil, err
		}
	}
	names := map[string]bool{}
	for _, r := range out {
		if names[r.kind+" "+r.name] {
			return nil, fmt.Errorf("anchors: %s %s is there twice", r.kind, r.name)
		}
		names[r.kind+" "+r.name] = true
	}
	return out, nil
}

// httpClient is a client that follows no redirects and whose connections close lets go.
func httpClient(ctx context.Context, cfg *configtls.ClientConfig) (c *http.Client, closeIdle func(), err error) {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	if cfg != nil {
		var t *tls.Config
		if t, err = cfg.LoadTLSConfig(ctx); err != nil {
			return nil, nil, fmt.Errorf("cannot load tls: %w", err)
		}
		tr.TLSClientConfig = t
	}
	c = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, tr.CloseIdleConnections, nil
}

// placeName names an address without what may be secret in it.
func placeName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host + strings.TrimSuffix(u.Path, "/")
}
