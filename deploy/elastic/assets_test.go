package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	exporter "github.com/mcpsiem/mcpsiem/exporters/elastic"
	"github.com/mcpsiem/mcpsiem/exporters/elastic/elastictest"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

func TestFilesAreGenerated(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the code makes: go generate ./deploy/elastic (%v)", name, err)
		}
	}
	for _, dir := range []string{"elasticsearch", "serverless", "opensearch", "kibana"} {
		names, err := filepath.Glob(dir + "/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if _, ok := files[filepath.ToSlash(n)]; !ok {
				t.Errorf("%s is made by nothing", n)
			}
		}
	}
}

var versions = map[string]exporter.Version{
	"elasticsearch 8.0": {Flavour: exporter.Elasticsearch, Major: 8, Number: "8.0"}, "elasticsearch 8.19": {Flavour: exporter.Elasticsearch, Major: 8, Minor: 19, Number: "8.19"},
	"elasticsearch 9.0": {Flavour: exporter.Elasticsearch, Major: 9, Number: "9.0"}, "elasticsearch 9.2": {Flavour: exporter.Elasticsearch, Major: 9, Minor: 2, Number: "9.2"},
	"serverless": {Flavour: exporter.Serverless}, "opensearch 2.19": {Flavour: exporter.OpenSearch, Major: 2, Minor: 19, Number: "2.19"}, "opensearch 3.1": {Flavour: exporter.OpenSearch, Major: 3, Minor: 1, Number: "3.1"},
}

// Types that a flavour has (Elasticsearch 8.0, "Field data types"; OpenSearch 2.12, "Mappings and field types").
var types = map[bool][]string{
	false: {"keyword", "constant_keyword", "long", "double", "float", "boolean", "date_nanos", "ip", "flattened", "match_only_text"},
	true:  {"keyword", "long", "double", "float", "boolean", "date_nanos", "ip", "flat_object", "match_only_text"},
}

