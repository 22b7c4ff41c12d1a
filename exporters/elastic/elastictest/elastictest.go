// Package elastictest is a cluster for tests: data streams with backing indices, index templates and the bulk, search and refresh interfaces as Elasticsearch
// and OpenSearch document them, and every misbehaviour that they, their load balancers and networks are known to.
package elastictest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// APIKey is the key that a Server knows, as Kibana encodes it.
const APIKey = "cGxhbnRlZDprZXktcGxhbnRlZA=="

// Doc is a stored document.
type Doc struct {
	ID      string
	Index   string // backing index
	Source  map[string]any
	Raw     json.RawMessage
	Request int // number of the request, from 1
}

// Fault is what goes wrong with a bulk request. The zero value is nothing.
type Fault struct {
	HTTP       int           // status, with a body that is not the cluster's
	Type       string        // with HTTP: the cluster's own error of this type
	RetryAfter string        // header
	Delay      time.Duration // before the answer
	Hang       bool          // no answer until the client gives up
	Reset      bool          // the connection is reset while the body is read
	ResetAfter bool          // everything is stored and the connection is reset instead of an answer
	HalfAnswer bool          // everything is stored and the connection is reset within the answer
	Half       bool          // half is stored and the connection is reset: the node died
	ItemsShort bool          // everything is stored, and the answer leaves out an item
	Page       bool          // HTTP 200 with a page of a proxy
}

// Item is what goes wrong with one document.
type Item struct {
	Status       int    // 429, 503, 400, ...
	Type         string // of the error
	FailureStore string // used, failed
	After        bool   // it is stored and refused all the same, as after a failure on the way back
}

// Server is the cluster. Set its fields before the first request.
type Server struct {
	*httptest.Server

	Flavour    string // elasticsearch, serverless, opensearch
	Number     string // its version
	Silent     bool   // GET / is refused
	NoTemplate bool   // the templates are not there
	WriteOnly  bool   // the key may create documents and nothing else
	Open       bool   // no credential is asked for
	MaxContent int    // bytes before decompression, 413 above; 0: none
	// Refuse says what is wrong with a document, by its id.
	Refuse func(id string, doc map[string]any) Item
	// Fault decides for bulk request n, from 1. It may block.
	Fault func(n int, r *http.Request) Fault
	// LookUp says with which status the request to refresh or search is refused that is the nth of them, from 1; 0: it is not. With Partial a
	// refresh reaches none of the shards and is answered with 200 all the same.
	LookUp  func(n int, path string) int
	Partial bool
	// DropDocs keeps no documents, for measurements.
	DropDocs bool

	mu       sync.Mutex
	docs     []Doc
	ids      map[string]map[string]bool // by backing index
	seen     map[string]map[string]bool // of those, what a search sees: from before the last refresh
	current  map[string]int             // generation of each data stream
	lookUps  int
	failures []Doc
	requests int
	paths    []string
	put      map[string]json.RawMessage
	order    []string
	down     chan struct{}
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
	s := &Server{Flavour: "elasticsearch", Number: "9.1.3", ids: map[string]map[string]bool{}, seen: map[string]map[string]bool{}, current: map[string]int{}, put: map[string]json.RawMessage{}, down: make(chan struct{})}
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

// Docs returns what is stored.
func (s *Server) Docs() []Doc {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.docs)
}

// Counts returns how often each document is stored, by its id.
func (s *Server) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, d := range s.docs {
		out[d.ID]++
	}
	return out
}

// Failures returns what is in failure stores.
func (s *Server) Failures() []Doc {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.failures)
}

// Paths returns the requests made, method and path with query.
func (s *Server) Paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.paths)
}

// Bulks is how many bulk requests there were.
func (s *Server) Bulks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Rollover gives every data stream a new backing index.
func (s *Server) Rollover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.current {
		s.current[k]++
	}
}

// Put returns what was put, by its path, and the paths in order.
func (s *Server) Put() (map[string]json.RawMessage, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.put), slices.Clone(s.order)
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

