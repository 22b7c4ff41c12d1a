// Which incidents there are: what is remembered of each dedup key, so that order, repetitions and the other findings of a group are known.

package pagerduty

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	"github.com/mcpsiem/mcpsiem/internal/triage"
)

// incident is what is known of a dedup key.
type incident struct {
	Findings map[string]standing `json:"f,omitempty"` // by finding id
	Routes   []string            `json:"r,omitempty"` // routes with which it was triggered since it was last resolved
}

// standing of a finding in its newest revision.
type standing struct {
	Revision int64         `json:"v,omitempty"`
	Status   triage.Status `json:"s"`
	Quiet    bool          `json:"q,omitempty"` // it pages nobody on its own: stale, suppressed, in a digest
}

// maxFindings bounds what is remembered of an incident.
const maxFindings = 256

func (in *incident) set(id string, s standing) {
	if in.Findings == nil {
		in.Findings = map[string]standing{}
	}
	in.Findings[id] = s
	for len(in.Findings) > maxFindings {
		worst := ""
		for k, x := range in.Findings { // closed ones first, then the least revision, then the least id
			if k == id {
				continue
			}
			w, ok := in.Findings[worst]
			switch {
			case !ok, x.Status.Closed() && !w.Status.Closed():
			case x.Status.Closed() != w.Status.Closed(), x.Revision > w.Revision, x.Revision == w.Revision && k > worst:
				continue
			}
			worst = k
		}
		delete(in.Findings, worst)
	}
}

// others reports whether another finding than id that paged is not closed.
func (in *incident) others(id string) bool {
	for k, x := range in.Findings {
		if k != id && !x.Quiet && !x.Status.Closed() {
			return true
		}
	}
	return false
}

func (in *incident) addRoute(name string) {
	if !slices.Contains(in.Routes, name) {
		in.Routes = append(in.Routes, name)
		slices.Sort(in.Routes)
	}
}

// errConflict says that somebody else changed the value meanwhile.
var errConflict = errors.New("changed meanwhile")

// store keeps small values. A version of 0 is that of a key that is not there.
type store interface {
	load(ctx context.Context, key string, into any) (version uint64, err error)
	save(ctx context.Context, key string, version uint64, value any) error
	close()
}

// storeKey makes a key that any store takes.
func storeKey(kind, name string) string {
	sum := sha256.Sum256([]byte(name))
	return kind + "." + hex.EncodeToString(sum[:16])
}

// memory is a store that ends with the process and holds at most 2*limit values: the elder half is dropped when the younger is full.
type memory struct {
	mu        sync.Mutex
	now, past map[string]versioned
	limit     int
}

type versioned struct {
	value   []byte
	version uint64
}

func newMemory(limit int) *memory {
	return &memory{now: map[string]versioned{}, past: map[string]versioned{}, limit: limit}
}

func (m *memory) get(key string) versioned {
	if v, ok := m.now[key]; ok {
		return v
	}
	return m.past[key]
}

func (m *memory) load(_ context.Context, key string, into any) (uint64, error) {
	m.mu.Lock()
	v := m.get(key)
	m.mu.Unlock()
	if v.version == 0 {
		return 0, nil
	}
	return v.version, json.Unmarshal(v.value, into)
}

func (m *memory) save(_ context.Context, key string, version uint64, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.get(key).version != version {
		return errConflict
	}
	if len(m.now) >= m.limit {
		m.past, m.now = m.now, map[string]versioned{}
	}
	m.now[key] = versioned{b, version + 1}
	return nil
}

func (m *memory) close() {}

// bucket is a store in JetStream, which outlives the process and is shared by several.
type bucket struct {
	cfg StateConfig
	nc  *nats.Conn

	mu sync.Mutex // guards kv
	kv jetstream.KeyValue
}

func newBucket(ctx context.Context, cfg StateConfig) (*bucket, error) {
	nc, err := cfg.NATS.Connect(ctx, "mcpsiem pagerduty")
	if err != nil {
		return nil, err
	}
	return &bucket{cfg: cfg, nc: nc}, nil
}

func (b *bucket) open(ctx context.Context) (jetstream.KeyValue, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kv != nil {
		return b.kv, nil
	}
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, err
	}
	b.kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: b.cfg.Bucket, Description: "incidents of a pager", History: 1, TTL: b.cfg.Keep, Replicas: b.cfg.Replicas, Storage: jetstream.FileStorage, MaxBytes: 256 << 20,
	})
	return b.kv, err
}

func (b *bucket) fail(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	b.mu.Lock()
	b.kv = nil // it may have been deleted
	b.mu.Unlock()
	return sink.Again(streams.WithReason(fmt.Errorf("cannot %s the state of an incident: %w", what, err), "state"), "state", 0, false)
}

func (b *bucket) load(ctx context.Context, key string, into any) (uint64, error) {
	kv, err := b.open(ctx)
	if err != nil {
		return 0, b.fail("read", err)
	}
	e, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, b.fail("read", err)
	}
	if json.Unmarshal(e.Value(), into) != nil {
		return e.Revision(), nil // written by another version: begin anew
	}
	return e.Revision(), nil
}

func (b *bucket) save(ctx context.Context, key string, version uint64, value any) error {
	kv, err := b.open(ctx)
	if err != nil {
		return b.fail("write", err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if version == 0 {
		_, err = kv.Create(ctx, key, text)
	} else {
		_, err = kv.Update(ctx, key, text, version)
	}
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyExists), errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return errConflict
	}
	return b.fail("write", err)
}

func (b *bucket) close() { b.nc.Close() }
