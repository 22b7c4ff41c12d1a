// Package transition learns which tool follows which, and finds acts that hardly ever follow what went before.
package transition

import (
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Probability is below what a transition is improbable.
	Probability float64 `mapstructure:"probability"`
	// Support is how often the tenant's conversations must have been where the transition begins.
	Support float64 `mapstructure:"support"`
	// History is how many calls the principal must have made.
	History float64 `mapstructure:"history"`
	// Rare is the share of the principal's calls that the tool may have at most.
	Rare float64 `mapstructure:"rare"`
	// Weight is how many observations the more general model is worth.
	Weight float64 `mapstructure:"weight"`
	// HalfLife is how fast habits are forgotten.
	HalfLife time.Duration `mapstructure:"half_life"`
	// Idle is the pause after which a conversation begins anew.
	Idle time.Duration `mapstructure:"idle"`
	// Repeat is after how long the same transition of a principal is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Probability <= 0 || c.Probability >= 0.5 || c.Rare <= 0 || c.Rare > 1 {
		return errors.New("probability must be above 0 and below 0.5, rare above 0 and at most 1")
	}
	if c.Support < 1 || c.History < 1 || c.Weight <= 0 {
		return errors.New("support and history must be at least 1, weight above 0")
	}
	if c.HalfLife < time.Hour || c.Idle <= 0 || c.Repeat <= 0 {
		return errors.New("half_life must be at least 1h, idle and repeat above 0")
	}
	return nil
}

// Bounds of what is remembered of a tenant.
const (
	maxPairs = 65536
	maxRows  = 16384
	maxLast  = 8192 // conversations; up to twice that
	known    = 20   // uses that make a tool known to a tenant
)

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "unusual_transition",
	Version:    "1.0.0",
	Title:      "Act that does not follow",
	Severity:   engine.Low,
	Confidence: 0.4,
	Key:        engine.KeyTenant,
	MaxKeys:    1024,
	TTL:        60 * 24 * time.Hour,
	Sees:       "Which tool is called after which in each conversation (where none is known: of each principal with its client), by principal, client, team and tenant.",
	Fires: "When a tool that sends, deletes, executes or spends is called after a tool after which it hardly ever is. How probable it is is learned: from the principal's own calls as far as there are any, then from those of its client, its team and the tenant, " +
		"each of which stands in for what the one before does not know yet (as `weight` observations). What happened one `half_life` ago counts half.\n\n" +
		"It takes a probability below `probability`, `support` observations in the tenant of the tool before, `history` calls of the principal, of which this tool is less than a share of `rare`. low; medium if in the whole tenant it never followed, the principal never used it, and " +
		"the tool itself is well known in the tenant, so that it is not merely new. Once in `repeat` for each transition and principal.",
	Tuning:         "`probability` (default 0.002), `support` (50), `history` (200), `rare` (0.01), `weight` (5), `half_life` (14 days), `idle` (30m), `repeat` (7 days).",
	Gaps:           "Habits that include the attack. Principals and tools that are new. It knows order, not purpose. Of a tenant 65,536 transitions are kept, and those that are rarest go first.",
	FalsePositives: "Somebody does something for the first time: expected now and then, which is why it is low alone. It means more beside another finding of the same conversation.",
	Remediation:    "Read the conversation around the call. If it does not fit the task, look for content that gave orders before it.",
	References: []string{
		"OWASP-MCP 2025-beta MCP06:2025 Intent Flow Subversion",
		"OWASP-ASI 2026 ASI01 Agent Goal Hijack",
		"OWASP-ASI 2026 ASI10 Rogue Agents",
		"MITRE-ATLAS 5.6 AML.T0053 AI Agent Tool Invocation",
		"MITRE-ATLAS 5.6 AML.T0084.003 Discover AI Agent Configuration: Call Chains",
		"SAFE-MCP 2026-02-01 SAFE-T1703 Tool-Chaining Pivot",
		"SAFE-MCP 2026-02-01 SAFE-T1309 Privileged Tool Invocation via Prompt Manipulation",
	},
}, Config{Probability: 0.002, Support: 50, History: 200, Rare: 0.01, Weight: 5, HalfLife: 14 * 24 * time.Hour, Idle: 30 * time.Minute, Repeat: 7 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{conf: c}, nil
})