// fail answers as the cluster does: the reason quotes what was sent.
func fail(w http.ResponseWriter, code int, typ, reason string) {
	e := map[string]any{"type": typ, "reason": reason}
	answer(w, code, map[string]any{"error": map[string]any{"root_cause": []any{e}, "type": typ, "reason": reason}, "status": code})
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.paths = append(s.paths, r.Method+" "+r.URL.RequestURI())
	s.mu.Unlock()
	if s.Flavour != "opensearch" {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
	}
	if !s.Open {
		user, pass, basic := r.BasicAuth()
		if r.Header.Get("Authorization") != "ApiKey "+APIKey && !(basic && user == "writer" && pass == APIKey) {
			fail(w, 401, "security_exception", "unable to authenticate "+r.Header.Get("Authorization"))
			return
		}
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	switch {
	case path == "":
		s.root(w)
	case strings.HasSuffix(path, "/_bulk"):
		s.bulk(w, r, strings.TrimSuffix(path, "/_bulk"))
	case strings.HasSuffix(path, "/_search"), strings.HasSuffix(path, "/_refresh"):
		if s.WriteOnly {
			fail(w, 403, "security_exception", "action is unauthorized")
			return
		}
		s.mu.Lock()
		s.lookUps++
		n := s.lookUps
		s.mu.Unlock()
		if s.LookUp != nil {
			if code := s.LookUp(n, path); code != 0 {
				fail(w, code, "security_exception", "the request is refused")
				return
			}
		}
		if stream, ok := strings.CutSuffix(path, "/_refresh"); ok {
			s.refresh(w, stream)
			return
		}
		s.search(w, r, strings.TrimSuffix(path, "/_search"))
	case r.Method == http.MethodPut:
		s.store(w, r, path)
	case r.Method == http.MethodGet && strings.HasPrefix(path, "_index_template/"):
		switch {
		case s.WriteOnly:
			fail(w, 403, "security_exception", "action is unauthorized")
		case s.NoTemplate:
			fail(w, 404, "resource_not_found_exception", "index template matching ["+path+"] not found")
		default:
			answer(w, 200, map[string]any{"index_templates": []any{map[string]any{"name": strings.TrimPrefix(path, "_index_template/")}}})
		}
	case r.Method == http.MethodGet:
		s.mu.Lock()
		v, ok := s.put[path]
		s.mu.Unlock()
		if !ok {
			fail(w, 404, "resource_not_found_exception", "no such thing")
			return
		}
		if strings.HasPrefix(path, "_plugins/_ism/") {
			answer(w, 200, map[string]any{"_id": path, "_seq_no": 7, "_primary_term": 1, "policy": json.RawMessage(v)})
			return
		}
		answer(w, 200, v)
	default:
		fail(w, 400, "illegal_argument_exception", "request ["+r.URL.Path+"] is not known")
	}
}

func (s *Server) root(w http.ResponseWriter) {
	if s.Silent {
		fail(w, 403, "security_exception", "action [cluster:monitor/main] is unauthorized")
		return
	}
	v := map[string]any{"number": s.Number}
	switch s.Flavour {
	case "opensearch":
		v["distribution"] = "opensearch"
	default:
		v["build_flavor"] = map[string]string{"elasticsearch": "default", "serverless": "serverless"}[s.Flavour]
	}
	answer(w, 200, map[string]any{"name": "n1", "version": v})
}

func (s *Server) store(w http.ResponseWriter, r *http.Request, path string) {
	b, err := io.ReadAll(r.Body)
	stream := strings.HasPrefix(path, "_data_stream/")
	if err != nil || stream != (len(b) == 0) || !stream && !json.Valid(b) {
		fail(w, 400, "parse_exception", "request body is required, or must be absent")
		return
	}
	if s.Flavour == "opensearch" && strings.HasPrefix(path, "_ilm/") || s.Flavour != "opensearch" && strings.HasPrefix(path, "_plugins/") || s.Flavour == "serverless" && strings.HasPrefix(path, "_ilm/") {
		fail(w, 400, "illegal_argument_exception", "no handler found for uri ["+path+"]")
		return
	}
	s.mu.Lock()
	_, there := s.put[path]
	if there && stream {
		s.mu.Unlock()
		fail(w, 400, "resource_already_exists_exception", "data_stream ["+path+"] already exists")
		return
	}
	s.put[path] = b
	s.order = append(s.order, path)
	s.mu.Unlock()
	if there && strings.HasPrefix(path, "_plugins/_ism/") && r.URL.Query().Get("if_seq_no") == "" {
		fail(w, 409, "version_conflict_engine_exception", "document already exists")
		return
	}
	answer(w, 200, map[string]any{"acknowledged": true})
}

func (s *Server) refresh(w http.ResponseWriter, stream string) {
	s.mu.Lock()
	_, there := s.current[stream]
	if !s.Partial {
		for index, ids := range s.ids {
			if strings.HasPrefix(index, ".ds-"+stream+"-") {
				s.seen[index] = maps.Clone(ids)
			}
		}
	}
	s.mu.Unlock()
	if !there {
		fail(w, 404, "index_not_found_exception", "no such index ["+stream+"]")
		return
	}
	failed := 0
	if s.Partial {
		failed = 1
	}
	answer(w, 200, map[string]any{"_shards": map[string]any{"failed": failed}})
}

func (s *Server) search(w http.ResponseWriter, r *http.Request, stream string) {
	var q struct {
		Query struct {
			IDs struct {
				Values []string `json:"values"`
			} `json:"ids"`
		} `json:"query"`
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		fail(w, 400, "parsing_exception", "unknown query")
		return
	}
	hits := []any{}
	s.mu.Lock()
	for index, ids := range s.seen {
		if !strings.HasPrefix(index, ".ds-"+stream+"-") {
			continue
		}
		for _, id := range q.Query.IDs.Values {
			if ids[id] {
				hits = append(hits, map[string]any{"_id": id})
			}
		}
	}
	s.mu.Unlock()
	answer(w, 200, map[string]any{"hits": map[string]any{"hits": hits}})
}

type line struct {
	id  string
	doc json.RawMessage
}

func (s *Server) bulk(w http.ResponseWriter, r *http.Request, stream string) {
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
	switch {
	case f.Page:
		_, _ = io.WriteString(w, "<html>Please log in</html>")
		return
	case f.HTTP != 0 && f.Type != "":
		body, _ := io.ReadAll(r.Body)
		fail(w, f.HTTP, f.Type, "failed on "+string(body[:min(len(body), 200)]))
		return
	case f.HTTP != 0:
		w.WriteHeader(f.HTTP)
		return
	}
	if s.Flavour == "opensearch" && r.URL.Query().Has("require_data_stream") {
		fail(w, 400, "illegal_argument_exception", "request [/_bulk] contains unrecognized parameter: [require_data_stream]")
		return
	}
	if ct := r.Header.Get("Content-Type"); ct != "application/x-ndjson" && ct != "application/json" {
		fail(w, 406, "illegal_argument_exception", "Content-Type header ["+ct+"] is not supported")
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 256<<20))
	if err != nil {
		return
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(io.LimitReader(zr, 256<<20))
		}
		if err != nil {
			fail(w, 400, "x_content_parse_exception", "not in gzip format")
			return
		}
	}
	if s.MaxContent > 0 && len(body) > s.MaxContent {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	lines, typ := parse(body)
	if typ != "" {
		fail(w, 400, typ, "malformed: "+string(body[:min(len(body), 200)]))
		return
	}
	items := make([]any, 0, len(lines))
	errs := false
	s.mu.Lock()
	if _, ok := s.current[stream]; !ok {
		s.current[stream] = 1
	}
	for i, l := range lines {
		if f.Half && i == len(lines)/2 {
			break
		}
		it, bad := s.create(stream, l, n)
		errs = errs || bad
		items = append(items, map[string]any{"create": it})
	}
	s.mu.Unlock()
	if f.Half || f.ResetAfter {
		reset(w)
		return
	}
	if f.ItemsShort {
		items = items[1:]
	}
	out, _ := json.Marshal(map[string]any{"took": 1, "errors": errs, "items": items})
	out = filter(out, r.URL.Query().Get("filter_path"))
	w.Header().Set("Content-Type", "application/json")
	if f.HalfAnswer {
		w.Header().Set("Content-Length", fmt.Sprint(len(out)))
		_, _ = w.Write(out[:len(out)/2])
		if fl, ok := w.(http.Flusher); ok {
			fl.Flush()
		}
		reset(w)
		return
	}
	_, _ = w.Write(out)
}