func TestTemplatesCoverEveryField(t *testing.T) {
	for name, v := range versions {
		assets, err := Assets(v, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range sink.Kinds {
			i := slices.IndexFunc(assets, func(a Asset) bool {
				return a.Path == "/_component_template/"+exporter.TemplateName(k)+"-mappings"
			})
			var c struct {
				Template struct {
					Mappings struct {
						Dynamic    any
						Properties map[string]any
					}
				}
			}
			if err := json.Unmarshal(assets[i].Body, &c); err != nil {
				t.Fatal(err)
			}
			if c.Template.Mappings.Dynamic != false {
				t.Errorf("%s, %s: dynamic is %v", name, k, c.Template.Mappings.Dynamic)
			}
			fields, err := exporter.Fields(k)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fields {
				at := map[string]any{"properties": c.Template.Mappings.Properties}
				for p := range strings.SplitSeq(f.Path, ".") {
					props, _ := at["properties"].(map[string]any)
					at, _ = props[p].(map[string]any)
				}
				typ, _ := at["type"].(string)
				if !slices.Contains(types[v.Flavour == exporter.OpenSearch], typ) {
					t.Errorf("%s, %s: %s has type %q", name, k, f.Path, typ)
				}
				if limit, _ := at["ignore_above"].(float64); (typ == "keyword" || typ == "flattened") && (limit == 0 || limit*4 > 32766+4) {
					t.Errorf("%s, %s: a long %s has the document refused", name, k, f.Path)
				}
			}
			if n := len(fields); n > 800 {
				t.Errorf("%s: %d fields, the limit of an index is 1000", k, n)
			}
		}
	}
}

func TestTemplatesByVersion(t *testing.T) {
	f := func(version, path, want string, has bool) {
		t.Helper()
		assets, err := Assets(versions[version], Options{})
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, a := range assets {
			if strings.Contains(a.Path, path) {
				text += string(a.Body)
			}
		}
		if strings.Contains(text, want) != has {
			t.Errorf("%s: %s has %q: %v, want %v", version, path, want, !has, has)
		}
	}
	f("elasticsearch 8.0", "_ilm/policy/mcpsiem-event", `"90d"`, true)
	f("elasticsearch 8.0", "_index_template", "failure_store", false)
	f("elasticsearch 8.0", "_index_template", "mcpsiem@custom", false)
	f("elasticsearch 8.19", "_index_template", "failure_store", true)
	f("elasticsearch 9.0", "_index_template", "failure_store", false)
	f("elasticsearch 9.2", "_index_template", "failure_store", true)
	f("elasticsearch 9.2", "_index_template", "mcpsiem@custom", true)
	f("elasticsearch 9.2", "_index_template", `"lifecycle"`, true)
	f("serverless", "_ilm", "", true)
	f("serverless", "_ilm", "delete", false)
	f("serverless", "_index_template/mcpsiem-event", `"data_retention": "90d"`, true)
	f("opensearch 3.1", "_plugins/_ism/policies/mcpsiem-finding", `"400d"`, true)
	f("opensearch 3.1", "_index_template", "lifecycle", false)
	f("opensearch 3.1", "_component_template", "constant_keyword", false)
	if _, err := Assets(versions["serverless"], Options{Retention: Retention{}}); err == nil {
		t.Error("a retention of no days")
	}
	if _, err := Assets(versions["serverless"], Options{Namespaces: []string{"A-b"}}); err == nil {
		t.Error("a namespace that is none")
	}
}

// Rules and dashboards speak of fields that there are.
func TestRulesAndDashboardsUseFields(t *testing.T) {
	known := map[string]map[string]bool{}
	for _, k := range sink.Kinds {
		fields, err := exporter.Fields(k)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]bool{}
		for _, f := range fields {
			m[f.Path] = true
		}
		known["logs-mcpsiem."+string(k)+"-*"] = m
	}
	field := regexp.MustCompile(`([a-z_]+(?:\.[a-z_]+)+) :`)
	check := func(what, index, kql string, fields ...string) {
		t.Helper()
		for _, m := range field.FindAllStringSubmatch(kql, -1) {
			fields = append(fields, m[1])
		}
		for _, f := range fields {
			if f != "" && !known[index][f] {
				t.Errorf("%s: %s has no field %s", what, index, f)
			}
		}
	}
	for _, r := range detectionRules {
		check(r.id, r.index, r.kql, r.nameFrom, "event.ingested")
	}
	byID := map[string]string{}
	for _, p := range patterns {
		byID[p[0]] = p[1]
	}
	seen := map[string]bool{}
	for _, d := range dashboards {
		for _, p := range d.panels {
			check(p.id, byID[p.pattern], p.kql, slices.Concat(p.terms, p.columns, []string{p.sum, p.unique})...)
			if seen[p.id] {
				t.Errorf("two panels %s", p.id)
			}
			seen[p.id] = true
		}
	}
	// Each severity of findings is in one rule.
	for _, s := range sink.Severities {
		n := 0
		for _, r := range detectionRules {
			if strings.HasPrefix(r.id, "mcpsiem-finding-") && strings.Contains(r.kql, `"`+s+`"`) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("severity %s is in %d rules", s, n)
		}
	}
}