// state of one tenant.
type state struct {
	pairs table // of level, context, tool before, tool
	rows  table // of level, context, tool before; of tools; of principals
	last  generation.Map[last]
}

// last is a conversation's last tool.
type last struct {
	tool uint64
	at   int64
	name string
	id   string
}

type detector struct {
	conf Config
	ctx  [4]uint64
}

func (d *detector) Wants(e *event.Event) bool { return flow.IsCall(e) && e.Tool != "" }

// mix joins hashes, in order.
func mix(a, b uint64) uint64 {
	h := (a ^ b*0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd
	return h ^ h>>29
}

// Rows that are none of a tool before.
const (
	anyTool   = 1 // all calls of a context
	toolCount = 2 // tools of the tenant
	beginning = 4 // of a conversation
)

// contexts are hashes of tenant, team, client and principal, from the most general on; 0 for what is not known.
func (d *detector) contexts(e *event.Event) *[4]uint64 {
	d.ctx = [4]uint64{0x7e4a47}
	for i, s := range []string{e.PrincipalTeam, e.ClientName, e.PrincipalID} {
		if s != "" {
			d.ctx[i+1] = mix(uint64(i+1), generation.Hash(s))
		}
	}
	return &d.ctx
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	server := generation.Server(e)
	tool := generation.Hash(server, e.Tool)
	conversation := e.ConversationID
	if conversation == "" {
		conversation = e.PrincipalID + "\x00" + e.ClientName
	}
	key := generation.Hash(conversation)
	before, ok := s.last.Get(key, maxLast)
	if !ok || c.Now-before.at > int64(d.conf.Idle) {
		before = last{tool: beginning}
	}
	ctx := d.contexts(e)
	can := flow.Of(e)
	if can&(flow.Sends|flow.Destroys|flow.Executes|flow.Spends) != 0 && before.tool != beginning && ctx[3] != 0 {
		d.judge(c, e, s, before, tool, ctx, can)
	}
	hl := d.conf.HalfLife
	for _, x := range ctx {
		if x == 0 {
			continue
		}
		row := mix(x, before.tool)
		s.rows.add(row, c.Now, hl, maxRows)
		s.pairs.add(mix(row, tool), c.Now, hl, maxPairs)
	}
	if ctx[3] != 0 {
		all := mix(ctx[3], anyTool)
		s.rows.add(all, c.Now, hl, maxRows)
		s.pairs.add(mix(all, tool), c.Now, hl, maxPairs)
	}
	s.rows.add(mix(toolCount, tool), c.Now, hl, maxRows)
	s.last.Put(key, last{tool: tool, at: c.Now, name: flow.Step{Tool: flow.Clip(e.Tool), Server: flow.Clip(server)}.Where(), id: e.ID}, maxLast)
}

func (d *detector) judge(c *engine.Context, e *event.Event, s *state, before last, tool uint64, ctx *[4]uint64, can flow.Caps) {
	rowUnit, pairUnit := s.rows.unit(c.Now, d.conf.HalfLife), s.pairs.unit(c.Now, d.conf.HalfLife)
	support := s.rows.get(mix(ctx[0], before.tool), rowUnit)
	if support < d.conf.Support {
		return
	}
	all := mix(ctx[3], anyTool)
	history := s.rows.get(all, rowUnit)
	if history < d.conf.History {
		return
	}
	own := s.pairs.get(mix(all, tool), pairUnit)
	if own/history >= d.conf.Rare {
		return
	}
	// As if any of a hundred tools could follow where nothing is known.
	p, tenant := 0.01, 0.0
	for i, x := range ctx {
		if x == 0 {
			continue
		}
		row := mix(x, before.tool)
		n := s.rows.get(row, rowUnit)
		k := s.pairs.get(mix(row, tool), pairUnit)
		if i == 0 {
			tenant = k
		}
		p = (k + d.conf.Weight*p) / (n + d.conf.Weight)
	}
	if p >= d.conf.Probability {
		return
	}
	used := s.rows.get(mix(toolCount, tool), rowUnit)
	severity := engine.Low
	if tenant < 0.05 && own < 0.05 && used >= known {
		severity = engine.Medium
	}
	step := flow.StepOf(c, e)
	var v flow.Evidence
	v.Words = append(v.Words, time.Unix(0, before.at).UTC().Format("15:04:05")+" "+before.name+": was called")
	v.First = before.at
	if before.id != "" {
		v.IDs = append(v.IDs, before.id)
	}
	v.Add(step, "follows, with a probability of "+strconv.FormatFloat(p, 'g', 2, 64))
	c.Emit(engine.Alert{
		Scope: []string{e.PrincipalID, strconv.FormatUint(before.tool, 16), strconv.FormatUint(tool, 16)}, Window: d.conf.Repeat, Severity: severity,
		Summary:  flow.Who(e) + " called " + step.Where() + ", which " + can.String() + ", after " + before.name + ", after which it is hardly ever called.",
		EventIDs: v.IDs, Evidence: v.Words, FirstSeen: v.First, Count: int64(len(v.IDs)),
		Why: map[string]string{
			"probability": strconv.FormatFloat(p, 'g', 2, 64), "threshold": strconv.FormatFloat(d.conf.Probability, 'g', 2, 64), "support": strconv.FormatFloat(support, 'f', 0, 64),
			"history": strconv.FormatFloat(history, 'f', 0, 64), "used_by_principal": strconv.FormatFloat(own, 'f', 1, 64), "used_in_tenant": strconv.FormatFloat(used, 'f', 1, 64),
			"followed_in_tenant": strconv.FormatFloat(tenant, 'f', 1, 64),
		},
	})
}

// MarshalBinary writes the state.
func (s *state) MarshalBinary() ([]byte, error) {
	b := s.rows.appendTo(s.pairs.appendTo(nil))
	for _, m := range []map[uint64]last{s.last.Now, s.last.Before} {
		b = binary.AppendUvarint(b, uint64(len(m)))
		for k, v := range m {
			b = binary.LittleEndian.AppendUint64(b, k)
			b = binary.LittleEndian.AppendUint64(b, v.tool)
			b = binary.AppendVarint(b, v.at)
			b = append(binary.AppendUvarint(b, uint64(len(v.name))), v.name...)
			b = append(binary.AppendUvarint(b, uint64(len(v.id))), v.id...)
		}
	}
	return b, nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (s *state) UnmarshalBinary(b []byte) (err error) {
	if b, err = s.pairs.read(b); err != nil {
		return err
	}
	if b, err = s.rows.read(b); err != nil {
		return err
	}
	for _, m := range []*map[uint64]last{&s.last.Now, &s.last.Before} {
		count, n := binary.Uvarint(b)
		if n <= 0 || count > uint64(len(b)) {
			return errTable
		}
		b = b[n:]
		for range count {
			if len(b) < 16 {
				return errTable
			}
			k := binary.LittleEndian.Uint64(b)
			v := last{tool: binary.LittleEndian.Uint64(b[8:])}
			b = b[16:]
			if v.at, n = binary.Varint(b); n <= 0 {
				return errTable
			}
			b = b[n:]
			for _, s := range []*string{&v.name, &v.id} {
				size, n := binary.Uvarint(b)
				if n <= 0 || size > uint64(len(b)-n) {
					return errTable
				}
				*s = string(b[n : n+int(size)])
				b = b[n+int(size):]
			}
			if *m == nil {
				*m = map[uint64]last{}
			}
			(*m)[k] = v
		}
	}
	if len(b) != 0 {
		return errTable
	}
	return nil
}
