package distro

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is a reason to refuse a configuration, with the place at fault.
type Problem struct {
	Path   string // keys from the top, joined by ::
	Reason string // what is wrong and what to do
}

func (p Problem) Error() string { return p.Path + ": " + p.Reason }

// Guard returns what makes a configuration break mcpsiem's guarantees although the Collector would accept it: whatever
// acknowledges a batch before it is durable further on, and whatever lets unredacted content past the redact stage.
func Guard(conf map[string]any) []Problem {
	var ps []Problem
	for _, id := range keys(conf["processors"]) {
		if typeOf(id) == "batch" {
			ps = append(ps, Problem{"processors::" + id,
				"the batch processor acknowledges data before it is delivered and loses it in a crash; remove it, batches are made where the data is durable"})
		}
	}
	exporters := section(conf["exporters"])
	for _, id := range keys(conf["exporters"]) {
		if reason := queueProblem(id, exporters[id]); reason != "" {
			ps = append(ps, Problem{"exporters::" + id, reason})
		}
	}
	receivers := section(conf["receivers"])
	for _, id := range keys(conf["receivers"]) {
		if typeOf(id) != "filelog" && typeOf(id) != "file_log" {
			continue
		}
		if on, _ := section(section(receivers[id])["retry_on_failure"])["enabled"].(bool); !on {
			ps = append(ps, Problem{"receivers::" + id,
				"without retry_on_failure the receiver drops lines that the pipeline refuses for a moment; set retry_on_failure: {enabled: true, max_elapsed_time: 0}"})
		}
	}
	pipelines := section(section(conf["service"])["pipelines"])
	for _, id := range keys(pipelines) {
		if reason := rawProblem(section(pipelines[id]), receivers, exporters); reason != "" {
			ps = append(ps, Problem{"service::pipelines::" + id, reason})
		}
	}
	return ps
}

// synchronous lists exporters that have no queue: they return when the data is where it should be.
var synchronous = []string{"jetstream", "clickhouse", "debug", "nop", "splunkhec", "elastic", "pagerduty", "webhook", "slack", "syslog", "ocsf", "parquet", "otlp"}

func queueProblem(id string, cfg any) string {
	if slices.Contains(synchronous, typeOf(id)) {
		return ""
	}
	q, given := section(cfg)["sending_queue"]
	queue := section(q)
	if on, set := queue["enabled"].(bool); set && !on {
		return ""
	}
	if queue["storage"] != nil {
		return ""
	}
	if !given {
		return "its sending queue is on by default and holds data in memory only; set sending_queue: {enabled: false}, JetStream is the queue"
	}
	return "an in-memory sending queue loses acknowledged data in a crash; set sending_queue: {enabled: false}, JetStream is the queue"
}

// rawProblem reports a pipeline that writes to EVENTS or to the store without redaction as its last step.
func rawProblem(p map[string]any, receivers, exporters map[string]any) string {
	stores := func(id any) bool {
		s, _ := id.(string)
		switch typeOf(s) {
		case "clickhouse":
			return true
		case "jetstream":
			st, _ := section(exporters[s])["stream"].(string)
			return st == "EVENTS"
		}
		return false
	}
	if !slices.ContainsFunc(list(p["exporters"]), stores) {
		return ""
	}
	clean := func(id any) bool {
		s, _ := id.(string)
		switch typeOf(s) {
		case "detect":
			return true
		case "jetstream":
			st, _ := section(receivers[s])["stream"].(string)
			return st == "EVENTS" || st == "FINDINGS"
		}
		return false
	}
	dirty := slices.ContainsFunc(list(p["receivers"]), func(id any) bool { return !clean(id) })
	procs := list(p["processors"])
	if dirty && (len(procs) == 0 || typeOf(fmt.Sprint(procs[len(procs)-1])) != "inspect") {
		return "unredacted content would be stored; end its processors with inspect"
	}
	return ""
}

// typeOf is the type in a component id: jetstream of jetstream/raw.
func typeOf(id string) string {
	t, _, _ := strings.Cut(id, "/")
	return strings.TrimSpace(t)
}

func section(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func keys(v any) []string {
	var out []string
	for k := range section(v) {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
