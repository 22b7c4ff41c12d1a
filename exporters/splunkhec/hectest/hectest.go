// Package hectest is an HTTP Event Collector for tests: it stores what it is sent, answers as Splunk does, and misbehaves in every way that
// Splunk, its load balancers and networks are known to.
package hectest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Token is the token that a Server knows unless told otherwise.
const Token = "00000000-hec0-test-0000-planted00000"

// Event is one stored event.
type Event struct {
	Time       json.Number         `json:"time"`
	Host       string              `json:"host"`
	Source     string              `json:"source"`
	SourceType string              `json:"sourcetype"`
	Index      string              `json:"index"`
	Event      map[string]any      `json:"-"`
	Fields     map[string]any      `json:"fields"`
	RawEvent   json.RawMessage     `json:"event"`
	Token      string              `json:"-"`
	Request    int                 `json:"-"` // number of the request, from 1
	Query      map[string][]string `json:"-"`
}

// ID is the event's or finding's id, and the revision if there is one.
func (e *Event) ID() string {
	if id, ok := e.Event["finding_id"].(string); ok {
		if rev, ok := e.Event["revision"]; ok {
			return fmt.Sprintf("%s-%v", id, rev)
		}
		return id
	}
	id, _ := e.Event["event_id"].(string)
	return id
}

// Fault is what goes wrong with a request. The zero value is nothing.
type Fault struct {
	Code       int           // HEC's code, with its HTTP status
	HTTP       int           // HTTP status, if it is another, or one without a HEC body
	RetryAfter string        // header
	Delay      time.Duration // before the answer
	Hang       bool          // no answer until the client gives up
	Reset      bool          // the connection is reset while the body is read
	ResetAfter bool          // the events are stored and the connection is reset instead of an answer
	Page       bool          // HTTP 200 with a page of a proxy
	AckLost    bool          // accepted, and the node forgets that it was
	AckNever   bool          // accepted, and neither stored nor ever acknowledged
	NoAckID    bool          // accepted without an ackId
}

// Server is the collector. Set its fields before the first request.
type Server struct {
	*httptest.Server

	Tokens     map[string]bool // token -> enabled
	Indexes    []string        // allowed; nil: all
	Ack        bool            // tokens acknowledge
	AckDelay   int             // questions until an ackId is true
	MaxContent int             // bytes on the wire, 413 above; 0: none
	Cookie     string          // name of a load balancer's cookie that requests need
	// Refuse says for an event whether HEC refuses it, and with which code; 0 accepts it.
	Refuse func(*Event) int
	// HideNumber leaves out invalid-event-number; WrongNumber gives a wrong one.
	HideNumber, WrongNumber bool
	// Fault decides for request n, from 1, of the events' endpoints. It may block.
	Fault func(n int, r *http.Request) Fault
	// AckFault decides for a question for acknowledgements, from 1.
	AckFault func(n int) Fault
	// DropEvents keeps no events, for measurements.
	DropEvents bool

	mu       sync.Mutex
	events   []Event
	requests int
	polls    int
	channels map[string]*channel
	accepted int // events of requests answered with success
	down     chan struct{}
	seen     []Request
}

// Request is what a test may want to know of a request.
type Request struct {
	Path, Channel, Encoding, Auth string
	Query                         map[string][]string
	Bytes                         int
	Events                        int
}

type channel struct {
	next  int64
	state map[int64]int // questions left; below 0: never
}

// New starts a server; it ends with the test.
func New(t testing.TB, edit ...func(*Server)) *Server {
	s := NewUnstarted(edit...)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// NewUnstarted makes a server that is a handler only.
func NewUnstarted(edit ...func(*Server)) *Server {
	s := &Server{Tokens: map[string]bool{Token: true}, channels: map[string]*channel{}, down: make(chan struct{})}
	for _, f := range edit {
		f(s)
	}
	return s
}

// Close ends hanging requests and the server.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.down:
	default:
		close(s.down)
	}
	s.mu.Unlock()
	s.Server.CloseClientConnections()
	s.Server.Close()
}

// Events returns what is stored.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Counts returns how often each event is stored, by its ID.
func (s *Server) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for i := range s.events {
		out[s.events[i].ID()]++
	}
	return out
}

// Requests returns the requests of the events' endpoints.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Polls is how often it was asked for acknowledgements.
func (s *Server) Polls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

// Restart forgets channels and acknowledgements, as a node does.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels = map[string]*channel{}
}

