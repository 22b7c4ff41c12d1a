package clickhouse

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// generator makes events as a site of some laptops makes them: people with a few servers each, conversations of calls with a request and an
// answer, redacted bodies with prose, paths and numbers that differ, cost, tokens and now and then a signal.
type generator struct {
	rnd   *rand.Rand
	now   int64
	taps  []genTap
	words []string
}

type genTap struct {
	tap, user, host, server, client, conversation string
	prefix                                        event.IDPrefix
	epoch, seq                                    int64
	left, next                                    int64
}

var genServers = []struct {
	name  string
	tools []string
}{
	{"filesystem", []string{"read_text_file", "write_file", "list_directory", "search_files"}},
	{"github", []string{"search_code", "get_file_contents", "create_issue", "list_pull_requests"}},
	{"postgres", []string{"query", "list_tables"}},
	{"slack", []string{"post_message", "list_channels"}},
	{"browser", []string{"navigate", "click", "screenshot"}},
	{"jira", []string{"search", "get_issue", "add_comment"}},
}

func newGenerator(seed uint64, start time.Time) *generator {
	g := &generator{rnd: rand.New(rand.NewPCG(seed, 2)), now: start.UnixNano()}
	for range 3000 {
		var b strings.Builder
		for range 2 + g.rnd.IntN(8) {
			b.WriteByte("etaoinshrdlucmfwypvbgk"[min(g.rnd.IntN(22), g.rnd.IntN(22))])
		}
		g.words = append(g.words, b.String())
	}
	for i := range 60 {
		g.taps = append(g.taps, genTap{})
		g.renew(i)
	}
	return g
}

func (g *generator) renew(i int) {
	user := i / 3
	s := genServers[(i+user)%len(genServers)].name
	t := &g.taps[i]
	*t = genTap{
		tap: fmt.Sprintf("laptop-%02d/%s", user, s), user: fmt.Sprintf("user%02d@example.com", user), host: fmt.Sprintf("laptop-%02d", user), server: s,
		client: []string{"claude-desktop", "cursor", "vscode"}[user%3], conversation: g.hex(8), epoch: g.now, left: 50 + g.rnd.Int64N(400),
	}
	t.prefix = event.TapPrefix(t.tap, t.epoch)
}

func (g *generator) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.rnd.UintN(256))
	}
	return hex.EncodeToString(b)
}

func (g *generator) prose(n int) string {
	var b strings.Builder
	for range n {
		// words as common as their rank, as in text
		b.WriteString(g.words[int(float64(len(g.words))*g.rnd.Float64()*g.rnd.Float64()*g.rnd.Float64())])
		b.WriteByte(' ')
	}
	return b.String()
}

// pair makes a request and its answer.
func (g *generator) pair() [2]event.Event {
	g.now += int64(g.rnd.ExpFloat64() * 40e6)
	i := g.rnd.IntN(len(g.taps))
	t := &g.taps[i]
	if t.left--; t.left < 0 {
		g.renew(i)
	}
	var tools []string
	for _, s := range genServers {
		if s.name == t.server {
			tools = s.tools
		}
	}
	tool := tools[min(g.rnd.IntN(len(tools)), g.rnd.IntN(len(tools)))]
	t.seq++
	t.next++
	req := event.Event{Name: event.NameRequest, Time: g.now, Received: g.now + 1e6 + g.rnd.Int64N(50e6)}
	f := event.Fields{
		ID: t.prefix.ID(t.seq), SourceKind: "tap", TapID: t.tap, TapEpoch: t.epoch, TapSeq: t.seq, ClockSource: "tap", Tenant: "default",
		PrincipalID: t.user, PrincipalKind: "user", PrincipalIssuer: t.host, PrincipalMethod: "os_user", PrincipalVerified: true, PrincipalTeam: "team-" + t.user[4:5],
		IdentityClaims: []string{"os_user:" + t.user + "!", "client_info:" + t.client}, ClientName: t.client, ClientVersion: "1.4.2", Server: t.server,
		ServerClaimedName: t.server + "-server", ServerClaimedVersion: "0.9.1", HostName: t.host, OSUser: t.user, PID: 1000 + int64(i), ParentCommand: t.client, Command: "node",
		Transport: "stdio", NetworkTransport: "pipe", ProtocolVersion: "2025-11-25", Era: "legacy", ConversationID: t.conversation,
		Direction: event.ClientToServer, Kind: event.KindRequest, Method: "tools/call", Tool: tool, RequestID: fmt.Sprint(t.next), RequestIDType: "number",
		ExchangeStart: g.now, Capture: "complete", BodyFingerprint: g.hex(16), TokensEncoding: "o200k_base", Capabilities: []string{"reads_private"},
		CostCurrency: "USD", CostPriceVersion: "2026-11",
	}
	f.ExchangeID, f.CallID = f.ID, f.ID
	req.Fields = f
	req.Body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{"path":"/home/%s/%s/%s.go","query":%q,"limit":%d}}}`,
		t.next, tool, t.user, g.words[g.rnd.IntN(300)], g.words[g.rnd.IntN(3000)], g.prose(6+g.rnd.IntN(12)), 10*(1+g.rnd.IntN(10)))
	req.BodySize = int64(len(req.Body))
	req.TokensArguments = req.BodySize / 4
	req.CostAmount = float64(req.TokensArguments) * 3e-6

	d := int64(1e6 + g.rnd.ExpFloat64()*80e6)
	t.seq++
	resp := req
	resp.Name, resp.Time, resp.Received = event.NameResponse, req.Time+d, req.Received+d
	resp.ID, resp.TapSeq, resp.Kind, resp.Direction = t.prefix.ID(t.seq), t.seq, event.KindResponse, event.ServerToClient
	resp.Outcome, resp.DurationNanos, resp.BodyFingerprint, resp.TokensArguments = "ok", d, g.hex(16), 0
	if g.rnd.IntN(20) == 0 {
		resp.Outcome, resp.ErrorType = "tool_error", "tool_error"
	}
	if g.rnd.IntN(30) == 0 {
		resp.DataClasses, resp.Redactions, resp.Signals = []string{"email"}, map[string]float64{"email": 1}, map[string]float64{"injection": float64(g.rnd.IntN(100)) / 100}
	}
	resp.Body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":%q}],"isError":%v}}`, t.next, g.prose(40+g.rnd.IntN(120)), resp.Outcome != "ok")
	resp.BodySize = int64(len(resp.Body))
	resp.TokensResult = resp.BodySize / 4
	resp.CostAmount = float64(resp.TokensResult) * 3e-6
	return [2]event.Event{req, resp}
}

// batch makes n events (even) as a batch of stream message seq.
func (g *generator) batch(n int, seq int64) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutInt(event.AttrStreamSeq, seq)
	lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
	for range n / 2 {
		for _, e := range g.pair() {
			e.Encode(lrs.AppendEmpty())
		}
	}
	return ld
}

func logsOf(events ...event.Event) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, e := range events {
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}
