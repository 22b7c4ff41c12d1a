// Package pagerdutytest is PagerDuty's Events API v2 for tests, as its documentation describes it: /v2/enqueue and /v2/change/enqueue take JSON,
// answer 202 with status, message and dedup_key, 400 with status, message and errors, 429 and 5xx. An alert is open from its trigger to its
// resolution; triggers of an open alert are appended to it; acknowledgements and resolutions of one that is not open are taken and ignored.
package pagerdutytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// Key is an integration key; Key with another last digit is another one that the server knows.
const Key = "0123456789abcdef0123456789abcde0"

// Event is one request that was taken.
type Event struct {
	RoutingKey string           `json:"routing_key"`
	Action     string           `json:"event_action"`
	DedupKey   string           `json:"dedup_key"`
	Payload    *Payload         `json:"payload"`
	Links      []map[string]any `json:"links"`
	Client     string           `json:"client"`
	ClientURL  string           `json:"client_url"`
	Raw        string           `json:"-"`
}

// Payload of an event.
type Payload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity"`
	Timestamp string         `json:"timestamp"`
	Component string         `json:"component"`
	Group     string         `json:"group"`
	Class     string         `json:"class"`
	Details   map[string]any `json:"custom_details"`
}

// Alert is what PagerDuty has of a key.
type Alert struct {
	Status   string // triggered, acknowledged, resolved
	Incident int    // how many alerts this key has opened
	Triggers int    // in the present one
}

// Fault is what goes wrong with a request. The zero value is nothing.
type Fault struct {
	Status     int           // answered instead of working on it
	RetryAfter string        // header
	Delay      time.Duration // before the answer
	Reset      bool          // the connection breaks before the event is taken
	ResetAfter bool          // the event is taken and the connection breaks instead of an answer
	Page       bool          // HTTP 200 with a page of a proxy
}

// Server is the API. Set its fields before the first request.
type Server struct {
	*httptest.Server
	Fault  func(n int, e *Event) Fault // of request n, from 1
	Refuse func(e *Event) string       // text for the errors of a 400; empty: taken

	mu      sync.Mutex
	n       int
	events  []Event
	changes []Event
	alerts  map[string]*Alert // by routing key and dedup key
	faults  int
}

// New starts a server; it ends with the test.
func New(t testing.TB, edit ...func(*Server)) *Server {
	s := &Server{alerts: map[string]*Alert{}}
	for _, f := range edit {
		f(s)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var e Event
	bad := json.Unmarshal(body, &e) != nil
	e.Raw = string(body)
	s.mu.Lock()
	s.n++
	n := s.n
	s.mu.Unlock()
	var f Fault
	if s.Fault != nil {
		f = s.Fault(n, &e)
	}
	if f != (Fault{}) {
		s.mu.Lock()
		s.faults++
		s.mu.Unlock()
	}
	time.Sleep(f.Delay)
	switch {
	case f.Reset:
		panic(http.ErrAbortHandler)
	case f.Page:
		_, _ = io.WriteString(w, "<html>sign in</html>")
		return
	case f.Status != 0:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		answer(w, f.Status, map[string]any{"status": "error", "message": "planted-answer"})
		return
	}
	change := r.URL.Path == "/v2/change/enqueue"
	errs := problems(&e, change)
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/v2/enqueue" && !change:
		http.NotFound(w, r)
		return
	case len(body) > 512<<10:
		answer(w, 413, map[string]any{"status": "error"})
		return
	case bad:
		errs = []string{"not JSON"}
	case s.Refuse != nil:
		if x := s.Refuse(&e); x != "" {
			errs = append(errs, x)
		}
	}
	if len(errs) > 0 {
		answer(w, 400, map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": errs})
		return
	}
	if r.Context().Err() != nil { // a request whose sender is gone is lost on the way, not late
		return
	}
	s.take(&e, change)
	if f.ResetAfter {
		panic(http.ErrAbortHandler)
	}
	if change {
		answer(w, 202, map[string]any{"status": "success", "message": "Change event processed"})
		return
	}
	answer(w, 202, map[string]any{"status": "success", "message": "Event processed", "dedup_key": e.DedupKey})
}

// problems checks an event against the documentation.
func problems(e *Event, change bool) (out []string) {
	bad := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	if len(e.RoutingKey) != 32 {
		bad("'routing_key' is missing or no integration key")
	} else if e.RoutingKey[:31] != Key[:31] {
		bad("'routing_key' is invalid")
	}
	if !utf8.ValidString(e.Raw) {
		bad("not UTF-8")
	}
	p := e.Payload
	if change {
		if p == nil || p.Summary == "" || utf8.RuneCountInString(p.Summary) > 1024 {
			bad("'payload.summary' is missing or too long")
		}
		return out
	}
	if !slices.Contains([]string{"trigger", "acknowledge", "resolve"}, e.Action) {
		bad("'event_action' is invalid")
	}
	if len(e.DedupKey) > 255 || e.DedupKey == "" && e.Action != "trigger" {
		bad("'dedup_key' is missing or too long")
	}
	if e.Action != "trigger" {
		return out
	}
	if p == nil {
		return append(out, "'payload' is missing")
	}
	if p.Summary == "" || utf8.RuneCountInString(p.Summary) > 1024 {
		bad("'payload.summary' is missing or too long")
	}
	if p.Source == "" {
		bad("'payload.source' is missing")
	}
	if !slices.Contains([]string{"critical", "error", "warning", "info"}, p.Severity) {
		bad("'payload.severity' is invalid")
	}
	if p.Timestamp != "" {
		if _, err := time.Parse(time.RFC3339, p.Timestamp); err != nil {
			bad("'payload.timestamp' is invalid")
		}
	}
	return out
}

func (s *Server) take(e *Event, change bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if change {
		s.changes = append(s.changes, *e)
		return
	}
	s.events = append(s.events, *e)
	key := e.RoutingKey + " " + e.DedupKey
	a := s.alerts[key]
	open := a != nil && a.Status != "resolved"
	switch {
	case e.Action == "trigger" && open:
		a.Triggers++
	case e.Action == "trigger":
		if a == nil {
			a = &Alert{}
			s.alerts[key] = a
		}
		a.Status, a.Triggers = "triggered", 1
		a.Incident++
	case open && e.Action == "acknowledge":
		a.Status = "acknowledged"
	case open && e.Action == "resolve":
		a.Status = "resolved"
	}
}

// Events are those taken, in order.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Changes are the change events taken.
func (s *Server) Changes() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changes)
}

// Alert is what there is of a key.
func (s *Server) Alert(routingKey, dedup string) Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.alerts[routingKey+" "+dedup]; a != nil {
		return *a
	}
	return Alert{}
}

// Alerts is how many keys ever opened one.
func (s *Server) Alerts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.alerts)
}

// Faults is how many requests went wrong, Requests how many there were.
func (s *Server) Faults() int { s.mu.Lock(); defer s.mu.Unlock(); return s.faults }

// Requests is how many requests there were.
func (s *Server) Requests() int { s.mu.Lock(); defer s.mu.Unlock(); return s.n }

// OtherKey is another integration key.
func OtherKey(i int) string { return Key[:31] + strconv.Itoa(i%10) }
