// Package serveridentity finds servers that are no longer what they were under the same name: another program, package, address or
// claimed name; and one name that stands for different servers on different hosts.
package serveridentity

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/launch"
)

// Config of the detector.
type Config struct {
	// Versions is how many different versions of a server, in use at the same time on different hosts, are too many.
	Versions int `mapstructure:"versions"`
	// Many is from how many versions on that is medium.
	Many int `mapstructure:"many"`
	// Recent is how long a host's version counts as in use after it was last seen.
	Recent time.Duration `mapstructure:"recent"`
	// IgnoreServers are configured names that stand for different servers on purpose.
	IgnoreServers []string `mapstructure:"ignore_servers"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Versions < 2 {
		return errors.New("versions must be at least 2")
	}
	if c.Many < c.Versions {
		return errors.New("many must be at least versions")
	}
	if c.Recent <= 0 {
		return errors.New("recent must be above 0")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "server_identity",
	Version:    "1.1.0",
	Title:      "Server is another one than before",
	Severity:   engine.Medium,
	Confidence: 0.8,
	Key:        engine.KeyServer,
	MaxKeys:    4096,
	TTL:        90 * 24 * time.Hour,
	Sees:       "For each configured name of a server and each host: the executable and the package that the tap starts, the address upstream, and the name and version that the server claims.",
	Fires: "When one of them is another than before on the same host, once for each change:\n\n" +
		"| severity | when |\n|---|---|\n" +
		"| medium | another package or executable starts under the name; the upstream host is another; the server claims another name |\n" +
		"| low | an older version than before is claimed or started; one name starts different packages on different hosts (once for each package); `versions` different versions of a server are in use at the same time, medium from `many` on |\n" +
		"| informational | another version; another port |",
	Tuning:         "`versions` (3), `many` (5) and `recent` (7 days); `ignore_servers` for names that everybody uses for something else.",
	Gaps:           "What the program does: a package that changes its content under the same version looks the same. The first identity that is seen is taken as right. At most 256 hosts a server are remembered.",
	FalsePositives: "Moves from npx to a local installation, from one package runner to another, renamed products.",
	Remediation:    "Compare the client's configuration with what was approved; a change that nobody made on purpose is an incident. Pin versions, and give one configuration to a team.",
	References: []string{
		"OWASP-MCP 2025-beta MCP04:2025 Software Supply Chain Attacks & Dependency Tampering",
		"OWASP-MCP 2025-beta MCP09:2025 Shadow MCP Servers",
		"OWASP-ASI 2026 ASI04 Agentic Supply Chain Vulnerabilities",
		"MITRE-ATLAS 5.6 AML.T0109 AI Supply Chain Rug Pull",
		"SAFE-MCP 2026-02-01 SAFE-T1004 Server Impersonation/Name-Collision",
	},
}, Config{Versions: 3, Many: 5, Recent: 7 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// Bounds of what is remembered of a server.
const (
	maxHosts    = 256
	maxPackages = 16
	maxValue    = 160 // bytes of a value
)

type state struct {
	Hosts    map[string]*identity `json:"hosts,omitempty"`
	Packages []string             `json:"packages,omitempty"` // started on any host
}

// identity of a server on one host.
type identity struct {
	Seen    int64  `json:"s"`
	Command string `json:"c,omitempty"`
	Package string `json:"p,omitempty"` // with its version
	Address string `json:"a,omitempty"`
	Port    int64  `json:"o,omitempty"`
	Name    string `json:"n,omitempty"` // claimed
	Version string `json:"v,omitempty"` // claimed
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return e.Server != "" && e.AuditAction == "" && (e.Command != "" || e.ServerAddress != "" || e.ServerClaimedName != "") && !slices.Contains(d.conf.IgnoreServers, e.Server)
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	host := e.HostName
	if len(host) > maxValue {
		host = event.SourceID(host)
	}
	x := s.Hosts[host]
	if x == nil {
		if len(s.Hosts) >= maxHosts {
			return
		}
		if s.Hosts == nil {
			s.Hosts = map[string]*identity{}
		}
		x = &identity{}
		s.Hosts[host] = x
	}
	x.Seen = max(x.Seen, c.Now)

	pkg, command := cut(e.Package), cut(e.Command)
	registry, name := launch.Name(pkg)
	_, before := launch.Name(x.Package)
	switch {
	case pkg == "" && command == "":
	case x.Package != "" && pkg != "" && name != before:
		d.raise(c, e, engine.Medium, "package", x.Package, pkg, "Another package under a known name")
	case x.Command != "" && command != "" && x.Command != command && (pkg == "" || x.Package == ""):
		d.raise(c, e, engine.Medium, "executable", x.Command, command, "Another program under a known name")
	case x.Package != "" && pkg != "" && x.Package != pkg:
		d.version(c, e, "package version", x.Package, pkg, pinned(x.Package), pinned(pkg))
	}
	if pkg != "" {
		d.spread(c, e, s, registry+":"+name)
	}
	set(&x.Package, pkg)
	if command != "" && pkg == "" {
		x.Package = ""
	}
	set(&x.Command, command)

	if a := cut(e.ServerAddress); a != "" {
		switch {
		case x.Address != "" && !strings.EqualFold(x.Address, a):
			d.raise(c, e, engine.Medium, "address", x.Address, a, "Another address under a known name")
		case x.Address != "" && x.Port != 0 && e.ServerPort != 0 && x.Port != e.ServerPort:
			d.raise(c, e, engine.Informational, "port", strconv.FormatInt(x.Port, 10), strconv.FormatInt(e.ServerPort, 10), "Another port of a known server")
		}
		x.Address = a
		if e.ServerPort != 0 {
			x.Port = e.ServerPort
		}
	}

	if n := cut(e.ServerClaimedName); n != "" && e.Kind == event.KindResponse {
		v := cut(e.ServerClaimedVersion)
		switch {
		case x.Name != "" && x.Name != n:
			d.raise(c, e, engine.Medium, "claimed name", x.Name, n, "Server claims another name")
		case x.Version != "" && v != "" && x.Version != v:
			d.version(c, e, "claimed version", x.Version, v, x.Version, v)
		}
		changed := x.Version != v
		x.Name = n
		set(&x.Version, v)
		if changed {
			d.versions(c, e, s)
		}
	}
}

func (d *detector) raise(c *engine.Context, e *event.Event, severity, what, before, now, title string) {
	c.Emit(engine.Alert{
		Scope: []string{what, e.HostName, before, now}, Title: title, Severity: severity,
		Summary: "Server " + engine.Name(e.Server) + " on " + engine.Name(e.HostName) + " has another " + what + " than before: " + engine.Name(now) + ", was " + engine.Name(before) + ".",
		Why:     map[string]string{"what": what, "before": engine.Name(before), "now": engine.Name(now), "host": engine.Name(e.HostName)},
	})
}

// version raises another version, of which the texts and the numbers are given.
func (d *detector) version(c *engine.Context, e *event.Event, what, before, now, from, to string) {
	severity, title := engine.Informational, "Another version of a server"
	if older(to, from) {
		severity, title = engine.Low, "Older version of a server than before"
	}
	d.raise(c, e, severity, what, before, now, title)
}

// spread raises a package that one name starts besides another on another host.
func (d *detector) spread(c *engine.Context, e *event.Event, s *state, pkg string) {
	if slices.Contains(s.Packages, pkg) || len(s.Packages) >= maxPackages {
		return
	}
	s.Packages = append(s.Packages, pkg)
	if len(s.Packages) < 2 || len(s.Hosts) < 2 {
		return
	}
	c.Emit(engine.Alert{
		Scope: []string{"spread", pkg}, Title: "One name for different packages", Severity: engine.Low,
		Summary: "Server " + engine.Name(e.Server) + " is package " + engine.Name(pkg) + " on " + engine.Name(e.HostName) + ", and another one elsewhere: " + engine.Name(s.Packages[0]) + ".",
		Why:     map[string]string{"packages": strconv.Itoa(len(s.Packages)), "hosts": strconv.Itoa(len(s.Hosts))},
	})
}

// versions raises that many versions are in use at the same time.
func (d *detector) versions(c *engine.Context, e *event.Event, s *state) {
	var in []string
	for _, x := range s.Hosts {
		if x.Version != "" && c.Now-x.Seen <= int64(d.conf.Recent) && !slices.Contains(in, x.Version) {
			in = append(in, x.Version)
		}
	}
	if len(in) < d.conf.Versions {
		return
	}
	severity := engine.Low
	if len(in) >= d.conf.Many {
		severity = engine.Medium
	}
	slices.Sort(in)
	c.Emit(engine.Alert{
		Scope: []string{"versions", strconv.Itoa(len(in))}, Window: d.conf.Recent, Title: "Many versions of a server in use", Severity: severity,
		Summary: "Server " + engine.Name(e.Server) + " is in use in " + strconv.Itoa(len(in)) + " versions at the same time.",
		Why:     map[string]string{"versions": engine.Name(strings.Join(in, ", ")), "hosts": strconv.Itoa(len(s.Hosts))},
	})
}

func set(to *string, v string) {
	if v != "" {
		*to = v
	}
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxValue)], "") }

// pinned is the version in a package's name.
func pinned(pkg string) string {
	_, name := launch.Name(pkg)
	_, full, _ := strings.Cut(pkg, ":")
	if len(full) < len(name) {
		return ""
	}
	return strings.Trim(full[len(name):], "@=:~^")
}

// older says whether version a comes before b, by their numbers; what has none in the same place does not.
func older(a, b string) bool {
	x, y := strings.FieldsFunc(a, notDigit), strings.FieldsFunc(b, notDigit)
	for i := range min(len(x), len(y)) {
		n, err := strconv.Atoi(x[i])
		m, err2 := strconv.Atoi(y[i])
		if err != nil || err2 != nil || n > m {
			return false
		}
		if n < m {
			return true
		}
	}
	return false
}

func notDigit(r rune) bool { return r < '0' || r > '9' }
