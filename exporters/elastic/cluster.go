// What is at the endpoints, and whether it is set up.

package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Flavour is a kind of server.
type Flavour string

// Flavours. Unknown is one that does not tell: Elasticsearch with a key that may not ask, or a proxy.
const (
	Elasticsearch Flavour = "elasticsearch"
	Serverless    Flavour = "serverless"
	OpenSearch    Flavour = "opensearch"
	Unknown       Flavour = ""
)

// Version of a server.
type Version struct {
	Flavour      Flavour
	Major, Minor int    // 0 if unknown
	Number       string // as it says, e.g. 9.1.3
}

// AtLeast reports whether it is the version or a later one; serverless always is.
func (v Version) AtLeast(major, minor int) bool {
	return v.Flavour == Serverless || v.Major > major || v.Major == major && v.Minor >= minor
}

func (v Version) String() string {
	switch v.Flavour {
	case Unknown:
		return "a server that does not say what it is"
	case Serverless:
		return "Elasticsearch Serverless"
	case OpenSearch:
		return "OpenSearch " + v.Number
	}
	return "Elasticsearch " + v.Number
}

// Detect asks what is there. A refusal is no error: Flavour is Unknown, or Elasticsearch where a header says so.
func (c *Client) Detect(ctx context.Context) (Version, error) {
	a, err := c.Do(ctx, http.MethodGet, "/", "", "", nil)
	if err != nil {
		return Version{}, err
	}
	product := a.Header.Get("X-Elastic-Product") == "Elasticsearch"
	var info struct {
		Version struct {
			Number       string `json:"number"`
			Distribution string `json:"distribution"`
			BuildFlavor  string `json:"build_flavor"`
		} `json:"version"`
	}
	if a.HTTP >= 500 || a.HTTP == http.StatusTooManyRequests {
		return Version{}, sink.Again(describe(a.HTTP, nil), status(a.HTTP), 0, false)
	}
	var v Version
	if a.HTTP == http.StatusOK && json.Unmarshal(a.Body, &info) == nil && info.Version.Number != "" {
		major, rest, _ := strings.Cut(info.Version.Number, ".")
		minor, _, _ := strings.Cut(rest, ".")
		v.Major, _ = strconv.Atoi(major)
		v.Minor, _ = strconv.Atoi(minor)
		if v.Major > 0 {
			v.Number = fmt.Sprintf("%d.%d", v.Major, v.Minor)
		}
		switch {
		case info.Version.Distribution == "opensearch":
			v.Flavour = OpenSearch
		case info.Version.BuildFlavor == "serverless":
			v.Flavour = Serverless
		default:
			v.Flavour = Elasticsearch
		}
		return v, nil
	}
	switch {
	case a.HTTP == http.StatusUnauthorized:
		return v, &errCredential{streams.WithReason(describe(a.HTTP, nil), status(a.HTTP))}
	case product:
		v.Flavour = Elasticsearch
	}
	return v, nil
}

// cluster is what the exporter has learned about the other side.
type cluster struct {
	mu       sync.Mutex
	version  Version
	detected bool
	plain    bool            // it does not know require_data_stream
	ready    map[string]bool // kinds of records whose template is there
	noLookup bool            // the credential may not search
}

// TemplateName is the index template of records of a kind, and of their data streams.
func TemplateName(k sink.Kind) string { return "mcpsiem-" + string(k) }

// prepare finds out once what is there and that the index template of a data stream is. Without the template the other side would make one up
// from the first record: wrong types, and at some time too many fields.
func (e *elasticExporter) prepare(ctx context.Context, t *target) error {
	c := &e.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.detected {
		v, err := e.client.Detect(ctx)
		if err != nil {
			return err
		}
		c.version, c.detected, c.plain = v, true, v.Flavour == OpenSearch
	}
	if c.ready[t.name] || !e.cfg.TemplateCheck {
		return nil
	}
	a, err := e.client.Do(ctx, http.MethodGet, "/_index_template/"+TemplateName(t.kind)+"?filter_path=index_templates.name", "", "", nil)
	if err != nil {
		return err
	}
	switch {
	case a.HTTP == http.StatusNotFound:
		return streams.WithReason(fmt.Errorf("there is no index template %s: run `mcpsiem elastic setup`", TemplateName(t.kind)), "no_template")
	case a.HTTP >= 500 || a.HTTP == http.StatusTooManyRequests:
		return sink.Again(describe(a.HTTP, nil), status(a.HTTP), sink.RetryAfter(a.Header, e.now()), false)
	case a.HTTP == http.StatusUnauthorized:
		return &errCredential{streams.WithReason(describe(a.HTTP, nil), status(a.HTTP))}
	} // with 403 the credential may only write: that somebody has set it up has to be believed
	c.ready[t.name] = true
	return nil
}

