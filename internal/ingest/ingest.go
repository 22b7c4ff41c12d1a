// Package ingest sends files of events in the JSON form, one a line, to a collector as OTLP/HTTP logs.
//
// A line's id comes from its content and that of all lines before it, so a file that is sent again, in part or whole, makes
// the same events. No error or report holds any of a line's content.
package ingest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// Options of Run. Endpoint is required.
type Options struct {
	Endpoint   string            // http(s)://host:port, or with a path; /v1/logs is added to none
	Token      string            // bearer token; empty sends none
	Client     *http.Client      // http.DefaultClient if nil
	Resource   map[string]string // resource attributes for all events, e.g. host.name
	FromLine   int64             // first line to send, from 1; those before are read only, for the ids
	MaxLine    int               // longest line, bytes; 16 MiB if 0
	BatchBytes int               // a batch is sent when it has as many bytes of lines; 512 KiB if 0
	BatchLines int               // ... or as many lines; 1000 if 0
	RetryFor   time.Duration     // how long a batch is tried while the collector cannot take it; 10 min if 0
	Strict     bool              // stop at the first line at fault, with what came before it sent
	Bad        func(BadLine)     // told of each line at fault, which is passed over; may be nil
	Progress   func(Counts)      // told after each batch; may be nil

	sleep func(context.Context, time.Duration) error // for tests
}

// BadLine is a line that is no event.
type BadLine struct {
	Line   int64  // from 1
	Reason string // without content
}

// Counts says how far Run got.
type Counts struct {
	Lines    int64 // read, blank ones included
	Sent     int64 // acknowledged by the collector
	Bad      int64 // at fault, passed over
	Rejected int64 // among those sent: what the collector says it did not take
	Skipped  int64 // before FromLine
	Bytes    int64 // of lines sent
}

// Error is why Run stopped early. Sending again from Line completes the file.
type Error struct {
	Line int64 // first line that is not known to be taken
	Err  error
}

// Error says where and why.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// ErrStrict is the reason of an Error that a line at fault caused in strict mode.
var ErrStrict = errors.New("not an event")

type run struct {
	o      Options
	url    string
	counts Counts
	chain  [sha256.Size]byte // hash over all lines so far

	logs  plog.Logs
	recs  plog.LogRecordSlice
	lines []int64 // numbers of the lines in the batch
	bytes int
}

// Run reads lines from r and sends them until r or ctx ends. Memory: one batch and one line.
func Run(ctx context.Context, r io.Reader, o Options) (Counts, error) {
	u, err := endpoint(o.Endpoint)
	if err != nil {
		return Counts{}, err
	}
	defaults(&o)
	s := &run{o: o, url: u}
	s.reset()
	br := bufio.NewReaderSize(r, 256<<10)
	for {
		line, tooLong, err := s.readLine(br)
		if err != nil && err != io.EOF {
			return s.stop(ctx, fmt.Errorf("cannot read: %w", err))
		}
		if len(line) > 0 || tooLong || err == nil {
			s.counts.Lines++
			if e := s.take(ctx, line, tooLong); e != nil {
				return s.counts, e
			}
		}
		if err == io.EOF {
			return s.counts, s.flush(ctx)
		}
	}
}

func defaults(o *Options) {
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	if o.MaxLine <= 0 {
		o.MaxLine = 16 << 20
	}
	if o.BatchBytes <= 0 {
		o.BatchBytes = 512 << 10
	}
	if o.BatchLines <= 0 {
		o.BatchLines = 1000
	}
	if o.RetryFor <= 0 {
		o.RetryFor = 10 * time.Minute
	}
	if o.sleep == nil {
		o.sleep = sleep
	}
}

func endpoint(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("cannot use endpoint: it must be a URL such as http://127.0.0.1:4318")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/logs"
	}
	return u.String(), nil
}

// stop sends what is waiting and returns why reading ended.
func (s *run) stop(ctx context.Context, why error) (Counts, error) {
	next := s.counts.Lines + 1
	if err := s.flush(ctx); err != nil {
		return s.counts, err
	}
	return s.counts, &Error{next, why}
}

// readLine returns the next line without its end. A longer one than MaxLine is read over, and its hash taken all the same.
func (s *run) readLine(br *bufio.Reader) (line []byte, tooLong bool, err error) {
	h := sha256.New()
	h.Write(s.chain[:])
	n := 0
	for {
		var part []byte
		part, err = br.ReadSlice('\n')
		n += len(part)
		part = bytes.TrimRight(part, "\n")
		h.Write(part)
		if n > s.o.MaxLine+1 {
			line, tooLong = nil, true
		} else {
			line = append(line, part...)
		}
		if err != bufio.ErrBufferFull {
			break
		}
	}
	if n > 0 {
		s.chain = [sha256.Size]byte(h.Sum(nil))
	}
	return bytes.TrimRight(line, "\r"), tooLong, err
}

// take puts one line into the batch, and sends the batch if it is full.
func (s *run) take(ctx context.Context, line []byte, tooLong bool) error {
	if s.counts.Lines < s.o.FromLine {
		s.counts.Skipped++
		return nil
	}
	if !tooLong && len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if reason := s.fault(line, tooLong); reason != "" {
		s.counts.Bad++
		if s.o.Bad != nil {
			s.o.Bad(BadLine{s.counts.Lines, reason})
		}
		if !s.o.Strict {
			return nil
		}
		at := s.counts.Lines
		if err := s.flush(ctx); err != nil {
			return err
		}
		return &Error{at, fmt.Errorf("%w: %s", ErrStrict, reason)}
	}
	lr := s.recs.AppendEmpty()
	if utf8.Valid(line) {
		lr.Body().SetStr(string(line))
	} else { // an OTLP string must be UTF-8
		lr.Body().SetEmptyBytes().FromRaw(line)
	}
	lr.Attributes().PutStr("log.record.uid", hex.EncodeToString(s.chain[:16]))
	s.lines = append(s.lines, s.counts.Lines)
	s.bytes += len(line)
	if s.bytes >= s.o.BatchBytes || len(s.lines) >= s.o.BatchLines {
		return s.flush(ctx)
	}
	return nil
}

// fault says why a line is no event in the JSON form; empty if it is one.
func (s *run) fault(line []byte, tooLong bool) string {
	line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	switch {
	case tooLong:
		return fmt.Sprintf("longer than %d bytes", s.o.MaxLine)
	case !mcp.Valid(line):
		return "not valid JSON"
	}
	var missing []string
	for _, k := range []string{"time", "message"} {
		if _, ok := mcp.Get(line, k); !ok {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		return "not an object with " + strings.Join(missing, " and ")
	}
	t, _ := mcp.Get(line, "time")
	if v, ok := mcp.Text(t); !ok {
		return "time is not a string"
	} else if _, err := time.Parse(time.RFC3339Nano, v); err != nil {
		return "time is not an RFC 3339 time"
	}
	return ""
}

func (s *run) reset() {
	s.logs = plog.NewLogs()
	rl := s.logs.ResourceLogs().AppendEmpty()
	for k, v := range s.o.Resource {
		rl.Resource().Attributes().PutStr(k, v)
	}
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("mcpsiem ingest")
	s.recs = sl.LogRecords()
	s.lines, s.bytes = s.lines[:0], 0
}

// flush sends the batch.
func (s *run) flush(ctx context.Context) error {
	if len(s.lines) == 0 {
		return nil
	}
	if err := s.send(ctx, s.logs, s.lines); err != nil {
		return err
	}
	s.reset()
	if s.o.Progress != nil {
		s.o.Progress(s.counts)
	}
	return nil
}
