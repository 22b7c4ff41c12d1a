package sink

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// batch makes resources of events with the given ids.
func batch(resources ...[]string) plog.Logs {
	ld := plog.NewLogs()
	for i, ids := range resources {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutInt(event.AttrStreamSeq, int64(i+1))
		lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
		for _, id := range ids {
			e := event.Event{Name: event.NameRequest, Time: 1}
			e.ID = id
			e.Encode(lrs.AppendEmpty())
		}
	}
	return ld
}

func ids(ld plog.Logs) string {
	var out []string
	f, _ := (&Route{}).Compile()
	for rec := range NewReader(f, nil).Read(context.Background(), ld) {
		out = append(out, rec.Key())
	}
	return strings.Join(out, " ")
}

func TestRefusalsCarryOnlyTheRefused(t *testing.T) {
	ld := batch([]string{"a", "b"}, []string{"c"}, []string{"d", "e"})
	var r Refusals
	if err := r.Err(ld); err != nil {
		t.Fatal(err)
	}
	r.Add(1, "x_400")
	r.Add(3, "x_6")
	r.Add(4, "x_6")
	err := r.Err(ld)
	var rest consumererror.Logs
	if !streams.Permanent(err) || !errors.As(err, &rest) {
		t.Fatalf("%v is not permanent with its records", err)
	}
	if got := ids(rest.Data()); got != "b d e" {
		t.Errorf("carries %q", got)
	}
	if n := rest.Data().ResourceLogs().Len(); n != 2 {
		t.Errorf("%d resources", n)
	}
	if v, _ := rest.Data().ResourceLogs().At(1).Resource().Attributes().Get(event.AttrStreamSeq); v.Int() != 3 {
		t.Errorf("resource of the second is that of message %d", v.Int())
	}
	if got := streams.Reason(err); got != "x_6" {
		t.Errorf("reason %q", got)
	}
	if got := ids(ld); got != "a b c d e" {
		t.Errorf("the batch became %q", got)
	}
}

func TestConfirmed(t *testing.T) {
	c := NewConfirmed(2)
	first := streams.WithOrigin(context.Background(), streams.Origin{Stream: "EVENTS", First: 1, Last: 1})
	second := streams.WithOrigin(context.Background(), streams.Origin{Stream: "EVENTS", First: 1, Last: 1, Redelivered: true})
	rec := func(id string) *Record {
		e := &event.Event{}
		e.ID = id
		return &Record{Event: e}
	}
	has := func(b *Batch, ids ...string) string {
		var out []string
		for _, id := range ids {
			if b.Has(rec(id)) {
				out = append(out, id)
			}
		}
		return strings.Join(out, " ")
	}
	fail := errors.New("down")
	b := c.Batch(first)
	b.Add("a")
	b.Add("b")
	if err := b.Failed(fail); err != fail {
		t.Fatal(err)
	}
	b = c.Batch(second)
	if got := has(b, "a", "b", "c"); got != "a b" {
		t.Errorf("redelivered: %q", got)
	}
	b.Add("c")
	_ = b.Failed(fail)
	b = c.Batch(second)
	if got := has(b, "a", "b", "c"); got != "a b c" {
		t.Errorf("redelivered twice: %q", got)
	}
	b.Done()
	if got := has(c.Batch(second), "a", "b", "c"); got != "" {
		t.Errorf("after the end: %q", got)
	}
	b = c.Batch(first)
	b.Add("a")
	_ = b.Failed(fail)
	if got := has(c.Batch(first), "a"); got != "" {
		t.Errorf("a first delivery, as after a reset of the consumer, leaves out %q", got)
	}
	if got := has(c.Batch(second), "a"); got != "" {
		t.Errorf("and then %q", got)
	}
	b = c.Batch(first)
	for _, k := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		b.Add(k)
	}
	_ = b.Failed(fail)
	if n := len(c.now) + len(c.past); n > 4 {
		t.Errorf("holds %d records, its bound is 4", n)
	}
	if got := has(c.Batch(context.Background()), "7"); got != "" {
		t.Errorf("without an origin: %q", got)
	}
}

