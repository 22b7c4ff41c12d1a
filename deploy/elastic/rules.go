// Detection rules of Elastic Security: findings as its alerts.

package elastic

import (
	"bytes"
	"encoding/json"
)

// Query is where a rule or panel looks.
type query struct {
	id, index, kql string
}

type detectionRule struct {
	query
	name, description, severity string
	risk                        int
	nameFrom                    string // field
}

var detectionRules = []detectionRule{
	{query{"mcpsiem-finding-critical", "logs-mcpsiem.finding-*", `event.kind : "alert" and mcpsiem.severity : "critical" and not mcpsiem.revision : *`},
		"MCP finding: critical", "A finding of mcpsiem with severity critical, as its detector raised it.", "critical", 99, "rule.name"},
	{query{"mcpsiem-finding-high", "logs-mcpsiem.finding-*", `event.kind : "alert" and mcpsiem.severity : "high" and not mcpsiem.revision : *`},
		"MCP finding: high", "A finding of mcpsiem with severity high, as its detector raised it.", "high", 73, "rule.name"},
	{query{"mcpsiem-finding-medium", "logs-mcpsiem.finding-*", `event.kind : "alert" and mcpsiem.severity : "medium" and not mcpsiem.revision : *`},
		"MCP finding: medium", "A finding of mcpsiem with severity medium, as its detector raised it.", "medium", 47, "rule.name"},
	{query{"mcpsiem-finding-low", "logs-mcpsiem.finding-*", `event.kind : "alert" and mcpsiem.severity : ("low" or "informational") and not mcpsiem.revision : *`},
		"MCP finding: low", "A finding of mcpsiem with severity low or informational, as its detector raised it.", "low", 21, "rule.name"},
	{query{"mcpsiem-tap-loss", "logs-mcpsiem.event-*", `event.action : "mcpsiem.tap.loss"`},
		"MCP records lost", "A tap could not keep some messages: the trail has a hole, whose numbers the record gives (mcpsiem.lost_from, mcpsiem.lost_to).", "medium", 47, ""},
	{query{"mcpsiem-logging-failed", "logs-mcpsiem.audit-*", `event.action : "logging.failed"`},
		"MCP audit trail interrupted", "mcpsiem could not keep records for a time (PCI DSS 10.7).", "high", 73, ""},
}

// DetectionRules is a file for Kibana's import of detection rules. They are off until somebody turns them on.
func DetectionRules() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, r := range detectionRules {
		o := object{
			"rule_id": r.id, "name": r.name, "description": r.description, "type": "query", "language": "kuery", "index": []string{r.index}, "query": r.kql,
			"severity": r.severity, "risk_score": r.risk, "severity_mapping": []any{}, "risk_score_mapping": []any{}, "enabled": false,
			// By the time of arrival, so that what a sink or the cluster held up is not missed.
			"interval": "1m", "from": "now-10m", "to": "now", "timestamp_override": "event.ingested", "timestamp_override_fallback_disabled": false,
			"max_signals": 1000, "author": []string{"mcpsiem"}, "license": "Apache-2.0", "tags": []string{"MCP", "mcpsiem"}, "false_positives": []any{}, "references": []any{}, "threat": []any{},
			"exceptions_list": []any{}, "actions": []any{}, "version": 1, "immutable": false,
		}
		if r.nameFrom != "" {
			o["rule_name_override"] = r.nameFrom
		}
		if err := e.Encode(o); err != nil {
			panic("BUG: cannot encode a rule: " + err.Error())
		}
	}
	return b.Bytes()
}
