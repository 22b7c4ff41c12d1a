// Package definitionbloat finds clients that load so many tools that little of a model's context is left.
package definitionbloat

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// ContextWindow is the context of the models in use, in tokens.
	ContextWindow int64 `mapstructure:"context_window"`
	// Share of it that definitions may take. Twice that is high.
	Share float64 `mapstructure:"share"`
	// Tools is how many a client may load.
	Tools int `mapstructure:"tools"`
	// Price of a million tokens of input, to say what definitions cost where events carry no amount.
	Price float64 `mapstructure:"price"`
	// Repeat is after how long the same client is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	switch {
	case c.ContextWindow < 1000:
		return errors.New("context_window must be at least 1000")
	case c.Share <= 0 || c.Share >= 1:
		return errors.New("share must be between 0 and 1")
	case c.Tools < 1:
		return errors.New("tools must be at least 1")
	case c.Price < 0:
		return errors.New("price must not be negative")
	case c.Repeat < time.Hour:
		return errors.New("repeat must be at least 1h")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "definition_bloat",
	Version:    "1.0.0",
	Title:      "Tool definitions fill the context",
	Severity:   engine.Low,
	Confidence: 0.8,
	Key:        engine.KeyPrincipal,
	MaxKeys:    8192,
	TTL:        14 * 24 * time.Hour,
	Sees:       "The tools that servers list to each client of a principal, with the tokens of their definitions, and which of them are called.",
	Fires: "medium: the definitions that a client was given within a day take `share` of the context window or more, all servers together; from twice that on it is another finding, with what it costs. low: they are more than `tools`. The finding says how many " +
		"tools have the same name as another server's, and how many were not called in a week, once it knows a week.",
	Tuning:         "`context_window` (200000) of the models in use; `share` (0.1); `tools` (20); `price` of a million input tokens (0: only what events say); `repeat` (30 days). What is normal here is listed by `mcpsiem inventory tax`.",
	Gaps:           "Hosts that load definitions when they are needed, or leave tools out, pay less. Tokens are those of the encoding that the event names. More than 2048 tools of a client. Clients by their own names; two of the same name and principal are one.",
	FalsePositives: "A catalogue of tools whose client searches it instead of loading it.",
	Remediation:    "Remove servers and tools that nobody calls, allow tools by name in the client, or put a searching gateway before the servers. `mcpsiem inventory tax --by client` and `inventory tools` say which.",
	References: []string{
		"OWASP-LLM 2025 LLM10:2025 Unbounded Consumption",
		"OWASP-LLM 2026 LLM06:2026 Unbounded Consumption",
		"OWASP-LLM 2026 LLM03:2026 Excessive Agency",
		"MITRE-ATLAS 5.6 AML.M0028 AI Agent Tools Permissions Configuration",
	},
}, Config{ContextWindow: 200_000, Share: 0.1, Tools: 20, Repeat: 30 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// Bounds of what is remembered of a principal, and for how long.
const (
	maxClients = 16
	maxTools   = 2048 // of a client
	loaded     = 24 * time.Hour
	week       = 7 * 24 * time.Hour
	maxShown   = 10
)

// state is the clients of a principal.
type state struct {
	Clients map[string]*client `json:"c,omitempty"`
}

// client is what one has loaded.
type client struct {
	First int64            `json:"f"`
	At    int64            `json:"a"`
	Tools map[string]*tool `json:"t"` // by server, NUL and name
	Cost  float64          `json:"m,omitempty"`
	Unit  string           `json:"u,omitempty"`
	Day   int64            `json:"d,omitempty"` // that Cost is of
}

type tool struct {
	Tokens int64 `json:"t"`
	At     int64 `json:"a"`           // listed last
	First  int64 `json:"f"`           // listed first
	Used   int64 `json:"u,omitempty"` // called last
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return len(e.ToolDefs) > 0 || e.Kind == event.KindRequest && e.Method == "tools/call" && e.Direction == event.ClientToServer
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	name := e.ClientName
	if name == "" {
		name = e.ParentCommand
	}
	x := s.Clients[name]
	if x == nil {
		if len(e.ToolDefs) == 0 {
			return
		}
		x = s.open(name, c.Now)
	}
	x.At = max(x.At, c.Now)
	server := generation.Server(e)
	if len(e.ToolDefs) == 0 {
		if t := x.Tools[server+"\x00"+e.Tool]; t != nil {
			t.Used = max(t.Used, c.Now)
		}
		return
	}
	if day := c.Now / int64(loaded); day != x.Day {
		x.Day, x.Cost, x.Unit = day, 0, ""
	}
	if e.CostAmount > 0 && e.CostAmount < 1e12 && (x.Unit == "" || x.Unit == e.CostCurrency) {
		x.Cost, x.Unit = x.Cost+e.CostAmount, e.CostCurrency
	}
	for _, def := range e.ToolDefs {
		key := server + "\x00" + def.Name
		if len(key) > 512 {
			continue
		}
		t := x.Tools[key]
		if t == nil {
			if len(x.Tools) >= maxTools {
				continue
			}
			t = &tool{First: c.Now}
			x.Tools[key] = t
		}
		t.Tokens, t.At = min(max(def.Tokens, 0), 1<<30), max(t.At, c.Now)
	}
	d.judge(c, e, x, name)
}

// open makes room for a client; the one that was idle longest goes.
func (s *state) open(name string, now int64) *client {
	if len(s.Clients) >= maxClients {
		oldest := ""
		for n, x := range s.Clients { // the smallest name of equally old ones: no order of the map shows
			if o := s.Clients[oldest]; o == nil || x.At < o.At || x.At == o.At && n < oldest {
				oldest = n
			}
		}
		delete(s.Clients, oldest)
	}
	if s.Clients == nil {
		s.Clients = map[string]*client{}
	}
	x := &client{First: now, Tools: map[string]*tool{}}
	s.Clients[name] = x
	return x
}

func (d *detector) judge(c *engine.Context, e *event.Event, x *client, name string) {
	var tokens int64
	var count, unused int
	names, servers := map[string]int{}, map[string]int64{}
	for key, t := range x.Tools {
		if t.At < c.Now-int64(loaded) {
			if t.At < c.Now-2*int64(week) {
				delete(x.Tools, key)
			}
			continue
		}
		server, tool, _ := strings.Cut(key, "\x00")
		count++
		tokens += t.Tokens
		names[tool]++
		servers[server] += t.Tokens
		if t.First <= c.Now-int64(week) && t.Used < c.Now-int64(week) {
			unused++
		}
	}
	share := float64(tokens) / float64(d.conf.ContextWindow)
	title, severity, found := "Tool definitions fill the context", engine.Medium, "share"
	switch {
	case share >= 2*d.conf.Share:
		found = "twice_share"
	case share >= d.conf.Share:
	case count > d.conf.Tools:
		title, severity, found = "Many tools in one context", engine.Low, "tools"
	default:
		return
	}
	twice := 0
	for _, n := range names {
		if n > 1 {
			twice += n
		}
	}
	list := make([]string, 0, len(servers))
	for s := range servers {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b string) int {
		if servers[a] != servers[b] {
			return int(servers[b] - servers[a])
		}
		return strings.Compare(a, b)
	})
	var evidence []string
	for _, s := range list[:min(len(list), maxShown)] {
		evidence = append(evidence, "server "+engine.Name(s)+": "+strconv.FormatInt(servers[s], 10)+" tokens")
	}
	why := map[string]string{
		"found": found, "client": engine.Name(name), "tools": strconv.Itoa(count), "tools_limit": strconv.Itoa(d.conf.Tools), "tokens": strconv.FormatInt(tokens, 10), "context_window": strconv.FormatInt(d.conf.ContextWindow, 10),
		"share": strconv.FormatFloat(100*share, 'f', 1, 64) + "%", "same_names": strconv.Itoa(twice), "servers": strconv.Itoa(len(servers)),
	}
	if x.First <= c.Now-int64(week) {
		why["not_called_in_a_week"] = strconv.Itoa(unused)
	}
	money := ""
	if x.Cost > 0 {
		why["cost_today"] = strconv.FormatFloat(x.Cost, 'g', 4, 64) + " " + x.Unit
		money = ", " + why["cost_today"] + " today for lists alone"
	} else if d.conf.Price > 0 {
		why["cost_each_turn"] = strconv.FormatFloat(float64(tokens)*d.conf.Price/1e6, 'g', 4, 64)
		money = ", " + why["cost_each_turn"] + " each time a model reads them"
	}
	c.Emit(engine.Alert{
		Scope: []string{found, name}, Window: d.conf.Repeat, Title: title, Severity: severity,
		Summary:  "Client " + engine.Name(name) + " of " + engine.Name(e.PrincipalID) + " loads " + strconv.Itoa(count) + " tools, " + why["tokens"] + " tokens before the first word (" + why["share"] + " of the context)" + money + ".",
		Evidence: evidence, Why: why, Count: int64(count),
	})
}
