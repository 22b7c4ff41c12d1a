package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector takes OTLP/HTTP logs. answers are given in turn; 200 after the last.
type collector struct {
	*httptest.Server
	t        *testing.T
	answers  []func(w http.ResponseWriter)
	ids      []string
	bodies   []string
	requests int
	maxLines int // more in one request is 413; 0 none
}

func newCollector(t *testing.T, answers ...func(http.ResponseWriter)) *collector {
	c := &collector{t: t, answers: answers}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func status(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, "s3cret answer")
	}
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.requests++
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		c.t.Error(err)
		return
	}
	b, _ := io.ReadAll(z)
	if r.URL.Path != "/v1/logs" || r.Header.Get("Authorization") != "Bearer tok" {
		c.t.Errorf("%s %s", r.URL.Path, r.Header.Get("Authorization"))
	}
	if len(c.answers) > 0 {
		a := c.answers[0]
		c.answers = c.answers[1:]
		a(w)
		return
	}
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalProto(b); err != nil {
		c.t.Error(err)
	}
	if n := req.Logs().LogRecordCount(); c.maxLines > 0 && n > c.maxLines {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	for _, lr := range req.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
		id, _ := lr.Attributes().Get("log.record.uid")
		c.ids = append(c.ids, id.AsString())
		c.bodies = append(c.bodies, lr.Body().AsString())
	}
}

