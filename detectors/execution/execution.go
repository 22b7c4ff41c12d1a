// Package execution finds calls whose arguments carry more than arguments: commands, paths out of a folder, queries and addresses that the
// tool was not made to take.
package execution

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Threshold is the score from which a signal of an argument counts, 0 to 1.
	Threshold float64 `mapstructure:"threshold"`
	// MaxTokens is the length of arguments, in tokens, up to which a signal is taken to be of a value rather than of a text that mentions it.
	MaxTokens int64 `mapstructure:"max_tokens"`
	// Window is how long repeats for the same principal, tool and kind are part of one finding.
	Window time.Duration `mapstructure:"window"`
	// IgnoreTools are names of tools that are not judged, and prefixes of names where they end in *.
	IgnoreTools []string `mapstructure:"ignore_tools"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Threshold <= 0 || c.Threshold > 1 {
		return errors.New("threshold must be above 0 and at most 1")
	}
	if c.MaxTokens < 1 {
		return errors.New("max_tokens must be at least 1")
	}
	if c.Window <= 0 {
		return errors.New("window must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "argument_injection",
	Version:    "2.3.0",
	Title:      "Attack in arguments",
	Severity:   engine.Medium,
	Confidence: 0.7,
	Key:        engine.KeyMessage,
	Sees: "The content signals of what clients hand over: arguments of tools and prompts, URIs of resources to read or follow, values to complete (`shell_metachar`, `remote_code`, `remote_code_strong`, `dangerous_command`, `template_expression`, `path_traversal`, `sensitive_file`, `system_file`, `sql_injection`, `ssrf`, `argument_shape`, " +
		"`exfil_link`, `secret_in_arguments`), the tool's name and capabilities, and how long the arguments are. Inspection computes the signals before redaction and leaves shell operators out where tool or argument take commands or prose by their name.",
	Fires: "When a signal reaches `threshold` in arguments of at most `max_tokens`; once an hour for each server, tool, principal and kind.\n\n" +
		"| kind | signals | exceptions |\n|---|---|---|\n" +
		"| order | a command that harms who runs it: a shell to elsewhere, everything deleted, secrets sent away, a way back in; a download that runs | high; a tool that executes is no excuse |\n" +
		"| command | shell operators, a download that runs, in an argument that is no command | low where the tool executes: commands are what it takes |\n" +
		"| template | an expression that a template engine would evaluate and that calculates, calls or reaches for the engine's insides | low where the tool executes |\n" +
		"| path | a way out of the folder; files with keys and tokens; low alone: other files of the system | low where the tool executes |\n" +
		"| query | SQL, a script or a directory filter that ends a value and goes on; a comparison (`$ne`) where a user, a password or an id belongs | not where the tool's name says that it takes queries; low where it executes |\n" +
		"| address | a cloud's metadata service, an address in disguise, a scheme that reaches files or raw sockets | not a resource's own `file:` |\n" +
		"| value | one that does not fit what its argument's name promises: a host with blanks, a city with a semicolon, a branch that begins like an option, a command glued to a file's name; a header or markup that runs in a subject, a title or a name; a serialized object | low where the tool executes |\n" +
		"| collector | a host that is known for collecting what it is sent | low, unless the same arguments hold a credential |\n\n" +
		"medium for one kind; high for two (value does not count as one), for an order, for a collector with a credential, and where the tool itself destroys or spends. In longer arguments everything but an order is low: source code and documents are full of such strings.",
	Tuning: "`threshold` (default 0.7), `max_tokens` (256), `window` (1h), `ignore_tools`. A tool that runs code and is not known as such is told to inspection in its file of capabilities.",
	Gaps: "Orders are known by their form: a script that does the same in steps, or in Python, is ordinary here. Names of commands glued to a value without any sign; arguments named like prose or commands, for shell operators; " +
		"arguments whose names promise nothing; attacks padded to more than `max_tokens` are low. Whether the server carried it out: look at the answer of the exchange.",
	FalsePositives: "Paths with two steps up between folders of one project, agents that edit configuration files of agents, tests of webhooks, administrators who install keys or format disks through an agent, security work.",
	Remediation: "Find out where the value came from: in a conversation that read foreign content before the call, treat that content as hostile. Have the server check its arguments against a pattern and pass " +
		"them on without a shell; give an agent's shell a sandbox without credentials.",
	References: []string{
		"OWASP-MCP 2025-beta MCP05:2025 Command Injection & Execution",
		"OWASP-LLM 2025 LLM05:2025 Improper Output Handling",
		"OWASP-ASI 2026 ASI05 Unexpected Code Execution (RCE)",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.T0050 Command and Scripting Interpreter",
		"MITRE-ATLAS 5.6 AML.T0053 AI Agent Tool Invocation",
		"MITRE-ATLAS 5.6 AML.T0086 Exfiltration via AI Agent Tool Invocation",
		"SAFE-MCP 2026-02-01 SAFE-T1101 Command Injection",
		"SAFE-MCP 2026-02-01 SAFE-T1105 Path Traversal via File Tool",
		"SAFE-MCP 2026-02-01 SAFE-T1502 File-Based Credential Harvest",
	},
}, Config{Threshold: 0.7, MaxTokens: 256, Window: time.Hour}, func(c Config) (engine.Detector[struct{}], error) {
	return &detector{c}, nil
})

// kind is what an argument does; the order is that in which kinds name a finding.
type kind uint8

const (
	order kind = iota
	command
	template
	path
	query
	address
	value
	collector
	kinds
)

var kindNames = [kinds]string{"order", "command", "template", "path", "query", "address", "value", "collector"}

var titles = [kinds]string{"Harmful command given to a tool", "Command in an argument", "Template expression in an argument", "Path out of bounds in an argument", "Query in an argument",
	"Internal address in an argument", "Value that does not fit its argument", "Data to a collecting host"}

// judged are the signals of arguments, by kind.
var judged = []struct {
	signal string
	kind   kind
}{
	{content.SignalDangerous, order},
	{content.SignalRemoteCodeStrong, order},
	{content.SignalShell, command},
	{content.SignalRemoteCode, command},
	{content.SignalTemplate, template},
	{content.SignalTraversal, path},
	{content.SignalSensitiveFile, path},
	{content.SignalSystemFile, path},
	{content.SignalSQL, query},
	{content.SignalSSRF, address},
	{content.SignalShape, value},
	{content.SignalExfilLink, collector},
}

// signalSecret says that the arguments hold a credential.
const signalSecret = "secret_in_arguments"

// bytesPerToken is about how long a token is, for messages whose tokens nobody counted.
const bytesPerToken = 4

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if len(e.Signals) == 0 || e.Kind != event.KindRequest || e.Direction == event.ServerToClient {
		return false
	}
	switch e.Method {
	case "tools/call", "prompts/get", "resources/read", "resources/subscribe", "completion/complete":
		return true
	}
	return false
}

// target is what the arguments were for, in words. The URI of a resource is the argument itself, and is not said.
func target(e *event.Event) string {
	switch e.Method {
	case "tools/call":
		return "called " + engine.Name(e.Tool)
	case "prompts/get":
		return "asked for prompt " + engine.Name(e.Prompt)
	case "completion/complete":
		return "asked for completions"
	}
	return "asked for a resource"
}

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	if d.ignored(e.Tool) {
		return
	}
	what := toolOf(e)
	var grade [kinds]string // severity of each kind; empty: not found
	var signals [kinds]string
	var score [kinds]float64
	medium := 0
	for _, j := range judged {
		s := e.Signals[j.signal]
		if s < d.conf.Threshold || j.kind == query && what.queries || j.kind == address && strings.HasPrefix(e.ResourceURI, "file:") {
			continue
		}
		g := engine.Medium
		switch {
		case j.kind == order:
			g = engine.High
		case what.executes && j.kind != address && j.kind != collector, j.kind == collector && e.Signals[signalSecret] < d.conf.Threshold, length(e) > d.conf.MaxTokens, j.signal == content.SignalSystemFile:
			g = engine.Low
		}
		if grade[j.kind] == "" {
			signals[j.kind] = j.signal
		} else {
			signals[j.kind] += ", " + j.signal
		}
		score[j.kind] = max(score[j.kind], s)
		if g != engine.Low && j.kind != value && (grade[j.kind] == "" || grade[j.kind] == engine.Low) {
			medium++
		}
		grade[j.kind] = engine.WorseSeverity(grade[j.kind], g)
	}
	// The worst kind names the finding; of equals the first.
	worst := kinds
	for k := range kinds {
		if grade[k] != "" && (worst == kinds || grade[k] != engine.Low && grade[worst] == engine.Low) {
			worst = k
		}
	}
	if worst == kinds {
		return
	}
	severity := grade[worst]
	if medium > 1 || medium > 0 && (grade[collector] == engine.Medium || what.destroys) || grade[order] != "" {
		severity = engine.High
	}
	var all, names []string
	for k := range kinds {
		if grade[k] != "" {
			all = append(all, signals[k])
			names = append(names, kindNames[k])
		}
	}
	c.Emit(engine.Alert{
		Scope:      []string{e.Server, e.Tool + e.Prompt, e.PrincipalID, kindNames[worst], severity},
		Window:     d.conf.Window,
		Title:      titles[worst],
		Severity:   severity,
		Confidence: score[worst],
		Summary: engine.Name(e.PrincipalID) + " " + target(e) + " of server " + engine.Name(e.Server) + " with an argument that looks like an attack: " +
			strings.Join(names, ", ") + ".",
		Why: map[string]string{
			"kinds": strings.Join(names, ", "), "signals": strings.Join(all, ", "), "score": strconv.FormatFloat(score[worst], 'g', 3, 64),
			"tool_executes": strconv.FormatBool(what.executes), "tokens": strconv.FormatInt(length(e), 10),
		},
	})
}

func (d *detector) ignored(tool string) bool {
	for _, p := range d.conf.IgnoreTools {
		if rest, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(tool, rest) || tool == p {
			return true
		}
	}
	return false
}

// length of the arguments in tokens; where they were not counted, by the size of the message.
func length(e *event.Event) int64 {
	if e.TokensArguments > 0 {
		return e.TokensArguments
	}
	return e.BodySize / bytesPerToken
}
