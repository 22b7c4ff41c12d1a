package connector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// bucket keeps snapshots in a JetStream object store, two of them under names that take turns, so that one is always whole.
// It belongs to one engine at a time, the owner of the consumer; should two write at once, each snapshot is still whole, and of a worker's
// first after another's none is kept.
type bucket struct {
	js           jetstream.JetStream
	bucket, name string
	next         int // which of the two names is written next
	generation   uint64
}

// errNewer keeps a worker that lost its partition for a while from putting an older state in place of its successor's. The next snapshot, of a
// state that has caught up by then, is kept.
var errNewer = errors.New("another worker has made a newer snapshot")

const generationHeader = "Generation" // of a snapshot, counting up

func (b *bucket) open(ctx context.Context) (jetstream.ObjectStore, error) {
	st, err := b.js.ObjectStore(ctx, b.bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		st, err = b.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: b.bucket, Description: "detector state", Storage: jetstream.FileStorage})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open bucket %s: %w", b.bucket, err)
	}
	return st, nil
}

func (b *bucket) object(i int) string { return b.name + "-" + strconv.Itoa(i) }

// Load implements engine.Store. An object whose digest does not fit comes as an empty, so damaged, snapshot.
func (b *bucket) Load(ctx context.Context) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	st, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	type found struct {
		generation uint64
		data       []byte
		i          int
	}
	var all []found
	for i := range 2 {
		info, err := st.GetInfo(ctx, b.object(i))
		if errors.Is(err, jetstream.ErrObjectNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look up a snapshot in bucket %s: %w", b.bucket, err)
		}
		data, err := st.GetBytes(ctx, b.object(i))
		if err != nil && !errors.Is(err, jetstream.ErrDigestMismatch) {
			return nil, fmt.Errorf("cannot read a snapshot from bucket %s: %w", b.bucket, err)
		}
		if err != nil {
			data = nil
		}
		n, _ := strconv.ParseUint(info.Headers.Get(generationHeader), 10, 64)
		all = append(all, found{n, data, i})
	}
	slices.SortFunc(all, func(x, y found) int {
		if x.generation > y.generation {
			return -1
		}
		return 1
	})
	var out [][]byte
	for _, f := range all {
		out = append(out, f.data)
	}
	if len(all) > 0 {
		b.generation, b.next = all[0].generation, 1-all[0].i
	}
	return out, nil
}

// Save implements engine.Store.
func (b *bucket) Save(ctx context.Context, snapshot []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 6*requestTimeout)
	defer cancel()
	st, err := b.open(ctx)
	if err != nil {
		return err
	}
	for i := range 2 {
		info, err := st.GetInfo(ctx, b.object(i))
		if errors.Is(err, jetstream.ErrObjectNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot look up a snapshot in bucket %s: %w", b.bucket, err)
		}
		if n, _ := strconv.ParseUint(info.Headers.Get(generationHeader), 10, 64); n > b.generation {
			b.generation, b.next = n, 1-i
			err = errNewer
		}
		if err != nil {
			return err
		}
	}
	meta := jetstream.ObjectMeta{Name: b.object(b.next), Headers: map[string][]string{generationHeader: {strconv.FormatUint(b.generation+1, 10)}}}
	if _, err := st.Put(ctx, meta, bytes.NewReader(snapshot)); err != nil {
		return fmt.Errorf("cannot write a snapshot to bucket %s: %w", b.bucket, err)
	}
	b.generation++
	b.next = 1 - b.next
	return nil
}
