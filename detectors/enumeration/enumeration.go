// Package enumeration finds who tries names of tools, resources and prompts until one answers.
package enumeration

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/recent"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// Config of the detector.
type Config struct {
	// Window is how long refused names count together.
	Window time.Duration `mapstructure:"window"`
	// Names is how many different names must be refused.
	Names int `mapstructure:"names"`
	// Many is how many make it high.
	Many int `mapstructure:"many"`
	// Repeat is after how long the same principal is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Window <= 0 || c.Repeat <= 0 {
		return errors.New("window and repeat must be above 0")
	}
	if c.Names < 2 || c.Many < c.Names || c.Many > maxNames {
		return errors.New("names must be at least 2, many at least names and at most " + strconv.Itoa(maxNames))
	}
	return nil
}

// Bounds of what is remembered of a principal.
const (
	maxNames   = 128
	maxServers = 32
	maxShown   = 10
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "enumeration",
	Version:    "1.1.0",
	Title:      "Names tried one after the other",
	Severity:   engine.Medium,
	Confidence: 0.7,
	Key:        engine.KeyPrincipal,
	MaxKeys:    16384,
	TTL:        6 * time.Hour,
	Sees: "Answers that say that something does not exist or is not allowed: JSON-RPC errors -32601, -32602 to a tool call or prompt, and -32002, and 403 and 404 as codes of such errors, and HTTP 403. What counts is the server with the tool, " +
		"resource, prompt or method that was asked for.",
	Fires:  "When one principal (where nobody is known: credential, OS user or address) gets such answers for `names` different names within `window`. high when `many` are reached. Each at most once in `repeat`.",
	Tuning: "`names` (default 12), `many` (60), `window` (10m), `repeat` (6h).",
	Gaps: "Servers that answer an unknown tool with an ordinary result, or a result that is an error (`isError`): those cannot be told from tools that failed. Guessing slower than the window, or under many identities. " +
		"At most 128 names of a principal are counted.",
	FalsePositives: "A client with a list of tools from an older version of the server; a model that makes up names; an agent that fails the same validation with a dozen tools; crawlers of resources with dead links.",
	Remediation:    "Look at the conversation: a model that makes names up needs a fresh list of tools. Names of other people's resources or of administrative tools are reconnaissance: suspend the credential.",
	References: []string{
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"OWASP-ASI 2026 ASI02 Tool Misuse & Exploitation",
		"MITRE-ATLAS 5.6 AML.TA0008 Discovery",
		"MITRE-ATLAS 5.6 AML.T0084.001 Discover AI Agent Configuration: Tool Definitions",
		"SAFE-MCP 2026-02-01 SAFE-T1801 Automated Data Harvesting",
	},
}, Config{Window: 10 * time.Minute, Names: 12, Many: 60, Repeat: 6 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// state of one principal.
type state struct {
	Names   recent.Set `json:"n,omitzero"` // server and name
	Servers recent.Set `json:"s,omitzero"`
	Denied  recent.Set `json:"d,omitzero"` // those of Names that were not allowed
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool { return refused(e) || denied(e) }

// refused says whether the answer is that the name does not exist.
func refused(e *event.Event) bool {
	if e.Kind != event.KindError || e.Direction != event.ServerToClient {
		return false
	}
	switch e.RPCCode {
	case mcp.CodeMethodNotFound, mcp.CodeResourceNotFound:
		return true
	case mcp.CodeInvalidParams:
		return e.Method == "tools/call" || e.Method == "prompts/get" || e.Method == "resources/read"
	case "403", "404": // statuses of HTTP, as servers write them here
		return true
	}
	return false
}

// denied says whether the answer is that the name is not for this principal.
func denied(e *event.Event) bool {
	return e.AuthDecision == "denied" || e.AuthDecision == "insufficient_scope" || e.Kind == event.KindError && e.RPCCode == "403"
}

// name is what was asked for.
func name(e *event.Event) string {
	switch {
	case e.Tool != "":
		return "tool " + e.Tool
	case e.ResourceURI != "":
		return "resource " + e.ResourceURI
	case e.Prompt != "":
		return "prompt " + e.Prompt
	case e.Method != "":
		return "method " + e.Method
	}
	return ""
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	what := name(e)
	if what == "" {
		return
	}
	window := int64(d.conf.Window)
	key := strconv.Itoa(len(e.Server)) + ":" + e.Server + " " + what
	fresh := s.Names.Add(key, c.Now, window, maxNames)
	s.Servers.Add(e.Server, c.Now, window, maxServers)
	if denied(e) {
		s.Denied.Add(key, c.Now, window, maxNames)
	}
	n := s.Names.Len()
	if !fresh || n < d.conf.Names {
		return
	}
	severity := engine.Medium
	if n >= d.conf.Many {
		severity = engine.High
	}
	var evidence []string
	for _, t := range s.Names.Texts(maxShown) {
		if _, t, ok := strings.Cut(t, " "); ok && !strings.HasPrefix(t, "#") {
			evidence = append(evidence, engine.Name(t))
		}
	}
	c.Emit(engine.Alert{
		Scope:    []string{severity},
		Window:   d.conf.Repeat,
		Severity: severity,
		Summary: engine.Name(e.PrincipalID) + " asked " + count(s.Servers.Len(), "server") + " for " + count(n, "name") + " that do not exist or are not allowed within " +
			strconv.FormatInt(int64(d.conf.Window/time.Minute), 10) + " minutes, the last " + engine.Name(what) + ".",
		Evidence: evidence,
		Why: map[string]string{
			"names": strconv.Itoa(n), "servers": strconv.Itoa(s.Servers.Len()), "not_allowed": strconv.Itoa(s.Denied.Len()), "last_code": engine.Name(e.RPCCode),
		},
		Count: int64(n),
	})
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
