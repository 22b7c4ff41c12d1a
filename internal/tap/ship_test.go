package tap

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

func sendPings(st Stream, n int) {
	for i := range n {
		st.Frame(frame(cs, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"ping"}`, i)))
	}
}

func TestRetriesSendTheSameBytes(t *testing.T) {
	f := func(status int, spooled bool) {
		t.Run(fmt.Sprintf("%d spool %v", status, spooled), func(t *testing.T) {
			t.Parallel()
			s := newSink(t)
			s.fail = func(n int) (int, string) {
				if n < 2 {
					return status, ""
				}
				return 0, ""
			}
			cfg := testConfig(s)
			cfg.FlushInterval, cfg.BatchBytes = time.Hour, 1
			if spooled {
				cfg.SpoolDir = t.TempDir()
			}
			r := mustNew(t, cfg)
			eventually(t, "delivery", func() bool { return len(s.all()) > 0 })
			mustShutdown(t, r)
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.bodies) < 3 || s.bodies[0] != s.bodies[1] || s.bodies[1] != s.bodies[2] {
				t.Errorf("%d requests, not of the same bytes", len(s.bodies))
			}
			conserve(t, s.events, series{"t1", r.Epoch()})
		})
	}
	for _, status := range []int{429, 502, 503, 504, 401, 403, 404, 301} {
		f(status, false)
		f(status, true)
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	s := newSink(t)
	s.fail = func(n int) (int, string) {
		if n == 0 {
			return 429, "1"
		}
		return 0, ""
	}
	r := mustNew(t, testConfig(s))
	start := time.Now()
	eventually(t, "delivery", func() bool { return len(s.all()) > 0 })
	if d := time.Since(start); d < 900*time.Millisecond {
		t.Errorf("sent again after %v", d)
	}
	mustShutdown(t, r)
	for h, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "999999": 5 * time.Minute, "x": 0,
		"Thu, 01 Jan 1970 00:00:09 GMT": 9 * time.Second} {
		if got := retryAfter(h, time.Unix(0, 0)); got != want {
			t.Errorf("%q: %v, want %v", h, got, want)
		}
	}
}

func TestRefusedBatchesAreDeclaredLost(t *testing.T) {
	for status, attempts := range map[int]int{400: 1, 413: 1, 422: 1, 500: maxServerErrors} {
		s := newSink(t)
		s.fail = func(n int) (int, string) {
			if n < attempts {
				return status, ""
			}
			return 0, ""
		}
		r := mustNew(t, testConfig(s))
		st := r.Open(StreamInfo{Transport: event.TransportStdio})
		eventually(t, "refusal", func() bool { return r.Stats().Quarantined > 0 })
		sendPings(st, 3)
		st.Close(nil)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		r.Shutdown(ctx) // says that events were lost
		cancel()
		if last := conserve(t, s.all(), series{"t1", r.Epoch()}); last < 5 {
			t.Errorf("status %d: last number %d", status, last)
		}
		if got := r.Stats(); got.Quarantined == 0 || got.Lost == 0 {
			t.Errorf("status %d: %+v", status, got)
		}
	}
}

func TestCollectorThatRefusesEverythingIsNotFlooded(t *testing.T) {
	s := newSink(t)
	s.fail = func(int) (int, string) { return 400, "" }
	r := mustNew(t, testConfig(s))
	time.Sleep(300 * time.Millisecond)
	s.mu.Lock()
	n := s.n
	s.mu.Unlock()
	if n > 4 {
		t.Errorf("%d requests about nothing but their own loss", n)
	}
	r.Shutdown(context.Background())
}

func TestPartialSuccessIsNotSentAgain(t *testing.T) {
	resp := []byte{1<<3 | 2, 2, 1 << 3, 2} // partial_success{rejected_log_records: 2}
	if n := rejectedRecords(resp); n != 2 {
		t.Fatalf("read %d", n)
	}
	for _, b := range [][]byte{nil, {0xff}, {0x0a, 0x7f}, {0x0a, 0}, {0x12, 1, 'x'}, binary.AppendUvarint(nil, 1<<60)} {
		if n := rejectedRecords(b); n != 0 {
			t.Errorf("%x: %d", b, n)
		}
	}
}

func TestTokenIsReadAgainAfter401(t *testing.T) {
	s := newSink(t)
	file := filepath.Join(t.TempDir(), "token")
	os.WriteFile(file, []byte("old\n"), 0o600)
	s.fail = func(n int) (int, string) {
		if s.tokens[n] != "Bearer new" {
			os.WriteFile(file, []byte("new\n"), 0o600)
			return http.StatusUnauthorized, ""
		}
		return 0, ""
	}
	cfg := testConfig(s)
	cfg.TokenFile = file
	r := mustNew(t, cfg)
	eventually(t, "delivery", func() bool { return len(s.all()) > 0 })
	mustShutdown(t, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens[0] != "Bearer old" || !slices.Contains(s.tokens, "Bearer new") {
		t.Errorf("tokens %q", s.tokens)
	}
}

// TestNothingIsUnexplained is the law of the tap: whatever the collector and the queue do, each number is delivered or declared lost
// by a record that was delivered, in the end.
func TestNothingIsUnexplained(t *testing.T) {
	root := t.TempDir()
	var run atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		s := newSink(t)
		defer s.Close()
		faults := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 0, 503, 400, 500, 413, 401}), 0, 12).Draw(rt, "faults")
		s.fail = func(n int) (int, string) {
			if n < len(faults) {
				return faults[n], ""
			}
			return 0, ""
		}
		cfg := testConfig(s)
		cfg.QueueBytes = int64(rapid.SampledFrom([]int{2000, 20000, 1 << 20}).Draw(rt, "queue"))
		cfg.BatchBytes = rapid.SampledFrom([]int{1, 4000, 1 << 20}).Draw(rt, "batch")
		cfg.FlushInterval = time.Millisecond
		cfg.SpoolDir = filepath.Join(root, fmt.Sprint(run.Add(1)))
		cfg.SpoolMaxBytes = int64(rapid.SampledFrom([]int{1500, 1 << 20}).Draw(rt, "spool"))
		r := mustNew(t, cfg)
		st := r.Open(StreamInfo{Transport: event.TransportStdio})
		for range rapid.IntRange(1, 6).Draw(rt, "bursts") {
			sendPings(st, rapid.IntRange(1, 30).Draw(rt, "burst"))
			st.Lost(cs, rapid.IntRange(0, 2).Draw(rt, "lost"))
			time.Sleep(time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		r.Shutdown(ctx)
		// What is still in the spool another process ships, once the collector is well.
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		cfg.TapID = "t2"
		r2 := mustNew(t, cfg)
		eventually(t, "leftovers", func() bool {
			m, _ := filepath.Glob(filepath.Join(cfg.SpoolDir, dirPrefix+"*"))
			return len(m) == 0
		})
		mustShutdown(t, r2)
		for tap, r := range map[string]*Recorder{"t1": r, "t2": r2} {
			if last := conserve(rt, s.all(), series{tap, r.Epoch()}); last != r.dec.seq {
				rt.Errorf("%s: last number seen is %d of %d", tap, last, r.dec.seq)
			}
		}
		if !slices.ContainsFunc(s.all(), func(e event.Event) bool { return e.TapID == "t1" && e.TapSeq > 0 }) {
			rt.Fatal("nothing delivered")
		}
	})
}

// goneSink is a collector's address where nothing listens.
func goneSink(t *testing.T) *sink {
	s := newSink(t)
	s.Close()
	return s
}

func TestWithoutCollectorOrSpoolLossesEndInShutdownsError(t *testing.T) {
	r := mustNew(t, testConfig(goneSink(t)))
	if err := r.Shutdown(context.Background()); err == nil || !strings.Contains(err.Error(), "cannot keep") {
		t.Errorf("error %v", err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	hang := make(chan struct{})
	s := newSink(t)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	cfg := testConfig(s)
	cfg.SpoolDir = t.TempDir()
	r := mustNew(t, cfg)
	sendPings(r.Open(StreamInfo{Transport: event.TransportStdio}), 10)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := r.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "stay in the spool") {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}
