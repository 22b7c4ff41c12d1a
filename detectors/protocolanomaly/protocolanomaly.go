// Package protocolanomaly finds messages that two readers of the protocol understand differently.
package protocolanomaly

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Window is how long repeats between the same parties are part of one finding.
	Window time.Duration `mapstructure:"window"`
	// Ignore are anomalies that are not raised.
	Ignore []string `mapstructure:"ignore"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 {
		return errors.New("window must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "protocol_anomaly",
	Version:    "1.0.0",
	Title:      "Message with more than one reading",
	Severity:   engine.Medium,
	Confidence: 0.8,
	Key:        engine.KeyMessage,
	Sees:       "The anomalies that the tap and the decoder record on messages. The table in detectors/protocolanomaly says which are raised, and as what.",
	Fires: "When a gateway, a server and a log could each read the message differently: header and body name different methods (header mismatch), keys appear twice or in two cases, or bytes follow the message " +
		"(smuggling), an id is used twice or does not fit (id confusion), or nesting and length exceed what is examined (evasion). Once an hour for each server, principal and kind. " +
		"From client to server it is one step more severe for smuggling: there it decides what a gateway allows.",
	Tuning:         "`ignore` silences single anomalies. `window` (default 1h) is how long repeats are folded together.",
	Gaps:           "Anomalies that the source repaired before logging. Text on a stdio server's output that is no JSON at all, and encoding faults, are recorded but not raised: they are common and harmless.",
	FalsePositives: "Sloppy servers repeat keys in results; a client that restarts its numbering looks like id reuse.",
	Remediation:    "Look at both readings in the event. Have the gateway refuse such messages: the protocol allows none of them.",
	References: []string{
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"MITRE-ATLAS 5.6 AML.T0107 Exploitation for Defense Evasion",
		"OWASP-ASI 2026 ASI07 Insecure Inter-Agent Communication",
	},
}, Config{Window: time.Hour}, func(c Config) (engine.Detector[struct{}], error) { return &detector{c}, nil })

type kind struct{ name, title, severity, toServer string } // toServer: severity from client to server, if another

var (
	mismatch  = kind{"header_mismatch", "Header and body disagree", engine.High, ""}
	accepted  = kind{"header_mismatch_accepted", "Server accepted a message whose header and body disagree", engine.Critical, ""}
	missing   = kind{"header_missing", "Message without the headers that name it", engine.Low, ""}
	forgery   = kind{"forgery", "Record that contradicts its sender", engine.Medium, ""}
	smuggling = kind{"smuggling", "Message with more than one reading", engine.Medium, engine.High}
	confusion = kind{"id_confusion", "Message ids confused", engine.Medium, ""}
	evasion   = kind{"evasion", "Message beyond what is examined", engine.Medium, ""}
	quiet     = kind{} // recorded, not raised
)

// kinds is the table of anomalies.
var kinds = map[string]kind{
	"header_mismatch":          mismatch,
	"header_mismatch_accepted": accepted,
	"header_missing":           missing,
	"envelope_mismatch":        forgery, // the source says another method, kind or id than the message
	"id_mismatch":              forgery, // an event id that is not the sender's to give

	"duplicate_key":       smuggling,
	"case_variant_key":    smuggling,
	"trailing_garbage":    smuggling,
	"concatenated_values": smuggling,
	"result_and_error":    smuggling,
	"mixed_envelope":      smuggling,
	"nested_batch":        smuggling,
	"batch_forbidden":     smuggling,

	"id_reuse":              confusion,
	"invalid_id":            confusion,
	"non_integer_id":        confusion,
	"duplicate_response":    confusion,
	"unknown_request_state": confusion,
	"cancel_initialize":     confusion,

	"too_deep":       evasion,
	"too_large":      evasion,
	"batch_too_long": evasion,

	"parse_error":       quiet, // a server that logs to its output
	"bom":               quiet,
	"invalid_utf8":      quiet,
	"lone_surrogate":    quiet,
	"not_object":        quiet,
	"invalid_envelope":  quiet,
	"jsonrpc_version":   quiet,
	"null_id":           quiet, // an error answer to what could not be read has one
	"params_not_object": quiet,
	"empty_batch":       quiet,
	"truncated_message": quiet, // the tap's capture limit
	"cancel_unknown":    quiet, // the answer was faster
	"future_timestamp":  quiet,
	"unknown_format":    quiet,
	"unknown_limit":     quiet,
	"json_form":         quiet,

	"input_required_method": quiet,
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool { return len(e.Anomalies) > 0 }

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	var raised [8]kind // as many as there are kinds, or more
	n := 0
	for _, a := range e.Anomalies {
		k := kinds[a]
		if k.name == "" || slices.Contains(d.conf.Ignore, a) || slices.Contains(raised[:n], k) {
			continue
		}
		raised[n] = k
		n++
		d.raise(c, e, k)
	}
}

func (d *detector) raise(c *engine.Context, e *event.Event, k kind) {
	var names []string
	for _, a := range e.Anomalies {
		if kinds[a] == k && !slices.Contains(names, a) {
			names = append(names, a)
		}
	}
	slices.Sort(names)
	severity := k.severity
	if k.toServer != "" && e.Direction == event.ClientToServer {
		severity = k.toServer
	}
	from, to := "Client "+engine.Name(e.ClientName), "server "+engine.Name(e.Server)
	if e.Direction == event.ServerToClient {
		from, to = "Server "+engine.Name(e.Server), "client "+engine.Name(e.ClientName)
	}
	list := strings.Join(names, ", ")
	c.Emit(engine.Alert{
		Scope:    []string{e.Server, e.PrincipalID, k.name},
		Window:   d.conf.Window,
		Title:    k.title,
		Severity: severity,
		Summary:  from + " sent " + to + " a message that readers can understand differently: " + list + ".",
		Why:      map[string]string{"anomalies": list, "kind": k.name, "method": engine.Name(e.Method)},
	})
}
