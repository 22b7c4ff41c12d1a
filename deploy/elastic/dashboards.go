// Dashboards for Kibana and OpenSearch Dashboards: saved objects of the kinds that both read.

package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
)

type panel struct {
	id, title, pattern, kql string
	kind                    string // metric, table, line, pie, search
	terms                   []string
	columns                 []string // of a search
	sum                     string   // the field to sum up; else documents are counted
	unique                  string   // the field whose values are counted
	w, h                    int
}

type dashboard struct {
	id, title, description string
	panels                 []panel
}

const (
	patternEvents, patternFindings, patternAudit = "mcpsiem-events", "mcpsiem-findings", "mcpsiem-audit"
)

var patterns = [][2]string{{patternEvents, "logs-mcpsiem.event-*"}, {patternFindings, "logs-mcpsiem.finding-*"}, {patternAudit, "logs-mcpsiem.audit-*"}}

var dashboards = []dashboard{
	{"mcpsiem-findings-dashboard", "MCP: findings", "What mcpsiem's detectors raised. Numbers are of findings as raised, without later changes of their state.", []panel{
		{id: "f-count", title: "Findings", pattern: patternFindings, kql: "not mcpsiem.revision : *", kind: "metric", w: 8, h: 8},
		{id: "f-high", title: "High and critical", pattern: patternFindings, kql: `not mcpsiem.revision : * and mcpsiem.severity : ("high" or "critical")`, kind: "metric", w: 8, h: 8},
		{id: "f-users", title: "Principals concerned", pattern: patternFindings, kql: "", kind: "metric", unique: "user.name", w: 8, h: 8},
		{id: "f-severity", title: "By severity", pattern: patternFindings, kql: "not mcpsiem.revision : *", kind: "pie", terms: []string{"mcpsiem.severity"}, w: 12, h: 14},
		{id: "f-time", title: "Over time", pattern: patternFindings, kql: "not mcpsiem.revision : *", kind: "line", terms: []string{"mcpsiem.severity"}, w: 36, h: 14},
		{id: "f-rules", title: "Rules", pattern: patternFindings, kql: "not mcpsiem.revision : *", kind: "table", terms: []string{"rule.name", "mcpsiem.severity"}, w: 24, h: 16},
		{id: "f-servers", title: "Servers and tools", pattern: patternFindings, kql: "not mcpsiem.revision : *", kind: "table", terms: []string{"service.name", "gen_ai.tool.name"}, w: 24, h: 16},
		{id: "f-list", title: "Findings, newest first", pattern: patternFindings, kql: "", kind: "search", columns: []string{"mcpsiem.severity", "rule.name", "message", "user.name", "service.name", "gen_ai.tool.name", "mcpsiem.status"}, w: 48, h: 20},
	}},
	{"mcpsiem-activity-dashboard", "MCP: activity", "Who calls what, how it ends and what it costs.", []panel{
		{id: "a-count", title: "Messages", pattern: patternEvents, kql: "", kind: "metric", w: 8, h: 8},
		{id: "a-users", title: "Principals", pattern: patternEvents, kql: "", kind: "metric", unique: "user.name", w: 8, h: 8},
		{id: "a-servers", title: "Servers", pattern: patternEvents, kql: "", kind: "metric", unique: "service.name", w: 8, h: 8},
		{id: "a-failures", title: "Failures", pattern: patternEvents, kql: `event.outcome : "failure"`, kind: "metric", w: 8, h: 8},
		{id: "a-cost", title: "Cost", pattern: patternEvents, kql: "", kind: "metric", sum: "mcpsiem.cost_amount", w: 8, h: 8},
		{id: "a-lost", title: "Messages lost", pattern: patternEvents, kql: `event.action : "mcpsiem.tap.loss"`, kind: "metric", sum: "mcpsiem.lost_events", w: 8, h: 8},
		{id: "a-time", title: "Messages over time", pattern: patternEvents, kql: "", kind: "line", terms: []string{"event.action"}, w: 48, h: 14},
		{id: "a-tools", title: "Tools called", pattern: patternEvents, kql: `event.action : "tools/call" and mcpsiem.kind : "request"`, kind: "table", terms: []string{"service.name", "gen_ai.tool.name"}, w: 24, h: 16},
		{id: "a-who", title: "Who calls", pattern: patternEvents, kql: `mcpsiem.kind : "request"`, kind: "table", terms: []string{"user.name", "user_agent.name"}, w: 24, h: 16},
		{id: "a-classes", title: "Data classes", pattern: patternEvents, kql: "", kind: "pie", terms: []string{"mcpsiem.data_classes"}, w: 24, h: 14},
		{id: "a-errors", title: "Errors", pattern: patternEvents, kql: `event.outcome : "failure"`, kind: "table", terms: []string{"service.name", "error.type"}, w: 24, h: 14},
		{id: "a-audit", title: "What people and the pipeline did", pattern: patternAudit, kql: "", kind: "search", columns: []string{"event.action", "mcpsiem.audit_target", "user.name", "event.outcome"}, w: 48, h: 16},
	}},
}

