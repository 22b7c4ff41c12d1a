package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpsiem/mcpsiem/internal/natsd"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// TestRotateJetStream rotates the key of streams with content in them, on an installation that is stopped and on one that runs, with keys that are generated and keys that are elsewhere.
// What cannot be used is refused, with the reason, and the streams stay as they are.
func TestRotateJetStream(t *testing.T) {
	d, err := state.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	rotate := func(want, problem string) {
		t.Helper()
		before := secretOf(t, d)
		var b bytes.Buffer
		c := newRoot()
		c.SetArgs([]string{"keys", "rotate", "--key", "jetstream", "--state", string(d)})
		c.SetOut(&b)
		c.SetErr(&b)
		err := c.Execute()
		said := b.String()
		if err != nil {
			said += err.Error()
		}
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) || !strings.Contains(said, want) {
			t.Errorf("%v, want %q\n%s", err, problem, said)
		}
		if now := secretOf(t, d); problem == "" == keys[now] || problem != "" && now != before {
			t.Errorf("after %q the key is the former one: %v", want+problem, now == before)
		}
		keys[secretOf(t, d)] = true
		for k := range keys {
			if strings.Contains(said, k) {
				t.Error("a key is shown")
			}
		}
	}
	put := func(content string, mode os.FileMode) {
		t.Helper()
		_ = os.Remove(d.Next(state.SecretJetStreamKey))
		if err := os.WriteFile(d.Next(state.SecretJetStreamKey), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	keys[secretOf(t, d)] = true
	core, logs := observer.New(zapcore.InfoLevel)
	start := func() (*natsd.Server, jetstream.JetStream) {
		t.Helper()
		s, err := startNATS(d, "127.0.0.1:0", zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		password, _ := d.ReadSecret(state.SecretNATSPipeline)
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("pipeline", password), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return s, js
	}
	there := func(js jetstream.JetStream) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var m *jetstream.RawStreamMsg
		err := errors.New("no answer")
		for err != nil && ctx.Err() == nil {
			var st jetstream.Stream
			if st, err = js.Stream(ctx, "S"); err == nil {
				m, err = st.GetMsg(ctx, 1)
			}
		}
		if err != nil || string(m.Data) != "content" {
			t.Fatal("the message is gone: ", err)
		}
	}
	s, js := start()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"mcpsiem.s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "mcpsiem.s", []byte("content")); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()

	// Nothing runs.
	rotate("not on record", "")
	s, js = start()
	there(js)

	// It runs: the installation's lock says so, and its watch does the work.
	lock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		(&keyWatch{dir: d, nats: s, log: zap.New(core)}).run(ctx)
	}()
	rotate("are under the key in", "")
	there(js)
	put("short", 0o600)
	rotate("", "at least 32")
	put(strings.Repeat("x", 64), 0o644)
	rotate("", "others can read")
	put(`{"command": ["/bin/sh", "-c", "echo locked >&2; exit 1"]}`, 0o600)
	rotate("", "exit status 1: locked")
	there(js)
	t.Setenv("MCPSIEM_TEST_STREAMS", strings.Repeat("e", 64))
	put(`{"env": "MCPSIEM_TEST_STREAMS"}`, 0o600)
	rotate("are under the key in", "")
	there(js)
	rotate("", "make the next one there")

	// The installation finds out alone what cannot be used.
	put(`{"env": "MCPSIEM_TEST_NO_SUCH_KEY"}`, 0o600)
	for deadline := time.Now().Add(10 * time.Second); readRotation(d).Problem == "" && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if p := readRotation(d).Problem; !strings.Contains(p, "is not set") {
		t.Errorf("problem %q", p)
	}
	for _, k := range installationKeys(d) {
		if k.Name == state.SecretJetStreamKey && !strings.Contains(k.State, "not rotated: ") {
			t.Errorf("state %q", k.State)
		}
	}
	there(js)
	cancel()
	<-watch
	s.Shutdown()
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}

	// A change that was decided, with the next key out of reach: the start says so and changes nothing.
	put(`{"env": "MCPSIEM_TEST_NO_SUCH_KEY"}`, 0o600)
	if err := natsd.Rekey(d.Path("nats"), strings.Repeat("e", 64), strings.Repeat("n", 64)); err != nil {
		t.Fatal(err)
	}
	if _, err := startNATS(d, "127.0.0.1:0", zap.New(core)); !errors.Is(err, natsd.ErrWrongKey) || !strings.Contains(err.Error(), "MCPSIEM_TEST_NO_SUCH_KEY is not set") {
		t.Error(err)
	}
	t.Setenv("MCPSIEM_TEST_NO_SUCH_KEY", strings.Repeat("n", 64))
	s, js = start()
	there(js)
	(&keyWatch{dir: d, nats: s, log: zap.New(core)}).look()
	if _, err := os.Stat(d.Next(state.SecretJetStreamKey)); !errors.Is(err, fs.ErrNotExist) || secretOf(t, d) != `{"env": "MCPSIEM_TEST_NO_SUCH_KEY"}` {
		t.Error("the next key did not take the place of the former one: ", err)
	}
	s.Shutdown()
	for _, e := range logs.All() {
		for k := range keys {
			if strings.Contains(e.Message, k) {
				t.Error("a key is in the log")
			}
		}
	}
}

func secretOf(t *testing.T, d state.Dir) string {
	t.Helper()
	b, err := os.ReadFile(d.Secret(state.SecretJetStreamKey))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
