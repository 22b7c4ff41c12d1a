// Package lookalike finds servers and packages whose names are nearly those of well-known ones, and packages that are known to be harmful
// or vulnerable.
package lookalike

import (
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	known "github.com/mcpsiem/mcpsiem/internal/lookalike"
)

// Config of the detector.
type Config struct {
	// File is a list of known servers that adds to the built-in one, in the shape of schemas/known_servers.yaml.
	File string `mapstructure:"file"`
	// Ignore are names of servers and packages (without version) that are not judged, as globs.
	Ignore []string `mapstructure:"ignore"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	for _, g := range c.Ignore {
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("ignore: a name is no pattern: %w", err)
		}
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "lookalike_server",
	Version:    "1.0.0",
	Title:      "Name that imitates a known server",
	Severity:   engine.Medium,
	Confidence: 0.8,
	Key:        engine.KeyServer,
	TTL:        90 * 24 * time.Hour,
	Sees:       "The configured name of each server, the name that it gives itself, and the package that its command line runs (`npx`, `uvx`, `docker run` and their like, as the tap sees it), once for each.",
	Fires: "When a name is nearly that of a well-known server, package or publisher in schemas/known_servers.yaml; once for each name.\n\n" +
		"| severity | how |\n|---|---|\n" +
		"| critical | the package, in this version, is known to have done harm |\n" +
		"| high | characters that look like those of the known name; a publisher's scope, misspelt; a version with a hole that lets others run code or read files |\n" +
		"| medium | a known name with a letter too few, too many or in the wrong place; a publisher's package without its scope; a claim to be official by somebody who is not the publisher |\n" +
		"| low | a publisher's package under somebody else's scope: forks do that, and so do impostors |",
	Tuning: "`file` adds packages, scopes and products of one's own, so that look-alikes of internal servers are found too. `ignore` takes globs of names that are known to be harmless.",
	Gaps: "Names that are not near any on the list: a new name for a harmful server. Swapped words (`server-github-mcp`) are too common to judge. Packages that start from a path, a repository or a script; " +
		"versions that the command line leaves open are not compared with known holes.",
	FalsePositives: "A product of one's own whose name is a letter away from a known one.",
	Remediation:    "Compare the package with its publisher's documentation before it runs again; look at what it was called with, and change the credentials that it was given.",
	References: []string{
		"OWASP-MCP 2025-beta MCP04:2025 Software Supply Chain Attacks & Dependency Tampering",
		"OWASP-MCP 2025-beta MCP09:2025 Shadow MCP Servers",
		"OWASP-ASI 2026 ASI04 Agentic Supply Chain Vulnerabilities",
		"OWASP-LLM 2025 LLM03:2025 Supply Chain",
		"SAFE-MCP 2026-02-01 SAFE-T1004 Server Impersonation/Name-Collision",
		"SAFE-MCP 2026-02-01 SAFE-T1003 Malicious MCP-Server Distribution",
	},
}, Config{}, func(c Config) (engine.Detector[state], error) {
	list, err := known.Default()
	if c.File != "" {
		list, err = known.Load(c.File)
	}
	if err != nil {
		return nil, err
	}
	return &detector{c, list}, nil
})

// maxJudged is how many different names of one server are judged.
const maxJudged = 64

// state holds names that were judged, so that each is once.
type state struct {
	Judged []string `json:"judged,omitempty"`
}

type detector struct {
	conf Config
	list *known.Catalogue
}

func (d *detector) Wants(e *event.Event) bool {
	return e.Server != "" && e.AuditAction == "" || e.Package != ""
}

var how = map[string]struct{ severity, says string }{
	known.Malicious:  {engine.Critical, "is a package that is known to have done harm"},
	known.Vulnerable: {engine.High, "runs in a version with a known hole"},
	known.Confusable: {engine.High, "is written with characters that look like those of"},
	known.Scope:      {engine.High, "has a publisher's scope, misspelt:"},
	known.Typo:       {engine.Medium, "is nearly the name"},
	known.Unscoped:   {engine.Medium, "is a publisher's package without its scope:"},
	known.Official:   {engine.Medium, "claims to be official and is not the publisher's:"},
	known.OtherScope: {engine.Low, "is named as another publisher's package:"},
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	d.judge(c, e, s, "package", e.Package)
	d.judge(c, e, s, "server", e.Server)
	d.judge(c, e, s, "claimed_name", e.ServerClaimedName)
}

func (d *detector) judge(c *engine.Context, e *event.Event, s *state, what, name string) {
	if name == "" {
		return
	}
	key := what + ":" + name
	if len(key) > 64 {
		key = event.SourceID(key)
	}
	if slices.Contains(s.Judged, key) || len(s.Judged) >= maxJudged {
		return
	}
	s.Judged = append(s.Judged, key)
	if slices.ContainsFunc(d.conf.Ignore, func(g string) bool { ok, _ := path.Match(g, name); return ok }) {
		return
	}
	var v known.Verdict
	if what == "package" {
		v = d.list.Package(name)
	} else {
		v = d.list.Server(name)
	}
	if v.How == "" {
		return
	}
	h := how[v.How]
	summary := engine.Name(name) + " of server " + engine.Name(e.Server) + " " + h.says
	if v.Why == "" {
		summary += " " + v.Like + "."
	} else {
		summary += ": " + v.Why + "."
	}
	title := ""
	switch v.How {
	case known.Malicious:
		title = "Package that is known to be harmful"
	case known.Vulnerable:
		title = "Package with a known hole"
	}
	c.Emit(engine.Alert{
		Scope: []string{what, name}, Title: title, Severity: h.severity, Summary: summary,
		Why: map[string]string{"where": what, "how": v.How, "like": v.Like, "host": engine.Name(e.HostName)},
	})
}
