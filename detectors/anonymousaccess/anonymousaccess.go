// Package anonymousaccess finds servers that answer requests without credentials.
package anonymousaccess

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/recent"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/processors/identity"
)

// Config of the detector.
type Config struct {
	// Repeat is after how long the same server is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
	// Memory is how long a use with a credential shows that the server knows authentication.
	Memory time.Duration `mapstructure:"memory"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Repeat <= 0 || c.Memory <= 0 {
		return errors.New("repeat and memory must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "anonymous_access",
	Version:    "1.1.0",
	Title:      "Server answers without authentication",
	Severity:   engine.Medium,
	Confidence: 0.85,
	Key:        engine.KeyServer,
	MaxKeys:    8192,
	TTL:        30 * 24 * time.Hour,
	Sees:       "The signal `token.not_required`: a server answered a tapped HTTP request without any credential with 2xx. And which credentials the same server was used with.",
	Fires: "Once a week for each server and grade. high: it answered a call of a tool, a resource or a prompt without credential although it was used with a credential before: authentication can be left out; or it answered one that came from a public address: it listens to strangers. medium: it " +
		"answered such a request, and nobody uses credentials. low: so at an address of the machine itself, where local servers often have none; and where only lists, pings and the handshake were answered.",
	Tuning: "`repeat` (default 7 days), `memory` (30 days): how long a use with a credential counts.",
	Gaps: "Servers that take the network, a client certificate at a proxy behind the tap, or a cookie as authentication look anonymous. A credential that the server does not check: it is answered just the same. Stdio, " +
		"which has no credentials, and sources that do not tell of HTTP.",
	FalsePositives: "Servers that are public on purpose; a server that got authentication yesterday and is seen with late events of before.",
	Remediation:    "Have the server require a token for everything but discovery. Until then let only known networks reach it. Look at what was called without credential.",
	References: []string{
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"OWASP-ASI 2026 ASI03 Identity & Privilege Abuse",
		"MITRE-ATLAS 5.6 AML.T0049 Exploit Public-Facing Application",
		"SAFE-MCP 2026-02-01 SAFE-T1005 Exposed Endpoint Exploit",
	},
}, Config{Repeat: 7 * 24 * time.Hour, Memory: 30 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// maxCredentials is how many credentials of a server are remembered: enough to say that there are several.
const maxCredentials = 8

// state of one server.
type state struct {
	Credentials recent.Set `json:"c,omitzero"`
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	if e.Direction == event.ClientToServer {
		return e.TokenFingerprint != ""
	}
	return e.Signals[identity.SignalNotRequired] > 0
}

// uses says whether the method does more than look at what there is.
func uses(method string) bool {
	switch method {
	case "tools/call", "resources/read", "resources/subscribe", "prompts/get", "completion/complete", "logging/setLevel", "tasks/result", "tasks/cancel":
		return true
	}
	return false
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	if e.Direction == event.ClientToServer {
		s.Credentials.Add(e.TokenFingerprint, c.Now, int64(d.conf.Memory), maxCredentials)
		return
	}
	others := 0
	for _, v := range s.Credentials.Values {
		if v.At > c.Now-int64(d.conf.Memory) && v.At <= c.Now {
			others++
		}
	}
	severity, title, more := engine.Medium, "Server answers without authentication", ""
	switch {
	case !uses(e.Method):
		severity = engine.Low
	case others > 0:
		severity, title, more = engine.High, "Authentication can be left out", ", although others present credentials to it"
	case stranger(e.ClientAddress):
		severity, title, more = engine.High, "Server answers strangers without authentication", ", to an address outside of private networks"
	case loopback(e.ServerAddress):
		severity = engine.Low
	}
	c.Emit(engine.Alert{
		Scope:    []string{severity, title},
		Window:   d.conf.Repeat,
		Title:    title,
		Severity: severity,
		Summary:  "Server " + engine.Name(e.Server) + " answered " + engine.Name(e.Method) + " without any credential" + more + ".",
		Why: map[string]string{
			"method": engine.Name(e.Method), "credentials_seen": strconv.Itoa(others), "address": engine.Name(e.ClientAddress), "server_address": engine.Name(e.ServerAddress),
		},
	})
}

// stranger says that an address is neither this machine's nor of a private network.
func stranger(address string) bool {
	if h, _, err := net.SplitHostPort(address); err == nil {
		address = h
	}
	a, err := netip.ParseAddr(address)
	a = a.Unmap()
	return err == nil && a.IsGlobalUnicast() && !a.IsPrivate()
}

func loopback(address string) bool {
	if address == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(address)
	return err == nil && a.Unmap().IsLoopback()
}