// Dashboards is a file of saved objects for Kibana 8 and 9 and OpenSearch Dashboards 2 and 3.
func Dashboards() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	put := func(o object) {
		if err := e.Encode(o); err != nil {
			panic("BUG: cannot encode a saved object: " + err.Error())
		}
	}
	for _, p := range patterns {
		put(object{"type": "index-pattern", "id": p[0], "attributes": object{"title": p[1], "timeFieldName": "@timestamp"}, "references": []any{}})
	}
	for _, d := range dashboards {
		var panels []object
		var refs []object
		x, y, row := 0, 0, 0
		for i, p := range d.panels {
			typ, attributes := p.object()
			put(object{"type": typ, "id": "mcpsiem-" + p.id, "attributes": attributes,
				"references": []object{{"name": "kibanaSavedObjectMeta.searchSourceJSON.index", "type": "index-pattern", "id": p.pattern}}})
			if x+p.w > 48 {
				x, y, row = 0, y+row, 0
			}
			n := fmt.Sprint(i + 1)
			panels = append(panels, object{"version": "7.10.2", "panelIndex": n, "gridData": object{"x": x, "y": y, "w": p.w, "h": p.h, "i": n}, "embeddableConfig": object{}, "panelRefName": "panel_" + n})
			refs = append(refs, object{"name": "panel_" + n, "type": typ, "id": "mcpsiem-" + p.id})
			x, row = x+p.w, max(row, p.h)
		}
		put(object{"type": "dashboard", "id": d.id, "references": refs, "attributes": object{
			"title": d.title, "description": d.description, "version": 1, "timeRestore": true, "timeFrom": "now-24h", "timeTo": "now",
			"panelsJSON": text(panels), "optionsJSON": text(object{"useMargins": true, "hidePanelTitles": false}),
			"kibanaSavedObjectMeta": object{"searchSourceJSON": text(object{"query": object{"query": "", "language": "kuery"}, "filter": []any{}})},
		}})
	}
	return b.Bytes()
}

func text(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("BUG: cannot encode a part of a saved object: " + err.Error())
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

func (p panel) object() (typ string, attributes object) {
	source := object{"searchSourceJSON": text(object{"query": object{"query": p.kql, "language": "kuery"}, "filter": []any{}, "indexRefName": "kibanaSavedObjectMeta.searchSourceJSON.index"})}
	if p.kind == "search" {
		return "search", object{"title": p.title, "columns": p.columns, "sort": [][]string{{"@timestamp", "desc"}}, "kibanaSavedObjectMeta": source}
	}
	metric := object{"id": "1", "enabled": true, "type": "count", "schema": "metric", "params": object{}}
	switch {
	case p.sum != "":
		metric["type"], metric["params"] = "sum", object{"field": p.sum, "customLabel": p.title}
	case p.unique != "":
		metric["type"], metric["params"] = "cardinality", object{"field": p.unique, "customLabel": p.title}
	case p.kind == "metric":
		metric["params"] = object{"customLabel": p.title}
	}
	aggs := []object{metric}
	terms := func(field, schema string, size int) {
		aggs = append(aggs, object{"id": fmt.Sprint(len(aggs) + 1), "enabled": true, "type": "terms", "schema": schema, "params": object{
			"field": field, "orderBy": "1", "order": "desc", "size": size, "otherBucket": false, "otherBucketLabel": "Other", "missingBucket": false, "missingBucketLabel": "Missing"}})
	}
	var params object
	visType := p.kind
	switch p.kind {
	case "metric":
		params = object{"type": "metric", "addTooltip": true, "addLegend": false, "metric": object{"colorSchema": "Green to Red", "colorsRange": []object{{"from": 0, "to": 10000}}, "invertColors": false,
			"labels": object{"show": true}, "metricColorMode": "None", "percentageMode": false, "style": object{"bgColor": false, "bgFill": "#000", "fontSize": 40, "labelColor": false, "subText": ""}, "useRanges": false}}
	case "table":
		params = object{"perPage": 10, "showPartialRows": false, "showMetricsAtAllLevels": false, "showTotal": false, "totalFunc": "sum", "percentageCol": ""}
		for _, f := range p.terms {
			terms(f, "bucket", 20)
		}
	case "pie":
		params = object{"type": "pie", "addTooltip": true, "addLegend": true, "legendPosition": "right", "isDonut": true, "labels": object{"show": false, "values": true, "last_level": true, "truncate": 100}}
		terms(p.terms[0], "segment", 10)
	case "line":
		visType = "histogram"
		params = object{"type": "histogram", "addTooltip": true, "addLegend": true, "legendPosition": "right", "addTimeMarker": false, "grid": object{"categoryLines": false}, "times": []any{},
			"categoryAxes":  []object{{"id": "CategoryAxis-1", "type": "category", "position": "bottom", "show": true, "style": object{}, "scale": object{"type": "linear"}, "labels": object{"show": true, "filter": true, "truncate": 100}, "title": object{}}},
			"valueAxes":     []object{{"id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": "left", "show": true, "style": object{}, "scale": object{"type": "linear", "mode": "normal"}, "labels": object{"show": true, "rotate": 0, "filter": false, "truncate": 100}, "title": object{"text": "Count"}}},
			"seriesParams":  []object{{"show": true, "type": "histogram", "mode": "stacked", "data": object{"label": "Count", "id": "1"}, "valueAxis": "ValueAxis-1", "drawLinesBetweenPoints": true, "lineWidth": 2, "showCircles": true}},
			"thresholdLine": object{"show": false, "value": 10, "width": 1, "style": "full", "color": "#E7664C"}, "labels": object{"show": false}}
		aggs = append(aggs, object{"id": "2", "enabled": true, "type": "date_histogram", "schema": "segment", "params": object{
			"field": "@timestamp", "useNormalizedEsInterval": true, "interval": "auto", "drop_partials": false, "min_doc_count": 1, "extended_bounds": object{}}})
		terms(p.terms[0], "group", 8)
	}
	return "visualization", object{"title": "MCP: " + p.title, "description": "", "version": 1, "uiStateJSON": "{}", "kibanaSavedObjectMeta": source,
		"visState": text(object{"title": "MCP: " + p.title, "type": visType, "params": params, "aggs": aggs})}
}