func (c *collector) options() Options {
	return Options{Endpoint: c.URL, Token: "tok", Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"time":"2026-11-01T11:00:00Z","message":{"jsonrpc":"2.0","id":%d,"method":"ping"}}`+"\n", i)
	}
	return b.String()
}

func TestRun(t *testing.T) {
	c := newCollector(t)
	o := c.options()
	o.BatchLines = 10
	var progress []int64
	o.Progress = func(n Counts) { progress = append(progress, n.Sent) }
	in := lines(25)
	n, err := Run(context.Background(), strings.NewReader(in), o)
	if err != nil || n.Sent != 25 || n.Lines != 25 || n.Bad != 0 || n.Bytes != int64(len(in)-25) || !slices.Equal(progress, []int64{10, 20, 25}) {
		t.Fatal(n, err, progress)
	}
	if strings.Join(c.bodies, "\n")+"\n" != in {
		t.Error("lines changed")
	}
	// The same file has the same ids, in other batches and without its last line end too.
	again := newCollector(t)
	o = again.options()
	o.BatchBytes = 1
	if _, err := Run(context.Background(), iotest.OneByteReader(strings.NewReader(strings.TrimSuffix(in, "\n"))), o); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.ids, again.ids) || again.requests != 25 {
		t.Error("ids differ", again.requests)
	}
	slices.Sort(again.ids)
	if len(slices.Compact(again.ids)) != 25 {
		t.Error("ids are not unique")
	}
	// Equal lines are different events.
	c = newCollector(t)
	if _, err := Run(context.Background(), strings.NewReader(lines(1)+lines(1)), c.options()); err != nil || c.ids[0] == c.ids[1] {
		t.Error(err, c.ids)
	}
}

func TestResume(t *testing.T) {
	whole := newCollector(t)
	in := lines(30)
	if _, err := Run(context.Background(), strings.NewReader(in), whole.options()); err != nil {
		t.Fatal(err)
	}
	c := newCollector(t, status(200), status(200), status(500))
	o := c.options()
	o.BatchLines = 7
	n, err := Run(context.Background(), strings.NewReader(in), o)
	var stop *Error
	if !errors.As(err, &stop) || stop.Line != 15 || n.Sent != 14 || strings.Contains(err.Error(), "s3cret") {
		t.Fatal(n, err)
	}
	c.answers = nil
	o.FromLine = stop.Line
	n, err = Run(context.Background(), strings.NewReader(in), o)
	if err != nil || n.Skipped != 14 || n.Sent != 16 || !slices.Equal(c.ids, whole.ids[14:]) {
		t.Error(n, err)
	}
}

func TestBadLines(t *testing.T) {
	in := lines(1) +
		"\n" +
		"{\"s3cret\":\n" +
		"[1]\n" +
		`{"time":"2026-11-01T11:00:00Z"}` + "\n" +
		`{"time":7,"message":{}}` + "\n" +
		`{"time":"s3cret","message":{}}` + "\n" +
		strings.Repeat("x", 2000) + "\n" +
		"  \r\n" +
		strings.TrimSuffix(lines(1), "\n") + "\r\n" +
		strings.Repeat("y", 2000)
	c := newCollector(t)
	o := c.options()
	o.MaxLine = 1000
	var bad []BadLine
	o.Bad = func(b BadLine) { bad = append(bad, b) }
	n, err := Run(context.Background(), strings.NewReader(in), o)
	want := []BadLine{{3, "not valid JSON"}, {4, "not an object with time and message"}, {5, "not an object with message"}, {6, "time is not a string"},
		{7, "time is not an RFC 3339 time"}, {8, "longer than 1000 bytes"}, {11, "longer than 1000 bytes"}}
	if err != nil || n.Sent != 2 || n.Bad != 7 || n.Lines != 11 || !slices.Equal(bad, want) {
		t.Errorf("%+v %v\n%v", n, err, bad)
	}
	o.Strict = true
	n, err = Run(context.Background(), strings.NewReader(in), o)
	var stop *Error
	if !errors.As(err, &stop) || stop.Line != 3 || !errors.Is(err, ErrStrict) || n.Sent != 1 || strings.Contains(err.Error(), "s3cret") {
		t.Error(n, err)
	}
}

func TestRetries(t *testing.T) {
	f := func(name string, wantSent int64, wantErr string, answers ...func(http.ResponseWriter)) {
		t.Helper()
		c := newCollector(t, answers...)
		var waits []time.Duration
		o := c.options()
		o.sleep = func(ctx context.Context, d time.Duration) error { waits = append(waits, d); return ctx.Err() }
		n, err := Run(context.Background(), strings.NewReader(lines(3)), o)
		if n.Sent != wantSent || (err == nil) != (wantErr == "") || (err != nil && !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%s: %+v %v", name, n, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the answer leaks", name)
		}
		if name == "retry after" && (len(waits) != 1 || waits[0] != 7*time.Second) {
			t.Errorf("waits %v", waits)
		}
	}
	f("busy", 3, "", status(429), status(503), status(502), status(504))
	f("retry after", 3, "", status(429, "Retry-After", "7"))
	f("token", 0, "refused the token", status(401))
	f("bad request", 0, "HTTP status 400", status(400))
	f("hung up", 3, "", func(w http.ResponseWriter) { panic(http.ErrAbortHandler) })

	c := newCollector(t, slices.Repeat([]func(http.ResponseWriter){status(503)}, 50)...)
	o := c.options()
	o.RetryFor = time.Millisecond
	if _, err := Run(context.Background(), strings.NewReader(lines(1)), o); err == nil || !strings.Contains(err.Error(), "gave up") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, strings.NewReader(lines(1)), newCollector(t).options()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := Run(context.Background(), io.MultiReader(strings.NewReader(lines(2)), iotest.ErrReader(io.ErrClosedPipe)), newCollector(t).options()); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	for _, bad := range []string{"", "127.0.0.1:4318", "ftp://h", "http://"} {
		if _, err := Run(context.Background(), strings.NewReader(""), Options{Endpoint: bad}); err == nil {
			t.Errorf("endpoint %q was taken", bad)
		}
	}
}

func TestTooLargeIsSplit(t *testing.T) {
	c := newCollector(t)
	c.maxLines = 4
	n, err := Run(context.Background(), strings.NewReader(lines(30)), c.options())
	if err != nil || n.Sent != 30 || len(c.ids) != 30 {
		t.Fatal(n, err)
	}
	c = newCollector(t, status(413))
	n, err = Run(context.Background(), strings.NewReader(lines(1)), c.options())
	if err != nil || n.Bad != 1 || n.Sent != 0 {
		t.Error(n, err)
	}
}

func TestPartialSuccess(t *testing.T) {
	c := newCollector(t, func(w http.ResponseWriter) {
		r := plogotlp.NewExportResponse()
		r.PartialSuccess().SetRejectedLogRecords(2)
		b, _ := r.MarshalProto()
		w.Write(b)
	})
	n, err := Run(context.Background(), strings.NewReader(lines(3)), c.options())
	if err != nil || n.Rejected != 2 || n.Sent != 3 || c.requests != 1 {
		t.Error(n, err, c.requests)
	}
}

func FuzzRun(f *testing.F) {
	f.Add([]byte(lines(2)))
	f.Add([]byte("\xef\xbb\xbf{\"time\":\"2026-11-01T11:00:00Z\",\"message\":\"\xff\"}\r\n\n{"))
	ok := plogotlp.NewExportResponse()
	body, _ := ok.MarshalProto()
	client := &http.Client{Transport: answer(body)}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Run(context.Background(), bytes.NewReader(b), Options{Endpoint: "http://h", Client: client, MaxLine: 200, BatchLines: 2})
		if err != nil {
			t.Fatal(err)
		}
		want := int64(bytes.Count(b, []byte("\n")))
		if len(b) > 0 && b[len(b)-1] != '\n' {
			want++
		}
		if n.Lines < want-1 || n.Lines > want || n.Sent+n.Bad > n.Lines {
			t.Fatalf("%d lines: %+v", want, n)
		}
	})
}

type answer []byte

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(a)), Header: http.Header{}, Request: r}, nil
}