// bulkPath is the request's path and whether it has require_data_stream.
func (e *elasticExporter) bulkPath(t *target) (string, bool) {
	c := &e.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	p := "/" + url.PathEscape(t.name) + "/_bulk?filter_path=" + filterPath
	if c.plain {
		return p, false
	}
	return p + "&require_data_stream=true", true
}

func (e *elasticExporter) withoutParameter() {
	e.cluster.mu.Lock()
	defer e.cluster.mu.Unlock()
	e.cluster.plain = true
}

// refresh has a search see what was written before. It reports false if there is no data stream yet. A refresh that failed is repeated: after a
// search that misses a record, the record would be stored twice.
func (e *elasticExporter) refresh(ctx context.Context, path string) (there bool, err error) {
	a, err := e.client.Do(ctx, http.MethodPost, path+"/_refresh?filter_path=_shards.failed,error.type", "", "", nil)
	if err != nil {
		return false, err
	}
	var r struct {
		Shards struct {
			Failed *int `json:"failed"`
		} `json:"_shards"`
		Error *problem `json:"error"`
	}
	known := json.Unmarshal(a.Body, &r) == nil
	switch {
	case a.HTTP == http.StatusOK && known && r.Shards.Failed != nil && *r.Shards.Failed == 0:
		return true, nil
	case a.HTTP == http.StatusNotFound && known && r.Error.word() == "index_not_found_exception":
		return false, nil
	case a.HTTP == http.StatusForbidden && r.Error.word() != "cluster_block_exception":
		return true, nil // the search may miss what was written within refresh_interval before the rollover
	case a.HTTP == http.StatusUnauthorized:
		return false, &errCredential{streams.WithReason(describe(a.HTTP, nil), status(a.HTTP))}
	case a.HTTP == http.StatusOK:
		return false, sink.Again(errors.New("not all shards could be refreshed"), "lookup_refresh", 0, false)
	}
	return false, sink.Again(describe(a.HTTP, r.Error), "lookup_"+status(a.HTTP), sink.RetryAfter(a.Header, e.now()), false)
}

// present asks which records of a chunk the data stream has. An id is unique in one backing index only: a record whose first try went into an index
// that was rolled over since would be taken once more. What the present backing index has, it refuses by itself.
func (e *elasticExporter) present(ctx context.Context, ch *chunk) (map[string]bool, error) {
	e.cluster.mu.Lock()
	off := e.cluster.noLookup
	e.cluster.mu.Unlock()
	if off || !e.cfg.RolloverCheck {
		return nil, nil
	}
	path := "/" + url.PathEscape(ch.target.name)
	if there, err := e.refresh(ctx, path); err != nil || !there {
		return nil, err
	}
	out := map[string]bool{}
	const most = 5000 // below index.max_result_window and index.max_terms_count
	for i := 0; i < len(ch.records); i += most {
		part := ch.records[i:min(i+most, len(ch.records))]
		body := []byte(`{"_source":false,"track_total_hits":false,"size":` + strconv.Itoa(2*len(part)) + `,"sort":["_doc"],"query":{"ids":{"values":[`)
		for j, p := range part {
			if j > 0 {
				body = append(body, ',')
			}
			body = sink.AppendString(body, p.id)
		}
		body = append(body, "]}}}"...)
		a, err := e.client.Do(ctx, http.MethodPost, path+"/_search?ignore_unavailable=true&allow_partial_search_results=false&filter_path=hits.hits._id,error.type", jsonType, "", body)
		if err != nil {
			return nil, err
		}
		var r struct {
			Hits struct {
				Hits []struct {
					ID string `json:"_id"`
				} `json:"hits"`
			} `json:"hits"`
			Error *problem `json:"error"`
		}
		bad := json.Unmarshal(a.Body, &r) != nil
		switch {
		case a.HTTP == http.StatusForbidden && r.Error.word() != "cluster_block_exception":
			e.cluster.mu.Lock()
			e.cluster.noLookup = true
			e.cluster.mu.Unlock()
			e.log.Warn("The credential may not search: a batch that is repeated after a rollover of its data stream can be there twice. Give it read on logs-mcpsiem.*, or set rollover_check: false")
			return nil, nil
		case a.HTTP == http.StatusUnauthorized:
			return nil, &errCredential{streams.WithReason(describe(a.HTTP, nil), status(a.HTTP))}
		case a.HTTP != http.StatusOK || bad:
			return nil, sink.Again(describe(a.HTTP, r.Error), "lookup_"+status(a.HTTP), sink.RetryAfter(a.Header, e.now()), false)
		}
		for _, h := range r.Hits.Hits {
			out[h.ID] = true
		}
	}
	return out, nil
}
