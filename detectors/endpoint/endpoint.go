// Package endpoint finds servers that are reached as they should not be: by web pages, under names of others, without encryption; and
// addresses in answers that are made to run something at the client.
package endpoint

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/exposure"
)

// Config of the detector.
type Config struct {
	// Window is how long repeats for the same server and kind are part of one finding.
	Window time.Duration `mapstructure:"window"`
	// PlainPorts are ports of upstream servers at which HTTP is not encrypted.
	PlainPorts []int64 `mapstructure:"plain_ports"`
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
	ID:         "unsafe_endpoint",
	Version:    "1.1.0",
	Title:      "Endpoint reached as it should not be",
	Severity:   engine.Medium,
	Confidence: 0.8,
	Key:        engine.KeyMessage,
	Sees: "What identity says of the headers and the URL of tapped HTTP requests (`transport.foreign_origin`, `transport.rebinding`, `transport.proxy_command`), what inspection says of the addresses of authorization servers in " +
		"messages and in metadata that clients fetch (`endpoint_command`), and the upstream address and port.",
	Fires: "Once in `window` for each server and kind:\n\n" +
		"| severity | when |\n|---|---|\n" +
		"| critical | the address of an authorization server in a message or a fetched document is none, or holds a command: some clients open it through a shell (CVE-2025-6514) |\n" +
		"| high | a request's query holds a command for a proxy to start (CVE-2025-49596); a web page reaches a server of this machine under a name of its own (DNS rebinding) |\n" +
		"| medium | a web page of elsewhere calls a server of this machine; a credential goes to a public address over a port of `plain_ports` |\n" +
		"| low | other traffic to a public address over such a port |",
	Tuning: "`window` (24h); `plain_ports` (80): add those at which your servers speak HTTP without TLS.",
	Gaps: "Metadata that clients fetch from an authorization server that no tap stands before; of OAuth the tap records the public documents only, since the rest is full of secrets. Whether a port is encrypted is told by its number only. " +
		"Behind a proxy that forwards requests, their origin is the proxy's matter.",
	FalsePositives: "A web client of one's own that calls local servers on purpose.",
	Remediation:    "Have local servers check Origin and Host, listen on 127.0.0.1 only and require a token. Disconnect a server whose metadata holds commands, and look at what ran on the machines that connected to it.",
	References: []string{
		"OWASP-MCP 2025-beta MCP07:2025 Insufficient Authentication & Authorization",
		"OWASP-MCP 2025-beta MCP05:2025 Command Injection & Execution",
		"OWASP-ASI 2026 ASI05 Unexpected Code Execution (RCE)",
		"MITRE-ATLAS 5.6 AML.T0049 Exploit Public-Facing Application",
		"SAFE-MCP 2026-02-01 SAFE-T1005 Exposed Endpoint Exploit",
	},
}, Config{Window: 24 * time.Hour, PlainPorts: []int64{80}}, func(c Config) (engine.Detector[struct{}], error) {
	return &detector{c}, nil
})

type detector struct{ conf Config }

// kinds by their signals, worst first.
var kinds = []struct{ signal, kind, severity, title, says string }{
	{content.SignalEndpoint, "endpoint_command", engine.Critical, "Command in the address of an authorization server", "sent or was sent an authorization server's address that would run something at the client"},
	{exposure.ProxyCommand, "proxy_command", engine.High, "Command for a proxy in a URL", "was reached with a command to start in the request's query"},
	{exposure.Rebinding, "rebinding", engine.High, "DNS rebinding", "on this machine was reached by a web page under a name of its own"},
	{exposure.ForeignOrigin, "foreign_origin", engine.Medium, "Web page calls a local server", "on this machine was called by a web page of elsewhere"},
}

func (d *detector) Wants(e *event.Event) bool {
	return len(e.Signals) > 0 || e.Kind == event.KindRequest && d.plain(e)
}

func (d *detector) Observe(c *engine.Context, e *event.Event, _ *struct{}) {
	for _, k := range kinds {
		if e.Signals[k.signal] > 0 {
			d.raise(c, e, k.kind, k.severity, k.title, k.says)
		}
	}
	if e.Kind == event.KindRequest && d.plain(e) {
		if e.TokenFingerprint != "" {
			d.raise(c, e, "plain_credential", engine.Medium, "Credential without encryption", "gets a credential over a connection that is not encrypted")
		} else {
			d.raise(c, e, "plain", engine.Low, "Server without encryption", "is reached over a connection that is not encrypted")
		}
	}
}

func (d *detector) raise(c *engine.Context, e *event.Event, kind, severity, title, says string) {
	c.Emit(engine.Alert{
		Scope: []string{e.Server, e.ServerAddress, kind}, Window: d.conf.Window, Title: title, Severity: severity,
		Summary: "Server " + engine.Name(e.Server) + " " + says + ".",
		Why:     map[string]string{"kind": kind, "method": engine.Name(e.Method), "server_address": engine.Name(e.ServerAddress), "client_address": engine.Name(e.ClientAddress)},
	})
}

// plain says that the upstream is public and its port is one without encryption.
func (d *detector) plain(e *event.Event) bool {
	if e.ServerAddress == "" || e.Transport == event.TransportStdio {
		return false
	}
	found := false
	for _, p := range d.conf.PlainPorts {
		found = found || p == e.ServerPort
	}
	return found && public(e.ServerAddress)
}

// public says that an address is neither this machine's nor of a private network; names without a dot, and those of local zones, are not.
func public(address string) bool {
	if a, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil {
		a = a.Unmap()
		return !a.IsLoopback() && !a.IsPrivate() && !a.IsLinkLocalUnicast() && !a.IsUnspecified()
	}
	if !strings.Contains(address, ".") {
		return false
	}
	for _, zone := range []string{".localhost", ".local", ".internal", ".lan", ".home.arpa", ".svc", ".test", ".corp"} {
		if strings.HasSuffix(strings.ToLower(address), zone) {
			return false
		}
	}
	return true
}