// filter leaves of an answer what filter_path names; it knows the paths that are asked for here.
func filter(out []byte, paths string) []byte {
	if paths == "" {
		return out
	}
	var v struct {
		Errors *bool            `json:"errors,omitempty"`
		Items  []map[string]any `json:"items,omitempty"`
	}
	if json.Unmarshal(out, &v) != nil {
		return out
	}
	want := strings.Split(paths, ",")
	if !slices.Contains(want, "errors") {
		v.Errors = nil
	}
	for _, it := range v.Items {
		for _, r := range it {
			m, _ := r.(map[string]any)
			for k := range m {
				switch {
				case k == "error":
					if e, ok := m[k].(map[string]any); ok && slices.Contains(want, "items.*.error.type") && !slices.Contains(want, "items.*.error") {
						m[k] = map[string]any{"type": e["type"]}
					}
				case !slices.Contains(want, "items.*."+k):
					delete(m, k)
				}
			}
		}
	}
	out, _ = json.Marshal(v)
	return out
}

// create stores one document as a data stream does: @timestamp is needed, and an id is unique within a backing index.
func (s *Server) create(stream string, l line, request int) (map[string]any, bool) {
	index := fmt.Sprintf(".ds-%s-2026.11.22-%06d", stream, s.current[stream])
	res := map[string]any{"_index": index, "_id": l.id}
	refuse := func(status int, typ, reason string) (map[string]any, bool) {
		res["status"], res["error"] = status, map[string]any{"type": typ, "reason": reason}
		return res, true
	}
	if s.DropDocs {
		res["status"] = 201
		return res, false
	}
	var doc map[string]any
	if json.Unmarshal(l.doc, &doc) != nil {
		return refuse(400, "document_parsing_exception", "failed to parse: "+string(l.doc))
	}
	if s.NoTemplate {
		return refuse(404, "index_not_found_exception", "no such index ["+stream+"]")
	}
	if _, ok := doc["@timestamp"]; !ok {
		return refuse(400, "document_parsing_exception", "data stream timestamp field [@timestamp] is missing")
	}
	if s.ids[index][l.id] {
		return refuse(409, "version_conflict_engine_exception", "["+l.id+"]: version conflict, document already exists")
	}
	put := func() {
		if s.ids[index] == nil {
			s.ids[index] = map[string]bool{}
		}
		s.ids[index][l.id] = true
		s.docs = append(s.docs, Doc{l.id, index, doc, l.doc, request})
	}
	if s.Refuse != nil {
		if it := s.Refuse(l.id, doc); it != (Item{}) {
			if it.After {
				put()
			}
			if it.FailureStore == "used" {
				s.failures = append(s.failures, Doc{ID: l.id, Source: doc})
				res["status"], res["failure_store"] = 201, "used"
				return res, false
			}
			if it.FailureStore != "" {
				res["failure_store"] = it.FailureStore
			}
			return refuse(it.Status, it.Type, "failed to parse field [x] in document with id '"+l.id+"'. Preview of field's value: '"+string(l.doc)+"'")
		}
	}
	put()
	res["status"], res["result"] = 201, "created"
	return res, false
}

// parse reads a bulk body: pairs of lines, the last ended as well.
func parse(body []byte) (lines []line, typ string) {
	if len(body) == 0 {
		return nil, "parse_exception"
	}
	if body[len(body)-1] != '\n' {
		return nil, "illegal_argument_exception"
	}
	sc := bufio.NewScanner(bytes.NewReader(body))
	sc.Buffer(nil, len(body)+1)
	for sc.Scan() {
		var a map[string]struct {
			ID string `json:"_id"`
		}
		if json.Unmarshal(sc.Bytes(), &a) != nil || len(a) != 1 {
			return nil, "illegal_argument_exception"
		}
		c, ok := a["create"]
		if !ok {
			return nil, "illegal_argument_exception" // data streams take create only
		}
		if len(c.ID) > 512 {
			return nil, "action_request_validation_exception"
		}
		if !sc.Scan() {
			return nil, "action_request_validation_exception"
		}
		lines = append(lines, line{c.ID, bytes.Clone(sc.Bytes())})
	}
	return lines, ""
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
