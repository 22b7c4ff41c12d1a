package fault

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFaultRotation changes the key of the streams again and again under load, and kills the process while it does. Nothing that was acknowledged goes missing or is there twice, and a
// command that said that it was done has done it: the former key is no more.
func TestFaultRotation(t *testing.T) {
	if _, err := os.Stat(filepath.Join(*bin, "mcpsiem")); err != nil {
		t.Fatalf("build first: make build (%v)", err)
	}
	dir := t.TempDir()
	s := &site{t: t, state: filepath.Join(dir, "state"), ports: []string{"--any-port"}}
	s.up()
	s.ports = keepPorts(t, s.state)
	defer s.end()
	o := &oracle{acked: map[string]bool{}, sent: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	waitTap := o.tap(ctx, s, t)
	var posters sync.WaitGroup
	posters.Go(func() { o.post(ctx, s, 0) })

	file := filepath.Join(s.state, "secrets", "jetstream.key")
	key := func() string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	known := map[string]bool{key(): true}
	rotate := func() (string, error) {
		out, err := exec.Command(filepath.Join(*bin, "mcpsiem"), "keys", "rotate", "--key", "jetstream", "--state", s.state).CombinedOutput()
		for k := range known {
			if strings.Contains(string(out), k) || strings.Contains(string(out), key()) {
				t.Error("a key is shown")
			}
		}
		return string(out), err
	}
	rnd := rand.New(rand.NewPCG(newSeed(t), 0))
	changed, kills := 0, 0
	for i := range *rounds - 1 { // with three rounds, that of `go test ./...`, one is undisturbed and one killed
		time.Sleep(time.Duration(500+rnd.IntN(1000)) * time.Millisecond)
		if i == 0 { // undisturbed
			out, err := rotate()
			if err != nil || known[key()] {
				t.Fatalf("not rotated: %v\n%s", err, out)
			}
			t.Logf("rotated: %s", out)
		} else {
			var done sync.WaitGroup
			done.Go(func() { _, _ = rotate() })
			time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
			s.kill("mcpsiem")
			kills++
			done.Wait()
		}
		if now := key(); !known[now] {
			known[now], changed = true, changed+1
		}
	}
	time.Sleep(2 * time.Second)
	stop()
	posters.Wait()
	waitTap()
	next, in, _ := startTap(t, s)
	o.judge(t, s)
	in.Close()
	next.Wait()
	if changed == 0 || *rounds > 2 && kills == 0 || len(o.acked) < 200 {
		t.Errorf("only %d changes, %d kills and %d acknowledged events: this run shows nothing", changed, kills, len(o.acked))
	}
	log, _ := os.ReadFile(filepath.Join(s.state, "log", "mcpsiem.log"))
	for k := range known {
		if strings.Contains(string(log), k) {
			t.Error("a key is in the log")
		}
	}
	t.Logf("%d changes, %d kills", changed, kills)
}
