package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

var from, to = time.Unix(1_800_000_000, 0), time.Unix(1_800_003_600, 0)

func keysOf(t *testing.T, s Source, kind Kind) (out []string, err error) {
	t.Helper()
	for k, err := range s.Keys(context.Background(), kind, from, to) {
		if err != nil {
			return out, err
		}
		out = append(out, k)
	}
	return out, nil
}

type list []string

func (l list) Keys(context.Context, Kind, time.Time, time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, k := range l {
			if k == "fail" {
				yield("", errors.New("gone"))
				return
			}
			if !yield(k, nil) {
				return
			}
		}
	}
}

func expect(xs ...Expected) iter.Seq2[Expected, error] {
	return func(yield func(Expected, error) bool) {
		for _, x := range xs {
			if !yield(x, nil) {
				return
			}
		}
	}
}

func TestCompare(t *testing.T) {
	want := expect(Expected{"a", 1}, Expected{"b", 2}, Expected{"c", 3}, Expected{"d", 9}, Expected{"", 1})
	r, err := Compare(context.Background(), want, list{"a", "b", "b", "x"}, Events, from, to, 3)
	if err != nil || r.Expected != 3 || r.Held != 2 || r.Twice != 1 || r.UnderWay != 1 || r.Filtered != 1 || !slices.Equal(r.Missing, []string{"c"}) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Compare(context.Background(), want, list{"a", "fail"}, Events, from, to, 3); err == nil {
		t.Error("a source that fails holds nothing back")
	}
}

func TestFilesOfOCSF(t *testing.T) {
	dir := t.TempDir()
	line := func(class, at int64, uid string) string {
		return fmt.Sprintf(`{"class_uid":%d,"time":%d,"metadata":{"uid":"%s"}}`+"\n", class, at, uid)
	}
	text := line(6003, from.UnixMilli(), "a") + line(2004, from.UnixMilli()+1, "f-7") + line(6003, from.UnixMilli()-1, "early") + "no json\n" + line(3004, to.UnixMilli()-1, "b") + `{"metadata":{"uid":"torn"`
	if err := os.WriteFile(filepath.Join(dir, ".api_activity.open"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := keysOf(t, OCSFFiles{dir}, Events); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := keysOf(t, OCSFFiles{dir}, Findings); err != nil || !slices.Equal(got, []string{"f-7"}) {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.ndjson.gz"), []byte("no gzip"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keysOf(t, OCSFFiles{dir}, Events); err == nil {
		t.Error("a broken file is passed over")
	}
	if _, err := keysOf(t, OCSFFiles{filepath.Join(dir, "none")}, Events); err == nil {
		t.Error("a folder that is not there holds nothing")
	}
}

func TestSplunkIsAsked(t *testing.T) {
	t.Setenv("SPLUNK_TOKEN", "s3cret")
	status, body := 200, ""
	var got *http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got = r
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer s.Close()
	src := Splunk{Remote: Remote{Endpoint: s.URL, Token: sink.Secret{Env: "SPLUNK_TOKEN"}, Index: "main"}}
	body = `{"preview":true,"result":{"event_id":"no"}}` + "\n" + `{"preview":false,"offset":0,"result":{"event_id":"a"}}` + "\n" + `{"preview":false,"result":{"event_id":"b"}}`
	if keys, err := keysOf(t, src, Events); err != nil || !slices.Equal(keys, []string{"a", "b"}) {
		t.Errorf("%v, %v", keys, err)
	}
	if got.URL.Path != "/services/search/jobs/export" || got.Header.Get("Authorization") != "Bearer s3cret" || !strings.Contains(got.Form.Get("search"), `index="main"`) || got.Form.Get("earliest_time") != "1800000000" {
		t.Errorf("%v %v", got.URL, got.Form)
	}
	body = `{"preview":false,"result":{"finding_id":"f","revision":"7"}}{"preview":false,"result":{"finding_id":"f"}}`
	if keys, err := keysOf(t, src, Findings); err != nil || !slices.Equal(keys, []string{"f-7", "f"}) {
		t.Errorf("%v, %v", keys, err)
	}
	for b, code := range map[string]int{`{"messages":[{"type":"FATAL","text":"x"}]}`: 200, "<html>": 200, "": 401, `{"preview":false,"result":{"event_id":"a"}`: 200} {
		body, status = b, code
		if keys, err := keysOf(t, src, Events); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v, %v", b, keys, err)
		}
	}
}

func TestElasticIsAsked(t *testing.T) {
	total := elasticPage + 3
	bad, auth := "", ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			After []any `json:"search_after"`
		}
		auth = r.Header.Get("Authorization")
		if json.NewDecoder(r.Body).Decode(&q) != nil || r.URL.Path != "/logs-mcpsiem.*/_search" {
			w.WriteHeader(400)
			return
		}
		if bad != "" {
			fmt.Fprint(w, bad)
			return
		}
		start := 0
		if q.After != nil {
			start = int(q.After[0].(float64)) + 1
		}
		hits := []any{}
		for i := start; i < min(start+elasticPage, total); i++ {
			index := ".ds-logs-mcpsiem.event-findings-1"
			if i%10 == 0 {
				index = ".ds-logs-mcpsiem.finding-default-1"
			}
			hits = append(hits, map[string]any{"_id": id(i), "_index": index, "sort": []any{i, id(i)}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"hits": map[string]any{"hits": hits}})
	}))
	defer s.Close()
	t.Setenv("ELASTIC_KEY", "id:key")
	src := Elastic{Remote: Remote{Endpoint: s.URL, APIKey: sink.Secret{Env: "ELASTIC_KEY"}}}
	events, err := keysOf(t, src, Events)
	if err != nil {
		t.Fatal(err)
	}
	findings, err := keysOf(t, src, Findings)
	if err != nil || len(events)+len(findings) != total || findings[0] != id(0) {
		t.Errorf("%d events, %d findings, %v", len(events), len(findings), err)
	}
	if auth != "ApiKey aWQ6a2V5" {
		t.Errorf("says who it is by %q", auth)
	}
	for _, bad = range []string{`{"timed_out":true}`, `{"_shards":{"failed":1}}`, `<html>`} {
		if _, err := keysOf(t, src, Events); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestRemotes(t *testing.T) {
	for e, ok := range map[string]bool{"https://splunk:8089": true, "splunk:8089": false, "https://u:p@s": false, "": false} {
		if err := (&Remote{Endpoint: e}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", e, err)
		}
	}
}