func TestFindingKey(t *testing.T) {
	f := &finding.Finding{}
	f.ID = "f"
	if got := (&Record{Finding: f}).Key(); got != "f" {
		t.Error(got)
	}
	f.Revision = 12
	if got := (&Record{Finding: f}).Key(); got != "f-12" {
		t.Error(got)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f := func(v string, want time.Duration) {
		t.Helper()
		if got := RetryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
	f("", 0)
	f("7", 7*time.Second)
	f(" 7 ", 7*time.Second)
	f("0", 0)
	f("-7", 0)
	f("1e9", 0)
	f("999999", MaxRetryAfter)
	f("99999999999999999999", 0)
	f("Sun, 22 Nov 2026 12:00:30 GMT", 30*time.Second)
	f("Sun, 22 Nov 2026 11:00:30 GMT", 0)
	f("soon", 0)
	if got := RetryAfter(http.Header{}, now); got != 0 {
		t.Error(got)
	}
}

func TestRetry(t *testing.T) {
	cfg := RetryConfig{Initial: time.Second, Max: 4 * time.Second, MaxElapsed: time.Minute}
	busy := errors.New("busy")
	f := func(name string, timeout time.Duration, answers []error, wantTries int, want error, from, to time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			var gate Gate
			start, tries := time.Now(), 0
			err := Retry(ctx, cfg, &gate, nil, func(context.Context) error {
				tries++
				return answers[min(tries, len(answers))-1]
			})
			if !errors.Is(err, want) || tries != wantTries {
				t.Errorf("%s: %d tries, %v", name, tries, err)
			}
			if d := time.Since(start); d < from || d > to {
				t.Errorf("%s: took %v", name, d)
			}
		})
	}
	f("at once", 0, []error{nil}, 1, nil, 0, 0)
	f("final", 0, []error{busy}, 1, busy, 0, 0)
	f("once more", 0, []error{Again(busy, "busy", 0, false), nil}, 2, nil, time.Second/2, time.Second)
	f("asked to wait", 0, []error{Again(busy, "busy", 20*time.Second, true), nil}, 2, nil, 20*time.Second, 21*time.Second)
	f("asked to wait too long", 0, []error{Again(busy, "busy", 2*time.Minute, true)}, 1, busy, 0, 0)
	f("cancelled", time.Second/4, []error{Again(busy, "busy", 0, false)}, 1, context.DeadlineExceeded, time.Second/4, time.Second/4)
	synctest.Test(t, func(t *testing.T) {
		var gate Gate
		gate.Pause(3 * time.Second)
		gate.Pause(time.Second)
		start := time.Now()
		if err := gate.Wait(context.Background()); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) Secret {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return Secret{File: p}
	}
	t.Setenv("SINK_TEST_TOKEN", " tok ")
	f := func(s Secret, want, wantErr string) {
		t.Helper()
		got, err := s.Read()
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%q, %v", got, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	f(file("a", "s3cret\n"), "s3cret", "")
	f(file("b", "  \n"), "", "is empty")
	f(file("c", "s3cret\ns3cret"), "", "more than one line")
	f(file("d", strings.Repeat("s3cret", 20000)), "", "larger than")
	f(Secret{File: filepath.Join(dir, "none")}, "", "cannot read a secret")
	f(Secret{Env: "SINK_TEST_TOKEN"}, "tok", "")
	f(Secret{Env: "SINK_TEST_NONE"}, "", "SINK_TEST_NONE is not set")
	if (Secret{}).Validate() != nil || (Secret{}).Required() == nil || (Secret{File: "a", Env: "b"}).Validate() == nil || (Secret{Env: "b"}).Validate() != nil {
		t.Error("Validate")
	}
}
