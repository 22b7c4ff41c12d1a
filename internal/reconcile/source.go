package reconcile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	pq "github.com/parquet-go/parquet-go"

	"github.com/mcpsiem/mcpsiem/exporters/ocsf"
	"github.com/mcpsiem/mcpsiem/exporters/parquet"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Source says what a sink holds.
type Source interface {
	// Keys yields the key (sink.Record.Key) of every record that the sink holds with a time from from to to, in any order, repetitions included. Those of
	// other times may be among them. An error ends the sequence.
	Keys(ctx context.Context, kind Kind, from, to time.Time) iter.Seq2[string, error]
}

// Kind of records to compare: those of one stream.
type Kind string

// Kinds.
const (
	Events   Kind = "events" // audit records included
	Findings Kind = "findings"
)

// ErrNoSource means that a sink of this type cannot be asked what it holds.
var ErrNoSource = errors.New("cannot be asked what it holds")

// OCSFFiles reads the files of an ocsf sink.
type OCSFFiles struct{ Dir string }

// Keys implements Source. It reads all files: their names say when they were finished, not what is in them.
func (s OCSFFiles) Keys(ctx context.Context, kind Kind, from, to time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		files, err := ocsf.Files(s.Dir)
		if err != nil {
			yield("", err)
			return
		}
		for _, path := range files {
			if ctx.Err() != nil {
				yield("", ctx.Err())
				return
			}
			for key, err := range ocsfFile(path, kind, from, to) {
				if !yield(key, err) || err != nil {
					return
				}
			}
		}
	}
}

func ocsfFile(path string, kind Kind, from, to time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield("", fmt.Errorf("cannot read an OCSF file: %w", err))
			return
		}
		defer f.Close()
		var r io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				yield("", fmt.Errorf("cannot read OCSF file %s: not gzip", path))
				return
			}
		}
		br := bufio.NewReaderSize(r, 1<<20)
		for {
			line, err := br.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return // a line without an end is being written
			}
			if err != nil {
				yield("", fmt.Errorf("cannot read OCSF file %s: %w", path, err))
				return
			}
			var e struct {
				Class    int   `json:"class_uid"`
				Time     int64 `json:"time"`
				Metadata struct {
					UID string `json:"uid"`
				} `json:"metadata"`
			}
			if json.Unmarshal(line, &e) != nil || e.Metadata.UID == "" || (e.Class == 2004) != (kind == Findings) {
				continue
			}
			if e.Time < from.UnixMilli() || e.Time > to.UnixMilli() {
				continue
			}
			if !yield(e.Metadata.UID, nil) {
				return
			}
		}
	}
}

// ParquetFiles reads the files of a parquet sink.
type ParquetFiles struct{ Dir string }

// Keys implements Source.
func (s ParquetFiles) Keys(ctx context.Context, kind Kind, from, to time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		files, err := parquet.Files(s.Dir, string(kind), from, to)
		if err != nil {
			yield("", fmt.Errorf("cannot list Parquet files: %w", err))
			return
		}
		for _, path := range files {
			if ctx.Err() != nil {
				yield("", ctx.Err())
				return
			}
			keys, err := parquetKeys(path, kind)
			if err != nil {
				yield("", fmt.Errorf("cannot read Parquet file %s: %w", path, err))
				return
			}
			for _, k := range keys {
				if !yield(k, nil) {
					return
				}
			}
		}
	}
}

func parquetKeys(path string, kind Kind) (keys []string, err error) {
	if kind == Findings {
		type row struct {
			ID       string `parquet:"finding_id"`
			Revision int64  `parquet:"revision"`
		}
		rows, err := pq.ReadFile[row](path)
		for _, r := range rows {
			keys = append(keys, findingKey(r.ID, r.Revision))
		}
		return keys, err
	}
	type row struct {
		ID string `parquet:"event_id"`
	}
	rows, err := pq.ReadFile[row](path)
	for _, r := range rows {
		keys = append(keys, r.ID)
	}
	return keys, err
}

