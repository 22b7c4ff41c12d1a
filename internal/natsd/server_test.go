package natsd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpsiem/mcpsiem/internal/natsd"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("NATSD_TEST_CHILD"); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

func options(dir string) natsd.Options {
	return natsd.Options{Dir: dir, Key: natsdtest.Key, MinFree: 1 << 20,
		Users: []natsd.User{{Name: natsdtest.User, Password: natsdtest.Password}}}
}

// child runs a server until it is killed. After every acknowledged message it prints its number.
func child(dir string) {
	s, err := natsd.Start(options(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(natsdtest.User, natsdtest.Password))
	if err != nil {
		os.Exit(1)
	}
	js, _ := jetstream.New(nc)
	spec, _ := streams.DefaultSpec(streams.Raw)
	if _, err := streams.Ensure(context.Background(), js, spec); err != nil {
		os.Exit(1)
	}
	for i := 0; ; i++ {
		if _, err := js.Publish(context.Background(), streams.SubjectRaw, []byte(fmt.Sprint("m", i)), jetstream.WithMsgID(fmt.Sprint("id", i))); err != nil {
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

// A killed server has every message that it acknowledged, and still knows their ids.
func TestKilledServerKeepsMessagesAndIDs(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NATSD_TEST_CHILD="+dir)
	out := &lines{want: 50, reached: make(chan struct{})}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.reached:
	case <-time.After(30 * time.Second):
		t.Error("the child acknowledged too little")
	}
	cmd.Process.Kill()
	cmd.Wait()
	acked := strings.Count(out.buf.String(), "\n")
	if acked < 50 {
		t.Fatalf("only %d messages were acknowledged: %s", acked, out.buf.String())
	}

	s := natsdtest.New(t, func(o *natsd.Options) { o.Dir = dir })
	js := s.JS()
	ctx := context.Background()
	st, err := js.Stream(ctx, streams.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if n := st.CachedInfo().State.Msgs; n < uint64(acked) {
		t.Fatalf("%d messages acknowledged, %d there after the kill", acked, n)
	}
	for i := range acked {
		m, err := st.GetMsg(ctx, uint64(i+1))
		if err != nil || string(m.Data) != fmt.Sprint("m", i) {
			t.Fatalf("message %d: %v", i, err)
		}
		ack, err := js.Publish(ctx, streams.SubjectRaw, []byte("again"), jetstream.WithMsgID(fmt.Sprint("id", i)))
		if err != nil || !ack.Duplicate {
			t.Fatalf("id %d was forgotten: %v", i, err)
		}
	}
}

type lines struct {
	buf     bytes.Buffer
	want    int
	reached chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	n := strings.Count(l.buf.String(), "\n")
	l.buf.Write(b)
	if n < l.want && strings.Count(l.buf.String(), "\n") >= l.want {
		close(l.reached)
	}
	return len(b), nil
}

func TestRestartKeepsConsumers(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	ctx := context.Background()
	spec, _ := streams.DefaultSpec(streams.Events)
	if _, err := streams.Ensure(ctx, js, spec); err != nil {
		t.Fatal(err)
	}
	cons, err := js.CreateConsumer(ctx, streams.Events, jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := js.Publish(ctx, streams.SubjectEvents, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	m, err := cons.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(ctx); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Start()
	js = s.JS()
	cons, err = js.Consumer(ctx, streams.Events, "d")
	if err != nil {
		t.Fatal(err)
	}
	m, err = cons.Next()
	if err != nil {
		t.Fatal(err)
	}
	if md, _ := m.Metadata(); md.Sequence.Stream != 2 {
		t.Fatalf("got message %d after the restart, want 2", md.Sequence.Stream)
	}
}

func TestStartFailure(t *testing.T) {
	f := func(name string, edit func(*natsd.Options), wantErr error, wantText string) {
		t.Helper()
		o := options(t.TempDir())
		edit(&o)
		s, err := natsd.Start(o)
		if err == nil {
			s.Shutdown()
			t.Errorf("%s: no error", name)
			return
		}
		if wantErr != nil && !errors.Is(err, wantErr) {
			t.Errorf("%s: %v is not %v", name, err, wantErr)
		}
		if !strings.Contains(err.Error(), wantText) {
			t.Errorf("%s: %q does not speak of %q", name, err, wantText)
		}
		if strings.Contains(err.Error(), natsdtest.Password) || strings.Contains(err.Error(), natsdtest.Key) {
			t.Errorf("%s: the error holds a secret", name)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	used := t.TempDir()
	running, err := natsd.Start(options(used))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Shutdown()
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)

	f("busy port", func(o *natsd.Options) { o.Port = l.Addr().(*net.TCPAddr).Port }, nil, "address already in use")
	f("directory in use", func(o *natsd.Options) { o.Dir = used }, natsd.ErrInUse, "stop that process")
	f("directory is a file", func(o *natsd.Options) { o.Dir = file }, nil, "cannot make the NATS directory")
	f("below a file", func(o *natsd.Options) { o.Dir = filepath.Join(file, "d") }, nil, "cannot make the NATS directory")
	f("disk nearly full", func(o *natsd.Options) { o.MinFree = 1 << 62 }, nil, "MB free")
	f("store is a file", func(o *natsd.Options) { os.WriteFile(filepath.Join(o.Dir, "jetstream"), nil, 0o600) }, nil, "not a directory")
	f("short key", func(o *natsd.Options) { o.Key = "short" }, nil, "encryption key")
	f("no users", func(o *natsd.Options) { o.Users = nil }, nil, "authentication")
	f("no password", func(o *natsd.Options) { o.Users[0].Password = "" }, nil, "password")
	f("no directory", func(o *natsd.Options) { o.Dir = "" }, nil, "directory")
	f("bad port", func(o *natsd.Options) { o.Port = 70000 }, nil, "70000")
	f("bad host", func(o *natsd.Options) { o.Host = "192.0.2.1" }, nil, "cannot listen")
}

func TestWrongKey(t *testing.T) {
	s := natsdtest.New(t)
	fill(t, s.JS(), "planted-secret")
	s.Stop()
	s.Opts.Key = strings.Repeat("x", 32)
	if _, err := natsd.Start(s.Opts); !errors.Is(err, natsd.ErrWrongKey) {
		t.Fatalf("got %v", err)
	}
	// Without our record of the key the server would hide the stream.
	os.Remove(filepath.Join(s.Opts.Dir, "key-check"))
	if srv, err := natsd.Start(s.Opts); !errors.Is(err, natsd.ErrUnrecovered) {
		if err == nil {
			srv.Shutdown()
		}
		t.Fatalf("got %v", err)
	}
	os.Remove(filepath.Join(s.Opts.Dir, "key-check"))
	s.Opts.Key = natsdtest.Key
	s.Start()
	st, err := s.JS().Stream(context.Background(), streams.Raw)
	if err != nil || st.CachedInfo().State.Msgs != 1 {
		t.Fatalf("the stream did not survive the attempts: %v", err)
	}
}

func fill(t *testing.T, js jetstream.JetStream, payload string) {
	t.Helper()
	spec, _ := streams.DefaultSpec(streams.Raw)
	if _, err := streams.Ensure(context.Background(), js, spec); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(context.Background(), streams.SubjectRaw, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedStreamStopsTheStart(t *testing.T) {
	s := natsdtest.New(t)
	fill(t, s.JS(), "x")
	s.Stop()
	meta := filepath.Join(s.Opts.Dir, "jetstream", "$G", "streams", streams.Raw, "meta.inf")
	if err := os.WriteFile(meta, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv, err := natsd.Start(s.Opts)
	if !errors.Is(err, natsd.ErrUnrecovered) || !strings.Contains(err.Error(), streams.Raw) {
		if err == nil {
			srv.Shutdown()
		}
		t.Fatalf("got %v", err)
	}
}

func TestNothingReadableOnDisk(t *testing.T) {
	s := natsdtest.New(t, func(o *natsd.Options) { o.NoSync = false })
	const secret = "planted-secret-4111111111111111"
	fill(t, s.JS(), strings.Repeat(secret, 100))
	s.Stop()
	files := 0
	err := filepath.WalkDir(s.Opts.Dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		files++
		if bytes.Contains(b, []byte(secret)) || bytes.Contains(b, []byte(natsdtest.Key)) || bytes.Contains(b, []byte(natsdtest.Password)) {
			t.Errorf("%s holds plain text", p)
		}
		if fi, _ := d.Info(); fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %s", p, fi.Mode())
		}
		return err
	})
	if err != nil || files < 4 {
		t.Fatalf("looked at %d files: %v", files, err)
	}
}

func TestAuthentication(t *testing.T) {
	s := natsdtest.New(t)
	for _, opt := range []nats.Option{nats.UserInfo("pipeline", "wrong"), nats.UserInfo("", ""), nats.UserInfo("viewer", natsdtest.Password)} {
		if nc, err := nats.Connect(s.URL(), opt); err == nil {
			nc.Close()
			t.Error("connected without the password")
		}
	}
}

func TestViewer(t *testing.T) {
	s := natsdtest.New(t)
	admin := s.JS()
	ctx := context.Background()
	for _, name := range []string{streams.Raw, streams.Events, streams.Dead, streams.RawDead, streams.Findings} {
		spec, _ := streams.DefaultSpec(name)
		if _, err := streams.Ensure(ctx, admin, spec); err != nil {
			t.Fatal(err)
		}
	}
	admin.Publish(ctx, streams.SubjectRaw, []byte("unredacted"))
	admin.Publish(ctx, streams.SubjectEvents, []byte("redacted"))
	if _, err := admin.CreateConsumer(ctx, streams.Events, jetstream.ConsumerConfig{Durable: "store"}); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.URL(), nats.UserInfo(natsdtest.ViewerUser, natsdtest.ViewerPassword), nats.CustomInboxPrefix(natsd.ViewerInbox),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, _ := jetstream.New(nc)
	st, err := js.Stream(ctx, streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := st.GetMsg(ctx, 1); err != nil || string(m.Data) != "redacted" {
		t.Fatalf("the viewer cannot read EVENTS: %v", err)
	}
	f := func(what string, try func(ctx context.Context) error) {
		t.Helper()
		c, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if try(c) == nil {
			t.Errorf("the viewer may %s", what)
		}
	}
	f("publish", func(c context.Context) error { _, err := js.Publish(c, streams.SubjectEvents, nil); return err })
	f("read RAW", func(c context.Context) error {
		st, err := js.Stream(c, streams.Raw)
		if err == nil {
			_, err = st.GetMsg(c, 1)
		}
		return err
	})
	f("make a consumer", func(c context.Context) error {
		_, err := js.CreateConsumer(c, streams.Events, jetstream.ConsumerConfig{Durable: "mine"})
		return err
	})
	f("take the pipeline's messages", func(c context.Context) error {
		_, err := nc.RequestWithContext(c, "$JS.API.CONSUMER.MSG.NEXT.EVENTS.store", nil)
		return err
	})
	f("delete a stream", func(c context.Context) error { return js.DeleteStream(c, streams.Events) })
	f("purge a stream", func(c context.Context) error { return st.Purge(c) })
	f("listen to replies of others", func(context.Context) error {
		sub, err := nc.SubscribeSync("_INBOX.>")
		if err != nil {
			return err
		}
		nc.Flush()
		if info, err := admin.Stream(ctx, streams.Raw); err != nil || info == nil {
			t.Fatal(err)
		}
		_, err = sub.NextMsg(200 * time.Millisecond)
		return err
	})
	f("listen to raw batches", func(context.Context) error {
		sub, err := nc.SubscribeSync("mcpsiem.>")
		if err != nil {
			return err
		}
		nc.Flush()
		admin.Publish(ctx, streams.SubjectRaw, []byte("unredacted"))
		_, err = sub.NextMsg(200 * time.Millisecond)
		return err
	})
}

// The server's own log reaches ours and holds no payload and no secret.
func TestLogGoesToTheLogger(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	s := natsdtest.New(t, func(o *natsd.Options) { o.Logger = zap.New(core) })
	fill(t, s.JS(), "planted-secret")
	s.Stop()
	if logs.Len() == 0 {
		t.Fatal("no log entries")
	}
	for _, e := range logs.All() {
		for _, secret := range []string{"planted-secret", natsdtest.Key, natsdtest.Password} {
			if strings.Contains(e.Message, secret) {
				t.Errorf("the log holds a secret: %s", e.Message)
			}
		}
	}
}

func TestShutdownTwice(t *testing.T) {
	s, err := natsd.Start(options(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	s.Shutdown()
}
