// Package revokeduse finds the use of credentials that were revoked.
package revokeduse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// File lists revoked credentials. Without one, only what servers say is known.
	File string `mapstructure:"file"`
	// Memory is how long a server's refusal counts.
	Memory time.Duration `mapstructure:"memory"`
	// Repeat is after how long the same is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Memory < time.Minute || c.Repeat < time.Minute {
		return errors.New("memory and repeat must be at least 1m")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "revoked_credential",
	Version:    "1.0.0",
	Title:      "Revoked credential in use",
	Severity:   engine.High,
	Confidence: 0.9,
	Key:        engine.KeyCredential,
	TTL:        30 * 24 * time.Hour,
	Sees:       "What clients send with a token or API key, and whether servers took it: the authorization decision seen on answers. The list of `file`.",
	Fires: "high: a credential of the list is used after it was revoked; the finding says whether a server still took it. medium: a server that had taken a credential refuses it, and another server still takes it later. Once in `repeat`. " +
		"Credentials of people who left or are suspended are the matter of token_hygiene.",
	Tuning:         "`file`: YAML, `revoked: [{credential: <fingerprint, 32 hex digits>, at: <RFC 3339>, why: text}]`; read at the start. `memory` (24h), `repeat` (24h).",
	Gaps:           "Revocations that nobody wrote down and no server enforces. Servers whose answers do not tell (stdio, logs). A refresh gives a new credential with a new fingerprint. A replay after the file was changed judges by the new file.",
	FalsePositives: "A client that has not noticed yet and is refused: the finding says so. A server that was restarted and had forgotten its sessions, where only a refusal is known.",
	Remediation:    "See that every server checks revocation: short lives of tokens, or introspection. Find out who uses the credential still, and from where.",
	References: []string{
		"OWASP-MCP 2025-beta MCP01:2025 Token Mismanagement & Secret Exposure",
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"MITRE-ATLAS 5.6 AML.T0012 Valid Accounts",
		"MITRE-ATLAS 5.6 AML.T0091.000 Use Alternate Authentication Material: Application Access Token",
		"SAFE-MCP 2026-02-01 SAFE-T1202 OAuth Token Persistence",
	},
}, Config{Memory: 24 * time.Hour, Repeat: 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	d := &detector{conf: c}
	if c.File == "" {
		return d, nil
	}
	var err error
	d.revoked, err = Read(c.File)
	return d, err
})

// Revoked is when a credential was revoked, and why.
type Revoked struct {
	Credential string    `yaml:"credential"`
	At         time.Time `yaml:"at"`
	Why        string    `yaml:"why"`
}

const (
	maxFile    = 16 << 20
	maxServers = 16
)

var fingerprint = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Read reads a list of revoked credentials.
func Read(file string) (map[string]Revoked, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read revoked credentials: %w", err)
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("cannot read revoked credentials: %s is larger than %d bytes", file, maxFile)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read revoked credentials: %w", err)
	}
	var doc struct {
		Revoked []Revoked `yaml:"revoked"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		// the error may quote a value, and somebody may have put a token there
		return nil, fmt.Errorf("cannot read revoked credentials in %s: not the YAML that is expected, a list `revoked` of credential, at and why", file)
	}
	out := make(map[string]Revoked, len(doc.Revoked))
	for i, r := range doc.Revoked {
		if !fingerprint.MatchString(r.Credential) {
			return nil, fmt.Errorf("cannot use revoked credentials in %s: entry %d is no fingerprint of 32 hex digits; never write a token itself", file, i+1)
		}
		if r.At.IsZero() {
			return nil, fmt.Errorf("cannot use revoked credentials in %s: entry %d has no time", file, i+1)
		}
		out[r.Credential] = r
	}
	return out, nil
}

// state of a credential.
type state struct {
	Servers map[string]*server `json:"s,omitempty"`
}

// server is what one thinks of the credential.
type server struct {
	Granted int64  `json:"g,omitempty"` // last, ns
	Refused int64  `json:"r,omitempty"` // since when, after it had been granted; ns
	Event   string `json:"e,omitempty"` // of the refusal
}

type detector struct {
	conf    Config
	revoked map[string]Revoked
}

func (d *detector) Wants(e *event.Event) bool {
	return e.TokenFingerprint != "" && (e.AuthDecision != "" || len(d.revoked) > 0)
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	name := generation.Server(e)
	if r, ok := d.revoked[e.TokenFingerprint]; ok && c.Now >= r.At.UnixNano() {
		taken := "unknown"
		switch e.AuthDecision {
		case "granted":
			taken = "yes"
		case "denied", "unauthenticated", "insufficient_scope":
			taken = "no"
		}
		c.Emit(engine.Alert{
			Scope: []string{"list", taken, name}, Window: d.conf.Repeat,
			Summary: "Credential " + engine.Name(e.TokenFingerprint) + " of " + engine.Name(e.PrincipalID) + " was used at server " + engine.Name(name) + ", " + time.Duration(c.Now-r.At.UnixNano()).Round(time.Second).String() + " after it was revoked.",
			Why:     map[string]string{"found": "list", "revoked": r.At.UTC().Format(time.RFC3339), "reason": engine.Name(r.Why), "server_took_it": taken, "credential": engine.Name(e.TokenFingerprint)},
		})
		return
	}
	if e.AuthDecision == "" || name == "" {
		return
	}
	x := s.Servers[name]
	if x == nil {
		if len(s.Servers) >= maxServers {
			return
		}
		if s.Servers == nil {
			s.Servers = map[string]*server{}
		}
		x = &server{}
		s.Servers[name] = x
	}
	switch e.AuthDecision {
	case "unauthenticated":
		if x.Granted > 0 && x.Refused == 0 && c.Now >= x.Granted {
			x.Refused, x.Event = c.Now, e.ID
		}
	case "granted":
		x.Granted, x.Refused = max(x.Granted, c.Now), 0
		d.others(c, e, s, name)
	}
}

// others raises that the credential was taken here after it was refused elsewhere.
func (d *detector) others(c *engine.Context, e *event.Event, s *state, here string) {
	who := ""
	for n, o := range s.Servers { // the smallest name: no order of the map shows
		if o.Refused > 0 && c.Now > o.Refused && c.Now-o.Refused < int64(d.conf.Memory) && (who == "" || n < who) {
			who = n
		}
	}
	if who == "" {
		return
	}
	o := s.Servers[who]
	c.Emit(engine.Alert{
		Scope: []string{"elsewhere", who, here}, Window: d.conf.Repeat, Title: "Credential taken here and refused elsewhere", Severity: engine.Medium, Confidence: 0.6,
		Summary: "Server " + engine.Name(who) + " refuses credential " + engine.Name(e.TokenFingerprint) + " of " + engine.Name(e.PrincipalID) + " that it used to take, and server " + engine.Name(here) + " still takes it.",
		Why: map[string]string{
			"found": "elsewhere", "refused_by": engine.Name(who), "refused": time.Unix(0, o.Refused).UTC().Format(time.RFC3339), "taken_by": engine.Name(here), "credential": engine.Name(e.TokenFingerprint), "after": strconv.FormatInt((c.Now-o.Refused)/1e9, 10) + "s",
		},
		EventIDs: []string{o.Event, e.ID}, FirstSeen: o.Refused,
	})
}