var replies = map[int]struct {
	http int
	text string
}{
	0: {200, "Success"}, 1: {403, "Token disabled"}, 2: {401, "Token is required"}, 3: {401, "Invalid authorization"}, 4: {403, "Invalid token"},
	5: {400, "No data"}, 6: {400, "Invalid data format"}, 7: {400, "Incorrect index"}, 8: {500, "Internal server error"}, 9: {503, "Server is busy"},
	10: {400, "Data channel is missing"}, 11: {400, "Invalid data channel"}, 12: {400, "Event field is required"}, 13: {400, "Event field cannot be blank"},
	14: {400, "ACK is disabled"}, 15: {400, "Error in handling indexed fields"}, 16: {400, "Query string authorization is not enabled"}, 17: {200, "HEC is healthy"},
	18: {503, "HEC is unhealthy, queues are full"}, 19: {503, "HEC is unhealthy, ack service unavailable"}, 20: {503, "HEC is unhealthy, queues are full, ack service unavailable"},
	21: {400, "Invalid token"}, 22: {400, "Token disabled"}, 23: {503, "Server is shutting down"}, 24: {429, "Queue approaching capacity"},
	25: {429, "Ack channel approaching capacity"}, 26: {429, "Queue at capacity"}, 27: {429, "Ack channel at capacity"},
}

