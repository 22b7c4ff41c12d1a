// What is asked for each type of sink.

package setup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/distro"
)

// Form is what is asked for a type of sink.
type Form struct {
	Type, Title string
	Fields      []Question
}

// Question is one setting of a sink.
type Question struct {
	Key      string // path in the exporter's configuration, joined by dots; also the name in --sink
	Ask      string
	Example  string
	Default  string
	Required bool
	Secret   bool // kept in a file of its own; the configuration names the file
	List     bool // of texts, separated by blanks
}

// Forms are the types that init can set up. Others, and all further settings, are written into sinks.yaml by hand (docs/sinks).
var Forms = []Form{
	{"splunkhec", "Splunk", []Question{
		{Key: "endpoint", Ask: "base URL of the HTTP Event Collector", Example: "https://splunk.example.com:8088", Required: true},
		{Key: "token", Ask: "HEC token", Secret: true, Required: true},
		{Key: "index", Ask: "index", Default: "mcp"},
	}},
	{"elastic", "Elasticsearch", []Question{
		{Key: "endpoints", Ask: "URLs of the nodes", Example: "https://es.example.com:9200", Required: true, List: true},
		{Key: "auth.api_key", Ask: "API key", Secret: true, Required: true},
	}},
	{"pagerduty", "PagerDuty", []Question{
		{Key: "region", Ask: "region of the account, us or eu", Default: "us"},
		{Key: "routing_key", Ask: "integration key (Events API v2)", Secret: true, Required: true},
	}},
	{"slack", "Slack", []Question{
		{Key: "url", Ask: "URL of the incoming webhook", Secret: true, Required: true},
	}},
	{"webhook", "a webhook", []Question{
		{Key: "url", Ask: "URL that findings are posted to", Example: "https://soar.example.com/hooks/mcp", Required: true},
		{Key: "token", Ask: "bearer token (Enter: none)", Secret: true},
	}},
	{"ocsf", "OCSF events in files", []Question{
		{Key: "file.dir", Ask: "folder", Example: "/var/lib/ocsf", Required: true},
	}},
}

// Available are the forms of the exporters that this distribution has.
func Available() []Form {
	f, err := distro.Factories()
	if err != nil {
		return nil
	}
	var out []Form
	for _, form := range Forms {
		for t := range f.Exporters {
			if t.String() == form.Type {
				out = append(out, form)
			}
		}
	}
	return out
}

// FormOf finds the form of a type.
func FormOf(typ string) (Form, error) {
	var types []string
	for _, f := range Available() {
		if f.Type == typ {
			return f, nil
		}
		types = append(types, f.Type)
	}
	return Form{}, fmt.Errorf("there is no form for sinks of type %q; there are %s. Write others into sinks.yaml", typ, strings.Join(types, ", "))
}

// Sink is what was answered for one sink.
type Sink struct {
	Name, Type string
	Values     map[string]string // by Question.Key; secrets too
}

// ParseSink reads the text of --sink: type=splunkhec,name=siem,endpoint=https://...,token-file=PATH. A secret is named by its key and -file; what
// is read from the file is the caller's to put into Values. files holds those paths by key.
func ParseSink(text string) (s Sink, files map[string]string, err error) {
	s.Values, files = map[string]string{}, map[string]string{}
	for _, part := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return s, nil, fmt.Errorf("--sink: %q is not KEY=VALUE", key)
		}
		switch key {
		case "type":
			s.Type = value
		case "name":
			s.Name = value
		default:
			s.Values[key] = value
		}
	}
	f, err := FormOf(s.Type)
	if err != nil {
		return s, nil, err
	}
	if s.Name == "" {
		s.Name = s.Type
	}
	for key, value := range s.Values {
		i := slices.IndexFunc(f.Fields, func(q Question) bool { return q.Key == strings.TrimSuffix(key, "-file") })
		switch {
		case i < 0:
			return s, nil, fmt.Errorf("--sink: %s has no setting %s here; it has %s", s.Type, key, f.keys())
		case f.Fields[i].Secret != strings.HasSuffix(key, "-file"):
			if f.Fields[i].Secret {
				return s, nil, fmt.Errorf("--sink: a secret does not belong on a command line, where other users and the shell's history have it: put it into a file and say %s-file=PATH", key)
			}
			return s, nil, fmt.Errorf("--sink: %s is no secret; give it as %s=VALUE", f.Fields[i].Key, f.Fields[i].Key)
		case f.Fields[i].Secret:
			files[f.Fields[i].Key] = value
			delete(s.Values, key)
		}
	}
	return s, files, nil
}

func (f Form) keys() string {
	var out []string
	for _, q := range f.Fields {
		if q.Secret {
			out = append(out, q.Key+"-file")
		} else {
			out = append(out, q.Key)
		}
	}
	return strings.Join(out, ", ")
}

// config is the sink's configuration, with paths of secrets instead of secrets.
func (s Sink) config(f Form, secretFile func(key string) string) (map[string]any, error) {
	out := map[string]any{}
	for _, q := range f.Fields {
		v := s.Values[q.Key]
		if v == "" {
			v = q.Default
		}
		if v == "" {
			if q.Required {
				return nil, fmt.Errorf("sink %s: %s is needed (%s)", s.Name, q.Key, q.Ask)
			}
			continue
		}
		var value any = v
		switch {
		case q.Secret:
			value = map[string]any{"file": secretFile(q.Key)}
		case q.List:
			value = strings.Fields(v)
		}
		at, parts := out, strings.Split(q.Key, ".")
		for _, p := range parts[:len(parts)-1] {
			if at[p] == nil {
				at[p] = map[string]any{}
			}
			at = at[p].(map[string]any)
		}
		at[parts[len(parts)-1]] = value
	}
	return out, nil
}
