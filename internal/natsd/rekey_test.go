package natsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var keyOne, keyTwo, keyThree = strings.Repeat("1", MinKey), strings.Repeat("2", MinKey), strings.Repeat("3", MinKey)

const marker = "MARKER-OF-PLAIN-TEXT"

// A child changes the key of a directory and is killed, as by kill -9, at a point on the way; or takes up what such a one left, and is killed in turn.
func init() {
	dir, point := os.Getenv("NATSD_TEST_REKEY"), os.Getenv("NATSD_TEST_POINT")
	if dir == "" {
		return
	}
	var once sync.Mutex
	crash = func(at string) {
		once.Lock()
		defer once.Unlock()
		if at == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if err := Rekey(dir, keyOne, keyTwo); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// killedAt runs the child until the point and says whether it got there.
func killedAt(t *testing.T, dir, point string) bool {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "NATSD_TEST_REKEY="+dir, "NATSD_TEST_POINT="+point)
	out, err := c.CombinedOutput()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v: %s", err, out)
	}
	return true
}

func startOn(t *testing.T, dir, key, next string) (*Server, jetstream.JetStream) {
	t.Helper()
	s, err := Start(Options{Dir: dir, Key: key, NextKey: next, MinFree: 1, NoSync: true, Users: []User{{Name: "u", Password: "p"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s, clientOf(t, s)
}

func clientOf(t *testing.T, s *Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("u", "p"), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

const (
	kept   = 110 // messages of the stream of events, over several blocks
	acked  = 7
	queued = 30 // messages of the work queue
	done   = 11
)

func body(i int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("%s %d ", marker, i)), 32<<10/25)
}

// fill makes streams of each kind, with consumers in the middle of them.
func fill(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"mcpsiem.e.>"}, Duplicates: time.Hour, Compression: jetstream.S2Compression})
	must(err)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "RAW", Subjects: []string{"mcpsiem.r"}, Retention: jetstream.WorkQueuePolicy, Duplicates: time.Hour})
	must(err)
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "pins", History: 3})
	must(err)
	for i := range 5 {
		_, err := kv.Put(ctx, "a", []byte(fmt.Sprint(marker, i)))
		must(err)
	}
	for i := range kept {
		_, err := js.Publish(ctx, fmt.Sprint("mcpsiem.e.", i%3), body(i), jetstream.WithMsgID(fmt.Sprint("e", i)))
		must(err)
	}
	for i := range queued {
		_, err := js.Publish(ctx, "mcpsiem.r", []byte(fmt.Sprint(marker, i)), jetstream.WithMsgID(fmt.Sprint("r", i)))
		must(err)
	}
	take := func(stream string, n int) {
		c, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour})
		must(err)
		batch, err := c.Fetch(n + 2) // two stay pending
		must(err)
		i := 0
		for m := range batch.Messages() {
			if i++; i <= n {
				must(m.DoubleAck(ctx))
			}
		}
		must(batch.Error())
	}
	take("EVENTS", acked)
	take("RAW", done)
	st, err := js.Stream(ctx, "EVENTS")
	must(err)
	must(st.DeleteMsg(ctx, 100))
}

// same checks that everything is as fill left it.
func same(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx := t.Context()
	st, err := js.Stream(ctx, "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	for i := range kept {
		m, err := st.GetMsg(ctx, uint64(i+1))
		if i == 99 {
			if err == nil {
				t.Error("a deleted message is back")
			}
			continue
		}
		if err != nil || !bytes.Equal(m.Data, body(i)) {
			t.Fatalf("message %d: %v", i, err)
		}
		ack, err := js.Publish(ctx, fmt.Sprint("mcpsiem.e.", i%3), []byte("again"), jetstream.WithMsgID(fmt.Sprint("e", i)))
		if err != nil || !ack.Duplicate {
			t.Fatalf("id of message %d was forgotten: %v", i, err)
		}
	}
	raw, err := js.Stream(ctx, "RAW")
	if err != nil {
		t.Fatal(err)
	}
	if s := raw.CachedInfo().State; s.Msgs != queued-done || s.FirstSeq != done+1 || s.LastSeq != queued {
		t.Errorf("work queue: %+v", s)
	}
	for stream, floor := range map[string]uint64{"EVENTS": acked, "RAW": done} {
		c, err := js.Consumer(ctx, stream, "d")
		if err != nil {
			t.Fatalf("consumer of %s: %v", stream, err)
		}
		if i := c.CachedInfo(); i.AckFloor.Stream != floor || i.NumAckPending != 2 || i.Delivered.Stream != floor+2 {
			t.Errorf("consumer of %s: acknowledged to %d, want %d; pending %d; delivered to %d", stream, i.AckFloor.Stream, floor, i.NumAckPending, i.Delivered.Stream)
		}
	}
	kv, err := js.KeyValue(ctx, "pins")
	if err != nil {
		t.Fatal(err)
	}
	if h, err := kv.History(ctx, "a"); err != nil || len(h) != 3 || string(h[2].Value()) != marker+"4" {
		t.Errorf("values: %v, %v", h, err)
	}
}

