package natsd

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestHealsAfterFullDisk tells the logger what the server says when a disk is full, and asserts that the server comes back on
// the same address with everything it had, for a client that knows nothing of it.
func TestHealsAfterFullDisk(t *testing.T) {
	defer func(d time.Duration) { healInterval = d }(healInterval)
	healInterval = 20 * time.Millisecond
	s, err := Start(Options{Dir: t.TempDir(), Key: strings.Repeat("k", MinKey), MinFree: 1, Users: []User{{Name: "u", Password: "p"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("u", "p"), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"mcpsiem.s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "mcpsiem.s", []byte("before")); err != nil {
		t.Fatal(err)
	}
	url := s.ClientURL()
	s.mu.Lock()
	old := s.srv
	s.mu.Unlock()
	s.log.Errorf("JetStream failed to store a msg on stream '%s': write x: no space left on device", "S")
	for {
		s.mu.Lock()
		replaced := s.srv != old
		s.mu.Unlock()
		if replaced {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the server was not restarted")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if s.ClientURL() != url {
		t.Errorf("listens on %s, before on %s", s.ClientURL(), url)
	}
	for {
		ack, err := js.Publish(ctx, "mcpsiem.s", []byte("after"))
		if err == nil {
			if ack.Sequence != 2 {
				t.Errorf("sequence %d after the restart, want 2", ack.Sequence)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
