package tap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

func testSpool(t *testing.T, dir string, max int64) *spool {
	return newSpool(Config{TapID: "t1", SpoolDir: dir, SpoolKeyFile: filepath.Join(dir, "key"), SpoolMaxBytes: max}, time.Now().UnixNano())
}

func testBatch(i int64, size int) *batch {
	return &batch{series: series{"t1", 7}, from: i*10 + 1, to: i*10 + 10, count: 10, data: bytes.Repeat([]byte{byte(i)}, size),
		declared: []declared{{series{"t0", 3}, lostRange{i, i + 1, 2}}}}
}

// fill spools n batches and lets go of the folder, as a process does that dies. It returns the only segment's path.
func fill(t *testing.T, dir string, n int) string {
	t.Helper()
	s := testSpool(t, dir, 1<<20)
	for i := range n {
		if err := s.append(testBatch(int64(i), 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	m, _ := filepath.Glob(filepath.Join(dir, dirPrefix+"*", "*"+segSuffix))
	if len(m) != 1 {
		t.Fatalf("segments %v", m)
	}
	return m[0]
}

// drain ships all that is left in dir.
func drain(t *testing.T, dir string) (got []*batch, lost []*batch) {
	t.Helper()
	s := testSpool(t, dir, 1<<20)
	if err := s.adopt(); err != nil {
		t.Fatal(err)
	}
	for {
		b, d, err := s.next(func(b *batch) { lost = append(lost, b) })
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			break
		}
		got = append(got, b)
		if err := s.commit(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if m, _ := filepath.Glob(filepath.Join(dir, "*-*")); len(m) != 0 {
		t.Errorf("left behind: %v", m)
	}
	return got, lost
}

func TestSpoolRoundTrip(t *testing.T) {
	dir := t.TempDir()
	seg := fill(t, dir, 5)
	raw, _ := os.ReadFile(seg)
	if bytes.Contains(raw, bytes.Repeat([]byte{2}, 20)) {
		t.Error("content in the clear")
	}
	if i, _ := os.Stat(filepath.Join(dir, "key")); i.Mode().Perm() != 0o600 {
		t.Errorf("key has mode %v", i.Mode())
	}
	got, lost := drain(t, dir)
	if len(got) != 5 || len(lost) != 0 {
		t.Fatalf("%d batches, %d lost", len(got), len(lost))
	}
	for i, b := range got {
		w := testBatch(int64(i), 100)
		if b.series != w.series || b.from != w.from || b.to != w.to || b.count != w.count || !bytes.Equal(b.data, w.data) || !slices.Equal(b.declared, w.declared) {
			t.Errorf("batch %d: %+v", i, b)
		}
	}
}

func TestSpoolSurvivesDamage(t *testing.T) {
	const n = 5
	recLen := func(raw []byte, i int) (off, size int) {
		off = segHeader
		for ; ; i-- {
			size = recHeader + int(binary.LittleEndian.Uint32(raw[off:]))
			if i == 0 {
				return off, size
			}
			off += size
		}
	}
	for name, c := range map[string]struct {
		damage func(raw []byte) []byte
		want   []int64 // batches that survive
		lost   int     // damages told
		named  int     // of these with numbers
	}{
		"none":            {func(r []byte) []byte { return r }, []int64{0, 1, 2, 3, 4}, 0, 0},
		"torn tail":       {func(r []byte) []byte { return r[:len(r)-7] }, []int64{0, 1, 2, 3}, 1, 0},
		"torn header":     {func(r []byte) []byte { o, _ := recLen(r, 4); return r[:o+5] }, []int64{0, 1, 2, 3}, 1, 0},
		"cut at a record": {func(r []byte) []byte { o, _ := recLen(r, 3); return r[:o] }, []int64{0, 1, 2}, 0, 0},
		"junk behind":     {func(r []byte) []byte { return append(r, "some junk that is longer than one header"...) }, []int64{0, 1, 2, 3, 4}, 1, 0},
		"zeros behind":    {func(r []byte) []byte { return append(r, make([]byte, 4096)...) }, []int64{0, 1, 2, 3, 4}, 1, 0},
		"flipped content": {func(r []byte) []byte { o, s := recLen(r, 2); r[o+s-3] ^= 1; return r }, []int64{0, 1, 3, 4}, 1, 1},
		"flipped nonce":   {func(r []byte) []byte { o, _ := recLen(r, 0); r[o+recHeader] ^= 1; return r }, []int64{1, 2, 3, 4}, 1, 1},
		"flipped length":  {func(r []byte) []byte { o, _ := recLen(r, 2); r[o] ^= 1; return r }, []int64{0, 1}, 1, 0},
		"huge length":     {func(r []byte) []byte { o, _ := recLen(r, 1); r[o+3] = 0xff; return r }, []int64{0}, 1, 0},
		"records swapped": {func(r []byte) []byte {
			a, s := recLen(r, 1)
			b, _ := recLen(r, 2)
			x := slices.Clone(r[a : a+s])
			copy(r[a:], r[b:b+s])
			copy(r[b:], x)
			return r
		}, []int64{0, 3, 4}, 2, 2},
		"bad magic":  {func(r []byte) []byte { r[0] = 'x'; return r }, nil, 1, 0},
		"empty file": {func(r []byte) []byte { return nil }, nil, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			seg := fill(t, dir, n)
			raw, err := os.ReadFile(seg)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(seg, c.damage(raw), 0o600); err != nil {
				t.Fatal(err)
			}
			got, lost := drain(t, dir)
			var idx []int64
			for _, b := range got {
				idx = append(idx, b.from/10)
			}
			named := 0
			for _, b := range lost {
				if b != nil {
					named++
					if b.count != 10 || b.to != b.from+9 || b.series.Tap != "t1" {
						t.Errorf("lost %+v", b)
					}
				}
			}
			if !slices.Equal(idx, c.want) || len(lost) != c.lost || named != c.named {
				t.Errorf("batches %v, %d lost, %d named; want %v, %d, %d", idx, len(lost), named, c.want, c.lost, c.named)
			}
		})
	}
}

func TestSpoolBound(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1000)
	n := 0
	for ; ; n++ {
		err := s.append(testBatch(int64(n), 200))
		if errors.Is(err, errSpoolFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	last := testBatch(9, 200)
	last.final = true
	if err := s.append(last); err != nil {
		t.Errorf("no reserve for the last word: %v", err)
	}
	other := testSpool(t, dir, 1000) // the bound is the directory's, not a process's
	other.name += "x"
	if err := other.append(testBatch(1, 200)); !errors.Is(err, errSpoolFull) {
		t.Errorf("second process: %v", err)
	}
	s.close()
	got, _ := drain(t, dir)
	if len(got) != n+1 || got[0].from != 1 || n < 2 {
		t.Errorf("%d batches of %d", len(got), n+1)
	}
}

func TestSpoolSegmentsRollAndGo(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 64<<20)
	for i := range 5 {
		if err := s.append(testBatch(int64(i), segmentBytes/2+1)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		b, d, err := s.next(func(*batch) { t.Error("damage") })
		if err != nil || b == nil || b.from != int64(i)*10+1 {
			t.Fatalf("batch %d: %+v %v", i, b, err)
		}
		if again, _, _ := s.next(nil); again != b {
			t.Error("next without commit moved on")
		}
		if err := s.commit(d); err != nil {
			t.Fatal(err)
		}
	}
	if m, _ := filepath.Glob(filepath.Join(dir, "*", "*"+segSuffix)); len(m) != 0 || s.bytes() != 0 {
		t.Errorf("left %v, %d bytes", m, s.bytes())
	}
	if err := s.append(testBatch(7, 10)); err != nil {
		t.Fatal(err)
	}
	if b, _, _ := s.next(nil); b == nil || b.from != 71 {
		t.Errorf("after the spool was empty: %+v", b)
	}
	s.close()
}

func TestSpoolOfALivingProcessIsItsOwn(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1<<20)
	if err := s.append(testBatch(1, 10)); err != nil {
		t.Fatal(err)
	}
	other := testSpool(t, dir, 1<<20)
	other.name += "x"
	if err := other.adopt(); err != nil || len(other.adopted) != 0 {
		t.Errorf("adopted %d, %v", len(other.adopted), err)
	}
	s.close()
	if err := other.adopt(); err != nil || len(other.adopted) != 1 {
		t.Errorf("adopted %d, %v", len(other.adopted), err)
	}
	third := testSpool(t, dir, 1<<20)
	third.name += "y"
	if err := third.adopt(); err != nil || len(third.adopted) != 0 {
		t.Errorf("two processes adopted one folder: %d, %v", len(third.adopted), err)
	}
	other.close()
}

func TestSpoolCursor(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 4)
	s := testSpool(t, dir, 1<<20)
	s.adopt()
	for range 2 {
		_, d, _ := s.next(nil)
		if err := s.commit(d); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	if got, lost := drain(t, dir); len(got) != 2 || got[0].from != 21 || len(lost) != 0 {
		t.Errorf("%d batches, %d lost", len(got), len(lost))
	}
}

func TestSpoolCursorOfAnEarlierSegment(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1<<20)
	for _, n := range []int64{0, 1} { // two, so that a cursor is written; then none, then others
		if err := s.append(testBatch(n, 100)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		_, d, _ := s.next(nil)
		if err := s.commit(d); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int64{2, 3} {
		if err := s.append(testBatch(n, 100)); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	if got, lost := drain(t, dir); len(got) != 2 || got[0].from != 21 || len(lost) != 0 {
		t.Errorf("%d batches, %d lost", len(got), len(lost))
	}
}

func TestSpoolKey(t *testing.T) {
	f := func(content string, mode os.FileMode, want string) {
		t.Helper()
		p := filepath.Join(t.TempDir(), "key")
		os.WriteFile(p, []byte(content), mode)
		if _, err := loadKey(p); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "beef") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f(strings.Repeat("beef", 16), 0o644, "others may read it")
	f("beef", 0o600, "64 hex digits")
	f(strings.Repeat("bee!", 16), 0o600, "64 hex digits")
}

// A spool gets other keys while there is something in it: what is there stays readable, what comes is under the new key, and a former key goes when nothing needs it any more.
func TestSpoolKeyRotates(t *testing.T) {
	defer func(d time.Duration) { formerGrace = d }(formerGrace)
	formerGrace = 0
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	former := func() []string { m, _ := filepath.Glob(key + keysource.FormerMark + "*"); return m }
	segments := func() []string {
		m, _ := filepath.Glob(filepath.Join(dir, dirPrefix+"*", "*"+segSuffix))
		return m
	}
	s := testSpool(t, dir, 1<<20)
	add := func(from, to int64) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := s.append(testBatch(i, 100)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(0, 3)
	first, _ := os.ReadFile(key)
	if err := RotateSpoolKey(key); err != nil {
		t.Fatal(err)
	}
	add(3, 6)
	t.Setenv("TAP_TEST_KEY", strings.Repeat("ab", 32))
	os.WriteFile(key+".next", []byte(`{"env": "TAP_TEST_KEY"}`), 0o600)
	if err := RotateSpoolKey(key); err != nil {
		t.Fatal(err)
	}
	add(6, 9)
	if err := RotateSpoolKey(key); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("a key that is elsewhere: %v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if len(segments()) != 3 || len(former()) != 2 {
		t.Fatalf("%d segments, %d former keys", len(segments()), len(former()))
	}
	ring := &keyring{path: key}
	now, err := ring.current()
	if err != nil {
		t.Fatal(err)
	}
	for i, seg := range segments() {
		if underKey(seg, now) != (i == 2) {
			t.Errorf("segment %d under the key in use: %v", i, i != 2)
		}
	}
	// Needed, they stay.
	ring.sweep(dir)
	if len(former()) != 2 {
		t.Fatal("a key is gone that is needed")
	}
	// A key that cannot be had now: nothing is lost, it is read another day.
	os.Rename(former()[0], filepath.Join(dir, "aside"))
	os.WriteFile(key+keysource.FormerMark+"0", []byte(`{"env": "TAP_TEST_NO_SUCH_KEY"}`), 0o600)
	other := testSpool(t, dir, 1<<20)
	if err := other.adopt(); err != nil {
		t.Fatal(err)
	}
	if b, _, err := other.next(func(*batch) { t.Error("lost") }); b != nil || err == nil || !strings.Contains(err.Error(), "TAP_TEST_NO_SUCH_KEY is not set") {
		t.Errorf("%v, %v", b, err)
	}
	other.close()
	os.Remove(key + keysource.FormerMark + "0")
	os.Rename(filepath.Join(dir, "aside"), key+keysource.FormerMark+"1")
	got, lost := drain(t, dir)
	if len(got) != 9 || len(lost) != 0 {
		t.Fatalf("%d batches, %d lost", len(got), len(lost))
	}
	for i, b := range got {
		if b.from != int64(i)*10+1 {
			t.Errorf("batch %d begins with %d", i, b.from)
		}
	}
	ring.sweep(dir)
	if left := former(); len(left) != 0 {
		t.Errorf("former keys are left: %v", left)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if b, _ := os.ReadFile(f); bytes.Contains(b, bytes.TrimSpace(first)) {
			t.Errorf("%s holds the first key", f)
		}
		if st, err := os.Stat(f); err == nil && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v", f, st.Mode())
		}
	}
}

// TestKilledTapAfterRotation kills a tap whose key was replaced while it spooled; another ships everything.
func TestKilledTapAfterRotation(t *testing.T) {
	if dir := os.Getenv("TAP_TEST_ROTATE"); dir != "" {
		r := mustNew(t, Config{TapID: "victim", Endpoint: "http://127.0.0.1:1", SpoolDir: dir, FlushInterval: time.Millisecond, BatchBytes: 1})
		st := r.Open(StreamInfo{Transport: event.TransportStdio})
		fmt.Printf("epoch=%d.\n", r.Epoch())
		os.Stdout.Sync()
		for {
			sendPings(st, 1)
			time.Sleep(5 * time.Millisecond)
		}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledTapAfterRotation$")
	cmd.Env = append(os.Environ(), "TAP_TEST_ROTATE="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var epoch int64
	if _, err := fmt.Fscanf(out, "epoch=%d.\n", &epoch); err != nil {
		t.Fatal(err)
	}
	segments := func() int {
		m, _ := filepath.Glob(filepath.Join(dir, dirPrefix+"*", "*"+segSuffix))
		n := 0
		for _, f := range m {
			if st, err := os.Stat(f); err == nil && st.Size() > 4000 {
				n++
			}
		}
		return n
	}
	for i := range 3 {
		eventually(t, "a segment", func() bool { return segments() == i+1 })
		if i < 2 {
			if err := RotateSpoolKey(filepath.Join(dir, "key")); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	s := newSink(t)
	cfg := testConfig(s)
	cfg.SpoolDir = dir
	r := mustNew(t, cfg)
	eventually(t, "leftovers", func() bool {
		m, _ := filepath.Glob(filepath.Join(dir, dirPrefix+"*"))
		return len(m) == 0
	})
	mustShutdown(t, r)
	if last := conserve(t, s.all(), series{"victim", epoch}); last < 10 {
		t.Errorf("only %d events came", last)
	}
	for _, e := range s.all() {
		if e.Name == event.NameTapLoss && e.TapEpoch == epoch {
			t.Errorf("%d to %d are declared lost", e.LostFrom, e.LostTo)
		}
	}
}

// TestKilledTapLosesNothingSpooled runs a tap in a process of its own, kills it, and ships what it left, with the ids that it gave.
func TestKilledTapLosesNothingSpooled(t *testing.T) {
	if dir := os.Getenv("TAP_TEST_SPOOL"); dir != "" {
		r := mustNew(t, Config{TapID: "victim", Endpoint: "http://127.0.0.1:1", SpoolDir: dir, FlushInterval: time.Millisecond, BatchBytes: 1})
		st := r.Open(StreamInfo{Transport: event.TransportStdio})
		sendPings(st, 50)
		for r.Stats().Spooled < 20 {
			time.Sleep(time.Millisecond)
		}
		fmt.Printf("epoch=%d.\n", r.Epoch())
		os.Stdout.Sync()
		select {}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledTapLosesNothingSpooled$")
	cmd.Env = append(os.Environ(), "TAP_TEST_SPOOL="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var epoch int64
	if _, err := fmt.Fscanf(out, "epoch=%d.\n", &epoch); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()

	s := newSink(t)
	cfg := testConfig(s)
	cfg.SpoolDir = dir
	r := mustNew(t, cfg)
	eventually(t, "leftovers", func() bool {
		m, _ := filepath.Glob(filepath.Join(dir, dirPrefix+"*"))
		return len(m) == 0
	})
	mustShutdown(t, r)
	if last := conserve(t, s.all(), series{"victim", epoch}); last < 20 {
		t.Errorf("only %d events came", last)
	}
}

func TestSpoolCarriesAnOutage(t *testing.T) {
	s := newSink(t)
	down := true
	s.fail = func(int) (int, string) {
		if down {
			return 503, ""
		}
		return 0, ""
	}
	cfg := testConfig(s)
	cfg.SpoolDir = t.TempDir()
	r := mustNew(t, cfg)
	st := r.Open(StreamInfo{Transport: event.TransportStdio})
	sendPings(st, 100)
	eventually(t, "spooling", func() bool { return r.Stats().Spooled > 0 })
	raw := 0
	filepath.WalkDir(cfg.SpoolDir, func(p string, e os.DirEntry, _ error) error {
		if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte("jsonrpc")) {
			raw++
		}
		return nil
	})
	if raw > 0 {
		t.Errorf("%d files with content in the clear", raw)
	}
	s.mu.Lock()
	down = false
	s.mu.Unlock()
	eventually(t, "recovery", func() bool { return r.Stats().SpoolBytes == 0 && r.Stats().Connected })
	st.Close(nil)
	mustShutdown(t, r)
	if last := conserve(t, s.all(), series{"t1", r.Epoch()}); last < 200 || r.Stats().Lost != 0 {
		t.Errorf("last %d, %+v", last, r.Stats())
	}
	if m, _ := filepath.Glob(filepath.Join(cfg.SpoolDir, "*")); len(m) != 1 {
		t.Errorf("left behind: %v", m)
	}
}

func FuzzSpoolSegment(f *testing.F) {
	dir := f.TempDir()
	s := newSpool(Config{TapID: "t1", SpoolDir: dir, SpoolKeyFile: filepath.Join(dir, "key"), SpoolMaxBytes: 1 << 20}, 1)
	s.append(testBatch(1, 50))
	s.append(testBatch(2, 50))
	s.close()
	m, _ := filepath.Glob(filepath.Join(dir, dirPrefix+"*", "*"+segSuffix))
	raw, err := os.ReadFile(m[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:40])
	f.Add([]byte{})
	keys := &keyring{path: filepath.Join(dir, "key")}
	if _, err := keys.current(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, seg []byte) {
		parseBatch(seg)
		p := t.TempDir()
		os.WriteFile(filepath.Join(p, "0000000001"+segSuffix), seg, 0o600)
		lock, _ := os.Create(filepath.Join(p, lockName))
		d, err := openSpoolDir(p, lock, keys)
		if err != nil {
			t.Fatal(err)
		}
		for {
			b, err := d.peek(func(*batch) {})
			if err != nil {
				t.Fatal(err)
			}
			if b == nil {
				break
			}
			if err := d.commit(); err != nil {
				t.Fatal(err)
			}
		}
		if d.bytes != 0 {
			t.Fatalf("%d bytes left of nothing", d.bytes)
		}
		d.release()
	})
}