func findingKey(id string, revision int64) string {
	if revision == 0 {
		return id
	}
	return id + "-" + strconv.FormatInt(revision, 10)
}

// Remote is how to ask another system: the block `reconcile` of a sink.
type Remote struct {
	// Endpoint is Splunk's management URL (https://splunk.example.com:8089), or one of Elasticsearch's nodes.
	Endpoint string      `mapstructure:"endpoint"`
	Token    sink.Secret `mapstructure:"token"`    // Splunk: an authentication token (Bearer)
	APIKey   sink.Secret `mapstructure:"api_key"`  // Elasticsearch: encoded, or id:key
	Username string      `mapstructure:"username"` // either: with password
	Password sink.Secret `mapstructure:"password"`
	Index    string      `mapstructure:"index"` // Splunk: default mcp; Elasticsearch: default logs-mcpsiem.*
	CAFile   string      `mapstructure:"ca_file"`
}

// Validate checks the block.
func (r *Remote) Validate() error {
	u, err := url.Parse(r.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return errors.New("reconcile.endpoint must be a URL without credentials")
	}
	for _, s := range []sink.Secret{r.Token, r.APIKey, r.Password} {
		if !s.IsZero() {
			if err := s.Validate(); err != nil {
				return fmt.Errorf("reconcile: %w", err)
			}
		}
	}
	return nil
}

func (r *Remote) client(tc *tls.Config) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: tc, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       10 * time.Minute,
	}
}

func (r *Remote) authorize(req *http.Request) error {
	switch {
	case !r.Token.IsZero():
		s, err := r.Token.Read()
		req.Header.Set("Authorization", "Bearer "+s)
		return err
	case !r.APIKey.IsZero():
		s, err := r.APIKey.Read()
		if strings.Contains(s, ":") { // id:key, not encoded yet
			s = base64.StdEncoding.EncodeToString([]byte(s))
		}
		req.Header.Set("Authorization", "ApiKey "+s)
		return err
	case r.Username != "":
		s, err := r.Password.Read()
		req.SetBasicAuth(r.Username, s)
		return err
	}
	return nil
}

// Splunk asks by REST: one search, exported as it runs.
type Splunk struct {
	Remote
	TLS *tls.Config // nil: the system's CAs
}

// Keys implements Source.
func (s Splunk) Keys(ctx context.Context, kind Kind, from, to time.Time) iter.Seq2[string, error] {
	index := s.Index
	if index == "" {
		index = "mcp"
	}
	q := `search index="` + strings.ReplaceAll(index, `"`, "") + `" (sourcetype="mcpsiem:event" OR sourcetype="mcpsiem:audit") | fields event_id | table event_id`
	if kind == Findings {
		q = `search index="` + strings.ReplaceAll(index, `"`, "") + `" sourcetype="mcpsiem:finding" | fields finding_id revision | table finding_id revision`
	}
	form := url.Values{"search": {q}, "output_mode": {"json"}, "earliest_time": {strconv.FormatInt(from.Unix(), 10)}, "latest_time": {strconv.FormatInt(to.Unix()+1, 10)}}
	return func(yield func(string, error) bool) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(s.Endpoint, "/")+"/services/search/jobs/export", strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			err = s.authorize(req)
		}
		if err != nil {
			yield("", err)
			return
		}
		resp, err := s.client(s.TLS).Do(req)
		if err != nil {
			yield("", fmt.Errorf("cannot search in Splunk: %w", err))
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			yield("", fmt.Errorf("cannot search in Splunk: %s answered %d", s.Endpoint, resp.StatusCode))
			return
		}
		d := json.NewDecoder(resp.Body)
		for {
			var row struct {
				Preview bool `json:"preview"`
				Result  struct {
					Event    string `json:"event_id"`
					Finding  string `json:"finding_id"`
					Revision string `json:"revision"`
				} `json:"result"`
				Messages []struct {
					Type string `json:"type"`
				} `json:"messages"`
			}
			if err := d.Decode(&row); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				yield("", errors.New("cannot read Splunk's answer: it is not what a search exports"))
				return
			}
			for _, m := range row.Messages {
				if m.Type == "FATAL" || m.Type == "ERROR" {
					yield("", errors.New("Splunk could not run the search: may the account search the index?"))
					return
				}
			}
			key := row.Result.Event
			if kind == Findings {
				n, _ := strconv.ParseInt(row.Result.Revision, 10, 64)
				key = findingKey(row.Result.Finding, n)
			}
			if row.Preview || key == "" {
				continue
			}
			if !yield(key, nil) {
				return
			}
		}
	}
}