// References between saved objects lead somewhere.
func TestSavedObjects(t *testing.T) {
	type ref struct{ Name, Type, ID string }
	var refs []ref
	have := map[string]bool{}
	for line := range bytes.Lines(Dashboards()) {
		var o struct {
			Type, ID   string
			References []ref
			Attributes map[string]any
		}
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		if have[o.Type+o.ID] {
			t.Errorf("%s twice", o.ID)
		}
		have[o.Type+o.ID] = true
		refs = append(refs, o.References...)
		for _, k := range []string{"panelsJSON", "visState", "optionsJSON", "uiStateJSON"} {
			if s, ok := o.Attributes[k].(string); ok && !json.Valid([]byte(s)) {
				t.Errorf("%s: %s", o.ID, k)
			}
		}
	}
	for _, r := range refs {
		if !have[r.Type+r.ID] {
			t.Errorf("%s %s is not there", r.Type, r.ID)
		}
	}
	if len(refs) < 20 {
		t.Errorf("%d references", len(refs))
	}
	for line := range bytes.Lines(DetectionRules()) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil || r["rule_id"] == "" || r["query"] == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func newClient(t *testing.T, url string) *exporter.Client {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(elastictest.APIKey), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exporter.NewClient([]string{url}, exporter.Auth{APIKey: sink.Secret{File: key}}, nil, 5*time.Second, 1)
	t.Cleanup(c.Close)
	return c
}

func TestInstall(t *testing.T) {
	f := func(flavour, number string) {
		t.Run(flavour, func(t *testing.T) {
			s := elastictest.New(t, func(s *elastictest.Server) { s.Flavour, s.Number = flavour, number })
			c := newClient(t, s.URL)
			_, dry, err := Install(context.Background(), c, Options{Namespaces: []string{"default"}}, true)
			if err != nil {
				t.Fatal(err)
			}
			if put, _ := s.Put(); len(put) != 0 {
				t.Errorf("a dry run put %v", slices.Collect(maps.Keys(put)))
			}
			for i := range 2 { // it can be repeated
				v, steps, err := Install(context.Background(), c, Options{Namespaces: []string{"default"}}, false)
				if err != nil || string(v.Flavour) != flavour || len(steps) != len(dry) {
					t.Fatalf("%d: %v, %d steps of %d, %v", i, v, len(steps), len(dry), err)
				}
				for _, st := range steps {
					want := ResultPut
					if i > 0 && strings.HasPrefix(st.Name, "data stream") {
						want = ResultThere
					}
					if st.Result != want {
						t.Errorf("%d: %s: %s", i, st.Name, st.Result)
					}
				}
			}
			put, order := s.Put()
			for _, k := range sink.Kinds {
				for _, p := range []string{"_index_template/mcpsiem-" + string(k), "_component_template/mcpsiem-" + string(k) + "-mappings", "_data_stream/logs-mcpsiem." + string(k) + "-default"} {
					if _, ok := put[p]; !ok {
						t.Errorf("%s is not there", p)
					}
				}
			}
			if slices.Index(order, "_component_template/mcpsiem-settings") > slices.Index(order, "_index_template/mcpsiem-event") {
				t.Error("an index template is put before what it is composed of")
			}
		})
	}
	f("elasticsearch", "9.1.3")
	f("serverless", "8.11.0")
	f("opensearch", "3.1.0")
}

func TestInstallSaysWhatIsWrong(t *testing.T) {
	f := func(name, want string, edit func(*elastictest.Server)) {
		t.Helper()
		s := elastictest.New(t, edit)
		_, _, err := Install(context.Background(), newClient(t, s.URL), Options{}, false)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), elastictest.APIKey) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	f("old", "too old", func(s *elastictest.Server) { s.Number = "7.17.0" })
	f("old opensearch", "too old", func(s *elastictest.Server) { s.Flavour, s.Number = "opensearch", "2.3.0" })
	f("no right to monitor", "monitor", func(s *elastictest.Server) { s.Silent = true })
	f("does not tell", "GET /", func(s *elastictest.Server) { s.Flavour, s.Silent = "opensearch", true })
}

func TestInstallKibana(t *testing.T) {
	got := map[string]string{}
	answer := `{"success":true,"errors":[]}`
	kibana := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("kbn-xsrf") == "" || r.Header.Get("osd-xsrf") == "" || r.URL.Query().Get("overwrite") != "true" || r.Method != http.MethodPost {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		file, h, err := r.FormFile("file")
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b, _ := io.ReadAll(file)
		got[r.URL.Path] = h.Filename + " " + string(b)
		_, _ = io.WriteString(w, answer)
	}))
	defer kibana.Close()
	c := newClient(t, kibana.URL+"/s/security")
	if steps, err := InstallKibana(context.Background(), c, false, true, false); err != nil || len(steps) != 2 {
		t.Fatalf("%v, %v", steps, err)
	}
	if got["/s/security/api/saved_objects/_import"] != "dashboards.ndjson "+string(Dashboards()) || got["/s/security/api/detection_engine/rules/_import"] != "detection-rules.ndjson "+string(DetectionRules()) {
		t.Error("what Kibana got")
	}
	if steps, err := InstallKibana(context.Background(), c, true, true, false); err != nil || len(steps) != 1 {
		t.Errorf("OpenSearch Dashboards: %v, %v", steps, err)
	}
	for _, answer = range []string{`{"success":false,"errors":[{"id":"x","error":{"type":"conflict"}}]}`, `<html>`, `{}`} {
		if _, err := InstallKibana(context.Background(), c, false, true, false); err == nil {
			t.Errorf("%s is taken for success", answer)
		}
	}
}