func answer(w http.ResponseWriter, code int, extra map[string]any) {
	r := replies[code]
	out := map[string]any{"text": r.text, "code": code}
	maps.Copy(out, extra)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.http)
	_ = json.NewEncoder(w).Encode(out)
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimSuffix(r.URL.Path, "/1.0") {
	case "/services/collector/health":
		answer(w, 17, nil)
	case "/services/collector", "/services/collector/event":
		s.take(w, r, false)
	case "/services/collector/raw":
		s.take(w, r, true)
	case "/services/collector/ack":
		s.poll(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) authorize(w http.ResponseWriter, r *http.Request) (token string, ok bool) {
	auth := r.Header.Get("Authorization")
	if auth == "" {
		answer(w, 2, nil)
		return "", false
	}
	token, ok = strings.CutPrefix(auth, "Splunk ")
	if !ok {
		answer(w, 3, nil)
		return "", false
	}
	enabled, known := s.Tokens[token]
	switch {
	case !known:
		answer(w, 4, nil)
	case !enabled:
		answer(w, 1, nil)
	default:
		return token, true
	}
	return "", false
}

func (s *Server) take(w http.ResponseWriter, r *http.Request, raw bool) {
	token, ok := s.authorize(w, r)
	if !ok {
		return
	}
	if r.ContentLength == 0 {
		answer(w, 5, nil)
		return
	}
	s.mu.Lock()
	s.requests++
	n := s.requests
	s.mu.Unlock()
	var f Fault
	if s.Fault != nil {
		f = s.Fault(n, r)
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			return
		}
	}
	if f.Hang {
		_, _ = io.Copy(io.Discard, r.Body) // else the client's leaving is not noticed
		select {
		case <-r.Context().Done():
		case <-s.down:
		}
		return
	}
	if f.Reset {
		_, _ = io.CopyN(io.Discard, r.Body, 100)
		reset(w)
		return
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if s.Cookie != "" {
		if _, err := r.Cookie(s.Cookie); err != nil {
			http.SetCookie(w, &http.Cookie{Name: s.Cookie, Value: "node1", Path: "/"})
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	if f.Page {
		_, _ = io.WriteString(w, "<html>Please log in</html>")
		return
	}
	if f.HTTP != 0 {
		w.WriteHeader(f.HTTP)
		return
	}
	if f.Code != 0 {
		answer(w, f.Code, nil)
		return
	}
	ch := r.Header.Get("X-Splunk-Request-Channel")
	if s.Ack && ch == "" {
		answer(w, 10, nil)
		return
	}
	if ch != "" && len(ch) != 36 {
		answer(w, 11, nil)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return
	}
	if s.MaxContent > 0 && len(body) > s.MaxContent {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	wire := len(body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(io.LimitReader(zr, 64<<20))
		}
		if err != nil {
			answer(w, 6, nil)
			return
		}
	}
	var events []Event
	code, number := 0, 0
	if !s.DropEvents {
		if raw {
			events, code, number = s.lines(body, r.URL.Query())
		} else {
			events, code, number = s.parse(body)
		}
	}
	if code == 0 && s.Indexes != nil {
		for i := range events {
			if !slices.Contains(s.Indexes, events[i].Index) {
				code, number = 7, i
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, Request{Path: r.URL.Path, Channel: ch, Encoding: r.Header.Get("Content-Encoding"), Auth: r.Header.Get("Authorization"), Query: r.URL.Query(), Bytes: wire, Events: len(events)})
	if code != 0 {
		extra := map[string]any{"invalid-event-number": number}
		if s.WrongNumber {
			extra["invalid-event-number"] = number + 1
		}
		if s.HideNumber || raw {
			extra = nil
		}
		answer(w, code, extra)
		return
	}
	if !f.AckNever {
		for i := range events {
			events[i].Token, events[i].Request, events[i].Query = token, n, r.URL.Query()
		}
		s.events = append(s.events, events...)
	}
	if f.ResetAfter {
		reset(w)
		return
	}
	s.accepted += len(events)
	if !s.Ack || f.NoAckID {
		answer(w, 0, nil)
		return
	}
	c := s.channels[ch]
	if c == nil {
		c = &channel{state: map[int64]int{}}
		s.channels[ch] = c
	}
	id := c.next
	c.next++
	switch {
	case f.AckNever:
		c.state[id] = -1
	case !f.AckLost:
		c.state[id] = s.AckDelay
	}
	answer(w, 0, map[string]any{"ackId": id})
}

// parse reads concatenated events as Splunk does: one that is bad spoils the request, and its number is told.
func (s *Server) parse(body []byte) (events []Event, code, number int) {
	dec := json.NewDecoder(bytes.NewReader(body))
	for {
		var e Event
		err := dec.Decode(&e)
		if err == io.EOF {
			return events, 0, 0
		}
		if err != nil {
			return nil, 6, len(events)
		}
		raw := bytes.TrimSpace(e.RawEvent)
		switch {
		case len(raw) == 0:
			return nil, 12, len(events)
		case bytes.Equal(raw, []byte("null")), bytes.Equal(raw, []byte(`""`)):
			return nil, 13, len(events)
		}
		if json.Unmarshal(raw, &e.Event) != nil {
			return nil, 6, len(events)
		}
		for _, v := range e.Fields {
			switch v := v.(type) {
			case string:
			case []any:
				for _, x := range v {
					if _, ok := x.(string); !ok {
						return nil, 15, len(events)
					}
				}
			default:
				return nil, 15, len(events)
			}
		}
		if s.Refuse != nil {
			if c := s.Refuse(&e); c != 0 {
				return nil, c, len(events)
			}
		}
		events = append(events, e)
	}
}

func (s *Server) lines(body []byte, q map[string][]string) (events []Event, code, number int) {
	get := func(k string) string {
		if v := q[k]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	for line := range bytes.Lines(body) {
		e := Event{Host: get("host"), Source: get("source"), SourceType: get("sourcetype"), Index: get("index"), RawEvent: bytes.Clone(line)}
		if json.Unmarshal(line, &e.Event) != nil {
			e.Event = map[string]any{"_raw": string(line)} // Splunk indexes whatever it is
		}
		events = append(events, e)
	}
	return events, 0, 0
}

func (s *Server) poll(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.authorize(w, r); !ok {
		return
	}
	s.mu.Lock()
	s.polls++
	n := s.polls
	s.mu.Unlock()
	if s.AckFault != nil {
		f := s.AckFault(n)
		switch {
		case f.Reset:
			reset(w)
			return
		case f.Code != 0:
			answer(w, f.Code, nil)
			return
		case f.HTTP != 0:
			w.WriteHeader(f.HTTP)
			return
		}
	}
	if !s.Ack {
		answer(w, 14, nil)
		return
	}
	var q struct {
		Acks []int64 `json:"acks"`
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		answer(w, 6, nil)
		return
	}
	ch := r.URL.Query().Get("channel")
	if ch == "" {
		answer(w, 10, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]bool{}
	c := s.channels[ch]
	for _, id := range q.Acks {
		k := strconv.FormatInt(id, 10)
		out[k] = false
		if c == nil {
			continue
		}
		left, ok := c.state[id]
		switch {
		case !ok || left < 0:
		case left == 0:
			out[k] = true
			delete(c.state, id) // told once
		default:
			c.state[id] = left - 1
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"acks": out})
}

// reset cuts the connection without an answer.
func reset(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tc, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = tc.SetLinger(0)
	}
	_ = c.Close()
}