// Elastic asks Elasticsearch or OpenSearch, page by page in an order in which no two documents are equal: revisions of a finding have its time and id,
// and a copy is in another backing index.
type Elastic struct {
	Remote
	TLS *tls.Config
}

const elasticPage = 5000

var elasticOrder = []any{
	map[string]any{"@timestamp": map[string]any{"order": "asc", "numeric_type": "date_nanos"}},
	map[string]any{"event.id": map[string]any{"order": "asc", "unmapped_type": "keyword"}},
	map[string]any{"mcpsiem.revision": map[string]any{"order": "asc", "missing": "_first", "unmapped_type": "long"}},
	map[string]any{"_index": "asc"},
}

// Keys implements Source.
func (s Elastic) Keys(ctx context.Context, kind Kind, from, to time.Time) iter.Seq2[string, error] {
	index := s.Index
	if index == "" {
		index = "logs-mcpsiem.*"
	}
	return func(yield func(string, error) bool) {
		client := s.client(s.TLS)
		var after []any
		for {
			filter := []any{map[string]any{"range": map[string]any{"@timestamp": map[string]any{"gte": from.UTC().Format(time.RFC3339Nano), "lte": to.UTC().Format(time.RFC3339Nano)}}}}
			query := map[string]any{"size": elasticPage, "_source": false, "track_total_hits": false,
				"query": map[string]any{"bool": map[string]any{"filter": filter}}, "sort": elasticOrder}
			if after != nil {
				query["search_after"] = after
			}
			body, _ := json.Marshal(query)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(s.Endpoint, "/")+"/"+index+"/_search", bytes.NewReader(body))
			if err == nil {
				req.Header.Set("Content-Type", "application/json")
				err = s.authorize(req)
			}
			if err != nil {
				yield("", err)
				return
			}
			hits, err := elasticSearch(client, req)
			if err != nil {
				yield("", err)
				return
			}
			for _, h := range hits {
				finding := strings.Contains(h.Index, "mcpsiem.finding-")
				if finding != (kind == Findings) {
					continue
				}
				if !yield(h.ID, nil) {
					return
				}
			}
			if len(hits) < elasticPage {
				return
			}
			after = hits[len(hits)-1].Sort
		}
	}
}

type elasticHit struct {
	ID    string `json:"_id"` // the record's key: what the exporter creates documents by
	Index string `json:"_index"`
	Sort  []any  `json:"sort"`
}

func elasticSearch(c *http.Client, req *http.Request) ([]elasticHit, error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot search in Elasticsearch: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cannot search in Elasticsearch: it answered %d; may the account read the data streams?", resp.StatusCode)
	}
	var r struct {
		TimedOut bool `json:"timed_out"`
		Shards   struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
		Hits struct {
			Hits []elasticHit `json:"hits"`
		} `json:"hits"`
	}
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	if d.Decode(&r) != nil {
		return nil, errors.New("cannot read Elasticsearch's answer")
	}
	if r.TimedOut || r.Shards.Failed > 0 {
		return nil, errors.New("not everything could be searched in Elasticsearch: some shards failed or the search timed out")
	}
	return r.Hits.Hits, nil
}
