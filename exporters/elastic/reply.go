// What Elasticsearch and OpenSearch answer and what is to be done about it. One place, since records are lost or repeated by it.

package elastic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// reply is an answer to a bulk request. The reasons of errors are neither asked for nor read: they quote values.
type reply struct {
	HTTP    int           `json:"-"`
	After   time.Duration `json:"-"`
	Errors  *bool         `json:"errors"`
	Items   []item        `json:"items"`
	Error   *problem      `json:"error"` // of the request as a whole
	allOK   int           // items that were all created, where nothing else was read
	unknown bool          // not an answer of Elasticsearch or OpenSearch
}

type item struct {
	Create result `json:"create"`
}

type result struct {
	Status       int      `json:"status"`
	FailureStore string   `json:"failure_store"`
	Error        *problem `json:"error"`
}

type problem struct {
	Type string `json:"type"`
}

// UnmarshalJSON reads a problem: an object, or a string where a proxy or an old version made it.
func (p *problem) UnmarshalJSON(b []byte) error {
	var o struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(b, &o) == nil {
		p.Type = o.Type
	}
	return nil
}

// filterPath keeps answers small, and reasons out of them.
const filterPath = "errors,items.*.status,items.*.failure_store,items.*.error.type,error.type,status"

var (
	noErrors    = []byte(`"errors":false`)
	created     = []byte(`"status":201`)
	anyStatus   = []byte(`"status":`)
	failureWord = []byte(`failure_store`)
)

// readBulk reads an answer to a request of n documents.
func (r *reply) readBulk(b []byte, n int) {
	if r.HTTP == http.StatusOK && bytes.Contains(b[:min(len(b), 64)], noErrors) && !bytes.Contains(b, failureWord) &&
		bytes.Count(b, anyStatus) == n && bytes.Count(b, created) == n {
		r.allOK = n
		return
	}
	if json.Unmarshal(b, r) != nil {
		*r = reply{HTTP: r.HTTP, After: r.After, unknown: true}
	}
}

// verdict is what an answer means for a request or a document.
type verdict int

const (
	stored        verdict = iota + 1
	before                // stored already
	busy                  // the same later
	misconfigured         // the operator has to mend it
	refused               // for good
	elsewhere             // in the failure store
	split                 // in smaller parts
)

// Types of errors that have a meaning of their own. The words are for metrics, dead letters and people.
var errorTypes = map[string]struct {
	verdict verdict
	text    string
}{
	"version_conflict_engine_exception":        {before, "stored already"},
	"document_parsing_exception":               {refused, "a value does not fit the mapping"},
	"mapper_parsing_exception":                 {refused, "a value does not fit the mapping"},
	"strict_dynamic_mapping_exception":         {refused, "a field is not in the mapping"},
	"illegal_argument_exception":               {refused, "a document is not acceptable, or a pipeline is missing, or the mapping has too many fields"},
	"parse_exception":                          {refused, "a document cannot be read"},
	"parsing_exception":                        {refused, "a document cannot be read"},
	"x_content_parse_exception":                {refused, "a document cannot be read"},
	"json_parse_exception":                     {refused, "a document cannot be read"},
	"json_e_o_f_exception":                     {refused, "a document cannot be read"},
	"input_coercion_exception":                 {refused, "a number is too large"},
	"script_exception":                         {refused, "an ingest pipeline fails"},
	"ingest_processor_exception":               {refused, "an ingest pipeline fails"},
	"fail_processor_exception":                 {refused, "an ingest pipeline refuses a document"},
	"action_request_validation_exception":      {refused, "a document is not acceptable"},
	"es_rejected_execution_exception":          {busy, "the queue for writing is full"},
	"rejected_execution_exception":             {busy, "the queue for writing is full"},
	"open_search_rejected_execution_exception": {busy, "the queue for writing is full"},
	"circuit_breaking_exception":               {busy, "memory is short"},
	"unavailable_shards_exception":             {busy, "shards are not available"},
	"process_cluster_event_timeout_exception":  {busy, "the master is busy"},
	"cluster_block_exception":                  {busy, "writing is blocked: the disk may be full (flood stage)"},
	"index_not_found_exception":                {misconfigured, "there is no data stream and no index template for it: run `mcpsiem elastic setup`"},
	"index_closed_exception":                   {misconfigured, "the data stream's write index is closed"},
	"security_exception":                       {misconfigured, "the credential is not valid, or may not create documents in the data stream"},
}