// underKey checks that every key file of the store opens with the one key and not with the other, and that nothing is in plain text.
func underKey(t *testing.T, dir, key, former string) {
	t.Helper()
	root, n := filepath.Join(dir, "jetstream"), 0
	err := eachKeyFile(root, func(f keyFile) error {
		n++
		b, err := os.ReadFile(filepath.Join(root, f.path))
		if err != nil {
			return err
		}
		if _, _, err := f.open(key, b); err != nil {
			t.Errorf("%s does not open with the new key", f.path)
		}
		if _, _, err := f.open(former, b); err == nil {
			t.Errorf("%s opens with the former key", f.path)
		}
		return nil
	})
	if err != nil || n < 8 {
		t.Errorf("%d key files: %v", n, err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.Contains(path, "rekey") {
			t.Errorf("%s is left over", path)
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(marker)) || bytes.Contains(b, []byte(keyOne)) || bytes.Contains(b, []byte(keyTwo)) {
			t.Errorf("%s has plain text", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Wherever a change of keys is cut off, the next start has everything, under one key or the other, and the change can be made once more.
func TestRekeyCutOff(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base")
	s, js := startOn(t, base, keyOne, "")
	fill(t, js)
	s.Shutdown()
	points := []struct{ first, second string }{
		{"drafting", ""}, {"drafted", ""}, {"decided", ""}, {"carrying out", ""}, {"carried out", ""}, {"recorded", ""}, {"closed", ""}, {"none", ""},
		{"drafting", "carrying out"}, {"decided", "carrying out"}, {"carrying out", "carried out"}, {"carried out", "carrying out"}, {"recorded", "recorded"},
	}
	for _, p := range points {
		t.Run(p.first+", "+p.second, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
				t.Fatal(err)
			}
			if got := killedAt(t, dir, p.first); got != (p.first != "none") {
				t.Fatalf("killed: %v", got)
			}
			if p.second != "" && !killedAt(t, dir, p.second) {
				t.Fatal("the second was not killed")
			}
			s, js := startOn(t, dir, keyOne, keyTwo)
			decided := p.second != "" || p.first != "drafting" && p.first != "drafted"
			if s.Uses(keyTwo) != decided {
				t.Errorf("the new key is in effect: %v", !decided)
			}
			same(t, js)
			if err := s.Rekey(keyTwo); err != nil { // of one in effect, nothing
				t.Fatal(err)
			}
			same(t, js)
			if _, err := js.Publish(t.Context(), "mcpsiem.e.0", []byte(marker)); err != nil {
				t.Fatal(err)
			}
			s.Shutdown()
			underKey(t, dir, keyTwo, keyOne)
			if _, err := Start(Options{Dir: dir, Key: keyOne, MinFree: 1, Users: []User{{Name: "u", Password: "p"}}}); !errors.Is(err, ErrWrongKey) {
				t.Errorf("the former key: %v", err)
			}
			_, js = startOn(t, dir, keyTwo, "")
			same(t, js)
		})
	}
}

// While messages come and go the key changes again and again: each message is there once, and each is taken.
func TestRekeyUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s, js := startOn(t, dir, keyOne, "")
	ctx := t.Context()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "RAW", Subjects: []string{"mcpsiem.r"}, Retention: jetstream.WorkQueuePolicy, Duplicates: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"mcpsiem.e"}, Duplicates: time.Hour}); err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(ctx, "RAW", jetstream.ConsumerConfig{Durable: "relay", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(js jetstream.JetStream, subject string, data []byte, id string) bool {
		for ctx.Err() == nil {
			try, cancel := context.WithTimeout(ctx, time.Second)
			_, err := js.Publish(try, subject, data, jetstream.WithMsgID(id))
			cancel()
			if err == nil {
				return true
			}
			time.Sleep(5 * time.Millisecond)
		}
		return false
	}
	// One sends, one carries on from RAW to EVENTS and acknowledges then.
	stop, sent := make(chan struct{}), 0
	var wg sync.WaitGroup
	wg.Go(func() {
		js := clientOf(t, s)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if !publish(js, "mcpsiem.r", body(sent), fmt.Sprint(sent)) {
				return
			}
			sent++
		}
	})
	relay, err := c.Consume(func(m jetstream.Msg) {
		if publish(js, "mcpsiem.e", m.Data(), "of "+m.Headers().Get(nats.MsgIdHdr)) {
			_ = m.Ack()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Stop()
	var key string
	for _, next := range []string{keyTwo, keyThree, keyOne, keyTwo} {
		time.Sleep(150 * time.Millisecond)
		if err := s.Rekey(next); err != nil {
			t.Fatal(err)
		}
		if key = next; !s.Uses(key) {
			t.Fatal("the new key is not in effect")
		}
	}
	time.Sleep(150 * time.Millisecond)
	close(stop)
	wg.Wait()
	if sent < 50 {
		t.Fatalf("only %d were sent", sent)
	}
	// What is acknowledged counts, not whether RAW is empty: nats-server keeps an acknowledgement before it removes the message from a work queue,
	// and if it ends between the two the message lies there, never delivered again, until its age ends it.
	deadline := time.Now().Add(60 * time.Second)
	for {
		info, err := c.Info(ctx)
		if err == nil && info.NumPending == 0 && info.NumAckPending == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not everything is taken: %v, %+v", err, info)
		}
		time.Sleep(20 * time.Millisecond)
	}
	st, err := js.Stream(ctx, "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for seq := uint64(1); seq <= st.CachedInfo().State.LastSeq; seq++ {
		m, err := st.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		got[m.Header.Get(nats.MsgIdHdr)]++
	}
	for i := range sent {
		if n := got[fmt.Sprint("of ", i)]; n != 1 {
			t.Errorf("message %d is there %d times", i, n)
		}
	}
	if len(got) != sent {
		t.Errorf("%d messages, %d sent", len(got), sent)
	}
}

// What cannot be changed leaves everything as it was, with the server running.
func TestRekeyRefused(t *testing.T) {
	dir := t.TempDir()
	s, js := startOn(t, dir, keyOne, "")
	fill(t, js)
	if err := s.Rekey("short"); err == nil || !strings.Contains(err.Error(), "at least 32") {
		t.Error(err)
	}
	same(t, js)
	strange := filepath.Join(dir, "jetstream", "$G", "streams", "RAW", "strange.key")
	if err := os.WriteFile(strange, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Rekey(keyTwo); !errors.Is(err, ErrLayout) || strings.Contains(err.Error(), keyTwo) {
		t.Error(err)
	}
	if !s.Uses(keyOne) {
		t.Error("the new key is in effect")
	}
	same(t, js)
	if err := Rekey(dir, keyOne, keyTwo); !errors.Is(err, ErrInUse) {
		t.Errorf("a directory in use: %v", err)
	}
	if err := os.Remove(strange); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	if err := Rekey(dir, keyThree, keyTwo); !errors.Is(err, ErrWrongKey) {
		t.Errorf("a wrong key: %v", err)
	}
	if err := s.Rekey(keyTwo); err == nil {
		t.Error("a server that has ended changes keys")
	}
	if err := Rekey(dir, keyOne, keyTwo); err != nil {
		t.Fatal(err)
	}
	underKey(t, dir, keyTwo, keyOne)
	// A decision that is damaged is not guessed at.
	if err := os.MkdirAll(filepath.Join(dir, rekeyDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, rekeyDir, rekeyList), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Options{Dir: dir, Key: keyTwo, MinFree: 1, Users: []User{{Name: "u", Password: "p"}}}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
}

// A disk that fails before the change is decided leaves everything as it was. After that the server is down until it works again, and then comes back by itself, under the new key.
func TestRekeyOnAFailingDisk(t *testing.T) {
	defer func(d time.Duration) { healInterval = d }(healInterval)
	healInterval = 20 * time.Millisecond
	defer func() { crash = func(string) {} }()
	dir := t.TempDir()
	s, js := startOn(t, dir, keyOne, "")
	fill(t, js)
	block := func(at, folder, name string) {
		var once sync.Once
		crash = func(p string) {
			if p == at {
				once.Do(func() { _ = os.Mkdir(filepath.Join(dir, folder, name), 0o700) }) // where a file has to go
			}
		}
	}
	block("drafting", rekeyDraft, rekeyList)
	if err := s.Rekey(keyTwo); err == nil || errors.Is(err, ErrStopped) || !s.Uses(keyOne) {
		t.Errorf("%v", err)
	}
	same(t, js)
	block("decided", rekeyDir, "out-0")
	if err := s.Rekey(keyTwo); !errors.Is(err, ErrStopped) || !s.Uses(keyTwo) {
		t.Errorf("%v", err)
	}
	time.Sleep(100 * time.Millisecond) // it cannot come back yet
	if _, err := os.Stat(filepath.Join(dir, rekeyDir)); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, rekeyDir, "out-0")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := js.Stream(ctx, "EVENTS")
		cancel()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server did not come back: ", err)
		}
	}
	same(t, js)
	s.Shutdown()
	underKey(t, dir, keyTwo, keyOne)
}
