// sinks.yaml: where else events and findings go. Each sink becomes one durable consumer of each stream and one exporter, in a
// configuration that is laid over that of the installation.

package distro

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Sink is one entry of sinks.yaml.
type Sink struct {
	Name string `yaml:"name"` // its consumers are NAME (events) and NAME-findings
	Type string `yaml:"type"` // the exporter's type, e.g. splunkhec
	// Streams that it reads: events, findings. By default both, findings alone for pagers and chats.
	Streams []string `yaml:"streams"`
	// From says where a new sink begins: now (the default), everything, or a time (RFC 3339). One that exists goes on where it was.
	From    string         `yaml:"from"`
	Workers int            `yaml:"workers"` // batches at the same time, of each stream; 1 where order matters
	Config  map[string]any `yaml:"config"`  // the exporter's own settings
	// Reconcile says how `mcpsiem reconcile` asks what the sink holds; for files nothing has to be said.
	Reconcile map[string]any `yaml:"reconcile"`

	node *yaml.Node // of sinks.yaml
}

// sinkTypes are the exporters that can be sinks, with the streams that they read by default. A new exporter is added here and in Factories.
var sinkTypes = map[string][]string{
	"splunkhec": {"events", "findings"},
	"elastic":   {"events", "findings"},
	"pagerduty": {"findings"},
	"webhook":   {"findings"},
	"slack":     {"findings"},
	"syslog":    {"events", "findings"},
	"ocsf":      {"events", "findings"},
	"parquet":   {"events", "findings"},
	"otlp":      {"events", "findings"},
}

// sinkReceivers are settings of the receivers of some types. A Parquet file is worth writing for many messages only: they stay
// unacknowledged until it is on disk.
var sinkReceivers = map[string]map[string]any{
	"parquet": {"combine": map[string]any{"max_messages": 1000, "max_records": 20_000, "max_wait": "30s"}},
	"ocsf":    {"combine": map[string]any{"max_messages": 64, "max_records": 5_000, "max_wait": "50ms"}},
}

// Consumer of one stream for one sink.
type Consumer struct {
	Sink, Stream, Durable string
}

// Consumers are the durable consumers of the sink.
func (s Sink) Consumers() (out []Consumer) {
	for _, st := range s.Streams {
		switch st {
		case "events":
			out = append(out, Consumer{s.Name, streams.Events, s.Name})
		case "findings":
			out = append(out, Consumer{s.Name, streams.Findings, s.Name + "-findings"})
		}
	}
	return out
}

// Component is the exporter's id in the configuration.
func (s Sink) Component() string { return s.Type + "/" + s.Name }

// ReadSinks reads sinks.yaml. A file that is not there is no sinks.
func ReadSinks(file string) ([]Sink, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read sinks: %w", err)
	}
	var doc struct {
		Sinks yaml.Node `yaml:"sinks"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var out []Sink
	seen := map[string]int{}
	for _, n := range doc.Sinks.Content {
		at := func(format string, args ...any) error {
			return fmt.Errorf("%s:%d: %s", file, n.Line, fmt.Sprintf(format, args...))
		}
		var s Sink
		if n.Kind != yaml.MappingNode {
			return nil, at("a sink is a map with name, type and config")
		}
		for i := 0; i < len(n.Content); i += 2 {
			if k := n.Content[i]; !slices.Contains([]string{"name", "type", "streams", "from", "workers", "config", "reconcile"}, k.Value) {
				return nil, fmt.Errorf("%s:%d: a sink has no %s; it has name, type, streams, from, workers, config and reconcile", file, k.Line, k.Value)
			}
		}
		if err := n.Decode(&s); err != nil {
			return nil, at("%v", err)
		}
		if err := s.check(); err != nil {
			return nil, at("%v", err)
		}
		if line, twice := seen[s.Name]; twice {
			return nil, at("a sink %s is in line %d already", s.Name, line)
		}
		seen[s.Name] = n.Line
		s.node = n
		out = append(out, s)
	}
	return out, nil
}

// reserved are consumers of the pipeline itself.
var reserved = []string{"enrich", "detect", "clickhouse", "ledger", "seal", "replay"}

func (s *Sink) check() error {
	if err := streams.ValidName(s.Name); err != nil || s.Name == "" {
		return errors.New("name must be letters, digits, - and _")
	}
	if slices.Contains(reserved, s.Name) || strings.HasSuffix(s.Name, "-findings") {
		return fmt.Errorf("the name %s is taken by the pipeline itself; choose another", s.Name)
	}
	defaults, known := sinkTypes[s.Type]
	if !known {
		types := make([]string, 0, len(sinkTypes))
		for t := range sinkTypes {
			types = append(types, t)
		}
		slices.Sort(types)
		return fmt.Errorf("unknown type %q; there are %s", s.Type, strings.Join(types, ", "))
	}
	if len(s.Streams) == 0 {
		s.Streams = defaults
	}
	for _, st := range s.Streams {
		if st != "events" && st != "findings" {
			return fmt.Errorf("unknown stream %q; there are events and findings", st)
		}
	}
	switch s.From {
	case "":
		s.From = "now"
	case "now", "everything":
	default:
		if _, err := time.Parse(time.RFC3339, s.From); err != nil {
			return fmt.Errorf("from must be now, everything, or a time like 2026-01-31T23:00:00Z")
		}
	}
	if s.Workers == 0 {
		s.Workers = 1
	}
	if s.Workers < 1 || s.Workers > 64 {
		return errors.New("workers must be from 1 to 64")
	}
	return nil
}

// RenderSinks writes the configuration that is laid over the installation's; nil where there are no sinks. nats is the receivers' nats section.
func RenderSinks(sinks []Sink, nats map[string]any) ([]byte, error) {
	if len(sinks) == 0 {
		return nil, nil
	}
	receivers, exporters, pipelines := map[string]any{}, map[string]any{}, map[string]any{}
	for _, s := range sinks {
		exporters[s.Component()] = s.Config
		if _, set := s.Config["state"]; s.Type == "pagerduty" && !set { // which incidents there are outlives the process
			c := map[string]any{"state": map[string]any{"bucket": "mcpsiem-pager-" + s.Name, "nats": nats}}
			maps.Copy(c, s.Config)
			exporters[s.Component()] = c
		}
		for _, c := range s.Consumers() {
			r := map[string]any{"nats": nats, "stream": c.Stream, "durable": c.Durable, "workers": s.Workers}
			switch s.From {
			case "now":
				r["deliver"] = "new"
			case "everything":
				r["deliver"] = "all"
			default:
				r["deliver"], r["start_time"] = "by_start_time", s.From
			}
			maps.Copy(r, sinkReceivers[s.Type])
			receivers["jetstream/"+c.Durable] = r
			pipelines["logs/sink_"+c.Durable] = map[string]any{"receivers": []string{"jetstream/" + c.Durable}, "exporters": []string{s.Component()}}
		}
	}
	var b bytes.Buffer
	b.WriteString("# Made from sinks.yaml by `mcpsiem up` at each start: change that, not this file.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := e.Encode(map[string]any{"receivers": receivers, "exporters": exporters, "service": map[string]any{"pipelines": pipelines}})
	return b.Bytes(), err
}
