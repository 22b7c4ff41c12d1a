// What each stream is like, and how it is made so.

package streams

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Spec describes a stream. A full stream refuses messages: nothing that was acknowledged is dropped to make room. Age is the
// last resort against a consumer that never comes back.
type Spec struct {
	Name       string
	Subjects   []string
	WorkQueue  bool          // a message goes when its consumer has acknowledged it
	MaxBytes   int64         // cap on disk; when it is reached, publishes are refused
	MaxAge     time.Duration // 0: no limit
	Duplicates time.Duration // how long a Nats-Msg-Id is remembered; longer than any sender retries
	Replicas   int           // 0: one for a new stream, as it is for an existing one
	Trim       bool          // when nearly full, what all consumers have read may go before its age
}

// Defaults of the specs.
const (
	DefaultDuplicates = 2 * time.Hour

	gib = int64(1) << 30
)

// DefaultSpec returns the spec of one of mcpsiem's streams, false for another name.
func DefaultSpec(name string) (Spec, bool) {
	s := Spec{Name: name, Duplicates: DefaultDuplicates}
	base := SubjectOf(name)
	s.Subjects = []string{base, ReplaySubject(base, "*")}
	const day = 24 * time.Hour
	switch name {
	case Raw:
		s.WorkQueue, s.MaxBytes = true, 4*gib
	case Events:
		s.MaxBytes, s.MaxAge, s.Trim = 16*gib, 7*day, true
	case Findings:
		s.MaxBytes, s.MaxAge, s.Trim = gib, 30*day, true
	case Dead:
		s.MaxBytes, s.MaxAge = 2*gib, 30*day
		s.Subjects = []string{base + ".*.*", SubjectSettled + ".*.*"}
	case RawDead:
		s.MaxBytes, s.MaxAge = gib, 3*day
		s.Subjects = []string{base + ".*"}
	default:
		return Spec{}, false
	}
	return s, true
}

// Ensure makes the stream, or changes it to what the spec says. What the spec does not speak of stays as it is.
func Ensure(ctx context.Context, js jetstream.JetStream, s Spec) (jetstream.Stream, error) {
	return ensure(ctx, js, s, true)
}

// EnsureExists makes the stream if there is none and leaves an existing one alone: for those who only read it.
func EnsureExists(ctx context.Context, js jetstream.JetStream, s Spec) (jetstream.Stream, error) {
	return ensure(ctx, js, s, false)
}

func ensure(ctx context.Context, js jetstream.JetStream, s Spec, update bool) (jetstream.Stream, error) {
	st, err := js.Stream(ctx, s.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		var c jetstream.StreamConfig
		s.apply(&c)
		st, err = js.CreateStream(ctx, c)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster
			return ensure(ctx, js, s, update)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot create stream %s: %w", s.Name, err)
		}
		return st, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look up stream %s: %w", s.Name, err)
	}
	if !update {
		return st, nil
	}
	info := st.CachedInfo()
	c := info.Config
	s.apply(&c)
	if reflect.DeepEqual(c, info.Config) {
		return st, nil
	}
	if c.Retention != info.Config.Retention {
		return nil, fmt.Errorf("cannot change stream %s: it exists with retention %s, %s is needed; delete it when it is empty, or use another name",
			s.Name, info.Config.Retention, c.Retention)
	}
	// The server would make room by dropping the oldest messages.
	if s.MaxBytes > 0 && uint64(s.MaxBytes) < info.State.Bytes {
		return nil, fmt.Errorf("cannot lower max_bytes of stream %s to %d: it holds %d bytes", s.Name, s.MaxBytes, info.State.Bytes)
	}
	st, err = js.UpdateStream(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("cannot update stream %s: %w", s.Name, err)
	}
	return st, nil
}

func (s *Spec) apply(c *jetstream.StreamConfig) {
	c.Name = s.Name
	c.Subjects = s.Subjects
	c.Storage = jetstream.FileStorage
	c.Discard = jetstream.DiscardNew
	c.Retention = jetstream.LimitsPolicy
	if s.WorkQueue {
		c.Retention = jetstream.WorkQueuePolicy
	}
	c.MaxBytes = s.MaxBytes
	if s.MaxBytes == 0 {
		c.MaxBytes = -1
	}
	if c.MaxMsgs == 0 {
		c.MaxMsgs, c.MaxMsgsPerSubject, c.MaxMsgSize, c.MaxConsumers = -1, -1, -1, -1
	}
	c.MaxAge = s.MaxAge
	c.Duplicates = s.Duplicates
	if s.MaxAge > 0 && c.Duplicates > s.MaxAge {
		c.Duplicates = s.MaxAge
	}
	if s.Replicas > 0 {
		c.Replicas = s.Replicas
	} else if c.Replicas == 0 {
		c.Replicas = 1
	}
	c.AllowDirect = true
}

// Trim removes the oldest messages of a stream that every consumer has read, when the stream fills more than high of
// its max_bytes, down to low (both 0 to 1). It returns how many went. A stream without consumers is left alone.
func Trim(ctx context.Context, js jetstream.JetStream, name string, high, low float64) (uint64, error) {
	st, err := js.Stream(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("cannot look up stream %s: %w", name, err)
	}
	info := st.CachedInfo()
	if info.Config.MaxBytes <= 0 || info.State.Msgs == 0 || float64(info.State.Bytes) < high*float64(info.Config.MaxBytes) {
		return 0, nil
	}
	read, any := info.State.LastSeq, false
	cons := st.ListConsumers(ctx)
	for c := range cons.Info() {
		any = true
		if c.NumPending == 0 && c.NumAckPending == 0 {
			// It has read all that it wants of what was there; AckFloor lags when filters skip messages.
			read = min(read, max(c.AckFloor.Stream, info.State.LastSeq))
			continue
		}
		read = min(read, c.AckFloor.Stream)
	}
	if err := cons.Err(); err != nil {
		return 0, fmt.Errorf("cannot list the consumers of stream %s: %w", name, err)
	}
	if !any || read < info.State.FirstSeq {
		return 0, nil
	}
	excess := float64(info.State.Bytes) - low*float64(info.Config.MaxBytes)
	drop := uint64(excess / (float64(info.State.Bytes) / float64(info.State.Msgs)))
	upto := min(read+1, info.State.FirstSeq+drop+1)
	if err := st.Purge(ctx, jetstream.WithPurgeSequence(upto)); err != nil {
		return 0, fmt.Errorf("cannot trim stream %s: %w", name, err)
	}
	return upto - info.State.FirstSeq, nil
}
