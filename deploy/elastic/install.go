// Putting it into a cluster and a Kibana.

package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"slices"

	exporter "github.com/mcpsiem/mcpsiem/exporters/elastic"
)

// Results of a step.
const (
	ResultPut     = "put"       // put, new or anew
	ResultThere   = "there"     // was there already and is left alone
	ResultSkipped = "skipped"   // the cluster has no such feature; Note says which
	ResultWould   = "would put" // a dry run
)

// Step is one thing done.
type Step struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Result string `json:"result"`
	Note   string `json:"note,omitempty"`
}

// Install puts everything into a cluster; what is there already is put anew, so that it can be repeated. It tells what it did also with an error.
func Install(ctx context.Context, c *exporter.Client, o Options, dry bool) (exporter.Version, []Step, error) {
	v, err := c.Detect(ctx)
	if err != nil {
		return v, nil, fmt.Errorf("cannot ask the cluster what it is: %w", err)
	}
	if v.Flavour == exporter.Unknown {
		return v, nil, errors.New("the server does not say whether it is Elasticsearch or OpenSearch (GET /): is the address right, and may the credential monitor the cluster?")
	}
	if v.Flavour == exporter.Elasticsearch && v.Number == "" {
		return v, nil, errors.New("the cluster does not tell its version (GET /): the credential needs monitor")
	}
	if v.Flavour == exporter.Elasticsearch && v.Major < 8 || v.Flavour == exporter.OpenSearch && !v.AtLeast(2, 12) {
		return v, nil, fmt.Errorf("%s is too old: it takes Elasticsearch 8 or OpenSearch 2.12", v)
	}
	assets, err := Assets(v, o)
	if err != nil {
		return v, nil, err
	}
	var steps []Step
	for _, a := range assets {
		s := Step{Name: a.Name, Path: a.Path, Result: ResultWould}
		if !dry {
			if s.Result, s.Note, err = put(ctx, c, a); err != nil {
				return v, steps, fmt.Errorf("cannot put %s: %w", a.Name, err)
			}
		}
		steps = append(steps, s)
	}
	return v, steps, nil
}

// jsonError is what an answer says is wrong. Here its text may be told: what was sent are templates, not records.
func jsonError(a exporter.Answer) (typ, reason string) {
	var e struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(a.Body, &e) != nil {
		return "", ""
	}
	var p struct {
		Type     string `json:"type"`
		Reason   string `json:"reason"`
		CausedBy struct {
			Reason   string `json:"reason"`
			CausedBy struct {
				Reason string `json:"reason"`
			} `json:"caused_by"`
		} `json:"caused_by"`
	}
	if json.Unmarshal(e.Error, &p) != nil {
		_ = json.Unmarshal(e.Error, &p.Reason)
	}
	for _, r := range []string{p.CausedBy.Reason, p.CausedBy.CausedBy.Reason} {
		if r != "" {
			p.Reason += ": " + r
		}
	}
	return p.Type, p.Reason
}

func put(ctx context.Context, c *exporter.Client, a Asset) (result, note string, err error) {
	path := a.Path
	if a.Policy { // one that is there is changed only by who names its version
		have, err := c.Do(ctx, http.MethodGet, path, "", "", nil)
		if err != nil {
			return "", "", err
		}
		var p struct {
			Seq  int `json:"_seq_no"`
			Term int `json:"_primary_term"`
		}
		if have.HTTP == http.StatusOK && json.Unmarshal(have.Body, &p) == nil {
			path += fmt.Sprintf("?if_seq_no=%d&if_primary_term=%d", p.Seq, p.Term)
		}
	}
	kind := ""
	if len(a.Body) > 0 {
		kind = "application/json"
	}
	r, err := c.Do(ctx, http.MethodPut, path, kind, "", a.Body)
	if err != nil {
		return "", "", err
	}
	typ, reason := jsonError(r)
	switch {
	case r.HTTP == http.StatusOK || r.HTTP == http.StatusCreated:
		return ResultPut, "", nil
	case a.Once && typ == "resource_already_exists_exception":
		return ResultThere, "", nil
	case a.Policy && (r.HTTP == http.StatusBadRequest || r.HTTP == http.StatusNotFound || r.HTTP == http.StatusMethodNotAllowed) && slices.Contains([]string{"", "illegal_argument_exception"}, typ):
		return ResultSkipped, "this OpenSearch has no index state management: see to retention yourself", nil
	case r.HTTP == http.StatusUnauthorized:
		return "", "", errors.New("HTTP 401: the credential is not valid")
	case r.HTTP == http.StatusForbidden:
		return "", "", errors.New("HTTP 403: the credential may not do this; it needs manage_index_templates, manage_ilm (OpenSearch: index state management) and manage on logs-mcpsiem.*")
	}
	return "", "", fmt.Errorf("HTTP %d, %s: %s", r.HTTP, typ, reason)
}

// InstallKibana puts dashboards into Kibana or OpenSearch Dashboards and, with rules, detection rules into Elastic Security. The client's endpoint is Kibana's,
// with a space's path if it is to be one (/s/security).
func InstallKibana(ctx context.Context, c *exporter.Client, openSearch, rules, dry bool) ([]Step, error) {
	todo := []struct {
		name, path, file string
		body             []byte
	}{{"dashboards", "/api/saved_objects/_import?overwrite=true", "dashboards.ndjson", Dashboards()}}
	if rules && !openSearch {
		todo = append(todo, struct {
			name, path, file string
			body             []byte
		}{"detection rules", "/api/detection_engine/rules/_import?overwrite=true", "detection-rules.ndjson", DetectionRules()})
	}
	var steps []Step
	for _, x := range todo {
		s := Step{Name: x.name, Path: x.path, Result: ResultWould}
		if !dry {
			var b bytes.Buffer
			w := multipart.NewWriter(&b)
			part, err := w.CreateFormFile("file", x.file)
			if err == nil {
				_, err = part.Write(x.body)
			}
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				return steps, fmt.Errorf("cannot make a request: %w", err)
			}
			r, err := c.Do(ctx, http.MethodPost, x.path, w.FormDataContentType(), "", b.Bytes(), "kbn-xsrf", "true", "osd-xsrf", "true")
			if err != nil {
				return steps, fmt.Errorf("cannot put %s into Kibana: %w", x.name, err)
			}
			var reply struct {
				Success *bool `json:"success"`
				Errors  []struct {
					ID    string `json:"id"`
					Error struct {
						Type    string `json:"type"`
						Message string `json:"message"`
					} `json:"error"`
				} `json:"errors"`
			}
			bad := json.Unmarshal(r.Body, &reply) != nil
			switch {
			case r.HTTP == http.StatusUnauthorized || r.HTTP == http.StatusForbidden:
				return steps, fmt.Errorf("cannot put %s into Kibana: HTTP %d: the credential may not do this", x.name, r.HTTP)
			case r.HTTP != http.StatusOK || bad || reply.Success == nil:
				return steps, fmt.Errorf("cannot put %s into Kibana: HTTP %d: is this the address of a Kibana 8 or 9, or of OpenSearch Dashboards?", x.name, r.HTTP)
			case !*reply.Success:
				e := ""
				if len(reply.Errors) > 0 {
					e = ": " + reply.Errors[0].ID + " " + reply.Errors[0].Error.Type + reply.Errors[0].Error.Message
				}
				return steps, fmt.Errorf("cannot put %s into Kibana: %d errors%s", x.name, len(reply.Errors), e)
			}
			s.Result = ResultPut
		}
		steps = append(steps, s)
	}
	return steps, nil
}
