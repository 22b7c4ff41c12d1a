// Package crosstenant finds what belongs to one tenant in the traffic of another.
package crosstenant

import (
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// File declares what belongs to whom. Without one, all is learned.
	File string `mapstructure:"file"`
	// PerPrincipal names servers, as globs, on which each principal has data of its own that no other may see.
	PerPrincipal []string `mapstructure:"per_principal"`
	// Support is in how many exchanges of its owner alone content must have been seen to be taken as the owner's.
	Support int64 `mapstructure:"support"`
	// Warmup is how many answers of a tool, after a second tenant uses it, it takes to know whether tenants share what it serves.
	Warmup int64 `mapstructure:"warmup"`
	// MaxShared is the share of a tool's answers with content of others from which on the tool is taken to serve all alike.
	MaxShared float64 `mapstructure:"max_shared"`
	// Fingerprints is how many are remembered; twice as many at most.
	Fingerprints int `mapstructure:"fingerprints"`
	// NameOwners says whether a finding, which is the receiving tenant's, names the other tenant.
	NameOwners bool `mapstructure:"name_owners"`
	// Repeat is after how long the same pair is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Support < 1 || c.Support > 100:
		return errors.New("support must be from 1 to 100")
	case c.Warmup < 1:
		return errors.New("warmup must be at least 1")
	case c.MaxShared <= 0 || c.MaxShared >= 1:
		return errors.New("max_shared must be between 0 and 1")
	case c.Fingerprints < 1000 || c.Fingerprints > 20_000_000:
		return errors.New("fingerprints must be from 1000 to 20000000")
	case c.Repeat < time.Minute:
		return errors.New("repeat must be at least 1m")
	}
	for _, g := range c.PerPrincipal {
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("per_principal: %q is no pattern", g)
		}
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:           "cross_tenant",
	Version:      "1.0.0",
	Title:        "Data of another tenant",
	Severity:     engine.High,
	Confidence:   0.7,
	Key:          engine.KeyGlobal,
	MaxKeys:      1,
	TTL:          90 * 24 * time.Hour,
	StateVersion: 1,
	Sees: "Keyed fingerprints of values, identifiers, words and of whose data a message is about (`user_id`, `tenant_id` and their like), in arguments and results; sessions, tasks and credentials; resource URIs. Of all tenants " +
		"together, under a key that is the installation's.",
	Fires: "What was seen in `support` exchanges of one tenant only is that tenant's. high: an answer for another tenant holds its values or names it; the answer is one that it got before (a cache or a connection that " +
		"mixes tenants); a session, a task, or a declared server, resource or mark of one tenant is used by another. medium: an answer that is mostly the receiver's own holds values of another; arguments of another tenant name it; a tenant of which a server has known one name only gets data of another name, on a server " +
		"where that is so of all tenants; a credential is used in two tenants. low: only the words of an answer are another's (medium at a tool that has given 100 answers and hardly any twice). On servers of `per_principal` the same between principals of a tenant, as medium. Content that a tool serves to all is learned as shared, for each tool and kind of content.",
	Tuning: "`per_principal` (globs of servers, none): servers where each user has data of its own. `file` declares owners and what is shared. `support` (2), `warmup` (20 answers), `max_shared` (0.05): lower is stricter about what a tool may share before its content says " +
		"nothing. `fingerprints` (250000, up to twice that in memory, 70 to 110 bytes each; none while there is one tenant). `name_owners` (true): set false where tenants read their own findings. `repeat` (24h).",
	Gaps: "What nobody has been seen with before, unless it is named or declared. Content that comes paraphrased, or as binary. A tool that mixes tenants from its first answers on is learned as shared: declare its content. Fingerprint keys change every 7 days: " +
		"learning begins anew, and so it does when the only tenant gets company. A value that two tenants truly have in common is nobody's from then on. Credentials and sessions of sources that do not tell them.",
	FalsePositives: "A customer who moved between tenants; a partner's record that both have; the first answers of a tool with content for all. Allow a pair of tenants in triage, or declare the tool as shared.",
	Remediation:    "Look at both events. If the answer was another tenant's: stop the server, clear its cache, tell the owner. Look at other answers of the same tool and connection at that time.",
	References: []string{
		"OWASP-MCP 2025-beta MCP10:2025 Context Injection & Over-Sharing",
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"OWASP-LLM 2025 LLM02:2025 Sensitive Information Disclosure",
		"OWASP-LLM 2026 LLM02:2026 Sensitive Information Disclosure",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"MITRE-ATLAS 5.6 AML.T0057 LLM Data Leakage",
		"MITRE-ATLAS 5.6 AML.T0085.001 Data from AI Services: AI Agent Tools",
	},
}, Config{Support: 2, Warmup: 20, MaxShared: 0.05, Fingerprints: 250_000, NameOwners: true, Repeat: 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	d := &detector{conf: c}
	if c.File == "" {
		return d, nil
	}
	var err error
	d.declared, err = ReadDeclared(c.File)
	return d, err
})

type detector struct {
	conf     Config
	declared *Declared
	buf      []uint64
}

func (d *detector) Wants(e *event.Event) bool {
	if e.Kind == event.KindRecord {
		return false
	}
	if d.declared != nil && len(d.declared.Owners) > 0 {
		return true
	}
	return e.SessionID != "" || e.TaskID != "" || e.TokenFingerprint != "" && e.Direction == event.ClientToServer || len(e.Fingerprints) > 0 && content(e)
}

// content says whether the message carries content that may be somebody's.
func content(e *event.Event) bool {
	switch e.Method {
	case "tools/call", "resources/read", "prompts/get", "tasks/result", "completion/complete", "":
	default:
		return false
	}
	return e.Kind == event.KindRequest && e.Direction == event.ClientToServer || e.Kind == event.KindResponse && e.Outcome != event.OutcomeRPCError
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	s.ledger.limit = d.conf.Fingerprints
	x := &judgement{d: d, c: c, e: e, s: s}
	x.identify()
	x.handles()
	if owner, by := d.declared.foreign(c.Tenant, e); owner != "" {
		x.foreignDeclared(owner, by)
	}
	if !content(e) || s.Tenants < 2 && !x.perPrincipal || d.declared.shared(e) {
		return
	}
	x.judge()
}