// word is an error's type if it is one that code knows.
func (p *problem) word() string {
	if p == nil {
		return ""
	}
	if _, ok := errorTypes[p.Type]; ok {
		return p.Type
	}
	return ""
}

// judge says what the answer means for one document.
func (r *result) judge() verdict {
	known := errorTypes[r.Error.word()].verdict
	switch {
	case r.FailureStore == "used":
		return elsewhere
	case r.Status == http.StatusCreated || r.Status == http.StatusOK:
		return stored
	case r.Status == http.StatusConflict: // _id is ours: what is there under it is this record
		return before
	case known == busy, r.Status == http.StatusTooManyRequests, r.Status == http.StatusRequestTimeout, r.Status >= 500, r.Status == 0:
		return busy
	case known == misconfigured, r.Status == http.StatusUnauthorized, r.Status == http.StatusForbidden, r.Status == http.StatusNotFound:
		return misconfigured
	}
	return refused
}

// reason is the word for metrics and dead letters.
func (r *result) reason() string {
	if r.FailureStore == "used" {
		return "failure_store"
	}
	if w := r.Error.word(); w != "" {
		return w
	}
	return status(r.Status)
}

func status(n int) string {
	if n < 100 || n > 599 {
		return "http_other"
	}
	return fmt.Sprintf("http_%d", n)
}

// judge says what the answer means for a request of n documents; stored if its items have to be read.
func (r *reply) judge(n int) verdict {
	known := errorTypes[r.Error.word()].verdict
	switch {
	case r.HTTP == http.StatusOK && r.allOK == n, r.HTTP == http.StatusOK && !r.unknown && len(r.Items) == n:
		return stored
	case r.HTTP == http.StatusOK && !r.unknown && r.Errors != nil: // items are missing: what became of them is told by asking again
		return busy
	case r.HTTP == http.StatusRequestEntityTooLarge:
		return split
	case r.HTTP == http.StatusTooManyRequests, r.HTTP == http.StatusRequestTimeout, r.HTTP >= 500, known == busy:
		return busy
	case r.HTTP == http.StatusBadRequest && known == refused:
		return refused
	}
	return misconfigured
}

// reason is the word for metrics and dead letters of a request as a whole.
func (r *reply) reason() string {
	if w := r.Error.word(); w != "" {
		return w
	}
	if r.HTTP == http.StatusOK {
		return "bad_answer"
	}
	return status(r.HTTP)
}

var errNotElastic = errors.New("the answer is not one of Elasticsearch or OpenSearch; is there a proxy or another service at the endpoint?")

// err describes the answer in our own words.
func (r *reply) err() error {
	return streams.WithReason(describe(r.HTTP, r.Error), r.reason())
}

func describe(code int, p *problem) error {
	if w := p.word(); w != "" {
		return fmt.Errorf("HTTP %d, %s: %s", code, w, errorTypes[w].text)
	}
	switch code {
	case http.StatusUnauthorized:
		return errors.New("HTTP 401: the credential is not valid")
	case http.StatusForbidden:
		return errors.New("HTTP 403: the credential may not do this; it needs create_doc and auto_configure on logs-mcpsiem.*")
	case http.StatusTooManyRequests:
		return errors.New("HTTP 429: the cluster is busy")
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusOK:
		return fmt.Errorf("HTTP %d: %w", code, errNotElastic)
	}
	if code >= 300 && code < 400 {
		return fmt.Errorf("HTTP %d: the endpoint redirects; name the address that it leads to", code)
	}
	if code >= 500 {
		return fmt.Errorf("HTTP %d: the cluster, or a proxy before it, has trouble", code)
	}
	return fmt.Errorf("HTTP %d", code)
}

func (r *reply) again(busy bool) error { return sink.Again(r.err(), r.reason(), r.After, busy) }
